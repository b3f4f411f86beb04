"""How sure a number is: intervals that know which cases belong to the same patient.

In: a ``Tally`` (what every case adds to a metric) and the patient of every case.
Out: an ``Interval``: value, low, high, and how it was made.

Covers: shares of right answers (Wilson; Wilson and Clopper-Pearson with the effective number of cases), means
(t over patients), everything else that is a function of sums (bootstrap over patients, BCa or percentile), or of the
cases in some order (bootstrap over patients, percentile).
Does not cover: comparing two systems (compare.py), hierarchies deeper than case and patient.

Where no interval can be given (one patient; no variation between patients in a metric without a largest value) ``low``
and ``high`` are None and ``note`` says why. No cases, or numbers that are not finite, are an ``EvaluationError``.

Rejected: resampling cases instead of patients. Two reports of one patient fail together, so that such intervals are
too narrow. Rejected: the bootstrap for shares of right answers. With all answers right it returns [1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from residency.errors import EvaluationError
from residency.records import Prediction, Score

LEVEL = 0.95  # confidence level of every two-sided interval unless a caller asks for another
DRAWS = 2_000  # bootstrap resamples; EVALUATION.md d1 asks for at least as many
ROUNDING = 1e-12  # values closer than this, relative, are equal
CHUNK = 4_000_000  # numbers held at once while resampling: bounds memory, does not change results

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]  # sums (..., k) -> values (...); NaN where the metric is not defined


class Shape(StrEnum):
    """Which family of intervals fits a metric."""

    SHARE = "share"  # every case is right (1) or wrong (0)
    MEAN = "mean"  # every case has a score of its own; the metric is their mean
    RATIO = "ratio"  # any other function of sums over the cases, e.g. micro-F1


class Bootstrap(StrEnum):
    """How resampled values become an interval."""

    BCA = "bca"  # bias-corrected and accelerated (Efron 1987)
    PERCENTILE = "percentile"


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What every case adds to a metric, and how the sums become its value.

    ``parts`` is (n, k). A metric is kept as sums because a resample of patients then is one matrix product, and because
    two systems can be compared on the same resample. ``ceiling`` is the largest possible value, None without one.
    """

    parts: Array  # (n, k)
    statistic: Statistic
    shape: Shape
    lower_is_better: bool = False
    ceiling: float | None = 1.0
    note: str = ""

    @classmethod
    def of_scores(cls, scores: Sequence[float] | Array, **facts: Any) -> Tally:
        """The mean of one score a case; a share where every score is 0 or 1."""
        column = np.asarray(scores, dtype=np.float64)
        shape = Shape.SHARE if np.isin(column, (0.0, 1.0)).all() else Shape.MEAN
        return cls(np.column_stack([column, np.ones(len(column))]), _mean_of_sums, shape, **facts)

    @property
    def scores(self) -> Array:
        """One score a case, (n,); for shares and means only."""
        if self.shape is Shape.RATIO:
            raise ValueError("a ratio has no score of its own for every case")
        return self.parts[:, 0]

    @property
    def value(self) -> float:
        """The metric over all cases; NaN where it is not defined, e.g. precision where nothing was output."""
        return float(self.statistic(self.parts.sum(axis=0)))


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its two-sided interval at the asked level; always ``low <= value <= high`` where there is one."""

    value: float
    low: float | None
    high: float | None
    n: int  # cases
    clusters: int  # patients
    method: str
    n_eff: float | None = None  # cases that would tell as much if all were of different patients
    note: str = ""


def as_score(of: Prediction, metric: str, known: Interval, *notes: str, unscored: int = 0) -> Score:
    """The interval as a metric of the system and task that ``of`` names; its own note comes behind ``notes``."""
    return Score(
        task=of.task,
        system=of.system,
        metric=metric,
        value=known.value,
        low=known.low,
        high=known.high,
        n=known.n,
        clusters=known.clusters,
        unscored=unscored,
        note="; ".join(filter(None, (*notes, known.note))),
    )


def interval(
    tally: Tally,
    clusters: Sequence[str],
    *,
    seed: int = 0,
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """The interval that fits the tally's shape."""
    if tally.shape is Shape.SHARE:
        return share_interval(tally.scores, clusters, level=level)
    if tally.shape is Shape.MEAN:
        return mean_interval(tally.scores, clusters, level=level, ceiling=tally.ceiling)
    return bootstrap_interval(
        tally.parts, clusters, tally.statistic, seed=seed, level=level, draws=draws, ceiling=tally.ceiling
    )


def wilson(successes: float, n: float, *, level: float = LEVEL, quantile: float | None = None) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927); ``quantile`` replaces the normal one, e.g. by Student's t."""
    z = normal_quantile(level) if quantile is None else quantile
    share = successes / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(max(0.0, min(center - half, share))), float(min(1.0, max(center + half, share)))


def clopper_pearson(successes: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a share (Clopper & Pearson 1934): covers at least ``level``. ``n`` need not be whole."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def upper_bound(events: float, n: float, *, level: float = LEVEL) -> float:
    """One-sided exact upper bound of a rate, e.g. of critical errors (Clopper & Pearson 1934)."""
    return clopper_pearson(events, n, level=2 * level - 1)[1]


def share_interval(scores: Sequence[float] | Array, clusters: Sequence[str], *, level: float = LEVEL) -> Interval:
    """Interval of a share of right answers, EVALUATION.md d1.

    Every patient once: Wilson. Otherwise Wilson with the effective number of cases and Student's t with one degree of
    freedom fewer than patients (Franco et al. 2019, after Korn & Graubard 1998). Where the cases show no sign that
    those of a patient go together, the normal quantile, as for independent cases: with t as well, intervals of cases
    that are independent in truth covered .97 of the time (`make bench-statistics`).
    """
    column, codes, count = _checked(scores, clusters)
    n, share = len(column), float(column.mean())
    if count == 1:
        return Interval(share, None, None, n, 1, "none", note=_one_patient(n))
    if count == n:
        low, high = wilson(float(column.sum()), n, level=level)
        return Interval(share, low, high, n, count, "Wilson", n_eff=float(n))
    n_eff = effective_n(column, codes, count)
    quantile = normal_quantile(level) if n_eff >= n else student(level, count - 1)
    low, high = wilson(share * n_eff, n_eff, quantile=quantile)
    return Interval(share, low, high, n, count, "Wilson, clustered", n_eff=n_eff)


def korn_graubard(scores: Sequence[float] | Array, clusters: Sequence[str], *, level: float = LEVEL) -> Interval:
    """Clopper-Pearson with the effective number of cases (Korn & Graubard 1998); for shares near 0 or 1, or few cases.

    The effective number is scaled by the squared ratio of Student's t for cases and for patients.
    """
    column, codes, count = _checked(scores, clusters)
    n, share = len(column), float(column.mean())
    if count == 1:
        return Interval(share, None, None, n, 1, "none", note=_one_patient(n))
    n_eff = float(n)
    if count < n:
        n_eff = effective_n(column, codes, count) * (student(level, n - 1) / student(level, count - 1)) ** 2
    low, high = clopper_pearson(share * n_eff, n_eff, level=level)
    return Interval(share, min(low, share), max(high, share), n, count, "Korn-Graubard", n_eff=n_eff)


def mean_interval(
    scores: Sequence[float] | Array, clusters: Sequence[str], *, level: float = LEVEL, ceiling: float | None = None
) -> Interval:
    """Student's t interval of a mean over cases, with the variance between patients (Miller 2024).

    Cut at 0 and ``ceiling``. Where all patients are alike the variance is not known: see ``_no_variation``.
    """
    column, codes, count = _checked(scores, clusters)
    n, mean = len(column), float(column.mean())
    if count == 1:
        return Interval(mean, None, None, n, 1, "none", note=_one_patient(n))
    error = float(np.sqrt(clustered_variance(column, codes, count)))
    if np.ptp(column) == 0 or error == 0:
        return _no_variation(mean, n, count, level, ceiling)
    half = student(level, count - 1) * error
    low, high = mean - half, mean + half
    if ceiling is not None:
        low, high = max(low, min(0.0, mean)), min(high, max(ceiling, mean))
    independent = float(column.var(ddof=1)) / n
    return Interval(mean, low, high, n, count, "t, clustered", n_eff=min(float(n), n * independent / error**2))


def bootstrap_interval(
    parts: Array,
    clusters: Sequence[str],
    statistic: Statistic,
    *,
    seed: int,
    level: float = LEVEL,
    draws: int = DRAWS,
    kind: Bootstrap = Bootstrap.BCA,
    ceiling: float | None = None,
) -> Interval:
    """Interval of any function of sums, from resamples of whole patients.

    ``parts`` is (n, k); ``ceiling`` is the largest possible value of a metric that starts at 0. The level is widened as
    Student's t with that many patients asks (Hesterberg 2015, "expanded percentile"), because resamples of few patients
    vary too little. Resamples without a value are left out, and said.
    """
    checked, codes, count = _checked(parts, clusters)
    n, sums = len(checked), cluster_sums(checked, codes, count)
    value = float(statistic(sums.sum(axis=0)))
    if not np.isfinite(value):
        return Interval(value, None, None, n, count, "none", note="the metric is not defined on these cases")
    if count == 1:
        return Interval(value, None, None, n, 1, "none", note=_one_patient(n))
    drawn = resample(sums, statistic, seed=seed, draws=draws)
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < draws // 2 or np.ptp(defined) <= ROUNDING * max(1.0, abs(value)):
        return _no_variation(value, n, count, level, ceiling)
    low, high = _bootstrap_limits(defined, value, sums, statistic, kind, level)
    note = "" if len(defined) == draws else f"not defined on {draws - len(defined)} of {draws} resamples, left out"
    return Interval(value, min(low, value), max(high, value), n, count, f"bootstrap, {kind}, clustered", note=note)


def cases_interval(
    measure: Callable[[NDArray[np.intp]], float],
    clusters: Sequence[str],
    *,
    seed: int,
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """Interval of any function of cases, given by their positions, for which sums are not enough; from 0 to 1.

    Percentiles over resamples of whole patients, widened as in ``bootstrap_interval``.
    """
    codes, count = cluster_codes(clusters)
    places = np.arange(len(codes))
    value = measure(places)
    if count == 1:
        return Interval(value, None, None, len(codes), 1, "none", note=_one_patient(len(codes)))
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [measure(np.repeat(places, np.bincount(rng.integers(count, size=count), minlength=count)[codes]))
         for _ in range(draws)]
    )  # fmt: skip
    if np.ptp(drawn) <= ROUNDING * max(1.0, abs(value)):
        return _no_variation(value, len(codes), count, level, 1.0)
    low, high = _quantiles(drawn, _widened(count, level))
    return Interval(
        value, min(low, value), max(high, value), len(codes), count, f"bootstrap, {Bootstrap.PERCENTILE}, clustered"
    )


def clustered_variance(scores: Array, codes: NDArray[np.intp], count: int) -> float:
    """Variance of a mean over cases when cases of one patient go together; ``count``: patients, at least 2.

    Sum over patients of the squared sum of deviations, over n squared, times C / (C - 1): Miller 2024
    (arXiv 2411.00640, appendix A), with the finite-cluster factor that Inspect uses.
    """
    deviations = np.bincount(codes, weights=scores - scores.mean(), minlength=count)
    return float(count / (count - 1) * np.square(deviations).sum() / len(scores) ** 2)


def effective_n(scores: Array, codes: NDArray[np.intp], count: int) -> float:
    """How many independent cases would tell as much about a share; between 1 and the number of cases.

    All right or all wrong: the number of patients, the smallest that any correlation within patients could leave,
    because such scores say nothing about that correlation.
    """
    n, share = len(scores), float(scores.mean())
    spread = share * (1 - share)
    if np.ptp(scores) == 0 or spread <= 0:
        return float(count)
    variance = clustered_variance(scores, codes, count)
    return float(n) if variance * n <= spread else max(1.0, spread / variance)


def cluster_codes(clusters: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """The patient of every case as a number, (n,), in the order of their names, and how many patients there are."""
    names, codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    return codes, len(names)


def cluster_sums(parts: Array, codes: NDArray[np.intp], count: int) -> Array:
    """Sums of parts over each patient's cases: (n, k) -> (C, k)."""
    # Sorted by value within a patient: rounding, and with it every digit of the result, ignores the order of cases.
    order = np.lexsort((*parts.T, codes))
    starts = np.searchsorted(codes[order], np.arange(count))
    return np.add.reduceat(parts[order], starts, axis=0)


def resample(sums: Array, statistic: Statistic, *, seed: int, draws: int = DRAWS) -> Array:
    """The statistic on resamples of whole patients: (C, k) -> (draws,). An equal seed draws equal patients."""
    rng = np.random.default_rng(seed)
    count = len(sums)
    values = np.empty(draws)
    step = max(1, CHUNK // count)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        picks = rng.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        weights = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)  # (rows, C), times drawn
        values[start : start + rows] = statistic(weights.astype(np.float64) @ sums)
    return values


def _bootstrap_limits(
    drawn: Array, value: float, sums: Array, statistic: Statistic, kind: Bootstrap, level: float
) -> tuple[float, float]:
    from scipy.special import ndtri

    edges = _widened(len(sums), level)
    if kind is Bootstrap.BCA:
        tied = np.abs(drawn - value) <= ROUNDING * max(1.0, abs(value))
        below = float(np.mean((drawn < value) & ~tied) + np.mean(tied) / 2)
        shift, bend = float(ndtri(below)), _acceleration(sums, statistic)
        bent = 1 - bend * (shift + edges)
        # Out of reach of the correction (value outside all draws, or too bent): the plain percentiles remain.
        if np.isfinite(shift) and (bent > 0).all():
            edges = shift + (shift + edges) / bent
    return _quantiles(drawn, edges)


def _widened(count: int, level: float) -> Array:
    """The normal quantiles of the level's ends, widened as few patients ask."""
    width = student(level, count - 1) * np.sqrt(count / (count - 1))
    return np.array([-width, width])


def _quantiles(drawn: Array, edges: Array) -> tuple[float, float]:
    from scipy.special import ndtr

    low, high = np.quantile(drawn, ndtr(edges))
    return float(low), float(high)


def _acceleration(sums: Array, statistic: Statistic) -> float:
    """Skewness of the statistic over leaving out one patient at a time (Efron 1987)."""
    left_out = statistic(sums.sum(axis=0) - sums)
    left_out = left_out[np.isfinite(left_out)]
    deviations = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    scale = float(np.square(deviations).sum()) ** 1.5
    return float((deviations**3).sum() / (6 * scale)) if scale > 0 else 0.0


def _checked(values: Sequence[float] | Array, clusters: Sequence[str]) -> tuple[Array, NDArray[np.intp], int]:
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        raise EvaluationError("There are no cases to score.", fix="Check that the split has cases of this task.")
    if len(array) != len(clusters):
        raise EvaluationError(
            f"{len(array)} scores came with {len(clusters)} patients.", fix="Give the patient of every case, once."
        )
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise EvaluationError(
            f"The scores of {len(bad)} cases are not finite, the first at position {bad[0]}.",
            fix="Find out why the system returned NaN or infinity there; such a case cannot be averaged.",
        )
    codes, count = cluster_codes(clusters)
    return array, codes, count


def _mean_of_sums(sums: Array) -> Array:
    return ratio(sums[..., 0], sums[..., 1])


def ratio(above: Array, below: Array) -> Array:
    """Element-wise division; NaN where the denominator is zero, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, np.divide(above, below))


@lru_cache
def normal_quantile(level: float) -> float:
    """The normal quantile of a two-sided level."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


@lru_cache
def student(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def _one_patient(n: int) -> str:
    return f"{n} case(s) of one patient: there is no second patient to learn the spread from"


def _no_variation(value: float, n: int, count: int, level: float, ceiling: float | None) -> Interval:
    """Every patient gives the same value, so that nothing shows the spread.

    A metric between 0 and ``ceiling`` can spread no more than a right/wrong answer: Wilson, every patient as one case.
    """
    note = "every patient gives the same value: the spread is not known"
    if ceiling is None or not 0 <= value <= ceiling:
        return Interval(value, None, None, n, count, "none", note=note)
    low, high = wilson(value / ceiling * count, count, level=level)
    limits = (min(low * ceiling, value), max(high * ceiling, value))
    return Interval(
        value, *limits, n, count, "Wilson, one case a patient", note=f"{note}; the widest possible is taken"
    )
