"""Policies: one dial that says what may stay, and how what may not is replaced.

Covers: the three ways of 45 CFR 164.514 as readable bundles; the modes of replacement. Does not cover:
whether a use of the data is lawful; a privacy officer decides that.

Safe Harbor (164.514(b)(2)) knows no shifted dates: only the year may stay, and not the year that shows an age
over 89. Dates that keep their intervals belong to an expert's determination (164.514(b)(1)) or a limited data
set (164.514(e)), which may also keep towns and postal codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Policy(StrEnum):
    """Which identifiers may stay, and in what form."""

    SAFE_HARBOR = "safe_harbor"
    EXPERT_DETERMINATION = "expert_determination"
    LIMITED_DATA_SET = "limited_data_set"


class Mode(StrEnum):
    """What is written in an identifier's place."""

    SURROGATE = "surrogate"  # an invented one of the same form
    TAG = "tag"  # its class: [NAME]
    GENERALIZE = "generalize"  # what is left when the identifying part goes: a year, 90+, a postal area; else its class


class DateRule(StrEnum):
    """What happens to a date."""

    YEAR = "year"  # only the year stays; none where it would show an age over 89
    SHIFT = "shift"  # moved by the patient's secret offset


class PlaceRule(StrEnum):
    """What happens to a town or postal code. Streets are always replaced."""

    ZIP3 = "zip3"  # towns are replaced; three digits of a ZIP code stay where enough people live
    REPLACE = "replace"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a policy means."""

    dates: DateRule
    places: PlaceRule
    ages_over_89: bool  # True: they may stay


RULES: dict[Policy, Rules] = {
    Policy.SAFE_HARBOR: Rules(dates=DateRule.YEAR, places=PlaceRule.ZIP3, ages_over_89=False),
    Policy.EXPERT_DETERMINATION: Rules(dates=DateRule.SHIFT, places=PlaceRule.REPLACE, ages_over_89=False),
    Policy.LIMITED_DATA_SET: Rules(dates=DateRule.SHIFT, places=PlaceRule.KEEP, ages_over_89=True),
}

# Areas of 20,000 people or fewer in the census of 2020 (HHS guidance on 164.514(b)(2)(i)(B), list after that census).
RESTRICTED_ZIP3 = frozenset(
    [
        "036",
        "059",
        "102",
        "202",
        "203",
        "204",
        "205",
        "369",
        "556",
        "692",
        "753",
        "772",
        "821",
        "823",
        "878",
        "879",
        "884",
        "893",
    ]
)


def general_zip(code: str) -> str:
    """Three digits of a ZIP code, or 000 where too few people live: ``"03601"`` becomes ``"000**"``."""
    area = code[:3]
    return ("000" if area in RESTRICTED_ZIP3 else area) + "**"
