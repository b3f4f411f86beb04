"""Spans: where in the text a finding stands.

In: gold and output findings with ``start`` and ``end`` (code points, half-open) and a label. Out: tallies.

Covers: strict F1 (label and boundaries, as seqeval and the CoNLL tasks), partial F1 (any overlap counts half, label
ignored: MUC-5, SemEval-2013 task 9 "partial"), type F1 (label and any overlap, SemEval-2013 "type").
Does not cover: gold findings without a place. An output's finding without one counts as wrong.

Gold and output are matched one to one so that the credit is largest. nervaluate takes the first overlap in the order
written instead; the two agree wherever a span overlaps one other at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from residency.evaluate.intervals import Array, Shape, Tally
from residency.evaluate.metrics.facts import f1

Place = tuple[str, int, int]  # label, start, end
UNPLACED: Place = ("", -1, -1)
Answers = Iterable[Mapping[str, Any]] | None


def span_tallies(pairs: Sequence[tuple[Answers, Answers]]) -> dict[str, Tally]:
    """Strict, partial and type F1; none where gold lacks a place, or no output has one."""
    gold_places = [_places(gold) for gold, _ in pairs]
    said_places = [_places(said) for _, said in pairs]
    if any(UNPLACED in spans for spans in gold_places) or not any(set(spans) - {UNPLACED} for spans in said_places):
        return {}
    placed = [
        (gold, [span for span in said if span != UNPLACED]) for gold, said in zip(gold_places, said_places, strict=True)
    ]
    credits = {
        "span_f1": [float(len(set(gold) & set(said))) for gold, said in placed],
        "span_partial_f1": [_largest(_partial(gold, said)) for gold, said in placed],
        "span_type_f1": [_largest(_type(gold, said)) for gold, said in placed],
    }
    counts = np.array([(len(gold), len(said)) for gold, said in zip(gold_places, said_places, strict=True)])
    return {name: Tally(np.column_stack([credit, counts]), f1, Shape.RATIO) for name, credit in credits.items()}


def _places(findings: Answers) -> list[Place]:
    """The distinct spans; each finding without a place is ``UNPLACED``: it counts, and matches nothing."""
    placed: dict[Place, None] = {}
    unplaced = []
    for finding in findings or ():
        start, end = finding.get("start"), finding.get("end")
        if start is None or end is None:
            unplaced.append(UNPLACED)
        else:
            placed[finding["concept"] or finding["label"], int(start), int(end)] = None
    return [*placed, *unplaced]


def _partial(gold: Sequence[Place], said: Sequence[Place]) -> Array:
    """(gold, said): 1 for equal boundaries, half for an overlap."""
    (starts, ends), (starts_said, ends_said) = _edges(gold), _edges(said)
    equal = (starts == starts_said.T) & (ends == ends_said.T)
    return np.where(equal, 1.0, 0.5 * ((starts < ends_said.T) & (ends > starts_said.T)))


def _type(gold: Sequence[Place], said: Sequence[Place]) -> Array:
    """(gold, said): 1 for an overlap with the same label."""
    same = np.array([[g[0] == s[0] for s in said] for g in gold], dtype=np.float64).reshape(len(gold), len(said))
    return same * (_partial(gold, said) > 0)


def _edges(spans: Sequence[Place]) -> tuple[Array, Array]:
    """Starts and ends, (n, 1) each."""
    table = np.array([span[1:] for span in spans], dtype=np.float64).reshape(len(spans), 2)
    return table[:, :1], table[:, 1:]


def _largest(credit: Array) -> float:
    """The largest total credit of a one-to-one matching."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(credit, maximize=True)
    return float(credit[rows, columns].sum())
