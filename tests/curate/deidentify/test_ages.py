"""Ages over 89, in digits and in words."""

from __future__ import annotations

import pytest

AGES = [
    ("a ninety-three-year-old woman", "ninety-three"),
    ("93yo man", "93"),
    ("93 y/o female", "93"),
    ("93 y.o.", "93"),
    ("94 yrs old", "94"),
    ("Age: 94", "94"),
    ("AGE/SEX: 94/F", "94"),
    ("Age 91 y", "91"),
    ("aged 101", "101"),
    ("aged one hundred and two", "one hundred and two"),
    ("97F with falls", "97"),
    ("95M presents", "95"),
    ("95 M with weakness", "95"),
    ("a 96 yr F", "96"),
    ("turned 90 last week", "90"),
    ("at the age of ninety one", "ninety one"),
    ("in her nineties", "nineties"),
    ("in his late 90s", "90s"),
    ("a nonagenarian", "nonagenarian"),
    ("This centenarian walks unaided", "centenarian"),
    ("celebrated her 100th birthday", "100th"),
    ("in her ninety-second year", "ninety-second"),
    ("92 years of age", "92"),
    ("her grandmother lived to 98", "98"),
    ("died aged 95 of stroke", "95"),
    ("mother died at 92", "92"),
    ("father, 93, has dementia", "93"),
    ("Mother (91): stroke", "91"),
    ("a 92-yr-old gentleman", "92"),
    ("92-years-old", "92"),
    ("Alter: 92 Jahre", "92"),
    ("âgée de 93 ans", "93"),
    ("90+ year old", "90"),
    ("age over 90", "90"),
    ("92 year-old", "92"),
    ("age=103", "103"),
    ('"age": 95', "95"),
]


@pytest.mark.parametrize(("text", "value"), AGES)
def test_an_age_over_89_is_found(found, text: str, value: str) -> None:
    assert (value, "AGE_OVER_89") in found(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "SpO2 95 %, HR 95, 95 mg, 95 kg, 97 F, temp 97.9 F, 98 cm",
        "a 72-year-old man; aged 45; Age: 88; 89yo; in his eighties; an octogenarian",
        "turned 90 degrees; reached 95 % of target; age of onset 12",
        "BP was 95/60, sats were 96 on air, he was 95 kg",
        "he is 110 cm tall; she was 98 kg; was 92 percent",
        "the 90s; from the nineties on; 95th centile; 97th percentile; 100th seizure",
        "ninety tablets; one hundred and two metres; 95 M sodium",
        "he improved by 90 or more; IQ 95; score was 92.",
        "age 90 days; 95 weeks of age; aged 100 hours",
        "HR is 95 and regular; his pulse was 96, BP 120/80",
    ],
)
def test_other_numbers_above_89_stay(found, text: str) -> None:
    assert found(text) == [[]]
