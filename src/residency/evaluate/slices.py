"""Is it as good everywhere? Every metric on parts of the cases.

In: examples, predictions, and for each slice (genre, site, sex, ...) the value of every case. Out: a ``SliceScore`` for
every metric on every value of every slice; the ``WorstSlice``.

Covers: slices that a team names, numbers such as an age in bins; slices that are there anyway (length of the text,
frequency of the label). The worst slice's interval is widened for having been picked out of several (Bonferroni): of
equal slices one is always worst. A slice of very few patients is a statement about persons, and says nothing about the
system: ``too_few`` says so, and only its size is shown.
Does not cover: slices of two properties at once; name them as a property of their own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from residency.evaluate.intervals import LEVEL, interval
from residency.evaluate.metrics import metric_of, score, tallies
from residency.records import Example, Prediction, Score, TaskKind

NOT_GIVEN = "(not given)"  # the value of a case that names none
ENOUGH = 10  # cases; fewer do not make a worst slice
FEWEST_PATIENTS = 5  # of a slice whose scores are shown; chosen by us, as statistics offices suppress small cells
FEW_NUMBERS = 6  # distinct numbers that are values of their own; more are put into bins
BINS = 3
HIGH_AGE = 90  # ages above 89 are one category (45 CFR 164.514(b)(2)(i)(C))
VALUES = 30  # of a slice, the most frequent ones; more are no slices but a measurement
LENGTHS = ("short", "middle", "long")  # thirds of the cases by words of the text
RARE, COMMON = 5, 20  # cases of a label: up to, more than

Slices = Mapping[str, Sequence[str]]  # slice -> the value of every case, in the order of the examples


@dataclass(frozen=True, slots=True)
class SliceScore:
    """One metric on the cases of one value of a slice."""

    slice: str
    value: str
    score: Score


@dataclass(frozen=True, slots=True)
class WorstSlice:
    """The slice with the worst value of a metric. ``low`` and ``high`` hold although it was picked from ``of``."""

    slice: str
    value: str
    metric: str
    measured: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    of: int
    note: str = ""


def slice_scores(
    examples: Sequence[Example], predictions: Sequence[Prediction], slices: Slices, **how: Any
) -> list[SliceScore]:
    """Every metric on every value of every slice, most frequent values first. ``how``: as for ``metrics.score``."""
    return [
        SliceScore(name, value, one)
        for name, value, cases, answers in _parts(examples, predictions, slices)
        for one in score(cases, answers, **how)
    ]


def too_few(clusters: int) -> bool:
    """Whether a slice of so many patients shows its size only."""
    return clusters < FEWEST_PATIENTS


def in_bins(values: Sequence[str]) -> list[str]:
    """Numbers with many values as bins with about equally many cases, anything else as it is; "" is not given.

    The outer bins are open, so that the least and the greatest number (an age above 89) are not told.
    """
    given = [value.strip() for value in values]
    numbers = [_number(value) for value in given]
    known = np.array([number for number in numbers if number is not None])
    if len(known) < sum(map(bool, given)) or len(np.unique(known)) <= FEW_NUMBERS:
        return [value or NOT_GIVEN for value in given]
    edges = np.unique(np.quantile(known, [step / BINS for step in range(1, BINS)], method="higher"))
    names = [f"below {edges[0]:g}"]
    names += [f"{low:g} to below {high:g}" for low, high in pairwise(edges)] + [f"{edges[-1]:g} and above"]
    return [
        NOT_GIVEN if number is None else names[int(np.searchsorted(edges, number, side="right"))] for number in numbers
    ]


def without_high_age(cell: str) -> str:
    """A number above that from which an age identifies a person is cut to it. Other numbers are cut as well: what only
    divides cases loses little by it, and no one has to say which columns are ages."""
    number = _number(cell)
    return f"{HIGH_AGE}" if number is not None and number > HIGH_AGE else cell


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def worst_slice(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    slices: Slices,
    metric: str,
    *,
    draws: int,
    seed: int,
    **how: Any,
) -> WorstSlice | None:
    """The value of a slice where the metric is worst, among those with ``ENOUGH`` cases of enough patients.

    None where there is none.

    ``how``: as for ``metrics.tallies``.
    """
    found = []
    for name, value, cases, answers in _parts(examples, predictions, slices):
        tally = tallies(cases, answers, **how).get(metric)
        patients = [case.patient for case in cases]
        enough = ENOUGH <= len(cases) < len(examples) and not too_few(len(set(patients)))
        if enough and tally is not None and math.isfinite(tally.value):
            found.append((tally.value, name, value, tally, patients))
    if not found:
        return None
    pick = max if metric_of(metric).lower_is_better else min
    measured, name, value, tally, patients = pick(found, key=lambda one: one[0])
    wide = interval(tally, patients, seed=seed, draws=draws, level=1 - (1 - LEVEL) / len(found))
    note = "; ".join(filter(None, (wide.note, f"the worst of {len(found)}, interval widened for that")))
    return WorstSlice(name, value, metric, measured, wide.low, wide.high, wide.n, wide.clusters, len(found), note)


def own_slices(examples: Sequence[Example], texts: Sequence[str | None]) -> dict[str, list[str]]:
    """Slices that need no naming: thirds by length of the text; labels by how many cases they have."""
    found = {}
    if len(examples) >= len(LENGTHS) * ENOUGH and all(text is not None for text in texts):
        words = np.array([len((text or "").split()) for text in texts])
        edges = np.quantile(words, [1 / 3, 2 / 3])
        found["length"] = [LENGTHS[int(np.searchsorted(edges, count))] for count in words]
    if examples[0].kind is TaskKind.CLASSIFY:
        frequency = Counter(str(example.gold) for example in examples)
        found["label_frequency"] = [_tier(frequency[str(example.gold)]) for example in examples]
    return found


def _tier(cases: int) -> str:
    if cases <= RARE:
        return f"up to {RARE} cases"
    return f"more than {COMMON} cases" if cases > COMMON else f"{RARE + 1} to {COMMON} cases"


def _parts(
    examples: Sequence[Example], predictions: Sequence[Prediction], slices: Slices
) -> list[tuple[str, str, list[Example], list[Prediction]]]:
    answer = {prediction.example: prediction for prediction in predictions}
    parts = []
    for name, values in slices.items():
        frequent = [value for value, _ in sorted(Counter(values).items(), key=lambda one: (-one[1], one[0]))[:VALUES]]
        for value in frequent:
            cases = [example for example, its in zip(examples, values, strict=True) if its == value]
            parts.append((name, value, cases, [answer[case.id] for case in cases]))
    return parts
