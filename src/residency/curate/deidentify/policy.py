"""Policies: one dial that says what may stay, how what may not is replaced, and what a person must have checked.

In: a policy's name, or a mapping that says what differs from a named one. Out: a ``Policy``.

Covers: the three ways of 45 CFR 164.514 as readable files (policies/), a team's own policy based on one of them, the
limits that the release gate holds reviewed documents against. Does not cover: whether a use of the data is lawful; a
privacy officer decides that.

Safe Harbor (164.514(b)(2)) knows no shifted dates and no codes derived from the original. Dates that keep their
intervals belong to an expert's determination (164.514(b)(1)) or a limited data set (164.514(e)).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from residency.settings import Settings, read_yaml


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


class CodeRule(StrEnum):
    """What happens to numbers and codes that identify."""

    SURROGATE = "surrogate"  # digits for digits, drawn with the key from the original
    TAG = "tag"  # their class, whatever the mode: no code is derived


class ReviewRule(Settings):
    """What people must have found before text is handed to training."""

    before_training: bool = Field(
        default=True, description="refuse training until the limits below hold and a person has released the set"
    )
    missed_at_most: float = Field(
        default=0.05, gt=0, lt=1, description="upper bound of the share of identifiers missed, each class, ratio"
    )
    missed_by_class: Mapping[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default={}, description="another bound for a class, e.g. {SSN: 0.01}, ratio"
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the one-sided exact bound, ratio")
    pool_below: int = Field(
        default=100,
        ge=0,
        description="classes found less often than this are bounded together: alone they could never prove it, count",
    )
    second_reader: float = Field(
        default=0.1, ge=0, le=1, description="share of the documents that Presidio as shipped reads as well, ratio"
    )
    smallest_cell: int = Field(
        default=5, ge=1, description="cells of quasi-identifiers with fewer patients are listed, count"
    )
    quasi_identifiers: tuple[str, ...] = Field(
        default=(), description="columns of the label file that narrow down who somebody is, such as a rare diagnosis"
    )


class Policy(Settings):
    """Which identifiers may stay, and in what form."""

    name: str = Field(min_length=1, description="name of the policy")
    about: str = Field(default="", description="what it means, for the evidence that a privacy officer signs")
    dates: DateRule = Field(description="year: only the year stays; shift: moved by the patient's secret offset")
    places: PlaceRule = Field(description="towns and postal codes: zip3, replace or keep; streets always go")
    ages_over_89: bool = Field(description="true: they may stay; false: they become 90+")
    codes: CodeRule = Field(description="numbers that identify: surrogate, or tag (nothing derived)")
    review: ReviewRule = Field(default=ReviewRule(), description="what people must have found before training")

    @property
    def derives_codes(self) -> bool:
        """Whether a code may be computed from what it stands for, be it with a secret key."""
        return self.codes is CodeRule.SURROGATE


LIMITS = frozenset({"before_training", "missed_at_most", "missed_by_class", "confidence", "pool_below"})
"""Settings of a ``ReviewRule`` that judge evidence; changing one makes no text or evidence stale."""
BASED_ON = "based_on"
_NAME = re.compile(r"[a-z_-]{1,40}")
_QUOTED = re.compile(r"(alias|tag|handle) '.*'", re.DOTALL)  # what YAML's errors repeat of the file
NAMES = ("safe_harbor", "expert_determination", "limited_data_set")


def load_policy(name: str) -> Policy:
    """A policy that comes with the package. ValueError where there is none of that name."""
    if name not in NAMES:
        # A file that is no policy may be a record: only what looks like a name is repeated.
        shown = repr(name) if _NAME.fullmatch(name) else "of that name"
        raise ValueError(f"there is no policy {shown}; policies are {', '.join(NAMES)}, or write your own settings")
    return Policy.model_validate(_bundle(name))


def policy_of(written: Any) -> Any:
    """What a person wrote, a name or settings ``based_on`` a named policy, as the settings of a whole policy."""
    if isinstance(written, str):
        return load_policy(written)
    if isinstance(written, Mapping) and BASED_ON in written:
        base = load_policy(str(written[BASED_ON])).model_dump()
        own = {key: value for key, value in written.items() if key != BASED_ON}
        return {**base, "name": f"own, based on {base['name']}", "about": "", **own}
    return written


PolicyField = Annotated[Policy, BeforeValidator(policy_of)]
"""A policy in settings: a name, or settings of its own."""


def read_policy(text: str) -> Policy:
    """A policy from a YAML file's text: a name, or settings. ValueError (pydantic's among them) says what is wrong."""
    try:
        written = policy_of(read_yaml(text))
    except yaml.YAMLError as error:
        problem = _QUOTED.sub(r"\1", getattr(error, "problem", "") or "a character that YAML does not allow")
        raise ValueError(f"not YAML: {problem}") from None
    return written if isinstance(written, Policy) else Policy.model_validate(written)


@cache
def _bundle(name: str) -> Any:
    return read_yaml(files(__package__).joinpath("policies", f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def areas_of_few_people() -> frozenset[str]:
    """The first three digits of ZIP codes that must not stay (policies/zip3.toml says where they come from)."""
    lists = tomllib.loads(files(__package__).joinpath("policies", "zip3.toml").read_text(encoding="utf-8"))
    return frozenset(area for areas in lists.values() for area in areas.split())


def general_zip(code: str) -> str:
    """Three digits of a ZIP code, or 000 where too few people live: ``"03601"`` becomes ``"000**"``."""
    area = code[:3]
    return ("000" if area in areas_of_few_people() else area) + "**"
