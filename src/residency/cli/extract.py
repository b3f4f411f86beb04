"""Finding extraction on the command line: a file, or an evaluation.

In: what the command was given. Out: files, tables.

Covers: rendering. Does not cover: doing it (file_to_file.py).
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from residency.cli.files import out, show_left_out, write_figures
from residency.cli.progress import bars
from residency.errors import ProjectError
from residency.file_to_file import Options, evaluate_extracted, extract_file


def extract_one_file(source: Path | None, output: Path | None, options: Options) -> None:
    """Writes the file with its findings and says how many of which status."""
    if source is None or output is None:
        raise ProjectError(
            "extract needs a file and a place to write to.", fix="For example: residency extract IN.jsonl -o OUT.jsonl"
        )
    with bars() as progress:
        done = extract_file(source, output, options, progress)
    counts = ", ".join(f"{count:,} {status}" for status, count in done.findings.items()) or "none"
    out.print(f"{output}: {done.records:,} records; findings: {counts}.")
    show_left_out(done.skipped)


def evaluate_one_file(source: Path, output: Path | None, options: Options) -> None:
    """Prints precision, recall and F1; writes all figures as JSON where ``output`` is given."""
    with bars() as progress:
        scored = evaluate_extracted(source, options, progress, target=output)
    table = Table("findings", "precision", "recall", "F1 (95 %)")
    for unit, (precision, recall, f1, (low, high)) in scored.units.items():
        table.add_row(unit.value, f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f} ({low:.3f} to {high:.3f})")
    out.print(table)
    if scored.status is not None:
        out.print(f"Status right: {scored.status:.3f} of {scored.status_of:,} mentions found.")
    out.print(f"{scored.texts:,} texts. Intervals: bootstrap over texts.")
    write_figures(scored.plain(), output)
