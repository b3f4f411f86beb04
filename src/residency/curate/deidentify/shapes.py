"""Numbers and codes that no label explains, by their shape and their checksum.

In: a reading copy. Out: spans.

Covers: numbers whose check digits are right (checksums.py), shapes that only one kind of number has (a masked
social-security number, a camera's file name, a device identity with its application identifiers, a plate), and
long numbers that nothing explains, because an unexplained long number in a report is nearly always somebody's.
Does not cover: numbers spelled in words, codes of fewer than five characters.

Numbers of knowledge (a variant's accession, an ontology term, a registered trial, a paper) are public and stay.
"""

from __future__ import annotations

import re

from residency.curate.deidentify import checksums
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.patterns import digits, matches, shaped
from residency.records import Span

_ALONE = r"(?<![\w.,:/_^*+-])"
_ENDS = r"(?![\w-]|[./]\d)"
# A right checksum is certain enough to be followed; a label's say about the same number goes before it.
_CHECKED = 0.85


def _payment_card(value: str) -> bool:
    return 13 <= digits(value) <= 19 and checksums.luhn(value)


def _imei(value: str) -> bool:
    return digits(value) == 15 and checksums.luhn(value)


_CHECKSUMMED = tuple(
    shaped(label, rf"{_ALONE}{value}{_ENDS}", score, case=True, accepts=check, name="checksum")
    for label, value, score, check in (
        (Id.HEALTH_PLAN_ID, r"\d{3} ?\d{3} ?\d{4}", _CHECKED, checksums.nhs),
        (Id.LICENSE, r"[12]\d{9}", _CHECKED, checksums.npi),
        (Id.LICENSE, r"[A-Z][A-Z9]\d{7}", _CHECKED, checksums.dea),
        (Id.VEHICLE_ID, r"[A-HJ-NPR-Z0-9]{17}", _CHECKED, checksums.vin),
        (Id.ACCOUNT, r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?", 0.97, checksums.iban),
        (
            Id.ACCOUNT,
            r"[2-6]\d{3}[ -]?(?:\d{4}[ -]?){2}\d{4}(?:\d{3})?|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}",
            0.86,
            _payment_card,
        ),
        (Id.DEVICE_ID, r"\d{15}|\d{2}[- ]\d{6}[- ]\d{6}[- ]\d", 0.86, _imei),
        (Id.OTHER_ID, r"(?:[XYZ]-?\d{7}|\d{8})-?[A-Z]", _CHECKED, checksums.dni),
        (Id.SSN, r"[1-478] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", 0.96, checksums.nir),
        (Id.HEALTH_PLAN_ID, r"[A-Z]\d{9}", _CHECKED, checksums.kvnr),
    )
)
_SHAPES = (
    shaped(Id.SSN, r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}|[x*]{3}-[x*]{2}-\d{4})(?![\w-])", 0.9),
    shaped(
        Id.PHOTO_ID,
        r"(?<![\w/.-])(?:IMG|DSC|DSCN|DCIM|PHOTO|PIC|VID|face|scan)[_-]?\d{3,8}(?:[_-]\w{1,10})?\.\w{3,4}\b",
        0.95,
    ),
    shaped(Id.DEVICE_ID, r"(?<!\w)(?:S/N ?|SN|LOT ?)\d{5,12}(?!\w)", 0.9),
    shaped(Id.DEVICE_ID, r"\(01\)\d{14}(?:\(\d{2,3}\)[A-Z0-9/.-]{1,20})*", 0.96),
    shaped(Id.DEVICE_ID, r"(?<![\w:-])[\da-f]{2}([:-])[\da-f]{2}(?:\2[\da-f]{2}){4}(?![\w:-])", 0.96),
    shaped(Id.OTHER_ID, r"(?<![\w-])[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}(?![\w-])", 0.95),
    shaped(Id.OTHER_ID, r"(?<![\w/-])[A-Z]{1,4}-?\d{1,2}[-/]\d{4,6}(?![\w/-])", 0.85),
    shaped(
        Id.OTHER_ID,
        r"(?<![\w-])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![\w-])",
        0.85,
        case=True,
    ),
    shaped(
        Id.HEALTH_PLAN_ID,  # Medicare beneficiary: digits, letters and both in fixed places
        r"(?<![\w-])[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d-?"
        r"[AC-HJKMNP-RT-Y]{2}\d{2}(?![\w-])",
        0.9,
        case=True,
    ),
    shaped(
        Id.VEHICLE_ID,
        r"(?<![\w-])(?:[A-Z]{2}\d{2} ?[A-Z]{3}|(?!DOB|ENC|MRN|SEX|REF|DEC|JAN|FEB|MAR|APR|"
        r"JUN|JUL|AUG|SEP|OCT|NOV)[A-Z]{3}[- ]\d{4})(?![\w-]|[/.]\d)",
        0.7,
        case=True,
    ),
    shaped(Id.LICENSE, r"(?<![\w-])[ABFGM][A-Z]\d{7}(?![\w-])", 0.7, case=True),
)
# Long numbers, in the shapes record systems give them.
_UNEXPLAINED = re.compile(
    rf"{_ALONE}(?P<v>"
    r"\d{2}(?:-\d{2}){3}"
    r"|\d{3} \d{3} \d{2,4}"
    r"|\d{3}-\d{3,4}(?:-\d{3,4}[A-Z]?)?"
    r"|\d[A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d{2}"  # Medicare beneficiary identifier
    r"|[A-Z]\d{4}-\d{3}"  # Medicare contract and plan
    r"|\d{4}-\d{6}"
    r"|(?:[A-Z]{1,4}-?)?\d{6,12}(?:-[A-Z0-9]{1,4})?"
    r"|\d{5,6}-[A-Z]"
    r"|[A-Z]{2,5}-\d{5,8}"
    r")(?![\w-]|[./]\d|\s?(?:%|mg|ml|mcg|µg|kg|bpm|mmhg|u/l|iu|units?|copies|cells|x\s?10))",
    re.IGNORECASE,
)
_NUMBERED_KNOWLEDGE = re.compile(
    r"(?:HP|MONDO|OMIM|MIM|ORPHA|ICD(?:-1[01])?|SNOMED(?: CT)?|LOINC|PMID|PMC|DOI|NCT|ISRCTN|EUDRACT|RS|NM|NP|NC|"
    r"XM|XP|ENS[GTP]|LRG|CHR\w*|CLINVAR|COSM|RCV|VCV)[:#_ ]*$",
    re.IGNORECASE,
)
_KNOWLEDGE_INSIDE = re.compile(r"rs\d{5,}|NCT\d{8}|ISRCTN\d|PMC\d|ENS[GTP]\d|COSM\d|[NX][MPRC]_\d")
_COUNT = re.compile(r"[1-9]\d?0{4,}")  # a round number counts something


_RANGE = re.compile(r"(?P<low>\d{2,4})-(?P<high>\d{2,4})")
_BEFORE_RANGE = re.compile(
    r"(?:\d[HL*]?[ \t]*[\[(]|\b(?:range|ref(?:erence)?\.?(?: range| interval)?|normal|limits?)[ :]*[\[(]?)$",
    re.IGNORECASE,
)
_AFTER_RANGE = re.compile(
    r"[ \t]*(?:[pnµumk]?(?:g|mol)/|m?mol\b|mm\b|m?eq/|[mkµ]?i?u/|x ?10|/[µu]l|cells|fl\b|seconds|bpm|%)", re.IGNORECASE
)


def find_shapes(text: str) -> list[Span]:
    """Every number or code that is telling by itself; they may overlap."""
    return matches(text, _CHECKSUMMED) + matches(text, _SHAPES) + _unexplained_numbers(text)


def _unexplained_numbers(text: str) -> list[Span]:
    return [
        Span(start=m.start("v"), end=m.end("v"), label=Id.MRN, score=0.6, found_by="shape:unexplained_number")
        for m in _UNEXPLAINED.finditer(text)
        if not _NUMBERED_KNOWLEDGE.search(text, max(0, m.start() - 12), m.start())
        and not _KNOWLEDGE_INSIDE.match(m.group("v"))
        and not _COUNT.fullmatch(m.group("v"))
        and not _reference_range(text, m.start("v"), m.end("v"))
    ]


def _reference_range(text: str, start: int, end: int) -> bool:
    """Two rising numbers where a laboratory prints its normal range: in brackets after a value, after a word for it,
    or before a unit."""
    numbers = _RANGE.fullmatch(text, start, end)
    if numbers is None or not int(numbers.group("low")) < int(numbers.group("high")):
        return False
    return bool(_BEFORE_RANGE.search(text, max(0, start - 24), start) or _AFTER_RANGE.match(text, end))
