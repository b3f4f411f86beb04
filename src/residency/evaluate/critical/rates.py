"""Documents with a critical error, and the bound that a gate may trust.

In: the critical errors of every case. Out: ``Score``s: the critical error rate, and the severity of errors a document.

Covers: the interval of the rate is made of two one-sided 95 % bounds, exact for few errors and clustered by patient
(Clopper-Pearson with the effective number of cases): a gate that holds ``high`` against a limit certifies it with 95 %
confidence (EVALUATION.md d9). Does not cover: how many documents a certification needs (power.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from residency.evaluate.critical.find import CriticalError
from residency.evaluate.critical.table import CriticalTable
from residency.evaluate.intervals import DRAWS, LEVEL, Interval, Shape, Tally, as_score, interval, korn_graubard
from residency.evaluate.metrics.facts import share_of_sums
from residency.records import Example, Prediction, Score

SURE = 0.8  # confidence of a confident critical error (EVALUATION.md d9)
ONE_SIDED = 2 * LEVEL - 1  # level of the two-sided interval whose ends are one-sided bounds at LEVEL


@dataclass(frozen=True, slots=True)
class CriticalCase:
    """A case and its critical errors."""

    example: str
    patient: str
    confidence: float | None
    errors: tuple[CriticalError, ...]

    @property
    def severity(self) -> float:
        return sum(error.severity for error in self.errors)


def critical_cases(
    examples: Sequence[Example], predictions: Sequence[Prediction], errors: Sequence[tuple[CriticalError, ...]]
) -> list[CriticalCase]:
    """Cases with their errors; all three in the same order."""
    return [
        CriticalCase(example.id, example.patient, prediction.confidence, found)
        for example, prediction, found in zip(examples, predictions, errors, strict=True)
    ]


def critical_interval(cases: Sequence[CriticalCase]) -> Interval:
    """The share of documents with a critical error between two one-sided 95 % bounds."""
    return korn_graubard([float(bool(c.errors)) for c in cases], [c.patient for c in cases], level=ONE_SIDED)


def critical_scores(
    of: Prediction, table: CriticalTable, cases: Sequence[CriticalCase], *, draws: int = DRAWS, seed: int = 0
) -> list[Score]:
    """The scores of one system on one task, which ``of`` names."""
    rate = critical_interval(cases)
    cost = interval(critical_tallies(cases)["critical_cost"], [case.patient for case in cases], draws=draws, seed=seed)
    notes = (f"one-sided {LEVEL:.0%} bounds", _counts(cases), f"table: {table.note}")
    return [as_score(of, "critical_error_rate", rate, *notes), as_score(of, "critical_cost", cost)]


def critical_tallies(cases: Sequence[CriticalCase]) -> dict[str, Tally]:
    """What every case adds to the rate and to the cost."""
    parts = np.array([(case.severity, 1.0) for case in cases])
    return {
        "critical_error_rate": Tally.of_scores([float(bool(case.errors)) for case in cases], lower_is_better=True),
        # Bootstrap, though a mean: few documents carry all the severity. Student's t would reach below 0 there, and its
        # upper end would hold less often than it says (`make bench-statistics`).
        "critical_cost": Tally(parts, share_of_sums, Shape.RATIO, lower_is_better=True, ceiling=None),
    }


def _counts(cases: Sequence[CriticalCase]) -> str:
    kinds = Counter(error.kind for case in cases for error in case.errors)
    sure = sum(bool(case.errors) and (case.confidence or 0.0) >= SURE for case in cases)
    named = [f"{kind} {count}" for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0]))]
    return ", ".join([*named, *([f"{sure} with a confidence of at least {SURE:g}"] if sure else [])])
