"""The experts' answers, checked before anything is made of them.

In: the label file's rows, the tasks, the terminology. Out: every problem as one line with its place.

Covers: columns that a task or the de-identification names and the file lacks, columns without a single answer,
findings cells that cannot be read, concepts that the terminology does not know. Does not cover: whether an answer is
right.

A problem names row and column, never the cell's content: it may hold what is private.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from residency.curate.labels import Label
from residency.errors import ProjectError
from residency.records import TaskKind
from residency.tasks import TaskSettings, read_findings


def answer_problems(
    labels: Mapping[str, Label],
    tasks: Iterable[TaskSettings],
    free_text: Iterable[str],
    known: Callable[[str], bool] | None,
) -> Iterator[str]:
    """Problems of the answers. ``free_text`` are the columns that de-identification treats; ``known`` tells whether
    the terminology has a concept, None where there is no terminology."""
    columns = sorted({column for label in labels.values() for column in label.answers})
    shown = ", ".join(map(repr, columns)) or "none"
    for column in free_text:
        if column not in columns:
            yield f"deidentify.answers: the label file has no column {column!r}; its answer columns are {shown}"
    for task in tasks:
        if task.answer not in columns:
            yield f"task {task.name}: the label file has no column {task.answer!r}; its answer columns are {shown}"
        elif not any(label.answers.get(task.answer, "").strip() for label in labels.values()):
            yield f"task {task.name}: column {task.answer!r} of the label file is empty in every row"
        elif task.kind is TaskKind.EXTRACT:
            yield from _findings_problems(labels.values(), task, known)


def _findings_problems(
    labels: Iterable[Label], task: TaskSettings, known: Callable[[str], bool] | None
) -> Iterator[str]:
    for label in labels:
        place = f"row {label.row}, column {task.answer!r}"
        try:
            findings = read_findings(label.answers.get(task.answer, ""), place=place)
        except ProjectError as error:
            yield error.message.rstrip(".")
            continue
        for number, finding in enumerate(findings, 1):
            if known is not None and not known(finding.concept):
                yield f"{place}: finding {number} has a concept id that the terminology does not know"
