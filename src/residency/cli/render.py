"""What a person reads on the terminal.

In: results of the story. Out: lines and tables; functions that end a command return its exit status.

Covers: rendering. Does not cover: deciding; every word about a result comes from the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from residency.cli.terminal import terminal
from residency.datacard import LACKING_SHOWN, DataCard
from residency.errors import GateRefused, ProjectError, ResidencyError
from residency.evaluate.gate import EXIT_STATUS, GateVerdict
from residency.exchange import Imported
from residency.folder import Checked, NewProject
from residency.models.catalogue import Catalogue
from residency.story import Iteration
from residency.trace import Trace

out = terminal()
err = terminal(stderr=True)
MARKS = {"GO": "green", "NO-GO": "red", "INCONCLUSIVE": "yellow"}


def show_error(error: ResidencyError) -> None:
    """One sentence, the problems, and the fix."""
    err.print(error.message, style="red")
    for problem in error.problems if isinstance(error, ProjectError) else ():
        err.print(f"  - {problem}")
    err.print(error.fix)


def exit_status(error: ResidencyError) -> int:
    """2 for a mistake; where a gate refused, what the gate's verdict stands for."""
    return EXIT_STATUS[GateVerdict(error.verdict)] if isinstance(error, GateRefused) else 2


def show_new_project(made: NewProject) -> None:
    if made.existed:
        out.print(f"{made.folder} is a project already; it stays as it is.")
        return
    out.print(f"Made {made.folder}" + (f" with the demo reports of the pack {made.demo}." if made.demo else "."))
    out.print(f"Next: residency check --project {made.folder}, then: residency run --project {made.folder}")


def show_check(found: list[Checked]) -> int:
    """0 where all is well, else 2."""
    for one in found:
        mark = ("✗", "red") if one.problems else ("✓", "green")
        out.print(Text.assemble(mark, f" {one.title:<20} {one.detail}"))
        for problem in one.problems:
            out.print(f"    {problem}")
        if one.problems:
            out.print(f"    {one.fix}")
    return 2 if any(one.problems for one in found) else 0


def show_iteration(iteration: Iteration) -> int:
    """The verdict, the headline numbers, and the way to the report."""
    if iteration.verdict is None or iteration.pages is None:
        return 0
    verdict = iteration.verdict.verdict.value
    out.print()
    out.print(_headlines(iteration))
    out.print(f"\n{verdict}", style=f"bold {MARKS[verdict]}")
    for line in iteration.verdict.lines:
        out.print(f"  {line.verdict.value:<13} {line.title}: {line.reason}")
    steps = dict.fromkeys(line.next_step for line in iteration.verdict.lines if line.next_step)
    for step in steps:
        out.print(f"  Next: {step}")
    out.print(f"\nThe whole report: {iteration.pages[1]}")
    return EXIT_STATUS[iteration.verdict.verdict]


def _headlines(iteration: Iteration) -> Table:
    from residency.account import HEADLINE, SYSTEMS

    table = Table("held-out patients", *(f"{t.name}: {HEADLINE[t.kind]}" for t in iteration.project.settings.tasks))
    value = {(score.system, score.task, score.metric): score for score in iteration.scores}
    for system in dict.fromkeys(system for system, _ in iteration.predictions):
        cells = [value.get((system, t.name, HEADLINE[t.kind])) for t in iteration.project.settings.tasks]
        table.add_row(SYSTEMS.get(system, (system,))[0], *map(_cell, cells))
    return table


def _cell(score: Any) -> str:
    if score is None:
        return "-"
    interval = f" ({score.low:.2f} to {score.high:.2f})" if score.low is not None else ""
    return f"{score.value:.2f}{interval}"


def show_trace(trace: Trace) -> None:
    """From the answer back to the file."""
    for prediction in trace.predictions:
        sure = f", confidence {prediction.confidence:.2f}" if prediction.confidence is not None else ""
        out.print(Text.assemble((prediction.id, "bold"), f"  {prediction.system} on {prediction.task}{sure}"))
        out.print(f"  answered: {prediction.output}")
    if trace.example is not None:
        out.print(f"example {trace.example.id} ({trace.split})")
        out.print(f"  gold:     {trace.example.answer}")
    document = trace.document
    out.print(f"document {document.id}, report {document.key}, patient {document.patient}")
    for step, what in trace.steps:
        out.print(f"  {step:<12} {what}")
    out.print(f"source   {trace.source.place}  sha256 {trace.source.sha256[:16]}")
    if trace.adapter:
        out.print(f"adapter  {trace.adapter[:16]}")
    if trace.nearest:
        table = Table("closest training examples", "report", "source", "findings shared", "gold")
        for near in trace.nearest:
            table.add_row(near.example, near.key, near.source, str(near.shared), str(near.gold)[:60])
        out.print(table)


def show_data(card: DataCard, page: Path) -> None:
    """The answer first; then the classes that lack most."""
    out.print(card.verdict)
    out.print(f"{card.documents:,} documents of {card.patients:,} patients.")
    for task in card.tasks:
        sides = ", ".join(f"{count:,} {side}" for side, count in task.examples.items())
        out.print(f"{task.task}: {sides}")
        lacking = [one for one in task.classes if one.lacks]
        if lacking:
            table = Table("class", "patients", "training examples", "lacks")
            for one in lacking[:LACKING_SHOWN]:
                table.add_row(one.label, str(one.patients), str(one.examples), str(one.lacks))
            out.print(table)
            if len(lacking) > LACKING_SHOWN:
                out.print(f"and {len(lacking) - LACKING_SHOWN} classes more")
    out.print(f"The whole card: {page}")


def show_exported(target: Path, count: int, config: Path) -> None:
    out.print(f"{target}: {count} tasks, de-identified text. {config}: the labelling configuration.")


def show_imported(done: Imported) -> None:
    who = f"{len(done.annotators)} annotators" if len(done.annotators) != 1 else "1 annotator"
    out.print(f"{done.file}: {done.annotations} annotations by {who}.")
    for task, alpha in done.agreement.items():
        shown = "not measured: no two annotators on one document" if alpha is None else f"{alpha:.2f}"
        out.print(f"{task}: agreement (Krippendorff's alpha) {shown}")


def show_models(catalogue: Catalogue) -> None:
    table = Table("base", "licence", "layers x width", "context", "chat template", "own recipe defaults", "comes from")
    for entry in catalogue.bases:
        size = f"{entry.shape.layers} x {entry.shape.hidden}"
        recipe = ", ".join(f"{name} {default.value}" for name, default in entry.recipe.items()) or "-"
        table.add_row(
            entry.name, entry.licence, size, str(entry.shape.context), entry.template, recipe, entry.origin
        )  # fmt: skip
    out.print(table)
