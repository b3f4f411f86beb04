"""Fields: numbers and codes with a label in front of them, the surest sign there is.

In: a reading copy. Out: spans of record, plan, account, licence, vehicle, device, social-security, biometric,
picture and other numbers.

Covers: labels of the English-speaking countries and the common ones of Germany, France and Spain, abbreviated,
some misspelled by a letter or two; a value after a colon, a number sign, "is" or nothing, on the next line, in the
next cell. Does not cover: columns of a table whose head stands rows above (tables.py); labels that nobody has
written down here, whose values are found only where their shape is telling (shapes.py).

A checksum is not asked for here: a mistyped number under its label still leads to somebody.
"""

from __future__ import annotations

import re

from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.patterns import NO, digits, keyed, matches
from residency.records import Span

# A code: letters, digits, masks; at least one digit (or a mask) and four characters, perhaps in groups.
_CODE = (
    r"(?=[\w*/.-]{0,40}[\d*])(?=[\w*/. -]{4})(?:[A-Z]{0,3}\d{2,6}(?: \d{2,6}){1,4}(?![\w-])|"
    r"[A-Z0-9*]+(?:[-/._][A-Z0-9*]+)*)"
)
_TOKEN = r"(?=[A-Z_-]{0,20}\d)[A-Z0-9_-]"
_PLATE = (
    r"[A-Z]{1,3}[- ]?\d{1,4}[- ]?[A-Z]{0,3}(?!\w|[./-]\d)|\d{1,4}[- ]?[A-Z]{1,3}(?!\w)|[A-Z]{2}\d{2} ?[A-Z]{3}(?!\w)"
)
_SERIAL = r"(?:S/N|SN|LOT)?[ :#]*(?=[\w-]{0,20}\d)[A-Z0-9][A-Z0-9-]{4,17}"
_NUMBER_WORD = r"(?:ref(?:erence)?|id|ids|no|nos|nr|num|numbers?|code|#|n[°º])\.?"
_YEAR = re.compile(r"(?:19|20)\d\d")
_FEWEST_DIGITS = 3


def _code_like(value: str) -> bool:
    """Digits enough, and no bare year: "account 2019" tells when, not whose."""
    return (digits(value) >= _FEWEST_DIGITS or ("*" in value and digits(value) > 1)) and not _YEAR.fullmatch(value)


def _not_a_year(value: str) -> bool:
    return not _YEAR.fullmatch(value)


def _plate_like(value: str) -> bool:
    return any(map(str.isdigit, value)) and _not_a_year(value)


_FIELDS = (
    keyed(
        Id.MRN,
        rf"mrn{NO}|m\.r\.n\.?{NO}|(?:medical|med|hospital|hosp|patient|pt|chart|record|unit)\.?(?: rec(?:ord)?s?\.?)?"
        rf"\s?{_NUMBER_WORD}|urn|nhc|ipp|nhi{NO}|e?mpi{NO}|(?:chi|pas|emr|ehr) {_NUMBER_WORD}|"
        r"fall-?nr\.?|pat(?:ienten)?-?nr\.?|historia",
        _CODE,
        accepts=_code_like,
    ),
    keyed(
        Id.SSN,
        r"ss ?#|ssn|s\.s\.n\.?|soc(?:ial)?\.? (?:sec(?:urity)?|ins(?:urance)?)(?:\s\w{0,7}\.?)?|"
        r"sin(?:\s(?:no|number|#)\.?)?",
        r"[\dx*]{3}[- ]?[\dx*]{2}[- ]?\d{4}|\d{3}[ -]\d{3}[ -]\d{3}(?!\d)",
    ),
    keyed(
        Id.SSN,
        rf"(?:num[eé]ro de |n[°º] (?:de )?)?s[eé]cu(?:rit[eé] sociale)?{NO}|nir{NO}|insee{NO}",
        r"[1-478](?: ?\d\d){2} ?\d[\dAB] ?\d{3} ?\d{3}(?: ?\d\d)?",
    ),
    keyed(
        Id.SSN,
        r"(?:last (?:four|4)(?: digits)?(?: of)?(?: (?:the|his|her|their))? (?:ssn|social(?: security)?)|"
        r"(?:ssn|social(?: security)?)(?: number| no\.?)?,? (?:ending|ends|last (?:four|4))(?: in| with| digits)?)",
        r"\d{4}(?!\d)",
    ),
    keyed(
        Id.HEALTH_PLAN_ID,
        rf"(?:health )?(?:insurance|insurer|ins|member(?:ship)?|plan|policy|group|subscriber|"
        rf"medicare|medicaid|tricare|beneficiary|nhs|hmo|ppo|payer|payor|coverage|carrier|"
        rf"hicn|mbi|cover|certificate of coverage)\.?(?: (?:member|me\w{{2,6}}|policy|plan|card|num\w*|reference|"
        rf"ref))?{NO}|health ?card{NO}|ohip{NO}|ramq{NO}|phn{NO}|rx ?(?:bin|pcn|grp|group|id){NO}|"
        rf"(?:prior |pre-?)auth(?:ori[sz]ation)?{NO}|(?:kranken)?versicherten-?{NO}|kvnr{NO}|"
        rf"insurance[^\n\d]{{0,40}}?\bid\b{NO}",
        _CODE,
        accepts=_code_like,
    ),
    keyed(
        Id.ACCOUNT,
        rf"acc(?:oun)?t\.?{NO}|billing{NO}|invoice{NO}|har{NO}|guarantor{NO}|sort code|routing{NO}|"
        rf"(?:credit |debit |bank )?card {_NUMBER_WORD}|financial {_NUMBER_WORD}|statement {_NUMBER_WORD}",
        _CODE,
        accepts=_code_like,
    ),
    keyed(Id.ACCOUNT, r"iban", r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4}(?!\w))?|" + _CODE),
    keyed(
        Id.LICENSE,
        rf"(?:prescriber\s)?l[io]c(?:en[cs]e?)?{NO}|npi{NO}|dea{NO}|gmc{NO}|nmc{NO}|hcpc{NO}|gphc{NO}|ahpra{NO}|"
        rf"upin{NO}|colegiad[ao]{NO}|registration{NO}|(?:dl|driver'?s?){NO}|cert(?:ificate)?{NO}",
        _TOKEN + r"{5,18}",
        accepts=_not_a_year,
    ),
    keyed(
        Id.VEHICLE_ID,
        rf"vehicle(?: reg\w*| id\w*| plate| tag)?{NO}|(?<!in )(?!place|plan|plat\b)pl\w{{3}}{NO}|"
        rf"(?:license|licence|number|reg\w*) plate{NO}|reg(?:istration)? mark|parking p\w{{4,6}}|"
        rf"ambulan\w{{1,3}}|vin{NO}",
        rf"(?:{_PLATE}|[A-HJ-NPR-Z0-9]{{17}})",
        accepts=_plate_like,
    ),
    keyed(
        Id.VEHICLE_ID,
        rf"(?:license|licence|number|registration) plates?{NO}|plate {_NUMBER_WORD}",
        r"(?=[A-Z]{0,8}\d)(?=\d{0,8}[A-Z])[A-Z0-9]{5,8}(?!\w)",
    ),
    keyed(
        Id.DEVICE_ID,
        rf"(?:loop re\w{{4,7}}|monitor|infusion pump|pump|machine|device|pacemaker|stimulator|"
        rf"implant|vns|shunt|valve|scanner|generator|defibrillator|icd|hearing aid|prosthesis|catheter|lead)"
        rf"(?: (?:serial|model|device))?{NO}",
        _SERIAL,
        accepts=_code_like,
    ),
    keyed(Id.DEVICE_ID, rf"serial{NO}|s/n|lot{NO}|imei{NO}|udi{NO}|gtin{NO}", _TOKEN + r"{4,18}", accepts=_not_a_year),
    keyed(
        Id.DEVICE_ID,
        r"(?:model|sn|serial)(?: (?:no|number|#))?\.?",
        r"(?=[A-Z-]{0,20}\d)(?=[\d-]{0,20}[A-Z])[A-Z0-9-]{5,18}",
        0.86,
        accepts=_code_like,
    ),
    keyed(
        Id.BIOMETRIC,
        r"(?:palm-?vein|finger-?print|iris|retina(?:l)?|voice-?print|face|facial|biometric)s?"
        r"(?:\s(?:e\w{6,10}|scan|template|id|print|code|hash|file|no|number)){0,2}\.?",
        _TOKEN + r"{4,20}",
        accepts=_code_like,
    ),
    keyed(
        Id.PHOTO_ID,
        r"(?:badge/)?photo\w*|badge|image file|picture",
        r"[\w-]{1,80}\.(?:jpe?g|png|gif|tiff?|heic|bmp|dcm)",
    ),
    keyed(
        Id.PHOTO_ID,
        rf"(?:photo(?:graph)?|picture|image|video|badge) {_NUMBER_WORD}",
        _TOKEN + r"{4,20}",
        accepts=_code_like,
    ),
    keyed(
        Id.OTHER_ID,
        rf"(?:lab(?:oratory)?|our|your|specimen|sample|accession|case|order|study|encounter|visit|claim|certificate|"
        rf"barcode|referral|requisition|request|admission|episode|appointment|booking|report|incident|police report|"
        rf"docket|file|document|transaction|confirmation|tracking|prescription|script|"
        rf"employee|staff|student|pupil|prisoner|inmate|offender|alien|immigration|visa|tax|service|badge|locker)\s"
        rf"{_NUMBER_WORD}|ref(?:erence)?\.?{NO}|acc?n\.?{NO}|acc#|protocol{NO}|rx {_NUMBER_WORD}|rx#",
        _CODE,
        accepts=_code_like,
    ),
    keyed(
        Id.OTHER_ID,
        rf"accession{NO}|specimen{NO}|encounter{NO}|csn{NO}|ubrn{NO}|passport{NO}|claim{NO}|fin{NO}|"
        rf"(?:police )?report ?#|order ?#|visit ?#|case ?#",
        _CODE,
        accepts=_code_like,
    ),
    keyed(
        Id.OTHER_ID,
        rf"(?:study |trial |research )?(?:subject|participant|enrollee|volunteer|proband){NO}|"
        rf"randomi[sz]ation{NO}|screening {_NUMBER_WORD}|(?:study|trial) (?:id|no|number|code)",
        _CODE,
        accepts=_code_like,
    ),
    keyed(
        Id.OTHER_ID,
        rf"nino{NO}|national ins(?:urance)?{NO}|ni {_NUMBER_WORD}",
        r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]?(?!\w)",
    ),
    keyed(
        Id.OTHER_ID,
        rf"(?:dni|nie|nif|curp|rut|cpf|bsn|pesel|codice fiscale|personnummer|ahv){NO}|national (?:id|identity)\w*{NO}|"
        rf"(?:personal)?ausweis{NO}|aadhaar{NO}|pan card{NO}|steuer-?id{NO}|tax(?:payer)? id{NO}|tin {_NUMBER_WORD}",
        r"[XYZ]?-?\d[\d.]{6,9}-?[A-Z0-9]?(?!\w)|" + _CODE,
        accepts=_code_like,
    ),
)


def find_fields(text: str) -> list[Span]:
    """Every labelled number or code; they may overlap."""
    return matches(text, _FIELDS)
