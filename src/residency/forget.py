"""Forget: a patient is taken out of everything that a project holds.

In: a project, a patient's id or pseudonym. Out: what was removed, and every dataset and adapter that saw the patient.

Covers: the vault (the patient's key is destroyed, and with it every copy of the records), the artifacts of all runs,
scratch, reports, what reviewers wrote about the patient's answers; files of the inbox are named, and are not used again
while they are still there; the ledger keeps what saw the patient, so that the same call says it again. Does not cover:
deleting the files of the inbox and the row of the label file (they belong to whoever put them there; the files first:
without its row a file is a new patient's); backups; adapters: what a patient's text did to their weights cannot be
taken out, so they are named, and the next run trains without it.

Everything that runs made is deleted, not only the patient's rows: artifacts are named by their content, and answers and
scores are of all patients. The next run makes them anew; training too, if the patient was trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain

from residency.errors import ResidencyError, StoreError
from residency.evaluate.report import PAGES
from residency.intake import raw_documents_of
from residency.project import Project
from residency.records import Document
from residency.store.ledger import ForgottenRow
from residency.store.queues import Queues
from residency.store.runs import Outcome
from residency.story import TRAINED, raw_documents

DATASETS, ADAPTERS = "datasets", "adapters"  # what the ledger keeps of a forgotten patient


@dataclass(frozen=True, slots=True)
class Saw:
    """A dataset or adapter that was made with the patient's text."""

    what: str  # the stage that made it
    hash: str
    when: str


@dataclass(frozen=True, slots=True)
class ForgottenPatient:
    """What became of it."""

    pseudonym: str
    when: str  # it was first asked for; ISO 8601, UTC
    records: int  # of the vault; none where an earlier call had taken them
    sources: tuple[str, ...]  # places of the inbox that still hold the patient's text
    unread: str  # why there may be more of them; empty where the whole inbox was read
    datasets: tuple[Saw, ...]
    adapters: tuple[Saw, ...]


def forget_patient(project: Project, patient: str) -> ForgottenPatient:
    """Forgets a patient; the same call again cleans what a killed one left, and tells again what saw the patient."""
    with project.workspace.alone():
        pseudonym = project.vault.find(patient)
        if pseudonym is None:
            raise StoreError(
                "The vault knows no such patient.",
                fix="Give the id as the label file has it, or the pseudonym (p-...) that `residency why` shows.",
            )
        known = [document.source for document in raw_documents_of(project.vault, pseudonym)]
        noted = _note(project, pseudonym)
        forgotten = project.vault.forget(pseudonym)
        project.workspace.ledger.forget_judged(pseudonym)
        Queues(project.studio).forget(pseudonym)
        project.workspace.clear(keep=("tune",))
        for name in PAGES:
            (project.root / name).unlink(missing_ok=True)
        there = [source.place for source in known if (project.root / source.path).exists()]
        read, unread = _read_inbox(project, pseudonym)
    return ForgottenPatient(
        pseudonym=pseudonym,
        when=noted.when,
        records=forgotten.records,
        sources=tuple(dict.fromkeys((*there, *read))),
        unread=unread,
        datasets=_saw(noted, DATASETS),
        adapters=_saw(noted, ADAPTERS),
    )


def _note(project: Project, pseudonym: str) -> ForgottenRow:
    """Writes down what saw the patient, beside what an earlier call wrote: what runs made is deleted afterwards."""
    ledger = project.workspace.ledger
    earlier = ledger.forgotten_patient(pseudonym) or ForgottenRow(
        pseudonym, datetime.now(UTC).isoformat(timespec="seconds"), {}
    )
    runs = [Outcome(row, reused=True, workspace=project.workspace) for row in ledger.runs() if row.state == "done"]
    found = {DATASETS: _datasets(runs, pseudonym), ADAPTERS: _adapters(runs, pseudonym)}
    saw = {kind: [asdict(one) for one in dict.fromkeys((*_saw(earlier, kind), *now))] for kind, now in found.items()}
    noted = replace(earlier, saw=saw)
    ledger.note_forgotten(noted)
    return noted


def _saw(noted: ForgottenRow, kind: str) -> tuple[Saw, ...]:
    return tuple(Saw(**one) for one in noted.saw.get(kind, ()))


def _datasets(runs: list[Outcome], pseudonym: str) -> Iterator[Saw]:
    for run in runs:
        output = run.row.outputs.get("documents")
        if output is None or not run.workspace.artifacts.holds(run.ref("documents")):
            continue
        stored = run.workspace.artifacts.read(run.ref("documents"), Document)
        if any(document.patient == pseudonym for document in stored):
            yield Saw(run.row.stage, run.hash("documents"), run.row.finished or "")


def _adapters(runs: list[Outcome], pseudonym: str) -> Iterator[Saw]:
    for run in runs:
        if pseudonym in run.facts.get(TRAINED, ()):
            yield Saw("adapter", run.hash("adapter"), run.row.finished or "")


def _read_inbox(project: Project, pseudonym: str) -> tuple[list[str], str]:
    """The places of the inbox that are the patient's, and what stopped the reading, if anything did.

    The vault does not know them any more, nor what was put there since the last run.
    """
    places: defaultdict[str, list[str]] = defaultdict(list)  # by patient
    unread = ""
    try:
        for record in raw_documents(project):
            if isinstance(record, Document):
                places[record.patient].append(record.source.place)
    except ResidencyError as error:
        unread = error.message
    forgotten = project.vault.forgotten(places)
    mine = [places[patient] for patient in sorted(forgotten) if project.vault.find(patient) == pseudonym]
    return list(chain.from_iterable(mine)), unread
