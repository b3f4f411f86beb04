"""Rehearsal: what tuning would see, and which learning rate would do, before anything is trained.

In: a project folder. Out: samples as the model sees them; a table of short runs and a proposal.

Covers: running the stages before tuning where they have not run. Leaves no adapter and no run of tuning in the ledger.
Does not cover: tuning (story.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from residency.models import chat
from residency.models.base import load_reading
from residency.run.progress import Progress
from residency.story import Lessons, prepare_lessons, refuse_copies, run_project
from residency.tune.lora import resolve
from residency.tune.preflight import Preflight, counts
from residency.tune.render import render
from residency.tune.show import Shown, show
from residency.tune.sweep import RATES, Trial, proposal, sweep
from residency.tune.training import Tick


@dataclass(frozen=True, slots=True)
class Sight:
    """Some training samples as the model sees them, and the counts of all."""

    shown: list[Shown]
    counts: Preflight
    base: str
    licence: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Short runs at several learning rates; ``proposed`` is None where every one was lost."""

    trials: list[Trial]
    proposed: float | None
    now: float
    now_from: str  # project, catalogue or default


def see_samples(root: Path, count: int, progress: Progress) -> Sight:
    """The first ``count`` training samples, tasks in turn. The base's weights are not read."""
    iteration = run_project(root, progress, until="split")
    settings = iteration.project.settings
    tokenizer, entry = load_reading(settings.base, template_name=settings.template)
    training = prepare_lessons(iteration).training
    recipe = resolve(settings.recipe, entry).recipe
    samples = render(training, tokenizer, entry.chat_template, max_tokens=recipe.max_tokens)
    known = (chat.token_id_or_none(tokenizer, token) for token in chat.control_tokens(entry.chat_template))
    control = [number for number in known if number is not None]
    return Sight(show(samples, tokenizer, control, count=count), counts(samples), entry.name, entry.licence)


def sweep_rates(root: Path, progress: Progress, rates: Sequence[float] = RATES) -> Sweep:
    """Trains shortly at each rate on training patients, judged on validation patients; nothing of it is kept."""
    iteration = run_project(root, progress, until="release")
    settings = iteration.project.settings
    lessons: Lessons = prepare_lessons(iteration)
    refuse_copies(iteration)
    progress.begin("sweep", len(rates))

    def show_tick(rate: float, tick: Tick) -> None:
        done = rates.index(rate) + (tick.step == tick.steps)
        progress.reach(done, len(rates), f"{rate:g}: step {tick.step} of {tick.steps}, loss {tick.loss:.3f}")

    base = iteration.base_to_tune
    with iteration.project.workspace.alone():
        trials = sweep(
            lessons.training, lessons.validation, base, settings.recipe,
            labels=iteration.labels, held_out=lessons.held_out, rates=rates, progress=show_tick,
            scratch=iteration.project.workspace.folder,
        )  # fmt: skip
    progress.end(f"{len(trials)} learning rates")
    resolved = resolve(settings.recipe, base.entry)
    return Sweep(trials, proposal(trials), resolved.recipe.learning_rate, resolved.source["learning_rate"])
