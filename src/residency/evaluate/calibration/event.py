"""The event that a confidence is about, "this answer is right", as numbers.

In: examples and aligned predictions. Out: confidences and outcomes, checked.

Covers: what counts as right for each kind of task; confidences outside 0 to 1 are an ``EvaluationError``.
Does not cover: free text: no single wording is the right one, so that no event is defined for a generate task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import Array
from residency.evaluate.metrics import case_scores
from residency.records import Example, Prediction, TaskKind

CLOSEST = 1e-6  # to 0 and 1; beyond it a confidence is certain for every purpose
EVENTS = {TaskKind.CLASSIFY: "accuracy", TaskKind.EXTRACT: "exact_match"}  # the case score that says right or wrong


def is_right(example: Example, prediction: Prediction) -> bool:
    """Whether the answer is right as a whole: the gold label; all findings and no other."""
    return case_scores(example.kind, example, prediction)[EVENTS[example.kind]] == 1


def with_confidence(
    examples: Sequence[Example], aligned: Sequence[Prediction]
) -> tuple[list[Example], list[Prediction]]:
    """The cases that were answered with a confidence."""
    kept = [(e, p) for e, p in zip(examples, aligned, strict=True) if p.scored and p.confidence is not None]
    return [e for e, _ in kept], [p for _, p in kept]


def checked(confidence: Sequence[float], correct: Sequence[bool]) -> tuple[Array, Array]:
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


def logit(sure: Array) -> Array:
    """Log odds; confidences are kept off 0 and 1, where they would be infinite."""
    inside = np.clip(sure, CLOSEST, 1 - CLOSEST)
    return np.log(inside / (1 - inside))
