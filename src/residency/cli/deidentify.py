"""De-identification on the command line: a file, a project's inbox, or an evaluation.

In: what the command was given. Out: files, tables.

Covers: rendering, turning options into settings. Does not cover: doing it (file_to_file.py, story.py).
"""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import ValidationError
from rich.table import Table

from residency.cli.files import out, show_left_out, write_figures
from residency.cli.progress import bars
from residency.curate.deidentify import Deidentify, Evaluation, Mode
from residency.curate.deidentify.evaluation import ALL, Level, Row
from residency.curate.deidentify.labels import Identifier
from residency.errors import ProjectError
from residency.file_to_file import Options, deidentify_file, evaluate_deidentified, policy_from
from residency.settings import explain


def step(policy: str, mode: str, *, organizations: bool, entities: bool) -> Deidentify:
    """The options of the command as settings."""
    rules = policy_from(policy)
    try:
        return Deidentify(policy=rules, mode=Mode(mode), organizations=organizations, entities=entities)
    except ValidationError as error:
        problems = explain(error, values=False)
        raise ProjectError(f"--policy {policy}: {'; '.join(problems)}.", fix="Correct it.", problems=problems) from None


def deidentify_one_file(source: Path, output: Path | None, settings: Deidentify, options: Options) -> None:
    """Writes the de-identified file and says what was replaced, and what was not looked at."""
    if output is None:
        raise ProjectError("There is no place to write to.", fix=f"Add -o OUT.jsonl: what {source} becomes.")
    with bars() as progress:
        done = deidentify_file(source, output, settings, options, progress)
    table = Table("identifiers found", "count")
    for label, count in done.replaced.items():
        table.add_row(label, str(count))
    out.print(table)
    out.print(f"{output}: {done.records} records, policy {settings.policy.name}, mode {settings.mode}.")
    show_left_out(done.skipped)
    passed = ", ".join(["id", *done.untouched_keys])
    out.print(f"Not looked at, passed through as they were: {passed}.", style="yellow", end=" ")
    out.print("See that no name is in them.")
    out.print(f"Surrogates are keyed with {done.key_file}, or $RESIDENCY_KEY where it is set: keep it secret.")
    out.print("How well were they found? Measure it: residency deidentify --evaluate GOLD.jsonl")


def evaluate_one_file(source: Path, output: Path | None, settings: Deidentify, options: Options) -> None:
    """Prints recall and precision by class on every level; writes all figures as JSON where ``output`` is given."""
    with bars() as progress:
        evaluation = evaluate_deidentified(source, settings, options, progress, target=output)
    whole = evaluation.row()
    out.print(
        f"{whole.recall:.1%} of the characters of known identifiers were found, {1 - whole.recall:.1%} missed; "
        f"{whole.precision:.1%} of what was found is one."
    )
    unknown = [label for label in evaluation.labels if label != ALL and label not in set(Identifier)]
    if unknown:
        out.print(f"Classes that are not ours: {', '.join(unknown)}.", style="yellow", end=" ")
        out.print(f"Ours: {', '.join(Identifier)}.")
    for level in Level:
        out.print(_scores(evaluation, level))
    if evaluation.findings:
        share = evaluation.findings_altered / evaluation.findings
        out.print(f"Clinical findings altered: {evaluation.findings_altered} of {evaluation.findings} ({share:.2%}).")
    if evaluation.missed:
        out.print(
            f"{len(evaluation.missed)} identifiers were missed, in whole or in part. The file of -o lists them by "
            "record, place and shape, without their text."
        )
    out.print("Recall: found under any class. Intervals: Wilson, 95 %, by spans.")
    write_figures(evaluation.plain(), output)


def deidentify_project(folder: Path) -> None:
    """The first stage of a project's loop."""
    from residency.story import run_project

    with bars() as progress:
        run_project(folder, progress, until="deidentify")
    out.print(f"Next: residency review --deidentified --who NAME --project {folder}")


def _scores(evaluation: Evaluation, level: Level) -> Table:
    table = Table(f"by {level}", "known", "found", "recall", "precision", "F1", "F2", "right class")
    for label in evaluation.labels:
        row = evaluation.row(label, level)
        table.add_row(
            label, str(row.spans), str(row.found_spans),
            _share(row.recall, row.recall_interval), _share(row.precision, row.precision_interval),
            _f(row, 1), _f(row, 2), _share(row.recall_with_label),
        )  # fmt: skip
    return table


def _share(value: float, interval: tuple[float, float] | None = None) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _f(row: Row, beta: float) -> str:
    return "-" if math.isnan(row.recall) or math.isnan(row.precision) else f"{row.f(beta):.3f}"
