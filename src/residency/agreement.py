"""Agreement: how far several readers of the same things say the same, beyond chance.

In: what each reader said of each thing. Out: coefficients, 1 for agreement throughout, about 0 for chance, None where
they are not defined.

Covers: Krippendorff's alpha for nominal and ordinal answers, any number of readers, missing answers; Cohen's kappa of
two readings. Does not cover: marked spans (evaluate/annotators.py), intervals.

Rejected: the raw share of equal answers. With one frequent label it is high for readers who do not look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from enum import StrEnum
from itertools import permutations
from typing import TypeVar

Answer = TypeVar("Answer", bound=Hashable)


class Level(StrEnum):
    """What the distance between two answers is."""

    NOMINAL = "nominal"  # equal or not
    ORDINAL = "ordinal"  # ranks: the answers between the two count


def krippendorff_alpha(
    units: Iterable[Sequence[Answer]], *, level: Level = Level.NOMINAL, order: Sequence[Answer] = ()
) -> float | None:
    """Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    ``units`` holds the answers to each thing, whoever gave them; those with fewer than two say nothing. ``order`` is
    the scale of ordinal answers, lowest first. None where no unit has two answers, or all answers are the same.
    """
    coincidences: Counter[tuple[Answer, Answer]] = Counter()
    pairs: dict[tuple[Answer, Answer], float] = {}
    for answers in units:
        coincidences.clear()
        coincidences.update(permutations(answers, 2))
        for pair, count in coincidences.items():
            pairs[pair] = pairs.get(pair, 0.0) + count / (len(answers) - 1)
    totals: dict[Answer, float] = {}
    for (first, _), weight in pairs.items():
        totals[first] = totals.get(first, 0.0) + weight
    distances = _distances(totals, level, order)
    expected = sum(totals[a] * totals[b] * distances[a, b] for a, b in distances)
    if not expected:
        return None
    observed = sum(weight * distances.get(pair, 0.0) for pair, weight in pairs.items())
    return 1 - (sum(totals.values()) - 1) * observed / expected


def _distances(
    totals: dict[Answer, float], level: Level, order: Sequence[Answer]
) -> dict[tuple[Answer, Answer], float]:
    """The squared distance of every two different answers."""
    if level is Level.NOMINAL:
        return dict.fromkeys(permutations(totals, 2), 1.0)
    rank = {answer: number for number, answer in enumerate(order)}
    ordered = sorted(totals, key=rank.__getitem__)
    below = {}  # how many answers lie below the middle of this one
    passed = 0.0
    for answer in ordered:
        below[answer] = passed + totals[answer] / 2
        passed += totals[answer]
    return {(a, b): (below[a] - below[b]) ** 2 for a, b in permutations(ordered, 2)}


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's kappa of two readings of each thing (Cohen 1960). None where there is no pair, or one answer only."""
    from sklearn.metrics import cohen_kappa_score

    known = {answer for pair in pairs for answer in pair}
    if len(known) < 2:
        return None
    number = {answer: code for code, answer in enumerate(sorted(known, key=repr))}
    first, second = ([number[answer] for answer in side] for side in zip(*pairs, strict=True))
    return float(cohen_kappa_score(first, second))
