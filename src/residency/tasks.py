"""Tasks: what the specialist is asked, and how its answers are written and read.

In: a task's settings; gold answers as the experts' label file has them; outputs of a model.
Out: the gold answer as data, the text a model should write for it, and outputs parsed back into data.

Covers: classify (one label of a closed set), extract (findings with status), generate (free text).
Does not cover: asking (models/), scoring (evaluate/).

An answer of an ``extract`` task is written one status a line, names separated by semicolons::

    present: Ataxia; Dysarthria
    absent: Seizure

The model writes names, not ids: ids are looked up in the terminology, because a name carries meaning
for a language model and a number does not. "none" is the answer without findings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from residency.errors import ProjectError
from residency.records import Finding, Status, TaskKind
from residency.settings import Settings

NO_FINDINGS = "none"
NameToConcept = Callable[[str], tuple[str, str] | None]  # a name -> (concept id, preferred label)


class TaskSettings(Settings):
    """One task of the project file."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="name of the task, lower case")
    kind: TaskKind = Field(description="classify, extract or generate")
    answer: str = Field(description="column of the label file that holds the gold answer")
    prompt: str = Field(description="prompt template, a path below the project folder")
    max_tokens: int = Field(default=256, ge=1, le=4096, description="longest answer, in tokens")
    candidates: int = Field(default=5, ge=0, le=100, description="classify: labels that a prompt may show, count")
    weight: float = Field(default=1.0, gt=0, le=100, description="weight of an example's loss in training, ratio")


def gold_answer(task: TaskSettings, cell: str, *, place: str) -> Any:
    """The gold answer as data: a label, a list of finding dicts, or a text. ``place`` is for the error."""
    if task.kind is TaskKind.EXTRACT:
        return [_as_dict(finding) for finding in read_findings(cell, place=place)]
    return " ".join(cell.split())


def read_findings(cell: str, *, place: str) -> tuple[Finding, ...]:
    """Findings from a label cell: ``Ataxia [HP:0001251] present; Seizure [HP:0001250] absent``."""
    findings: dict[tuple[str, str], Finding] = {}
    for number, part in enumerate(filter(None, (part.strip() for part in cell.split(";"))), 1):
        name, bracket, rest = part.rpartition(" [")
        concept, closing, status = rest.partition("] ")
        if not bracket or not closing or status not in set(Status):
            raise ProjectError(
                f"{place}: finding {number} is not written as 'name [concept id] status'.",
                fix=f"Write each finding so, separated by semicolons; a status is one of {', '.join(Status)}.",
            )
        finding = Finding(concept=concept, label=name, status=Status(status))
        findings.setdefault(finding.key, finding)
    return tuple(findings.values())


def write_findings_cell(findings: Sequence[Finding]) -> str:
    """The inverse of ``read_findings``."""
    return "; ".join(f"{f.label} [{f.concept}] {f.status.value}" for f in findings)


def write_cell(task: TaskSettings, gold: Any) -> str:
    """The inverse of ``gold_answer``: how the label file would have it."""
    if task.kind is TaskKind.EXTRACT:
        return write_findings_cell([Finding(**{**finding, "status": Status(finding["status"])}) for finding in gold])
    return str(gold)


def write_answer(task: TaskSettings, gold: Any) -> str:
    """The text that a model should answer."""
    if task.kind is TaskKind.EXTRACT:
        return write_findings([(f["label"], Status(f["status"])) for f in gold])
    return str(gold)


def write_findings(findings: Sequence[tuple[str, Status]]) -> str:
    """Findings (name, status) one status a line, each name once a line, in the order given."""
    lines = []
    for status in Status:
        names = dict.fromkeys(name for name, its_status in findings if its_status is status)
        if names:
            lines.append(f"{status.value}: {'; '.join(names)}")
    return "\n".join(lines) or NO_FINDINGS


def read_output(task: TaskSettings, output: str, *, labels: Sequence[str], concept_of: NameToConcept) -> Any:
    """A model's output as data, or None where it does not follow the answer format."""
    text = output.strip()
    if task.kind is TaskKind.CLASSIFY:
        folded = {label.casefold(): label for label in labels}
        return folded.get(text.casefold().rstrip(". "))
    if task.kind is TaskKind.EXTRACT:
        return read_finding_lines(text, concept_of)
    return text or None


def read_finding_lines(text: str, concept_of: NameToConcept) -> list[dict[str, Any]] | None:
    """Findings from an answer's lines, None where they are not written so."""
    if text.casefold().rstrip(".") == NO_FINDINGS:
        return []
    if not text:
        return None  # silence is no answer: "none" is
    findings: dict[tuple[str, str], Finding] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, colon, names = line.partition(":")
        if not colon or word.casefold() not in set(Status):
            return None
        for name in filter(None, (name.strip(" .") for name in names.split(";"))):
            concept, label = concept_of(name) or ("", name)
            finding = Finding(concept=concept, label=label, status=Status(word.casefold()))
            # A name outside the terminology stays in the answer: it counts as a wrong finding.
            findings.setdefault((concept or name.casefold(), finding.status), finding)
    return [_as_dict(finding) for finding in findings.values()]


def _as_dict(finding: Finding) -> dict[str, str]:
    return {"concept": finding.concept, "label": finding.label, "status": finding.status.value}
