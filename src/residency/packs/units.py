"""Units of measurement: how they are written, how they are written here, what they are in a base unit.

In: a pack's table of units, a text. Out: the text's ``Quantity`` places: a number followed by a unit.

Covers: one or two spellings of everything in the table, the longest first; letter case where it does not matter
("MG", "mg"; but "mM" is no "mm"); thousands and decimal commas ("1,000", "2,1"). Does not cover: numbers in words;
units that the table does not have, whole or as a part ("mg/h" is not read as "mg"); converting what is written: a
person who checks a dose wants to see the dose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from residency.errors import ProjectError
from residency.packs import Pack

COLUMNS = ("written", "standard", "base", "factor")  # of the table
_THOUSANDS = r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d{1,6})?"  # English: "1,000 mg" is a gram, not a milligram
_NUMBER = rf"(?<![\w.,])(?P<number>{_THOUSANDS}|\d{{1,7}}(?:[.,]\d{{1,6}})?)(?P<blank>[ \u00a0]{{0,2}})"
_LAST = r"(?![\w/%^µμ°]|-\w)"  # a longer word or unit begins here: nothing is read


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit. ``factor`` times the number gives the number in the base unit."""

    standard: str
    base: str
    factor: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit. Offsets are code points, half-open: those of the number, and those of the unit."""

    start: int
    unit_start: int
    end: int
    number: float
    unit: Unit

    @property
    def in_base(self) -> float:
        """The number in the unit's base unit."""
        return self.number * self.unit.factor


class Units:
    """The units of a pack. Without a table there are none, and no text has quantities."""

    def __init__(self, units: Mapping[str, Unit]) -> None:
        self._exact = dict(units)
        self._folded = _folded(units)
        spellings = sorted((*self._exact, *self._folded), key=lambda spelling: (-len(spelling), spelling))
        either = "|".join(re.escape(spelling) for spelling in spellings)
        self._pattern = re.compile(f"{_NUMBER}(?P<unit>{either}){_LAST}", re.IGNORECASE) if units else None

    def find(self, text: str) -> Iterator[Quantity]:
        """The quantities of a text, in order."""
        for match in self._pattern.finditer(text) if self._pattern else ():
            unit = self._exact.get(match["unit"]) or self._folded.get(match["unit"].casefold())
            if unit is not None:
                yield Quantity(match.start("number"), match.start("unit"), match.end(), _number(match["number"]), unit)


def _number(written: str) -> float:
    thousands = re.fullmatch(_THOUSANDS, written)
    return float(written.replace(",", "" if thousands else "."))


def _folded(units: Mapping[str, Unit]) -> dict[str, Unit]:
    """Units by their spelling with letter case folded: those of one letter, or with two meanings, are left out."""
    folded: dict[str, Unit] = {}
    double: set[str] = set()
    for spelling, unit in units.items():
        known = folded.setdefault(spelling.casefold(), unit)
        if known != unit:
            double.add(spelling.casefold())
    return {spelling: unit for spelling, unit in folded.items() if spelling not in double and len(spelling) > 1}


@lru_cache(maxsize=8)
def load_units(pack: Pack) -> Units:
    """The pack's units."""
    return Units(read_units(pack.rows(pack.settings.units, *COLUMNS)))


def read_units(table: Iterable[Mapping[str, str]]) -> dict[str, Unit]:
    """Units by spelling, from rows with ``COLUMNS``. ProjectError names the row."""
    units: dict[str, Unit] = {}
    for row in table:
        unit = _unit(row)
        if unit is None or units.setdefault(row["written"], unit) != unit:
            problem = "cannot be read" if unit is None else "is there before with another meaning"
            raise ProjectError(
                f"pack: the row {row.get('written')!r} of the table of units {problem}.",
                fix="It needs written, standard, base and factor, a number above 0, separated by tabs.",
            )
    return units


def _unit(row: Mapping[str, str]) -> Unit | None:
    """The unit of a row; None where the row lacks something: an empty standard would delete the unit from texts."""
    written, standard, base, factor = ((row.get(column) or "").strip() for column in COLUMNS)
    try:
        number = float(factor)
    except ValueError:
        return None
    return Unit(standard, base, number) if written and standard and base and 0 < number < math.inf else None
