"""Split: which patients train, and which are held out.

In: documents. Out: a ``SplitReport``: every patient on one side, with counts for each side and class, and warnings.

Covers: splitting by patient or by group (new publications, new sites), stratified by a label column; the same
documents in any order give the same split. Does not cover: near duplicates between patients; deduplicate finds those.

A patient's place in the order is a hash of seed and id, not a draw: who joins later takes a place between the
others and moves only those at the borders between two sides, and only in their own class.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field, model_validator

from residency.errors import first_of
from residency.records import Document, Split
from residency.settings import Settings

_ORDER = (Split.TEST, Split.CALIBRATION, Split.VALIDATION, Split.TRAIN)  # along the order of hashes
_TOLERANCE = 1e-6  # of the sum of fractions that people write with a few decimals
_SHOWN = 5


class SplitBy(StrEnum):
    """What is never on two sides."""

    PATIENT = "patient"
    GROUP = "group"  # and so the patients in it


class SplitSettings(Settings):
    """Who is trained on, who is held out."""

    by: SplitBy = Field(default=SplitBy.PATIENT, description="patient: new patients; group: new publications or sites")
    train: float = Field(default=0.64, gt=0, le=1, description="fraction of patients to train on")
    validation: float = Field(default=0.06, ge=0, lt=1, description="fraction that chooses the checkpoint")
    calibration: float = Field(default=0.12, ge=0, lt=1, description="fraction that fits the confidence map")
    test: float = Field(default=0.18, ge=0, lt=1, description="fraction that is reported")
    stratify: str | None = Field(
        default=None, description="label column whose values every side gets its share of; by patient only"
    )
    seed: int = Field(default=0, ge=0, description="another seed gives another split")

    @model_validator(mode="after")
    def _whole(self) -> SplitSettings:
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > _TOLERANCE:
            raise ValueError(f"train, validation, calibration and test add up to {total:g}, not to 1")
        return self

    def fraction(self, side: Split) -> float:
        return float(getattr(self, side.value))


@dataclass(frozen=True, slots=True)
class SplitReport:
    """The split. ``patients`` counts patients by class and side; without stratification there is one class, ""."""

    split_of: Mapping[str, Split]  # patient -> side
    patients: Mapping[str, Mapping[Split, int]]
    warnings: tuple[str, ...]

    def count(self, side: Split) -> int:
        """How many patients are on a side."""
        return sum(of_class[side] for of_class in self.patients.values())


@dataclass(frozen=True, slots=True)
class _Unit:
    """What stays together: one patient, or all patients of linked groups."""

    name: str
    patients: frozenset[str]
    stratum: str


def split_patients(documents: Iterable[Document], settings: SplitSettings, *, seed: int = 0) -> SplitReport:
    """Assigns every patient of the documents to a side. ``seed`` is the project's; the settings may vary it."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        labels[document.patient][_label(document, settings)] += 1
        groups[document.patient].add(document.group)
    class_of = {patient: _majority(counts) for patient, counts in labels.items()}
    by_group = settings.by is SplitBy.GROUP
    units = _linked(groups) if by_group else [_Unit(p, frozenset({p}), class_of[p]) for p in groups]
    split_of: dict[str, Split] = {}
    for stratum, members in sorted(_strata(units).items()):
        for unit, side in _cut(members, settings, f"{seed}:{settings.seed}", stratum):
            split_of.update(dict.fromkeys(unit.patients, side))
    split_of = dict(sorted(split_of.items()))
    patients = _count(split_of, class_of)
    return SplitReport(split_of, patients, tuple(_warnings(patients, settings)))


def _label(document: Document, settings: SplitSettings) -> str:
    return " ".join(document.answers.get(settings.stratify, "").split()) if settings.stratify else ""


def _majority(counts: Counter[str]) -> str:
    """The most frequent label of a patient; labeled before unlabeled, then by name."""
    return min(counts, key=lambda label: (label == "", -counts[label], label))


def _linked(groups: Mapping[str, set[str]]) -> list[_Unit]:
    """Groups, joined where a patient is in several; a patient without a group is alone.

    All units are one stratum: a group mostly has one class, so that shares within a class cannot be kept.
    """
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for patient, its_groups in groups.items():
        for group in its_groups - {""}:
            first, second = sorted((lead(f"patient {patient}"), lead(f"group {group}")))
            leader[second] = first
    members: dict[str, set[str]] = defaultdict(set)
    for patient in groups:
        members[lead(f"patient {patient}")].add(patient)
    return [_Unit(name, frozenset(patients), "") for name, patients in members.items()]


def _strata(units: Iterable[_Unit]) -> dict[str, list[_Unit]]:
    strata: dict[str, list[_Unit]] = defaultdict(list)
    for unit in units:
        strata[unit.stratum].append(unit)
    return strata


def _cut(units: Sequence[_Unit], settings: SplitSettings, seed: str, stratum: str) -> Iterator[tuple[_Unit, Split]]:
    """One stratum: units in the order of their hashes, cut where the fractions end.

    A share is rounded up or down by one hash of the stratum, so that over many small strata every side still gets
    its fraction (systematic sampling). One unit at least trains: nobody learns a class from its test cases.
    """
    ordered = sorted(units, key=lambda unit: (_uniform(seed, "unit", unit.name), unit.name))
    size = sum(len(unit.patients) for unit in ordered)
    jitter = _uniform(seed, "stratum", stratum) - 0.5
    before = 0
    for number, unit in enumerate(ordered, 1):
        middle = before + len(unit.patients) / 2
        before += len(unit.patients)
        yield unit, Split.TRAIN if number == len(ordered) else _side(middle - jitter, size, settings)


def _side(position: float, size: int, settings: SplitSettings) -> Split:
    end = 0.0
    for side in _ORDER[:-1]:
        end += settings.fraction(side) * size
        if settings.fraction(side) > 0 and position <= end + _TOLERANCE:
            return side
    return Split.TRAIN


def _uniform(seed: str, *name: str) -> float:
    """A number of [0, 1) that depends on seed and name only."""
    digest = hashlib.sha256("\0".join((seed, *name)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _count(split_of: Mapping[str, Split], class_of: Mapping[str, str]) -> dict[str, dict[Split, int]]:
    counts = {label: dict.fromkeys(Split, 0) for label in sorted(set(class_of.values()))}
    for patient, side in split_of.items():
        counts[class_of[patient]][side] += 1
    return counts


def _warnings(patients: Mapping[str, Mapping[Split, int]], settings: SplitSettings) -> Iterator[str]:
    for side in Split:
        lacking = sorted(label for label, counts in patients.items() if label and not counts[side])
        if lacking and settings.fraction(side) > 0:
            yield f"{len(lacking)} classes have no patient in {side.value}: {first_of(lacking, _SHOWN, '; ')}"
    for side in Split:
        wanted = settings.fraction(side) > 0
        if wanted and patients and not any(counts[side] for counts in patients.values()):
            yield f"nobody is in {side.value}: there are too few patients or groups for its fraction"
