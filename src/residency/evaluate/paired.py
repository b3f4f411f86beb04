"""Tests and intervals for two systems on the same cases.

In: counts of cases by who is right, or sums per patient of both systems; p-values. Out: p-values, limits.

Covers: McNemar's mid-p test, Newcombe's interval of a difference, swapping the two systems within patients, Holm's
correction for a family. Does not cover: choosing among them and the verdict (compare.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from residency.evaluate.intervals import CHUNK, LEVEL, Array, Statistic, wilson

PERMUTATIONS = 10_000  # EVALUATION.md d2


def mcnemar_midp(only_candidate: int, only_baseline: int) -> float:
    """Two-sided mid-p of McNemar's exact test from the two discordant counts (Fagerland et al. 2013)."""
    from scipy.stats import binom

    discordant, fewer = only_candidate + only_baseline, min(only_candidate, only_baseline)
    return min(1.0, float(2 * binom.cdf(fewer - 1, discordant, 0.5) + binom.pmf(fewer, discordant, 0.5)))


def newcombe_paired(
    both: float, only_candidate: float, only_baseline: float, neither: float, *, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of the difference of two paired shares from the four counts, which need not be whole.

    Wilson limits of both shares and the correlation of the answers (Newcombe 1998, method 10).
    """
    n = both + only_candidate + only_baseline + neither
    first, second = (both + only_candidate) / n, (both + only_baseline) / n
    (low1, high1), (low2, high2) = wilson(first * n, n, level=level), wilson(second * n, n, level=level)
    phi = _newcombe_phi(both, only_candidate, only_baseline, neither)
    down = _corner(first - low1, high2 - second, phi)
    up = _corner(high1 - first, second - low2, phi)
    return max(-1.0, first - second - down), min(1.0, first - second + up)


def permutation_p(
    candidate: Array, baseline: Array, statistic: Statistic, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Two-sided p-value from swapping the two systems within patients at random.

    In: sums per patient, (C, k) each. For a mean over cases this is the sign-flip test on the patients' differences.
    """
    rng = np.random.default_rng(seed)
    total, gap = candidate.sum(axis=0) + baseline.sum(axis=0), candidate - baseline
    observed = abs(float(statistic(candidate.sum(axis=0)) - statistic(baseline.sum(axis=0))))
    step = max(1, CHUNK // len(gap))
    extreme = 0
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        signs = rng.integers(2, size=(rows, len(gap))).astype(np.float64) * 2 - 1
        shift = signs @ gap  # (rows, k): candidate minus baseline after the swaps
        swapped = np.abs(statistic((total + shift) / 2) - statistic((total - shift) / 2))
        extreme += int(np.sum(~(swapped < observed - 1e-12)))  # an undefined value counts against a difference
    return (extreme + 1) / (permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false find in the family below the level (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    largest = 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()


def _newcombe_phi(both: float, only_candidate: float, only_baseline: float, neither: float) -> float:
    """Correlation of the two systems' answers, with Newcombe's continuity correction where it is positive."""
    margins = (both + only_candidate) * (only_baseline + neither) * (both + only_baseline) * (only_candidate + neither)
    if margins == 0:
        return 0.0
    n = both + only_candidate + only_baseline + neither
    cross = both * neither - only_candidate * only_baseline
    return (max(cross - n / 2, 0.0) if cross > 0 else cross) / math.sqrt(margins)


def _corner(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))
