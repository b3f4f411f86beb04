"""Ages and times of onset, in days.

In: a text. Out: its ``Time`` places: "5 months", "2 years 6 months", "9yo", "in infancy"; which of them are the age of
a person and which say when something began.

Covers: numbers with years, months, weeks, days; named periods of life; slips of the keyboard in the names. Does not
cover: dates, and ages that follow from them; numbers in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from residency.packs.typos import SHORTEST_TYPO, one_edit
from residency.packs.words import word_set

_DAYS = {"y": 365.25, "m": 365.25 / 12, "w": 7.0, "d": 1.0}
_UNIT = r"(?:years?|yeras?|yrs?|y|months?|mnths?|mths?|mos?|m|weeks?|wks?|w|days?|d)"
_NUMBERED = re.compile(
    rf"(?<![\w.,/-])(?P<n>\d{{1,3}}(?:\.\d)?)[ \t\r\n-]{{0,3}}(?P<u>{_UNIT})\b"
    rf"(?:[ \t\r\n,]{{0,3}}(?:and[ ])?(?P<n2>\d{{1,2}})[ \t\r\n-]{{0,3}}(?P<u2>months?|weeks?|days?)\b)?"
    r"(?P<old>[ \t\r\n-]{0,3}(?:/?o(?:ld)?\b|of age\b)|/o\b)?",
    re.IGNORECASE,
)
_GLUED = re.compile(r"(?<![\w.,/-])(?P<n>\d{1,3})(?P<u>y|m)o\b", re.IGNORECASE)  # "9yo"
_PERIODS = {
    "birth": word_set("birth born congenital congenitally"),
    "before birth": word_set("antenatal antenatally prenatal prenatally intrauterine trimester"),
    "neonatal period": word_set("neonatal neonate newborn"),
    "infancy": word_set("infancy"),
    "childhood": word_set("childhood"),
    "adolescence": word_set("adolescence teens"),
    "adulthood": word_set("adulthood"),
}
_PERIOD_OF = {word: period for period, words in _PERIODS.items() for word in words}
_WORD = re.compile(r"[^\W\d_]+")
_AGED_BEFORE = re.compile(r"\b(?:age|aged)\W{0,3}$", re.IGNORECASE)
_BEFORE = re.compile(r"\bbefore\s+$", re.IGNORECASE)
# The words that say that something began; a time after one of them, in the same statement, is a time of onset.
_BEGAN = word_set("onset began begun first noticed appeared arose started debut since symptomatic")
_REACH = 70  # code points between such a word and the time
_STATEMENT_END = re.compile(r"[.;][\s]|\n\s*\n")


@dataclass(frozen=True, slots=True)
class Time:
    """A time of life. ``days`` of a numbered one, ``period`` of a named one."""

    start: int
    end: int
    days: float | None
    period: str | None
    is_age: bool
    is_onset: bool
    exact_to: float = 1.0  # days in the smallest unit that is written

    def borne_out_by(self, other: Time) -> bool:
        """Whether ``other`` is the same time of life. An age counts whole units: at 5 years and 6 months one is 5."""
        if self.days is not None and other.days is not None:
            tolerance = self.exact_to if self.is_age else 1.0
            return -1 < other.days - self.days < tolerance
        return self.period is not None and self.period == other.period


def read_times(text: str) -> list[Time]:
    """The times of life that a text names, in order."""
    return sorted((*_numbered(text), *_named(text)), key=lambda time: time.start)


def _numbered(text: str) -> Iterator[Time]:
    for match in _NUMBERED.finditer(text):
        unit = _DAYS[match["u"][0].lower()]
        days = float(match["n"]) * unit
        if match["n2"]:
            unit = _DAYS[match["u2"][0].lower()]
            days += float(match["n2"]) * unit
        is_age = match["old"] is not None or bool(_AGED_BEFORE.search(text[: match.start()][-8:]))
        yield Time(match.start(), match.end(), days, None, is_age, _began(text, match.start()), unit)
    for match in _GLUED.finditer(text):
        unit = _DAYS[match["u"].lower()]
        days = float(match["n"]) * unit
        yield Time(match.start(), match.end(), days, None, True, _began(text, match.start()), unit)


def _named(text: str) -> Iterator[Time]:
    for match in _WORD.finditer(text):
        period = _period(match.group().lower())
        if period == "birth" and _BEFORE.search(text[: match.start()][-10:]):
            period = "before birth"
        if period is not None:
            yield Time(match.start(), match.end(), None, period, False, _began(text, match.start()))


def _began(text: str, start: int) -> bool:
    """Whether a word that something began stands before ``start`` in the same statement."""
    head = text[max(0, start - _REACH) : start]
    ends = [match.end() for match in _STATEMENT_END.finditer(head)]
    return any(_is_begin(match.group().lower()) for match in _WORD.finditer(head, ends[-1] if ends else 0))


@lru_cache(maxsize=50_000)
def _is_begin(word: str) -> bool:
    return word in _BEGAN or (len(word) >= SHORTEST_TYPO - 1 and any(one_edit(word, known) for known in _LONG_BEGAN))


@lru_cache(maxsize=50_000)
def _period(word: str) -> str | None:
    if word in _PERIOD_OF or len(word) < SHORTEST_TYPO - 1:
        return _PERIOD_OF.get(word)
    near = {period for known, period in _PERIOD_OF.items() if len(known) >= SHORTEST_TYPO and one_edit(word, known)}
    return near.pop() if len(near) == 1 else None


_LONG_BEGAN = tuple(sorted(word for word in _BEGAN if len(word) >= SHORTEST_TYPO))
