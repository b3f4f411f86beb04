"""Organizations that place the patient: hospitals, clinics, practices, schools, employers.

In: a reading copy. Out: ORGANIZATION spans.

Covers: names that end or begin with the kind of place ("... Memorial Hospital", "University of ... Health",
"Queen ... Hospital, Town"), names after words that announce one ("works at", "Seen: ... at"). Does not cover:
organizations known by a bare word nobody announces. Departments ("Paediatric Neurology") place nobody and
stay.
"""

from __future__ import annotations

import re

from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.places import town_end
from residency.curate.deidentify.words import words
from residency.records import Span

_W = r"[^\W\d_]+(?:['-][^\W\d_]+){0,4}'?"
_TOKEN = re.compile(rf"{_W}|&")
# Kinds, longest first where one ends with another.
_KIND = (
    r"university hospitals?(?: nhs(?: foundation)? trust)?|nhs(?: foundation)? trust|"
    r"(?:general|memorial|district|children's|childrens|community|royal|county|regional|"
    r"veterans|specialist) hospital|"
    r"hospitals?(?: nhs(?: foundation)? trust)?|infirmary|royal infirmary|(?:regional "
    r")?medical cent(?:er|re)|health cent(?:er|re)|medical group|medical practice|surgery|"
    r"primary care|family (?:medicine|practice|health)|"
    r"pa?ediatrics|clinic|hospice|care home|nursing home|health(?:care)?(?: system| partners)?|"
    r"primary school|elementary(?: school)?|high school|middle school|grammar school|"
    r"secondary school|special school|school|academy|nursery|preschool|kindergarten|"
    r"college|university|montessori|daycare|"
    r"city council|county council|borough council|council|manufacturing|logistics|industries|"
    r"engineering|construction|bakery|motors|supermarkets?|partners|associates|holdings|"
    r"solutions|consulting|foods|farms?|"
    r"(?:& |and )sons|(?:& |and )co\.?|ltd\.?|limited|inc\.?|llc|plc|gmbh|group|corporation|corp\.?|general"
)
_ENDS = re.compile(rf"(?<![\w'])(?:{_KIND})(?!\w)", re.IGNORECASE)
_BEGINS = re.compile(
    rf"(?<!\w)(?P<v>universit(?:y|é|ät|ätsklinikum) (?:of|de|hospital(?:s)? (?:of )?) "
    rf"?(?:{_W} ){{0,2}}?{_W}(?: health| hospital| medical center)?"
    rf"|(?:hospital|hôpital|centre hospitalier|clínica|clinique|klinikum|klinik|chu|centro|"
    rf"colegio|collège|lycée|escuela|école) (?:(?:general|universitario|universitaire|"
    rf"de|del|la|el|le|les|du|des|san|santa|saint|sainte|am|der|d') ?){{0,6}}{_W}(?: (?:de|"
    rf"del|la) {_W}| {_W})?"
    rf"|(?:uni(?:versitäts)?-?)?(?:klinikum|klinik|krankenhaus|spital) {_W}|(?:mercy|"
    rf"providence|kaiser|mayo|baptist|sacred heart|mount sinai) {_W}(?: {_W})?)(?!\w)",
    re.IGNORECASE,
)
_SAINT = re.compile(rf"(?<!\w)(?P<v>(?:st|saint)\.? {_W}(?:'s)? (?:{_KIND}))(?!\w)", re.IGNORECASE)
_TOWN_AFTER = re.compile(
    rf"(?:queen|king|prince|princess|royal)\b[^,\n]{{0,60}}hospital, (?P<town>{_W}(?: {_W})?)", re.IGNORECASE
)
_WORKPLACE = re.compile(
    rf"\b(?:works? (?:at|for)|employed (?:at|by)|at work at|working (?:at|for)|attends|"
    rf"goes to|(?:teacher|pupil|student|enrolled) at|transfer(?:red)? to|t/f from) +(?P<v>{_W}(?: "
    rf"(?:& |and )?{_W}){{0,4}})"
)
_GENERIC = words("generic")
_CONNECTORS = frozenset(
    ("of", "the", "&", "and", "de", "on", "upon", "le", "st", "st.", "saint", "royal", "queen", "king")
)
_KIND_WORDS = frozenset(re.findall(r"[a-z']+", re.sub(r"\\.|\(\?:|[()?|]", " ", _KIND))) | frozenset(
    [
        "hospitals",
        "pediatrics",
        "paediatrics",
        "center",
        "centre",
        "foundation",
        "trust",
        "nhs",
        "medical",
        "memorial",
        "district",
        "county",
        "veterans",
        "klinikum",
        "klinik",
        "clinica",
        "clínica",
        "chu",
        "hôpital",
        "universität",
        "université",
        "colegio",
    ]
)
_COMPASS = frozenset(("north", "south", "east", "west", "new"))
_WEAK_KINDS = words("weak_kinds")
_WORDS_BACK = 5


def find_organizations(text: str, lexicon: Lexicon) -> list[Span]:
    """Named hospitals, practices, schools and employers."""
    spans = []
    for match in _ENDS.finditer(text):
        start = _name_start(text, match, lexicon)
        if (
            start is not None
            and start < match.start()
            and "\n" not in text[start : match.end()]
            and _specific(match.group(), text[start : match.start()], lexicon)
        ):
            spans.append(_span(start, match.end(), 0.85, "kind"))
    spans += _kind_first(text, lexicon)
    spans += [_span(m.start("v"), m.end("v"), 0.9, "saint") for m in _SAINT.finditer(text)]
    spans += _queens(text, lexicon) + _workplaces(text, lexicon)
    return spans


def is_generic(word: str) -> bool:
    """A word of an organization's name that says its kind, not which one it is."""
    folded = word.casefold()
    return folded in _GENERIC or folded in _CONNECTORS or folded in _COMPASS or folded in _KIND_WORDS


def _span(start: int, end: int, score: float, name: str) -> Span:
    return Span(start=start, end=end, label=Identifier.ORGANIZATION, score=score, found_by=f"organization:{name}")


def _kind_first(text: str, lexicon: Lexicon) -> list[Span]:
    """Names that begin with the kind; words that cannot belong to them are cut off at the end."""
    spans = []
    for match in _BEGINS.finditer(text):
        tokens = list(_TOKEN.finditer(text, match.start("v"), match.end("v")))
        cased = any(ch.islower() for ch in match.group("v")) and any(ch.isupper() for ch in match.group("v"))
        while len(tokens) > 1 and not _may_end(tokens[-1].group(), lexicon, cased=cased):
            tokens.pop()
        if len(tokens) > 1 and (tokens[0].group()[0].isupper() or not cased):
            spans.append(_span(match.start("v"), tokens[-1].end(), 0.8, "kind_first"))
    return spans


def _may_end(word: str, lexicon: Lexicon, *, cased: bool) -> bool:
    folded = word.casefold()
    if lexicon.never_name(word) and folded not in ("health", "hospital"):
        return False
    if folded in _GENERIC and folded not in ("health", "hospital"):
        return False
    return (
        word[0].isupper()
        if cased
        else folded in ("health", "hospital") or lexicon.is_name(word) or not lexicon.is_word(word)
    )


def _name_start(text: str, match: re.Match[str], lexicon: Lexicon) -> int | None:
    """Where the name that ends at ``kind_start`` begins: back over capitalized words, or in unbroken case over
    words that are no ordinary ones."""
    kind_start = match.start()
    line_start = max(text.rfind("\n", 0, kind_start) + 1, kind_start - 80)
    tokens = list(_TOKEN.finditer(text, line_start, kind_start))
    kind = text[kind_start : kind_start + 6]
    line = text[line_start:kind_start]
    cased = (kind[0].isupper() and not kind.isupper()) or (
        any(ch.islower() for ch in line) and any(ch.isupper() for ch in line)
    )
    position, start = kind_start, None
    for token in reversed(tokens[-_WORDS_BACK:]):
        gap = text[token.end() : position]
        if gap.strip(" ") not in ("", ".") or ("." in gap and token.group().casefold() not in ("st", "mt", "ft")):
            break
        word = token.group()
        folded = word.casefold()
        if cased:
            accepted = word[0].isupper() or (start is not None and (folded in _CONNECTORS or lexicon.is_particle(word)))
        else:
            weak = match.group().casefold() in _WEAK_KINDS
            accepted = (
                folded in _CONNECTORS
                or folded in _COMPASS
                or (
                    not (lexicon.never_name(word) or folded in _GENERIC)
                    and (not weak or lexicon.is_name(word) or not lexicon.is_word(word))
                )
            )
        if not accepted:
            break
        position = token.start()
        if folded not in ("of", "the", "&", "and", "on", "upon"):
            start = position
    return start


def _specific(kind: str, name: str, lexicon: Lexicon) -> bool:
    """The words before the kind must say more than which service it is."""
    words = [word.casefold() for word in _TOKEN.findall(name)]
    telling = [
        w for w in words if w not in _GENERIC and w not in _CONNECTORS and (w in _COMPASS or not lexicon.never_name(w))
    ]
    if (kind.casefold() in _WEAK_KINDS and kind[0].islower()) or kind.isupper():
        return any(not lexicon.is_word(w) or lexicon.is_name(w) or w in _COMPASS for w in telling)
    return bool(telling)


def _queens(text: str, lexicon: Lexicon) -> list[Span]:
    ends = (
        (
            m.start(),
            m.start("town"),
            town_end(text, m.start("town"), m.start("town") + _town_length(m.group("town")), lexicon),
        )
        for m in _TOWN_AFTER.finditer(text)
    )
    return [_span(start, end, 0.9, "with_town") for start, town, end in ends if end > town]


def _town_length(town: str) -> int:
    """Without a last word that begins a department's name."""
    words = town.split()
    return len(town) - len(words[-1]) if len(words) > 1 and words[-1].casefold() in _GENERIC else len(town)


def _workplaces(text: str, lexicon: Lexicon) -> list[Span]:
    spans = []
    for match in _WORKPLACE.finditer(text):
        end = None
        for token in _TOKEN.finditer(text, match.start("v"), match.end("v")):
            word = token.group()
            if not (word[0].isupper() or word in ("&", "and", "of")):
                break
            if word[0].isupper():
                end = token.end()
        first = match.group("v").split(" ", 1)[0]
        if end and not lexicon.never_name(first) and first.casefold() not in _GENERIC:
            spans.append(_span(match.start("v"), end, 0.75, "announced"))
    return spans
