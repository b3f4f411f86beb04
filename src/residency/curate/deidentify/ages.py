"""Ages over 89, in digits and words.

In: a reading copy. Out: spans of the age alone, without "years old".

Covers: ages before and after their unit, after the words that announce an age, in a field, behind a relative,
beside a sex ("97F"), as a decade ("in her nineties"), as a word for people of that age. Does not cover: an age that
follows from two dates.

Many things are counted above 89; what follows the number (a unit, a degree, a per cent) decides against an age.
"""

from __future__ import annotations

import re

from residency.curate.deidentify.labels import Identifier
from residency.records import Span

_UNITS_WORD = "one|two|three|four|five|six|seven|eight|nine"
_OLD = (
    rf"(?:9\d|1[01]\d|ninety(?:[- ](?:{_UNITS_WORD}))?|"
    rf"(?:a|one) hundred(?: and (?:{_UNITS_WORD}|ten|eleven|twelve|thirteen|fourteen|fifteen))?)"
)
_NOT_COUNTED = (
    r"(?![\w%/.]\S|[-–]\d|\s?(?:%|percent|per cent|degrees?|°|days?\b|weeks?\b|months?\b|hours?\b|minutes?\b|mins?\b|"
    r"seconds?\b|kg|g\b|cm|mm\b|m\b|mg|ml|mmhg|bpm|beats|lbs?\b|pounds?\b|metres?\b|meters?\b|tablets?\b|units?\b|"
    r"points?\b|out of|or (?:more|less)|/|x\b|times\b|kcal|calories|episodes|seizures|steps|[cf]\b))"
)
_YEARS = r"(?:years?|yrs?|y)\b"
_PERSON = (
    r"(?:(?:grand|great|god)?-?(?:mother|father|parents?|aunt|uncle|nan|gran|granny|gr[a-z]{2,5}m?other|grandma|grandpa|"
    r"sister|brother|wife|husband|spouse|patient|he|she|who)\w*)"
)
_FORMS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:\b(?:aged?|lived to|li\w?ed to|died at|died aged|survived to|turned|turn\w{{2,4}}|"
        rf"turning|reached|age of|until age|tuened|age (?:over|above|at death)|passed away at|deceased at)\s+)"
        rf"(?P<v>{_OLD}){_NOT_COUNTED}",
        rf"(?<![\w.])(?P<v>{_OLD})\+?(?=[ -]?(?:{_YEARS}[ -]?(?:old|f|m|female|male|woman|man|lady|gentleman)\b|y/?o\b|"
        rf"y\.o\.|y\.?/o|{_YEARS} of age|-?jährig|ans\b|años|jahre))",
        rf"\b{_PERSON}\b(?:[^.;:\n]|(?<=\b\w)\.){{0,40}}?\b(?:is|"
        rf"was|now)\s+(?P<v>{_OLD})(?=\s*(?:and(?! (?:regular|irregular|\d))|,|\.(?!\d)|;|now|years|$))(?!\s*(?:%|/))",
        rf"\b(?:age|alter|edad|âge)(?: ?(?:/|and|&) ?(?:sex|gender))?[\"']? ?[:=|] ?[\"']?(?P<v>{_OLD})"
        rf"(?!\d|\s?(?:days|weeks|months|hours|%))",
        rf"\bage\s+(?P<v>{_OLD})(?=\s*{_YEARS})",
        rf"\b{_PERSON}(?:,? \(|, )(?P<v>{_OLD})(?=[),])",
        r"\b(?:in (?:his|her|their) )(?:early |mid[- ]|late |mid to late )?(?P<v>(?:nineties|'?90'?s|hundreds))\b",
        r"\b(?P<v>(?:nona|cente|supercente)(?:genarian|narian)s?)\b",
        r"\b(?P<v>9\dth|9[0-9](?:st|nd|rd)|1[01]\d(?:th|st|nd|rd)|ninetieth|hundredth|"
        r"ninety-(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth))(?= (?:birthday|year of (?:life|age)))",
        r"\bin (?:his|her|their) (?P<v>9\d(?:th|st|nd|rd)|ninetieth|hundredth|"
        r"ninety-(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth))(?= year\b)",
    )
)
# "97F", "95 M with weakness": a sex in a capital right behind, and then a person's story, no temperature.
_WITH_SEX = re.compile(
    r"(?<![\w.,/-])(?P<v>9\d|1[01]\d)(?=[MF](?![\w°/])|[- ]?[MF] (?:with|presents?|presenting|who|w/|c/o|admitted|"
    r"seen|here|referred|brought|found|from|h/o|hx|s/p|in for)\b|[- ]?(?:year|yr)s?[- ][MF](?!\w))"
)
_TEMPERATURE = re.compile(r"\b(?:temp\w*|fever|febrile|t|tmax|to|of|at)[ :=]*$", re.IGNORECASE)


def find_ages(text: str) -> list[Span]:
    """Every age over 89."""
    spans = [_span(match) for pattern in _FORMS for match in pattern.finditer(text)]
    return spans + [
        _span(match)
        for match in _WITH_SEX.finditer(text)
        if not _TEMPERATURE.search(text, max(0, match.start() - 12), match.start())
    ]


def _span(match: re.Match[str]) -> Span:
    return Span(
        start=match.start("v"), end=match.end("v"), label=Identifier.AGE_OVER_89, score=0.9, found_by="keyed:age"
    )
