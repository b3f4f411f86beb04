"""What the methods of the audit share: a find, and how a text looks to them.

In: a de-identified text and its replaced places. Out: the same text with these places unreadable.

Covers: the noun ``Found``; hiding. Does not cover: finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SHORTEST_WHOLE = 3  # letters and digits of an identifier
HIDDEN = "\ufffc"  # stands for each character of a replaced place
PART = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
YEAR = re.compile(r"(?:19|20)\d\d")


class Method(StrEnum):
    """How a suspect was found."""

    KNOWN = "known"
    VOCABULARY = "vocabulary"
    DIGITS = "digits"
    PRESIDIO = "presidio"


@dataclass(frozen=True, slots=True)
class Found:
    """``[start, end)`` of a text, what it may be, and who says so how strongly."""

    start: int
    end: int
    label: str
    method: Method
    score: float


def hide(text: str, places: Iterable[tuple[int, int]]) -> str:
    """``text`` of the same length, with these places made unreadable."""
    parts: list[str] = []
    position = 0
    for start, end in sorted(places):
        if end > position:
            start = max(start, position)
            parts += [text[position:start], HIDDEN * (end - start)]
            position = end
    return "".join(parts) + text[position:]
