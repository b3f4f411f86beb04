"""Forget: a patient is taken out of everything that a project holds.

In: a project, a patient's id or pseudonym. Out: what was removed, and every dataset and adapter that saw the patient.

Covers: the vault (the patient's key is destroyed, and with it every copy of the records), the artifacts of all runs,
scratch, reports; files of the inbox are named, and are not read again while they are still there. Does not cover:
deleting the files of the inbox and the row of the label file (they belong to whoever put them there); backups;
adapters: what a patient's text did to their weights cannot be taken out, so they are named, and the next run trains
without it.

Everything that runs made is deleted, not only the patient's rows: artifacts are named by their content, and answers and
scores are of all patients. The next run makes them anew; training too, if the patient was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from residency.errors import StoreError
from residency.evaluate.report import PAGES
from residency.intake import raw_documents_of
from residency.project import Project
from residency.records import Document
from residency.store.runs import Outcome
from residency.story import TRAINED


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
    records: int  # of the vault
    sources: tuple[str, ...]  # places of the inbox that still hold the patient's text
    datasets: tuple[Saw, ...]
    adapters: tuple[Saw, ...]


def forget_patient(project: Project, patient: str) -> ForgottenPatient:
    """Forgets a patient; the same call again cleans what a killed one left."""
    with project.workspace.alone():
        pseudonym = project.vault.find(patient)
        if pseudonym is None:
            raise StoreError(
                "The vault knows no such patient.",
                fix="Give the id as the label file has it, or the pseudonym (p-...) that `residency why` shows.",
            )
        sources = tuple(document.source.place for document in raw_documents_of(project.vault, pseudonym))
        runs = [Outcome(row, reused=True, workspace=project.workspace) for row in project.workspace.ledger.runs()]
        done = [run for run in runs if run.row.state == "done"]
        datasets = tuple(_datasets(done, pseudonym))
        adapters = tuple(
            Saw("adapter", run.hash("adapter"), run.row.finished or "")
            for run in done
            if pseudonym in run.facts.get(TRAINED, ())
        )
        forgotten = project.vault.forget(pseudonym)
        project.workspace.clear(keep=("tune",))
        for name in PAGES:
            (project.root / name).unlink(missing_ok=True)
    return ForgottenPatient(pseudonym, forgotten.records, sources, datasets, adapters)


def _datasets(runs: list[Outcome], pseudonym: str) -> Iterator[Saw]:
    for run in runs:
        output = run.row.outputs.get("documents")
        if output is None or not run.workspace.artifacts.holds(run.ref("documents")):
            continue
        stored = run.workspace.artifacts.read(run.ref("documents"), Document)
        if any(document.patient == pseudonym for document in stored):
            yield Saw(run.row.stage, run.hash("documents"), run.row.finished or "")
