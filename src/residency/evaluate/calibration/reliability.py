"""Is a confidence honest?

In: confidences from 0 to 1, whether each answer was right, the patient of every case. Out: a ``Reliability``.

Covers: expected calibration error with its null band and an interval, debiased; Brier score with skill and Murphy's
parts, log loss; calibration in the large and slope, as clinicians know them; AUROC; the bins of a reliability diagram.
Any event can be judged: "the answer is right". Does not cover: making it honest (maps.py), using it (selective.py).

Rejected: bins of equal width (most of them are empty where a model is sure) and an ECE without a null band: with few
cases a perfectly honest model has an ECE well above zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from residency.evaluate.calibration.event import checked, is_right, logit, with_confidence
from residency.evaluate.calibration.logistic import auroc, calibration_slope, in_the_large
from residency.evaluate.intervals import (
    DRAWS,
    Array,
    Interval,
    bootstrap_interval,
    clopper_pearson,
    mean_interval,
)
from residency.evaluate.metrics import align
from residency.records import Example, Prediction

BINS = 15  # of equal mass, EVALUATION.md d7
NULL_DRAWS = 1_000
NULL_LEVEL = 0.95  # share of honest models whose ECE lies inside the band
FLOOR = 1e-12  # probabilities below it count as this in the log loss


class Honesty(StrEnum):
    """What an ECE outside or inside its null band says."""

    CALIBRATED = "calibrated"  # not told apart from honest with these cases
    OVERCONFIDENT = "overconfident"
    UNDERCONFIDENT = "underconfident"


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of similar confidence."""

    confidence: float  # mean
    accuracy: float
    low: float  # Clopper-Pearson, 95 %
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Murphy:
    """Parts of the Brier score over the bins (Murphy 1973): nearly reliability - resolution + uncertainty."""

    reliability: float  # mean squared distance of accuracy and confidence; 0 is honest
    resolution: float  # how far the bins' accuracies spread; larger is better
    uncertainty: float  # of the outcome itself


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far confidence and outcome agree. ``ece`` inside ``null_band`` is what honest confidences give by chance."""

    n: int
    clusters: int
    unscored: int  # cases without a confidence, not part of the rest
    accuracy: float
    confidence: float  # mean
    ece: float
    ece_interval: Interval
    debiased_ece: float  # root mean square over the bins, less what chance adds (Bröcker 2012, Kumar et al. 2019)
    null_band: tuple[float, float]
    honesty: Honesty
    brier: Interval
    skill: float | None  # Brier skill: 1 - Brier / Brier of always saying the base rate; None where all are alike
    murphy: Murphy
    log_loss: Interval  # of the event, nats
    in_the_large: Interval  # intercept of the outcome on the logit with slope 1; 0 is honest, below it overconfident
    slope: Interval  # of the outcome on the logit; 1 is honest, below it too extreme
    auroc: Interval  # how well confidence tells right from wrong answers; 0.5 is not at all
    bins: tuple[Bin, ...]
    note: str = ""


def reliability(
    examples: Sequence[Example], predictions: Sequence[Prediction], *, seed: int = 0, draws: int = DRAWS
) -> Reliability:
    """How honest a system's confidences are; the event is "the answer is right"."""
    cases, kept = with_confidence(examples, align(examples, predictions))
    confidence = [float(p.confidence or 0.0) for p in kept]
    correct = [is_right(e, p) for e, p in zip(cases, kept, strict=True)]
    judged = judge_confidence(confidence, correct, [e.patient for e in cases], seed=seed, draws=draws)
    return replace(judged, unscored=len(examples) - len(kept))


def judge_confidence(
    confidence: Sequence[float],
    correct: Sequence[bool],
    clusters: Sequence[str],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Reliability:
    """Calibration of any yes/no event, EVALUATION.md d7. Raises ``EvaluationError`` for confidences outside 0 to 1."""
    sure, right = checked(confidence, correct)
    places, count = _equal_mass_bins(sure)
    ece = float(_ece(sure, right[None, :], places, count)[0])
    band = null_band(sure, seed=seed)
    honesty = Honesty.CALIBRATED
    if ece > band[1]:
        honesty = Honesty.OVERCONFIDENT if sure.mean() > right.mean() else Honesty.UNDERCONFIDENT
    uncertainty = float(right.mean() * (1 - right.mean()))
    likely = np.clip(np.where(right == 1, sure, 1 - sure), FLOOR, 1.0)
    few = f"{len(sure)} cases: bins of fewer than five cases" if len(sure) < 5 * BINS else ""
    return Reliability(
        n=len(sure),
        clusters=len(set(clusters)),
        unscored=0,
        accuracy=float(right.mean()),
        confidence=float(sure.mean()),
        ece=ece,
        ece_interval=_ece_interval(sure, right, places, count, clusters, seed, draws),
        debiased_ece=_debiased(sure, right, places, count),
        null_band=band,
        honesty=honesty,
        brier=mean_interval(np.square(sure - right), clusters, ceiling=1.0),
        skill=1 - float(np.square(sure - right).mean()) / uncertainty if uncertainty > 0 else None,
        murphy=_murphy(sure, right, places, count),
        log_loss=mean_interval(-np.log(likely), clusters, ceiling=-math.log(FLOOR)),
        in_the_large=in_the_large(logit(sure), right, clusters),
        slope=calibration_slope(logit(sure), right, clusters),
        auroc=auroc(sure, right, clusters),
        bins=_bins(sure, right, places, count),
        note=few,
    )


def expected_calibration_error(confidence: Sequence[float], correct: Sequence[bool]) -> float:
    """ECE over bins of equal mass: the mean distance of accuracy and confidence, weighted by the bins' cases."""
    sure, right = checked(confidence, correct)
    return float(_ece(sure, right[None, :], *_equal_mass_bins(sure))[0])


def null_band(confidence: Sequence[float] | Array, *, seed: int = 0, draws: int = NULL_DRAWS) -> tuple[float, float]:
    """The ECEs, from 0, of ``NULL_LEVEL`` of the worlds in which every confidence is exactly the chance to be right.

    One-sided, because an ECE cannot be too small. Cases are drawn as independent: with many cases a patient the band is
    somewhat too narrow.
    """
    sure = np.sort(np.asarray(confidence, dtype=np.float64))  # drawn in this order, whatever the order of the cases
    places, count = _equal_mass_bins(sure)
    outcomes = (np.random.default_rng(seed).random((draws, len(sure))) < sure).astype(np.float64)
    return 0.0, float(np.quantile(_ece(sure, outcomes, places, count), NULL_LEVEL))


def _equal_mass_bins(sure: Array) -> tuple[NDArray[np.intp], int]:
    """The bin of every case by its rank; cases of equal confidence share a bin, so that their order does not matter."""
    _, group, sizes = np.unique(sure, return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - (sizes + 1) / 2  # mean rank of each group, from 0
    count = min(BINS, len(sure))
    return np.floor(middle / len(sure) * count).astype(np.intp)[group], count


def _ece(sure: Array, outcomes: Array, places: NDArray[np.intp], count: int) -> Array:
    """ECE for each row of outcomes, (draws, n) -> (draws,)."""
    member = np.zeros((len(sure), count))
    member[np.arange(len(sure)), places] = 1.0
    return np.abs((outcomes - sure) @ member).sum(axis=1) / len(sure)


def _bins(sure: Array, right: Array, places: NDArray[np.intp], count: int) -> tuple[Bin, ...]:
    bins = []
    for place in range(count):
        inside = places == place
        n, hits = int(inside.sum()), float(right[inside].sum())
        if n:
            bins.append(Bin(float(sure[inside].mean()), hits / n, *clopper_pearson(hits, n), n))
    return tuple(bins)


def _ece_interval(
    sure: Array, right: Array, places: NDArray[np.intp], count: int, clusters: Sequence[str], seed: int, draws: int
) -> Interval:
    """Bootstrap over patients with the bins held fixed. ECE is never below 0, so that chance pushes it up: read it
    beside the null band."""
    parts = np.zeros((len(sure), count + 1))
    parts[np.arange(len(sure)), places] = right - sure
    parts[:, count] = 1.0

    def ece(sums: Array) -> Array:
        return np.abs(sums[..., :count]).sum(axis=-1) / sums[..., count]

    return bootstrap_interval(parts, clusters, ece, seed=seed, draws=draws, ceiling=1.0)


def _debiased(sure: Array, right: Array, places: NDArray[np.intp], count: int) -> float:
    total = 0.0
    for place in range(count):
        inside = places == place
        n = int(inside.sum())
        if n > 1:
            accuracy = right[inside].mean()
            gap = (accuracy - sure[inside].mean()) ** 2 - accuracy * (1 - accuracy) / (n - 1)
            total += n / len(sure) * gap
    return float(np.sqrt(max(total, 0.0)))


def _murphy(sure: Array, right: Array, places: NDArray[np.intp], count: int) -> Murphy:
    n = np.bincount(places, minlength=count)
    filled = n > 0
    accuracy = np.bincount(places, weights=right, minlength=count)[filled] / n[filled]
    confidence = np.bincount(places, weights=sure, minlength=count)[filled] / n[filled]
    share, base = n[filled] / len(sure), float(right.mean())
    return Murphy(
        float((share * (accuracy - confidence) ** 2).sum()),
        float((share * (accuracy - base) ** 2).sum()),
        base * (1 - base),
    )
