"""The vault on the command line: its state, a new key, forgetting a patient.

In: a project. Out: numbers, never text.

Covers: rendering, asking before something is destroyed. Does not cover: doing it (store/vault.py, forget.py).
"""

from __future__ import annotations

import typer

from residency.cli.terminal import terminal
from residency.forget import Saw, forget_patient
from residency.project import Project, rotate_project_key

out = terminal()


def show_state(project: Project) -> None:
    """Counts, dates, and which key seals it."""
    state = project.vault.state()
    out.print(f"vault {state.id}, made {state.made}, sealed with the key {state.fingerprint}")
    out.print(f"last rotation: {state.rotated or 'never'}")
    out.print(f"{state.patients} patients, {state.forgotten} forgotten")
    for kind, count in state.records.items():
        out.print(f"  {count} records of the kind {kind}")


def rotate_key(project: Project) -> None:
    """A new key; the old one opens nothing any more."""
    count, next_step = rotate_project_key(project)
    out.print(f"{count} keys are sealed with the new project key; the old one opens nothing but old copies.")
    out.print(next_step or "Destroy backups of the old key file, and old copies of the vault are unreadable.")


def forget_one(project: Project, patient: str, *, ask: bool) -> None:
    """Asks, forgets, and names what saw the patient and what is left to do by hand."""
    if ask:
        typer.confirm(
            "The patient's key is destroyed and what runs made is deleted. There is no way back. Go on?", abort=True
        )
    done = forget_patient(project, patient)
    out.print(f"{done.pseudonym}: forgotten on {done.when}; {done.records} records of the vault were deleted now.")
    _saw("Datasets that held the patient (deleted):", done.datasets)
    _saw("Adapters that were trained on the patient (kept; withdraw them):", done.adapters)
    if done.sources:
        out.print("Still in the inbox; no run uses them, but delete them, and then the row of the label file:")
        for place in done.sources:
            out.print(f"  {place}")
    if done.unread:
        out.print(f"There may be more: the inbox could not be read to its end. {done.unread}")
    out.print("Copies in backups stay readable until the key is rotated: residency vault rotate")
    out.print(f"Next: residency run --project {project.root}")


def _saw(title: str, saw: tuple[Saw, ...]) -> None:
    out.print(title if saw else f"{title} none.")
    for one in saw:
        out.print(f"  {one.what} {one.hash[:16]}  {one.when}")
