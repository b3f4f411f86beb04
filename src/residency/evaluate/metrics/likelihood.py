"""How likely the gold answer is under a model.

In: examples; predictions with ``nats`` and ``tokens`` of the gold answer. Out: tallies.

Covers: perplexity (comparable between systems with the same tokenizer only) and bits per byte (comparable between all).
Does not cover: the probability of what the model wrote itself (its confidence).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import Shape, Tally
from residency.evaluate.metrics.alignment import named
from residency.evaluate.metrics.facts import share_of_sums
from residency.records import Example, Prediction


def likelihood_tallies(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Tally]:
    """Perplexity and bits per byte of the gold answers: target tokens only, the prompt is not counted.

    A question that a model could not take in has no likelihood and no answer; it is left out here, and counted as
    unscored elsewhere.
    """
    known = [p.nats is not None and p.tokens is not None for p in predictions]
    if not any(known):
        return {}
    missing = [p.example for p, there in zip(predictions, known, strict=True) if p.scored and not there]
    if missing:
        raise EvaluationError(
            f"The likelihood of the gold answer is not known everywhere: {named('missing', missing)}.",
            fix="Run the evaluation again, so that every case is scored by the same model.",
        )
    nats = np.array([p.nats or 0.0 for p in predictions], dtype=np.float64)
    tokens = np.array([p.tokens or 0 for p in predictions], dtype=np.float64)
    size = np.array(
        [len(e.answer.encode()) * there for e, there in zip(examples, known, strict=True)], dtype=np.float64
    )
    left_out = f"{known.count(False)} cases that the model could not take in left out" if not all(known) else ""
    return {
        "perplexity": Tally(
            np.column_stack([nats, tokens]),
            lambda sums: np.exp(share_of_sums(sums)),
            Shape.RATIO,
            note="; ".join(filter(None, ["comparable between systems with the same tokenizer only", left_out])),
        ),
        "bits_per_byte": Tally(np.column_stack([nats / math.log(2), size]), share_of_sums, Shape.RATIO, note=left_out),
    }
