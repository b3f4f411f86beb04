"""Predict: one adapter answers one task about new texts, file to file.

In: a project that has run, one of its tasks, an adapter; a file with one object a line, ``id`` and ``text``, perhaps
``patient``. Out: the same objects in the same order with the answer, its confidence, the places of the text that bear
it out, whether a person should answer instead, and for a closed task the label set and all probabilities.

Covers: new raw text, curated in memory as the project's own was (or left as it is, where it comes curated); the loop's
own prompts, candidates and confidence map; texts that get no answer, each with its reason; going on after a kill.
Does not cover: serving; several tasks at once; text of a patient that is spread over several files.

``text`` becomes the text that the model read, and places are places of it: raw text is not written. What is answered
waits in the workspace until all is, so that the output appears whole or not at all and a kill loses one group.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from residency.curate.candidates import Ranker
from residency.curate.deidentify.surrogates import derived_pseudonym
from residency.curate.examples import Prompt, ask
from residency.curate.newcomers import Newcomers
from residency.curate.step import Tools
from residency.errors import ProjectError
from residency.evaluate.calibration.conformal import LabelSets
from residency.evaluate.calibration.maps import IDENTITY, ConfidenceMap
from residency.evaluate.calibration.selective import Abstention
from residency.evaluate.claims.evidence import evidence_of, mentions_for
from residency.evaluate.report.view import plain
from residency.evaluate.run import System
from residency.evaluate.run import predict as answers_of
from residency.file_to_file import Group, Options, batches, document_of, open_lines, patient_of
from residency.project import Project
from residency.records import Document, Dropped, Prediction, Split, TaskKind
from residency.run.progress import Progress
from residency.settings import fingerprint
from residency.store.files import file_sha256, locked
from residency.store.journal import Journal
from residency.store.jsonl import Index, ordered_lines, read_at
from residency.story import (
    CURATION_CODE,
    EVALUATION_CODE,
    Iteration,
    Untold,
    code_version,
    question_of,
    ranker,
    recall,
)
from residency.tasks import TaskSettings

TOGETHER = 8  # records asked about together; a kill loses at most these
ROUNDED = 6  # digits of a probability
# Keys that only an answer has: those of an earlier answer to the same record would be taken for this one's.
OF_AN_ANSWER = frozenset({"label_set", "probabilities", "not_borne_out"})


class Failure(StrEnum):
    """Why a record has no answer: the value of ``error``."""

    EMPTY = "empty"  # no text
    DROPPED = "dropped"  # curation would not have let it into the project
    TOO_LONG = "too_long"  # for the model's context
    UNREADABLE = "unreadable"  # the model's output follows no answer format


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the adapter's confidence is worth, as its evaluation found; ``note`` where nothing was found."""

    honest: ConfidenceMap = IDENTITY
    abstention: Abstention | None = None
    sets: LabelSets | None = None
    note: str = ""

    @property
    def calibrated(self) -> bool:
        return self.abstention is not None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Trusted:
        """From the facts of a run that scored the adapter."""
        sets = {**found["sets"], "band": tuple(found["sets"]["band"])}
        return cls(ConfidenceMap.of(found["map"]), Abstention(**found["abstention"]), LabelSets(**sets))

    def asks_a_person(self, confidence: float | None) -> tuple[bool | None, str]:
        """Whether a person should answer instead, and why; None where no threshold could be shown."""
        if self.abstention is None:
            return None, self.note
        if self.abstention.threshold is None:
            return None, f"no threshold: {self.abstention.note}"
        if self.abstention.answers(confidence):
            return False, ""
        threshold, risk = self.abstention.threshold, self.abstention.risk
        return True, f"confidence is below {threshold:.4g}, the threshold for at most {risk:.0%} wrong answers"


@dataclass(frozen=True, slots=True)
class Answered:
    """What one record gets beside its own keys; ``number`` is its place in the file."""

    number: int
    keys: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Predicted:
    """What became of a file."""

    records: int
    skipped: Sequence[str]  # lines that could not be read, and why
    failed: Mapping[str, int]  # records without an answer, by why
    abstained: int
    trusted: Trusted
    adapter: str
    found_before: int  # answers that an earlier, killed call had made


@dataclass
class Specialist:
    """An adapter that answers one task of a project."""

    iteration: Iteration
    task: TaskSettings
    curated: bool = False  # texts come de-identified and cleansed already
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))  # of pseudonyms that no vault knows

    @classmethod
    def of(cls, project: Project, task: str, *, adapter: str | None = None, curated: bool = False) -> Specialist:
        """ProjectError where the project has no such task, or has not run far enough."""
        names = [one.name for one in project.settings.tasks]
        if task not in names:
            raise ProjectError(f"--task {task}: the project has no such task.", fix=f"Use one of: {', '.join(names)}.")
        iteration = recall(project, adapter=adapter)
        if not iteration.labels or (adapter is None and "tune" not in iteration.runs):
            raise Untold(
                "tune: not run yet with these settings and inputs; there is no model to ask.",
                fix=f"Run: residency run --until tune --project {project.root}",
            )
        specialist = cls(iteration, iteration.project.task(task), curated)
        if specialist.project.settings.deidentify.policy.derives_codes:
            specialist.key = project.vault.surrogate_key
        return specialist

    @property
    def project(self) -> Project:
        return self.iteration.project

    @cached_property
    def trusted(self) -> Trusted:
        """The map, threshold and label sets of this adapter's own evaluation."""
        found = self.iteration.calibration.get(self.task.name)
        if found:
            return Trusted.of(found)
        if self.task.kind is not TaskKind.CLASSIFY:
            return Trusted(note=f"no threshold is fitted for {self.task.kind} tasks; confidence is the model's own")
        return Trusted(note="this adapter was not evaluated here: no threshold, and confidence is the model's own")

    @cached_property
    def newcomers(self) -> Newcomers:
        """The project's curation; of text that is curated already only the findings are read."""
        steps = self.project.settings.curate
        names: list[str] = [step.step for step in steps]
        before = dict(zip(names[1:], names, strict=False))
        tools = Tools(
            key=self.project.vault.surrogate_key, seed=self.project.settings.seed, pack=self.project.pack
        )  # fmt: skip
        chosen = [step for step in steps if not self.curated or step.step == "extract"]
        runs = self.iteration.runs
        return Newcomers.after(chosen, tools, lambda step: runs[before[step]].stream("documents", Document))

    @cached_property
    def ranker(self) -> Ranker | None:
        return ranker(self.iteration, self.task) if self.task.kind is TaskKind.CLASSIFY else None

    @cached_property
    def prompt(self) -> Prompt:
        return self.project.prompt(self.task)

    @property
    def identity(self) -> str:
        """Hash over everything that an answer depends on beside its record."""
        return fingerprint([
            self.task.model_dump(mode="json"),
            self.prompt.path.read_text(encoding="utf-8"),
            [step.model_dump(mode="json") for step in self.project.settings.curate],
            [self.project.pack.fingerprint(), self.iteration.data, self.iteration.labels[self.task.name]],
            [self.iteration.base_sha256, self.project.settings.template, self.iteration.adapter_sha256],
            [self.curated, plain(self.trusted), code_version(*CURATION_CODE, *EVALUATION_CODE)],
        ])  # fmt: skip

    def pseudonym(self, patient: str) -> str:
        """The vault's name for a patient that the project knows, so that their own training documents have no say."""
        if not patient or self.curated:
            return patient
        return self.project.vault.find(patient) or derived_pseudonym(self.key, patient)

    def curate(self, records: Sequence[Mapping[str, Any]], source: Path) -> list[Document | Dropped]:
        """One patient's records as documents of the project's form."""
        name = self.pseudonym(patient_of(records[0]))
        documents = [document_of(record, source, name) for record in records]
        return self.newcomers.curate(name or f"document:{documents[0].id}", documents)

    def answer(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """The keys of the answer to each document."""
        ranked = {document.id: self.ranker.rank(document) for document in documents} if self.ranker else {}
        question = question_of(self.iteration, self.task, ranked)
        asked = [ask(document, self.task, self.prompt, question, Split.TEST) for document in documents]
        groups = answers_of(
            self.iteration.tuned, System.TUNED, self.task, asked, self.iteration.labels[self.task.name],
            self.iteration.concept_of, group_size=len(asked),
        )  # fmt: skip
        by_id = {prediction.example: prediction for group in groups for prediction in group}
        return [self._keys(document, by_id[one.id]) for document, one in zip(documents, asked, strict=True)]

    def _keys(self, document: Document, raw: Prediction) -> dict[str, Any]:
        if not raw.scored:
            too_long = raw.confidence is None
            error = Failure.TOO_LONG if too_long else Failure.UNREADABLE
            why = "the text does not fit into the model's context" if too_long else "the output could not be read"
            return no_answer(error, why) | {"text": document.text, "output": raw.output or None}
        honest = self.trusted.honest.apply(raw)
        abstained, reason = self.trusted.asks_a_person(honest.confidence)
        return {
            "text": document.text,
            "output": raw.value,
            "confidence": _rounded(honest.confidence),
            "calibrated": self.trusted.calibrated,
            "abstained": abstained,
            "reason": reason,
            "error": None,
            **self._closed(honest, raw),
            **self._evidence(document, raw.value),
        }

    def _closed(self, honest: Prediction, raw: Prediction) -> dict[str, Any]:
        """What a closed task has beside its label. Label sets were fitted on the model's own probabilities."""
        if self.task.kind is not TaskKind.CLASSIFY:
            return {}
        likeliest = sorted(honest.probabilities.items(), key=lambda pair: (-pair[1], pair[0]))
        sets = self.trusted.sets
        return {
            "label_set": list(sets.labels(raw)) if sets else None,
            "probabilities": {label: _rounded(share) for label, share in likeliest},
        }

    def _evidence(self, document: Document, value: Any) -> dict[str, Any]:
        if self.ranker is not None:
            return {"evidence": mentions_for(document.findings, self.ranker.speaking_for(document, value))}
        if self.iteration.means is None:
            return {"evidence": []}
        evidence, left = evidence_of(self.task.kind, value, document.text, self.iteration.means)
        return {"evidence": plain(evidence), "not_borne_out": plain(left)}


def no_answer(error: Failure, reason: str) -> dict[str, Any]:
    """The keys of a record that gets no answer: a person is asked."""
    return {
        "output": None, "confidence": None, "calibrated": False, "abstained": True, "reason": reason,
        "error": error.value, "evidence": [],
    }  # fmt: skip


def predict_file(
    specialist: Specialist, source: Path, target: Path, progress: Progress, *, skip_bad: bool = False
) -> Predicted:
    """Answers every record of the file; an equal call that was killed is gone on with."""
    options = Options(pack=str(specialist.project.pack.folder), workers=1, skip_bad=skip_bad)
    specialist.project.refuse_output(target)
    # Cleansing mends half a character; a text that stays as it is must have none, for no tokenizer reads it.
    index = open_lines(source, options, target=target, check=_check_characters if specialist.curated else None)
    progress.begin("predict", len(index))
    scratch = _scratch(specialist, index)
    scratch.mkdir(parents=True, exist_ok=True)
    with locked(scratch / "lock", seconds=0, busy=f"{source}: another process is at work on these answers."):
        journal = Journal(scratch / "answers.jsonl", Answered)
        done = {one.number for one in journal.records()}
        progress.advance(len(done))
        for batch in batches(index, TOGETHER):
            for answered in _answer_batch(specialist, index, batch, done):
                journal.append(answered)
                progress.advance(len(answered))
        failed, abstained = _write(specialist, index, journal, target)
        shutil.rmtree(scratch)
    progress.end(f"{len(index)} records")
    return Predicted(
        records=len(index), skipped=index.problems, failed=failed, abstained=abstained, trusted=specialist.trusted,
        adapter=specialist.iteration.adapter.name, found_before=len(done),
    )  # fmt: skip


def _check_characters(record: Mapping[str, Any]) -> None:
    try:
        record["text"].encode()
    except UnicodeEncodeError:
        raise ValueError("text holds half a character") from None


def _scratch(specialist: Specialist, index: Index) -> Path:
    whole = fingerprint([specialist.identity, file_sha256(index.path), index.problems])
    return specialist.project.workspace.folder / "runs" / f"predict-{whole}"


def _answer_batch(
    specialist: Specialist, index: Index, batch: Sequence[Group], done: set[int]
) -> Iterator[list[Answered]]:
    """The answers of some patients' records, a few at a time. A patient's records are curated together, answered before
    or not."""
    waiting: list[tuple[int, Document]] = []
    none: list[Answered] = []
    for numbers, starts in batch:
        if done.issuperset(numbers):
            continue
        curated = specialist.curate(read_at(index.path, starts), index.path)
        for number, one in zip(numbers, curated, strict=True):
            if number in done:
                continue
            if isinstance(one, Dropped):
                none.append(Answered(number, {"text": "", **_not_curated(one)}))
            elif not one.text.strip():
                none.append(Answered(number, {"text": "", **no_answer(Failure.EMPTY, "there is no text")}))
            else:
                waiting.append((number, one))
    yield none
    for start in range(0, len(waiting), TOGETHER):
        group = waiting[start : start + TOGETHER]
        keys = specialist.answer([document for _, document in group])
        yield [Answered(number, its) for (number, _), its in zip(group, keys, strict=True)]


def _not_curated(dropped: Dropped) -> dict[str, Any]:
    if dropped.reason == "empty":
        return no_answer(Failure.EMPTY, "there is no text")
    detail = f" ({dropped.detail})" if dropped.detail else ""
    return no_answer(Failure.DROPPED, f"{dropped.step} takes it for no report: {dropped.reason}{detail}")


def _write(
    specialist: Specialist, index: Index, journal: Journal[Answered], target: Path
) -> tuple[dict[str, int], int]:
    """The whole output, in the order of the input; how many records have no answer, and how many a person should."""
    failed: Counter[str] = Counter()
    abstained = 0
    named = {"task": specialist.task.name, "adapter": specialist.iteration.adapter.name}
    with ordered_lines(target, len(index)) as lines:
        for one in journal.records():
            record = read_at(index.path, index.places([one.number]))[0]
            patient = patient_of(record)
            whose = {"patient": specialist.pseudonym(patient)} if patient else {}
            others = {key: value for key, value in record.items() if key not in OF_AN_ANSWER}
            lines.put(one.number, {**others, **whose, **one.keys, **named})
            failed.update([one.keys["error"]] if one.keys["error"] else [])
            abstained += one.keys["abstained"] is True
    return dict(failed.most_common()), abstained


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, ROUNDED)
