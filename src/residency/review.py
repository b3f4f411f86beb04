"""Review: what a person should look at next, and what they decided.

In: a project that has run. Out: ``Item``s in a drawn order; decisions in the ledger, appended, never overwritten.

Covers: answers of the tuned system on test patients, judged correct, wrong or critically wrong; a sample of the
de-identified documents, approved or refused as a whole. Does not cover: pages, several reviewers, agreement.

The order is drawn with the project's seed, so that the first n items are a random sample of all, whoever stops when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import TypeVar

from residency.errors import ProjectError
from residency.evaluate.run import System
from residency.records import Decision, Document, Example, Prediction, Span, Split, record_id
from residency.story import SAMPLE, Project, questions, recall

Record = TypeVar("Record", Prediction, Document)
REFUSED = "refused"


class Judgment(StrEnum):
    """What an expert says of an answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    CRITICAL = "critically wrong"  # could have harmed


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to judge. The system's name and confidence are left out: they would bias the judgment."""

    subject: str  # prediction id
    task: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Sample:
    """De-identified documents to read; ``subject`` is the hash of the whole set."""

    subject: str
    documents: tuple[tuple[str, tuple[Span, ...]], ...]  # text, replaced places
    of: int


def answers_to_judge(project: Project, task: str) -> list[Item]:
    """The tuned system's answers on test patients that nobody has judged yet."""
    iteration = recall(project)
    predictions = iteration.predictions.get((System.TUNED, task))
    if predictions is None:
        known = ", ".join(one.name for one in project.settings.tasks)
        raise ProjectError(f"{task}: there are no answers to judge.", fix=f"Name one of {known}, after: residency run.")
    judged = {decision.subject for decision in project.workspace.ledger.decisions()}
    test = {example.id: example for example in questions(iteration, project.task(task), Split.TEST)}
    texts = {document.id: document.text for document in iteration.documents}
    # All are drawn before the judged ones are left out: the order stays, whatever was judged meanwhile.
    drawn = _drawn([p for p in predictions if p.example in test], project)
    return [_item(p, test[p.example], texts) for p in drawn if p.id not in judged]


def documents_to_approve(project: Project) -> Sample:
    """A random sample of the de-identified documents, as the de-identification step wrote them."""
    iteration = recall(project)
    outcome = iteration.runs[project.settings.curate[0].step]
    documents = outcome.read("documents", Document)
    sample = _drawn(documents, project)[:SAMPLE]
    return Sample(outcome.hash("documents"), tuple((d.text, d.spans) for d in sample), len(documents))


def decide(project: Project, subject: str, verdict: str, *, who: str, why: str = "") -> Decision:
    """Appends a person's decision."""
    if not who.strip():
        raise ProjectError("A decision needs a name.", fix="Give yours with --who.")
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    decision = Decision(
        id=record_id("v", subject=subject, who=who, when=when, verdict=verdict),
        subject=subject, who=who.strip(), when=when, verdict=verdict, why=why,
    )  # fmt: skip
    project.workspace.ledger.decide(decision)
    return decision


def open_review(root: Path) -> Project:
    """The project in ``root``; said clearly where nothing has run yet."""
    project = Project.open(root)
    recall(project)
    return project


def _drawn(records: Sequence[Record], project: Project) -> list[Record]:
    ordered = sorted(records, key=lambda record: record.id)
    Random(project.settings.seed).shuffle(ordered)
    return ordered


def _item(prediction: Prediction, example: Example, texts: dict[str, str]) -> Item:
    return Item(prediction.id, prediction.task, texts[example.parents[0]], prediction.output)
