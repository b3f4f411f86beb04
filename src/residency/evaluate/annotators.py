"""Annotators beside each other: how far those who read the same documents marked the same.

In: what each annotator said of each document. Out: agreement of every pair, and of all together.

Covers: labels (Krippendorff's alpha, Cohen's kappa of each pair), ratings on a scale (ordinal alpha), findings marked
in the text (span F1 of each pair: strict, partial and by type, as in metrics/spans.py). Does not cover: free text; no
two people write the same.

Span F1 instead of kappa: nobody can say how many spans were not marked by either (Hripcsak and Rothschild 2005).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from residency.agreement import Level, cohen_kappa, krippendorff_alpha
from residency.evaluate.metrics.spans import span_tallies

Said = Mapping[str, Mapping[str, Any]]  # document -> annotator -> answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two annotators on the documents that both have read."""

    first: str
    second: str
    documents: int
    kappa: float | None = None
    span_f1: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far annotators agree. ``alpha`` is None where it is not defined, or for marked findings."""

    documents: int  # read by at least two
    alpha: float | None
    pairs: Sequence[Pair]


def agree_on_labels(said: Said) -> Agreement:
    """Of labels, or of any answers that are equal or not."""
    return Agreement(
        documents=_double_read(said),
        alpha=krippendorff_alpha(list(its.values()) for its in said.values()),
        pairs=[
            Pair(first=a, second=b, documents=len(both), kappa=cohen_kappa(both)) for a, b, both in _pairs(said)
        ],
    )  # fmt: skip


def agree_on_scale(said: Said, scale: Sequence[Hashable]) -> Agreement:
    """Of ratings; ``scale`` lowest first."""
    alpha = krippendorff_alpha((list(its.values()) for its in said.values()), level=Level.ORDINAL, order=scale)
    pairs = [Pair(first=a, second=b, documents=len(both), kappa=cohen_kappa(both)) for a, b, both in _pairs(said)]
    return Agreement(documents=_double_read(said), alpha=alpha, pairs=pairs)


def agree_on_findings(said: Said) -> Agreement:
    """Of findings with their places: lists of dicts with concept, label, start and end. The status is part of what must
    be equal."""
    with_status = {
        document: {who: [_with_status(one) for one in found] for who, found in its.items()}
        for document, its in said.items()
    }
    pairs = []
    for a, b, both in _pairs(with_status):
        f1 = {name: tally.value for name, tally in span_tallies(both).items()}
        if all(not first and not second for first, second in both):
            f1 = {}  # nobody marked anything: there is nothing to agree on
        pairs.append(Pair(first=a, second=b, documents=len(both), span_f1=f1))
    return Agreement(documents=_double_read(said), alpha=None, pairs=pairs)


def _with_status(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {**finding, "concept": f"{finding['concept'] or finding['label']} {finding['status']}"}


def _double_read(said: Said) -> int:
    return sum(len(its) > 1 for its in said.values())


def _pairs(said: Said) -> list[tuple[str, str, list[tuple[Any, Any]]]]:
    """Every two annotators with what both said of the documents that both have read."""
    people = sorted({who for its in said.values() for who in its})
    found = []
    for a, b in combinations(people, 2):
        both = [(its[a], its[b]) for its in said.values() if a in its and b in its]
        if both:
            found.append((a, b, both))
    return found
