"""Training side by side: our engine, TRL's SFTTrainer with PEFT, and full fine-tuning with TRL.

In: a project, whose examples are trained on. Out: a table (standard output) and a JSON file: seconds a step, tokens a
second, peak memory, and the loss of every step.

Every system lives in a process of its own, reads the same batches in the same order from the same first weights, and
waits for its turn: one step of each, then the next step. So another process on the machine slows all of them alike, and
peak memory is that of one system. Threads sleep where they wait: where others work beside them, spinning ones take ten
times the CPU time. On a quiet machine OMP_WAIT_POLICY=ACTIVE shows what a user gets there. Two passes over the same
examples: the second one is where kept hidden states count. Peers come with `pip install 'residency[bench]'`.

Covers: the cost of a step. Does not cover: what a whole run ends with.

    python bench/tune.py PROJECT [--batches 2] [--systems ours-bf16,trl-lora-bf16] [--json tune.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

BATCH = 8
PASSES = 2
SEED = 1
RATE = 1e-3  # of LoRA; full fine-tuning has a tenth of it. Both stay: the cost of a step is measured, not its worth


@dataclass(frozen=True)
class System:
    """One way to train."""

    trainer: str  # ours or trl
    precision: str  # bf16 or fp32
    depth: str = "full"
    method: str = "lora"  # full, or of ours any recipe.method
    weights: str = "loaded"  # recipe.base_weights


SYSTEMS = {
    "ours-fp32": System("ours", "fp32"),
    "ours-bf16": System("ours", "bf16"),
    "ours-bf16-fast": System("ours", "bf16", depth="fast"),
    "ours-full-bf16": System("ours", "bf16", method="full"),
    "ours-rslora": System("ours", "bf16", method="rslora"),
    "ours-dora": System("ours", "bf16", method="dora"),
    "ours-pissa": System("ours", "bf16", method="pissa"),
    "ours-int8": System("ours", "bf16", weights="int8"),
    "ours-nf4": System("ours", "bf16", weights="nf4"),
    "trl-lora-fp32": System("trl", "fp32"),
    "trl-lora-bf16": System("trl", "bf16"),
    "trl-full-fp32": System("trl", "fp32", method="full"),
    "trl-full-bf16": System("trl", "bf16", method="full"),
}
Turn = Callable[[], None]  # returns when it is this system's turn
Report = Callable[[float, Any], None]  # a step is done, with this loss, of this model


@dataclass(frozen=True)
class Pace:
    """The learning rate: its peak, and whether it falls along a cosine to zero or stays."""

    peak: float
    falls: bool = False


# --- one system, in its own process -----------------------------------------------------------------------------


def work(name: str, project: Path, batches: int) -> None:
    """Trains when told to; answers one line of JSON a step."""
    system = SYSTEMS[name]
    dealt = list(_batches(project, batches))
    _forget_peak()
    turns = Turns(dealt)

    def report(loss: float, _: Any) -> None:
        turns.answer(turns.taken(loss) | {"peak_mb": _peak_mb()})

    train(system, dealt, Pace(RATE / 10 if system.method == "full" else RATE), turns.wait, report)


class Turns:
    """A worker's side of the taking of turns: a step of each of the batches, measured."""

    def __init__(self, batches: list[list[Any]]) -> None:
        self.batches = batches
        self.step = 0  # the one at work, from 1
        self.began = (0.0, 0.0)

    def wait(self) -> None:
        """Returns when it is this worker's turn."""
        print(json.dumps("ready"), flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        self.step += 1
        self.began = (time.perf_counter(), time.process_time())

    def taken(self, loss: float) -> dict[str, Any]:
        """What the step took; called where it ends."""
        wall, cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        tokens = sum(len(sample.ids) for sample in self.batches[self.step - 1])
        return {"wall": wall, "cpu": cpu, "tokens": tokens, "loss": loss, "last": self.step == len(self.batches)}

    def answer(self, found: dict[str, Any]) -> None:
        """The turn is over."""
        from residency.models.memory import return_free_memory

        print(json.dumps(found), flush=True)
        # While others have their turn, memory that is free should be free for them.
        return_free_memory()


def train(system: System, batches: list[list[Any]], pace: Pace, turn: Turn, report: Report) -> None:
    """Trains on the batches, a step in each turn."""
    (_ours if system.trainer == "ours" else _trl)(system, batches, pace, turn, report)


def _batches(project: Path, count: int) -> Iterator[list[Any]]:
    """The same examples ``PASSES`` times, each time in the order that a run has in that epoch."""
    from residency.models.base import load_base
    from residency.records import Split
    from residency.run.progress import Silent
    from residency.story import questions, run_project
    from residency.tune.engine.layout import deal
    from residency.tune.render import render

    iteration = run_project(project, Silent(), until="split")
    examples = [e for task in iteration.project.settings.tasks for e in questions(iteration, task, Split.TRAIN)]
    base = load_base(iteration.project.settings.base)
    samples = render(examples, base.tokenizer, base.template, max_tokens=1024)
    used = [sample for batch in deal(samples, BATCH, seed=SEED, epoch=0)[:count] for sample in batch]
    for epoch in range(PASSES):
        yield from deal(used, BATCH, seed=SEED, epoch=epoch)


def _base(system: System) -> Any:
    from residency.models.base import BaseWeights, Precision, load_base

    # TRL keeps fp32 weights in both of its precisions and narrows inside its products.
    precision = Precision(system.precision if system.trainer == "ours" else "fp32")
    return load_base("embedded", precision=precision, weights=BaseWeights(system.weights))


def _ours(system: System, batches: list[list[Any]], pace: Pace, turn: Turn, report: Report) -> None:
    import torch

    from residency.models.memory import return_free_memory
    from residency.tune.engine.hidden import HiddenStates
    from residency.tune.engine.step import Engine
    from residency.tune.lora import Depth, Method, Recipe, Schedule, attach, trainable
    from residency.tune.training import learning_rate

    base, whole = _base(system), system.method == "full"
    recipe = Recipe(
        depth=Depth(system.depth), method=Method.LORA if whole else Method(system.method), seed=SEED,
        learning_rate=pace.peak, warmup=0, schedule=Schedule.COSINE if pace.falls else Schedule.CONSTANT,
    )  # fmt: skip
    model = base.model.requires_grad_(True) if whole else attach(base, recipe)
    masters = Masters(list(trainable(model).values()))
    optimizer = torch.optim.AdamW(masters.wide, lr=pace.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    with tempfile.TemporaryDirectory() as folder:
        dtype = next(base.model.parameters()).dtype
        kept = HiddenStates(Path(folder) / "hidden", "bench", dtype, recipe.kept_bytes)
        engine = Engine(model, micro_tokens=recipe.micro_tokens, kept=kept)
        _forget_peak()
        for step, batch in enumerate(batches):
            turn()
            total = sum(sample.supervised for sample in batch)
            loss = engine.learn(batch, 1 / total, None) / total
            masters.take_gradients()
            torch.nn.utils.clip_grad_norm_(masters.wide, recipe.max_norm)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, len(batches))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            masters.give_weights()
            return_free_memory()
            report(loss, model)
        kept.close()


class Masters:
    """The fp32 weights that the optimizer changes: an adapter's own, and wide copies of bf16 ones."""

    def __init__(self, weights: list[Any]) -> None:
        import torch

        self.weights = weights
        self.wide = [w if w.dtype is torch.float32 else w.detach().float().requires_grad_() for w in weights]

    def take_gradients(self) -> None:
        for wide, weight in self._copies():
            wide.grad, weight.grad = weight.grad.float(), None

    def give_weights(self) -> None:
        for wide, weight in self._copies():
            weight.data.copy_(wide.data)

    def _copies(self) -> Iterator[tuple[Any, Any]]:
        yield from ((wide, weight) for wide, weight in zip(self.wide, self.weights, strict=True) if wide is not weight)


def _trl(system: System, batches: list[list[Any]], pace: Pace, turn: Turn, report: Report) -> None:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from residency.tune.lora import Recipe, attach

    base = _base(system)
    model = attach(base, Recipe(seed=SEED)) if system.method == "lora" else base.model.requires_grad_(True)
    _forget_peak()

    class Turns(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turn()

        def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                report(logs["loss"], model)

    rows = [{"input_ids": list(s.ids), "labels": [-100] * s.first + list(s.ids[s.first :])} for b in batches for s in b]
    with tempfile.TemporaryDirectory() as folder:
        # Everything else is TRL's default: recomputed activations, padding to the longest sample of a batch.
        settings = SFTConfig(
            output_dir=folder, per_device_train_batch_size=BATCH, max_steps=len(batches),
            learning_rate=pace.peak, lr_scheduler_type="cosine" if pace.falls else "constant",
            weight_decay=0.01, adam_beta2=0.99, max_grad_norm=1.0, bf16=system.precision == "bf16", use_cpu=True,
            logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, max_length=None,
            completion_only_loss=True, train_sampling_strategy="sequential",
            dataset_kwargs={"skip_prepare_dataset": True},
        )  # fmt: skip
        trainer = SFTTrainer(
            model, args=settings, train_dataset=Dataset.from_list(rows), processing_class=base.tokenizer,
            callbacks=[Turns()],
        )  # fmt: skip
        trainer.train()


def _forget_peak() -> None:
    """What loading took does not count (Linux only)."""
    import gc

    from residency.models.memory import return_free_memory

    gc.collect()
    return_free_memory()
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


# --- all systems, in turn ---------------------------------------------------------------------------------------


def compare(names: list[str], project: Path, batches: int, threads: int) -> dict[str, list[dict[str, Any]]]:
    """Every system's steps, taken in turn."""
    given = [str(project), "--batches", str(batches)]
    return in_turn({name: [__file__, *given, "--worker", name] for name in names}, threads)


def in_turn(programs: dict[str, list[str]], threads: int) -> dict[str, list[dict[str, Any]]]:
    """Starts a worker for each name, and lets each take a step in turn until it has taken all of its own."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | {"OMP_NUM_THREADS": str(threads)}
    start = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    left = {}
    for name, program in programs.items():  # one after the other: a project is opened by one process at a time
        left[name] = start([sys.executable, *program])
        _answer(left[name], name)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    while left:
        for name, worker in list(left.items()):
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
            found[name].append(step := _answer(worker, name))
            print(f"{name}, step {len(found[name])}: {step}", file=sys.stderr, flush=True)
            if step["last"]:
                worker.communicate()
                del left[name]
            else:
                _answer(worker, name)  # it is ready for the next one
    return found


def _answer(worker: subprocess.Popen[str], name: str) -> Any:
    """The next line of JSON; trainers print other things as well."""
    assert worker.stdout
    for line in worker.stdout:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if found == "ready" or (isinstance(found, dict) and "cpu" in found):
            return found
    raise SystemExit(f"{name} ended before its turn; run it alone to see why: --worker {name}")


def summary(found: dict[str, list[dict[str, float]]], batches: int) -> dict[str, dict[str, float]]:
    """Of the second pass: per system, means a step; the loss is that of the last step."""
    rows = {}
    for name, steps in found.items():
        measured = steps[batches:]
        tokens = sum(step["tokens"] for step in measured)
        rows[name] = {
            "cpu_seconds_a_step": fmean(step["cpu"] for step in measured),
            "wall_seconds_a_step": fmean(step["wall"] for step in measured),
            "tokens_a_cpu_second": tokens / sum(step["cpu"] for step in measured),
            "tokens_a_wall_second": tokens / sum(step["wall"] for step in measured),
            "peak_mb": max(step["peak_mb"] for step in steps),
            "first_loss": steps[0]["loss"],
            "last_loss": steps[-1]["loss"],
        }
    return rows


def show(rows: dict[str, dict[str, float]]) -> str:
    """The table, with how many times the tokens of TRL with PEFT a system reaches: a CPU second, and a wall second."""
    against = [name for name in ("trl-lora-fp32", "trl-lora-bf16") if name in rows]
    head = ["system", "CPU s a step", "wall s a step", "tokens a CPU s", "tokens a wall s", "peak MB"]
    head += ["first loss", "last loss"]
    lines = [head + [f"times {name}, CPU (wall)" for name in against]]
    for name, row in rows.items():
        cells = [f"{row['cpu_seconds_a_step']:.2f}", f"{row['wall_seconds_a_step']:.2f}"]
        cells += [f"{row['tokens_a_cpu_second']:.0f}", f"{row['tokens_a_wall_second']:.0f}", f"{row['peak_mb']:.0f}"]
        cells += [f"{row['first_loss']:.4f}", f"{row['last_loss']:.4f}"]
        for peer in against:
            cpu, wall = (row[rate] / rows[peer][rate] for rate in ("tokens_a_cpu_second", "tokens_a_wall_second"))
            cells.append(f"{cpu:.1f} ({wall:.1f})")
        lines.append([name, *cells])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="a project folder; it is run until its split")
    parser.add_argument("--batches", type=int, default=2, help=f"batches of {BATCH} examples, each read {PASSES} times")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="some of: " + ", ".join(SYSTEMS))
    parser.add_argument("--json", type=Path, default=Path("tune.json"))
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.project, given.batches)
        return
    found = compare(given.systems.split(","), given.project, given.batches, given.threads)
    rows = summary(found, given.batches)
    packages = ("torch", "transformers", "peft", "trl", "accelerate")
    about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": given.threads}
    about |= {name: version(name) for name in packages}
    given.json.write_text(json.dumps({"about": about, "summary": rows, "steps": found}, indent=1) + "\n")
    print(show(rows))


if __name__ == "__main__":
    main()
