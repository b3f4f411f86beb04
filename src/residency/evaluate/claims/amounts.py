"""Numbers with their units, and what they are numbers of.

In: a text and the units of a pack. Out: its ``Amount`` places.

Covers: quantities with a unit (as the pack's table writes them), bare numbers after a name ("CK 8000", "EDSS 4.5");
what each is a number of, read from the words beside it in the same clause. Does not cover: numbers in words, ranges,
dates, ages (times.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from residency.packs.units import Units
from residency.packs.words import STOP_WORDS, light, word_set

WORDS_BESIDE = 3  # a number's name stands within so many words of it; chosen by us
EQUAL = 0.005  # relative difference that rounding in a conversion may leave

_WORD = re.compile(r"[^\W\d_][^\W_]*")
_CLAUSE_END = re.compile(r"[,;:()\n\r]|\.(?=\s|$)|\b(?:and|with|plus)\b", re.IGNORECASE)
# A colon or a bracket may stand between a name and its number: "CK: 8000", "CK (8000)".
_GLUE = re.compile(r"[\s:=(~<>≈-]*$")
_BARE = re.compile(r"(?<![\w.,/:^#+-])(?P<number>\d{1,6}(?:\.\d{1,3})?)(?![\w/:-]|[.,]\d)")
# They say that something was measured or given, not what.
_NOT_NAMES = STOP_WORDS | word_set(
    "dose daily day twice once bd tds od qd bid nocte level value score count measured about approximately per mg up "
    "now currently increased decreased raised reduced high low normal and or ref no number ext tel page grade stage"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of something. ``base`` is the base unit, empty without a unit; ``in_base`` the number in it."""

    start: int
    end: int
    written: str
    number: float
    base: str
    in_base: float
    names: frozenset[str]  # light forms of the words that may say what it is a number of

    def equals(self, other: Amount) -> bool:
        """The same value in the same base unit."""
        return self.base == other.base and abs(self.in_base - other.in_base) <= EQUAL * abs(other.in_base)


def read_amounts(text: str, units: Units, taken: Sequence[tuple[int, int]] = ()) -> list[Amount]:
    """The amounts of a text, in order. What overlaps a ``taken`` place is no amount: it is part of something else."""
    found = list(_with_units(text, units))
    busy = [*taken, *((amount.start, amount.end) for amount in found)]
    found = [amount for amount in found if not _overlaps(amount.start, amount.end, taken)]
    found += [amount for amount in _bare(text) if not _overlaps(amount.start, amount.end, busy)]
    return sorted(found, key=lambda amount: amount.start)


def _with_units(text: str, units: Units) -> Iterator[Amount]:
    for quantity in units.find(text):
        names = _names(text, quantity.start, quantity.end)
        yield Amount(
            quantity.start, quantity.end, text[quantity.start : quantity.end], quantity.number, quantity.unit.base,
            quantity.in_base, names,
        )  # fmt: skip


def _bare(text: str) -> Iterator[Amount]:
    """Numbers without a unit that follow a name; without a name a number claims nothing."""
    for match in _BARE.finditer(text):
        names = _before(text, match.start())
        if names:
            number = float(match["number"])
            yield Amount(match.start(), match.end(), match.group(), number, "", number, names)


def _names(text: str, start: int, end: int) -> frozenset[str]:
    return _before(text, start) or _after(text, end)


def _before(text: str, start: int) -> frozenset[str]:
    head = text[max(0, start - 60) : start]
    head = head[: len(head) - len(_GLUE.search(head).group())]  # type: ignore[union-attr]
    ends = [match.end() for match in _CLAUSE_END.finditer(head)]
    return _content([match.group() for match in _WORD.finditer(head, ends[-1] if ends else 0)][-WORDS_BESIDE:])


def _after(text: str, end: int) -> frozenset[str]:
    tail = text[end : end + 60]
    stop = _CLAUSE_END.search(tail)
    return _content([match.group() for match in _WORD.finditer(tail, 0, stop.start() if stop else len(tail))][:2])


def _content(words: Sequence[str]) -> frozenset[str]:
    return frozenset(form for word in words if (form := light(word)) not in _NOT_NAMES and len(form) > 1)


def _overlaps(start: int, end: int, places: Sequence[tuple[int, int]]) -> bool:
    return any(a < end and start < b for a, b in places)
