"""The overview: the loop as a picture, where this iteration is, and what waits for whom.

In: the ledger and the last report of the project. Out: stations of the loop, the gate's lines, iterations over time.

Covers: numbers and verdicts only, so that everyone with a role may see it. Does not cover: text of any document; the
report itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import cos, pi, sin
from pathlib import Path
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Request, Response

from residency.evaluate.report import JSON_NAME
from residency.project import Project
from residency.store.ledger import RunRow
from residency.store.roles import Permission, Role
from residency.web.desk import Desk
from residency.web.doors import Allowed, Visit
from residency.web.pages import Link, Page, render

router = APIRouter()
LINK = Link("Overview", "/overview", (Permission.SEE_OVERVIEW,))
CENTER, RADIUS = 180, 125  # of the picture, in its own units
ITERATIONS = 10  # shown, the newest


class State(StrEnum):
    """Where a station is, as people read it."""

    DONE = "done"
    NOW = "at work"
    WAITS = "waits for people"
    STOPPED = "stopped"
    LATER = "not yet"


@dataclass(frozen=True, slots=True)
class Station:
    """One station of the loop, at a place in the picture."""

    name: str
    state: State
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that does not go on without people."""

    what: str
    why: str
    who: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of the loop: an adapter that was trained."""

    adapter: str
    when: str
    minutes: float | None


@dataclass(frozen=True)
class OverviewPage(Page):
    """The loop. ``verdict`` is empty where the gate has not spoken yet."""

    template: ClassVar[str] = "overview.html.jinja"
    title: ClassVar[str] = "Overview"

    verdict: str
    iteration: str
    created: str
    stations: list[Station]
    waiting: list[Waiting]
    gate: list[dict[str, Any]]
    passes: list[Pass]


@router.get("/overview")
def show(request: Request, visit: Annotated[Visit, Allowed.to(*LINK.permissions)]) -> Response:
    desk: Desk = request.app.state.desk
    return render(request, overview(desk.project), visit)


def overview(project: Project) -> OverviewPage:
    """What is known of the project now."""
    report, runs = last_report(project.root), project.workspace.ledger.runs()
    lines: list[dict[str, Any]] = report.get("gate", [])
    return OverviewPage(
        verdict=report.get("verdict", ""),
        iteration=report.get("iteration", ""),
        created=report.get("created", "")[:16].replace("T", " "),
        stations=_stations(runs, lines),
        waiting=[_waiting(line) for line in lines if line["verdict"] != "GO"],
        gate=lines,
        passes=[_pass(run) for run in runs if run.stage == "tune" and run.state == "done"][-ITERATIONS:][::-1],
    )


def last_report(root: Path) -> dict[str, Any]:
    """The last report as data; empty where there is none that can be read."""
    file = root / JSON_NAME
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int) -> dict[str, Any]:
    """Kept until the file changes: a report is megabytes."""
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {name: report[name] for name in ("verdict", "iteration", "created", "gate") if name in report}


def _stations(runs: Sequence[RunRow], gate: Sequence[dict[str, Any]]) -> list[Station]:
    by_people = [line["verdict"] for line in gate if _by_people(line)]
    states = {
        "curate": _of(runs, "split", begins=("deidentify", "cleanse", "deduplicate", "extract", "split")),
        "tune": _of(runs, "tune", begins=("tune", "label_check", "decontaminate")),
        "evaluate": _of(runs, "score ", begins=("zero_shot ", "few_shot ", "tuned ", "baseline ", "score ")),
        "review": State.LATER if not gate else State.DONE if set(by_people) <= {"GO"} else State.WAITS,
        "gate": _gate(gate),
        "serve": State.LATER,
        "watch": State.LATER,
    }
    return [_placed(name, state, number, len(states)) for number, (name, state) in enumerate(states.items())]


def _of(runs: Sequence[RunRow], ends: str, *, begins: tuple[str, ...]) -> State:
    """The state of a station whose runs' stages start with one of ``begins``, the last of them with ``ends``."""
    mine = [run for run in runs if run.stage.startswith(begins)]
    if not mine:
        return State.LATER
    if mine[-1].state == "failed":
        return State.STOPPED
    done = any(run.stage.startswith(ends) and run.state == "done" for run in mine)
    return State.DONE if done and mine[-1].state == "done" else State.NOW


def _gate(lines: Sequence[dict[str, Any]]) -> State:
    verdicts = {line["verdict"] for line in lines}
    if not verdicts:
        return State.LATER
    return State.STOPPED if "NO-GO" in verdicts else State.WAITS if verdicts != {"GO"} else State.DONE


def _placed(name: str, state: State, number: int, count: int) -> Station:
    angle = 2 * pi * number / count - pi / 2
    return Station(name, state, round(CENTER + RADIUS * cos(angle)), round(CENTER + RADIUS * sin(angle)))


def _by_people(line: dict[str, Any]) -> bool:
    return "judged by an expert" in line["name"] or "released by people" in line["name"]


def _waiting(line: dict[str, Any]) -> Waiting:
    if "released by people" in line["name"]:
        who: tuple[Role, ...] = (Role.PRIVACY_OFFICER,)
    elif "judged by an expert" in line["name"]:
        who = (Role.REVIEWER,)
    else:
        who = (Role.DATA_STEWARD,)
    return Waiting(line["name"], line["reason"], who)


def _pass(run: RunRow) -> Pass:
    adapter = run.outputs.get("adapter", {}).get("hash", "")[:12]
    return Pass(adapter, run.started[:16].replace("T", " "), None if run.seconds is None else run.seconds / 60)
