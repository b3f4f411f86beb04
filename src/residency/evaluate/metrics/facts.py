"""Facts: pairs of a concept and its status, and how two sets of them agree.

In: findings as data, or as a terminology reads them in a text. Out: sets of facts; tallies of their overlap.

Covers: precision, recall and F1 of facts; polarity flips (present for absent, absent for present), the errors that can
turn a decision around. Does not cover: places in the text (spans.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from residency.evaluate.intervals import Array, Shape, Tally, ratio
from residency.records import Finding, Status

Find = Callable[[str], Sequence[Finding]]  # the findings that a text names, e.g. the terminology step
Facts = frozenset[tuple[str, str]]  # (concept, status)
OPPOSITE = {Status.PRESENT.value: Status.ABSENT.value, Status.ABSENT.value: Status.PRESENT.value}


def polarity_flips(gold: Facts, said: Facts) -> int:
    """Concepts of which the output says present where gold says only absent, or the other way round.

    An output that says both counts: it asserts the opposite of the truth. Gold that says both cannot be flipped.
    """
    return sum(
        (concept, OPPOSITE[status]) in said and (concept, OPPOSITE[status]) not in gold
        for concept, status in gold
        if status in OPPOSITE
    )


def flip_tally(pairs: Sequence[tuple[Facts, Facts]]) -> Tally:
    parts = [(polarity_flips(gold, said), sum(status in OPPOSITE for _, status in gold)) for gold, said in pairs]
    flips = sum(count for count, _ in parts)
    return Tally(np.array(parts, dtype=np.float64), share_of_sums, Shape.RATIO, note=f"{flips} polarity flip(s)")


def facts_of(findings: Iterable[Mapping[str, Any]] | None) -> Facts:
    """Findings as a set of (concept, status). A name outside the terminology stands for itself, and is never gold."""
    return frozenset((f["concept"] or f"name:{f['label'].casefold()}", str(f["status"])) for f in findings or ())


def overlap(gold: frozenset[Any], said: frozenset[Any]) -> tuple[float, float, float]:
    """(hits, gold, said) of two sets."""
    return float(len(gold & said)), float(len(gold)), float(len(said))


def overlap_tallies(counts: Sequence[tuple[float, float, float]], *, prefix: str) -> dict[str, Tally]:
    parts = np.array(counts)
    return {
        f"{prefix}f1": Tally(parts, f1, Shape.RATIO),
        f"{prefix}precision": Tally(parts, lambda sums: ratio(sums[..., 0], sums[..., 2]), Shape.RATIO),
        f"{prefix}recall": Tally(parts, lambda sums: ratio(sums[..., 0], sums[..., 1]), Shape.RATIO),
    }


def f1(sums: Array) -> Array:
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def share_of_sums(sums: Array) -> Array:
    """First sum over the second."""
    return ratio(sums[..., 0], sums[..., 1])


def named_facts(findings: Sequence[Finding]) -> Facts:
    """The facts of findings that were read in a text."""
    return frozenset(finding.key for finding in findings)
