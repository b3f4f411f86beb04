"""The table of critical errors: what counts, how severe it is, who agreed, why.

In: a tab-separated table with the columns error, what, than, severity, agreed_by, why; lines that begin with # are
remarks. Out: a ``CriticalTable``.

    error         what                          than
    missed        a concept (narrower ones too)
    flipped       a concept, or *                                    present is written as absent, or the other way
    experiencer   a concept, or *                                    a relative's is written as the patient's
    laterality    a concept, or *                                    the wrong side
    value         *                             smallest factor      1.5: half as much again, or less than two thirds
    unit          *                                                  the right number in another unit
    confused      the right label               a wrong label, or *
    unsupported   *                             smallest confidence  a wrong label, given with at least this confidence

Covers: every problem of the table at once, by row; rows that fewer than two people agreed on are counted, and said.
Does not cover: who may agree; the table lies in version control, and that says who changed it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from residency.errors import ProjectError
from residency.packs import Pack
from residency.packs.terminology import Terminology, load_terminology

COLUMNS = ("error", "what", "than", "severity", "agreed_by", "why")
ANY = "*"
RATERS = 2  # people who must have agreed (EVALUATION.md d9)
SHOWN = 5  # problems named in an error


class ErrorKind(StrEnum):
    """What a row is about."""

    MISSED = "missed"
    FLIPPED = "flipped"
    EXPERIENCER = "experiencer"
    LATERALITY = "laterality"
    VALUE = "value"
    UNIT = "unit"
    CONFUSED = "confused"
    UNSUPPORTED = "unsupported"


_OF_CONCEPTS = frozenset({ErrorKind.MISSED, ErrorKind.FLIPPED, ErrorKind.EXPERIENCER, ErrorKind.LATERALITY})
_NUMBERED = {ErrorKind.VALUE: (1.0, float("inf")), ErrorKind.UNSUPPORTED: (0.0, 1.0)}  # bounds of the column than


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    error: ErrorKind
    what: str
    than: str
    severity: float  # weight in the cost, above 0
    agreed_by: tuple[str, ...]
    why: str

    @property
    def agreed(self) -> bool:
        return len(self.agreed_by) >= RATERS


@dataclass(frozen=True, slots=True)
class CriticalTable:
    """What counts as critical in one field."""

    rows: tuple[Row, ...]
    terminology: Terminology | None

    def of(self, *kinds: ErrorKind) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.error in kinds)

    def about(self, kind: ErrorKind, concept: str) -> Row | None:
        """The severest row of a kind that a concept falls under."""
        rows = [row for row in self.of(kind) if row.what == ANY or self.is_a(concept, row.what)]
        return max(rows, key=lambda row: row.severity, default=None)

    def is_a(self, concept: str, other: str) -> bool:
        return concept == other or (self.terminology is not None and self.terminology.is_a(concept, other))

    @property
    def note(self) -> str:
        """Who stands behind the table."""
        open_rows = sum(not row.agreed for row in self.rows)
        by = f"{open_rows} of its {len(self.rows)} rows not yet agreed on by {RATERS} people" if open_rows else ""
        return by or f"all {len(self.rows)} rows agreed on by at least {RATERS} people"


def load_table(pack: Pack, file: Path | None = None) -> CriticalTable | None:
    """The project's table, or else the pack's; None where neither has one."""
    terminology = load_terminology(pack) if pack.settings.terminology else None
    if file is not None:
        return read_table_file(file, terminology)
    if pack.settings.critical is None:
        return None
    return read_table(
        pack.rows(pack.settings.critical), terminology, place=f"pack {pack.name}: {pack.settings.critical}"
    )


def read_table_file(file: Path, terminology: Terminology | None) -> CriticalTable:
    """The table of a file; without a terminology, concepts are taken as they are written."""
    return read_table(_rows_of(file), terminology, place=str(file))


def read_table(rows: Iterable[Mapping[str, str]], terminology: Terminology | None, *, place: str) -> CriticalTable:
    """The table, or one ProjectError with every problem."""
    read, problems = [], []
    for number, row in enumerate(rows, 1):
        try:
            read.append(_row(row, terminology))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
    if not read and not problems:
        problems.append("no rows")
    if problems:
        shown = "; ".join(problems[:SHOWN]) + (f"; {len(problems) - SHOWN} more" if len(problems) > SHOWN else "")
        raise ProjectError(
            f"{place}: {shown}.",
            fix=f"Give the columns {', '.join(COLUMNS)}, separated by tabs; an error is one of {', '.join(ErrorKind)}.",
            problems=tuple(problems),
        )
    return CriticalTable(tuple(read), terminology)


def unknown_labels(table: CriticalTable, labels: Collection[str]) -> tuple[str, ...]:
    """Labels of the table that a task does not have: their rows cannot count there."""
    named = {label for row in table.of(ErrorKind.CONFUSED) for label in (row.what, row.than)} - {ANY}
    return tuple(sorted(named - set(labels)))


def _rows_of(file: Path) -> Iterable[dict[str, str]]:
    try:
        if not file.is_file():
            raise ProjectError(f"{file}: the table of critical errors is not there.", fix="Correct its path.")
        lines = [line for line in file.read_text(encoding="utf-8-sig").splitlines() if not line.startswith("#")]
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    except UnicodeDecodeError:
        raise ProjectError(f"{file}: not UTF-8 text.", fix="Save the table as UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise ProjectError(
            f"{file}: cannot be read ({type(error).__name__}).", fix="Name a table of critical errors."
        ) from None


def _row(row: Mapping[str, str], terminology: Terminology | None) -> Row:
    missing = [name for name in COLUMNS if row.get(name) is None]
    if missing:
        raise ValueError(f"no column {', '.join(missing)}")
    cells = {name: row[name].strip() for name in COLUMNS}
    try:
        kind = ErrorKind(cells["error"])
    except ValueError:
        raise ValueError(f"there is no error {cells['error']!r}") from None
    _check_what(kind, cells["what"], terminology)
    _check_than(kind, cells["than"])
    severity = _number(cells["severity"])
    if severity is None or not 0 < severity < float("inf"):
        raise ValueError("severity is no number above 0")
    people = tuple(dict.fromkeys(filter(None, (name.strip() for name in cells["agreed_by"].split(";")))))
    return Row(kind, cells["what"], cells["than"], severity, people, cells["why"])


def _check_what(kind: ErrorKind, what: str, terminology: Terminology | None) -> None:
    if not what:
        raise ValueError("what is empty")
    if what == ANY:
        if kind in (ErrorKind.MISSED, ErrorKind.CONFUSED):
            raise ValueError(f"{kind} needs a name, not {ANY}: everything would count")
        return
    if kind not in _OF_CONCEPTS and kind is not ErrorKind.CONFUSED:
        raise ValueError(f"{kind} is about everything: what must be {ANY}")
    if kind in _OF_CONCEPTS and terminology is not None and what not in terminology:
        raise ValueError(f"{what!r} is no concept of the terminology")


def _check_than(kind: ErrorKind, than: str) -> None:
    if kind is ErrorKind.CONFUSED and not than:
        raise ValueError(f"than is empty; name the wrong label, or {ANY}")
    bounds = _NUMBERED.get(kind)
    if bounds is not None:
        number = _number(than)
        if number is None or not bounds[0] < number <= bounds[1]:
            raise ValueError(f"than is no number from {bounds[0]:g} to {bounds[1]:g}")
    elif kind is not ErrorKind.CONFUSED and than:
        raise ValueError(f"{kind} takes nothing in the column than")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
