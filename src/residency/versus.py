"""Versus: two systems or adapters of one project, on the same frozen cases.

In: a project that has run; two names: a system (``tuned``, ``few_shot``, ``linear``, ...), an adapter (its folder or
the first digits of its hash), or a run of the ledger (the first digits of its key). Out: for each task both values of
every metric, their difference with its interval, and a verdict.

Covers: which answers a name stands for; refusing answers to other cases. Does not cover: asking a model: what was not
answered on today's cases says so, and how to have it answered; critical errors and claims, which the gate judges.

The headline metric of a task was named before and is tested alone; all others are one family (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from residency.errors import EvaluationError, ProjectError, first_of
from residency.evaluate.assessment import Assess, against_other, headline_of
from residency.evaluate.report.view import plain
from residency.evaluate.run import System
from residency.project import Project
from residency.records import Example, Prediction, Split
from residency.settings import fingerprint
from residency.store.runs import Outcome
from residency.story import Iteration, measuring, named_adapter, questions, recall
from residency.tasks import TaskSettings

SHOWN = 6  # names in an error
DIGITS = 12  # of a hash, where it is shown


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who is compared, and what it answered, by task."""

    title: str
    answers: Mapping[str, Sequence[Prediction]]


def compare_systems(project: Project, first: str, second: str) -> dict[str, Any]:
    """The comparison of ``first`` with ``second``, as plain data: verdicts are about ``first``."""
    iteration = recall(project)
    ours, theirs = contestant(iteration, first), contestant(iteration, second)
    both = [task for task in project.settings.tasks if task.name in ours.answers and task.name in theirs.answers]
    if not both:
        raise EvaluationError(
            f"{first} and {second} answered no task both.", fix="Name two systems or adapters that did."
        )
    tasks = {task.name: _compared(iteration, task, ours, theirs) for task in both}
    return {"first": ours.title, "second": theirs.title, "tasks": plain(tasks)}


def contestant(iteration: Iteration, name: str) -> Contestant:
    """The answers that a name stands for; ProjectError where there are none."""
    systems = {system for system, _ in iteration.predictions}
    if name in systems:
        return Contestant(name, {task: its for (system, task), its in iteration.predictions.items() if system == name})
    run = _run_of(iteration, name)
    if run is not None:
        (task,) = {prediction.task for prediction in run}
        return Contestant(f"run {name}", {task: run})
    try:
        adapter = named_adapter(iteration, name)
    except ProjectError:
        raise ProjectError(
            f"{name}: no system, adapter or run of this project.",
            fix=f"Name a system ({first_of(sorted(systems), SHOWN) or 'none yet'}), an adapter by its folder or hash, "
            "or a run by its key.",
        ) from None
    answers = {
        task.name: its for task in iteration.project.settings.tasks if (its := _of(iteration, task, adapter.sha256))
    }
    if not answers:
        raise EvaluationError(
            f"{adapter.name} has answered nothing here.",
            fix=f"Run: residency evaluate --adapter {name} --project {iteration.project.root}",
        )
    return Contestant(adapter.name, answers)


def cases_of(examples: Sequence[Example]) -> str:
    """Hash over cases: their documents and gold answers."""
    return fingerprint(sorted(example.id for example in examples))


def _of(iteration: Iteration, task: TaskSettings, adapter: str) -> list[Prediction]:
    """The adapter's last answers to a task."""
    for run in _finished(iteration, f"{System.TUNED} {task.name}"):
        if run.row.identity.get("adapter") == adapter:
            return run.read("predictions", Prediction)
    return []


def _run_of(iteration: Iteration, key: str) -> list[Prediction] | None:
    """The answers of the one run whose key begins so; None where there is none."""
    tasks = [task.name for task in iteration.project.settings.tasks]
    stages = [f"{system} {task}" for task in tasks for system in System]
    runs = [run for stage in stages for run in _finished(iteration, stage)]
    digits = key.rpartition("-")[2] if " " in key else key
    found = [run for run in runs if digits and run.row.key.rpartition("-")[2].startswith(digits)]
    return found[0].read("predictions", Prediction) if len(found) == 1 else None


def _finished(iteration: Iteration, stage: str) -> list[Outcome]:
    """The finished runs of a stage whose answers are still there, the last one first."""
    workspace = iteration.project.workspace
    runs = [
        Outcome(row, reused=True, workspace=workspace) for row in workspace.ledger.runs(stage) if row.state == "done"
    ]
    return [run for run in reversed(runs) if workspace.artifacts.holds(run.ref("predictions"))]


def _compared(iteration: Iteration, task: TaskSettings, ours: Contestant, theirs: Contestant) -> dict[str, Any]:
    settings = iteration.project.settings
    test = questions(iteration, task, Split.TEST)
    calibration = {example.id for example in questions(iteration, task, Split.CALIBRATION)}
    sides = [_on_test(who, task.name, test, calibration) for who in (ours, theirs)]
    how = Assess(**measuring(iteration, task), margin=settings.evaluate.margin)
    found = against_other(test, sides[0], sides[1], headline_of(test, sides[0], how), how)
    other = found["metrics"]
    return {
        "cases": cases_of(test)[:DIGITS],
        "n": len(test),
        "patients": len({example.patient for example in test}),
        "verdict": found["verdict"],
        "sentence": found["sentence"],
        "comparisons": {
            name: {**one, "second": other[name]["value"], "first": other[name]["value"] + one["difference"]}
            for name, one in found["comparisons"].items()
            if name in other
        },
    }


def _on_test(who: Contestant, task: str, test: Sequence[Example], calibration: set[str]) -> list[Prediction]:
    """The answers to today's test cases; EvaluationError where these are not the cases that were answered."""
    answered = {
        prediction.example: prediction for prediction in who.answers[task] if prediction.example not in calibration
    }
    wanted = {example.id for example in test}
    if answered.keys() != wanted:
        was = fingerprint(sorted(answered))[:DIGITS]
        raise EvaluationError(
            f"{who.title} answered other cases of {task} ({was}, {len(answered)} cases) than today's test cases "
            f"({cases_of(test)[:DIGITS]}, {len(test)} cases, {len(wanted & answered.keys())} in common).",
            fix="Have it answer today's: residency evaluate --adapter ADAPTER",
        )
    return [answered[example.id] for example in test]
