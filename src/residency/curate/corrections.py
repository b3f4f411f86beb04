"""Corrections: what reviewers say that an answer should have been, as data for the next iteration.

In: a reviewer's text and its task; all decisions, the split, the documents. Out: the text in the task's answer format,
or what is wrong with it; the corrections that may be trained on, and how many may not, with the reason.

Covers: the closed label set, findings that the terminology knows, texts that are not empty; the latest word of each
reviewer; reviewers who contradict each other; patients of calibration and test. Does not cover: whether a correction is
right; identifiers that a reviewer types.

A corrected answer of a patient who is held out is never trained on, however good it is: answers are reviewed because
they are the ones that the report counts, and a test that has been taught is no test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from residency.errors import ProjectError, first_of
from residency.records import Decision, Document, Judgment, Split, TaskKind
from residency.tasks import NameToConcept, TaskSettings, gold_answer, read_output, write_answer

HELD_OUT = frozenset({Split.CALIBRATION, Split.TEST})
LABELS_NAMED = 10  # in one message


class Refused(StrEnum):
    """Why a correction is not trained on; the sentence that a person reads, after the number of them."""

    HELD_OUT = "of held-out patients"
    CONTRADICTORY = "on which reviewers disagree"
    GONE = "of documents that are not here any more"
    UNFIT = "that do not fit the task any more"


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What an answer should have been, and what the system had answered."""

    decision: str  # id
    who: str
    task: str
    document: str  # id
    patient: str
    rejected: str
    gold: Any  # the corrected answer as data
    answer: str  # as the model should write it


@dataclass(frozen=True, slots=True)
class Corrections:
    """What of all corrections may be trained on. ``usable`` is in the order in which they were given."""

    usable: tuple[Correction, ...]
    refused: Mapping[Refused, int]

    def notes(self) -> list[str]:
        """One line for every reason, e.g. "3 corrections of held-out patients are not trained on"."""
        return [f"{count} corrections {reason} are not trained on" for reason, count in sorted(self.refused.items())]

    def by_question(self) -> dict[tuple[str, str], Correction]:
        """The last correction of every task and document."""
        return {(one.task, one.document): one for one in self.usable}


def read_correction(
    task: TaskSettings, text: str, *, labels: Sequence[str], concept_of: NameToConcept, closed: bool
) -> Any:
    """A corrected answer as data; ProjectError says what is wrong with it. ``closed``: findings must be of the
    terminology."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ProjectError("The corrected answer holds half a character.", fix="Write it as UTF-8 text.") from None
    if not text.strip():
        raise ProjectError("The corrected answer is empty.", fix="Write what the answer should have been.")
    if not all(c.isprintable() or c in "\n\t" for c in text):  # it is shown to others, in terminals too
        raise ProjectError("The corrected answer holds control characters.", fix="Write plain text.")
    value = read_output(task, text, labels=labels, concept_of=concept_of)
    if task.kind is TaskKind.CLASSIFY and value is None:
        raise ProjectError(
            f"The corrected answer is no label of task {task.name}.",
            fix=f"Write one of: {first_of(labels, LABELS_NAMED)}.",
        )
    if task.kind is TaskKind.EXTRACT:
        _check_findings(value, closed)
        return value
    return gold_answer(task, value, place=task.name)  # white space as in the label file's answers


def _check_findings(value: Any, closed: bool) -> None:
    if value is None:
        raise ProjectError(
            "The corrected answer cannot be read as findings.",
            fix="Write one status a line, names separated by semicolons: 'present: Ataxia; Dysarthria', or 'none'.",
        )
    unknown = [number for number, finding in enumerate(value, 1) if not finding["concept"]]
    if closed and unknown:
        raise ProjectError(
            f"The terminology does not know finding {first_of([str(n) for n in unknown], LABELS_NAMED)} "
            "of the corrected answer.",
            fix="Write its preferred name, or a synonym.",
        )


def usable_corrections(
    decisions: Iterable[Decision],
    documents: Mapping[str, Document],
    split_of: Mapping[str, Split],
    read: Callable[[str, str], tuple[Any, str] | None],
) -> Corrections:
    """The corrections that training may have. ``documents`` by id, as they are now; ``read`` gives a task's name and a
    corrected text as data and as a model should write it, None where it does not fit."""
    usable: list[Correction] = []
    refused: Counter[Refused] = Counter()
    for (task, name), said in _last_words(decisions).items():
        document = documents.get(name)
        # Where the document is not here any more, the patient is the one that it was reviewed as.
        sides = {split_of.get(one.judged.patient) for one in said if one.judged}
        sides |= {split_of.get(document.patient)} if document else set()
        answers = {one.judged.corrected for one in said if one.judged}
        reading = read(task, min(answers))
        if sides & HELD_OUT:
            refused[Refused.HELD_OUT] += len(said)
        elif document is None or document.patient not in split_of:
            refused[Refused.GONE] += len(said)
        elif len(answers) > 1:
            refused[Refused.CONTRADICTORY] += len(said)
        elif reading is None:
            refused[Refused.UNFIT] += len(said)
        else:
            usable += (_correction(one, document.patient, *reading) for one in said)
    return Corrections(tuple(usable), dict(refused))


def _last_words(decisions: Iterable[Decision]) -> dict[tuple[str, str], list[Decision]]:
    """By task and document: the last correction of each reviewer, unless they called another answer correct since."""
    words: dict[tuple[str, str], dict[str, Decision]] = {}
    for decision in decisions:
        if decision.judged is None:
            continue
        said = words.setdefault((decision.judged.task, decision.judged.document), {})
        earlier = said.get(decision.who)
        if decision.judged.corrected:
            said.pop(decision.who, None)
            said[decision.who] = decision
        elif decision.verdict == Judgment.CORRECT and earlier and _other(earlier, decision.judged.answer):
            del said[decision.who]
    return {question: list(said.values()) for question, said in words.items() if said}


def _other(correction: Decision, answer: str) -> bool:
    return correction.judged is not None and correction.judged.corrected != answer


def _correction(decision: Decision, patient: str, gold: Any, answer: str) -> Correction:
    judged = decision.judged
    assert judged is not None  # held by _last_words
    return Correction(
        decision=decision.id,
        who=decision.who,
        task=judged.task,
        document=judged.document,
        patient=patient,
        rejected=judged.answer,
        gold=gold,
        answer=answer,
    )


def reader_of(
    tasks: Sequence[TaskSettings], labels: Mapping[str, Sequence[str]], concept_of: NameToConcept, *, closed: bool
) -> Callable[[str, str], tuple[Any, str] | None]:
    """Reads corrected texts of these tasks, for ``usable_corrections``."""
    known = {task.name: task for task in tasks}

    def read(name: str, text: str) -> tuple[Any, str] | None:
        task = known.get(name)
        if task is None:
            return None
        try:
            gold = read_correction(task, text, labels=labels.get(name, ()), concept_of=concept_of, closed=closed)
        except ProjectError:
            return None  # the labels, the terminology or the task are others than they were at the review
        return gold, write_answer(task, gold)

    return read
