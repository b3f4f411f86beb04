"""Why: from an answer back to the lines it was read from, and to the examples that taught it.

In: the id of a prediction, an example or a document, or a report's name. Out: a ``Trace``.

Covers: prediction -> example -> document -> every curation step -> source file and place; the training examples
closest to it. Does not cover: proof of influence; "closest" means the same gold answer, then most findings shared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from residency.errors import ProjectError
from residency.intake import RAW, raw_document, raw_documents_of
from residency.project import Project
from residency.records import Document, Dropped, Example, Prediction, Source, Split
from residency.story import Iteration, questions, recall

NEAREST = 5  # training examples named


@dataclass(frozen=True, slots=True)
class Near:
    """A training example close to the one in question."""

    example: str
    key: str
    source: str
    gold: Any
    shared: int  # findings in common


@dataclass(frozen=True, slots=True)
class Trace:
    """The way back. Parts that the id does not reach are empty."""

    asked: str
    document: Document
    source: Source  # as the vault knows it: the document's own name may be hidden
    steps: tuple[tuple[str, str], ...]  # curation step -> what it did to the document
    split: str
    predictions: tuple[Prediction, ...] = ()
    example: Example | None = None
    adapter: str = ""
    nearest: tuple[Near, ...] = field(default=())


def trace_record(root: Path, record: str) -> Trace:
    """The trace of ``record``; ProjectError where nothing is called that."""
    project = Project.open(root)
    iteration = recall(project)
    predictions = [p for answers in iteration.predictions.values() for p in answers if record in (p.id, p.example)]
    examples = {e.id: e for task in project.settings.tasks for e in questions(iteration, task, *Split)}
    example = examples.get(predictions[0].example if predictions else record)
    wanted = example.parents[0] if example else record
    document = _called(iteration, {wanted})
    if document is None:
        names = {record, *_hidden_ids(project, record)}
        document = _called(iteration, names)
        if document is None:
            raise _unknown(iteration, record, names)
    return Trace(
        asked=record,
        document=document,
        source=_source(project, document),
        steps=tuple(_steps(iteration, document)),
        split=iteration.split_of.get(document.patient, ""),
        predictions=tuple(predictions),
        example=example,
        adapter=iteration.runs["tune"].hash("adapter") if "tune" in iteration.runs else "",
        nearest=tuple(_nearest(iteration, example, document, examples)) if example else (),
    )


def _source(project: Project, document: Document) -> Source:
    """The file that the document was read from, as the vault knows it; its own record where the vault has forgotten."""
    raw = document.parents[0]
    return raw_document(project.vault, raw).source if raw in set(project.vault.ids(RAW)) else document.source


def _called(iteration: Iteration, names: Collection[str]) -> Document | None:
    return next((d for d in iteration.documents if not {d.id, d.key, *d.parents}.isdisjoint(names)), None)


def _hidden_ids(project: Project, report: str) -> Iterator[str]:
    """The ids by which reports of this name go because the name tells who the patient is: only the vault knows it."""
    for patient in project.vault.patients(RAW):
        yield from (raw.id for raw in raw_documents_of(project.vault, patient) if raw.key == report)


def _unknown(iteration: Iteration, record: str, names: Collection[str]) -> ProjectError:
    for step in iteration.project.settings.curate:
        if step.step in iteration.runs:
            for dropped in iteration.runs[step.step].read("dropped", Dropped):
                if not {dropped.id, dropped.key}.isdisjoint(names):
                    detail = f" ({dropped.detail})" if dropped.detail else ""
                    return ProjectError(
                        f"{dropped.key}, {dropped.source.path}: dropped by {dropped.step}: {dropped.reason}{detail}.",
                        fix="Nothing was made of it.",
                    )
    return ProjectError(
        f"{record!r}: no prediction, example or document of the last run is called that.",
        fix="Take an id from report.html, or the id of a report from the label file.",
    )


def _steps(iteration: Iteration, document: Document) -> Iterator[tuple[str, str]]:
    """What each curation step did to the document, from the artifacts of the steps."""
    steps = [step.step for step in iteration.project.settings.curate]
    versions = {steps[-1]: document}
    for later, step in zip(reversed(steps), reversed(steps[:-1]), strict=False):
        wanted = {versions[later].id, *versions[later].parents}
        versions[step] = next(d for d in iteration.runs[step].read("documents", Document) if d.id in wanted)
    for before, step in zip([None, *steps], steps, strict=False):
        yield step, _difference(versions[before] if before else None, versions[step])


def _difference(before: Document | None, after: Document) -> str:
    parts = []
    if before is None:
        parts.append(f"{len(after.spans)} identifiers replaced")
    elif before.text != after.text:
        parts.append(f"text changed, {len(before.text)} to {len(after.text)} characters")
    if after.findings and (before is None or before.findings != after.findings):
        parts.append(f"{len(after.findings)} findings read")
    return ", ".join(parts) or "unchanged"


def _nearest(
    iteration: Iteration, example: Example, document: Document, examples: dict[str, Example]
) -> Sequence[Near]:
    documents = {d.id: d for d in iteration.documents}
    mine = {finding.key for finding in document.findings}

    def closeness(other: Example) -> tuple[bool, int, str]:
        shared = mine & {finding.key for finding in documents[other.parents[0]].findings}
        return other.gold == example.gold, len(shared), other.id

    taught = [e for e in examples.values() if e.task == example.task and e.split is Split.TRAIN]
    closest = sorted(taught, key=closeness, reverse=True)[:NEAREST]
    return [
        Near(example=other.id, key=its.key, source=its.source.place, gold=other.gold, shared=closeness(other)[1])
        for other, its in ((other, documents[other.parents[0]]) for other in closest)
    ]
