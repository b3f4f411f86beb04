"""A sweep: short runs at several learning rates, so that a long run need not be spent on a wrong one.

In: training and validation examples, a base, a recipe. Out: ``Trial`` for each rate; the rate to propose.

Covers: the same few steps from the same first weights at every rate, judged by the validation loss. Writes nothing that
stays. Does not cover: other settings. The best rate of a short run is at or above that of a long one, so where two
rates are within ``CLOSE`` of each other the lower one is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from residency.errors import TrainingError
from residency.models.base import Base
from residency.records import Example
from residency.tune.lora import ChosenBy, Recipe, resolve
from residency.tune.training import Tick, train

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)  # from that of full fine-tuning to where LoRA of small bases breaks
STEPS = 24  # of each run at most; chosen by us, 2026-11: a few minutes for the embedded base on two cores
VALIDATED = 96  # validation examples at most
CLOSE = 0.02  # share by which a validation loss may be above the lowest and still count as equal; chosen by us, 2026-11


@dataclass(frozen=True, slots=True)
class Trial:
    """One learning rate's short run. ``validation`` is None where the loss ran away."""

    rate: float
    steps: int
    loss: float  # mean over the run, nats a token
    validation: float | None  # after it
    by_task: Mapping[str, float]


def sweep(
    training: Sequence[Example],
    validation: Sequence[Example],
    base: Base,
    recipe: Recipe,
    *,
    labels: Mapping[str, Sequence[str]],
    held_out: frozenset[str] = frozenset(),
    scratch: Path | None = None,
    rates: Sequence[float] = RATES,
    progress: Callable[[float, Tick], None] = lambda rate, tick: None,
) -> list[Trial]:
    """One short run a rate, in order. TrainingError where a run cannot start at all.

    Unfinished adapters and hidden states lie in ``scratch`` while a run lasts: a project's workspace, so that nothing
    which comes from its texts leaves it; the system's temporary folder without one.
    """
    resolved = resolve(recipe, base.entry).recipe
    few = drawn(training, STEPS * resolved.batch_size, seed=resolved.seed)
    judged = drawn(validation, VALIDATED, seed=resolved.seed)
    trials = []
    for rate in rates:
        changed = {"learning_rate": rate, "epochs": 1, "choose_by": ChosenBy.LOSS, "patience": None}
        short = resolved.model_copy(update=changed)
        losses: list[float] = []

        def count(tick: Tick, rate: float = rate, losses: list[float] = losses) -> None:
            losses.append(tick.loss)
            progress(rate, tick)

        with TemporaryDirectory(prefix="residency-sweep-", dir=scratch) as folder:
            try:
                card = train(
                    few, judged, base, short, Path(folder) / "adapter", labels=labels, held_out=held_out, progress=count
                ).card
                trials.append(
                    Trial(rate, len(losses), card.curve[-1].loss, card.curve[-1].validation, card.curve[-1].by_task)
                )
            except TrainingError:
                if not losses:
                    raise  # it is not the rate
                trials.append(Trial(rate, len(losses), float(np.mean(losses)), None, {}))
    return trials


def proposal(trials: Sequence[Trial]) -> float | None:
    """The lowest rate whose validation loss is as good as the best; None where every run was lost."""
    ended = [(trial.rate, trial.validation) for trial in trials if trial.validation is not None]
    if not ended:
        return None
    limit = min(value for _, value in ended) * (1 + CLOSE)
    return min(rate for rate, value in ended if value <= limit)


def drawn(examples: Sequence[Example], count: int, *, seed: int) -> list[Example]:
    """At most ``count`` examples, of every task in proportion."""
    by_task: dict[str, list[Example]] = {}
    for example in examples:
        by_task.setdefault(example.task, []).append(example)
    chosen: list[Example] = []
    for of_task in by_task.values():
        share = max(round(count * len(of_task) / len(examples)), 1)
        order = np.random.default_rng(seed).permutation(len(of_task))
        chosen += [of_task[number] for number in sorted(order[:share])]
    return chosen
