"""Dates: finding them in every form, reading them, and writing another date in the same form.

In: text. Out: spans; a ``WrittenDate`` that knows which digits and words are day, month and year; None for the
dates of loose_dates.py, which are found and not read.

Covers: day-month-year in any order, with any separator, month names (calendar_words.py), ordinals, two-digit
years, weekdays and times of day that belong to the date, the stamps of machines, months with and without a year,
day and month alone where the words before show a date. Does not cover: bare years and weekdays (they may stay),
"three weeks ago".
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from residency.curate.deidentify.calendar_words import MONTH, MONTHS, around_months
from residency.curate.deidentify.labels import Identifier
from residency.curate.deidentify.loose_dates import find_loose_dates
from residency.records import Span

_MONTH = rf"(?P<month_name>{MONTH})"
_WEEKDAY = r"(?:(?P<weekday>mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? +)?"
_ORDINAL = r"(?P<ordinal>st|nd|rd|th|er|\.)?"
_DAY = rf"(?P<day>0?[1-9]|[12]\d|3[01]){_ORDINAL}"
_YEAR = r"(?P<year>(?:19|20)\d\d|'?\d\d)"
_YEAR4 = r"(?P<year>(?:19|20)\d\d)"
_ZONE = r"(?: ?(?:hrs|hours|h|am|pm|a\.m\.|p\.m\.|uhr|Z|UTC|GMT)|[+-]\d\d:?\d\d)?"
_TIME = (
    rf"(?:(?:T|,? *at | +)(?:(?:[01]?\d|2[0-3])[:h.]?[0-5]\d(?:[:.]?[0-5]\d(?:[.,]\d{{1,6}})?)?{_ZONE}|"
    rf"(?:1[0-2]|[1-9]) ?[ap]m)(?![\d/%]))?"
)
_TIME_SURE = r"(?:T| *at | +)(?:[01]?\d|2[0-3]):[0-5]\d(?: ?(?:hrs|am|pm))?"
_OPEN, _CLOSE = r"(?<![\w./^-])", r"(?![\w]|[-/.]\d| ?(?:mg|mcg|ml|units)\b)"
_GAP = r"[ -]*(?:\n *)?"  # a line may end inside a date that has a year

_FORMS = tuple(
    (name, re.compile(_OPEN + pattern + _CLOSE, re.IGNORECASE), score)
    for name, pattern, score in (
        (
            "year_first",
            rf"{_YEAR4}(?P<s>[-/.])(?P<month>0?[1-9]|1[0-2])(?P=s)(?P<day>0?[1-9]|[12]\d|3[01]){_TIME}",
            0.97,
        ),
        (
            "year_month_name_day",
            rf"{_YEAR4}[-/, ]{{1,2}}{_MONTH}\.?[-/ ](?P<day>0?[1-9]|[12]\d|3[01])(?P<ordinal>st|nd|rd|th)?{_TIME}",
            0.95,
        ),
        (
            "compact",
            rf"{_YEAR4}(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])"
            rf"(?:[0-2]\d[0-5]\d(?:[0-5]\d(?:\.\d{{1,6}})?)?(?:[+-]\d{{4}})?|{_TIME})",
            0.9,
        ),
        (
            "numeric",
            rf"(?P<first>0?[1-9]|[12]\d|3[01])(?P<s>[-/.]) ?(?P<second>0?[1-9]|[12]\d|3[01])(?P=s) "
            rf"?{_YEAR}{_TIME}",
            0.93,
        ),
        (
            "numeric_spaced",
            rf"(?P<first>0?[1-9]|[12]\d|3[01]) ?(?P<s>/) ?(?P<second>0?[1-9]|[12]\d|3[01]) ?/ ?{_YEAR}{_TIME}",
            0.9,
        ),
        (
            "day_month_year",
            rf"{_WEEKDAY}(?:the )?{_DAY}(?:[ ]+(?:of |de )?|[-/.]?){_MONTH}\.?(?:[ ]+(?:of |de "
            rf")?|[-/, .]+|,? *(?:\n *)?){_YEAR}{_TIME}",
            0.97,
        ),
        ("month_day_year", rf"{_WEEKDAY}{_MONTH}\.?{_GAP}{_DAY}(?:,? +|[-/,] *|,? *\n *){_YEAR}{_TIME}", 0.97),
        ("day_month", rf"{_WEEKDAY}(?:the )?{_DAY}(?:[ ]+(?:of |de )?|[-/]?){_MONTH}\b{_TIME}", 0.9),
        (
            "month_day",
            rf"{_WEEKDAY}{_MONTH}\.?[ ]+(?P<day>0?[1-9]|[12]\d|3[01])(?P<ordinal>st|nd|rd|th)?(?! "
            rf"*(?:%|mg|kg|months?|weeks?|years?|days?)){_TIME}",
            0.9,
        ),
        ("month_year", rf"{_MONTH}\.?(?:[ ]+(?:of |de )?|[-/, ]+){_YEAR}", 0.9),
        ("slash_month_year", rf"(?P<month>0?[1-9](?=/)|0[1-9]|1[0-2])[-/]{_YEAR4}", 0.8),
        (
            "numeric_pair_time",
            rf"(?P<first>0?[1-9]|[12]\d|3[01])(?P<s>[-/.])(?P<second>0?[1-9]|[12]\d|3[01]){_TIME_SURE}",
            0.93,
        ),
    )
)
_PAIR = re.compile(
    rf"{_OPEN}{_WEEKDAY}(?P<first>0?[1-9]|[12]\d|3[01])(?P<s>/)(?P<second>0?[1-9]|[12]\d|3[01]){_CLOSE}", re.IGNORECASE
)
# Days and months in a row: "19/7 to 20/7", "3/4, 17/4 and 2/5"; the year may stand at one of them.
_DAY_MONTH = r"(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|[12]\d|3[01])"
_WITH_YEAR = rf"{_DAY_MONTH}(?:/(?:(?:19|20)\d\d|\d\d))?"
_TO = r" ?(?:-|to|until|till|til|thru|through) ?"
_ROW = re.compile(
    rf"{_OPEN}{_WITH_YEAR}(?:(?:{_TO}| ?(?:,|&|and|or|, and) ?){_WITH_YEAR}){{1,20}}(?![\w/]|-\d|\.\d)", re.I
)
_IN_ROW = re.compile(r"(?P<first>\d+)/(?P<second>\d+)(?P<year>/\d+)?")
_RANGE = re.compile(rf"{_WITH_YEAR}{_TO}{_WITH_YEAR}", re.IGNORECASE)
_SCORE_BEHIND = re.compile(
    r" ?(?:power|strength|throughout|bilaterally|proximally|distally|reflexes|pain|in (?:the|all|both)|on the|left|"
    r"right)\b",
    re.IGNORECASE,
)
_PAIR_CUE = re.compile(
    r"(?:\b(?:on|of|from|since|until|till|by|dated?|sent|signed|seen|taken|received|"
    r"reported|requested|req'd|appt|appointment|f/u|"
    r"follow-?up|neuro|visit(?:ed)?|call(?:ed)?|due|for|again|between|before|after|admitted|"
    r"discharged|dob|d\.o\.b\.?|born|completed|typed|offered|"
    r"printed|enc|clinic|week of|starting|reviewed|repeat(?:ed)?|done|mri|eeg|emg|ct|bloods|wes))[ :,]*$",
    re.IGNORECASE,
)
_SCORE_CUE = re.compile(
    r"\b(?:power|strength|scores?|scored|gcs|apgars?|reflex\w*|grade|mrc|pain|acuity|"
    r"va|vision|bp|pressure|ratio|stage|rated|rating|jerks?|tone|level)"
    r"\b[^\n;]{0,24}$",
    re.IGNORECASE,
)
_MONTH_ALONE = re.compile(
    r"\b(?P<cue>in|from|since|until|till|by|during|last|next|early|late|mid|this|of|"
    r"around|before|after|for|due|every|each|back in)[ -]+"
    r"(?P<month_name>january|february|march|april|may|june|july|august|september|october|"
    r"november|december)\b(?!['-]\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """What a piece of text says about a date. ``pieces`` are (start, end, kind) inside the text, in order."""

    text: str
    year: int | None
    month: int
    day: int | None
    pieces: tuple[tuple[int, int, str], ...]


def find_dates(text: str) -> list[Span]:
    """Every date; shorter readings of the same place are left out."""
    found: list[Span] = []
    whole, named = [(0, len(text))], around_months(text)
    for name, pattern, score in _FORMS:
        for start, end in named if "month_name" in pattern.groupindex else whole:
            for match in pattern.finditer(text, start, end):
                if _possible(match):
                    found.append(_span(match.start(), match.end(), score, name))
    found.extend(_pairs(text))
    found.extend(_rows(text))
    found.extend(_months_alone(text))
    found.extend(find_loose_dates(text, named))
    return _longest(found)


def _span(start: int, end: int, score: float, name: str) -> Span:
    return Span(start=start, end=end, label=Identifier.DATE, score=score, found_by=f"date:{name}")


def _possible(match: re.Match[str]) -> bool:
    """A numeric date needs a month in one of its first two places."""
    groups = match.groupdict()
    if groups.get("first"):
        return min(int(groups["first"]), int(groups["second"])) <= 12
    if (
        groups.get("month_name", "")
        and match.group().casefold().startswith(("may ", "mar "))
        and not match.group()[0].isupper()
    ):
        if re.match(r" ?(?:or|to|times|x|-)\b", match.string[match.end() : match.end() + 8]):
            return False  # "may 4 or 5 times"
        return (bool(groups.get("year")) and (len(groups["year"]) >= 4 or groups["year"].startswith("'"))) or bool(
            groups.get("day")
        )
    return True


def _pairs(text: str) -> Iterator[Span]:
    for match in _PAIR.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        sure = match.group("weekday") or (_PAIR_CUE.search(before) and not _SCORE_CUE.search(before))
        if sure and _possible(match):
            yield _span(match.start(), match.end(), 0.75, "pair")


def _rows(text: str) -> Iterator[Span]:
    """Days and months that a date or a cue beside them shows to be dates, or of which no score could be made."""
    for row in _ROW.finditer(text):
        parts = list(_IN_ROW.finditer(text, row.start(), row.end()))
        years = [part.group("year") for part in parts]
        pairs = [(int(part.group("first")), int(part.group("second"))) for part in parts]
        before = text[max(0, row.start() - 40) : row.start()]
        if _SCORE_CUE.search(before) or _SCORE_BEHIND.match(text, row.end()) or any(min(pair) > 12 for pair in pairs):
            continue
        of_one_scale = len({second for _, second in pairs}) == 1 and pairs[0][1] > 12  # "from 13/15 to 11/15"
        days = [max(pair) > 12 for pair in pairs]
        no_score = all(days) or (any(days) and _RANGE.fullmatch(row.group()))
        if any(years) or ((_PAIR_CUE.search(before) or no_score) and not of_one_scale):
            yield from (
                _span(part.start(), part.end(), 0.7, "row") for part, year in zip(parts, years, strict=True) if not year
            )


def _months_alone(text: str) -> Iterator[Span]:
    for match in _MONTH_ALONE.finditer(text):
        name = match.group("month_name")
        # "for may" and "of march" are words as often as months; the capital decides, unless all is written in
        # capitals or small letters.
        if name.casefold() in ("may", "march") and not (
            name[0].isupper() or match.group("cue").casefold() in ("in", "since", "until", "during")
        ):
            continue
        yield _span(match.start("month_name"), match.end("month_name"), 0.75, "month")


def _longest(found: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(found, key=lambda s: (s.start, -(s.end - s.start))):
        if kept and span.start < kept[-1].end:
            if span.end - span.start > kept[-1].end - kept[-1].start:
                kept[-1] = span
            continue
        kept.append(span)
    return kept


def read_date(text: str, *, day_first: bool) -> WrittenDate | None:
    """The date that a span's text says, or None where it cannot be read. ``day_first`` decides what 4/5/2019 means."""
    flat = text.replace("\n", " ").replace("\r", " ").replace("\u2019", "'")
    for _, pattern, _ in _FORMS:
        match = pattern.match(flat)
        if match and not flat[match.end() :].strip(" ."):
            return _written(text, match, day_first)
    match = _PAIR.fullmatch(flat) or _MONTH_ONLY.fullmatch(flat)
    return _written(text, match, day_first) if match else None


def prefers_day_first(texts: Iterable[str]) -> bool | None:
    """Whether numeric dates name the day first, from those that leave no choice; None where none does."""
    votes = 0
    for text in texts:
        match = re.match(r"(\d{1,2})([-/.])(\d{1,2})\2", text)
        if match:
            first, second = int(match.group(1)), int(match.group(3))
            votes += (first > 12) - (second > 12)
    return None if votes == 0 else votes > 0


def write_date(written: WrittenDate, new: date) -> str:
    """``new`` in the form of ``written``; what is no part of the date (a time of day) stays."""
    parts: list[str] = []
    position = 0
    for start, end, kind in written.pieces:
        parts += [written.text[position:start], _WRITERS[kind](written.text[start:end], new, written)]
        position = end
    return "".join(parts) + written.text[position:]


def shifted(written: WrittenDate, days: int, *, year_if_unsaid: int) -> str:
    """The date ``days`` later, in the same form. A month without a day is taken at its middle."""
    year = written.year or year_if_unsaid
    day = min(written.day or 15, calendar.monthrange(year, written.month)[1])
    return write_date(written, date(year, written.month, day) + timedelta(days=days))


def _written(text: str, match: re.Match[str], day_first: bool) -> WrittenDate | None:
    groups = {name: value for name, value in match.groupdict().items() if value and name != "s"}
    kinds = dict.fromkeys(groups)
    if "first" in groups:
        first, second = int(groups["first"]), int(groups["second"])
        by_day = first > 12 or (second <= 12 and day_first)
        kinds = {
            name: {"first": "day" if by_day else "month", "second": "month" if by_day else "day"}.get(name)
            for name in groups
        }
        groups["day" if by_day else "month"] = groups.pop("first")
        groups["month" if by_day else "day"] = groups.pop("second")
    pieces = sorted((match.start(name), match.end(name), kind or name) for name, kind in kinds.items())
    month = MONTHS[groups["month_name"].casefold()] if "month_name" in groups else int(groups["month"])
    day = int(groups["day"]) if "day" in groups else None
    year = _full_year(groups["year"]) if "year" in groups else None
    if day and day > calendar.monthrange(year or 2000, month)[1]:
        return None
    return WrittenDate(text=text, year=year, month=month, day=day, pieces=tuple(pieces))


def _full_year(digits: str) -> int:
    year = int(digits.lstrip("'"))
    if year >= 100:
        return year
    return year + (2000 if year < _PIVOT else 1900)


def _day(old: str, new: date, written: WrittenDate) -> str:
    numeric = not any(kind == "month_name" for _, _, kind in written.pieces)
    padded = old.startswith("0") or (numeric and len(old) == 2)
    return f"{new.day:02d}" if padded else str(new.day)


def _month(old: str, new: date, written: WrittenDate) -> str:
    return f"{new.month:02d}" if len(old) == 2 else str(new.month)


def _month_name(old: str, new: date, written: WrittenDate) -> str:
    language, style = _style_of(old, written)
    return like_case(old, _NAMES[language][style][new.month - 1])


def _style_of(old: str, written: WrittenDate) -> tuple[str, str]:
    folded = old.casefold()
    at = written.text.casefold().find(folded)
    glued = written.text[at - 1 : at] in ("-", "/") or written.text[at - 1 : at].isdigit()
    order = (
        ("short", "long")
        if glued or (len(folded) <= 4 and folded not in ("june", "july", "may"))
        else ("long", "short")
    )
    if folded == "sept":  # English as often as French; the other words of an English date decide nothing
        return "en", "short"
    for language, styles in _NAMES.items():
        if folded in styles["long"] and folded in styles["short"]:
            return language, "short" if glued else "long"
        for style in order:
            if folded in styles[style]:
                return language, style
    return "en", "long" if len(old) > 4 else "short"


def _year(old: str, new: date, written: WrittenDate) -> str:
    digits = old.lstrip("'")
    return old[: len(old) - len(digits)] + (f"{new.year:04d}" if len(digits) == 4 else f"{new.year % 100:02d}")


def _ordinal(old: str, new: date, written: WrittenDate) -> str:
    if old in (".", "er"):
        return old
    ending = "th" if 10 <= new.day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(new.day % 10, "th")
    return ending.upper() if old.isupper() else ending


def _weekday(old: str, new: date, written: WrittenDate) -> str:
    name = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")[new.weekday()]
    start = written.text.casefold().find(old.casefold())
    long = written.text[start + len(old) : start + len(old) + 3].casefold() == "day"
    return like_case(old, name.removesuffix("day") if long else name[:3])


def like_case(model: str, word: str) -> str:
    """``word`` in capitals, small letters, or with a first capital, as ``model`` is."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    if model.islower():
        return word.lower()
    return word[:1].upper() + word[1:]


_WRITERS: dict[str, Callable[[str, date, WrittenDate], str]] = {
    "day": _day,
    "month": _month,
    "month_name": _month_name,
    "year": _year,
    "ordinal": _ordinal,
    "weekday": _weekday,
}
_NAMES = {
    "en": {
        "long": (
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ),
        "short": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    },
    "es": {
        "long": (
            "enero",
            "febrero",
            "marzo",
            "abril",
            "mayo",
            "junio",
            "julio",
            "agosto",
            "septiembre",
            "octubre",
            "noviembre",
            "diciembre",
        ),
        "short": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
    },
    "fr": {
        "long": (
            "janvier",
            "février",
            "mars",
            "avril",
            "mai",
            "juin",
            "juillet",
            "août",
            "septembre",
            "octobre",
            "novembre",
            "décembre",
        ),
        "short": ("janv", "févr", "mars", "avr", "mai", "juin", "juil", "août", "sept", "oct", "nov", "déc"),
    },
    "de": {
        "long": (
            "januar",
            "februar",
            "märz",
            "april",
            "mai",
            "juni",
            "juli",
            "august",
            "september",
            "oktober",
            "november",
            "dezember",
        ),
        "short": ("jan", "feb", "mär", "apr", "mai", "jun", "jul", "aug", "sep", "okt", "nov", "dez"),
    },
}
_MONTH_ONLY = re.compile(_MONTH, re.IGNORECASE)
_PIVOT = 30  # two-digit years below are of this century
