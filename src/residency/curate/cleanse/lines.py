"""Lines of a text, in the form in which those of two reports are compared.

In: a text, and the places that were replaced in it. Out: its lines, each with its folded forms.

Covers: letter case, white space, replaced names (a name does not make two lines different, its class does) and, in the
loose form, numbers. Does not cover: what the lines mean.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from residency.records import Span

IDENTIFIER = re.compile(r"<[^>]*>")  # a replaced place in a folded form
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MAX_NUMBERS = 2  # a line with more is a measurement ("BP 116/68"), and only equal numbers make it a repetition
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``form``: letter case and white space folded, identifiers by their label."""

    start: int
    end: int  # without the line end
    form: str
    loose: str  # the form with numbers folded, where it is no measurement
    words: int  # outside identifiers


def lines_of(text: str, spans: Sequence[Span]) -> Iterator[Line]:
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        pieces, done = [], start
        for span in ordered:
            if span.start < end and span.end > done:
                pieces += [text[done : max(span.start, done)], f"<{span.label}>"]
                done = min(span.end, end)
        pieces.append(text[done:end])
        form = " ".join("".join(pieces).casefold().split())
        loose = NUMBER.sub("0", form) if len(NUMBER.findall(form)) <= _MAX_NUMBERS else form
        yield Line(start, end, form, loose, len(_WORD.findall(IDENTIFIER.sub(" ", form))))
        start = end + 1


def form_hash(form: str) -> int:
    """64 bits of a line's folded form; the same in every process."""
    return int.from_bytes(hashlib.blake2b(form.encode(), digest_size=8).digest(), "little")
