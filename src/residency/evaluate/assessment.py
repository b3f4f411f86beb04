"""Everything that is known about a system's answers, as one plain object.

In: cases with gold answers, the predictions of one system, perhaps those of another. Out: a dict, JSON all the way
down; every metric is ``{value, low, high, n, patients, ...}``.

Covers: metrics, confidence, label sets, the threshold for asking a person, slices, the paired comparison with verdicts.
Does not cover: reading files (scoring.py), a policy (gate.py).

Cases of the split ``calibration`` fit the confidence map, the label sets and the threshold; the others are scored.
The headline metric is tested alone, being named before; all other metrics are one family (Holm). Metrics of surface
similarity get no verdict.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from residency.evaluate.calibration.conformal import COVERAGE, LabelSets, coverage_of, fit_label_sets
from residency.evaluate.calibration.event import EVENTS, is_right
from residency.evaluate.calibration.maps import IDENTITY, cross_fitted, fit_map
from residency.evaluate.calibration.reliability import Reliability, reliability
from residency.evaluate.calibration.selective import RISK, Abstention, Selective, choose_threshold, selective
from residency.evaluate.compare import Comparison, Verdict, compare, holm_adjust
from residency.evaluate.intervals import DRAWS, Interval, share_interval
from residency.evaluate.metrics import (
    HEADLINE,
    NONE,
    Find,
    OwnMetric,
    align,
    metric_of,
    score,
    tallies,
)
from residency.evaluate.report.view import plain
from residency.evaluate.slices import Slices, slice_scores, too_few, worst_slice
from residency.records import Example, Prediction, Score, Split, TaskKind

CURVE = 50  # points of the accuracy-coverage curve that are kept
CONFIDENCE = ("ece", "brier", "log_loss", "auroc", "aurc")  # metrics of confidence, beside those of answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Assess:
    """How answers are assessed."""

    labels: Sequence[str] = ()  # the closed set, as far as it is known
    find: Find | None = None
    own: Mapping[str, OwnMetric] = field(default_factory=lambda: NONE)
    margin: float = 0.02  # loss that would not matter, in the metric's unit
    risk: float = RISK
    coverage: float = COVERAGE
    draws: int = DRAWS
    seed: int = 0

    @property
    def measuring(self) -> dict[str, Any]:
        """What ``metrics.tallies`` has to know."""
        return {"labels": self.labels, "find": self.find, "own": self.own}

    @property
    def scoring(self) -> dict[str, Any]:
        """What ``metrics.score`` has to know."""
        return {**self.measuring, "draws": self.draws, "seed": self.seed}


def assess(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    how: Assess,
    slices: Slices | None = None,
    against: Sequence[Prediction] | None = None,
) -> dict[str, Any]:
    """The assessment of one system, and of its difference to another on the same cases."""
    test = [example for example in examples if example.split is not Split.CALIBRATION]
    known = [example for example in examples if example.split is Split.CALIBRATION]
    answers = {prediction.example: prediction for prediction in align(examples, predictions)}
    asked, of_known = ([answers[e.id] for e in side] for side in (test, known))
    headline = headline_of(test, asked, how)
    confidence, metrics = _confidence(test, asked, known, of_known, how)
    found: dict[str, Any] = {
        "task": test[0].kind.value,
        "n": len(test),
        "patients": len({example.patient for example in test}),
        "unscored": sum(not prediction.scored for prediction in asked),
        "headline": headline,
        "metrics": {**_metrics(test, asked, how), **metrics},
        "not_defined": _not_defined(test, asked, how),
        "chance": _chance(test),
        "confidence": confidence,
        "slices": in_slices(test, asked, slices or {}, headline, how),
        "notes": _notes(test),
    }
    if against is not None:
        others = {prediction.example: prediction for prediction in align(examples, against)}
        found["against"] = against_other(test, asked, [others[e.id] for e in test], headline, how)
    return dict(plain(found))


def headline_of(examples: Sequence[Example], predictions: Sequence[Prediction], how: Assess) -> str | None:
    """The metric that decides: the first of the team's own, or that of the kind; None where neither is measured."""
    own = next(iter(how.own), HEADLINE[examples[0].kind])
    return own if own in tallies(examples, predictions, **how.measuring) else None


# --- metrics ---------------------------------------------------------------------------------------------------------


def _metrics(examples: Sequence[Example], predictions: Sequence[Prediction], how: Assess) -> dict[str, Any]:
    return {one.metric: entry(one) for one in score(examples, predictions, **how.scoring)}


def entry(one: Score) -> dict[str, Any]:
    """A score as the assessment gives it."""
    metric = metric_of(one.metric)
    return {
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "n": one.n,
        "patients": one.clusters,
        "title": metric.title,
        "lower_is_better": metric.lower_is_better,
        "surface_similarity": metric.surface,
        "note": one.note,
    }


def _of_interval(found: Interval, title: str, *, lower_is_better: bool) -> dict[str, Any]:
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "patients": found.clusters,
        "title": title,
        "lower_is_better": lower_is_better,
        "surface_similarity": False,
        "note": found.note,
    }


def _not_defined(examples: Sequence[Example], predictions: Sequence[Prediction], how: Assess) -> list[str]:
    found = tallies(examples, predictions, **how.measuring)
    return [name for name, tally in found.items() if math.isnan(tally.value)]


def _chance(examples: Sequence[Example]) -> dict[str, Any] | None:
    """What always giving the most frequent label would reach: an accuracy is worth what it is above that."""
    if examples[0].kind is not TaskKind.CLASSIFY:
        return None
    label = Counter(str(example.gold) for example in examples).most_common(1)[0][0]
    right = [float(str(example.gold) == label) for example in examples]
    always = share_interval(right, [example.patient for example in examples])
    return _of_interval(always, "accuracy of the most frequent label", lower_is_better=False)


def _notes(examples: Sequence[Example]) -> list[str]:
    notes = []
    if len({example.patient for example in examples}) == 1:
        notes.append("All cases are of one patient: there is no interval, and nothing is known about other patients.")
    if examples[0].kind is TaskKind.CLASSIFY and len({str(example.gold) for example in examples}) == 1:
        notes.append("All cases have the same label: accuracy here says nothing about telling labels apart.")
    return notes


# --- confidence ------------------------------------------------------------------------------------------------------


def _confidence(
    test: Sequence[Example],
    asked: Sequence[Prediction],
    known: Sequence[Example],
    of_known: Sequence[Prediction],
    how: Assess,
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Honesty and use of confidence, and the metrics among it; None where there is no confidence, or no event."""
    if test[0].kind not in EVENTS or all(p.confidence is None or not p.scored for p in asked):
        return None, {}
    honest = fit_map(known, of_known, seed=how.seed) if known else IDENTITY
    mapped = [honest.apply(prediction) for prediction in asked]
    found: dict[str, Any] = {"map": honest, "before": reliability(test, asked, seed=how.seed, draws=how.draws)}
    found["after"] = reliability(test, mapped, seed=how.seed, draws=how.draws) if known else None
    judged: Reliability = found["after"] or found["before"]
    curve = _selective(test, mapped, how)
    found["selective"] = replace(curve, points=_thinned(curve.points))
    if known:
        found["abstention"] = _abstention(known, of_known, test, mapped, how)
        found["label_sets"] = _label_sets(known, of_known, test, asked, how)
    intervals = {
        "ece": (judged.ece_interval, "expected calibration error"),
        "brier": (judged.brier, "Brier score of confidence"),
        "log_loss": (judged.log_loss, "log loss of confidence"),
        "auroc": (judged.auroc, "area under the ROC curve of confidence"),
        "aurc": (curve.aurc_interval, "area under the risk-coverage curve"),
    }
    metrics = {
        name: _of_interval(one, title, lower_is_better=name != "auroc")
        for name, (one, title) in intervals.items()
        if math.isfinite(one.value)
    }
    return found, metrics


def _selective(examples: Sequence[Example], predictions: Sequence[Prediction], how: Assess) -> Selective:
    return selective(
        [prediction.confidence if prediction.scored else None for prediction in predictions],
        [is_right(e, p) for e, p in zip(examples, predictions, strict=True)],
        [example.patient for example in examples],
        seed=how.seed,
        draws=how.draws,
    )


def _thinned(points: Sequence[Any]) -> tuple[Any, ...]:
    step = max(1, len(points) // CURVE)
    return tuple(points[::-step][::-1])  # full coverage is kept


def _abstention(
    known: Sequence[Example],
    of_known: Sequence[Prediction],
    test: Sequence[Example],
    mapped: Sequence[Prediction],
    how: Assess,
) -> dict[str, Any]:
    """The threshold, and what it does on the test cases."""
    honest = fit_map(known, of_known, seed=how.seed)
    sure = cross_fitted(known, of_known, kind=honest.kind, seed=how.seed)
    pairs = [(e, p) for e, p in zip(known, sure, strict=True) if p.scored and p.confidence is not None]
    chosen = Abstention(None, how.risk, 0.0, 0.0, 0, 0, "no answer of the calibration cases has a confidence")
    if pairs:
        chosen = choose_threshold(
            [p.confidence or 0.0 for _, p in pairs],
            [is_right(e, p) for e, p in pairs],
            [e.patient for e, _ in pairs],
            risk=how.risk,
        )
    given = [(e, p) for e, p in zip(test, mapped, strict=True) if p.scored and chosen.answers(p.confidence)]
    accuracy = None
    if given:
        accuracy = share_interval([float(is_right(e, p)) for e, p in given], [e.patient for e, _ in given])
    return {"chosen": chosen, "coverage": len(given) / len(test), "accuracy": accuracy}


def _label_sets(
    known: Sequence[Example],
    of_known: Sequence[Prediction],
    test: Sequence[Example],
    asked: Sequence[Prediction],
    how: Assess,
) -> dict[str, Any] | None:
    if test[0].kind is not TaskKind.CLASSIFY or not any(p.probabilities for p in of_known):
        return None
    sets: LabelSets = fit_label_sets(known, of_known, coverage=how.coverage, seed=how.seed)
    return {"fitted": sets, "on_test": coverage_of(sets, test, asked)}


# --- slices ----------------------------------------------------------------------------------------------------------


def in_slices(
    examples: Sequence[Example], predictions: Sequence[Prediction], slices: Slices, headline: str | None, how: Assess
) -> dict[str, Any]:
    """Every metric of every slice, as ``matrix[slice][value][metric]``, and the worst slice by the headline.

    Where patients are too few, the sizes stand alone: ``value`` is None.
    """
    matrix: dict[str, dict[str, dict[str, Any]]] = {}
    for one in slice_scores(examples, predictions, slices, **how.scoring):
        few = too_few(one.score.clusters)
        cell = {name: None if few else getattr(one.score, name) for name in ("value", "low", "high")}
        cell |= {"n": one.score.n, "patients": one.score.clusters}
        matrix.setdefault(one.slice, {}).setdefault(one.value, {})[one.score.metric] = cell
    worst = None
    if headline is not None:
        draws, seed = how.draws, how.seed
        worst = worst_slice(examples, predictions, slices, headline, draws=draws, seed=seed, **how.measuring)
    return {"metric": headline, "worst": worst, "matrix": matrix}


# --- against another system ------------------------------------------------------------------------------------------


def against_other(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    others: Sequence[Prediction],
    headline: str | None,
    how: Assess,
) -> dict[str, Any]:
    """The paired comparison with another system: the headline tested alone, all else one family."""
    compared = compare(examples, predictions, others, margin=how.margin, **how.scoring)
    first = [one for one in compared if one.metric == headline]
    family = [one for one in compared if one.metric != headline and not metric_of(one.metric).surface]
    surface = [one for one in compared if metric_of(one.metric).surface]
    judged = {one.metric: _compared(one) for one in (*first, *holm_adjust(family))}
    judged |= {one.metric: {**_compared(one), "verdict": None, "required_n": None} for one in surface}
    return {
        "metrics": _metrics(examples, others, how),
        "unscored": sum(not prediction.scored for prediction in others),
        "verdict": first[0].verdict if first else None,
        "sentence": _sentence(first[0]) if first else "No metric that may decide was measured for this kind of task.",
        "comparisons": judged,
    }


def _compared(one: Comparison) -> dict[str, Any]:
    kept = (
        "difference", "low", "high", "n", "p", "p_adjusted", "method", "margin", "lower_is_better", "verdict",
        "required_n", "note",
    )  # fmt: skip
    return {name: getattr(one, name) for name in kept} | {"patients": one.clusters}


def _sentence(one: Comparison) -> str:
    """The verdict in words."""
    measured = f"{metric_of(one.metric).title} {one.candidate_value:.3f} against {one.baseline_value:.3f}"
    if one.low is not None and one.high is not None:
        measured += f", difference {one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    if one.verdict is not Verdict.INCONCLUSIVE:
        return f"{one.verdict}: {measured}."
    if one.required_n is None:
        return f"{one.verdict}: {measured}."
    more = max(0, one.required_n - one.n)
    return f"{one.verdict}: {measured}; about {more:,} more cases would settle it if the difference is as observed."
