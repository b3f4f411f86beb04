"""Places below the state: streets, towns, postal codes.

In: a reading copy. Out: LOCATION spans, street, town and postal code each by itself; states stay.

Covers: addresses of the United States and the United Kingdom in running text and headers; towns after words
that say where somebody lives, comes from or moved to; the line with town and postal code under the name of a
practice; code and town of the continent ("80331 München"). Does not cover: towns named without such words
(propagation finds those named elsewhere), landmarks, addresses of other countries beyond street, code and town.
"""

from __future__ import annotations

import re

from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.words import words
from residency.records import Span

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|"
    "MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|"
    "UT|VT|VA|WA|WV|WI|WY|PR|VI|GU|AS|MP"
)
_SUFFIX = (
    "alley|avenue|ave|bayou|beach|bend|bluffs?|bottom|boulevard|blvd|branch|bridge|"
    "brooks?|burgs?|bypass|camp|canyon|cape|causeway|"
    "centers?|circles?|cliffs?|close|club|commons?|corners?|course|courts?|coves?|creek|"
    "crescent|crest|crossing|crossroads?|curve|dale|dam|divide|"
    "drives?|dr|estates?|expressway|extensions?|falls?|ferry|fields?|flats?|fords?|"
    "forest|forges?|forks?|fort|freeway|gardens?|gateway|"
    "glens?|greens?|groves?|harbors?|havens?|heights|highway|hills?|hollow|inlet|islands?|"
    "isle|junctions?|keys?|knolls?|lakes?|landing|"
    "lane|ln|lights?|loaf|locks?|lodge|loop|mall|manors?|meadows?|mews|mills?|mission|"
    "motorway|mountains?|neck|orchard|oval|overpass|parade|"
    "parks?|parkways?|pass|passage|path|pike|pines?|place|plains?|plazas?|points?|ports?|"
    "prairie|radial|ramp|ranch|rapids?|rest|ridges?|rise|"
    "river|roads?|rd|route|row|rue|run|shoals?|shores?|skyway|springs?|spurs?|squares?|"
    "station|stravenue|stream|streets?|st|summit|"
    "terrace|throughway|trace|track|trafficway|trail|tunnel|turnpike|underpass|unions?|"
    "valleys?|via|viaduct|views?|villages?|ville|vista|walks?|"
    "wall|ways?|wells?|wynd|yard"
)
# Words of addresses; no more parts than names have, so that "a-a-a-..." is not read to its end from every part.
_W = r"[^\W\d_][^\W\d_'.-]*(?:['-][^\W\d_]+){0,4}"
_CAPITALIZED = r"[A-ZÀ-ÖØ-Þ][^\W\d_]+(?:['-][^\W\d_]+){0,4}"
_UNIT = r"(?:,? (?:apt|apartment|suite|ste|unit|flat|room|rm|#)\.? ?#?\w{1,5})"
_STREET = re.compile(
    rf"(?<![\w/.-])(?P<v>(?:(?:flat|studio|apartment|apt|unit|suite)\.? ?\w{{1,5}},? "
    rf"+(?:\d{{1,5}}[a-z]? +)?|\d{{1,6}}[a-z]? +)"
    rf"(?:{_W} +){{1,3}}?(?:{_SUFFIX})\b\.?{_UNIT}?)(?!\w)",
    re.IGNORECASE,
)
_STREET_WORD = re.compile(
    rf"(?:{_SUFFIX}|flat|studio|apt|apartment|unit|suite|ste|floor|calle|avenida|avda|plaza|paseo|chemin|mayor)\.?",
    re.IGNORECASE,
)
_NUMBERED_ROAD = re.compile(
    rf"(?<![\w/.-])(?P<v>\d{{1,6}} +(?:[NSEW]{{1,2}}\.? +)?(?:(?:County|State|Rural|Farm to Market) (?:Road|Rd|Route|"
    rf"Rte|Highway|Hwy)"
    rf"|Highway|Hwy|Route|Rte|US) +\d{{1,4}}"
    rf"|\d{{1,6}} +(?:[NSEW]{{1,2}}\.? +)(?:{_W} +){{0,2}}(?:\d{{1,3}}(?:st|nd|rd|th) +)?(?i:{_SUFFIX})\b\.?{_UNIT}?"
    rf"|\d{{1,6}} +\d{{1,3}}(?:st|nd|rd|th) +(?i:{_SUFFIX})\b\.?{_UNIT}?"
    rf"|\d{{1,4}}[a-z]?,? The [A-Z][^\W\d_]+(?= *(?:,|\n|$)))(?!\w)"
)
_BOX = re.compile(
    r"(?<!\w)(?P<v>(?:P\.? ?O\.? ?|Post ?office |Postal )Box(?: (?:no|number)\.?)?[ #:]{0,2}\d{1,6})", re.IGNORECASE
)
_STREET_ALONE = re.compile(
    rf"\b(?i:at|on|near|off|of|corner of|and) (?P<v>(?:{_CAPITALIZED} ){{1,2}}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|"
    rf"Drive|"
    rf"Boulevard|Blvd|Crescent|Terrace)\b)(?! (?:clinic|hospital|surgery|school|practice|medical|health))"
)
_COORDINATES = re.compile(
    r"(?<![\w.])(?P<v>-?\d{1,2}\.\d{3,8}°?(?: ?[NS])?[,; ] ?-?\d{1,3}\.\d{3,8}°?(?: ?[EW])?)(?![\w.])"
)
_FOREIGN_STREET = re.compile(
    rf"(?<!\w)(?P<v>(?:Calle|C/|Avenida|Avda\.?|Av\.|Plaza|Paseo|Via|Viale|Piazza|Corso|Rua|Praça|ul\.|ulica|al\.|rue|"
    rf"avenue|"
    rf"boulevard|chemin)\s+(?:(?:de|"
    rf"del|la|du|des|les|l')\s*){{0,4}}{_W}(?: {_W})?,? \d{{1,4}}(?!\w)"
    rf"|\d{{1,4}}(?: ?bis| ?ter)?,? (?:rue|avenue|boulevard|place|chemin|impasse)\s+(?:(?:de|du|des|la|les|l'|"
    rf"d')\s*){{0,4}}{_W}(?: {_W})?"
    rf"|{_W}(?:straße|strasse|str\.|weg|allee|platz|gasse|ring|straat|laan|plein|gracht|kade|gatan|vägen|gade|vej|"
    rf"veien|katu) "
    rf"\d{{1,4}}[a-z]?)(?!\w)"
)
_LABELLED = re.compile(
    r"(?<!\w)(?:home |new |current |postal )?addr(?:ess)?(?: (?:confirmed as|is|was|"
    r"on file))?[ :]+(?P<v>[^\n,;|]{5,60})",
    re.IGNORECASE,
)
_TOWN_WORD = r"[^\W\d_]+(?:['-][^\W\d_]+){0,4}"
_TOWN = rf"(?P<v>{_TOWN_WORD}(?: {_TOWN_WORD}){{0,3}})"
_AFTER_STREET = re.compile(rf",[ ]*\n?{_TOWN}")
_US_TAIL = re.compile(
    rf"(?<!\w)(?P<town>{_TOWN_WORD}(?: {_TOWN_WORD}){{0,3}}),? +(?P<state>{_STATES}) "
    rf"+(?P<zip>\d{{5}}(?:-\d{{4}})?)(?!\d)",
    re.IGNORECASE,
)
_UK_CODE = re.compile(r"(?<![\w-])(?P<v>(?:[A-Z]{1,2}\d[A-Z\d]?) ?\d[A-Z]{2})(?![\w-])")
_UK_CODE_ANY = re.compile(r"(?<![\w-])(?P<v>[a-z]{1,2}\d[a-z\d]? \d[a-z]{2})(?![\w-])")
_BEFORE_CODE = re.compile(rf"(?P<town>{_TOWN_WORD}(?: {_TOWN_WORD}){{0,3}})[ ,]+$")
_HL7_ADDRESS = re.compile(
    rf"\^(?P<town>{_TOWN_WORD}(?: {_TOWN_WORD}){{0,3}})\^(?:{_STATES})\^(?P<zip>\d{{5}}(?:-\d{{4}})?)(?!\d)",
    re.IGNORECASE,
)
_TOWN_ZIP_LINE = re.compile(rf"^[ ]*{_TOWN},? +(?P<zip>\d{{5}}(?:-\d{{4}})?)[ ]*$", re.MULTILINE)
_TOWN_LINE = re.compile(rf"^[ ]*{_TOWN}[ ]*\n(?=[ ]*(?:tel|phone|fax)\b)", re.MULTILINE | re.IGNORECASE)
_TOWN_CUE = re.compile(
    r"\b(?:l(?:iv|i|v)(?:\w?es?|\w?s|ed|ing) (?:near |outside )?(?:in|at|near)|famil?ly "
    r"\w+ from|resid(?:es?|ed|ing|ent|ents) (?:in|of)|residentes? en|moved (?:here |"
    r"back )?(?:from|to)|relocated (?:from|to)|"
    r"travel?led (?:\w+ )?(?:from|to)|originally from|(?:grew up|born|raised|based|located) "
    r"in|native of|comes? from|came from|we were in|domicilié(?:e)? à|demeurant à|"
    r"wohnhaft (?:in)?|(?:boy|girl|man|woman|gentleman|lady|male|female|child|infant|"
    r"teenager|adolescent|individual|patient|person|toddler|adult) from)[ :]+"
    rf"{_TOWN}(?P<second> (?:to|and then to) (?:{_TOWN_WORD}(?: {_TOWN_WORD}){{0,2}}))?",
    re.IGNORECASE,
)
_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|"
    "Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|"
    "Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|"
    "Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|"
    "West Virginia|Wisconsin|Wyoming|Ontario|Quebec|British Columbia|Alberta|Manitoba|Saskatchewan|Nova Scotia|"
    "New South Wales|Victoria|Queensland|Tasmania|Scotland|Wales|England|Northern Ireland|Ireland|Germany|France|"
    "Spain|Italy|Portugal|Poland|Netherlands|Ghana|Nigeria|Kenya|India|Pakistan|Mexico|Brazil|Canada|Australia"
)
_BEFORE_STATE = re.compile(
    rf"(?<![\w'])(?P<town>{_CAPITALIZED}(?: {_CAPITALIZED}){{0,2}}), (?:{_STATE_NAMES}|(?!MD|DO|PA|MA|MS|ND|OT|"
    rf"PT)(?:{_STATES}))"
    rf"(?!\w|-| ?\d{{5}})"
)
_FIELD = re.compile(
    rf"(?<!\w)(?P<cue>city|town|village|hometown|home town|birth ?place|place of birth|municipality|county|locality|"
    rf"wohnort|"
    rf"ville|ciudad)[\"']? ?[:=|][ \"']*{_TOWN}",
    re.IGNORECASE,
)
_CODE_FIELD = re.compile(
    r"(?<!\w)(?:zip(?:[ -]?code)?|post(?:al)?[ -]?code|plz|code postal|cap|eircode)[\"']?[ :=|#\"'.]{1,4}"
    r"(?P<v>\d{5}(?:-\d{4})?|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|\d{4} ?[A-Z]{2}|\d{4}|\d\d-\d{3}|"
    r"[A-Z]\d\d ?[A-Z\d]{4})(?![\w-])",
    re.IGNORECASE,
)
_CANADIAN_CODE = re.compile(r"(?<![\w-])(?P<v>[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d)(?![\w-])")
# After a street of the continent: the code, then the town.
_CODE_THEN_TOWN = re.compile(
    rf",? *\n? *(?:[A-Z]{{1,2}}-)?(?P<zip>\d{{5}}|\d{{4}} [A-Z]{{2}}|\d{{2}}-\d{{3}}|\d{{4}}(?:-\d{{3}})?) {_TOWN}"
)
# The continent writes the code first, alone in its line, after a comma or after a word that leads to a place.
_CODE_BEFORE_TOWN = re.compile(
    rf"(?:^[ ]*|[,;(][ ]?|\b(?i:in|to|from|near|à|en|nach|aus|bei)[ ]|(?P<country>\b[A-Z]{{1,3}}-))"
    rf"(?P<zip>\d{{5}}) (?P<v>{_CAPITALIZED}(?:[ -]{_CAPITALIZED}){{0,2}})(?P<ends>[ ]*(?:$|[.,;)]))?",
    re.MULTILINE,
)
_CODE_WORD = r"(?:plz|postleitzahl|code postal|c[oó]digo postal|c\.?p\.?|cap)"
_LEADS_ABROAD = re.compile(rf"(?:\b{_CODE_WORD}[\"']?[ :=|#\"'.]{{1,4}}|\b[a-z]{{1,3}}-)$", re.IGNORECASE)
_LEADS_TO_ZIP = re.compile(
    rf"(?:\b(?:{_STATES})\.?[ ,\n]+|\^(?:{_STATES})\^|(?i:\bzip(?:[ -]?code)?)[ :=|#\"'.]{{1,4}})$"
)
_TOWN_FOLLOWS = re.compile(_CAPITALIZED)
_COUNTY_KINDS = ("County", "Parish", "Township", "Borough")
_COUNTY = re.compile(rf"(?<![\w'])(?P<v>{_CAPITALIZED}(?: {_CAPITALIZED})? (?:{'|'.join(_COUNTY_KINDS)}))(?![\w'])")
_LOOSE_CUE = re.compile(
    rf"\b(?i:lives? (?:\w+ ){{1,5}}?in|works in|on (?:holiday|vacation) in|flew (?:from|to|in from)|transferred from|"
    rf"drove (?:from|to)|visiting|visited|returned from|(?:trip|travel|flight|visit) to|retired to|emigrated from|"
    rf"immigrated from|from (?=\w+ to )|raised (?:near|in)|house in|home in|apartment in|flat in|school in|church in|"
    rf"jail in|seen in|hospitali[sz]ed in) (?P<v>{_CAPITALIZED}(?: {_CAPITALIZED}){{0,2}})"
    rf"(?P<to> (?i:to) {_CAPITALIZED})?"
)
_AREA = re.compile(
    rf"\b(?i:in|the|greater|around|from) (?P<v>{_CAPITALIZED}(?: {_CAPITALIZED})?) (?:metropolitan )?area\b"
)
_FORMS = re.compile(
    r"(?:ville|mouth|berg|burgh?|bury|borough|shire|chester|haven|land|furt|fort|port|"
    r"stad|side|view|town|ton|ham|ford|field|wick|bridge|worth|stead|pool|minster|dale)$",
    re.IGNORECASE,
)
_STATE_CODES = frozenset(_STATES.split("|"))
_COMPASS = words("compass")
_COUNTED = words("counted")
_LINKS = frozenset(["on", "upon", "of", "le", "la", "de", "del", "al"])


def find_places(text: str, lexicon: Lexicon) -> list[Span]:
    """Streets, towns and postal codes; they may overlap with other findings."""
    spans = [
        _span(m.start("v"), m.end("v"), 0.95, "street")
        for pattern in (_STREET, _NUMBERED_ROAD, _FOREIGN_STREET, _BOX)
        for m in pattern.finditer(text)
        if pattern is not _STREET or _street_like(m.group("v"), lexicon)
    ]
    for street in tuple(spans):
        spans += _after_street(text, street.end, lexicon)
    spans += [_span(m.start("v"), m.end("v"), 0.65, "street_alone") for m in _STREET_ALONE.finditer(text)]
    spans += [_span(m.start("v"), m.end("v"), 0.85, "coordinates") for m in _COORDINATES.finditer(text)]
    spans += [
        _span(m.start("v"), m.end("v"), 0.7, "address")
        for m in _LABELLED.finditer(text)
        if any(map(str.isdigit, m.group("v")))
    ]
    return spans + _tails(text, lexicon) + _towns(text, lexicon) + _named_towns(text, lexicon)


def is_street_word(word: str) -> bool:
    """Part of what streets and their units are called: Lane, Suite, Flat, ..."""
    return bool(_STREET_WORD.fullmatch(word))


def is_region(name: str) -> bool:
    """A state, a province or a country, which may stay."""
    return bool(re.fullmatch(_STATE_NAMES, name))


def is_code_abroad(text: str, start: int, end: int) -> bool:
    """Whether the five digits there are no ZIP code: behind a label of another language or a country's letters, or
    before their town, where the United States write them behind town and state."""
    before = max(0, start - 24)
    if _LEADS_ABROAD.search(text, before, start):
        return True
    if _LEADS_TO_ZIP.search(text, before, start):
        return False
    alone = start == 0 or text[start - 1] == "\n"
    return text[end : end + 1] in ((" ", "\n") if alone else (" ",)) and bool(_TOWN_FOLLOWS.match(text, end + 1))


def town_end(text: str, start: int, end: int, lexicon: Lexicon) -> int:
    """Where the town that begins at ``start`` ends; ``start`` where there is none."""
    town = _town(start, text[start:end], lexicon, 1.0)
    return town[0].end if town else start


def _span(start: int, end: int, score: float, name: str) -> Span:
    return Span(start=start, end=end, label=Identifier.LOCATION, score=score, found_by=f"place:{name}")


def _after_street(text: str, end: int, lexicon: Lexicon) -> list[Span]:
    """Town and postal code behind a street."""
    following = _AFTER_STREET.match(text, end)
    spans = _town(following.start("v"), following.group("v"), lexicon, 0.8) if following else []
    coded = _CODE_THEN_TOWN.match(text, end)
    if coded:
        spans.append(_span(coded.start("zip"), coded.end("zip"), 0.9, "zip"))
        spans += _town(coded.start("v"), coded.group("v"), lexicon, 0.85)
    return spans


def _named_towns(text: str, lexicon: Lexicon) -> list[Span]:
    """Towns in a field, before their state, after words of travel and living; counties; codes after their label."""
    spans = [
        _span(m.start("v"), m.end("v"), score, name)
        for pattern, score, name in ((_CODE_FIELD, 0.95, "zip"), (_CANADIAN_CODE, 0.85, "postcode"))
        for m in pattern.finditer(text)
    ]
    for match in _FIELD.finditer(text):
        spans += _town(match.start("v"), match.group("v"), lexicon, 0.86)
    for match in _BEFORE_STATE.finditer(text):
        if match.group("town").isupper():
            continue  # "GDD, ID": findings in short
        spans += _town(match.start("town"), match.group("town"), lexicon, 0.8, from_end=True)
    for match in _COUNTY.finditer(text) if any(kind in text for kind in _COUNTY_KINDS) else ():
        first = match.group("v").split()[0]
        if not (lexicon.never_name(first) or first.isupper()):
            spans.append(_span(match.start("v"), match.end("v"), 0.8, "county"))
    for pattern in (_LOOSE_CUE, _AREA) if " area" in text else (_LOOSE_CUE,):
        for match in pattern.finditer(text):
            if _unusual(match.group("v"), lexicon):
                spans += _town(match.start("v"), match.group("v"), lexicon, 0.65)
    for match in _LOOSE_CUE.finditer(text):
        if match.group("to") and _unusual(match.group("to")[4:], lexicon):
            spans += _town(match.start("to") + 4, match.group("to")[4:], lexicon, 0.65)
    return spans


def _unusual(town: str, lexicon: Lexicon) -> bool:
    """Not the name of a state or country, of a month, of anything medical."""
    return not any(
        lexicon.never_name(word) or word.isupper() or word.casefold() in lexicon.safe or lexicon.is_word(word)
        for word in town.split()
    ) and not is_region(town)


def _counts(word: str, lexicon: Lexicon) -> bool:
    """The plural of a noun ("Admissions"), which a number before it counts."""
    folded = word.casefold()
    return folded.endswith("s") and folded[:-1] in lexicon.nouns


def _street_like(street: str, lexicon: Lexicon) -> bool:
    """Numbers with a unit and an ordinary word ("5 days course", "2 weeks run") are no streets."""
    words = [word for word in re.findall(_TOWN_WORD, street) if len(word) > 1]
    capitals = [word for word in words if word[0].isupper()]
    if words[0] in _COUNTED:
        return False
    if any(
        lexicon.never_name(word) for word in words[:-1] if word.casefold() not in _COMPASS and not is_street_word(word)
    ):
        return False
    return len(capitals) >= 2 or (
        not capitals and any(lexicon.is_name(w) or not lexicon.is_word(w) for w in words[:-1])
    )


def _tails(text: str, lexicon: Lexicon) -> list[Span]:
    """Town and postal code at the end of an address."""
    spans = []
    for match in _US_TAIL.finditer(text):
        if match.group("state").isupper() or match.group("town").islower():  # else "Wohnhaft in 80331 München"
            spans += _town(match.start("town"), match.group("town"), lexicon, 0.95, from_end=True)
        spans.append(_span(match.start("zip"), match.end("zip"), 0.97, "zip"))
    for pattern in (_UK_CODE, _UK_CODE_ANY):
        for match in pattern.finditer(text):
            before = _BEFORE_CODE.search(text, max(0, match.start() - 40), match.start())
            score = 0.75
            if before:
                spans += _town(before.start("town"), before.group("town"), lexicon, 0.95, from_end=True)
                score = 0.9
            spans.append(_span(match.start("v"), match.end("v"), score, "postcode"))
    for match in _HL7_ADDRESS.finditer(text):
        spans.append(_span(match.start("town"), match.end("town"), 0.95, "hl7_town"))
        spans.append(_span(match.start("zip"), match.end("zip"), 0.97, "zip"))
    for match in _CODE_BEFORE_TOWN.finditer(text):
        town = match.group("v")
        announced = match.group("country") or match.group("ends") is not None
        if announced and _unusual(town, lexicon) and not _counts(town, lexicon):
            spans.append(_span(match.start("zip"), match.end("zip"), 0.86, "zip"))
            spans += _town(match.start("v"), town, lexicon, 0.86)
    for match in _TOWN_ZIP_LINE.finditer(text):
        if _CODE_FIELD.search(text, match.start(), match.end()):
            continue  # "Postal code 62704"
        town = _town(match.start("v"), match.group("v"), lexicon, 0.85)
        spans += [*town, _span(match.start("zip"), match.end("zip"), 0.9, "zip")] if town else []
    return spans


def _towns(text: str, lexicon: Lexicon) -> list[Span]:
    spans = []
    for match in _TOWN_CUE.finditer(text):
        town = _town(match.start("v"), match.group("v"), lexicon, 0.85)
        spans += town
        rest = text[match.start("v") : match.start("v") + 80]
        second = re.search(r"\sto\s([^\W\d_])", rest, re.IGNORECASE)
        if town and second and "from" in match.group().casefold()[:30]:
            at = match.start("v") + second.start(1)
            following = re.match(_TOWN, text[at : at + 60])
            spans += _town(at, following.group("v"), lexicon, 0.85) if following else []
    for match in _TOWN_LINE.finditer(text):
        if not (match.group("v").isupper() and len(match.group("v")) < 6) and all(
            word[0].isupper() or not lexicon.is_word(word) for word in match.group("v").split()
        ):
            spans += _town(match.start("v"), match.group("v"), lexicon, 0.8)
    return spans


def _town(start: int, words: str, lexicon: Lexicon, score: float, *, from_end: bool = False) -> list[Span]:
    """The town among ``words``: capitalized ones, or in unbroken case those that are no ordinary words."""
    tokens = [(m.start(), m.end(), m.group()) for m in re.finditer(_TOWN_WORD, words)]
    cased = not words.isupper() and not words.islower()
    chosen: list[tuple[int, int, str]] = []
    for token in reversed(tokens) if from_end else tokens:
        if not _town_word(token[2], lexicon, cased=cased, first=not chosen):
            break
        chosen.append(token)
    chosen.sort()
    while chosen and chosen[-1][2].casefold() in _LINKS:
        chosen.pop()
    while chosen and chosen[0][2].casefold() in _LINKS:
        chosen.pop(0)
    if not chosen:
        return []
    return [_span(start + chosen[0][0], start + chosen[-1][1], score, "town")]


def _town_word(word: str, lexicon: Lexicon, *, cased: bool, first: bool) -> bool:
    folded = word.casefold()
    if folded in _COMPASS or (folded in _LINKS and not first):
        return True
    if cased:
        return word[0].isupper() and not lexicon.never_name(word) and word not in _STATE_CODES
    if lexicon.never_name(word) or (first and folded in ("mri", "eeg")):
        return False
    return (
        folded in ("bath", "mobile", "reading", "bend", "bury", "ripon", "sale", "wells", "deal")
        or bool(_FORMS.search(folded))
        or lexicon.is_name(word)
        or not lexicon.is_word(word)
    )
