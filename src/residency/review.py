"""Review: what a person should look at next, and what they decided.

In: a project that has run. Out: items in a drawn order; decisions in the ledger, appended, never overwritten.

Covers: answers of the tuned system on test patients, judged correct, wrong or critically wrong, with the corrected
answer where the reviewer gives one; raw documents with the machine's spans, read from beginning to end (what was
missed, what is no identifier); doubtful spans, one by one; the verdict on a whole set of de-identified documents. Does
not cover: pages, several reviewers, agreement; what becomes of corrections (curate/corrections.py).

The order is drawn with the project's seed, so that the first n items are a random sample of all, whoever stops when.
Raw text is decrypted for one item at a time and written nowhere. Each decision is in the audit log, and so is each look
(``log_look``), under the user of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

from residency.curate.corrections import read_correction
from residency.curate.deidentify.audit import Suspect
from residency.curate.deidentify.feedback import (
    DOUBTFUL,
    Place,
    judged_places,
    reading_decision,
    readings,
    span_decision,
)
from residency.curate.deidentify.labels import Identifier
from residency.errors import ProjectError
from residency.evaluate.run import System
from residency.evaluate.sampling import Rate, estimate_rate
from residency.intake import TREATMENT, raw_document, treatment
from residency.packs.terminology import load_terminology
from residency.project import Project
from residency.records import (
    Decision,
    Document,
    Example,
    Failure,
    Judged,
    Judgment,
    Prediction,
    Span,
    Split,
    record_id,
)
from residency.release import APPROVED, REFUSED, Release
from residency.store.audit import Event, note
from residency.store.runs import Outcome
from residency.story import Iteration, judge, questions, recall
from residency.tasks import write_answer

CONTEXT = 120  # characters shown on both sides of a doubtful span


class _Named(Protocol):
    @property
    def id(self) -> str: ...


Record = TypeVar("Record", bound=_Named)


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to judge. The system's name and confidence are left out: they would bias the judgment."""

    subject: str  # prediction id
    task: str
    document: str  # id
    patient: str  # pseudonym
    text: str
    answer: str
    labels: tuple[str, ...] = ()  # the closed set of a classify task: what a corrected answer may be


@dataclass(frozen=True, slots=True)
class ToRead:
    """One raw document with what the machine found in it, before any verdict."""

    document: str  # raw document id
    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Doubtful:
    """One span to judge: ``text[start:end]`` of a raw document, with its surroundings."""

    document: str  # raw document id
    span: Span
    before: str
    text: str
    after: str
    why: str


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
    # All are drawn before the judged ones are left out: the order stays, whatever was judged meanwhile. Those of the
    # iteration's sample come first, so that the estimates that it allows grow here too.
    drawn = _drawn([p for p in predictions if p.example in test], project)
    turn = {one.id: one.turn for one in iteration.samples.get(task, ())}
    drawn.sort(key=lambda prediction: turn.get(prediction.id, len(predictions)))
    labels = iteration.labels[task]
    return [_item(p, test[p.example], texts, labels) for p in drawn if p.id not in judged]


def record_answer(project: Project, item: Item, judgment: Judgment, *, who: str, **more: Any) -> Decision:
    """Keeps what an expert says of an answer; ``more``: of ``answer_decision``."""
    return _append(project, **answer_decision(project, item, judgment, **more), who=who)


def answer_decision(
    project: Project,
    item: Item,
    judgment: Judgment,
    *,
    corrected: str = "",
    failure: Failure | None = None,
    why: str = "",
) -> dict[str, Any]:
    """A verdict on an answer as the fields of a Decision, with the corrected answer, where it is given, in the task's
    answer format.

    ProjectError where a correction does not fit the task, is what the system wrote, or comes with "correct".
    """
    if judgment is Judgment.CORRECT and (corrected.strip() or failure):
        raise ProjectError("A correct answer needs no correction.", fix="Judge it wrong, or leave the correction out.")
    if not all(c.isprintable() or c in "\n\t" for c in why):
        raise ProjectError("The comment holds control characters.", fix="Write plain text.")
    answer = check_corrected(project, item, corrected) if corrected.strip() else ""
    judged = Judged(
        task=item.task, document=item.document, patient=item.patient, answer=item.answer, corrected=answer
    )  # fmt: skip
    return {"subject": item.subject, "verdict": judgment, "why": why.strip(), "failure": failure, "judged": judged}


def check_corrected(project: Project, item: Item, text: str) -> str:
    """A corrected answer as the model should have written it; ProjectError where it cannot be that."""
    task = project.task(item.task)
    terms = load_terminology(project.pack) if project.pack.settings.terminology else None
    gold = read_correction(
        task, text, labels=item.labels, concept_of=terms.concept_of if terms else lambda name: None,
        closed=terms is not None,
    )  # fmt: skip
    answer = write_answer(task, gold)
    if answer.split() == item.answer.split():
        raise ProjectError("The corrected answer is the system's own.", fix="Correct it, or judge the answer correct.")
    return answer


@dataclass(frozen=True, slots=True)
class Rates:
    """How often the tuned system's answers are wrong in whatever way, and critically wrong."""

    wrong: Rate
    critical: Rate


def rates(project: Project, task: str, iteration: Iteration | None = None) -> Rates:
    """The rates over all answers on test patients, from those of the iteration's sample that people have judged so far,
    wherever they did; of several reviewers of an answer, their share."""
    known = iteration or recall(project)
    said: dict[str, dict[str, str]] = {}
    for decision in project.workspace.ledger.decisions():
        said.setdefault(decision.subject, {})[decision.who] = decision.verdict
    drawn = known.samples.get(task, [])
    judged = [one for one in drawn if one.id in said]
    example_of = {one.id: one.example for one in known.predictions.get((System.TUNED, task), ())}
    patient_of = {one.id: one.patient for one in questions(known, project.task(task), Split.TEST)}

    def rate(*verdicts: Judgment) -> Rate:
        return estimate_rate(
            [_share(said[one.id].values(), verdicts) for one in judged],
            [one.probability for one in judged],
            [patient_of[example_of[one.id]] for one in judged],
            drawn=len(drawn),
            population=known.runs[f"review {task}"].facts["population"] if drawn else 0,
        )

    return Rates(wrong=rate(Judgment.WRONG, Judgment.CRITICAL), critical=rate(Judgment.CRITICAL))


def _share(said: Collection[str], verdicts: Sequence[Judgment]) -> float:
    return sum(one in verdicts for one in said) / len(said)


# --- de-identification ------------------------------------------------------------------------------------------


def deidentified(project: Project) -> Outcome:
    """The last run of de-identification; said clearly where there is none."""
    return recall(project, until=project.settings.deidentify.step).runs[project.settings.deidentify.step]


def documents_to_read(project: Project) -> Iterator[ToRead]:
    """Raw documents that nobody has read yet, in drawn order. Raw ids are hashes, so their order says nothing."""
    deidentified(project)
    vault = project.vault
    done = readings(project.workspace.ledger.decisions())
    ids = sorted(vault.ids(TREATMENT))
    Random(project.settings.seed).shuffle(ids)
    for document in ids:
        if document not in done:
            yield ToRead(document, raw_document(vault, document).text, treatment(vault, document).found)


def record_reading(
    project: Project, read: ToRead, missed: Sequence[Place], wrong: Sequence[Place], *, who: str
) -> None:
    """Keeps what a person found who read a document to its end; an empty list says that nothing was missed."""
    check_places(missed, read.document, len(read.text))
    decide(project, **reading_decision(read.document, missed, wrong), who=who)


def check_places(places: Iterable[Place], document: str, length: int) -> None:
    """Refuses places that do not lie within a document of so many characters, and classes that are none."""
    for place in places:
        if not 0 <= place.start < place.end <= length:
            raise ProjectError(
                f"[{place.start}, {place.end}) does not lie within document {document}.",
                fix=f"Give a place between 0 and {length}.",
            )
        check_label(place.label)


def log_look(project: Project, document: str) -> None:
    """Logs that raw text of a document is shown to a person; whoever shows it calls this first."""
    note(project.studio, Event.RAW_TEXT_READ, subject=document)


def places_of(text: str, part: str, label: str) -> list[Place]:
    """Everywhere that ``part`` stands in a text, over line ends too; for a person who types what was missed."""
    words = r"\s+".join(map(re.escape, part.split()))
    return [Place(match.start(), match.end(), label) for match in re.finditer(words, text)] if words else []


def check_label(label: str) -> None:
    """Refuses a class that is neither known nor written like one."""
    if label not in set(Identifier) and not (label.isupper() and label.isidentifier()):
        raise ProjectError(f"{label!r} is no class of identifier.", fix=f"Use one of: {', '.join(Identifier)}.")


def doubtful_spans(project: Project) -> Iterator[Doubtful]:
    """Spans that the machine is unsure of, and places where its second look suspects a miss, the likeliest first;
    without those that a person has judged."""
    outcome = deidentified(project)
    vault = project.vault
    judged = judged_places(project.workspace.ledger.decisions())
    suspected: dict[str, list[Suspect]] = {}
    for suspect in outcome.read("suspects", Suspect):
        suspected.setdefault(suspect.document, []).append(suspect)
    for document in vault.ids(TREATMENT):
        low = [(s, f"found by {s.found_by}, score {s.score:.2f}") for s in treatment(vault, document).found]
        low = [(span, why) for span, why in low if span.score < DOUBTFUL]
        low += [
            (_as_span(one), f"not replaced; the second look ({', '.join(one.methods)}) suspects it")
            for one in suspected.get(document, ())
        ]
        low = [(s, why) for s, why in low if not any(p.overlaps(s) for p in judged.get(document, ()))]
        if low:
            text = raw_document(vault, document).text
            yield from (_doubtful(document, span, why, text) for span, why in low)


def record_span(project: Project, doubtful: Doubtful, label: str, *, who: str) -> None:
    """Keeps a verdict on a span: ``label`` is its class, or "" where it is no identifier."""
    if label:
        check_label(label)
    place = Place(doubtful.span.start, doubtful.span.end, label)
    decide(project, **span_decision(doubtful.document, place, was=doubtful.span.label), who=who)


def standing(project: Project, run: Outcome | None = None) -> Release:
    """What the evidence so far says. ``run``: that of ``deidentified``, where it is known already."""
    return judge(project, run or deidentified(project))


def sample_of_output(project: Project, count: int) -> list[Document]:
    """De-identified documents, drawn anew for every set: what whoever releases the set should have seen."""
    documents = deidentified(project).read("documents", Document)
    return _drawn(documents, project)[:count]


def record_release(project: Project, *, approve: bool, who: str) -> Decision:
    """Keeps the verdict on exactly this set of de-identified documents."""
    now = standing(project)
    verdict = APPROVED if approve else REFUSED
    return decide(project, now.documents, verdict, who=who, why=f"{now.recall.read} of {now.recall.documents} read")


# --- decisions --------------------------------------------------------------------------------------------------


def decide(project: Project, subject: str, verdict: str, *, who: str, why: str = "") -> Decision:
    """Appends a person's decision."""
    return _append(project, subject, verdict, who=who, why=why)


def _append(
    project: Project,
    subject: str,
    verdict: str,
    *,
    who: str,
    why: str,
    failure: Failure | None = None,
    judged: Judged | None = None,
) -> Decision:
    if not who.strip():
        raise ProjectError("A decision needs a name.", fix="Give yours with --who.")
    if not who.isprintable():  # it is shown to others, in terminals too
        raise ProjectError("A name is one line of characters that can be printed.", fix="Give yours with --who.")
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    decision = Decision(
        id=record_id("v", subject=subject, who=who, when=when, verdict=verdict, why=why),
        subject=subject, who=who.strip(), when=when, verdict=verdict, why=why, failure=failure, judged=judged,
    )  # fmt: skip
    # Logged first: a kill in between leaves an entry without its decision, never a decision that the log does not know.
    note(project.studio, Event.DECIDED, subject=decision.id)
    project.workspace.ledger.decide(decision)
    return decision


def open_review(root: Path) -> Project:
    """The project in ``root``; said clearly where nothing has run yet."""
    project = Project.open(root)
    deidentified(project)
    return project


def _drawn(records: Sequence[Record], project: Project) -> list[Record]:
    ordered = sorted(records, key=lambda record: record.id)
    Random(project.settings.seed).shuffle(ordered)
    return ordered


def _item(prediction: Prediction, example: Example, texts: dict[str, str], labels: tuple[str, ...]) -> Item:
    document = example.parents[0]
    return Item(
        prediction.id, prediction.task, document, example.patient, texts[document], prediction.output, labels
    )  # fmt: skip


def _as_span(suspect: Suspect) -> Span:
    return Span(
        start=suspect.start, end=suspect.end, label=suspect.label, score=0.0, found_by=", ".join(suspect.methods)
    )


def _doubtful(document: str, span: Span, why: str, text: str) -> Doubtful:
    before, after = text[max(0, span.start - CONTEXT) : span.start], text[span.end : span.end + CONTEXT]
    return Doubtful(document, span, before, text[span.start : span.end], after, why)
