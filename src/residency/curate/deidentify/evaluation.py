"""How well identifiers are found: recall, precision, F1 and F2, by class and overall, on three levels.

In: documents with known identifiers, and spans found on the same texts. Out: an ``Evaluation``.

Covers: characters and words (identifier or not, whatever the class: what matters to a patient is that it is gone),
whole spans, the class given, clinical findings that a span would alter; which identifiers were missed, by place and
shape, without their text. Does not cover: surrogates; recall is always measured before them, since they hide misses.

Rules, U being the units of a level (characters that are no blanks; words; spans):

    recall of a class     known units of the class that were found / known units of the class
    precision of a class  found units with that class that belong to a known identifier / found units with that class
    F_beta                (1 + b^2) P R / (b^2 P + R)

A word is found if any of its characters is; it is known likewise. A known span is found if every character of it is;
a found span is right if every character of it is known. Intervals are Wilson's (1927), 95 %. The characters and words
of one span are found or missed together, so the number of trials is the number of known spans (for precision: of found
spans) on every level; units counted singly would make the interval too narrow.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from residency.records import Span

_Z = 1.959964  # two-sided 95 %
_WORD = re.compile(r"\w+|[^\w\s]")
_LONGEST_SHAPE = 60  # characters
ALL = "ALL"


class Level(StrEnum):
    """What is counted."""

    CHARACTER = "character"
    TOKEN = "token"
    SPAN = "span"


@dataclass(slots=True)
class Counts:
    """Units of one class on one level."""

    known: int = 0
    covered: int = 0  # known units that were found, whatever class was given
    labelled: int = 0  # known units that were found with the right class
    found: int = 0  # units that were found with this class
    right: int = 0  # of these, the ones that belong to a known identifier, whatever its class


@dataclass(frozen=True, slots=True)
class Row:
    """One class, or all of them, on one level."""

    label: str
    level: Level
    spans: int  # known identifiers
    found_spans: int
    counts: Counts

    @property
    def recall(self) -> float:
        return _share(self.counts.covered, self.counts.known)

    @property
    def recall_with_label(self) -> float:
        return _share(self.counts.labelled, self.counts.known)

    @property
    def precision(self) -> float:
        return _share(self.counts.right, self.counts.found)

    @property
    def recall_interval(self) -> tuple[float, float]:
        return wilson(self.recall, self.spans)

    @property
    def precision_interval(self) -> tuple[float, float]:
        return wilson(self.precision, self.found_spans)

    def f(self, beta: float) -> float:
        """F_beta; 0 where nothing is right."""
        weighted = beta * beta * self.precision + self.recall
        return (1 + beta * beta) * self.precision * self.recall / weighted if weighted > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Missed:
    """A known identifier of which characters were left, without its text. ``shape``: A and a for letters, 9 for
    digits ("Aaaa 99"); blanks and punctuation as they are."""

    record: str  # its id
    label: str
    start: int
    end: int
    left: int  # characters that were not found
    shape: str

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "length": self.end - self.start}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores over all documents. Rows: overall first, then by number of known spans, the levels of a class together."""

    rows: tuple[Row, ...]
    findings: int
    findings_altered: int
    documents: int
    missed: tuple[Missed, ...] = ()

    @property
    def missed_shapes(self) -> dict[str, dict[str, int]]:
        """How often identifiers of a class and shape were missed, the most frequent first."""
        counted = Counter((missed.label, missed.shape) for missed in self.missed)
        shapes: dict[str, dict[str, int]] = {}
        for (label, shape), count in counted.most_common():
            shapes.setdefault(label, {})[shape] = count
        return shapes

    def row(self, label: str = ALL, level: Level = Level.CHARACTER) -> Row:
        return next(row for row in self.rows if row.label == label and row.level is level)

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(row.label for row in self.rows))

    def plain(self) -> dict[str, Any]:
        """All figures for JSON; what is not defined is None."""
        return {
            "documents": self.documents,
            "findings": self.findings,
            "findings_altered": self.findings_altered,
            "rows": [_plain_row(row) for row in self.rows],
            "missed_shapes": self.missed_shapes,
            "missed": [missed.plain() for missed in self.missed],
        }


def evaluate_deidentification(
    gold: Iterable[Mapping[str, Any]], detect: Callable[[Sequence[str]], Sequence[Sequence[Span]]]
) -> Evaluation:
    """Score ``detect`` (the texts of one patient -> spans of each) on records with ``text``, ``phi`` and, if
    given, ``patient`` and ``findings``. ``phi`` holds dicts with ``start``, ``end`` and ``label`` (or ``type``)."""
    by_patient: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for number, record in enumerate(gold):
        by_patient[record.get("patient") or f"record:{number}"].append(record)
    tally = Tally()
    for records in by_patient.values():
        for record, spans in zip(records, detect([record["text"] for record in records]), strict=True):
            tally.add(record, spans)
    return tally.evaluation()


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval for a proportion, 95 %; without trials the whole range."""
    if not trials or math.isnan(share):
        return 0.0, 1.0
    spread = _Z * math.sqrt(share * (1 - share) / trials + _Z * _Z / (4 * trials * trials))
    middle, scale = share + _Z * _Z / (2 * trials), 1 + _Z * _Z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


@dataclass(slots=True)
class Tally:
    """Counts that add up over documents, and over the tallies of several processes."""

    counts: dict[tuple[str, Level], Counts] = field(default_factory=dict)
    spans: Counter[str] = field(default_factory=Counter)
    found_spans: Counter[str] = field(default_factory=Counter)
    findings: int = 0
    findings_altered: int = 0
    documents: int = 0
    missed: list[Missed] = field(default_factory=list)

    def add(self, record: Mapping[str, Any], spans: Sequence[Span]) -> None:
        """One document: its known identifiers (``phi``) and the spans that were found on its text."""
        text = record["text"]
        known = [(phi["start"], phi["end"], phi.get("label") or phi["type"]) for phi in record["phi"]]
        found = [(span.start, span.end, str(span.label)) for span in spans]
        known_at, found_at = _characters(text, known), _characters(text, found)
        self._add_units(Level.CHARACTER, known_at, found_at)
        self._add_units(Level.TOKEN, _tokens(text, known_at), _tokens(text, found_at))
        self._add_spans(text, known, found, known_at, found_at)
        self._add_missed(record, known, found_at)
        self.documents += 1
        for finding in record.get("findings") or ():
            if finding.get("start") is not None:
                self.findings += 1
                self.findings_altered += any(i in found_at for i in range(finding["start"], finding["end"]))

    def merge(self, other: Tally) -> None:
        for (label, level), counts in other.counts.items():
            mine = self._of(label, level)
            for name in Counts.__slots__:
                setattr(mine, name, getattr(mine, name) + getattr(counts, name))
        self.spans.update(other.spans)
        self.found_spans.update(other.found_spans)
        self.findings += other.findings
        self.findings_altered += other.findings_altered
        self.documents += other.documents
        self.missed += other.missed

    def evaluation(self) -> Evaluation:
        labels = [ALL] + [label for label, _ in self.spans.most_common() if label != ALL]
        labels += sorted(set(self.found_spans) - set(labels))
        rows = [
            Row(label, level, self.spans[label], self.found_spans[label], self._of(label, level))
            for label in labels
            for level in Level
        ]
        missed = tuple(sorted(self.missed, key=lambda one: (one.record, one.start, one.end, one.label)))
        return Evaluation(tuple(rows), self.findings, self.findings_altered, self.documents, missed)

    def _of(self, label: str, level: Level) -> Counts:
        return self.counts.setdefault((label, level), Counts())

    def _add_units(self, level: Level, known: Mapping[int, str], found: Mapping[int, str]) -> None:
        for unit, label in known.items():
            for counts in (self._of(label, level), self._of(ALL, level)):
                counts.known += 1
                counts.covered += unit in found
                counts.labelled += found.get(unit) == label
        for unit, label in found.items():
            for counts in (self._of(label, level), self._of(ALL, level)):
                counts.found += 1
                counts.right += unit in known

    def _add_spans(
        self,
        text: str,
        known: Sequence[tuple[int, int, str]],
        found: Sequence[tuple[int, int, str]],
        known_at: Mapping[int, str],
        found_at: Mapping[int, str],
    ) -> None:
        for start, end, label in known:
            places = _places(text, start, end)
            for name in (label, ALL):
                self.spans[name] += 1
                counts = self._of(name, Level.SPAN)
                counts.known += 1
                counts.covered += all(place in found_at for place in places)
                counts.labelled += all(found_at.get(place) == label for place in places)
        for start, end, label in found:
            for name in (label, ALL):
                self.found_spans[name] += 1
                counts = self._of(name, Level.SPAN)
                counts.found += 1
                counts.right += all(place in known_at for place in _places(text, start, end))

    def _add_missed(
        self, record: Mapping[str, Any], known: Sequence[tuple[int, int, str]], found_at: Mapping[int, str]
    ) -> None:
        for start, end, label in known:
            left = sum(place not in found_at for place in _places(record["text"], start, end))
            if left:
                shape = _shape(record["text"][start:end])
                self.missed.append(Missed(str(record.get("id", "")), label, start, end, left, shape))


def _shape(text: str) -> str:
    """What ``text`` looks like, without saying it; no longer than tells."""
    shape = "".join(map(_shape_of, text[:_LONGEST_SHAPE]))
    return shape if len(text) <= _LONGEST_SHAPE else f"{shape}..."


def _shape_of(character: str) -> str:
    if character.isspace():
        return " "
    if character.isalpha():
        return "A" if character.isupper() else "a"
    if character.isascii() and not character.isalnum():
        return character
    return "9" if character.isnumeric() else "?"


def _characters(text: str, spans: Iterable[tuple[int, int, str]]) -> dict[int, str]:
    return {place: label for start, end, label in spans for place in _places(text, start, end)}


def _places(text: str, start: int, end: int) -> list[int]:
    """The characters of a span that are no blanks."""
    return [place for place in range(start, end) if not text[place].isspace()]


def _tokens(text: str, characters: Mapping[int, str]) -> dict[int, str]:
    """Words that hold a marked character, by where they start, with the class of the first marked one."""
    marked: dict[int, str] = {}
    if characters:
        for word in _WORD.finditer(text):
            label = next((characters[i] for i in range(*word.span()) if i in characters), None)
            if label is not None:
                marked[word.start()] = label
    return marked


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _plain_row(row: Row) -> dict[str, Any]:
    figures = {
        "recall": row.recall,
        "recall_low": row.recall_interval[0],
        "recall_high": row.recall_interval[1],
        "precision": row.precision,
        "precision_low": row.precision_interval[0],
        "precision_high": row.precision_interval[1],
        "f1": row.f(1),
        "f2": row.f(2),
        "recall_with_label": row.recall_with_label,
    }
    return {
        "label": row.label,
        "level": row.level.value,
        "known": row.spans,
        "found": row.found_spans,
        **{name: None if math.isnan(value) else value for name, value in figures.items()},
    }
