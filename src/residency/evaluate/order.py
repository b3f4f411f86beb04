"""The order in which unlabeled documents are worth a person's time.

In: what is known of each document: the probabilities of its labels, what several sources suggest. Out: a turn for each,
and whether it came at random.

Covers: uncertainty (entropy of the probabilities), disagreement (share of pairs of sources that suggest different
answers), rare classes (one over how frequent the suggested label is); a share drawn at random among them, so that rates
can still be estimated, from those alone. Does not cover: retraining after each answer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from random import Random


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a document before anybody has read it."""

    id: str
    probabilities: Mapping[str, float] = field(default_factory=dict)  # label -> share
    suggested: Sequence[str] = ()  # one answer a source


@dataclass(frozen=True, slots=True)
class Turn:
    """When a document comes. ``random``: it was drawn, and may be used for estimates."""

    id: str
    turn: int
    random: bool


def in_order(documents: Sequence[Known], *, explore: float, seed: int) -> list[Turn]:
    """Every document once, the most worthwhile first, with a share ``explore`` of random ones mixed in.

    At each turn chance decides whether the next document is drawn among all that are left, or the one most worthwhile.
    """
    rng = Random(seed)
    frequent = _frequencies(documents)
    doubt = sorted(documents, key=lambda one: (-worth(one, frequent), one.id))
    drawn = sorted((one.id for one in documents), key=lambda name: rng.random())
    waiting = {one.id for one in documents}
    by_doubt, at_random = iter([one.id for one in doubt]), iter(drawn)
    turns: list[Turn] = []
    while waiting:
        random = rng.random() < explore
        name = next(one for one in (at_random if random else by_doubt) if one in waiting)
        waiting.remove(name)
        turns.append(Turn(name, len(turns), random))
    return turns


def worth(document: Known, frequent: Mapping[str, float]) -> float:
    """Uncertainty, disagreement and rarity, each from 0 to 1, added; 1 for what nothing is known of."""
    shares = [share for share in document.probabilities.values() if share > 0]
    if not shares and not document.suggested:
        return 1.0
    entropy = -sum(share * math.log(share) for share in shares) / math.log(len(shares)) if len(shares) > 1 else 0.0
    pairs = list(combinations(document.suggested, 2))
    disagreement = sum(a != b for a, b in pairs) / len(pairs) if pairs else 0.0
    rarest = min((frequent.get(label, 0.0) for label in _named(document)), default=1.0)
    return entropy + disagreement + (1 - rarest)


def _frequencies(documents: Sequence[Known]) -> dict[str, float]:
    """How frequent each suggested label is, beside the most frequent one."""
    counts = Counter(label for one in documents for label in _named(one))
    most = max(counts.values(), default=1)
    return {label: count / most for label, count in counts.items()}


def _named(document: Known) -> set[str]:
    likeliest = max(document.probabilities, key=document.probabilities.__getitem__, default=None)
    return {*document.suggested, *([likeliest] if likeliest is not None else [])}
