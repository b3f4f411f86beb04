"""A text as tokens with their places.

In: a text. Out: ``Tokens``: words, punctuation and ends of lines, each with its span in code points.

Covers: hard line wraps (a wrap is a space; a new paragraph, bullet or form line is a border).
Does not cover: the meaning of a token (matcher, status).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from residency.packs.words import light

HARD_BREAK = "\n\n"
LONGEST_WORD = 60  # letters; longer ones are not words, and folding them would fill the memory of forms
SENTENCE_END = frozenset({".", ";", "!", "?", HARD_BREAK, "|", "•", "*", "·", ">"})

# An address or a path is one opaque token: nothing in it names a finding.
_TOKEN = re.compile(
    r"[^\s@]{1,64}@[^\s@]{1,255}|(?i:https?://|www\.)\S+"
    r"|[^\W_]+(?:['’][^\W_]+)*|[↑↓°]+|\n\s*|[^\w\s]|_+"
)
_BULLET = re.compile(r"(?:[-*•·>+–—#]|\[.?\]|\(.?\)|\d{1,2}[.)]|[A-Za-z]\))[ \t]")
_LABEL = re.compile(r"[A-Za-z][\w/&. ]{0,24}?(?::| - )")
_LONGEST_LABEL = 40
_CONTINUES = frozenset({"or", "and", "nor"})
# A line is taken for wrapped only where it is long enough that the next word would not have fitted.
# Chosen by us on the development reports, whose narrow wraps are just wider.
_WRAP_COLUMNS = 50


@dataclass(frozen=True, slots=True)
class Tokens:
    """Parallel tuples, one entry a token."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    raw: tuple[str, ...]
    light: tuple[str, ...]  # light form of a word; the token itself otherwise

    def __len__(self) -> int:
        return len(self.raw)

    def tight(self, index: int) -> bool:
        """Whether no space stands between this token and both of its neighbors ("tonic-clonic")."""
        inside = 0 < index < len(self) - 1
        return inside and self.ends[index - 1] == self.starts[index] and self.ends[index] == self.starts[index + 1]


def tokenize(text: str) -> Tokens:
    """The tokens of a text, in order."""
    starts, ends, raw, forms = [], [], [], []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if "\n" in token:
            if _is_wrap(text, match):
                continue  # a space, as far as meaning goes
            token = HARD_BREAK
        starts.append(match.start())
        ends.append(match.end())
        raw.append(token)
        forms.append(light(token) if token[0].isalnum() and len(token) < LONGEST_WORD else token)
    return Tokens(text, tuple(starts), tuple(ends), tuple(raw), tuple(forms))


def _is_wrap(text: str, match: re.Match[str]) -> bool:
    """Whether a line end is a wrap inside a sentence, and not the end of a paragraph, bullet or form line."""
    if match.group().count("\n") > 1 or match.end() == len(text):
        return False
    if _BULLET.match(text, match.end()):
        return False
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].rstrip()
    next_word = re.match(r"\S*", text[match.end() : match.end() + _LONGEST_LABEL])
    if line.endswith(",") or (next_word and next_word.group() in _CONTINUES):
        return True
    if len(line) + 1 + len(next_word.group() if next_word else "") < _WRAP_COLUMNS:
        return False
    is_label = _LABEL.match(text, match.end())
    return not is_label and (text[match.end()].islower() or line[-1:] not in ".;:|")
