"""Tables: values whose label stands at the head of their column.

In: a reading copy. Out: spans of the cells below the heads that announce an identifier.

Covers: columns split by bars, semicolons or commas (with quoted cells), a line of dashes under the head. Does not
cover: columns held apart by blanks alone; dates, which are found wherever they stand (dates.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from residency.curate.deidentify.labels import Identifier as Id
from residency.records import Span

_HEADS = tuple(
    (label, re.compile(pattern, re.IGNORECASE))
    for label, pattern in (
        (
            Id.NAME,
            r"(?:(?:patient|full|first|last|middle|given|family|maiden|client|member|provider|contact)[ _]?)?name|"
            r"patient|pt|surname|forename|client|provider|physician|doctor|clinician|consultant|nurse|attending|"
            r"next of kin|nok|mother|father|guardian|carer|teacher|seen by|signed by|nombre|paciente|nom|vorname|"
            r"nachname|apellidos?",
        ),
        (
            Id.MRN,
            r"mrn|(?:medical|hospital|patient|chart|record|unit)[ _](?:record[ _])?(?:no\.?|num(?:ber)?|id|#)|id|pid|"
            r"urn",
        ),
        (Id.SSN, r"ssn|social security(?: (?:no\.?|number))?"),
        (Id.HEALTH_PLAN_ID, r"(?:policy|member|subscriber|group|insurance|plan|nhs|medicare)[ _]?(?:no\.?|number|id|"
                            r"#)?"),
        (Id.ACCOUNT, r"acc(?:oun)?t\.?[ _]?(?:no\.?|number|id|#)?"),
        (Id.OTHER_ID, r"(?:accession|specimen|order|encounter|visit|csn|sample|case)[ _]?(?:no\.?|number|id|#)?"),
        (Id.PHONE, r"(?:tele)?phone(?:[ _](?:no\.?|number))?|tel\.?|mobile|cell|pager|contact number"),
        (Id.FAX, r"fax"),
        (Id.EMAIL, r"e-?mail(?:[ _]address)?"),
        (Id.LOCATION, r"(?:home[ _])?address|street|city|town|zip(?:[ _]?code)?|post(?:al)?[ _]?code"),
    )
)  # fmt: skip
_PLAIN_HEAD = re.compile(
    r"dob|d\.o\.b\.?|(?:birth|visit|admission)?[ _]?date(?: of birth)?|sex|gender|age|diagnosis|dx|ward|bed|room|"
    r"reason|"
    r"time|status|role|relationship|relation|notes?|comments?|result|test|medication|dose",
    re.IGNORECASE,
)
_RULE_LINE = re.compile(r"[-+:|= ]+")
_LONGEST_HEAD = 32
_MOST_NAME_WORDS = 6

Cell = tuple[int, int]


def find_cells(text: str) -> list[Span]:
    """The cells below heads that announce identifiers."""
    spans: list[Span] = []
    heads: list[Id | None] = []
    separator = ""
    position = 0
    for line in text.split("\n"):
        if heads and len(cells := _cells(line, separator)) == len(heads):
            spans += _row(text, position, cells, heads)
        elif not (heads and _RULE_LINE.fullmatch(line)):
            separator, heads = _head(line)
        position += len(line) + 1
    return spans


def _head(line: str) -> tuple[str, list[Id | None]]:
    """The separator and the class of each column of a head; nothing where ``line`` is none."""
    for separator in "|;,":
        if separator not in line:
            continue
        cells = [line[start:end] for start, end in _cells(line, separator)]
        labels = [_label(cell) for cell in cells]
        known = sum(bool(label) or bool(_PLAIN_HEAD.fullmatch(cell)) for label, cell in zip(labels, cells, strict=True))
        if any(labels) and known >= 2 and known * 2 >= len(cells) and max(map(len, cells)) <= _LONGEST_HEAD:
            return separator, labels
    return "", []


def _label(cell: str) -> Id | None:
    return next((label for label, pattern in _HEADS if pattern.fullmatch(cell)), None)


def _cells(line: str, separator: str) -> list[Cell]:
    """Where each cell's text stands in ``line``, less blanks and quotes; bars at the ends of a line are frames."""
    cells = list(_split(line, separator))
    if separator == "|":
        cells = cells[1:] if cells and not line[slice(*cells[0])].strip() else cells
        cells = cells[:-1] if cells and not line[slice(*cells[-1])].strip() else cells
    return [_stripped(line, start, end) for start, end in cells]


def _split(line: str, separator: str) -> Iterator[Cell]:
    start, quoted = 0, False
    for place, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            yield start, place
            start = place + 1
    yield start, len(line)


def _stripped(line: str, start: int, end: int) -> Cell:
    while start < end and line[start] in " \"'*":
        start += 1
    while end > start and line[end - 1] in " \"'*":
        end -= 1
    return start, end


def _row(text: str, offset: int, cells: list[Cell], heads: list[Id | None]) -> list[Span]:
    return [
        Span(start=offset + start, end=offset + end, label=label, score=0.9, found_by=f"table:{label.lower()}")
        for (start, end), label in zip(cells, heads, strict=True)
        if label and _fits(text[offset + start : offset + end], label)
    ]


def _fits(value: str, label: Id) -> bool:
    if label == Id.NAME:
        return any(map(str.isalpha, value)) and len(value) > 1 and len(value.split()) <= _MOST_NAME_WORDS
    if label == Id.LOCATION:
        return any(map(str.isalnum, value))
    return "@" in value if label == Id.EMAIL else any(map(str.isdigit, value))
