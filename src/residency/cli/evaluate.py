"""Scoring on the command line: files in, one JSON object or tables out; planning a study.

In: what the command was given. Out: JSON, tables.

Covers: rendering. Does not cover: doing it (scoring.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from residency.cli.files import out, write_figures
from residency.errors import ProjectError
from residency.evaluate.assessment import Assess
from residency.evaluate.power import Assumptions, Plan, plan_study
from residency.evaluate.report.view import plain
from residency.records import TaskKind
from residency.scoring import Scoring, plan_from, score_files
from residency.settings import explain
from residency.store.files import refuse_input

EXAMPLE = "For example: residency evaluate --cases CASES.jsonl --predictions OUT.jsonl --task classify --json"
Files = tuple[Path | None, Path | None, str | None, Path | None]  # cases, predictions, task, against


def score_one_file(files: Files, how: Assess, more: Mapping[str, Any], *, as_json: bool, output: Path | None) -> None:
    """Prints the assessment; writes it where ``output`` is given. ``more``: other fields of ``Scoring``."""
    cases, predictions, task, against = files
    if cases is None or predictions is None or task is None:
        raise ProjectError("evaluate needs --cases, --predictions and --task.", fix=EXAMPLE)
    asked = Scoring(cases=cases, predictions=predictions, kind=TaskKind(task), against=against, how=how, **more)
    if output is not None:
        refuse_input(output, (cases, predictions, against, asked.critical, asked.judge))
    found = score_files(asked)
    write_figures(found, output)
    if as_json:
        print_json(found)
    else:
        _show(found)


def judge_adapter(project: Path, adapter: str) -> int:
    """Asks an adapter of the project today's questions and holds it to the policy; gives the exit status."""
    from residency.cli.progress import bars
    from residency.cli.render import show_iteration
    from residency.story import run_project

    with bars() as progress:
        iteration = run_project(project, progress, adapter=adapter)
    return show_iteration(iteration)


def plan_cases(files: Files, assumed: Sequence[str], how: Assess, *, as_json: bool, output: Path | None) -> None:
    """Prints how many cases each question needs; what is not assumed is measured on the files, if there are any."""
    given = _numbers(assumed)
    cases, predictions, task, against = files
    if output is not None:
        refuse_input(output, (cases, predictions, against))
    try:
        if cases is not None and predictions is not None and task is not None:
            asked = Scoring(cases=cases, predictions=predictions, kind=TaskKind(task), against=against, how=how)
            plan = plan_from(asked, given)
        else:
            plan = plan_study(Assumptions.model_validate(given))
    except ValidationError as error:
        known = ", ".join(Assumptions.model_fields)
        raise ProjectError(
            f"--assume: {'; '.join(explain(error))}.", fix=f"Write NAME=VALUE with a name of {known}."
        ) from None
    except (OverflowError, ZeroDivisionError):
        raise ProjectError("--assume: no count of cases is so large.", fix="Assume numbers nearer to 1.") from None
    found = plain({**plain(plan), "assumptions": plan.assumptions.model_dump()})
    write_figures(found, output)
    if as_json:
        print_json(found)
    else:
        _show_plan(plan)


def _numbers(assumed: Sequence[str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, _, value in (one.partition("=") for one in assumed)}
    except ValueError:
        raise ProjectError("--assume: not written as NAME=VALUE.", fix="For example: --assume margin=0.03") from None


def print_json(found: Mapping[str, Any]) -> None:
    print(json.dumps(found, indent=1, allow_nan=False))


def _show(found: Mapping[str, Any]) -> None:
    """The verdict first, then what it rests on."""
    against = found.get("against")
    if against:
        out.print(f"[bold]{escape(against['sentence'])}[/bold]")
    other = against["metrics"] if against else {}
    table = Table("metric", "value (95 %)", *(["the other", "difference", "verdict"] if against else []))
    for name, one in found["metrics"].items():
        title = escape(one["title"]) + (" (surface similarity)" if one["surface_similarity"] else "")
        compared = (against or {}).get("comparisons", {}).get(name)
        table.add_row(title, cell(one), *([cell(other.get(name)), *gap(compared)] if against else []))
    out.print(table)
    out.print(f"{found['n']:,} cases of {found['patients']:,} patients, {found['unscored']:,} outputs not readable.")
    _show_confidence(found["confidence"])
    worst = found["slices"]["worst"]
    if worst:
        shown = cell({**worst, "value": worst["measured"]})
        out.print(f"Worst slice: {escape(worst['slice'])} = {escape(worst['value'])}, {shown}, {worst['n']} cases.")
    for note in found["notes"]:
        out.print(f"[yellow]{escape(note)}[/yellow]")


def _show_confidence(found: Mapping[str, Any] | None) -> None:
    if not found:
        return
    for when in ("before", "after"):
        judged = found[when]
        if judged:
            band = f"honest confidences: up to {judged['null_band'][1]:.3f}"
            out.print(f"Confidence, {when} calibration: {judged['honesty']}, ECE {judged['ece']:.3f} ({band}).")
    chosen = (found.get("abstention") or {}).get("chosen")
    if chosen and chosen["threshold"] is not None:
        coverage = found["abstention"]["coverage"]
        out.print(f"Ask a person below {chosen['threshold']:.3f}: {coverage:.0%} are answered.")
    elif chosen:
        out.print(f"Ask a person every time: {escape(chosen['note'])}.")


def _show_plan(plan: Plan) -> None:
    table = Table("to", "cases", "patients")
    for need in plan.needs.values():
        cells = [f"{count:,}" if count is not None else "no number would do" for count in (need.cases, need.patients)]
        table.add_row(need.question, *cells)
    out.print(table)
    used = ", ".join(f"{name} {value:.3g}" for name, value in plan.assumptions.model_dump().items())
    out.print(f"Assumed: {used}; design effect {plan.design_effect:.2f}.")


def cell(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    interval = f" ({one['low']:.3f} to {one['high']:.3f})" if one["low"] is not None else ""
    return f"{one['value']:.3f}{interval}"


def gap(one: Mapping[str, Any] | None) -> tuple[str, str]:
    if one is None or one["difference"] is None:  # not defined for one of the two
        return "-", ""
    interval = f" ({one['low']:+.3f} to {one['high']:+.3f})" if one["low"] is not None else ""
    return f"{one['difference']:+.3f}{interval}", one["verdict"] or "no verdict"
