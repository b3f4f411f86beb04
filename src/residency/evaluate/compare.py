"""Is one system better than another? A verdict from the same cases, answered by both.

In: the tallies of a candidate and a baseline on the same cases, the patient of every case, a margin.
Out: a ``Comparison``: the difference with its interval, a p-value, a verdict, and what would settle an open one.

Covers: independent right/wrong answers (McNemar mid-p, Newcombe's interval), everything clustered by patient (t over
patients for means, bootstrap over patients for ratios such as micro-F1, swapping the two systems within patients),
non-inferiority and equivalence margins, families of comparisons (Holm), how many cases would be needed.
Does not cover: peeking at a growing set of cases; decide on the cases once.

Rejected: judging by whether two intervals overlap; it ignores that both systems fail on the same hard cases and needs
far more cases. Rejected: McNemar's test where patients have several cases; it then finds what is not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import (
    DRAWS,
    LEVEL,
    Array,
    Bootstrap,
    Interval,
    Shape,
    Tally,
    bootstrap_interval,
    cluster_codes,
    cluster_sums,
    clustered_variance,
    mean_interval,
)
from residency.evaluate.metrics import NONE, Find, OwnMetric, align, metric_of, tallies
from residency.evaluate.paired import PERMUTATIONS, holm, mcnemar_midp, newcombe_paired, permutation_p
from residency.evaluate.power import POWER, normal_quantiles, required_n
from residency.records import Example, Prediction, TaskKind


class Verdict(StrEnum):
    """What the cases allow to say about a candidate against a baseline."""

    BETTER = "BETTER"  # the whole interval is on the candidate's side of zero
    NON_INFERIOR = "NON-INFERIOR"  # worse by at most the margin
    EQUIVALENT = "EQUIVALENT"  # different by less than the margin, either way
    WORSE = "WORSE"  # the whole interval is on the baseline's side of zero, and reaches the margin
    INCONCLUSIVE = "INCONCLUSIVE"  # the interval allows too much


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One metric of a candidate minus the same metric of a baseline. All numbers are in the metric's own unit.

    ``low`` and ``high`` are None where there is no interval (``note`` says why). ``required_n`` is the number of cases,
    with as many cases a patient as here, that would settle an inconclusive comparison if the true difference is the
    observed one.
    """

    task: str
    metric: str
    candidate: str
    baseline: str
    candidate_value: float
    baseline_value: float
    difference: float
    low: float | None
    high: float | None
    p: float | None  # two-sided
    method: str
    n: int
    clusters: int
    margin: float
    lower_is_better: bool
    verdict: Verdict
    required_n: int | None = None
    p_adjusted: float | None = None  # Holm, where it was asked for
    note: str = ""

    @property
    def gain(self) -> tuple[float, float] | None:
        """The interval of the difference, turned so that positive is good for the candidate."""
        if self.low is None or self.high is None:
            return None
        return (-self.high, -self.low) if self.lower_is_better else (self.low, self.high)


def compare(
    examples: Sequence[Example],
    candidate: Sequence[Prediction],
    baseline: Sequence[Prediction],
    *,
    metrics: Sequence[str] = (),
    margin: float = 0.0,
    labels: Sequence[str] = (),
    find: Find | None = None,
    own: Mapping[str, OwnMetric] = NONE,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Comparison]:
    """Compare two systems on every metric that both have and that ranks systems, or on ``metrics`` only.

    Verdicts are of single metrics; ``holm_adjust`` corrects for having looked at several.
    """
    theirs, others = align(examples, candidate), align(examples, baseline)
    clusters = [example.patient for example in examples]
    known: Sequence[str] = labels
    if examples[0].kind is TaskKind.CLASSIFY:
        known = sorted({*labels, *(str(p.value) for p in (*theirs, *others) if p.scored)})
    of_candidate = tallies(examples, theirs, labels=known, find=find, own=own)
    of_baseline = tallies(examples, others, labels=known, find=find, own=own)
    chosen = metrics or [name for name in of_candidate if name in of_baseline and metric_of(name).ranks]
    absent = [name for name in chosen if name not in of_candidate or name not in of_baseline]
    if absent:
        raise EvaluationError(
            f"Not measured for both {theirs[0].system} and {others[0].system}: {', '.join(absent)}.",
            fix=f"Compare one of: {', '.join(name for name in of_candidate if name in of_baseline)}.",
        )
    return [
        replace(
            compare_tallies(of_candidate[name], of_baseline[name], clusters, margin=margin, draws=draws, seed=seed),
            task=examples[0].task,
            metric=name,
            candidate=theirs[0].system,
            baseline=others[0].system,
        )
        for name in chosen
    ]


def compare_tallies(
    candidate: Tally,
    baseline: Tally,
    clusters: Sequence[str],
    *,
    margin: float = 0.0,
    draws: int = DRAWS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """The paired comparison of one metric; task, metric and systems are left empty for the caller.

    BETTER and WORSE need both the interval and the test: with few patients the interval of a mean alone was a little
    too sure (false BETTER .0255 of 6,000 simulated pairs of 100 patients, with the test .0185).
    ``margin`` is in the metric's unit, at least 0: the loss that would not matter.
    """
    if candidate.parts.shape != baseline.parts.shape:
        raise EvaluationError("The two systems were not tallied alike.", fix="Tally both on the same cases and labels.")
    if margin < 0:
        raise EvaluationError(
            f"margin is {margin}; a margin is at least 0.", fix="Give the loss that would not matter."
        )
    found = _difference(candidate, baseline, clusters, draws, permutations, seed)
    difference = found.interval
    gain = -difference.value if candidate.lower_is_better else difference.value
    verdict = judge(_turned(difference, candidate.lower_is_better), margin)
    if difference.low is None and found.p is not None and found.p <= 1 - LEVEL:
        # No spread to build an interval from, e.g. all right against all wrong: the permutation test still holds.
        verdict = Verdict.BETTER if gain > 0 else Verdict.WORSE
    note = difference.note
    if verdict in (Verdict.BETTER, Verdict.WORSE) and found.p is not None and found.p > 1 - LEVEL:
        note = "; ".join(filter(None, (note, f"the interval alone says {verdict}, the test does not")))
        verdict = _without_a_winner(_turned(difference, candidate.lower_is_better), margin)
    required = None
    if verdict is Verdict.INCONCLUSIVE and found.error:
        required = _cases_needed(candidate, baseline, clusters, gain, margin, found.error)
    return Comparison(
        task="",
        metric="",
        candidate="",
        baseline="",
        candidate_value=candidate.value,
        baseline_value=baseline.value,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        p=found.p,
        method=difference.method,
        n=difference.n,
        clusters=difference.clusters,
        margin=margin,
        lower_is_better=candidate.lower_is_better,
        verdict=verdict,
        required_n=required,
        note=note,
    )


def judge(gain: tuple[float, float] | None, margin: float) -> Verdict:
    """The verdict from the interval of the gain (positive is good) and the margin, EVALUATION.md d2.

    A loss that is certain but smaller than the margin is EQUIVALENT: it was said before that it would not matter.
    """
    if gain is None:
        return Verdict.INCONCLUSIVE
    low, high = gain
    if low > 0:
        return Verdict.BETTER
    if margin > 0 and low > -margin:
        return Verdict.EQUIVALENT if high < margin else Verdict.NON_INFERIOR
    return Verdict.WORSE if high < 0 else Verdict.INCONCLUSIVE


def holm_adjust(comparisons: Sequence[Comparison], *, level: float = LEVEL) -> list[Comparison]:
    """The comparisons as one family: BETTER and WORSE stay only where Holm's p-value still allows them."""
    tested = [index for index, one in enumerate(comparisons) if one.p is not None]
    adjusted = dict(zip(tested, holm([comparisons[i].p or 0.0 for i in tested]), strict=True))
    return [_adjusted(one, adjusted.get(index), level) for index, one in enumerate(comparisons)]


def _adjusted(one: Comparison, p: float | None, level: float) -> Comparison:
    if p is None or p <= 1 - level or one.verdict not in (Verdict.BETTER, Verdict.WORSE):
        return replace(one, p_adjusted=p)
    # A gain that does not stand alone still rules out a loss.
    kept = Verdict.NON_INFERIOR if one.verdict is Verdict.BETTER and one.margin > 0 else Verdict.INCONCLUSIVE
    note = "; ".join(filter(None, (one.note, f"{one.verdict} alone, not among all metrics compared (Holm)")))
    return replace(one, p_adjusted=p, verdict=kept, note=note)


@dataclass(frozen=True, slots=True)
class _Difference:
    """A difference with its interval, its standard error (None where unknown), and the two-sided p-value."""

    interval: Interval
    error: float | None = None
    p: float | None = None


def _difference(
    candidate: Tally, baseline: Tally, clusters: Sequence[str], draws: int, permutations: int, seed: int
) -> _Difference:
    shapes = {candidate.shape, baseline.shape}
    codes, count = cluster_codes(clusters)
    if count > 1 and shapes == {Shape.SHARE} and count == len(codes):
        return _independent_shares(candidate.scores, baseline.scores)
    if Shape.RATIO in shapes:
        found = _ratio_difference(candidate, baseline, clusters, draws, seed)
    else:
        found = _mean_difference(candidate, baseline, clusters)
    if count == 1:
        return found
    sums = [cluster_sums(tally.parts, codes, count) for tally in (candidate, baseline)]
    p = permutation_p(sums[0], sums[1], candidate.statistic, permutations=permutations, seed=seed)
    return replace(found, p=p)


def _independent_shares(candidate: Array, baseline: Array) -> _Difference:
    """Every patient has one case, and every answer is right or wrong."""
    n = len(candidate)
    counts = _paired_counts(candidate, baseline)
    low, high = newcombe_paired(*counts)
    value = (counts[1] - counts[2]) / n
    error = math.sqrt(max((counts[1] + counts[2]) / n - value**2, 0.0) / n)
    method = "paired shares, Newcombe; McNemar mid-p"
    between = Interval(value, min(low, value), max(high, value), n, n, method)
    return _Difference(between, error, mcnemar_midp(round(counts[1]), round(counts[2])))


def _mean_difference(candidate: Tally, baseline: Tally, clusters: Sequence[str]) -> _Difference:
    gaps = candidate.scores - baseline.scores
    between = mean_interval(gaps, clusters)
    codes, count = cluster_codes(clusters)
    if count == 1:
        return _Difference(between)
    if between.low is None and {candidate.shape, baseline.shape} == {Shape.SHARE}:
        # All patients differ alike, e.g. not at all. As if each had one case: the least that such cases can tell.
        counts = [part * count / len(gaps) for part in _paired_counts(candidate.scores, baseline.scores)]
        low, high = newcombe_paired(*counts)
        note = "every patient differs alike: counted as one case a patient"
        low, high = min(low, between.value), max(high, between.value)
        return _Difference(replace(between, low=low, high=high, method="paired shares, Newcombe", note=note))
    return _Difference(between, math.sqrt(clustered_variance(gaps, codes, count)))


def _ratio_difference(candidate: Tally, baseline: Tally, clusters: Sequence[str], draws: int, seed: int) -> _Difference:
    """Both metrics recomputed on the same resamples of patients."""
    width = candidate.parts.shape[1]

    def gap(sums: Array) -> Array:
        return candidate.statistic(sums[..., :width]) - baseline.statistic(sums[..., width:])

    parts = np.hstack([candidate.parts, baseline.parts])
    # Differences are nearly symmetric: in our simulations plain percentiles erred a little less often than BCa.
    between = bootstrap_interval(parts, clusters, gap, seed=seed, draws=draws, kind=Bootstrap.PERCENTILE)
    if between.low is None or between.high is None:
        return _Difference(between)
    return _Difference(between, (between.high - between.low) / (2 * normal_quantiles(POWER)[0]))


def _paired_counts(candidate: Array, baseline: Array) -> tuple[float, float, float, float]:
    """(both right, only the candidate, only the baseline, neither)."""
    both = float(np.sum((candidate == 1) & (baseline == 1)))
    only_candidate, only_baseline = float(np.sum(candidate > baseline)), float(np.sum(candidate < baseline))
    return both, only_candidate, only_baseline, len(candidate) - both - only_candidate - only_baseline


def _cases_needed(
    candidate: Tally, baseline: Tally, clusters: Sequence[str], gain: float, margin: float, error: float
) -> int | None:
    """Cases that would settle the comparison at the observed gain, whichever is nearer: zero or the margin."""
    n = len(clusters)
    step = max(abs(gain), gain + margin)
    if step <= 0:
        return None
    if margin == 0 and {candidate.shape, baseline.shape} == {Shape.SHARE}:
        gaps = candidate.scores - baseline.scores
        independent = float(gaps.var()) / n
        return required_n(gain, float(np.mean(gaps != 0)), design_effect=max(1.0, error**2 / independent))
    z_alpha, z_beta = normal_quantiles(POWER)
    return math.ceil(n * ((z_alpha + z_beta) * error / step) ** 2)


def _without_a_winner(gain: tuple[float, float] | None, margin: float) -> Verdict:
    """The verdict of an interval that is stretched to reach zero."""
    return judge(gain and (min(gain[0], 0.0), max(gain[1], 0.0)), margin)


def _turned(difference: Interval, lower_is_better: bool) -> tuple[float, float] | None:
    if difference.low is None or difference.high is None:
        return None
    return (-difference.high, -difference.low) if lower_is_better else (difference.low, difference.high)
