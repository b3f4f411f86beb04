"""k-anonymity: how many patients share each combination of facts that are no identifiers but narrow down who it is.

In: de-identified documents; the columns of the label file that narrow down, such as a rare diagnosis. Out: an
``Anonymity``: the combinations that fewer than k patients share, who they are (pseudonyms), and what to give up first.

    k-anonymity   every combination of quasi-identifiers that occurs is shared by at least k records (L. Sweeney,
                  k-anonymity: a model for protecting privacy, 2002). Here a record is a patient, not a document.

The quasi-identifiers of a text: the age in bands of ten years, the sex, the state or country, the year of the latest
date. A value that is not told is the value "unknown", as good as any other: patients of whom nothing is known share a
cell. That is the reading of somebody who has only the texts; whoever knows the missing value can tell them apart, so
the true cells may be smaller.

Covers: English texts; states of the United States, and the countries and regions below. Does not cover: other facts
that narrow down (a rare event, an occupation, an ethnic group, a family's story); whether the members of a large cell
all share a diagnosis (l-diversity); places and ages that are told in words. The rules read what stands there: they may
take a relative's age for the patient's where no other is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from residency.curate.deidentify.dates import find_dates, prefers_day_first, read_date
from residency.curate.deidentify.labels import Identifier as Id
from residency.records import Document

UNKNOWN = "unknown"
AGE, SEX, STATE, YEAR = "age", "sex", "state", "year"  # what is read from texts
_BAND = 10  # years of an age band; chosen by us: the width that published tables of rare diseases use
_OLDEST = 90  # years and more are one band; 45 CFR 164.514(b)(2)(i)(C)

STATES: Mapping[str, str] = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA", "Colorado": "CO",
    "Connecticut": "CT", "Delaware": "DE", "District of Columbia": "DC", "Florida": "FL", "Georgia": "GA",
    "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL", "Indiana": "IN", "Iowa": "IA", "Kansas": "KS", "Kentucky": "KY",
    "Louisiana": "LA", "Maine": "ME", "Maryland": "MD", "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN",
    "Mississippi": "MS", "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH",
    "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY", "North Carolina": "NC", "North Dakota": "ND",
    "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA", "Puerto Rico": "PR", "Rhode Island": "RI",
    "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN", "Texas": "TX", "Utah": "UT", "Vermont": "VT",
    "Virginia": "VA", "Washington": "WA", "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
}  # fmt: skip
REGIONS = (
    "United States", "United Kingdom", "England", "Scotland", "Wales", "Northern Ireland", "Ireland", "Canada",
    "Ontario", "Quebec", "British Columbia", "Alberta", "Australia", "New South Wales", "Queensland", "New Zealand",
    "Germany", "Austria", "Switzerland", "France", "Belgium", "Netherlands", "Luxembourg", "Spain", "Portugal", "Italy",
    "Denmark", "Norway", "Sweden", "Finland", "Iceland", "Poland", "Czech Republic", "Hungary", "Romania", "Bulgaria",
    "Greece", "Turkey", "Russia", "Ukraine", "Israel", "Lebanon", "Saudi Arabia", "Iran", "Iraq", "Egypt", "Morocco",
    "Algeria", "Tunisia", "Nigeria", "Kenya", "South Africa", "Pakistan", "Bangladesh", "Sri Lanka", "Vietnam",
    "Thailand", "Philippines", "Indonesia", "Malaysia", "Singapore", "South Korea", "Japan", "Taiwan", "Mexico",
    "Brazil", "Argentina", "Colombia", "Peru", "Cuba",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One combination of values and the patients who share it."""

    values: Mapping[str, str]
    patients: int
    pseudonyms: tuple[str, ...]  # sorted


@dataclass(frozen=True, kw_only=True, slots=True)
class Without:
    """What would be left if one quasi-identifier were given up."""

    quasi_identifier: str
    smallest: int  # patients
    patients_below: int
    share_below: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Anonymity:
    """How far a set of documents is from k-anonymity."""

    k: int  # patients asked for in each cell
    quasi_identifiers: tuple[str, ...]
    patients: int
    cells: int
    smallest: int  # patients in the smallest cell; 0 without patients
    below: tuple[Cell, ...]  # cells with fewer than k patients, the smallest first
    patients_below: int
    share_below: float  # of all patients
    unknown: Mapping[str, int]  # patients of whom a quasi-identifier is not known
    without: tuple[Without, ...]  # one for each quasi-identifier, what helps most first

    @property
    def reached(self) -> bool:
        """Whether every cell has at least k patients."""
        return not self.below

    @property
    def drop_first(self) -> str | None:
        """The quasi-identifier whose loss helps most; None where k is reached or no single one helps."""
        if self.reached or not self.without or self.without[0].patients_below == self.patients_below:
            return None
        return self.without[0].quasi_identifier

    def plain(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {**asdict(self), "reached": self.reached, "drop_first": self.drop_first}


def small_cells(documents: Iterable[Document], *, columns: Sequence[str], k: int) -> Anonymity:
    """The combinations of quasi-identifiers that fewer than ``k`` patients share.

    A document without a patient counts as a patient of its own. ValueError for a ``k`` below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it is a number of patients, 1 or more")
    names = _names(columns)
    patients = _by_patient(documents, columns)
    cells = _cells(patients, names)
    below = [cell for cell in cells if cell.patients < k]
    in_small = sum(cell.patients for cell in below)
    return Anonymity(
        k=k,
        quasi_identifiers=names,
        patients=len(patients),
        cells=len(cells),
        smallest=min((cell.patients for cell in cells), default=0),
        below=tuple(below),
        patients_below=in_small,
        share_below=_share(in_small, len(patients)),
        unknown={name: sum(values[name] == UNKNOWN for values in patients.values()) for name in names},
        without=_without(patients, names, k),
    )


def quasi_identifiers(document: Document, *, columns: Sequence[str]) -> dict[str, str]:
    """What one de-identified document tells; ``UNKNOWN`` where it tells nothing.

    Places inside replaced names, organizations and places are surrogates and tell nothing; replaced dates do tell the
    year that a reader sees.
    """
    text = _without_surrogates(document)
    told = {AGE: _age(document.text), SEX: _sex(text), STATE: _state(text), YEAR: _year(document)}
    return {**told, **{column: document.answers.get(column, "").strip() or UNKNOWN for column in columns}}


# --- patients and cells


def _names(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((AGE, SEX, STATE, YEAR, *columns)))


def _by_patient(documents: Iterable[Document], columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """One value of each quasi-identifier for each patient."""
    told: dict[str, list[dict[str, str]]] = {}
    for document in documents:
        told.setdefault(document.patient or document.id, []).append(quasi_identifiers(document, columns=columns))
    return {
        patient: {name: _one_value(name, [values[name] for values in its]) for name in _names(columns)}
        for patient, its in sorted(told.items())
    }


def _one_value(name: str, values: Sequence[str]) -> str:
    """The latest year; of anything else the known value that most documents tell, of equals the first in the alphabet.

    So the order of documents does not matter.
    """
    counts = Counter(value for value in values if value != UNKNOWN)
    if not counts:
        return UNKNOWN
    if name == YEAR:
        return max(counts)
    return min(counts, key=lambda value: (-counts[value], value))


def _cells(patients: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> list[Cell]:
    """All cells, the smallest first."""
    members: dict[tuple[str, ...], list[str]] = {}
    for patient, values in patients.items():
        members.setdefault(tuple(values[name] for name in names), []).append(patient)
    return [
        Cell(values=dict(zip(names, values, strict=True)), patients=len(its), pseudonyms=tuple(sorted(its)))
        for values, its in sorted(members.items(), key=lambda member: (len(member[1]), member[0]))
    ]


def _without(patients: Mapping[str, Mapping[str, str]], names: Sequence[str], k: int) -> tuple[Without, ...]:
    left = []
    for name in names:
        cells = _cells(patients, [other for other in names if other != name])
        below = sum(cell.patients for cell in cells if cell.patients < k)
        smallest = min((cell.patients for cell in cells), default=0)
        share = _share(below, len(patients))
        left.append(Without(quasi_identifier=name, smallest=smallest, patients_below=below, share_below=share))
    return tuple(sorted(left, key=lambda one: (one.patients_below, -one.smallest, one.quasi_identifier)))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


# --- what a text tells

_UNITS = r"(?P<unit>years?|yrs?|y|months?|mo?|weeks?|wks?|w|days?|d)"
_AGE_OLD = re.compile(rf"(?<![\w./])(?P<n>\d{{1,3}})(?P<plus>\+)?[ -]?{_UNITS}[ -]?(?:[ /-]?old|/?o)\b", re.IGNORECASE)
_AGE_FIELD = re.compile(rf"\bage[d]?[: ]+(?P<n>\d{{1,3}})(?P<plus>\+)?(?:[ -]?{_UNITS}\b)?", re.IGNORECASE)
# An onset or a relative's age stands behind such words; the nearest ones before the number decide.
_NOT_PATIENTS_AGE = re.compile(
    r"\b(?:at|by|until|from|since|mother|father|brother|sister|sibling|aunt|uncle|cousin|grand\w+|son|daughter|parents?)"
    r"\b[^.;\n]{0,25}$",
    re.IGNORECASE,
)
_NEWBORN = re.compile(r"\b(?:newborn|neonate|neonatal unit|infant (?:boy|girl))\b", re.IGNORECASE)
_BORN = re.compile(r"\b(?:dob|d\.o\.b\.?|date of birth|born(?: on)?)[: ]*$", re.IGNORECASE)
_CUE = 40  # characters before a number in which words about it are looked for
_FEMALE = r"girl|woman|female|lady|femal"
_MALE = r"boy|man|male|gentleman"
_SEX_FIELD = re.compile(
    r"\b(?:sex|gender)\W{0,3}(?P<f>f(?:emale)?\b)|\b(?:sex|gender)\W{0,3}(?P<m>m(?:ale)?\b)", re.IGNORECASE
)
_SEX_WORD = re.compile(rf"\b(?:(?P<f>{_FEMALE})|(?P<m>{_MALE}))\b", re.IGNORECASE)
_NAMED = re.compile(
    r"(?<!\w)(?P<v>" + "|".join(sorted((*STATES, *REGIONS), key=len, reverse=True)).replace(" ", r"\s+") + r")(?!\w)",
    re.IGNORECASE,
)
_CODES = "|".join(STATES.values())
_HIDDEN = "\ufffc"
# A state's two letters after a town or comma and before a postal code, a line's end or the next field.
_POSTAL = re.compile(rf"(?:,|{_HIDDEN})\s+(?P<v>{_CODES})(?=\s*(?:{_HIDDEN}|\d{{5}}|\[|$|[.,;|\n]))", re.MULTILINE)
_NAME_OF = {code: name for name, code in STATES.items()}
_CASED = {name.casefold(): name for name in (*STATES, *REGIONS)}


def _without_surrogates(document: Document) -> str:
    """The text with replaced names, organizations and places made unreadable; same length."""
    text = list(document.text)
    for span in document.spans:
        if span.label in (Id.NAME, Id.ORGANIZATION, Id.LOCATION):
            text[span.start : span.end] = _HIDDEN * (span.end - span.start)
    return "".join(text)


def _age(text: str) -> str:
    """The band of the first age that is told as the patient's; else what birth and the latest date say."""
    for pattern in (_AGE_OLD, _AGE_FIELD):
        for match in pattern.finditer(text):
            before = text[max(0, match.start() - _CUE) : match.start()]
            if not _NOT_PATIENTS_AGE.search(before):
                return _band(_years(int(match.group("n")), (match.group("unit") or "y").casefold()))
    if _NEWBORN.search(text):
        return _band(0)
    return _age_from_birth(text)


def _years(number: int, unit: str) -> int:
    if unit.startswith("y"):
        return number
    return number // (12 if unit.startswith("m") else 52 if unit.startswith("w") else 365)


def _band(years: int) -> str:
    if years < 1:
        return "under 1"
    if years >= _OLDEST:
        return f"{_OLDEST}+"
    low = years // _BAND * _BAND
    return f"{max(low, 1)}-{low + _BAND - 1}"


def _age_from_birth(text: str) -> str:
    dates = _dates(text)
    latest = max((date for _, date in dates), default=None)
    for start, born in dates:
        if latest is not None and _BORN.search(text[max(0, start - _CUE) : start]):
            years = latest[0] - born[0] - (latest[1:] < born[1:])
            return _band(years)
    return UNKNOWN


def _dates(text: str) -> list[tuple[int, tuple[int, int, int]]]:
    """Where dates with a year stand, and what they say; a missing day counts as the first."""
    spans = find_dates(text)
    pieces = [text[span.start : span.end] for span in spans]
    day_first = bool(prefers_day_first(pieces))
    read = ((span.start, read_date(piece, day_first=day_first)) for span, piece in zip(spans, pieces, strict=True))
    return [(start, (date.year, date.month, date.day or 1)) for start, date in read if date and date.year]


def _sex(text: str) -> str:
    """The field of a form, else the first word that says it."""
    match = _SEX_FIELD.search(text) or _SEX_WORD.search(text)
    if match is None:
        return UNKNOWN
    return "female" if match.group("f") else "male"


def _state(text: str) -> str:
    """The state that is told most often, else the country or region; of equals the first in the text."""
    named = [_CASED[" ".join(m.group("v").casefold().split())] for m in _NAMED.finditer(text)]
    postal = [_NAME_OF[m.group("v")] for m in _POSTAL.finditer(text)]
    states = Counter(postal + [name for name in named if name in STATES])
    regions = Counter(name for name in named if name not in STATES)
    for told in (states, regions):
        if told:
            return told.most_common(1)[0][0]
    return UNKNOWN


def _year(document: Document) -> str:
    """The year of the latest date; a replaced date may be a bare year."""
    years = [date[0] for _, date in _dates(document.text)]
    replaced = (document.text[span.start : span.end] for span in document.spans if span.label == Id.DATE)
    years += [int(text) for text in replaced if re.fullmatch(r"(?:19|20)\d\d", text)]
    return str(max(years)) if years else UNKNOWN
