"""Metrics of a classify task: one label of a closed set.

In: examples with a gold label; aligned predictions, perhaps with probabilities. Out: tallies; scores of one case.

Covers: accuracy, balanced accuracy, macro-F1, top-k accuracy, mean reciprocal rank.
Does not cover: whether a probability is honest (calibration/).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import Array, Shape, Tally, ratio
from residency.evaluate.metrics.alignment import named
from residency.evaluate.metrics.catalogue import TOP
from residency.records import Example, Prediction


def classify_tallies(
    examples: Sequence[Example], predictions: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, Tally]:
    cases = [classify_case(e, p) for e, p in zip(examples, predictions, strict=True)]
    found = {"accuracy": Tally.of_scores([case["accuracy"] for case in cases])}
    gold = [str(example.gold) for example in examples]
    said = [None if p.value is None else str(p.value) for p in predictions]
    names = sorted({*labels, *gold, *(name for name in said if name is not None)})
    parts = _confusion_parts(gold, said, names)
    found["balanced_accuracy"] = Tally(parts, _balanced_accuracy, Shape.RATIO)
    found["macro_f1"] = Tally(parts, _macro_f1, Shape.RATIO)
    if any(prediction.probabilities for prediction in predictions):
        missing = [p.example for p in predictions if p.scored and not p.probabilities]
        if missing:
            raise EvaluationError(
                f"Some answers have probabilities and others have none: {named('none', missing)}.",
                fix="Give the probabilities of every answer, or of none.",
            )
        width = max(len(prediction.probabilities) for prediction in predictions)
        # Among three labels the gold one is always in the first three.
        ranked = [*(f"top{k}_accuracy" for k in TOP[1:] if k < width), "mrr"]
        found |= {name: Tally.of_scores([case[name] for case in cases]) for name in ranked}
    return found


def classify_case(example: Example, prediction: Prediction) -> dict[str, float]:
    scores = {"accuracy": float(prediction.scored and prediction.value == example.gold)}
    rank = gold_rank(example, prediction)
    scores |= {f"top{k}_accuracy": float(rank is not None and rank <= k) for k in TOP[1:]}
    scores["mrr"] = 0.0 if rank is None else 1 / rank
    return scores


def gold_rank(example: Example, prediction: Prediction) -> int | None:
    """The place of the gold label by probability, first is 1; labels as probable as it stand before it.

    None where the system gave no probabilities, could not be read, or does not know the label.
    """
    probability = prediction.probabilities.get(str(example.gold)) if prediction.scored else None
    if probability is None:
        return None
    return sum(other >= probability for other in prediction.probabilities.values())


def _confusion_parts(gold: Sequence[str], said: Sequence[str | None], names: Sequence[str]) -> Array:
    """(n, 3L): for each label whether the case is a hit, a gold case, and an answer with it. Unscored is no answer."""
    place = {name: position for position, name in enumerate(names)}
    parts = np.zeros((3, len(gold), len(names)))
    for row, (right, answer) in enumerate(zip(gold, said, strict=True)):
        parts[0, row, place[right]] = answer == right
        parts[1, row, place[right]] = 1
        if answer is not None:
            parts[2, row, place[answer]] = 1
    return np.concatenate(list(parts), axis=1)


def _balanced_accuracy(sums: Array) -> Array:
    hits, gold, _ = np.split(sums, 3, axis=-1)
    return _mean_where_defined(ratio(hits, gold))


def _macro_f1(sums: Array) -> Array:
    """Mean F1 over the labels that are gold or answered at least once, as scikit-learn averages."""
    hits, gold, answered = np.split(sums, 3, axis=-1)
    return _mean_where_defined(ratio(2 * hits, gold + answered))


def _mean_where_defined(values: Array) -> Array:
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))
