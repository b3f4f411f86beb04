"""What is measured: every metric of every kind of task, each with its interval.

In: examples with gold answers, and the predictions of one system for exactly these examples.
Out: a ``Score`` for every metric; the ``Tally`` behind each of them (for paired comparison); scores of single cases.

Covers: one room for each kind of task (classify.py, extract.py with spans.py, generate.py with surface.py), what all
kinds share (likelihood.py, unread outputs), a team's own metrics (own.py); the list of all (catalogue.py).
Does not cover: whether a difference is real (compare.py), whether a confidence is honest (calibration/).

An output that could not be read is wrong, and counted: a wrong label, no findings, an empty text. A metric that is not
defined on the cases (e.g. precision where nothing was output) has no ``Score``: it is missing, not zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from residency.evaluate.intervals import DRAWS, Tally, as_score, interval
from residency.evaluate.metrics.alignment import align
from residency.evaluate.metrics.catalogue import CASE_HEADLINE, HEADLINE, METRICS, OF_SOURCES, Metric, metric_of
from residency.evaluate.metrics.classify import classify_case, classify_tallies, gold_rank
from residency.evaluate.metrics.extract import extract_case, extract_tallies
from residency.evaluate.metrics.facts import Find, polarity_flips
from residency.evaluate.metrics.generate import generate_case, generate_tallies
from residency.evaluate.metrics.likelihood import likelihood_tallies
from residency.evaluate.metrics.own import OwnMetric, own_tally
from residency.records import Example, Prediction, Score, TaskKind

__all__ = [
    "CASE_HEADLINE",
    "HEADLINE",
    "METRICS",
    "NONE",
    "OF_SOURCES",
    "Find",
    "Metric",
    "OwnMetric",
    "align",
    "case_scores",
    "gold_rank",
    "metric_of",
    "polarity_flips",
    "score",
    "tallies",
]
NONE: Mapping[str, OwnMetric] = MappingProxyType({})


def score(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    labels: Sequence[str] = (),
    find: Find | None = None,
    own: Mapping[str, OwnMetric] = NONE,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Score]:
    """Every metric of one system on one task, with 95 % intervals clustered by patient.

    ``labels`` is the closed set of a classify task; ``find`` reads findings out of a text, for the facts of a generate
    task; ``own`` are a team's own metrics by name. Raises ``EvaluationError`` where examples and predictions do not
    belong together.
    """
    aligned = align(examples, predictions)
    clusters = [example.patient for example in examples]
    unscored = sum(not prediction.scored for prediction in aligned)
    scores = []
    for name, tally in tallies(examples, aligned, labels=labels, find=find, own=own).items():
        if math.isnan(tally.value):
            continue
        known = interval(tally, clusters, seed=seed, draws=draws)
        scores.append(as_score(aligned[0], name, known, tally.note, unscored=unscored))
    return scores


def tallies(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    labels: Sequence[str] = (),
    find: Find | None = None,
    own: Mapping[str, OwnMetric] = NONE,
) -> dict[str, Tally]:
    """What every case adds to every metric of the task's kind, by the metric's name, in the order of ``METRICS``.

    Two systems can be compared if both were tallied with the same ``labels``.
    """
    aligned = align(examples, predictions)
    kind = examples[0].kind
    if kind is TaskKind.CLASSIFY:
        found = classify_tallies(examples, aligned, labels)
    elif kind is TaskKind.EXTRACT:
        found = extract_tallies(examples, aligned)
    else:
        found = generate_tallies(examples, aligned, find)
    found |= likelihood_tallies(examples, aligned)
    found["unscored_rate"] = Tally.of_scores([float(not prediction.scored) for prediction in aligned])
    found = {name: found[name] for name in METRICS if name in found}
    found |= {name: own_tally(name, function, examples, aligned) for name, function in own.items()}
    return {
        name: replace(tally, lower_is_better=metric_of(name).lower_is_better, ceiling=metric_of(name).ceiling)
        for name, tally in found.items()
    }


def case_scores(
    kind: TaskKind, example: Example, prediction: Prediction, *, find: Find | None = None
) -> dict[str, float]:
    """Scores of one case, for tables of the best and the worst. All but bits_per_byte are 0 where unscored."""
    if kind is TaskKind.CLASSIFY:
        scores = classify_case(example, prediction)
    elif kind is TaskKind.EXTRACT:
        scores = extract_case(example, prediction)
    else:
        scores = generate_case(example, prediction, find)
    if prediction.nats is not None and example.answer:
        scores["bits_per_byte"] = prediction.nats / math.log(2) / len(example.answer.encode())
    return scores
