"""Numbers and codes: fields with a label in front, and shapes that speak for themselves.

In: a reading copy. Out: spans of record, plan, account, licence, vehicle, device, social-security, biometric,
photo and other numbers; phones, e-mail, web and network addresses; ages over 89.

Covers: a label followed by its value (the surest sign there is), misspelled by one or two letters; values
whose shape is enough (e-mail, IPv4, UK and US plates); long numbers that nothing explains, because an
unexplained long number in a report is nearly always somebody's. Does not cover: numbers spelled in words
(except ages), identifiers of fewer than four characters without a label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from residency.curate.deidentify.labels import Identifier as Id
from residency.records import Span

# A code: letters, digits, masks; at least one digit (or a mask) and four characters, perhaps in groups.
_CODE = r"(?=[\w*/-]*[\d*])(?=[\w*/ -]{4})(?:\d{2,5}(?: \d{2,5}){1,3}(?![\w-])|[A-Z0-9*]+(?:[-/.][A-Z0-9*]+)*)"
_NUMBER = r"\d[\d -]{2,14}\d"
_PLATE = (
    r"[A-Z]{1,3}[- ]?\d{1,4}[- ]?[A-Z]{0,3}(?!\w|[./-]\d)|\d{1,4}[- ]?[A-Z]{1,3}(?!\w)|[A-Z]{2}\d{2} ?[A-Z]{3}(?!\w)"
)
# Loosely; what it matches is judged by its number of digits.
_PHONE = r"(?:\+|00)?\d{0,3}[ .-]{0,2}(?:\(\d{2,5}\)|\d{2,5})(?:[ .-]{0,2}\d{2,5}){1,4}"
_SERIAL = r"(?:S/N|SN|LOT)?[ :#]*(?=[\w-]*\d)[A-Z0-9][A-Z0-9-]{4,17}"
_NO = r"(?:\s*(?:#|(?:no|nos|nr|num|number|id|n[°º])(?![a-z0-9])))?\.?"
_SEPARATOR = r"(?:\s*(?:is|was|of|:|=|-))?[\s:=-]{0,3}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern; the span is group ``v``."""

    label: Id
    name: str
    pattern: re.Pattern[str]
    score: float


def _keyed(label: Id, cue: str, value: str, score: float = 0.95) -> Rule:
    pattern = re.compile(rf"(?<!\w)(?:{cue}){_SEPARATOR}(?P<v>{value})", re.IGNORECASE)
    return Rule(label, f"keyed:{label.lower()}", pattern, score)


def _shaped(label: Id, pattern: str, score: float, flags: int = re.IGNORECASE) -> Rule:
    return Rule(label, f"shape:{label.lower()}", re.compile(rf"(?P<v>{pattern})", flags), score)


RULES: tuple[Rule, ...] = (
    _keyed(
        Id.MRN,
        r"mrn|m\.r\.n\.?|(?:medical|hospital|hosp|patient|chart|record|unit)(?: record)?\s?(?:no|"
        r"nr|num|number|id|#)\.?|urn|nhc|ipp|fall-?nr\.?|pat(?:ienten)?-?nr\.?|historia",
        _CODE,
    ),
    _keyed(Id.SSN, r"ssn|s\.s\.n\.?|soc(?:ial)?\.? sec(?:urity)?(?:\s\w{0,7})?", r"[\dx*]{3}[- ]?[\dx*]{2}[- ]?\d{4}"),
    _keyed(
        Id.HEALTH_PLAN_ID,
        rf"(?:health )?(?:insurance|insurer|ins|member(?:ship)?|plan|policy|group|subscriber|"
        rf"medicare|medicaid|tricare|beneficiary|nhs|hmo|ppo|payer|payor|coverage|carrier|"
        rf"hicn|mbi|cover)\.?(?: (?:member|me\w{{2,6}}|policy|plan|card|num\w*|reference|"
        rf"ref))?{_NO}",
        _CODE,
    ),
    _keyed(Id.ACCOUNT, rf"acc(?:oun)?t\.?{_NO}|billing{_NO}|invoice{_NO}|iban", _CODE),
    _keyed(
        Id.LICENSE,
        rf"(?:prescriber\s)?l[io]cen[cs]e?{_NO}|npi{_NO}|dea{_NO}|gmc{_NO}|nmc{_NO}|colegiad[ao]{_NO}|"
        rf"registration{_NO}|(?:dl|driver'?s?){_NO}",
        r"(?=[A-Z-]*\d)[A-Z0-9-]{5,14}",
    ),
    _keyed(
        Id.VEHICLE_ID,
        rf"vehicle(?: reg\w*| id\w*| plate)?{_NO}|(?<!in )(?!place|plan|plat\b)pl\w{{3}}|"
        rf"(?:license|licence|number|reg\w*) plate|reg(?:istration)? mark|parking p\w{{4,6}}|"
        rf"ambulan\w{{1,3}}|vin{_NO}",
        rf"(?:{_PLATE}|[A-HJ-NPR-Z0-9]{{17}})",
    ),
    _keyed(
        Id.DEVICE_ID,
        rf"(?:loop re\w{{4,7}}|monitor|infusion pump|pump|machine|device|pacemaker|stimulator|"
        rf"implant|vns|shunt|valve|scanner|generator)(?: (?:serial|model|device))?{_NO}",
        _SERIAL,
    ),
    _keyed(Id.DEVICE_ID, rf"serial{_NO}|s/n|lot{_NO}", r"(?=[A-Z-]*\d)[A-Z0-9-]{4,18}"),
    _keyed(
        Id.BIOMETRIC,
        r"(?:palm-?vein|finger-?print|iris|retina(?:l)?|voice-?print|face|facial|biometric)\s(?:e\w{6,10}|"
        r"scan|template|id|print)",
        r"(?=[A-Z-]*\d)[A-Z0-9-]{4,16}",
    ),
    _keyed(
        Id.PHOTO_ID, r"(?:badge/)?photo\w*|badge|image file|picture", r"[\w-]+\.(?:jpe?g|png|gif|tiff?|heic|bmp|dcm)"
    ),
    _keyed(
        Id.OTHER_ID,
        rf"(?:lab(?:oratory)?|our|your|specimen|sample|accession|case|order|study|encounter|"
        rf"visit|claim|certificate|barcode)\s(?:ref(?:erence)?|id|no|nr|number|#)\.?|ref(?:erence)?\.?{_NO}|"
        rf"acc?n\.?{_NO}|acc#|protocol{_NO}",
        _CODE,
    ),
    _keyed(Id.FAX, r"\wax(?:\s(?:no|number))?\.?", _PHONE),
    _keyed(Id.PHONE, r"pa?g{1,2}\w{0,2}r\w?|p\w?a\w?er|psger|pagre|bleep\w*", r"#?\d{3,6}(?![\d-])"),
    _keyed(
        Id.PHONE,
        r"(?:tele)?phone|tel\.?|t[ée]l(?:[ée]fono)?\.?|mobile|cell|home|work|call|ring|text|"
        r"contact|handy",
        _PHONE,
        0.85,
    ),
    _shaped(Id.PHONE, r"(?<![\w.])(?:ext(?:ension)?\.? ?#?|x ?)\d{3,5}(?![\w])", 0.85),
    _shaped(Id.EMAIL, r"[\w.+'-]{1,64}@(?:[\w-]+\.)+[a-z]{2,}", 0.99),
    _shaped(Id.URL, r"(?:https?://|ftp://|www\.)[^\s<>()\[\]{}\"']+[^\s<>()\[\]{}\"'.,;:!?]", 0.99),
    _shaped(Id.IP, r"(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.]*\d)", 0.95),
    _shaped(Id.IP, r"(?<![\w:])(?:[\da-f]{1,4}:){4,7}[\da-f]{1,4}(?![\w:])", 0.9),
    _shaped(Id.SSN, r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}|[x*]{3}-[x*]{2}-\d{4})(?![\w-])", 0.9),
    _shaped(Id.PHOTO_ID, r"(?<![\w/.-])(?:IMG|DSC|DSCN|DCIM|PHOTO|PIC|face|scan)[_-]?\d{3,8}\.\w{3,4}\b", 0.95),
    _shaped(Id.DEVICE_ID, r"(?<!\w)(?:S/N ?|SN|LOT ?)\d{5,12}(?!\w)", 0.9),
    _shaped(Id.OTHER_ID, r"(?<![\w/-])[A-Z]{1,4}-?\d{1,2}[-/]\d{4,6}(?![\w/-])", 0.85),
    _shaped(
        Id.VEHICLE_ID,
        r"(?<![\w-])(?:[A-Z]{2}\d{2} ?[A-Z]{3}|(?!DOB|ENC|MRN|SEX|REF|DEC|JAN|FEB|MAR|APR|"
        r"JUN|JUL|AUG|SEP|OCT|NOV)[A-Z]{3}[- ]\d{4})(?![\w-]|[/.]\d)",
        0.7,
        0,
    ),
    _shaped(Id.LICENSE, r"(?<![\w-])[ABFGM][A-Z]\d{7}(?![\w-])", 0.7, 0),
)

# Long numbers, in the shapes record systems give them.
_UNEXPLAINED = re.compile(
    r"(?<![\w.,:/_^*+-])(?P<v>"
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
    r"(?:HP|OMIM|MIM|ORPHA|ICD(?:-1[01])?|SNOMED|LOINC|PMID|DOI|NCT|ISRCTN|RS|NM|NP|NC|ENS[GT]|CHR\w*)[:#_ ]*$",
    re.IGNORECASE,
)
_PHONE_ALONE = re.compile(
    r"(?<![\w.,/+-])(?P<v>"
    r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)|\d{3})[ .-]?\d{3}[ .-]?\d{4}"  # North America
    r"|(?:\(0\d{2,4}\)|0\d{2,4})[ .-]?\d{3,4}[ .-]?\d{3,4}|(?:\+44|0044)[ .-]?\(?0?\)?\d{3,4}[ "
    r".-]?\d{3}[ .-]?\d{3}"  # United Kingdom
    r"|\+\d{1,3}[ .-]?(?:\d{1,4}[ .-]?){2,5}\d{2,4}"  # with a country code
    r"|0\d{2,4} ?/ ?\d{5,8}|0\d(?:[ .]\d{2}){4}|[69]\d{2} \d{2,3} \d{2,3} ?\d{2,3}"  # France, Spain
    r")(?!\d|[-/.]\d)"
)
_FEWEST_PHONE_DIGITS = 7

_TENS = (
    r"(?:9\d|1[01]\d|ninety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|one) hundred(?: and \w+)?)"
)
_AGE = (
    re.compile(
        rf"(?:\b(?:aged?|lived to|li\w?ed to|died at|died aged|survived to|turned|turn\w{{2,4}}|"
        rf"turning|reached|age of|until age|tuened)\s+)(?P<v>{_TENS})(?![\w%/.]\S|\s?(?:%|"
        rf"days|weeks|months|minutes|kg|cm|mmhg|bpm))",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w.])(?P<v>{_TENS})(?=[ -]?(?:years?[ -]old|yrs?[ -]old|y/?o\b|yo\b|y\.o\.|"
        rf"year[ -]old|years of age|-?jährig|ans\b|años))",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:(?:grand|great|god)?-?(?:mother|father|parents?|aunt|uncle|nan|gran|granny|"
        rf"sister|brother|wife|husband|spouse|patient|he|she|who)\w*)\b(?:[^.;:\n]|(?<=\b\w)\.){{0,40}}?\b(?:is|"
        rf"was|now)\s+(?P<v>{_TENS})(?=\s*(?:and|,|\.|;|now|years|$))(?!\s*(?:%|/))",
        re.IGNORECASE,
    ),
)


def find_codes(text: str) -> list[Span]:
    """Every keyed or shaped identifier; they may overlap."""
    spans = [
        Span(start=m.start("v"), end=m.end("v"), label=rule.label, score=rule.score, found_by=rule.name)
        for rule in RULES
        for m in rule.pattern.finditer(text)
        if _plausible(rule, m.group("v"))
    ]
    return spans + _unexplained_numbers(text) + _phones(text) + _ages(text)


def _plausible(rule: Rule, value: str) -> bool:
    digits = sum(map(str.isdigit, value))
    if rule.label in (Id.PHONE, Id.FAX) and rule.name.startswith("keyed") and not value.startswith("#"):
        return digits >= 3 if len(value) <= 6 else _FEWEST_PHONE_DIGITS <= digits <= 15
    if rule.label in (Id.MRN, Id.ACCOUNT, Id.HEALTH_PLAN_ID, Id.OTHER_ID):
        return digits >= 3
    return True


def _unexplained_numbers(text: str) -> list[Span]:
    return [
        Span(start=m.start("v"), end=m.end("v"), label=Id.MRN, score=0.6, found_by="shape:unexplained_number")
        for m in _UNEXPLAINED.finditer(text)
        if not _NUMBERED_KNOWLEDGE.search(text, max(0, m.start() - 12), m.start())
    ]


def _phones(text: str) -> list[Span]:
    return [
        Span(start=m.start("v"), end=m.end("v"), label=Id.PHONE, score=0.75, found_by="shape:phone")
        for m in _PHONE_ALONE.finditer(text)
        if sum(map(str.isdigit, m.group("v"))) >= _FEWEST_PHONE_DIGITS + 2
    ]


def _ages(text: str) -> list[Span]:
    return [
        Span(start=m.start("v"), end=m.end("v"), label=Id.AGE_OVER_89, score=0.9, found_by="keyed:age")
        for pattern in _AGE
        for m in pattern.finditer(text)
    ]
