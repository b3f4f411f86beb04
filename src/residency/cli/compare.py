"""Comparing two systems on the command line.

In: what the command was given. Out: JSON, or a table for each task.

Covers: rendering. Does not cover: doing it (versus.py).
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from residency.cli.evaluate import gap, print_json
from residency.cli.files import out, write_figures
from residency.evaluate.metrics import metric_of
from residency.project import Project
from residency.versus import compare_systems


def compare_two(project: Path, first: str, second: str, *, as_json: bool, output: Path | None) -> None:
    """Prints the comparison; writes it where ``output`` is given."""
    opened = Project.open(project)
    if output is not None:
        opened.refuse_output(output)
    found = compare_systems(opened, first, second)
    write_figures(found, output)
    if as_json:
        print_json(found)
        return
    for name, task in found["tasks"].items():
        out.print(f"{name}: {task['sentence']}", style="bold")
        table = Table("metric", found["first"], found["second"], "difference (95 %)")
        table.add_column("verdict", no_wrap=True)
        for metric, one in task["comparisons"].items():
            if one["verdict"] is not None:  # surface similarity decides nothing; it is in the JSON
                both = (_number(one["first"]), _number(one["second"]))
                table.add_row(metric_of(metric).title, *both, *gap(one))
        out.print(table)
        out.print(f"{task['n']:,} cases of {task['patients']:,} patients, cases {task['cases']}.\n")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
