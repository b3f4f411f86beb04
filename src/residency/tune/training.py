"""The training run: from examples and a base to an adapter on disk.

In: training examples (or a deck that deals them anew each epoch), validation examples, a base, a recipe, a folder.
Out: an ``Adapter``; ticks of progress on the way.

Covers: the loop, the learning-rate schedule, validation after each epoch, the best state kept, stopping when the loss
is not finite or runs away, checkpoints that survive ``kill -9``, going on where a killed run stopped.
Does not cover: the step itself (engine/).

A run is a function of its inputs: the order of an epoch depends on the seed and the epoch's number, dropout on the
seed and the step's number, a deck on the epoch's number. So a checkpoint holds no generator state, and a resumed run
ends in the same weights as one that was never interrupted, bit for bit, with the same number of threads. Hidden states
that are kept between epochs have the same bits as computed ones, so it does not matter which of them survive a kill.

Several processes (processes.py) each call ``train`` with the same inputs. Each computes its share of a batch's units;
gradients are added up, so every process has the weights that one alone would have, to rounding, and makes the same
decisions. Only the first one writes the checkpoint, which all of them read again, and the adapter.

The loss is the mean over supervised tokens, each counted with its example's weight, as transformers and TRL
compute it. Validation is the mean over tasks of the mean over their tokens, so that a task with long answers does
not choose the checkpoint alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from residency.errors import TrainingError
from residency.models.base import Base, BaseWeights
from residency.models.memory import return_free_memory
from residency.records import Example
from residency.settings import fingerprint
from residency.tune.adapter import Adapter, AdapterCard, CurvePoint, save_adapter
from residency.tune.checkpoint import State, read_checkpoint, write_checkpoint
from residency.tune.forecast import in_words, measure_room, measure_seconds, refuse_without_room, tightest
from residency.tune.lora import (
    ChosenBy,
    Depth,
    Method,
    Recipe,
    Resolved,
    Schedule,
    adapted_layers,
    attach,
    held_as,
    resolve,
    trainable,
)
from residency.tune.preflight import Preflight, preflight, usable
from residency.tune.processes import ALONE, Processes
from residency.tune.render import Sample, render

if TYPE_CHECKING:
    import torch

    from residency.tune.engine.hidden import HiddenStates
    from residency.tune.engine.step import Engine

Deck = Callable[[int], Sequence[Example]]
"""The training examples of one epoch: a pure function of its number, and of the same length for every number."""

PATIENCE = 5  # steps in a row with a runaway loss before a run stops; chosen by us, 2026-11
RECENT = 50  # steps whose median says what is usual
BETAS = (0.9, 0.99)  # of AdamW: a short memory, because runs are a few hundred steps


@dataclass(frozen=True, slots=True)
class Tick:
    """One step is done."""

    step: int
    steps: int
    loss: float  # of this step, nats a token
    tokens_per_second: float  # of this process's run so far
    seconds_left: float
    learning_rate: float
    point: CurvePoint | None = None  # where the step ended an epoch


def train(
    training: Sequence[Example] | Deck,
    validation: Sequence[Example],
    base: Base,
    recipe: Recipe,
    folder: Path,
    *,
    labels: Mapping[str, Sequence[str]],
    held_out: frozenset[str] = frozenset(),
    judge: Callable[[Path], float] | None = None,
    progress: Callable[[Tick], None] = lambda tick: None,
    say: Callable[[str], None] = lambda line: None,
    processes: Processes = ALONE,
) -> Adapter:
    """Trains an adapter and writes it to ``folder``; a checkpoint of the same run beside it is gone on from.

    ``recipe`` is what a person set: the base's catalogue entry fills in the rest. ``labels`` gives the closed set of
    each classify task, ``held_out`` the patients of calibration and test. TrainingError before the first step where
    the data is wrong or memory will not do, and later where the loss runs away; the best state so far is then in
    ``folder``. ``judge`` says how good the adapter in a folder is, for a recipe that chooses by metric; ``say`` is told
    what preflight and forecast found. ``judge``, ``say`` and ``progress`` are asked in the first of several
    ``processes`` only; where these share out the base's blocks, it is whole on the processor in the first one and empty
    in the others (``read_base`` of together.py).
    """
    resolved = resolve(recipe, base.entry)
    if processes.fsdp:
        refuse_with_shared_blocks(resolved.recipe)
    if resolved.recipe.choose_by is ChosenBy.METRIC and judge is None and processes.leads:
        raise TrainingError("recipe.choose_by: nothing here computes a metric.", fix="Set it to loss, or give a judge.")
    base = held_as(base, resolved.recipe.base_weights)
    deck: Deck = training if callable(training) else lambda epoch: training
    first, limit = deck(0), resolved.recipe.max_tokens
    samples = render(first, base.tokenizer, base.template, max_tokens=limit)
    checked = render(validation, base.tokenizer, base.template, max_tokens=limit)
    context = base.entry.shape.context
    counts = preflight(
        first, validation, samples, checked, labels, resolved.recipe, context=context, held_out=held_out
    )  # fmt: skip
    if processes.leads:
        say(f"{counts}; base {base.entry.name}, licence {base.entry.licence}")
    samples, checked = usable(samples), usable(checked)
    identity = fingerprint([base.sha256, resolved.recipe.model_dump(mode="json"), _content(samples), _content(checked)])
    run = _Run(base, resolved, deck, samples, checked, folder, identity, counts, progress, say, judge, processes)
    run.card_data = fingerprint(sorted(e.id for e in [*first, *validation]))
    return run.finish()


@dataclass
class _Run:
    """One training run. ``finish`` is the story."""

    base: Base
    resolved: Resolved
    deck: Deck
    samples: list[Sample]  # of the first epoch
    checked: list[Sample]
    folder: Path
    identity: str
    counts: Preflight
    progress: Callable[[Tick], None]
    say: Callable[[str], None]
    judge: Callable[[Path], float] | None
    processes: Processes = ALONE
    card_data: str = ""
    state: State = field(default_factory=State)

    def finish(self) -> Adapter:
        import torch

        from residency.tune.engine.shards import Shards
        from residency.tune.engine.step import Engine

        self.model = attach(self.base, self.recipe)
        kept = self._open_hidden()
        try:
            self.engine: Engine = Engine(
                self.model, micro_tokens=self.recipe.micro_tokens, kept=kept, recompute=self.recipe.recompute,
                shards=Shards(self.processes) if self.processes.fsdp else None,
            )  # fmt: skip
            self.parameters = trainable(self.model)
            self.optimizer = torch.optim.AdamW(
                self.parameters.values(), lr=0.0, betas=BETAS, weight_decay=self.recipe.weight_decay, fused=True
            )
            self.state = read_checkpoint(self.checkpoint, self.identity, self.parameters, self.optimizer) or State()
            self.processes.require_same((self.identity, self.state.step), "data or checkpoint")
            self._forecast()
            self._follow()
        finally:
            kept.close()
        if self.state.best_step is None:
            raise TrainingError(
                "The validation loss was never a finite number.", fix="Lower recipe.learning_rate and train again."
            )
        adapter = self._save_best()
        self._forget()
        return adapter

    def _forecast(self) -> None:
        """Says what the rest of the run will take; TrainingError where memory will not do."""

        def learn(samples: Sequence[Sample]) -> None:
            self.engine.learn(samples, 1.0, None)
            self.optimizer.zero_grad(set_to_none=True)

        batch = next(self._batches(), None)
        if batch is None:
            return
        trained = sum(parameter.numel() for parameter in self.parameters.values())
        room = measure_room(
            learn, self.samples, self.checked, self.recipe, trained=trained, device=self.engine.device
        )  # fmt: skip
        room = tightest(self.processes.gather(room), self.processes.sharing)
        refuse_without_room(room, self.recipe)
        left = (self.steps - self.state.step) / self.steps_per_epoch
        seconds = measure_seconds(
            lambda samples: learn(self._share(samples)), batch, self.samples, self.checked, epochs=left
        )  # fmt: skip
        if self.processes.leads:
            self.say(in_words(seconds, room))

    def _share(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those that this process computes."""
        from residency.tune.engine.layout import share

        return share(samples, self.processes.rank, self.processes.count)

    def _open_hidden(self) -> HiddenStates:
        from residency.tune.engine.hidden import HiddenStates

        dtype = next(self.base.model.parameters()).dtype
        return HiddenStates(self.hidden, self.identity, dtype, self.recipe.kept_bytes)

    def _forget(self) -> None:
        """Deletes what only an unfinished run needs."""
        if self.processes.leads:
            self.checkpoint.unlink(missing_ok=True)
        self.hidden.unlink(missing_ok=True)

    @property
    def recipe(self) -> Recipe:
        return self.resolved.recipe

    @property
    def checkpoint(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.checkpoint")

    @property
    def hidden(self) -> Path:
        of_others = "" if self.processes.leads else f"-{self.processes.rank}"
        return self.folder.with_name(f"{self.folder.name}.hidden{of_others}")

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.samples) / self.recipe.batch_size)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    def _follow(self) -> None:
        """All steps that are not done yet."""
        started, before, tokens_before = time.monotonic(), self.state.seconds, self.state.tokens
        for batch in self._batches():
            if self._waited_enough():
                return
            loss = self._learn(batch)
            state = self.state
            state.seconds = before + time.monotonic() - started
            ended = state.step % self.steps_per_epoch == 0
            if ended:
                self._validate()
            due = state.step % self.recipe.checkpoint_every == 0 or state.step == self.steps
            if due and self.processes.leads:
                write_checkpoint(self.checkpoint, self.identity, state, self.parameters, self.optimizer)
            rate = (state.tokens - tokens_before) / max(state.seconds - before, 1e-9)
            left = state.tokens / state.step * (self.steps - state.step) / max(rate, 1e-9)
            if self.engine.device.type == "cpu":
                return_free_memory()
            point = state.curve[-1] if ended else None
            current = learning_rate(self.recipe, state.step - 1, self.steps)
            if self.processes.leads:
                self.progress(Tick(state.step, self.steps, loss, rate, left, current, point))

    def _waited_enough(self) -> bool:
        """Whether as many epochs as the recipe's patience brought nothing better."""
        state, patience = self.state, self.recipe.patience
        if patience is None or state.best_step is None:
            return False
        return sum(point.step > state.best_step for point in state.curve) >= patience

    def _batches(self) -> Iterator[list[Sample]]:
        """The batches that are left, each epoch dealt with the seed and its number."""
        from residency.tune.engine.layout import deal

        done = self.state.step
        for epoch in range(done // self.steps_per_epoch, self.recipe.epochs):
            samples = self.samples if epoch == 0 else self._dealt(epoch)
            batches = deal(samples, self.recipe.batch_size, seed=self.recipe.seed, epoch=epoch)
            yield from batches[max(done - epoch * self.steps_per_epoch, 0) :]

    def _dealt(self, epoch: int) -> list[Sample]:
        examples = self.deck(epoch)
        if len(examples) != self.counts.samples:
            raise TrainingError(
                f"Epoch {epoch}: the deck deals {len(examples)} examples, and dealt {self.counts.samples} before.",
                fix="Deal the same number in every epoch.",
            )
        samples = render(examples, self.base.tokenizer, self.base.template, max_tokens=self.recipe.max_tokens)
        return usable(samples) or self.samples

    def _learn(self, batch: Sequence[Sample]) -> float:
        """One step; the loss before it, nats a token."""
        import torch

        number = self.state.step
        rate = learning_rate(self.recipe, number, self.steps)
        total = sum(sample.weight * sample.supervised for sample in batch)
        noise = self._noise(number)
        nats = self.engine.learn(self._share(batch), 1 / total, noise)
        loss = sum(self.processes.gather(nats)) / total
        self.processes.add_gradients(self.parameters.values())
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.max_norm)
        self._stop_if_lost(loss, float(norm))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.tokens += sum(len(sample.ids) for sample in batch)
        self.state.losses.append(loss)
        return loss

    def _noise(self, number: int) -> torch.Generator | None:
        import torch

        if not self.recipe.dropout:
            return None
        drawn = [self.recipe.seed, number] + ([] if self.processes.leads else [self.processes.rank])
        return torch.Generator().manual_seed(int(fingerprint(drawn), 16) % 2**63)

    def _validate(self) -> None:
        """Adds a point to the curve; keeps the weights where they are the best so far."""
        state = self.state
        by_task = validation_loss(self.engine, self.checked, self.processes)
        value = fmean(by_task.values())
        metric = self._judged() if self.recipe.choose_by is ChosenBy.METRIC else None
        since = state.curve[-1].step if state.curve else 0
        state.curve.append(
            CurvePoint(
                step=state.step,
                epoch=state.step / self.steps_per_epoch,
                loss=fmean(state.losses[since:]),
                validation=value,
                by_task=by_task,
                metric=metric,
                learning_rate=learning_rate(self.recipe, state.step - 1, self.steps),
                seconds=state.seconds,
            )
        )
        worth = value if metric is None else -metric  # the lower the better
        if math.isfinite(value) and (state.best_step is None or worth < state.best_value):
            state.best_value, state.best_step = worth, state.step
            state.best = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def _judged(self) -> float:
        """How good the weights are as they stand, by the metric that the task cares about."""
        if not self.processes.leads:
            return self.processes.tell(None)
        assert self.judge is not None  # train() saw to it
        with TemporaryDirectory(dir=self.folder.parent, prefix=f".{self.folder.name}-judged-") as folder:
            value = self.judge(save_adapter(self.model, self._card(), Path(folder) / "adapter").folder)
        return self.processes.tell(value)

    def _stop_if_lost(self, loss: float, norm: float) -> None:
        if (
            math.isfinite(loss)
            and math.isfinite(norm)
            and not runaway([*self.state.losses, loss], self.recipe.spike_factor)
        ):
            return
        reason = "is not a finite number" if not math.isfinite(loss + norm) else "ran away"
        kept = "No good state was reached yet."
        if self.state.best_step is None and self.state.step:
            # Before the first validation the weights of the step before are the last good ones.
            self._validate()
        if self.state.best_step is not None:
            self._save_best()
            kept = f"The weights of step {self.state.best_step} are kept in {self.folder}."
        self._forget()
        raise TrainingError(
            f"Training stopped at step {self.state.step + 1} of {self.steps}: the loss {reason}. {kept}",
            fix=f"Lower recipe.learning_rate (it is {self.recipe.learning_rate:g}) and train again.",
        )

    def _save_best(self) -> Adapter:
        import torch

        state = self.state
        with torch.no_grad():
            for name, tensor in state.best.items():
                self.parameters[name].copy_(tensor)
        made = save_adapter(self.model, self._card(), self.folder) if self.processes.leads else None
        return self.processes.tell(made)

    def _card(self) -> AdapterCard:
        from residency.models.quantized import count_parameters

        return AdapterCard(
            base=self.base.entry.name,
            base_sha256=self.base.sha256,
            licence=self.base.entry.licence,
            precision=self.base.precision,
            template=self.base.template,
            data=self.card_data,
            examples=dict(self.counts.by_task),
            recipe=self.recipe,
            recipe_source=dict(self.resolved.source),
            curve=tuple(self.state.curve),
            losses=tuple(self.state.losses),
            trainable=sum(parameter.numel() for parameter in self.parameters.values()),
            total=count_parameters(self.model),
            best_step=self.state.best_step or 0,
            layers=adapted_layers(self.recipe, self.base.entry),
            truncated=self.counts.truncated,
            left_out=self.counts.samples - len(self.samples),
            tokens=self.state.tokens,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of step ``step`` (from 0): a linear rise over the warmup share, then the schedule."""
    warmup = math.ceil(recipe.warmup * steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    if recipe.schedule is Schedule.CONSTANT:
        return recipe.learning_rate
    done = (step - warmup) / max(steps - warmup, 1)
    share = 1 - done if recipe.schedule is Schedule.LINEAR else 0.5 * (1 + math.cos(math.pi * done))
    return recipe.learning_rate * share


def validation_loss(engine: Engine, samples: Sequence[Sample], processes: Processes = ALONE) -> dict[str, float]:
    """Mean nats a supervised token, by task."""
    from residency.tune.engine.layout import share

    mine = share(samples, processes.rank, processes.count)
    measured = [(s.task, value, s.supervised) for s, value in zip(mine, engine.measure(mine), strict=True)]
    nats: dict[str, float] = {}
    tokens: dict[str, int] = {}
    for task, value, supervised in chain.from_iterable(processes.gather(measured)):
        nats[task] = nats.get(task, 0.0) + value
        tokens[task] = tokens.get(task, 0) + supervised
    return {task: nats[task] / tokens[task] for task in sorted(nats)}


def refuse_with_shared_blocks(recipe: Recipe) -> None:
    """TrainingError where a recipe asks for what no process can do that has only its share of the blocks."""
    if recipe.depth is not Depth.FULL:
        raise TrainingError(
            "recipe.depth: fast keeps what the lower blocks compute, and processes that share them out do not.",
            fix="Set recipe.depth to full, or launch without --use_fsdp.",
        )
    if recipe.choose_by is ChosenBy.METRIC:
        raise TrainingError(
            "recipe.choose_by: metric writes answers, for which the base has to be whole in one process.",
            fix="Set recipe.choose_by to loss, or launch without --use_fsdp.",
        )
    if recipe.base_weights is not BaseWeights.LOADED or recipe.method is Method.PISSA:
        raise TrainingError(
            "recipe.base_weights and recipe.method: narrow weights and pissa need each block whole in one process.",
            fix=f"Set base_weights to {BaseWeights.LOADED} and method to {Method.LORA}, or launch without --use_fsdp.",
        )


def runaway(losses: Sequence[float], factor: float) -> bool:
    """Whether the last ``PATIENCE`` losses are all above ``factor`` x the usual loss, and above where the run began."""
    before, last = losses[:-PATIENCE], losses[-PATIENCE:]
    if len(before) < PATIENCE:
        return False
    # A loss near zero may well multiply by itself; only one that is worse than untrained is lost.
    limit = max(factor * median(before[-RECENT:]), fmean(losses[:PATIENCE]))
    return min(last) > limit


def _content(samples: Sequence[Sample]) -> str:
    return fingerprint([[sample.ids, sample.first, sample.weight, sample.task] for sample in samples])
