"""The rate that a judge model reports, corrected by how often the judge is right.

In: how many outputs the judge flagged, and how it did on outputs that people judged; or the verdicts themselves.
Out: ``CorrectedRate``.

Covers: the Rogan-Gladen estimate with the interval of Lang and Reiczigel (2014), which Lee et al. (arXiv 2511.21140)
take for judge models; outputs of one patient, by the effective number of cases. Does not cover: asking a judge.

There is no function that gives the uncorrected rate: a judge that flags one in ten of what is right reports ten per
cent where nothing is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import LEVEL, cluster_codes, effective_n, normal_quantile

LEAST_JUDGED = 20  # outputs of either kind that people must have judged; chosen by us


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; effective numbers need not be whole."""

    hits: float
    of: float

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.of:
            raise EvaluationError(f"{self.hits:g} of {self.of:g} is no share.", fix="Give hits, and of how many.")

    @classmethod
    def of_cases(cls, hits: Sequence[bool], patients: Sequence[str]) -> Share:
        """The share with the effective number of cases: those of one patient go together."""
        if not hits:
            return cls(0, 0)
        scores = np.asarray(hits, dtype=np.float64)
        codes, count = cluster_codes(patients)
        n = effective_n(scores, codes, count) if count < len(scores) else float(len(scores))
        return cls(float(scores.mean()) * n, n)


@dataclass(frozen=True, slots=True)
class JudgedOutput:
    """What the judge said of one output, and what a person said of it, where one did."""

    patient: str
    flagged: bool
    wrong: bool | None = None


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """The rate, its interval, and what the judge can do."""

    value: float
    low: float
    high: float
    n: float
    sensitivity: float
    specificity: float


def rate_of_verdicts(verdicts: Sequence[JudgedOutput]) -> CorrectedRate:
    """The rate of wrong outputs behind a judge's verdicts, by what people said of some of them.

    People have to judge outputs that were drawn by chance, not those that the judge flagged.
    """
    wrong, right = ([one for one in verdicts if one.wrong is side] for side in (True, False))
    return corrected_rate(
        Share.of_cases([one.flagged for one in verdicts], [one.patient for one in verdicts]),
        sensitivity=Share.of_cases([one.flagged for one in wrong], [one.patient for one in wrong]),
        specificity=Share.of_cases([not one.flagged for one in right], [one.patient for one in right]),
    )


def corrected_rate(flagged: Share, *, sensitivity: Share, specificity: Share, level: float = LEVEL) -> CorrectedRate:
    """The true rate behind ``flagged``.

    ``sensitivity``: of the outputs that people found wrong, those that the judge flagged; ``specificity``: of those
    that people found right, the ones that it let pass.
    (p + Sp - 1) / (Se + Sp - 1), cut at 0 and 1 (Rogan & Gladen 1978).
    """
    if flagged.of == 0 or min(sensitivity.of, specificity.of) < LEAST_JUDGED:
        raise EvaluationError(
            f"The judge was measured on {sensitivity.of:.0f} wrong and {specificity.of:.0f} right outputs.",
            fix=f"Have people judge at least {LEAST_JUDGED} of either kind; without it a judge's rate means nothing.",
        )
    informative = sensitivity.hits / sensitivity.of + specificity.hits / specificity.of - 1
    if informative <= 0:
        raise EvaluationError("The judge flags right outputs as often as wrong ones.", fix="Use another judge.")
    value = (flagged.hits / flagged.of + specificity.hits / specificity.of - 1) / informative
    low, high = _interval(flagged, sensitivity, specificity, normal_quantile(level))
    value = min(1.0, max(0.0, value))
    return CorrectedRate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=flagged.of,
        sensitivity=sensitivity.hits / sensitivity.of,
        specificity=specificity.hits / specificity.of,
    )


def _interval(flagged: Share, sensitivity: Share, specificity: Share, z: float) -> tuple[float, float]:
    """Lang & Reiczigel 2014, equations 3 to 6: shares drawn towards a half, a shift, the delta method."""
    n, positives, negatives = flagged.of + z**2, sensitivity.of + 2, specificity.of + 2
    share = (flagged.hits + z**2 / 2) / n
    se, sp = (sensitivity.hits + 1) / positives, (specificity.hits + 1) / negatives
    informative = se + sp - 1
    if informative <= 0:
        return 0.0, 1.0
    rate = min(1.0, max(0.0, (share + sp - 1) / informative))
    of_se, of_sp = se * (1 - se) / positives, sp * (1 - sp) / negatives
    shift = 2 * z**2 * (rate * of_se - (1 - rate) * of_sp)
    spread = math.sqrt(share * (1 - share) / n + (1 - rate) ** 2 * of_sp + rate**2 * of_se) / informative
    return max(0.0, rate + shift - z * spread), min(1.0, rate + shift + z * spread)
