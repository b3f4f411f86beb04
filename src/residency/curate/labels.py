"""The experts' label file: who the patient of a document is, and the answers to the tasks.

In: a csv, tsv or jsonl file with one row a document. Out: a ``Label`` for every document that it names.

Covers: rows that repeat (equal ones count once, contradictions are an error with their row numbers), answers for
documents that nobody has. Does not cover: what an answer means; tasks.py reads the cells.

Unlike documents, labels are held in memory: they are short, and every document asks for its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from residency.curate.formats.source import SourceFile, SourceSettings, Unreadable, whole_characters
from residency.curate.formats.table import columns_of, rows_of
from residency.errors import ProjectError, first_of
from residency.records import Document
from residency.settings import Settings

SHOWN_IDS = 5  # how many ids an error names; the rest is a count


class UnknownIds(StrEnum):
    """What a label for a document that no source has means."""

    ERROR = "error"
    IGNORE = "ignore"


class LabelSettings(Settings):
    """The experts' label file."""

    path: str = Field(description="csv, tsv or jsonl file below the project folder")
    report: str = Field(default="report", description="column with the id of the document")
    patient: str | None = Field(
        default="patient", description="column with the patient's id; null: one patient a document"
    )
    group: str | None = Field(default=None, description="column with the group, e.g. site or publication")
    answers: tuple[str, ...] | None = Field(default=None, description="columns with answers; none given: all others")
    encoding: str = Field(default="auto", description="encoding of the file, e.g. utf-8 or cp1252; auto detects it")
    unknown_ids: UnknownIds = Field(
        default=UnknownIds.ERROR, description="labels for documents that no source has: error, or ignore"
    )


@dataclass(frozen=True, slots=True)
class Label:
    """What the experts say about one document."""

    row: int  # 1-based, without the header
    patient: str = ""
    group: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)

    def attach(self, document: Document) -> Document:
        """The document with the label's patient, group and answers; an empty patient cell leaves the document's own."""
        return replace(document, patient=self.patient or document.patient, group=self.group, answers=dict(self.answers))

    def agrees_with(self, other: Label) -> bool:
        return (self.patient, self.group, self.answers) == (other.patient, other.group, other.answers)


def read_labels(settings: LabelSettings, root: Path) -> dict[str, Label]:
    """The labels by document id. ProjectError lists every problem of the file at once."""
    file = _open(settings, root)
    labels: dict[str, Label] = {}
    problems: list[str] = []
    for number, row in enumerate(_rows(file, settings), 1):
        if isinstance(row, Unreadable):
            problems.append(f"{settings.path} row {number}: {row.reason} {row.detail}".rstrip())
            continue
        key, label = row.get(settings.report, "").strip(), _label(row, settings, number)
        if not key:
            problems.append(f"{settings.path} row {number}: the cell of column {settings.report!r} is empty")
            continue
        earlier = labels.setdefault(key, label)
        if not earlier.agrees_with(label):
            problems.append(
                f"{settings.path} rows {earlier.row} and {number}: different labels for the document {key!r}"
            )
    if problems:
        raise ProjectError(
            f"{settings.path}: {len(problems)} rows cannot be used: {'; '.join(problems[:SHOWN_IDS])}.",
            fix="Correct these rows.",
            problems=tuple(problems),
        )
    return labels


def unknown_ids(labels: Iterable[str], seen: Mapping[str, object], settings: LabelSettings) -> tuple[str, ...]:
    """The problem that labels name documents which no source has; empty where there is none."""
    unknown = sorted(key for key in labels if key not in seen)
    if not unknown or settings.unknown_ids is UnknownIds.IGNORE:
        return ()
    shown = first_of([repr(key) for key in unknown], SHOWN_IDS)
    return (
        f"{settings.path}: {len(unknown)} labels name documents that no source has: {shown}; "
        "correct the ids, add the source, or set labels.unknown_ids to ignore",
    )


def _open(settings: LabelSettings, root: Path) -> SourceFile:
    path = root / settings.path
    if not path.is_file():
        raise ProjectError(
            f"labels.path: there is no file {settings.path!r} in the project folder.",
            fix="Put the label file there, or correct labels.path.",
        )
    source = SourceSettings(path=settings.path, encoding=settings.encoding)
    file = SourceFile(path, settings.path, source)
    if file.charset.problem or path.suffix.casefold() not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        problem = file.charset.problem or f"the extension is {path.suffix!r}"
        raise ProjectError(f"{settings.path}: not a table ({problem}).", fix="Save the labels as csv, tsv or jsonl.")
    return file


def _rows(file: SourceFile, settings: LabelSettings) -> Iterator[dict[str, str] | Unreadable]:
    try:
        _check_columns(columns_of(file), settings)
        for row in rows_of(file):
            yield row if isinstance(row, Unreadable) else _whole(row)
    except UnicodeDecodeError:
        raise ProjectError(
            f"{settings.path}: the file is not {file.charset.encoding}.",
            fix="Set labels.encoding to the encoding that it has.",
        ) from None


def _whole(row: Mapping[str, str]) -> dict[str, str]:
    return {whole_characters(column): whole_characters(cell) for column, cell in row.items()}


def _check_columns(columns: Sequence[str], settings: LabelSettings) -> None:
    wanted = {"report": settings.report, "patient": settings.patient, "group": settings.group}
    named = [(f"labels.{setting}", column) for setting, column in wanted.items() if column is not None]
    named += [("labels.answers", column) for column in settings.answers or ()]
    shown = ", ".join(map(repr, columns)) or "none"
    problems = tuple(
        f"{setting}: {settings.path} has no column {column!r}; its columns are {shown}"
        for setting, column in named
        if column not in columns
    )
    if problems:
        raise ProjectError(
            f"{'; '.join(problems)}.",
            fix="Correct the names, or set those that you do not have to null.",
            problems=problems,
        )


def _label(row: Mapping[str, str], settings: LabelSettings, number: int) -> Label:
    special = {settings.report, settings.patient, settings.group}
    columns = settings.answers if settings.answers is not None else [c for c in row if c not in special]
    return Label(
        row=number,
        patient=row.get(settings.patient or "", "").strip(),
        group=row.get(settings.group or "", "").strip(),
        answers={column: row.get(column, "") for column in columns},
    )
