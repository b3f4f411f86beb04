"""The reading copy of a text: the same text, easier to read for rules.

In: a raw text. Out: a ``Reading``: a cleaned copy, and where each of its characters stands in the raw text.

Covers: typographic quotes and dashes, runs of spaces, null bytes; UTF-8 once read as Windows-1252 ("JosÃ©");
punctuation that a dictation system spelled out; letters with combining marks, soft hyphens; lines that an
exporter wrapped at a fixed width (their ends become spaces, so that a name split over a line is one name,
while the line ends of headers and lists stay). Does not cover: repairing the text itself; that is the cleanse
step's job. De-identification leaves every character outside a span as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from unicodedata import normalize

_SAME_LENGTH = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\u00b4", "'")
    | dict.fromkeys("\u201c\u201d", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200b\u200e\u200f\u202f\ufeff\x00\t\x0b\x0c\r", " ")
    | dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\ufffd")  # halves of pairs, which no encoder takes
)
_CP1252_TAIL = (
    "\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122"
    "\u0161\u203a\u0153\u017e\u0178\x80-\xbf"
)
_MOJIBAKE = re.compile(rf"\u00e2\u20ac[{_CP1252_TAIL}]|[\u00c2-\u00c5][{_CP1252_TAIL}]")
_SPOKEN = re.compile(r" ?\b(comma|full +stop|period|colon|new +(?:paragraph|line))\b", re.IGNORECASE)
_SPOKEN_MARKS = {"comma": ",", "full stop": ".", "period": ".", "colon": ":", "new paragraph": "\n", "new line": "\n"}
_DICTATED = re.compile(r"\bnew +paragraph\b|\bfull +stop\b|\bcomma\b[^\n]*\bcomma\b", re.IGNORECASE)
_COMBINED = re.compile(r"[^\W\d_][\u0300-\u036f]{1,20}|[^\W\d_]\u00ad")
_SPACES = re.compile(r"  +")
_WIDEST_WRAP = 100  # characters; exporters wrap at 60 to 80, prose lines that nobody wrapped are longer


@dataclass(frozen=True, slots=True)
class Reading:
    """``text`` is what rules read; character ``i`` of it stands at ``[starts[i], ends[i])`` of the raw text."""

    text: str
    starts: list[int]
    ends: list[int]

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The place in the raw text of a span of the copy that holds at least one character."""
        return self.starts[start], self.ends[end - 1]


def read(raw: str) -> Reading:
    """The reading copy of ``raw``."""
    copy = Reading(raw, list(range(len(raw))), list(range(1, len(raw) + 1)))
    copy = _substitute(copy, _MOJIBAKE, _repaired)
    copy = _substitute(copy, _COMBINED, lambda match: normalize("NFC", match.group().rstrip("\u00ad")))
    copy = Reading(_join_wrapped_lines(copy.text.translate(_SAME_LENGTH)), copy.starts, copy.ends)
    if _DICTATED.search(copy.text):
        copy = _substitute(copy, _SPOKEN, lambda match: _SPOKEN_MARKS[" ".join(match.group(1).casefold().split())])
    return _substitute(copy, _SPACES, lambda match: " ")


def _substitute(copy: Reading, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> Reading:
    """``copy`` with every match replaced; the characters of a replacement stand where the whole match stood."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for match in pattern.finditer(copy.text):
        replacement = replace(match)
        parts += [copy.text[position : match.start()], replacement]
        starts += copy.starts[position : match.start()] + [copy.starts[match.start()]] * len(replacement)
        ends += copy.ends[position : match.start()] + [copy.ends[match.end() - 1]] * len(replacement)
        position = match.end()
    if position == 0:
        return copy
    return Reading("".join(parts) + copy.text[position:], starts + copy.starts[position:], ends + copy.ends[position:])


def _repaired(match: re.Match[str]) -> str:
    # Windows-1252 leaves five bytes undefined; readers keep them as the control characters of Latin-1.
    raw = b"".join(ch.encode("latin-1") if ord(ch) < 256 else ch.encode("cp1252") for ch in match.group())
    return raw.decode("utf-8", errors="ignore") or match.group()


def _join_wrapped_lines(text: str) -> str:
    """A line end becomes a space where the next line's first word would not have fitted."""
    lines = text.split("\n")
    width = max(len(line.rstrip()) for line in lines)
    if width > _WIDEST_WRAP or len(lines) < 2:
        return text
    joined = [lines[0]]
    for line, following in pairwise(lines):
        first_word = following.split(" ", 1)[0]
        wrapped = bool(first_word) and bool(line.strip()) and len(line.rstrip()) + 1 + len(first_word) > width
        joined.append((" " if wrapped else "\n") + following)
    return "".join(joined)
