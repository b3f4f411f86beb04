"""Decontaminate: nothing that is held out may be known from training.

In: documents, the side of each, and what the split holds apart. Out: a ``Contamination``: every violation by name, and
which documents go, each with its reason.

Covers: near and exact copies on two sides, patients on two sides, groups on two sides where the split is by group.
Does not cover: the same case told in other words, by another author and under another patient's name; knowledge from
outside (knowledge.py); what the base model was trained on.

The less protected side gives way: training before validation, validation before calibration, calibration before test.
The test set is never made smaller: a test that loses its hard cases when training data grows is no test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from residency.curate.deduplicate.near import Near
from residency.curate.deduplicate.signature import Likeness, signatures
from residency.curate.split import SplitBy
from residency.errors import ProjectError
from residency.records import Document, Dropped, Split

PROTECTION = (Split.TRAIN, Split.VALIDATION, Split.CALIBRATION, Split.TEST)  # the least protected first
_STEP = "decontaminate"
_SHOWN = 5


class Kind(StrEnum):
    """How something held out is known from another side."""

    NEAR_COPY = "near_copy"
    SHARED_PATIENT = "shared_patient"
    SHARED_GROUP = "shared_group"


@dataclass(frozen=True, slots=True)
class Violation:
    """One document that must not be where it is, and the better protected document it betrays."""

    kind: Kind
    document: str  # id
    side: Split
    betrays: str  # id of the document on the other side
    betrayed_side: Split
    detail: str  # likeness, patient or group

    def __str__(self) -> str:
        return f"{self.document} ({self.side}) and {self.betrays} ({self.betrayed_side}): {self.kind}, {self.detail}"


@dataclass(frozen=True, slots=True)
class Contamination:
    """Every violation, and the documents that go because of them. ``clean`` is what is left, in its order."""

    violations: tuple[Violation, ...]
    dropped: tuple[Dropped, ...]
    clean: tuple[Document, ...]


def contamination(
    documents: Sequence[Document],
    side_of: Mapping[str, Split],
    *,
    by: SplitBy = SplitBy.PATIENT,
    likeness: Likeness | None = None,
) -> Contamination:
    """What of the documents is known across sides. ``side_of`` gives the side of each document by its id.

    Every document is dropped, of which a better protected one is a copy, has the patient, or (``by`` group) the group.
    One violation of each kind a document: the first better protected document, by likeness, side and id.
    """
    missing = [document.id for document in documents if document.id not in side_of]
    if missing:
        shown = ", ".join(missing[:_SHOWN])
        raise ProjectError(
            f"decontaminate: {len(missing)} documents stand on no side of the split, e.g. {shown}.",
            fix="Split these documents again: residency run --until split.",
        )
    ordered = sorted(documents, key=lambda document: (-_protection(side_of[document.id]), document.id))
    found = [
        *_shared(ordered, side_of, Kind.SHARED_PATIENT, {d.id: d.patient for d in ordered}),
        *(
            _shared(ordered, side_of, Kind.SHARED_GROUP, {d.id: d.group for d in ordered})
            if by is SplitBy.GROUP
            else ()
        ),
        *_near_copies(ordered, side_of, likeness or Likeness()),
    ]
    violations = tuple(sorted(found, key=lambda violation: (violation.document, violation.kind)))
    first = {violation.document: violation for violation in reversed(violations)}
    return Contamination(
        violations=violations,
        dropped=tuple(_dropped(document, first[document.id]) for document in documents if document.id in first),
        clean=tuple(document for document in documents if document.id not in first),
    )


def _shared(
    ordered: Sequence[Document], side_of: Mapping[str, Split], kind: Kind, value_of: Mapping[str, str]
) -> Iterator[Violation]:
    """Documents whose value a better protected document has; ``ordered`` has the best protected first."""
    best: dict[str, Document] = {}
    for document in ordered:
        value = value_of[document.id]
        other = best.setdefault(value, document) if value else document
        side, betrayed = side_of[document.id], side_of[other.id]
        if side is not betrayed:
            yield Violation(kind, document.id, side, other.id, betrayed, value)


def _near_copies(ordered: Sequence[Document], side_of: Mapping[str, Split], likeness: Likeness) -> Iterator[Violation]:
    """Documents of which a better protected one is an exact or near copy."""
    marks = signatures(ordered, likeness)
    index = Near(marks.near, likeness.lowest)
    exact: dict[bytes, int] = {}
    for row, document in enumerate(ordered):
        alike = [] if marks.empty[row] else index.alike(row)
        if marks.exact[row] in exact:
            alike = [(exact[marks.exact[row]], 1.0), *alike]
        across = (
            (other, share)
            for other, share in alike
            if side_of[ordered[other].id] is not side_of[document.id]
            if likeness.is_copy(share, same_patient=ordered[other].patient == document.patient)
        )
        worst = next(across, None)
        if worst is not None:
            other = ordered[worst[0]]
            detail = f"likeness {worst[1]:.2f}"
            yield Violation(Kind.NEAR_COPY, document.id, side_of[document.id], other.id, side_of[other.id], detail)
        exact.setdefault(marks.exact[row], row)
        index.add(row)


def _protection(side: Split) -> int:
    return PROTECTION.index(side)


def _dropped(document: Document, violation: Violation) -> Dropped:
    detail = f"{violation.betrays} ({violation.betrayed_side}), {violation.detail}"
    return Dropped(
        id=document.id,
        key=document.key,
        source=document.source,
        step=_STEP,
        reason=f"{violation.kind}_held_out",
        detail=detail,
    )
