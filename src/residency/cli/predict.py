"""Predicting on the command line: new texts in, answers out.

In: what the command was given. Out: a file, and what to know about it.

Covers: rendering. Does not cover: doing it (predict.py).
"""

from __future__ import annotations

from pathlib import Path

from residency.cli.files import out, show_left_out
from residency.cli.progress import bars
from residency.predict import Predicted, Specialist, predict_file
from residency.project import Project


def predict_one_file(
    project: Path, source: Path, output: Path, task: str, *, adapter: str | None, curated: bool, skip_bad: bool
) -> None:
    """Writes the answers and says how far they can be trusted."""
    specialist = Specialist.of(Project.open(project), task, adapter=adapter, curated=curated)
    with bars() as progress:
        done = predict_file(specialist, source, output, progress, skip_bad=skip_bad)
    out.print(f"{output}: {done.records} records, task {task}, adapter {done.adapter}.")
    if done.found_before:
        out.print(f"{done.found_before} of them were answered before this command was stopped.")
    show_left_out(done.skipped)
    for error, count in done.failed.items():
        out.print(f"No answer: {count}, {error}; each line says why.", style="yellow")
    _show_trust(done)
    if not curated:
        out.print("text is what the model read: de-identified and cleansed; evidence lies on it, not on your file's.")


def _show_trust(done: Predicted) -> None:
    abstention = done.trusted.abstention
    if abstention is None:
        out.print(f"Nobody is told when to ask a person: {done.trusted.note}.", style="yellow")
    elif abstention.threshold is None:
        out.print(f"Ask a person every time: {abstention.note}.", style="yellow")
    else:
        out.print(f"Ask a person about {done.abstained}: at most {abstention.risk:.0%} of the others should be wrong.")
