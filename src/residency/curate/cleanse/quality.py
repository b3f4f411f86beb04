"""Whether a text is a report at all: measures, each with the threshold that the step uses.

In: a text. Out: a number, or a language.

Covers: texts that an export garbled, texts in another language, texts without content.
Does not cover: reports that are cut off, and reports that are wrong.

The language model is that of py3langid: small, offline, no pickle. Not lingua: as good here and twenty times larger.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from residency.records import Span

# Share of tokens that are words or numbers; below it a text is garbled. Chosen by us on the reports outside the
# demo, 2026-11-24: reports have 0.81 and more, garbled ones 0.25 and less.
MIN_WORDLIKE = 0.5
# Probability of another language from which a text counts as written in it. Same source: reports in another
# language have 0.89 and more, English ones never win with another language.
MIN_OTHER_LANGUAGE = 0.7

_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_OPENING = r"[(\[{\"'“‘*#<>=@/&~^•–—+-]*"
_CLOSING = r"[)\]}\"'”’.,;:!?%*>+°-]*"
_WORDLIKE = re.compile(rf"{_OPENING}[^\W_]+(?:[-/'’.,&+:@_=^|#%][^\W_]+)*{_CLOSING}|[-*•·>+–—=_/|&#.]+")


def wordlike_share(text: str) -> float:
    """Share of white-space separated tokens that are a word, a number or a mark of layout; 1 without tokens."""
    tokens = text.split()
    return sum(_WORDLIKE.fullmatch(token) is not None for token in tokens) / len(tokens) if tokens else 1.0


def word_count(text: str) -> int:
    """How many words of letters a text has."""
    return len(_WORD.findall(text))


def without(text: str, spans: Sequence[Span]) -> str:
    """The text with a space for each span."""
    pieces, done = [], 0
    for span in sorted(spans, key=lambda span: span.start):
        pieces += [text[done : max(span.start, done)], " "]
        done = max(done, span.end)
    return "".join([*pieces, text[done:]])


def language(text: str) -> tuple[str, float]:
    """The most likely language as ISO 639-1 code, and its probability. Letter case does not matter."""
    code, probability = _identifier().classify(text.lower())
    return str(code), float(probability)


def known_languages() -> frozenset[str]:
    """The ISO 639-1 codes that can be recognized."""
    return frozenset(map(str, _identifier().labels))


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
