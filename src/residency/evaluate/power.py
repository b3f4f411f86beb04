"""How many cases a study needs: before it, or after it was inconclusive.

In: what is assumed (``Assumptions``). Out: a ``Plan``: cases and patients for each question that a study can ask.

Covers: showing that a system is better, or not worse by more than a margin, in pairs on the same cases (Connor 1987);
knowing a share to a width; certifying a rate of critical errors (exact binomial). Cases of one patient tell less than
as many patients: everything is multiplied by the design effect 1 + (cases a patient - 1) x correlation (Kish 1965).
Does not cover: metrics that are no shares; for these a small pilot and ``Comparison.required_n``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from residency.evaluate.intervals import LEVEL, upper_bound
from residency.settings import Settings

POWER = 0.8  # of a study, where nothing else is asked; the usual convention
ERRORS_PLANNED = (0, 1, 2)  # critical errors that a certification may meet
LARGEST = 1_000_000  # cases; beyond it a study is called impossible


class Assumptions(Settings):
    """What a plan assumes. Better taken from a pilot than guessed."""

    accuracy: float = Field(default=0.85, gt=0, lt=1, description="expected share of right answers")
    difference: float = Field(default=0.05, gt=0, lt=1, description="gain to be shown, in shares of 1")
    discordant: float = Field(
        default=0.15, gt=0, le=1, description="share of cases on which exactly one system will be right"
    )
    margin: float = Field(default=0.05, gt=0, lt=1, description="loss that would not matter, in shares of 1")
    half_width: float = Field(default=0.05, gt=0, lt=0.5, description="half the width of the interval to be reached")
    critical_rate: float = Field(default=0.01, gt=0, lt=1, description="largest rate of critical errors to be shown")
    cases_per_patient: float = Field(default=1.0, ge=1, description="cases of a patient, mean")
    correlation: float = Field(default=0.2, ge=0, le=1, description="correlation of two answers of one patient")
    power: float = Field(default=POWER, gt=0.5, lt=1, description="chance to show what is true")

    @property
    def design_effect(self) -> float:
        return 1 + (self.cases_per_patient - 1) * self.correlation


@dataclass(frozen=True, slots=True)
class Need:
    """Cases and patients that answer one question; None where no number of cases would."""

    question: str
    cases: int | None
    patients: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study needs."""

    assumptions: Assumptions
    design_effect: float
    needs: Mapping[str, Need]


def plan_study(given: Assumptions) -> Plan:
    """Cases for each question. The level of two-sided intervals is that of the evaluation."""
    effect = given.design_effect
    better = required_n(given.difference, given.discordant, design_effect=effect, power=given.power)
    not_worse = required_n_margin(given.margin, given.discordant, design_effect=effect, power=given.power)
    width = math.ceil(_cases_for_width(given.accuracy, given.half_width) * effect)
    asked = {
        "better": (f"show a gain of {given.difference:g} as BETTER", better),
        "non_inferior": (f"show two equal systems as NON-INFERIOR with margin {given.margin:g}", not_worse),
        "interval": (f"know an accuracy of {given.accuracy:g} to within {given.half_width:g}", width),
    }
    for errors in ERRORS_PLANNED:
        question = f"show that critical errors are at most {given.critical_rate:g}, with {errors} of them found"
        # The bound counts documents of different patients: its certainty is exact, and pays for no correlation.
        asked[f"critical_{errors}"] = (question, certification_n(given.critical_rate, errors))
    needs = {name: _need(question, cases, given, name) for name, (question, cases) in asked.items()}
    return Plan(given, effect, needs)


def _need(question: str, cases: int | None, given: Assumptions, name: str) -> Need:
    if cases is None or cases > LARGEST:
        return Need(question, None, None)
    if name.startswith("critical"):
        return Need(question, cases, cases)
    return Need(question, cases, math.ceil(cases / given.cases_per_patient))


def required_n(difference: float, discordant: float, *, design_effect: float = 1.0, power: float = POWER) -> int | None:
    """Cases needed to show a difference of two paired shares (Connor 1987); None where there is none to show.

    ``discordant`` is the share of cases on which exactly one system is right; both are shares of 1.
    """
    if difference == 0:
        return None
    z_alpha, z_beta = normal_quantiles(power)
    spread = max(discordant, abs(difference))  # a difference cannot be larger than the discordant share
    root = z_alpha * math.sqrt(spread) + z_beta * math.sqrt(max(spread - difference**2, 0.0))
    return math.ceil((root / difference) ** 2 * design_effect)


def required_n_margin(
    margin: float, discordant: float, *, difference: float = 0.0, design_effect: float = 1.0, power: float = POWER
) -> int | None:
    """Cases needed to show that a system loses less than ``margin``, if it truly gains ``difference``."""
    step = margin + difference
    if step <= 0:
        return None
    z_alpha, z_beta = normal_quantiles(power)
    spread = max(discordant, abs(difference)) - difference**2
    return math.ceil(((z_alpha + z_beta) / step) ** 2 * spread * design_effect)


def certification_n(rate: float, errors: int) -> int:
    """Fewest documents whose one-sided exact bound is at most ``rate`` with so many errors among them."""
    low, high = errors + 1, errors + 2
    while upper_bound(errors, high) > rate and high < 2 * LARGEST:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if upper_bound(errors, middle) <= rate else (middle + 1, high)
    return low


def _cases_for_width(share: float, half: float) -> float:
    """Independent cases whose Wilson interval is at most twice ``half`` wide."""
    z = normal_quantiles(POWER)[0]
    # The interval's half-width z sqrt(pq/n + z^2/4n^2) / (1 + z^2/n) <= half, solved for n (a quadratic in n).
    a, b, c = half**2, 2 * half**2 * z**2 - z**2 * share * (1 - share), half**2 * z**4 - z**4 / 4
    return (-b + math.sqrt(b**2 - 4 * a * c)) / (2 * a)


def normal_quantiles(power: float) -> tuple[float, float]:
    """Normal quantiles of the two-sided level and of the power."""
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2)), float(ndtri(power))
