"""Label sets with a stated coverage.

In: predictions with probabilities over a closed set: those of the calibration split to fit, others to answer.
Out: ``LabelSets``: for each case the labels that cannot be ruled out; how often the gold label is among them.

Covers: split conformal sets by 1 - probability (Vovk 2005, Sadinle et al. 2019): for a new patient the gold label is in
the set with at least the stated chance, whatever the model is worth. A worse model gives larger sets, not broken
promises. Does not cover: a promise for each label or slice; the stated coverage is an average over cases.

The promise needs cases that could be exchanged. Cases of one patient could not: one of each patient is used, drawn by
the seed (Dunn et al. 2023). For one calibration set the true coverage varies: ``band`` says how much (Vovk 2012).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import LEVEL, Interval, cluster_codes, effective_n, share_interval
from residency.evaluate.metrics import align
from residency.records import Example, Prediction

COVERAGE = 0.9  # stated, unless a team says otherwise


@dataclass(frozen=True, slots=True)
class LabelSets:
    """A label is in the set unless its probability is below 1 - ``quantile``; with quantile 1 every label is."""

    quantile: float
    coverage: float  # stated
    n: int  # patients that it was fitted on, one case each
    band: tuple[float, float]  # 95 % of the true coverages of such calibration sets
    note: str = ""

    def labels(self, prediction: Prediction) -> tuple[str, ...]:
        """The set, most likely label first. Empty: nothing is likely enough, ask a person."""
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        return tuple(label for label, chance in ranked if 1 - chance <= self.quantile)


@dataclass(frozen=True, slots=True)
class Covered:
    """What the sets did on cases that they were not fitted on."""

    coverage: Interval  # share of cases whose gold label is in the set; an unread answer counts as not covered
    stated: float
    band: tuple[float, float]  # 95 % of the coverages that the promise gives on so many cases
    inside: bool  # whether the measured coverage is not below the band; above it sets are larger than they need be
    size: float  # labels in a set, mean
    single: float  # share of cases whose set is one label
    empty: float  # share of cases with no label in the set


def fit_label_sets(
    examples: Sequence[Example], predictions: Sequence[Prediction], *, coverage: float = COVERAGE, seed: int = 0
) -> LabelSets:
    """The sets that hold the gold label of a new patient's case with a chance of at least ``coverage``."""
    if not 0 < coverage < 1:
        raise EvaluationError(f"coverage is {coverage:g}; it lies between 0 and 1.", fix="Ask for 0.9, for example.")
    aligned = align(examples, predictions)
    drawn = _one_a_patient([example.patient for example in examples], seed)
    scores = np.sort([1 - aligned[i].probabilities.get(str(examples[i].gold), 0.0) for i in drawn])
    n = len(scores)
    rank = math.ceil((n + 1) * coverage - 1e-9)
    if rank > n:
        note = f"{n} patients are too few for a coverage of {coverage:g}: every label is in every set"
        return LabelSets(1.0, coverage, n, (1.0, 1.0), note)
    return LabelSets(float(scores[rank - 1]), coverage, n, _band(rank, n))


def coverage_of(sets: LabelSets, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Covered:
    """How often the gold label is in the set, beside what the promise allows on so many cases."""
    aligned = align(examples, predictions)
    found = [sets.labels(prediction) for prediction in aligned]
    held = np.array([float(str(e.gold) in labels) for e, labels in zip(examples, found, strict=True)])
    patients = [example.patient for example in examples]
    codes, count = cluster_codes(patients)
    seen = max(1, round(effective_n(held, codes, count)))
    band = _seen_band(sets, seen)
    sizes = np.array([len(labels) for labels in found])
    return Covered(
        coverage=share_interval(held, patients),
        stated=sets.coverage,
        band=band,
        inside=bool(held.mean() >= band[0]),
        size=float(sizes.mean()),
        single=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )


def _one_a_patient(patients: Sequence[str], seed: int) -> list[int]:
    """A case of each patient, drawn at random."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(patients))
    first = {patients[i]: int(i) for i in reversed(shuffled)}
    return [first[name] for name in sorted(first)]


def _band(rank: int, n: int) -> tuple[float, float]:
    """True coverage given a calibration set is Beta(rank, n + 1 - rank) for scores without ties (Vovk 2012)."""
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    return float(betaincinv(rank, n + 1 - rank, tail)), float(betaincinv(rank, n + 1 - rank, 1 - tail))


def _seen_band(sets: LabelSets, seen: int) -> tuple[float, float]:
    """Coverage measured on ``seen`` cases: beta-binomial, so wider than the band of the true coverage."""
    from scipy.stats import betabinom

    if sets.band == (1.0, 1.0):
        return 1.0, 1.0
    rank = math.ceil((sets.n + 1) * sets.coverage - 1e-9)
    low, high = betabinom.interval(LEVEL, seen, rank, sets.n + 1 - rank)
    return float(low / seen), float(high / seen)
