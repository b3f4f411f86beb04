"""Annotation: documents that experts read and label, each by several people who do not see each other's answers.

In: de-identified documents, the project's tasks, people's answers. Out: answers, what was settled, agreement.

Covers: a label of the closed set, findings marked in the text with status and concept, free text, ratings of certainty;
machines' suggestions apart from the text, switched on by the person; a third reader who sees both versions as A and B;
an order by doubt with a random share; answers from and to Label Studio. Does not cover: Label Studio's format
(curate/label_studio.py), measures of agreement (evaluate/annotators.py).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from residency.curate.label_studio import Annotation, to_label_studio
from residency.errors import ProjectError
from residency.evaluate.annotators import Agreement, agree_on_findings, agree_on_labels, agree_on_scale
from residency.evaluate.order import Known, in_order
from residency.evaluate.run import System
from residency.exchange import annotations_of, read_export, write_tasks
from residency.records import Document, Finding, Prediction, Split, Status, TaskKind, record_id
from residency.store.audit import Event, note
from residency.store.files import writable_file
from residency.store.queues import Duty, Item, Suggestion
from residency.store.studio import NAME
from residency.story import questions
from residency.studio.work import Filled, OfProject, View, a_place, a_text, an_object, one_of
from residency.tasks import TaskSettings

CERTAINTY = ("unsure", "fairly sure", "sure")  # the scale, lowest first
SIDES = "ABCDEFGHIJ"
FINDINGS = "findings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a document's readers came to: what they all said, or what the third reader decided. ``content`` is None
    where it is still open."""

    document: str
    content: Any
    authors: tuple[str, ...]


class Annotate(OfProject):
    """Annotation of one project."""

    kind = "annotate"
    decides = False
    raw = False
    suggests = True

    @cached_property
    def documents(self) -> dict[str, Document]:
        """The curated documents, by id."""
        return {document.id: document for document in self.iteration.documents}

    def queue(self, task: str) -> str:
        return f"{self.kind}/{task}"

    def fill(self) -> list[Filled]:
        """Every document without an answer, for each task."""
        return [self.ask(task.name) for task in self.project.settings.tasks]

    def ask(self, task: str, documents: Sequence[str] | None = None) -> Filled:
        """Asks about these documents, or all that the label file says nothing of."""
        settings, review = self.project.task(task), self.project.settings.review
        if documents is None:
            chosen = [one for one in self.documents.values() if not one.answers.get(settings.answer, "").strip()]
        else:
            chosen = [self._document(name) for name in documents]
        suggested = {one.id: self._suggested(settings, one) for one in chosen}
        known = [self._known(settings, one, suggested[one.id]) for one in chosen]
        turns = in_order(known, explore=review.explore, seed=self.project.settings.seed)
        items = [(self._item(task, self.documents[one.id], random=one.random), float(one.turn)) for one in turns]
        added = self.queues.add(items, readers=review.annotators)
        self.queues.reorder((item.id, turn) for item, turn in items)
        for item, _ in items:
            if suggested[item.subject]:
                self.queues.suggest(item.id, suggested[item.subject])
        return Filled(queue=self.queue(task), added=added, readers=review.annotators)

    def _item(self, task: str, document: Document, *, random: bool) -> Item:
        name = record_id("i", queue=self.queue(task), document=document.id)
        facts = {"task": task, "random": random}
        return Item(
            id=name, queue=self.queue(task), kind=self.kind, subject=document.id, patient=document.patient, facts=facts
        )

    def _known(self, task: TaskSettings, document: Document, suggested: Sequence[Suggestion]) -> Known:
        answered = self._answered.get((task.name, document.id))
        shares = dict(answered.probabilities) if answered else {}
        if not shares:
            shares = dict(self.iteration.candidates.get(task.name, {}).get(document.id, ()))
        return Known(
            id=document.id, probabilities=shares, suggested=[_canonical(task, one.content) for one in suggested]
        )

    # --- what a person sees and says --------------------------------------------------------------------------

    def view(self, item: Item, *, duty: Duty, versions: Sequence[Any] = (), answered: Any = None) -> View:
        """The text and the question; for the third reader both versions, without names."""
        task = self._task(item)
        view: View = {
            "task": task.name,
            "kind": str(task.kind),
            "text": self._document(item.subject).text,
            "labels": list(self.iteration.labels.get(task.name, ())),
            "statuses": list(Status),
            "certainty": list(CERTAINTY),
        }
        if duty is Duty.ADJUDICATE:
            view["versions"] = [
                {"side": side, "content": _without_comment(one)} for side, one in zip(SIDES, versions, strict=False)
            ]
        return view

    def suggestions(self, item: Item) -> list[Suggestion]:
        return self.queues.suggestions(item.id)

    def check(self, item: Item, content: Any, *, duty: Duty) -> Any:
        """``{"label"}``, ``{"findings"}`` or ``{"text"}``, by the kind of task; with ``certainty`` and ``comment``."""
        task = self._task(item)
        name = _ANSWER[task.kind]
        said = an_object(content, name, "certainty", "comment")
        checked: dict[str, Any] = {"comment": a_text(said, "comment")}
        if said.get("certainty"):
            checked["certainty"] = one_of(said["certainty"], CERTAINTY, "The certainty")
        if task.kind is TaskKind.CLASSIFY:
            checked[name] = self._label(task, said.get(name))
        elif task.kind is TaskKind.EXTRACT:
            checked[name] = self._findings(item, said.get(name))
        else:
            checked[name] = a_text(said, name)
            if not checked[name]:
                raise ProjectError("The text is empty.", fix="Write the answer.")
        return checked

    def _label(self, task: TaskSettings, label: Any) -> str:
        """A label of the closed set; while there is none yet, whatever is written."""
        known = self.iteration.labels.get(task.name, ())
        if known:
            return one_of(label, known, "The label")
        written = a_text({"label": label}, "label")
        if not written:
            raise ProjectError("The label is empty.", fix="Write a label.")
        return written

    def _findings(self, item: Item, found: Any) -> list[dict[str, Any]]:
        length = len(self._document(item.subject).text)
        if not isinstance(found, list):
            raise ProjectError("The findings are no list.", fix="Mark findings; an empty list says none.")
        kept: dict[tuple[Any, ...], dict[str, Any]] = {}
        for one in found:
            start, end = a_place(one, length)
            fields = an_object(one, "start", "end", "concept", "label", "status")
            status = one_of(fields.get("status"), list(Status), "The status")
            concept, label = self._concept(fields)
            plain = {"start": start, "end": end, "concept": concept, "label": label, "status": status}
            kept[tuple(plain.values())] = plain
        return sorted(kept.values(), key=lambda one: (one["start"], one["end"], one["concept"]))

    def _concept(self, fields: dict[str, Any]) -> tuple[str, str]:
        named = self.iteration.concept_of(str(fields.get("concept") or fields.get("label") or ""))
        if named is not None:
            return named
        if self.iteration.terminology is not None:
            raise ProjectError("The terminology does not know a finding.", fix="Choose a concept from the search.")
        return a_text(fields, "concept"), a_text(fields, "label")

    def differ(self, item: Item, contents: Sequence[Any]) -> bool:
        """Free text is not settled by a third reader: no two people write the same."""
        task = self._task(item)
        if task.kind is TaskKind.GENERATE:
            return False
        return len({_canonical(task, content) for content in contents}) > 1

    def parts(self, item: Item) -> int:
        return 0

    def decisions(self, item: Item, content: Any) -> list[dict[str, Any]]:
        return []

    # --- what follows -----------------------------------------------------------------------------------------

    def agreement(self, task: str) -> Agreement:
        """How far the readers of each document agree, the third reader left out."""
        settings = self.project.task(task)
        said = self._said(task, _ANSWER[settings.kind])
        return agree_on_findings(said) if settings.kind is TaskKind.EXTRACT else agree_on_labels(said)

    def agreement_on_certainty(self, task: str) -> Agreement:
        """How far they agree on how sure they are."""
        return agree_on_scale(self._said(task, "certainty"), CERTAINTY)

    def _said(self, task: str, name: str) -> dict[str, dict[str, Any]]:
        said: dict[str, dict[str, Any]] = defaultdict(dict)
        for answer in self.queues.answers(self.queue(task), duty=Duty.READ):
            if name in answer.content:
                said[answer.item.subject][answer.who] = answer.content[name]
        return said

    def settled(self, task: str) -> list[Settled]:
        """Every document that all of its readers have answered."""
        settings, readers = self.project.task(task), self.project.settings.review.annotators
        answers = defaultdict(list)
        third = {}
        for answer in self.queues.answers(self.queue(task)):
            if answer.duty is Duty.ADJUDICATE:
                third[answer.item.subject] = answer
            else:
                answers[answer.item.subject].append(answer)
        found = []
        for document, said in answers.items():
            if len(said) < readers:
                continue
            agreed = len({_canonical(settings, one.content) for one in said}) == 1
            content = said[0].content if agreed else None
            authors = tuple(one.who for one in said)
            if document in third:
                content, authors = third[document].content, (*authors, third[document].who)
            found.append(Settled(document=document, content=content, authors=authors))
        return found

    # --- Label Studio -----------------------------------------------------------------------------------------

    def annotations(self) -> list[Annotation]:
        """What people said, one annotation a document and person over all tasks: what Label Studio calls one."""
        findings: dict[tuple[str, str], tuple[Finding, ...]] = {}
        answers: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for task in self.project.settings.tasks:
            for answer in self.queues.answers(self.queue(task.name), duty=Duty.READ):
                key = answer.item.subject, answer.who
                said = answer.content[_ANSWER[task.kind]]
                if task.kind is TaskKind.EXTRACT:
                    findings[key] = tuple(Finding(**{**one, "status": Status(one["status"])}) for one in said)
                else:
                    answers[key][task.name] = said
        keys = dict.fromkeys([*findings, *answers])
        return [Annotation(*key, findings.get(key, ()), answers.get(key, {})) for key in keys]

    def bring(self, annotations: Sequence[Annotation]) -> int:
        """Takes annotations from elsewhere in as answers of whoever made them; the number of answers kept. What a
        person has answered here stays."""
        checked: list[tuple[Item, str, Any]] = []
        for one in annotations:
            if not 0 < len(one.who) <= NAME or not one.who.isprintable():
                raise ProjectError(
                    f"document {one.document}: an annotation has no name of 1 to {NAME} characters.",
                    fix="Export with the annotators' email addresses.",
                )
            for task in self.project.settings.tasks:
                content = _content(task, one)
                if content is not None:
                    item = self._item(task.name, self._document(one.document), random=False)
                    checked.append((item, one.who, self.check(item, content, duty=Duty.READ)))
        asked: dict[str, dict[str, None]] = defaultdict(dict)
        for item, _, _ in checked:
            asked[item.facts["task"]][item.subject] = None
        for task_name, documents in asked.items():
            self.ask(task_name, list(documents))
        return sum(self.queues.bring(item.id, who, content) for item, who, content in checked)

    def export_answers(self, target: Path) -> int:
        """Writes what people said as Label Studio's JSON; the number of annotations."""
        writable_file(target)
        said: dict[str, list[Annotation]] = defaultdict(list)
        for one in self.annotations():
            said[one.document].append(one)
        documents = [self._document(name) for name in said]
        note(self.project.studio, Event.EXPORTED, subject="label-studio", facts={"documents": len(documents)})
        write_tasks(list(to_label_studio(documents, self.project.settings.tasks, said)), target)
        return sum(map(len, said.values()))

    def import_answers(self, source: Path) -> int:
        """Takes the JSON that Label Studio exported in as answers; the number kept."""
        annotations = annotations_of(self.project, read_export(source), self.documents)
        note(self.project.studio, Event.IMPORTED, subject="label-studio", facts={"annotations": len(annotations)})
        return self.bring(annotations)

    # --- look-up ----------------------------------------------------------------------------------------------

    def _task(self, item: Item) -> TaskSettings:
        return self.project.task(item.facts["task"])

    def _document(self, name: str) -> Document:
        try:
            return self.documents[name]
        except KeyError:
            raise ProjectError("This document is not here any more.", fix="Ask for the next item.") from None

    def _suggested(self, task: TaskSettings, document: Document) -> list[Suggestion]:
        """What the tuned system answered, the first candidate, what the terminology step read, each with its source."""
        found: list[Suggestion] = []
        answered = self._answered.get((task.name, document.id))
        if task.kind is TaskKind.EXTRACT:
            found.append(Suggestion(source="terminology", score=1.0, content=_as_content(document.findings)))
        elif answered is not None and answered.scored:
            name = _ANSWER[task.kind]
            score = 0.0 if answered.confidence is None else answered.confidence
            found.append(Suggestion(source=str(System.TUNED), score=score, content={name: answered.value}))
        for label, share in self.iteration.candidates.get(task.name, {}).get(document.id, ())[:1]:
            found.append(Suggestion(source="candidates", score=share, content={"label": label}))
        return found

    @cached_property
    def _answered(self) -> dict[tuple[str, str], Prediction]:
        """The tuned system's answers, by task and document."""
        found = {}
        for task in self.project.settings.tasks:
            answers = {one.example: one for one in self.iteration.predictions.get((System.TUNED, task.name), ())}
            for example in questions(self.iteration, task, *Split) if answers else ():
                if example.id in answers:
                    found[task.name, example.parents[0]] = answers[example.id]
        return found


_ANSWER = {TaskKind.CLASSIFY: "label", TaskKind.EXTRACT: FINDINGS, TaskKind.GENERATE: "text"}


def _canonical(task: TaskSettings, content: Any) -> str:
    """Equal for answers that say the same; a comment and a certainty are no part of it."""
    said = content[_ANSWER[task.kind]]
    if task.kind is TaskKind.EXTRACT:
        said = sorted((one["start"], one["end"], one["concept"], one["status"]) for one in said)
    return json.dumps(said)


def _without_comment(content: Any) -> Any:
    """A comment may give away who wrote it."""
    return {name: value for name, value in content.items() if name != "comment"}


def _content(task: TaskSettings, one: Annotation) -> Any:
    if task.kind is not TaskKind.EXTRACT:
        return {_ANSWER[task.kind]: one.answers[task.name]} if one.answers.get(task.name) else None
    return _as_content(one.findings)


def _as_content(findings: Sequence[Finding]) -> dict[str, Any]:
    """Marked findings as an answer; those without a place are left out."""
    return {FINDINGS: [{**asdict(one), "status": str(one.status)} for one in findings if one.start is not None]}
