"""Cases and predictions that belong together.

In: examples; the predictions of one system. Out: the predictions in the order of the examples.

Covers: cases without a prediction, predictions without a case, repeated ids, mixed systems or tasks, numbers that are
not finite: all named at once, by id, never by content. Does not cover: whether an answer is right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from residency.errors import EvaluationError, first_of
from residency.records import Example, Prediction

SHOWN = 5  # ids named in an error


def align(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions in the order of the examples; an ``EvaluationError`` unless they fit one to one."""
    if not examples:
        raise EvaluationError("There are no cases to score.", fix="Check that the split has cases of this task.")
    wanted = [example.id for example in examples]
    by_example = {prediction.example: prediction for prediction in predictions}
    problems = [
        named("case ids that occur more than once", _repeated(wanted)),
        named("cases with more than one prediction", _repeated(p.example for p in predictions)),
        named("cases without a prediction", [name for name in wanted if name not in by_example]),
        named("predictions for cases that are not there", sorted(by_example.keys() - set(wanted))),
        named("predictions of several systems", _different(p.system for p in predictions)),
        named("predictions of several tasks", _different(p.task for p in predictions)),
        named("cases of several tasks", _different(e.task for e in examples)),
        named("predictions with numbers that are not finite", [p.example for p in predictions if not _finite(p)]),
    ]
    found = [problem for problem in problems if problem]
    if found:
        raise EvaluationError(
            f"Cases and predictions do not fit: {'; '.join(found)}.",
            fix="Score the predictions that were made for exactly these cases, or run the evaluation again.",
        )
    return [by_example[name] for name in wanted]


def _finite(prediction: Prediction) -> bool:
    numbers = [prediction.nats, prediction.confidence, *prediction.probabilities.values()]
    return all(number is None or math.isfinite(number) for number in numbers)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _different(names: Iterable[str]) -> list[str]:
    distinct = sorted(set(names))
    return distinct if len(distinct) > 1 else []


def named(problem: str, ids: Sequence[str]) -> str:
    """The problem with the first ids, empty where there are none."""
    return f"{problem}: {first_of(ids, SHOWN)}" if ids else ""
