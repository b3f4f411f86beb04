"""Label Studio: its task JSON in and out, for teams that start or end there.

In: documents and the project's tasks; or the JSON that Label Studio exports. Out: tasks with the document's findings
and answers as an annotation, and a labelling configuration; or ``Annotation``s. Out and in again is equal.

Covers: findings as labelled regions (the status is the label, the concept a text of the region), class answers as
choices, free text as text areas, several annotators. Does not cover: images, relations, Label Studio's other types:
what is not understood is named, not dropped in silence.

Label Studio counts UTF-16 units, we count code points: an emoji before a region moves it by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from residency.errors import ProjectError
from residency.records import Document, Finding, Status, TaskKind
from residency.tasks import TaskSettings

TEXT, STATUS, CONCEPT = "text", "status", "concept"  # names in the configuration
OURS = "residency"  # annotator of what a document already says


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one person said of one document."""

    document: str
    who: str
    findings: tuple[Finding, ...]
    answers: Mapping[str, str]  # task -> answer


class _Torn(ValueError):
    """A part of an export that is not what Label Studio writes; its message never holds text."""


def labelling_config(tasks: Sequence[TaskSettings], labels: Mapping[str, Sequence[str]]) -> str:
    """The XML that Label Studio's project settings take. ``labels``: task -> closed set."""
    lines = ["<View>", f'  <Text name="{TEXT}" value="$text"/>']
    if _marks_findings(tasks):
        lines.append(f'  <Labels name="{STATUS}" toName="{TEXT}">')
        lines += [f"    <Label value={quoteattr(status)}/>" for status in Status]
        lines.append("  </Labels>")
        lines.append(f'  <TextArea name="{CONCEPT}" toName="{TEXT}" perRegion="true" placeholder="HP:0001251 Ataxia"/>')
    for task in tasks:
        if task.kind is TaskKind.CLASSIFY:
            lines.append(f'  <Choices name="{task.name}" toName="{TEXT}" choice="single">')
            lines += [f"    <Choice value={quoteattr(label)}/>" for label in labels.get(task.name, ())]
            lines.append("  </Choices>")
        elif task.kind is TaskKind.GENERATE:
            lines.append(f'  <TextArea name="{task.name}" toName="{TEXT}"/>')
    return "\n".join([*lines, "</View>"]) + "\n"


def to_label_studio(
    documents: Iterable[Document],
    tasks: Sequence[TaskSettings],
    said: Mapping[str, Sequence[Annotation]] | None = None,
) -> Iterator[dict[str, Any]]:
    """One task a document, with what is known of it as one annotation; or, where ``said`` is given, with what people
    said, one annotation each, by document id."""
    marked = _marks_findings(tasks)
    for document in documents:
        known = Annotation(
            document.id, OURS, document.findings, {t.name: document.answers.get(t.answer, "") for t in tasks}
        )
        people = [known] if said is None else said.get(document.id, ())
        results = [
            (one.who, [*(_finding_results(document.text, one) if marked else ()), *_answer_results(one, tasks)])
            for one in people
        ]
        yield {
            "data": {"text": document.text, "document": document.id, "report": document.key},
            "annotations": [
                {"completed_by": {"email": who}, "result": its} for who, its in results if its or said is not None
            ],
        }


def from_label_studio(exported: Any, texts: Mapping[str, str], tasks: Sequence[TaskSettings]) -> list[Annotation]:
    """The annotations of an export. ``texts``: document id -> text, as it was sent out. All problems are one error."""
    problems: list[str] = []
    annotations: list[Annotation] = []
    if not isinstance(exported, list):
        raise ProjectError("Label Studio: the file holds no list of tasks.", fix="Export as JSON, not JSON-MIN or CSV.")
    for number, task in enumerate(exported):
        data = task.get("data") if isinstance(task, dict) else None
        document = str(data.get("document")) if isinstance(data, dict) else ""
        if data is None or document not in texts:
            problems.append(f"task {number}: data.document names no document of this project")
            continue
        if data.get("text") != texts[document]:
            problems.append(f"task {number}, document {document}: its text was changed since it was sent out")
            continue
        try:
            for one in _objects(task, "annotations"):
                if not one.get("was_cancelled"):
                    annotations.append(_annotation(one, document, texts[document], tasks, f"task {number}", problems))
        except _Torn as torn:
            problems.append(f"task {number}: {torn}")
    if problems:
        shown = "; ".join(problems[:5])
        raise ProjectError(
            f"Label Studio: {len(problems)} problems: {shown}.", fix="Correct the export.", problems=tuple(problems)
        )
    return annotations


def _marks_findings(tasks: Sequence[TaskSettings]) -> bool:
    """Whether people are asked for findings; else the configuration has no place for them, and none are sent."""
    return any(task.kind is TaskKind.EXTRACT for task in tasks)


def _finding_results(text: str, said: Annotation) -> Iterator[dict[str, Any]]:
    for number, finding in enumerate(said.findings):
        if finding.start is None or finding.end is None:
            continue
        place = {
            "start": _utf16(text, finding.start),
            "end": _utf16(text, finding.end),
            "text": text[finding.start : finding.end],
        }
        region = {"id": f"f{number}", "to_name": TEXT}
        yield {**region, "from_name": STATUS, "type": "labels", "value": {**place, "labels": [finding.status.value]}}
        name = f"{finding.concept} {finding.label}".strip()
        yield {**region, "from_name": CONCEPT, "type": "textarea", "value": {**place, "text": [name]}}


def _answer_results(said: Annotation, tasks: Sequence[TaskSettings]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        answer = said.answers.get(task.name)
        if not answer or task.kind is TaskKind.EXTRACT:
            continue
        kind = "choices" if task.kind is TaskKind.CLASSIFY else "textarea"
        value = {"choices": [answer]} if kind == "choices" else {"text": [answer]}
        yield {"id": f"a-{task.name}", "from_name": task.name, "to_name": TEXT, "type": kind, "value": value}


def _annotation(
    one: Mapping[str, Any],
    document: str,
    text: str,
    tasks: Sequence[TaskSettings],
    place: str,
    problems: list[str],
) -> Annotation:
    known = {task.name for task in tasks}
    regions: dict[str, dict[str, Any]] = {}
    answers: dict[str, str] = {}
    for result in _objects(one, "result"):
        source, value = str(result.get("from_name")), result.get("value") or {}
        if not isinstance(value, dict):
            raise _Torn("a value of a result is no object")
        if source in (STATUS, CONCEPT):
            regions.setdefault(str(result.get("id")), {})[source] = value
        elif source in known:
            answers[source] = "\n".join(_strings(value, "choices") or _strings(value, "text"))
        else:
            problems.append(f"{place}: a result of {source!r}, which no task is called")
    findings = [_finding(region, text, f"{place}, region {name}", problems) for name, region in regions.items()]
    kept = sorted((f for f in findings if f is not None), key=lambda f: (f.start or 0, f.concept))
    return Annotation(document, _who(one.get("completed_by")), tuple(kept), answers)


def _finding(region: Mapping[str, Any], text: str, place: str, problems: list[str]) -> Finding | None:
    marked = region.get(STATUS)
    if marked is None:
        problems.append(f"{place}: a concept without a marked region")
        return None
    status = (_strings(marked, "labels") or [""])[0]
    if status not in set(Status):
        problems.append(f"{place}: status {status!r}; expected one of {', '.join(Status)}")
        return None
    start, end = _code_point(text, marked.get("start")), _code_point(text, marked.get("end"))
    if start is None or end is None or start >= end:
        problems.append(f"{place}: does not lie within the text")
        return None
    concept, _, label = " ".join(_strings(region.get(CONCEPT) or {}, "text")).partition(" ")
    return Finding(concept=concept, label=label or text[start:end], status=Status(status), start=start, end=end)


def _objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects of this name; an empty one where there is none."""
    found = holder.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise _Torn(f"{name} is no list of objects")
    return found


def _strings(value: Mapping[str, Any], name: str) -> list[str]:
    """The texts of this name: Label Studio writes a list of them, and where there is one, sometimes only that."""
    found = value.get(name) or []
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(one, str) for one in listed):
        raise _Torn(f"{name} of a value is no list of texts")
    return listed


def _who(completed_by: Any) -> str:
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or completed_by.get("id") or "")
    return "" if completed_by is None else str(completed_by)


def _utf16(text: str, position: int) -> int:
    return position + sum(ord(ch) > 0xFFFF for ch in text[:position])


def _code_point(text: str, position: Any) -> int | None:
    """The code point at a place counted in UTF-16 units; None where there is none."""
    if not isinstance(position, int) or position < 0:
        return None
    units = 0
    for index, ch in enumerate(text):
        if units >= position:
            return index
        units += 2 if ord(ch) > 0xFFFF else 1
    return len(text) if units == position else None
