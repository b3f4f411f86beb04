"""Tuning on the command line: what the model sees, a sweep, preferences.

In: what the command was given. Out: colored samples, tables.

Covers: rendering; without colors the headings still say what is learned. Does not cover: doing it (rehearsal.py,
preferences.py).
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from residency.cli.files import out
from residency.cli.progress import bars
from residency.preferences import teach_preferences
from residency.rehearsal import see_samples, sweep_rates
from residency.tune.show import Piece

READ, LEARNED, SPECIAL = ("", "underline"), ("bold green", "bold green underline"), "reverse"


def show_samples(project: Path, count: int) -> None:
    """Prints samples token by token; what is learned is green, special tokens stand in reverse."""
    with bars() as progress:
        sight = see_samples(project, count, progress)
    out.print(f"\n{sight.base}, licence {sight.licence}: {sight.counts}")
    out.print(
        "Every other token is underlined, learned ones are green, special ones stand in reverse; ↵ is a line break."
    )
    for shown in sight.shown:
        sample = shown.sample
        cut = f", {sample.cut} tokens of the question cut" if sample.cut else ""
        wrong = ", against the chat template" if sample.mismatched else ""
        out.print()
        tokens = f"{len(sample.ids)} tokens, {sample.supervised} learned"
        out.rule(Text(f"{sample.example}, task {sample.task}, {tokens}{cut}{wrong}"))
        for title, learned in (("read, not learned", False), ("learned", True)):
            pieces = [piece for piece in shown.pieces if piece.learned is learned]
            out.print(f"{title}:", style="dim")
            out.print(Text.assemble(*(_styled(piece, number) for number, piece in enumerate(pieces))))


def _styled(piece: Piece, number: int) -> tuple[str, str]:
    style = (LEARNED if piece.learned else READ)[number % 2]
    return piece.text, f"{style} {SPECIAL}".strip() if piece.special else style


def show_sweep(project: Path) -> None:
    """Prints the table of short runs and the line to put into the project file."""
    with bars() as progress:
        found = sweep_rates(project, progress)
    tasks = sorted({task for trial in found.trials for task in trial.by_task})
    table = Table("learning rate", "steps", "training loss", "validation loss", *tasks)
    for trial in found.trials:
        validation = "ran away" if trial.validation is None else f"{trial.validation:.3f}"
        by_task = (f"{trial.by_task[task]:.3f}" if task in trial.by_task else "-" for task in tasks)
        style = "bold" if trial.rate == found.proposed else ""
        table.add_row(f"{trial.rate:g}", str(trial.steps), f"{trial.loss:.3f}", validation, *by_task, style=style)
    out.print(table)
    out.print(f"The project's learning rate is {found.now:g} (from: {found.now_from}). Losses are nats a token.")
    if found.proposed is None:
        out.print("The loss ran away at every rate: look at the samples first, with residency tune --show 3.")
        return
    out.print("Proposed for residency.yaml:\n")
    out.print(f"recipe:\n  learning_rate: {found.proposed:g}")


def teach(project: Path, target: Path, *, file: Path | None, corrections: bool, adapter: Path | None) -> None:
    """Teaches preference pairs and prints what the pairs of other patients say of it."""
    with bars() as progress:
        taught = teach_preferences(
            project, progress, target, file=file, corrections=corrections, adapter=adapter
        )  # fmt: skip
    learned = taught.adapter.card.preferences
    assert learned is not None  # that is what was taught
    table = Table("step", "training loss", "judging loss", "margin", "accuracy")
    for point in learned.curve:
        loss = "" if point.loss is None else f"{point.loss:.3f}"
        accuracy = f"{point.accuracy:.0%}" if point.step else ""  # before the first step every margin is zero
        style = "bold" if point.step == learned.best_step else ""
        table.add_row(str(point.step), loss, f"{point.judged:.3f}", f"{point.margin:.3f}", accuracy, style=style)
    out.print(table)
    out.print(f"{learned.pairs} pairs trained on; judged by {learned.judging} of other patients. Rewards are nats.")
    if not learned.helped:
        out.print(
            "Nothing was learned that holds for pairs of other patients: keep the adapter that you have.",
            style="yellow",
        )
    out.print(f"{taught.adapter.name} from a-{learned.parent_sha256[:12]}: {taught.adapter.folder}")
