"""Is a confidence honest, and what is gained by asking a person about the least certain answers?

In: predictions of a classify task with probabilities: those of the calibration split to fit, others to judge.
Out: a ``Calibration`` (temperature) and predictions with calibrated confidence; a ``Reliability`` with its bins; the
curve of accuracy against coverage.

Covers: temperature scaling of the label probabilities; expected calibration error with its null band, Brier score,
log loss; selective accuracy, area under the risk-coverage curve. Any event can be judged: "the answer is right".
Does not cover: confidence of free text and of lists of findings; conformal sets.

Rejected: bins of equal width (most of them are empty where a model is sure) and an ECE without a null band: with few
cases a perfectly honest model has an ECE well above zero. Rejected: isotonic regression, which needs a thousand cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from residency.errors import EvaluationError
from residency.evaluate.intervals import Array, Interval, clopper_pearson, mean_interval, share_interval
from residency.evaluate.metrics import align
from residency.records import Example, Prediction

BINS = 15  # of equal mass, EVALUATION.md d7
NULL_DRAWS = 1_000
NULL_LEVEL = 0.95  # share of honest models whose ECE lies inside the band
COLDEST, HOTTEST = 0.05, 20.0  # temperatures searched; at either end a model is far beyond repair by temperature
FLOOR = 1e-12  # probabilities below it count as this, so that one impossible gold label cannot decide the fit


class Honesty(StrEnum):
    """What an ECE outside or inside its null band says."""

    CALIBRATED = "calibrated"  # not told apart from honest with these cases
    OVERCONFIDENT = "overconfident"
    UNDERCONFIDENT = "underconfident"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature and how it came about. Above 1 it lowers confidence, below 1 it raises it, at 1 it does nothing."""

    temperature: float
    n: int  # cases that it was fitted on
    nll_before: float | None  # mean log loss of the gold label on these cases, nats
    nll_after: float | None
    note: str = ""

    def apply(self, prediction: Prediction) -> Prediction:
        """The prediction with calibrated probabilities; its confidence is the largest of them. Its answer stays."""
        if not prediction.probabilities or not prediction.scored:
            return prediction
        labels = list(prediction.probabilities)
        logs = _logs([prediction])[0]
        values = [float(value) for value in np.exp(_scaled(logs[None, :], self.temperature)[0])]
        return replace(prediction, probabilities=dict(zip(labels, values, strict=True)), confidence=max(values))


IDENTITY = Calibration(temperature=1.0, n=0, nll_before=None, nll_after=None, note="not calibrated")


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of similar confidence."""

    confidence: float  # mean
    accuracy: float
    low: float  # Clopper-Pearson, 95 %
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far confidence and outcome agree. ``ece`` inside ``null_band`` is what honest confidences give by chance."""

    n: int
    clusters: int
    unscored: int  # cases without a confidence, not part of the rest
    accuracy: float
    confidence: float  # mean
    ece: float
    null_band: tuple[float, float]
    honesty: Honesty
    brier: Interval
    log_loss: Interval  # of the event, nats
    bins: tuple[Bin, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """Answering only where confidence is at least ``threshold``, and asking a person otherwise."""

    threshold: float
    coverage: float  # share of all cases that are answered
    accuracy: Interval  # of the answered ones


@dataclass(frozen=True, slots=True)
class Selective:
    """What confidence is worth for choosing which answers to trust."""

    points: tuple[CoveragePoint, ...]  # from the most certain cases to all
    aurc: float  # area under the risk-coverage curve, lower is better
    excess_aurc: float  # above that of a perfect order of the same answers
    accuracy: float  # at full coverage


def fit_temperature(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Calibration:
    """The temperature with the smallest log loss of the gold labels (Guo et al. 2017); the calibration split goes in.

    The loss is convex in 1 / temperature, so that a bounded one-dimensional search finds the minimum. Left at 1, with
    the reason, where the cases cannot tell: fewer than two, no probabilities, all answers right or all wrong.
    """
    aligned = align(examples, predictions)
    fitted = [(e, p) for e, p in zip(examples, aligned, strict=True) if str(e.gold) in p.probabilities and p.scored]
    for _, prediction in fitted:
        _check_probabilities(prediction)
    right = sum(prediction.value == example.gold for example, prediction in fitted)
    if len(fitted) < 2 or right in (0, len(fitted)):
        note = (
            f"left at 1: of {len(aligned)} cases {len(fitted)} have a probability of the gold label, {right} are right"
        )
        return replace(IDENTITY, n=len(fitted), note=note)
    logs = _logs([prediction for _, prediction in fitted])
    gold = np.array([list(p.probabilities).index(str(e.gold)) for e, p in fitted])
    temperature = _best_temperature(logs, gold)
    notes = []
    if len(fitted) < len(aligned):
        notes.append(f"{len(aligned) - len(fitted)} cases without a probability of the gold label left out")
    if min(temperature / COLDEST, HOTTEST / temperature) < 1.01:
        notes.append("at the end of the searched range")
    before, after = _log_loss(logs, gold, 1.0), _log_loss(logs, gold, temperature)
    return Calibration(temperature, len(fitted), before, after, note="; ".join(notes))


def reliability(examples: Sequence[Example], predictions: Sequence[Prediction], *, seed: int = 0) -> Reliability:
    """How honest the confidences of a classify task are; the event is "the answer is the gold label"."""
    aligned = align(examples, predictions)
    kept = [(e, p) for e, p in zip(examples, aligned, strict=True) if p.scored and p.confidence is not None]
    confidence = [float(p.confidence or 0.0) for _, p in kept]
    correct = [p.value == e.gold for e, p in kept]
    judged = judge_confidence(confidence, correct, [e.patient for e, _ in kept], seed=seed)
    return replace(judged, unscored=len(aligned) - len(kept))


def judge_confidence(
    confidence: Sequence[float], correct: Sequence[bool], clusters: Sequence[str], *, seed: int = 0
) -> Reliability:
    """Calibration of any yes/no event, EVALUATION.md d7. Raises ``EvaluationError`` for confidences outside 0 to 1."""
    sure, right = _checked(confidence, correct)
    places, count = _equal_mass_bins(sure)
    ece = float(_ece(sure, right[None, :], places, count)[0])
    band = null_band(sure, seed=seed)
    honesty = Honesty.CALIBRATED
    if ece > band[1]:
        honesty = Honesty.OVERCONFIDENT if sure.mean() > right.mean() else Honesty.UNDERCONFIDENT
    likely = np.clip(np.where(right == 1, sure, 1 - sure), FLOOR, 1.0)
    few = f"{len(sure)} cases: bins of fewer than five cases" if len(sure) < 5 * BINS else ""
    return Reliability(
        n=len(sure),
        clusters=len(set(clusters)),
        unscored=0,
        accuracy=float(right.mean()),
        confidence=float(sure.mean()),
        ece=ece,
        null_band=band,
        honesty=honesty,
        brier=mean_interval(np.square(sure - right), clusters, ceiling=1.0),
        log_loss=mean_interval(-np.log(likely), clusters),
        bins=_bins(sure, right, places, count),
        note=few,
    )


def expected_calibration_error(confidence: Sequence[float], correct: Sequence[bool]) -> float:
    """ECE over bins of equal mass: the mean distance of accuracy and confidence, weighted by the bins' cases."""
    sure, right = _checked(confidence, correct)
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


def selective(confidence: Sequence[float | None], correct: Sequence[bool], clusters: Sequence[str]) -> Selective:
    """Accuracy against coverage when the least certain answers are left to a person.

    One point for each distinct confidence. Cases of equal confidence are answered together and share their errors, so
    that their order does not matter. A case without a confidence is never answered; the area counts it last, and wrong.
    """
    given = np.array([value is not None for value in confidence], dtype=bool)
    known, _ = _checked([value for value in confidence if value is not None], [])
    sure = np.full(len(given), -1.0)  # below every threshold
    sure[given] = known
    right = np.where(given, np.asarray(correct, dtype=np.float64), 0.0)
    names = np.asarray(clusters)
    points = []
    for threshold in np.unique(known)[::-1]:
        answered = sure >= threshold
        accuracy = share_interval(right[answered], names[answered].tolist())
        points.append(CoveragePoint(float(threshold), float(answered.mean()), accuracy))
    area, wrong = aurc(sure, right), float(1 - right.mean())
    perfect = wrong + (1 - wrong) * math.log(1 - wrong) if wrong < 1 else 1.0
    return Selective(tuple(points), aurc=area, excess_aurc=area - perfect, accuracy=float(right.mean()))


def aurc(confidence: Sequence[float] | Array, correct: Sequence[float] | Array) -> float:
    """Area under the risk-coverage curve: the mean over i of the error rate among the i most certain cases.

    Ties by expectation: every case of a group of equal confidence counts as the group's mean error (Geifman & El-Yaniv
    2017, EVALUATION.md d7).
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    _, group = np.unique(-sure, return_inverse=True)
    means = np.bincount(group, weights=1 - right) / np.bincount(group)
    losses = means[np.sort(group)]
    return float((np.cumsum(losses) / np.arange(1, len(losses) + 1)).mean())


def _best_temperature(logs: Array, gold: NDArray[np.intp]) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda inverse: _log_loss(logs, gold, 1 / inverse), bounds=(1 / HOTTEST, 1 / COLDEST), method="bounded"
    )
    return float(1 / found.x)


def _log_loss(logs: Array, gold: NDArray[np.intp], temperature: float) -> float:
    return float(-_scaled(logs, temperature)[np.arange(len(gold)), gold].mean())


def _scaled(logs: Array, temperature: float) -> Array:
    """Normalized log probabilities at a temperature, (n, labels)."""
    hot = logs / temperature
    hot = hot - hot.max(axis=1, keepdims=True)
    return hot - np.log(np.exp(hot).sum(axis=1, keepdims=True))


def _logs(predictions: Sequence[Prediction]) -> Array:
    """Log probabilities, (n, labels), each row in its own prediction's order of labels."""
    widths = {len(prediction.probabilities) for prediction in predictions}
    if len(widths) != 1:
        raise EvaluationError(
            f"Predictions have {min(widths)} to {max(widths)} labels.", fix="Calibrate one system on one label set."
        )
    rows = np.array([list(prediction.probabilities.values()) for prediction in predictions], dtype=np.float64)
    return np.log(np.maximum(rows, FLOOR))


def _check_probabilities(prediction: Prediction) -> None:
    values = list(prediction.probabilities.values())
    if min(values) < 0 or not math.isclose(sum(values), 1.0, abs_tol=1e-6):
        raise EvaluationError(
            f"The probabilities of case {prediction.example} are not a distribution: they sum to {sum(values):.6g}.",
            fix="Give one probability for every label of the set, at least 0 and together 1.",
        )


def _checked(confidence: Sequence[float], correct: Sequence[bool]) -> tuple[Array, Array]:
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if len(sure) == 0:
        raise EvaluationError("No case has a confidence.", fix="Calibration needs a system that gives probabilities.")
    outside = np.flatnonzero(~((sure >= 0) & (sure <= 1 + 1e-9)))  # NaN is outside, too
    if len(outside):
        raise EvaluationError(
            f"{len(outside)} confidences are not between 0 and 1, the first at position {outside[0]}.",
            fix="Give every confidence as a probability.",
        )
    return np.minimum(sure, 1.0), right


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
