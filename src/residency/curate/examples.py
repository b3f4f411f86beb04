"""Examples: from curated documents and the experts' answers to questions with gold answers.

In: documents with findings and answers, the project's tasks and prompt templates, the split.
Out: one ``Example`` for every document and task that has a gold answer; or for a document without one, the question.

Covers: rendering prompts in a sandbox, the closed label set, answers in the format that tasks.py defines.
Does not cover: the chat template of a base model (models/) and examples shown inside a prompt (evaluate/).

A prompt sees the document's text, the findings that the extraction step read in it, and the labels that training
patients with such findings had; never the experts' answers about the document itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from residency.curate.candidates import Ranking
from residency.errors import ProjectError
from residency.records import Document, Example, Finding, Message, Source, Split, Status, TaskKind, record_id
from residency.tasks import TaskSettings, gold_answer, write_answer, write_findings


@dataclass(frozen=True, slots=True)
class Shown:
    """What a template can see of a document; not the experts' answers, whatever it tries."""

    text: str
    findings: tuple[Finding, ...]


TRIAL = Document(
    id="d-trial",
    key="trial",
    text="She has ataxia.",
    source=Source(path="trial"),
    patient="p-trial",
    findings=(Finding(concept="C:1", label="Ataxia", status=Status.PRESENT),),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a task's prompts may show beside the document.

    ``instruct`` is True for a model that does not know the task: the template then says what the answer looks like.
    """

    labels: tuple[str, ...] = ()  # the closed set of a classify task
    candidates: Mapping[str, Ranking] = field(default_factory=dict)  # by document id
    instruct: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """One task's prompt template."""

    path: Path
    template: Template

    @classmethod
    def load(cls, root: Path, task: TaskSettings) -> Prompt:
        """The task's template below the project folder ``root``, tried out on an invented document."""
        path = root / task.prompt
        if not path.resolve().is_relative_to(root.resolve()):
            raise ProjectError(
                f"task {task.name}, prompt {task.prompt!r}: lies outside the project folder.",
                fix="Put the template into the project folder.",
            )
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["findings"] = _findings_text
        environment.filters["percent"] = lambda share: f"{share:.0%}"
        try:
            prompt = cls(path, environment.from_string(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError):
            raise ProjectError(
                f"{path}: this prompt template cannot be read.", fix="Write it as UTF-8 text, or correct the path."
            ) from None
        except TemplateError as error:
            raise ProjectError(f"{path}: not a Jinja template: {error}.", fix="Correct the template.") from None
        for instruct in (True, False):
            prompt.messages(TRIAL, task, Question(labels=("a", "b"), instruct=instruct), (("a", 0.6), ("b", 0.4)))
        return prompt

    def messages(
        self, document: Document, task: TaskSettings, question: Question, candidates: Ranking
    ) -> tuple[Message, ...]:
        """The conversation that asks ``task`` about ``document``."""
        shown = {"labels": question.labels, "instruct": question.instruct, "candidates": candidates[: task.candidates]}
        try:
            content = self.template.render(document=Shown(document.text, document.findings), task=task, **shown)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ProjectError(
                f"{self.path}: {error}.",
                fix="A prompt may use document.text, document.findings, task, labels, candidates, instruct.",
            ) from None
        if not content.strip():
            raise ProjectError(f"{self.path}: the template gives an empty prompt.", fix="Write a question into it.")
        return (Message(role="user", content=content.strip()),)


def label_set(documents: Iterable[Document], task: TaskSettings, split_of: Mapping[str, Split]) -> tuple[str, ...]:
    """The closed set of a classify task: the labels that training patients have, sorted."""
    if task.kind is not TaskKind.CLASSIFY:
        return ()
    trained = (d for d in documents if split_of.get(d.patient) is Split.TRAIN and d.answers.get(task.answer))
    return tuple(sorted({str(gold_answer(task, d.answers[task.answer], place=d.id)) for d in trained}))


def make_examples(
    documents: Iterable[Document],
    task: TaskSettings,
    prompt: Prompt,
    question: Question,
    split_of: Mapping[str, Split],
) -> Iterator[Example]:
    """One example for every document that has an answer for the task and a side of the split."""
    for document in documents:
        cell = document.answers.get(task.answer, "").strip()
        # An empty cell is "not labeled", except for findings, where the experts may have found none.
        if document.patient not in split_of or (not cell and task.kind is not TaskKind.EXTRACT):
            continue
        if task.answer not in document.answers:
            continue
        gold = gold_answer(task, cell, place=f"label {task.answer} of {document.id}")
        asked = ask(document, task, prompt, question, split_of[document.patient])
        # The prompt is not part of the identity: the same question stays the same case for every system.
        yield replace(
            asked,
            id=record_id("e", document=document.id, task=task.name, gold=gold),
            answer=write_answer(task, gold),
            gold=gold,
        )


def ask(document: Document, task: TaskSettings, prompt: Prompt, question: Question, split: Split) -> Example:
    """The question alone: an example whose answer nobody knows."""
    return Example(
        id=record_id("e", document=document.id, task=task.name),
        task=task.name,
        kind=task.kind,
        messages=prompt.messages(document, task, question, question.candidates.get(document.id, ())),
        answer="",
        gold=None,
        patient=document.patient,
        group=document.group,
        split=split,
        weight=task.weight,
        parents=(document.id,),
    )


def _findings_text(document: Shown) -> str:
    """Template filter ``{{ document | findings }}``: what the extraction step read, one status a line."""
    return write_findings([(finding.label, finding.status) for finding in document.findings])
