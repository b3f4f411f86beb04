"""Time to the same held-out score: our engine, TRL with PEFT, and full fine-tuning in both.

In: a project. Training examples of its training patients; a score of examples of other patients. Out: a table
(standard output), a JSON file and a picture of the curves.

The systems of tune.py, each in its own process, a step of each in turn, from the same first weights over the same
batches in the same order. After every few steps, outside of the time that counts, each system's weights are put on a
twin of the base, and one evaluator, the same for all, reads the held-out examples: nats a token, mean over the tasks,
and the share of answers that greedy decoding would write exactly. Learning rates fall along a cosine. A step counts
with its tokens and the median cost of a token in its run: on a virtual machine whose host takes memory back, single
steps take ten times as long as others of the same work.

Covers: what a run ends with, and when. Does not cover: memory (tune.py). Learning rates are chosen with
`--patients validation` and reported on the test patients, which is the default.

    python bench/curves.py PROJECT [--batches 12] [--runs ours,trl-lora] [--rate ours-full=1e-4] [--json curves.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tune import BATCH, SEED, SYSTEMS, Pace, System, Turns, in_turn, train

EVERY = 4  # steps between two looks at the held-out examples


@dataclass(frozen=True)
class Run:
    """A system, its learning rate's peak, and for how long it trains."""

    system: str
    rate: float
    epochs: int = 3


# Rates: the best of those tried on validation patients (docs/benchmarks.md). What costs little may train longer.
RUNS = {
    "ours": Run("ours-bf16", 2e-3),
    "ours-fast": Run("ours-bf16-fast", 3e-3, epochs=6),
    "ours-full": Run("ours-full-bf16", 1e-4),
    "trl-lora": Run("trl-lora-bf16", 2e-3),
    "trl-full": Run("trl-full-bf16", 1e-4),
}
COLORS = {"ours": "C0", "ours-fast": "C2", "ours-full": "C4", "trl-lora": "C1", "trl-full": "C3"}


@dataclass(frozen=True)
class Data:
    """Rendered examples."""

    training: list[Any]
    held_out: list[Any]


# --- one run, in its own process --------------------------------------------------------------------------------


def work(run: Run, project: Path, batches: int, held_out: int, patients: str) -> None:
    """Trains when told to; answers one line of JSON a step."""
    system = SYSTEMS[run.system]
    data = _data(project, batches, held_out, patients)
    look = Evaluator(system, data.held_out)
    turns = Turns(_dealt(data.training, run.epochs))

    def report(loss: float, model: Any) -> None:
        found = turns.taken(loss)
        if turns.step % EVERY == 0 or found["last"]:
            found["held_out"] = look(model)
        turns.answer(found)

    train(system, turns.batches, Pace(run.rate, falls=True), turns.wait, report)


def _data(project: Path, batches: int, held_out: int, patients: str) -> Data:
    """The first ``batches`` of an epoch's training examples; ``held_out`` examples of other patients, drawn."""
    from random import Random

    from residency.models.base import load_base
    from residency.records import Split
    from residency.run.progress import Silent
    from residency.story import questions, run_project
    from residency.tune.engine.layout import deal
    from residency.tune.render import render

    iteration = run_project(project, Silent(), until="split")
    base = load_base(iteration.project.settings.base)

    def samples(split: Split) -> list[Any]:
        examples = [e for task in iteration.project.settings.tasks for e in questions(iteration, task, split)]
        return render(examples, base.tokenizer, base.template, max_tokens=1024)

    order = deal(samples(Split.TRAIN), BATCH, seed=SEED, epoch=0)[:batches]
    others = samples(Split.VALIDATION if patients == "validation" else Split.TEST)
    drawn = Random(SEED).sample(others, min(held_out, len(others)))
    return Data([sample for batch in order for sample in batch], drawn)


def _dealt(samples: list[Any], epochs: int) -> list[list[Any]]:
    from residency.tune.engine.layout import deal

    return [batch for epoch in range(epochs) for batch in deal(samples, BATCH, seed=SEED, epoch=epoch)]


class Evaluator:
    """Reads held-out examples with the weights of whatever model is trained."""

    def __init__(self, system: System, samples: Sequence[Any]) -> None:
        from residency.models.base import Precision, load_base
        from residency.tune.engine.step import Engine
        from residency.tune.lora import Depth, Recipe, attach, trainable

        base = load_base("embedded", precision=Precision("bf16"))
        recipe = Recipe(depth=Depth(system.depth), seed=SEED)
        lora = system.method == "lora"
        self.samples = samples
        twin = attach(base, recipe) if lora else base.model.requires_grad_(True)
        self.weights = trainable(twin)
        self.engine = Engine(twin, micro_tokens=recipe.micro_tokens)

    def __call__(self, model: Any) -> dict[str, Any]:
        """Task -> nats a token and share of exact answers."""
        import torch

        from residency.tune.engine.layout import per_sample
        from residency.tune.engine.loss import nats
        from residency.tune.lora import trainable

        with torch.no_grad():
            for name, weight in trainable(model).items():
                self.weights[name].copy_(weight)
            found: dict[str, list[tuple[float, int, bool]]] = {}
            for packed, logits in self.engine.read(self.samples):
                lost = per_sample(nats(logits, packed.targets), packed)
                wrong = per_sample((logits.argmax(-1) != packed.targets).float(), packed)
                for sample, value, errors in zip(packed.samples, lost, wrong, strict=True):
                    found.setdefault(sample.task, []).append((value, sample.supervised, errors == 0))
        return {
            task: {
                "nats": sum(value for value, _, _ in rows) / sum(tokens for _, tokens, _ in rows),
                "exact": fmean(exact for _, _, exact in rows),
            }
            for task, rows in sorted(found.items())
        }


# --- all runs, in turn ------------------------------------------------------------------------------------------


def compare(runs: dict[str, Run], given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Every run's steps, taken in turn until each has taken all of its own."""
    programs = {}
    for name, run in runs.items():
        programs[name] = [__file__, str(given.project), "--worker", name, "--rate", f"{name}={run.rate}"]
        programs[name] += ["--batches", str(given.batches), "--held-out", str(given.held_out)]
        programs[name] += ["--patients", given.patients]
    return in_turn(programs, given.threads)


@dataclass(frozen=True)
class Point:
    """A look at the held-out examples."""

    SAID = ("nats", "exact")

    step: int
    cpu: float  # seconds of training until here
    wall: float
    nats: float  # mean over the tasks
    exact: float  # mean over the tasks

    @classmethod
    def all_of(cls, steps: Sequence[dict[str, Any]]) -> list[Point]:
        """Those of a run."""
        tokens = list(accumulate(step["tokens"] for step in steps))
        cpu, wall = (
            [median(step[clock] / step["tokens"] for step in steps) * done for done in tokens]
            for clock in ("cpu", "wall")
        )
        return [
            cls(i + 1, cpu[i], wall[i], *(fmean(task[what] for task in step["held_out"].values()) for what in cls.SAID))
            for i, step in enumerate(steps)
            if "held_out" in step
        ]


def seconds_to(points: Sequence[Point], nats: float, clock: str) -> float | None:
    """Seconds until the held-out loss is as low as ``nats``, straight lines between the looks; None if it never is."""
    if points and points[0].nats <= nats:
        return getattr(points[0], clock)
    for before, after in pairwise(points):
        if after.nats <= nats:
            share = (before.nats - nats) / (before.nats - after.nats)
            return getattr(before, clock) + share * (getattr(after, clock) - getattr(before, clock))
    return None


def show(runs: dict[str, Run], curves: dict[str, list[Point]]) -> str:
    """The table: what each run ends with, and how long each takes to the best score of each peer."""
    peers = [name for name in ("trl-lora", "trl-full", "ours-full") if name in curves]
    goals = {peer: min(point.nats for point in curves[peer]) for peer in peers}
    head = ["run", "rate", "epochs", "CPU s", "wall s", "held-out nats a token", "exact answers"]
    lines = [head + [f"CPU s to {peer}'s {goals[peer]:.3f} (share of its time; wall)" for peer in peers]]
    for name, points in curves.items():
        last = points[-1]
        cells = [name, f"{runs[name].rate:g}", str(runs[name].epochs), f"{last.cpu:.0f}", f"{last.wall:.0f}"]
        cells += [f"{last.nats:.3f}", f"{last.exact:.3f}"]
        for peer in peers:
            cells.append(_beside(points, curves[peer], goals[peer]))
        lines.append(cells)
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _beside(points: Sequence[Point], peer: Sequence[Point], goal: float) -> str:
    taken = seconds_to(points, goal, "cpu")
    if taken is None:
        return "not reached"
    of_peer = seconds_to(peer, goal, "cpu") or 1
    wall, wall_of_peer = seconds_to(points, goal, "wall") or 0, seconds_to(peer, goal, "wall") or 1
    return f"{taken:.0f} ({taken / of_peer:.1%}; {wall / wall_of_peer:.1%})"


def draw(curves: dict[str, list[Point]], path: Path) -> None:
    """Held-out loss by CPU seconds of training, which are on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter

    matplotlib.rcParams["svg.hashsalt"] = "residency"  # equal curves are equal files
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, points in curves.items():
        axes.plot([p.cpu for p in points], [p.nats for p in points], "o-", ms=3, color=COLORS[name], label=name)
    axes.set(xscale="log", xlabel="CPU seconds of training", ylabel="held-out loss, nats a token")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="both", alpha=0.2)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="a project folder; it is run until its split")
    parser.add_argument("--batches", type=int, default=12, help=f"batches of {BATCH} examples, an epoch's, count")
    parser.add_argument("--held-out", type=int, default=96, help="held-out examples, count")
    parser.add_argument("--patients", choices=("validation", "test"), default="test")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", default=",".join(RUNS), help="some of: " + ", ".join(RUNS))
    parser.add_argument("--rate", action="append", default=[], help="RUN=RATE, another learning rate")
    parser.add_argument("--json", type=Path, default=Path("curves.json"))
    parser.add_argument("--worker", choices=RUNS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rates = dict(one.split("=") for one in given.rate)
    runs = {name: Run(run.system, float(rates.get(name, run.rate)), run.epochs) for name, run in RUNS.items()}
    if given.worker:
        work(runs[given.worker], given.project, given.batches, given.held_out, given.patients)
        return
    chosen = {name: runs[name] for name in given.runs.split(",")}
    found = compare(chosen, given)
    curves = {name: Point.all_of(steps) for name, steps in found.items()}
    about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": given.threads}
    about |= {"patients": given.patients, "batches": given.batches, "batch": BATCH, "seed": SEED}
    about |= {name: version(name) for name in ("torch", "transformers", "peft", "trl", "accelerate")}
    given.json.write_text(json.dumps({"about": about, "steps": found}, indent=1) + "\n", encoding="utf-8")
    draw(curves, given.json.with_suffix(".svg"))
    print(show(chosen, curves))


if __name__ == "__main__":
    main()
