"""How well identifiers are found: recall, precision, F1, F2, by class and overall.

In: documents with known identifiers, and spans found on the same texts. Out: an ``Evaluation``.

Covers: characters (identifier or not, whatever the class: what matters to a patient is that it is gone),
whole spans, the class given to them, and clinical findings that a span would alter. Does not cover:
surrogates; recall is always measured before them, since they hide misses.

Rule: recall = covered characters of known identifiers / all their characters; precision = covered characters
that are known identifiers / covered characters; blanks are not counted. F_beta = (1 + b^2) P R / (b^2 P + R).
Intervals are Wilson's (1927), 95 %, with the number of known spans (for precision: found spans) as the number
of trials: the characters of one span are found or missed together, so counting them singly would make the
interval too narrow.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from residency.records import Span

_Z = 1.959964  # two-sided 95 %
ALL = "ALL"


@dataclass(frozen=True, slots=True)
class Row:
    """One class, or all of them. Precision is of all classes only: a wrong span has no true class."""

    label: str
    spans: int  # known identifiers
    characters: int
    covered: int  # characters of them that were found, whatever class was given
    whole: int  # spans of which every character was found
    labelled: int  # characters that were found and given the right class

    @property
    def recall(self) -> float:
        return self.covered / self.characters if self.characters else math.nan

    @property
    def recall_with_label(self) -> float:
        return self.labelled / self.characters if self.characters else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.recall, self.spans)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores over all documents."""

    rows: tuple[Row, ...]  # overall first, then by number of spans
    found_spans: int
    found_characters: int
    true_characters: int
    findings: int
    findings_altered: int
    documents: int

    @property
    def recall(self) -> float:
        return self.rows[0].recall

    @property
    def precision(self) -> float:
        return self.true_characters / self.found_characters if self.found_characters else math.nan

    @property
    def precision_interval(self) -> tuple[float, float]:
        return wilson(self.precision, self.found_spans)

    def f(self, beta: float) -> float:
        """F_beta over characters."""
        weighted = beta * beta * self.precision + self.recall
        return (1 + beta * beta) * self.precision * self.recall / weighted if weighted else 0.0


def evaluate_deidentification(
    gold: Iterable[Mapping[str, Any]], detect: Callable[[Sequence[str]], Sequence[Sequence[Span]]]
) -> Evaluation:
    """Score ``detect`` (the texts of one patient -> spans of each) on records with ``text``, ``phi`` and, if
    given, ``patient`` and ``findings``.

        ``phi`` holds dicts with ``start``, ``end`` and ``label`` (or ``type``).
    """
    by_patient: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for number, record in enumerate(gold):
        by_patient[record.get("patient") or f"record:{number}"].append(record)
    tally = _Tally()
    for records in by_patient.values():
        for record, spans in zip(records, detect([record["text"] for record in records]), strict=True):
            tally.add(record, spans)
    return tally.evaluation()


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval for a proportion."""
    if not trials or math.isnan(share):
        return 0.0, 1.0
    spread = _Z * math.sqrt(share * (1 - share) / trials + _Z * _Z / (4 * trials * trials))
    middle, scale = share + _Z * _Z / (2 * trials), 1 + _Z * _Z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


class _Tally:
    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()
        self.covered: Counter[str] = Counter()
        self.whole: Counter[str] = Counter()
        self.labelled: Counter[str] = Counter()
        self.found_spans = self.found_characters = self.true_characters = 0
        self.findings = self.findings_altered = self.documents = 0

    def add(self, record: Mapping[str, Any], spans: Sequence[Span]) -> None:
        text = record["text"]
        found: dict[int, str] = {i: s.label for s in spans for i in range(s.start, s.end) if not text[i].isspace()}
        known: set[int] = set()
        for phi in record["phi"]:
            places = [i for i in range(phi["start"], phi["end"]) if not text[i].isspace()]
            known.update(places)
            self._add_known(phi.get("label") or phi["type"], places, found)
        self.documents += 1
        self.found_spans += len(spans)
        self.found_characters += len(found)
        self.true_characters += len(known & found.keys())
        for finding in record.get("findings") or ():
            if finding.get("start") is not None:
                self.findings += 1
                self.findings_altered += any(i in found for i in range(finding["start"], finding["end"]))

    def _add_known(self, label: str, places: Sequence[int], found: Mapping[int, str]) -> None:
        covered = sum(place in found for place in places)
        for name in (label, ALL):
            self.spans[name] += 1
            self.characters[name] += len(places)
            self.covered[name] += covered
            self.whole[name] += covered == len(places)
            self.labelled[name] += sum(found.get(place) == label for place in places)

    def evaluation(self) -> Evaluation:
        labels = [ALL] + [label for label, _ in self.spans.most_common() if label != ALL]
        rows = tuple(
            Row(
                label=label,
                spans=self.spans[label],
                characters=self.characters[label],
                covered=self.covered[label],
                whole=self.whole[label],
                labelled=self.labelled[label],
            )
            for label in labels
        )
        return Evaluation(
            rows=rows,
            found_spans=self.found_spans,
            found_characters=self.found_characters,
            true_characters=self.true_characters,
            findings=self.findings,
            findings_altered=self.findings_altered,
            documents=self.documents,
        )
