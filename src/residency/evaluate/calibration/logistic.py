"""The outcome as a logistic function of confidence, with errors that know which cases belong to the same patient.

In: log odds of confidences, outcomes 0 or 1, patients. Out: coefficients; intervals.

Covers: weighted maximum likelihood by Newton's method, calibration in the large and slope (Cox 1958) with sandwich
errors over patients, AUROC with DeLong's components summed over patients (DeLong 1988, Obuchowski 1997).
Does not cover: more than one predictor.

Where all outcomes are alike, or confidence separates them, there is no finite estimate: value, low and high say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from residency.evaluate.intervals import LEVEL, Array, Interval, cluster_codes, student

STEPS = 100
SETTLED = 1e-10  # largest change of a coefficient
TOO_LARGE = 50.0  # a coefficient beyond it is on its way to infinity
UNDEFINED = "no finite estimate: outcomes are all alike, or confidence separates them"


def fit_logistic(columns: Array, outcome: Array, *, offset: Array | float = 0.0) -> Array | None:
    """Coefficients of ``columns`` (n, k) by maximum likelihood, None without a finite one. Outcomes may be shares."""
    coefficients = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        likely = expit(columns @ coefficients + offset)
        information = (columns * (likely * (1 - likely))[:, None]).T @ columns
        try:
            step = np.linalg.solve(information, columns.T @ (outcome - likely))
        except np.linalg.LinAlgError:
            return None
        # A long step overshoots where the likelihood is flat.
        coefficients = coefficients + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if not np.isfinite(coefficients).all() or np.abs(coefficients).max() > TOO_LARGE:
            return None
        if np.abs(step).max() < SETTLED:
            return coefficients
    return None


def in_the_large(odds: Array, outcome: Array, clusters: Sequence[str]) -> Interval:
    """Intercept with the slope held at 1: how far confidence is off on the whole, in log odds; 0 is honest."""
    columns = np.ones((len(odds), 1))
    return _coefficient(columns, outcome, clusters, place=0, offset=odds)


def calibration_slope(odds: Array, outcome: Array, clusters: Sequence[str]) -> Interval:
    """Slope of the outcome on the log odds of confidence; 1 is honest, below it confidence is too extreme."""
    columns = np.column_stack([np.ones(len(odds)), odds])
    return _coefficient(columns, outcome, clusters, place=1, offset=np.zeros(len(odds)))


def _coefficient(columns: Array, outcome: Array, clusters: Sequence[str], *, place: int, offset: Array) -> Interval:
    codes, count = cluster_codes(clusters)
    n = len(outcome)
    found = fit_logistic(columns, outcome, offset=offset) if 0 < outcome.mean() < 1 else None
    if found is None:
        return Interval(math.nan, None, None, n, count, "none", note=UNDEFINED)
    if count < 2:
        return Interval(float(found[place]), None, None, n, count, "none", note="one patient")
    likely = expit(columns @ found + offset)
    bread = np.linalg.inv((columns * (likely * (1 - likely))[:, None]).T @ columns)
    scores = np.zeros((count, columns.shape[1]))
    np.add.at(scores, codes, columns * (outcome - likely)[:, None])
    error = math.sqrt((bread @ (scores.T @ scores) @ bread)[place, place] * count / (count - 1))
    half = student(LEVEL, count - 1) * error
    value = float(found[place])
    return Interval(value, value - half, value + half, n, count, "sandwich over patients")


def auroc(sure: Array, outcome: Array, clusters: Sequence[str]) -> Interval:
    """Chance that a right answer has more confidence than a wrong one, ties half; limits on the logit scale."""
    from scipy.stats import rankdata

    codes, count = cluster_codes(clusters)
    n, right = len(outcome), outcome == 1
    wrong = ~right
    hits, misses = int(right.sum()), int(wrong.sum())
    if hits == 0 or misses == 0:
        return Interval(math.nan, None, None, n, count, "none", note="all answers are right, or all are wrong")
    ranks = rankdata(sure)
    placed = np.empty(n)  # share of the other kind on the good side of each case: DeLong's components
    placed[right] = (ranks[right] - rankdata(sure[right])) / misses
    placed[wrong] = 1 - (ranks[wrong] - rankdata(sure[wrong])) / hits
    value = float(placed[right].mean())
    pulls = np.where(right, (placed - value) / hits, (placed - value) / misses)
    spread = float(np.square(np.bincount(codes, weights=pulls)).sum())
    if count < 2 or spread == 0 or not 0 < value < 1:
        return Interval(value, None, None, n, count, "none", note="too little variation for an interval")
    error = math.sqrt(spread * count / (count - 1)) / (value * (1 - value))
    middle, half = math.log(value / (1 - value)), student(LEVEL, count - 1) * error
    return Interval(value, float(expit(middle - half)), float(expit(middle + half)), n, count, "DeLong, clustered")
