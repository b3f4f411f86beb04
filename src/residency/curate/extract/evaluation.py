"""How well findings are read, against texts whose findings are known.

In: records with ``text`` and ``findings`` (concept or ``hpo_id``, status, and if known start and end); what was read.
Out: ``Scores``.

Covers: a text's set of (concept, status), its set of concepts, its mentions (same concept, places overlap), the status
of mentions that were found. F1 = 2 right / (read + known). Intervals are percentile bootstrap over texts, seeded: the
findings of one text are not independent. Does not cover: partial credit for a parent concept.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from residency.records import Finding

DRAWS = 500  # bootstrap samples; the interval moves by less than .002 with more on a thousand texts


class Unit(StrEnum):
    """What is counted."""

    FINDING = "concept and status"  # of a text, each once
    CONCEPT = "concept"
    MENTION = "mention"


@dataclass(frozen=True, slots=True)
class Count:
    """Right, read and known units of one text."""

    right: int
    read: int
    known: int


@dataclass(slots=True)
class Tally:
    """The counts of many texts; adds up over processes."""

    texts: dict[Unit, list[Count]] = field(default_factory=lambda: {unit: [] for unit in Unit})
    status_right: int = 0
    status_of: int = 0

    def add(self, gold: Iterable[Mapping[str, Any]], read: Sequence[Finding], current: Callable[[str], str]) -> None:
        """One text. ``current`` maps an old concept id to the one in use."""
        known = [(current(str(g.get("concept") or g.get("hpo_id"))), g["status"], g) for g in gold]
        self._sets(Unit.FINDING, {f.key for f in read}, {(concept, status) for concept, status, _ in known})
        self._sets(Unit.CONCEPT, {f.concept for f in read}, {concept for concept, _, _ in known})
        pairs = [
            (number, f, status)
            for f in read
            for number, (concept, status, g) in enumerate(known)
            if f.concept == concept and _overlap(f, g)
        ]
        placed = sum(g.get("start") is not None for _, _, g in known)
        self.texts[Unit.MENTION].append(Count(len({number for number, _, _ in pairs}), len(read), placed))
        self.status_of += len(pairs)
        self.status_right += sum(f.status.value == status for _, f, status in pairs)

    def merge(self, other: Tally) -> None:
        for unit, counts in other.texts.items():
            self.texts[unit] += counts
        self.status_right += other.status_right
        self.status_of += other.status_of

    def _sets(self, unit: Unit, read: set[Any], known: set[Any]) -> None:
        self.texts[unit].append(Count(len(read & known), len(read), len(known)))


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and F1 (with its interval) of each unit; the share of right statuses."""

    texts: int
    units: Mapping[Unit, tuple[float, float, float, tuple[float, float]]]
    status: float | None  # of mentions that were found; None without any
    status_of: int

    def plain(self) -> dict[str, Any]:
        """All figures for JSON."""
        names = ("precision", "recall", "f1", "f1_interval")
        rows = {unit.value: dict(zip(names, figures, strict=True)) for unit, figures in self.units.items()}
        return {"texts": self.texts, "units": rows, "status_accuracy": self.status, "status_of": self.status_of}


def scores(tally: Tally, *, seed: int = 1) -> Scores:
    """The figures of a tally; the interval is the same for the same seed, whatever the order of texts."""
    units = {unit: _figures(sorted(counts, key=_order), seed) for unit, counts in tally.texts.items()}
    status = tally.status_right / tally.status_of if tally.status_of else None
    return Scores(len(tally.texts[Unit.FINDING]), units, status, tally.status_of)


def _figures(counts: Sequence[Count], seed: int) -> tuple[float, float, float, tuple[float, float]]:
    precision, recall, f1 = _prf(counts)
    drawn = random.Random(seed)
    sample = sorted(_prf(drawn.choices(counts, k=len(counts)))[2] for _ in range(DRAWS)) if counts else [0.0, 1.0]
    return precision, recall, f1, (sample[int(0.025 * len(sample))], sample[int(0.975 * len(sample))])


def _prf(counts: Iterable[Count]) -> tuple[float, float, float]:
    right = read = known = 0
    for count in counts:
        right, read, known = right + count.right, read + count.read, known + count.known
    return right / max(read, 1), right / max(known, 1), 2 * right / max(read + known, 1)


def _order(count: Count) -> tuple[int, int, int]:
    return count.right, count.read, count.known


def _overlap(finding: Finding, gold: Mapping[str, Any]) -> bool:
    if None in (finding.start, finding.end, gold.get("start"), gold.get("end")):
        return False
    return bool(finding.start < gold["end"] and gold["start"] < finding.end)
