"""Exchange: documents go out to Label Studio, and what people said there comes back as a label file.

In: a project that has been curated; the JSON that Label Studio exports. Out: tasks and a labelling configuration; a
label file in the shape of the project's own, one row a document and annotator.

Covers: de-identified text only; findings and answers as a first annotation to correct; several annotators with their
agreement. Does not cover: choosing between annotators (adjudication is a person's work), raw text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residency.curate.label_studio import Annotation, from_label_studio, labelling_config, to_label_studio
from residency.curate.labelling import Vote, agreement
from residency.errors import ProjectError
from residency.project import Project
from residency.records import Document, TaskKind
from residency.store.audit import Event, note
from residency.store.files import refuse_input, why_no_file, writable_file, write_text
from residency.story import recall
from residency.tasks import write_findings_cell


@dataclass(frozen=True, slots=True)
class Imported:
    """What came back."""

    annotations: int
    annotators: tuple[str, ...]
    agreement: dict[str, float | None]  # classify task -> Krippendorff's alpha
    file: Path


def export_tasks(project: Project, target: Path) -> tuple[int, Path]:
    """Writes the tasks to ``target`` and the labelling configuration beside it; how many, and where."""
    place = writable_file(target)
    project.refuse_output(target)
    config = target.with_suffix(".xml")
    if writable_file(config) == place:
        raise ProjectError(f"{target}: the labelling configuration goes there.", fix="Name a file that ends in .json.")
    iteration = recall(project, until="split")
    tasks = list(to_label_studio(iteration.documents, project.settings.tasks))
    note(project.studio, Event.EXPORTED, subject="label-studio", facts={"documents": len(tasks)})
    write_tasks(tasks, target)
    write_text(config, labelling_config(project.settings.tasks, iteration.labels))
    return len(tasks), config


def import_annotations(project: Project, source: Path, target: Path) -> Imported:
    """Reads an export of Label Studio and writes it as a label file to ``target``."""
    refuse_input(target, [source])
    project.refuse_output(target)
    exported = read_export(source)
    documents = {document.id: document for document in recall(project, until="split").documents}
    annotations = annotations_of(project, exported, documents)
    labels = project.settings.labels
    columns = [labels.report, labels.patient, "annotator", *(task.answer for task in project.settings.tasks)]
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(columns)
    for one in annotations:
        document = documents[one.document]
        writer.writerow([document.key, document.patient, one.who, *_cells(project, one)])
    write_text(target, lines.getvalue())
    return Imported(
        len(annotations), tuple(dict.fromkeys(one.who for one in annotations)), _agreement(project, annotations), target
    )


def read_export(source: Path) -> Any:
    """What Label Studio exported, unchecked; ProjectError where it is no JSON."""
    problem = why_no_file(source)
    if problem:
        raise ProjectError(f"{source}: {problem}.", fix="Name the JSON that Label Studio exported.")
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ProjectError(f"{source}: cannot be read ({type(error).__name__}).", fix="Export as JSON.") from None


def annotations_of(project: Project, exported: Any, documents: Mapping[str, Document]) -> list[Annotation]:
    """The annotations of an export about these documents, by id."""
    texts = {name: document.text for name, document in documents.items()}
    return from_label_studio(exported, texts, project.settings.tasks)


def write_tasks(tasks: Sequence[dict[str, Any]], target: Path) -> None:
    """Writes tasks as the JSON that Label Studio takes."""
    write_text(target, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")


def _cells(project: Project, one: Annotation) -> list[str]:
    return [
        write_findings_cell(one.findings) if task.kind is TaskKind.EXTRACT else one.answers.get(task.name, "")
        for task in project.settings.tasks
    ]


def _agreement(project: Project, annotations: Sequence[Annotation]) -> dict[str, float | None]:
    found = {}
    for task in project.settings.tasks:
        if task.kind is TaskKind.CLASSIFY:
            said: dict[str, dict[str, str]] = {}
            for one in annotations:
                if task.name in one.answers:
                    said.setdefault(one.document, {})[one.who] = one.answers[task.name]
            found[task.name] = agreement(Vote(name, None, 0.0, its) for name, its in said.items())
    return found
