"""Metrics of an extract task: a list of findings, each with its status.

In: examples with gold findings; aligned predictions. Out: tallies; scores of one case.

Covers: strict F1 (concept and status), concept F1 (status ignored), F1 of each status, documents without any error,
polarity flips; spans where findings have places (spans.py). Does not cover: credit for a parent concept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from residency.evaluate.intervals import Shape, Tally, upper_bound
from residency.evaluate.metrics.facts import (
    Facts,
    f1,
    facts_of,
    flip_tally,
    overlap,
    overlap_tallies,
    polarity_flips,
)
from residency.evaluate.metrics.spans import span_tallies
from residency.records import Example, Prediction, Status


def extract_tallies(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Tally]:
    cases = [extract_case(e, p) for e, p in zip(examples, predictions, strict=True)]
    pairs = [(facts_of(e.gold), facts_of(p.value)) for e, p in zip(examples, predictions, strict=True)]
    found = overlap_tallies([overlap(gold, said) for gold, said in pairs], prefix="")
    found["concept_f1"] = Tally(
        np.array([overlap(_concepts(gold), _concepts(said)) for gold, said in pairs]), f1, Shape.RATIO
    )
    for status in Status:
        counts = [overlap(_with_status(gold, status), _with_status(said, status)) for gold, said in pairs]
        found[f"f1_{status}"] = Tally(np.array(counts), f1, Shape.RATIO)
    found |= span_tallies([(e.gold, p.value) for e, p in zip(examples, predictions, strict=True)])
    found |= {name: Tally.of_scores([case[name] for case in cases]) for name in ("document_f1", "exact_match")}
    found["polarity_flip_rate"] = flip_tally(pairs)
    flipped = [float(case["polarity_flips"] > 0) for case in cases]
    bound = upper_bound(sum(flipped), len(flipped))
    note = f"one-sided 95 % upper bound {bound:.4f}, every document counted as independent"
    found["critical_error_rate"] = replace(Tally.of_scores(flipped), note=note)
    return found


def extract_case(example: Example, prediction: Prediction) -> dict[str, float]:
    gold, said = facts_of(example.gold), facts_of(prediction.value)
    hits, gold_count, said_count = overlap(gold, said)
    both_empty = not gold and not said
    return {
        "document_f1": float(prediction.scored and (both_empty or 2 * hits / (gold_count + said_count))),
        "exact_match": float(prediction.scored and gold == said),
        "polarity_flips": float(polarity_flips(gold, said)),
    }


def _concepts(facts: Facts) -> frozenset[str]:
    return frozenset(concept for concept, _ in facts)


def _with_status(facts: Facts, status: Status) -> Facts:
    return frozenset(fact for fact in facts if fact[1] == status.value)
