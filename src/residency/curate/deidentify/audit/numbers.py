"""Digits: a number that no clinical context explains.

In: a text whose replaced places are hidden. Out: finds.

Covers: electronic addresses, dates, long numbers, numbers in groups, codes of letters and digits, great ages. Does not
cover: scores and dates that look alike ("3/4"), numbers in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from residency.curate.deidentify.audit.found import HIDDEN, YEAR, Found, Method
from residency.curate.deidentify.labels import Identifier as Id

# Scores say how much speaks for a leak, 0 to 1; an order, no probabilities. Chosen by us on the development reports of
# bench/deidentify.py with a tenth of their identifiers left in, November 2026.
SHAPE = 0.9  # an electronic address, a full date
LONG_NUMBER = 0.8
CODE = 0.6  # letters and digits in the form of a code
SHORT_NUMBER = 0.4  # day and month alone, four digits that are no year, an age over 89

_WINDOW = 64  # characters; how far around an @ an address is looked for
# English, and the long forms of Spanish, French and German.
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|"
    "diciembre|janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre|januar|februar|"
    "märz|juni|juli|oktober|dezember"
)
FULL_DATE = re.compile(
    r"(?<!\d)(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}(?P<s>[-/.]) ?\d{1,2}(?P=s) ?(?:\d{4}|\d{2}))(?!\d)"
    rf"|(?<![^\W_])(?:\d{{1,2}}(?:st|nd|rd|th)?[\s./-]?(?:of |de )?(?:{_MONTHS})(?![^\W\d_])"
    rf"(?:[\s,.'\u2019/-]{{0,3}}(?:de )?\d{{2,4}})?"
    rf"|(?:{_MONTHS})[.,]?[\s'\u2019/-]{{1,2}}\d{{1,4}}(?:st|nd|rd|th)?(?:,? \d{{4}})?)(?![^\W_])",
    re.IGNORECASE,
)
MONTH = re.compile(
    r"(?<![^\W_])(?:January|February|April|June|July|August|September|October|November|December|"
    r"JANUARY|FEBRUARY|APRIL|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER)(?![^\W_])"
    r"|(?<=[a-z,] )(?:March|May)(?![^\W_])"
)
_DAY_MONTH = re.compile(r"(?<![\w./+-])(\d{1,2})/(\d{1,2})(?![\w/]|[.]\d)")
_SCALES = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 20, 24, 25, 28, 30))  # what n is told out of, in n/m
_WEB = re.compile(r"[a-z]{2,8}://|(?<!\w)www\.", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_UNIT = (
    r"(?:%|‰|°|x ?10|/ ?(?:[mdµu]?l\b|mm|hpf)|"
    r"[µumnkc]?g(?:\b|/)|kg|lbs?|oz|[mcdµu]?l\b|m?[lL]/|mm|cm|mmol|mol|[mkµ]?u\b|iu|units?|copies|cells|"
    r"bpm|/min|hz|khz|ms(?:ec)?\b|m/s|[mµ]v\b|kcal|cal\b|hrs?|hours?|h\b|mins?\b|minutes?|secs?\b|seconds?|days?|weeks?|"
    r"months?|years?|yrs?|y/o|bp\b|kb\b|mb\b|base|reads|kpa|pg|ng|fl\b|mosm)"
)
_UNIT_AFTER = re.compile(rf"[ -]?{_UNIT}", re.IGNORECASE)
_KNOWLEDGE_BEFORE = re.compile(
    r"(?:HP|OMIM|MIM|MONDO|ORPHA(?:NET)?|ICD(?:-1[01])?(?:-CM)?|SNOMED(?: ?CT)?|LOINC|UMLS|PMID|DOI|NCT|ISRCTN|"
    r"N[MPCGR]_|ENS[GTP]|rs|[cgpmn]\.[\w*+()-]*|chr[\dxym]{1,2}|GRCh|hg)[:#_ .*-]{0,3}$",
    re.IGNORECASE,
)
_VARIANT = re.compile(r"[cgpmn]\.[\w*>+()=-]*|(?:chr)?[\dxy]{1,2}[pq]\d[\d.]*", re.IGNORECASE)
_GENE_OR_GRADE = re.compile(r"[A-Z]{1,7}\d{1,3}[A-Z]{0,2}|[A-Z]\d{1,2}-[A-Z]?\d{1,2}|\d{1,2}[A-Z]{1,3}\d?")
_NUMBER_GROUP = re.compile(r"(?<![\w.])[+(]{0,2}\d{2,5}(?:[ ()-]{1,3}\d{2,5}){1,5}(?![\w]|[.]\d)")
_DOTTED = re.compile(r"(?<![\w.])\d{1,5}(?:\.\d{1,5}){2,4}(?![\w]|\.\d)")
_MIXED = re.compile(r"(?<![\w/.-])(?=[A-Z/-]*\d)(?=[\d/-]*[A-Z])[A-Z\d]+(?:[-/][A-Z\d]+)*(?![\w.]\w)")
_PLATE_OR_POSTCODE = re.compile(
    r"(?<!\w)(?:[A-Z]{2}\d{2} [A-Z]{3}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})(?!\w)", re.IGNORECASE
)
_ELDERLY = re.compile(
    r"(?<![\w./-])(?:9\d|1[01]\d)(?=[ -]?(?:years?|yrs?|y/?o)\b)|\bninety\b"
    r"|(?<=[a-z] )(?:9\d|1[01]\d)(?=(?:[.,;]?$|[.,;]?\s))(?![.,;]?\s*(?:%|to\b|-|x\b|degrees|centile|beats))",
    re.IGNORECASE | re.MULTILINE,
)
# Before a number from 90 to 119 they make it a measurement.
_MEASURED = re.compile(
    r"\b(?:hr|rr|bp|pulse|rate|sats?|spo|o2|weight|wt|height|ht|ofc|hc|score|iq|dose|room|bed|ward|case|page|level|glucose|"
    r"sodium|chloride|platelets|alp|alt|ast|ck|hb|day|no|number|about|over|under|above|below|map|mcv|egfr)\W*(?:is|of|was|at)?\W*$",
    re.IGNORECASE,
)
_YEARS_AFTER = re.compile(r"[ -]?(?:years?|yrs?|y/?o)\b", re.IGNORECASE)
_CUE = 20  # characters before a number in which its explanation is looked for
_LONGEST_PLAIN = 4  # digits in a row that may be a value; more need an explanation
_FEWEST_IN_GROUPS = 7  # digits of a number in groups, like a phone's
_GROUPS_OF_IP = 4
_FEWEST_IN_CODE = 3  # digits of a code with letters


def unexplained_numbers(text: str) -> Iterator[Found]:
    yield from _addresses(text)
    yield from _dates(text)
    yield from _numbers(text)
    yield from _codes(text)
    for match in _ELDERLY.finditer(text):
        measured = _MEASURED.search(text, max(0, match.start() - _CUE), match.start()) or _UNIT_AFTER.match(
            text, match.end()
        )
        if not measured or match.group().isalpha() or _YEARS_AFTER.match(text, match.end()):
            yield _digits(match.start(), match.end(), Id.AGE_OVER_89, SHORT_NUMBER)


def _digits(start: int, end: int, label: Id, score: float) -> Found:
    return Found(start, end, label, Method.DIGITS, score)


def _addresses(text: str) -> Iterator[Found]:
    at = text.find("@")
    while at >= 0:
        start, end = _token_around(text, at)
        if text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum():
            yield _digits(start, end, Id.EMAIL, SHAPE)
        at = text.find("@", max(end, at + 1))
    for match in _WEB.finditer(text):
        yield _digits(match.start(), _token_around(text, match.end() - 1)[1], Id.URL, SHAPE)


def _token_around(text: str, at: int) -> tuple[int, int]:
    start = end = at
    while start > max(0, at - _WINDOW) and not (text[start - 1].isspace() or text[start - 1] == HIDDEN):
        start -= 1
    while end < min(len(text), at + _WINDOW) and not (text[end].isspace() or text[end] == HIDDEN):
        end += 1
    while end > at + 1 and text[end - 1] in ".,;:!?)":
        end -= 1
    return start, end


def _dates(text: str) -> Iterator[Found]:
    for match in FULL_DATE.finditer(text):
        yield _digits(match.start(), match.end(), Id.DATE, SHAPE)
    for match in MONTH.finditer(text):
        yield _digits(match.start(), match.end(), Id.DATE, SHORT_NUMBER)
    for match in _DAY_MONTH.finditer(text):
        first, second = int(match.group(1)), int(match.group(2))
        # A score's first number is never the larger one, and few numbers are the highest of a scale; a blood pressure
        # has no number below 13.
        if (second < first <= 31 and 1 <= second <= 12) or (first <= 12 and second <= 31 and second not in _SCALES):
            yield _digits(match.start(), match.end(), Id.DATE, SHORT_NUMBER)


def _numbers(text: str) -> Iterator[Found]:
    """Digits in a row, and in groups."""
    for match in _DIGITS.finditer(text):
        digits = match.group()
        if len(digits) < _LONGEST_PLAIN or YEAR.fullmatch(digits) or _is_explained(text, match.start(), match.end()):
            continue
        if len(digits) > _LONGEST_PLAIN:
            yield _digits(match.start(), match.end(), Id.OTHER_ID, LONG_NUMBER)
        elif text[match.start() - 1 : match.start()] not in (".", ","):
            yield _digits(match.start(), match.end(), Id.OTHER_ID, SHORT_NUMBER)
    for match in _NUMBER_GROUP.finditer(text):
        groups = _DIGITS.findall(match.group())
        if sum(map(len, groups)) >= _FEWEST_IN_GROUPS and not all(map(YEAR.fullmatch, groups)):
            yield _digits(match.start(), match.end(), Id.PHONE, LONG_NUMBER)
    for match in _DOTTED.finditer(text):
        groups = _DIGITS.findall(match.group())
        if len(groups) == _GROUPS_OF_IP or sum(map(len, groups)) >= _FEWEST_IN_GROUPS:
            label = Id.IP if len(groups) == _GROUPS_OF_IP else Id.PHONE
            yield _digits(match.start(), match.end(), label, LONG_NUMBER)


def _is_explained(text: str, start: int, end: int) -> bool:
    return bool(_UNIT_AFTER.match(text, end) or _KNOWLEDGE_BEFORE.search(text, max(0, start - _CUE), start))


def _codes(text: str) -> Iterator[Found]:
    for match in _PLATE_OR_POSTCODE.finditer(text):
        yield _digits(match.start(), match.end(), Id.OTHER_ID, CODE)
    for match in _MIXED.finditer(text):
        code = match.group()
        if (
            sum(map(str.isdigit, code)) >= _FEWEST_IN_CODE
            and not _GENE_OR_GRADE.fullmatch(code)
            and not _VARIANT.fullmatch(code)
            and not _is_explained(text, match.start(), match.end())
        ):
            yield _digits(match.start(), match.end(), Id.OTHER_ID, CODE)
