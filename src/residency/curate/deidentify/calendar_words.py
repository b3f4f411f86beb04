"""The words of the calendar: months, weekdays, seasons, holidays, and numbers in words.

In: nothing, or a reading copy. Out: patterns, the number of each month; where in a text months are named.

Covers: months of English, Spanish, French and German with their short forms, and the long ones of Italian, Dutch
and Portuguese; ordinals and years in English words. Does not cover: what makes a date of them (dates.py,
loose_dates.py).
"""

from __future__ import annotations

import re

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan enero janvier januar jänner gennaio januari janeiro",
            "february feb febr febrero février fevrier februar febbraio februari fevereiro",
            "march mar marzo mars märz maerz maart março",
            "april apr abril avril avr aprile",
            "may mayo mai maggio maio",
            "june jun junio juin juni giugno junho",
            "july jul julio juillet juli luglio julho",
            "august aug agosto août aout augustus",
            "september sept sep septiembre setiembre septembre settembre setembro",
            "october oct octubre octobre oktober okt ottobre outubro",
            "november nov noviembre novembre novembro",
            "december dec diciembre décembre decembre dezember dez dic dicembre dezembro",
        ),
        1,
    )
    for name in names.split()
}
MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_MONTH_BEGINS = re.compile("(?<![a-z])(?:" + "|".join(sorted({name[:3] for name in MONTHS})) + ")", re.IGNORECASE)
_BEFORE_MONTH, _AFTER_MONTH = 60, 80  # characters; the longest date in words is shorter
WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
SEASON = "spring|summer|autumn|fall|winter"
# Days that are a date by themselves, and seasons of feasts that are one where a word or a year says when.
HOLIDAY = (
    r"(?:christmas|boxing|new year'?s|valentine'?s|st\.? ?(?:patrick|andrew|george)'?s|memorial|labou?r|independence|"
    r"thanksgiving|veterans'?|presidents'?|martin luther king(?:,? jr\.?)?|mlk|columbus|father'?s|mother'?s|bastille|"
    r"canada|anzac|armistice|remembrance|groundhog|earth|guy fawkes|bonfire|all saints'?) (?:day|night)|"
    r"(?:christmas|new year'?s) eve|easter (?:sunday|monday)|good friday|palm sunday|ash wednesday|yom kippur|"
    r"rosh hashanah|hall?owe'?en|cinco de mayo|(?:chinese|lunar) new year|pancake day|shrove tuesday"
)
FEAST = r"christmas|xmas|easter|thanksgiving|ramadan|eid(?: al-\w+)?|diwali|han(?:n)?uk(?:k)?ah|passover|new year|lent"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_BELOW_HUNDRED = rf"(?:(?:{_TENS})(?:[ -](?:{_ONES}))?|{_TEENS}|{_ONES})"
YEAR_WORDS = (
    rf"(?:two thousand(?:,? (?:and )?{_BELOW_HUNDRED})?|(?:nineteen|twenty)[ -](?:hundred(?: and)? {_BELOW_HUNDRED}|"
    rf"(?:oh|o)[ -](?:{_ONES})|(?:{_TENS})(?:[ -](?:{_ONES}))?|{_TEENS}))"
)
_ORDINAL_ONES = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth"
DAY_WORDS = (
    rf"(?:(?:twenty|thirty)[ -](?:{_ORDINAL_ONES})|{_ORDINAL_ONES}|tenth|eleventh|twelfth|thirteenth|fourteenth|"
    r"fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)


def around_months(text: str) -> list[tuple[int, int]]:
    """The stretches of ``text`` that may hold a date with a month's name; reading only these takes a third of the
    time."""
    stretches: list[tuple[int, int]] = []
    for match in _MONTH_BEGINS.finditer(text):
        start, end = max(0, match.start() - _BEFORE_MONTH), match.end() + _AFTER_MONTH
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches
