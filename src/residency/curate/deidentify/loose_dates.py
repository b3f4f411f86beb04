"""Dates that name no single day in digits: words, holidays, seasons, quarters, weeks, ranges, fields without
separators.

In: a reading copy. Out: DATE spans. They are found here and read nowhere: whoever replaces them writes the whole
anew.

Covers: "the third of May two thousand and nine", "Christmas 2018", "spring of 2012", "12-14 March 2020",
"Q3 2019", "week 12 of 2020", "DOB 04031956", "on the 14th." Does not cover: intervals ("three weeks ago") and bare
years, which may stay; feasts that no word or year ties to a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from residency.curate.deidentify.calendar_words import (
    DAY_WORDS,
    FEAST,
    HOLIDAY,
    MONTH,
    SEASON,
    WEEKDAY,
    YEAR_WORDS,
    around_months,
)
from residency.curate.deidentify.labels import Identifier
from residency.records import Span

_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR4 = r"(?:19|20)\d\d"
_YEAR = rf"(?:{_YEAR4}|'\d\d)"
_TO = r" ?(?:-|/|to|and|&|until|till|through|thru) ?"
# Each form: its name, words of which one must be there (none: any), its pattern, its score.
_IN_WORDS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
             "twelfth", "teenth", "tieth", "thousand", "nineteen", "twenty")  # fmt: skip
_SEASONS = tuple(SEASON.split("|"))
_FEASTS = ("mas", "easter", "thanks", "ramadan", "eid", "diwali", "uk", "passover", "new year", "lent")
_HOLIDAYS = ("day", "night", " eve", "friday", "yom", "rosh", "oween", "mayo", "new year")
_FORMS = tuple(
    (name, needed, re.compile(rf"(?<![\w./^-])(?P<v>{pattern})(?![\w]|[-/.]\d)", re.IGNORECASE), score)
    for name, needed, pattern, score in (
        (
            "words", (),
            rf"(?:{WEEKDAY},? )?(?:the )?(?:{DAY_WORDS}|{_DAY}) (?:of |day of )?(?:{MONTH})"
            rf"(?:,? (?:in )?(?:{YEAR_WORDS}|{_YEAR4}))?",
            0.9,
        ),
        (
            "words", _IN_WORDS,
            rf"(?:{WEEKDAY},? )?(?:{MONTH}) (?:the )?(?:{DAY_WORDS}|{_DAY})(?:,? (?:{YEAR_WORDS}|{_YEAR4}))",
            0.9,
        ),
        ("words", _IN_WORDS, rf"(?:{MONTH}) (?:the )?{DAY_WORDS}(?! (?:of|time|attempt|visit|seizure|dose)\b)", 0.8),
        ("words", _IN_WORDS, rf"(?:{MONTH})(?: of)?,? {YEAR_WORDS}", 0.9),
        ("holiday", _HOLIDAYS, rf"(?:{HOLIDAY})(?:,? (?:of |in )?{_YEAR})?", 0.8),
        ("holiday", _FEASTS, rf"(?:{FEAST}),? (?:of |in )?{_YEAR}", 0.9),
        ("season", _SEASONS, rf"(?:{SEASON})(?: of| in|,)? {_YEAR}(?:[-/]\d\d)?", 0.85),
        ("range", (), rf"{_DAY}{_TO}{_DAY} (?:of )?(?:{MONTH})\.?(?:,? {_YEAR})?", 0.9),
        ("range", (), rf"(?:{MONTH})\.? {_DAY}{_TO}{_DAY},? {_YEAR4}", 0.9),
        ("range", (), rf"(?:{MONTH})\.?{_TO}(?:{MONTH})\.?,? (?:of )?{_YEAR}", 0.85),
        ("range", ("/",), rf"(?P<a>\d\d?)/(?P<b>\d\d?){_TO}\d\d?/\d\d?/(?:{_YEAR4}|\d\d)", 0.9),
        ("quarter", ("q", "h1", "h2"), rf"[QH][1-4][ /'-]*(?:of )?{_YEAR}|{_YEAR4}[ -]?[QH][1-4]", 0.85),
        (
            "quarter", ("quarter", "half", "trimester"),
            rf"(?:first|second|third|fourth|last|1st|2nd|3rd|4th) (?:quarter|half|trimester) of {_YEAR}",
            0.85,
        ),
        (
            "week", ("week", "wk", "kw", "w0", "w1", "w2", "w3", "w4", "w5"),
            rf"(?:week|wk|KW|calendar week)\.? ?\d\d?(?:,| of| in|/)? ?{_YEAR4}|{_YEAR4}-?W[0-5]\d(?:-[1-7])?",
            0.85,
        ),
        ("fiscal", ("fy",), r"FY ?(?:20)?\d\d[-/]\d\d", 0.8),
    )
)  # fmt: skip
_AFTER_CUE = tuple(
    (name, needed, re.compile(pattern, re.IGNORECASE), score)
    for name, needed, pattern, score in (
        (
            "birth", ("dob", "d.o.b", "born", "birth", "bdate", "geb", "né", "nee"),
            r"\b(?:dob|d\.o\.b\.?|born(?: on)?|birth ?date|date of birth|bdate|geb\.?(?:oren)?(?: am)?|n[ée]e? le)"
            r"[\"']?[ :=|\"'\n]{1,4}"
            r"(?P<v>[0-3]\d[01]\d(?:19|20)\d\d|[01]\d[0-3]\d(?:19|20)\d\d|\d\d? \d\d? (?:19|20)?\d\d|\d{6})(?![\w/.-])",
            0.9,
        ),
        (
            "feast", _FEASTS,
            rf"\b(?:since|before|after|over|around|at|last|this|until|till|by|during|for|on|from) (?P<v>{FEAST})(?!\w|"
            rf"')",
            0.6,
        ),
        (
            "day", ("the ",),
            r"\b(?:on|by|until|till|since|before|from) the (?P<v>(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th))"
            r"(?= (?:inst|ult)\b|[.,;)]?(?:\s*$|\n)|[.;,)] )",
            0.6,
        ),
    )
)  # fmt: skip
_WITH_MONTH = frozenset(id(pattern) for _, _, pattern, _ in _FORMS if MONTH in pattern.pattern)
_WORDS_FIRST = ("may", "mar", "march", "sun", "sat", "dec")


_OLDEST = 89  # years
_BIRTH_YEAR = re.compile(
    r"\b(?:born|b\.|birth year|year of birth|yob|d\.?o\.?b\.?|date of birth|geb(?:oren)?\.?|né[e]?)"
    r"(?: in| on)?[ :=|]{1,3}(?P<v>(?:18|19)\d\d)(?![\w/.-]*\d)",
    re.IGNORECASE,
)


def find_loose_dates(text: str, months: Iterable[tuple[int, int]] | None = None) -> list[Span]:
    """Every date of these forms; they may overlap each other and the dates of dates.py. ``months`` are the
    stretches of ``around_months``, where they are known already."""
    lowered = text.lower()
    whole = ((0, len(text)),)
    named = around_months(text) if months is None else tuple(months)
    return [
        Span(start=match.start("v"), end=match.end("v"), label=Identifier.DATE, score=score, found_by=f"date:{name}")
        for name, needed, pattern, score in (*_FORMS, *_AFTER_CUE)
        if not needed or any(word in lowered for word in needed)
        for start, end in (named if id(pattern) in _WITH_MONTH else whole)
        for match in pattern.finditer(text, start, end)
        if not _is_a_verb(match.group("v"))
    ] + _old_birth_years(text)


def _old_birth_years(text: str) -> list[Span]:
    """A bare year stays, unless it is a year of birth that shows an age over 89 (45 CFR 164.514(b)(2)(i)(C))."""
    return [
        Span(start=m.start("v"), end=m.end("v"), label=Identifier.DATE, score=0.9, found_by="date:old_birth_year")
        for m in _BIRTH_YEAR.finditer(text)
        if int(m.group("v")) < date.today().year - _OLDEST
    ]


def _is_a_verb(value: str) -> bool:
    """Of "may third" and "march first": in small letters and without a year these are words of a sentence."""
    first = value.split(" ", 1)[0]
    return first in _WORDS_FIRST and not any(map(str.isdigit, value)) and "thousand" not in value
