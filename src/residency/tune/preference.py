"""Learning from preferences: an adapter goes on from where tuning left it, towards the answers that people chose.

In: preference pairs, a base, an adapter on it, a recipe, a folder. Out: a new ``Adapter`` whose card names the old one.

Covers: direct preference optimization through TRL's DPOTrainer; the state that the judging pairs find best; a loss that
is no number. Does not cover: which pairs may be used (curate/corrections.py), their checks (pairs.py), resuming.

TRL computes the steps; the tokens, the checks and the adapter are ours. Two of its habits are turned off: it would
tokenize with the tokenizer's own chat template, and it reports to Hugging Face that it is used.

The reference is the adapter itself as it was: given a PEFT model, TRL keeps a frozen copy of its adapter beside the one
that learns, which is what its documentation recommends for an adapter that was trained before. With the adapter turned
off instead, the reference would be the untuned base, and staying near it would undo what tuning taught.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from residency.errors import ModelError, TrainingError
from residency.models import chat
from residency.models.attach import attach_trainable, quiet_peft
from residency.models.base import Base
from residency.settings import fingerprint
from residency.tune.adapter import Adapter, PreferencePoint, Preferences, save_adapter
from residency.tune.lora import trainable
from residency.tune.pairs import Checked, Pair, PairSample, PreferenceRecipe, check_pairs

NEEDS = ("trl", "datasets", "accelerate")


@dataclass(frozen=True, slots=True)
class PreferenceTick:
    """One step is done, or the judging pairs were asked."""

    step: int
    steps: int
    loss: float
    point: PreferencePoint | None = None


def require_library() -> None:
    """TrainingError where the packages of the extra are missing."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"Learning from preference pairs needs {', '.join(missing)}, which are not installed.",
            fix="Run: pip install 'residency[preference]'",
        )


def prefer(
    pairs: Sequence[Pair],
    base: Base,
    parent: Adapter,
    recipe: PreferenceRecipe,
    folder: Path,
    *,
    held_out: frozenset[str] = frozenset(),
    judges: frozenset[str] = frozenset(),
    progress: Callable[[PreferenceTick], None] = lambda tick: None,
    say: Callable[[str], None] = lambda line: None,
) -> Adapter:
    """Trains ``parent`` on the pairs and writes the result to ``folder``; ``parent`` stays as it is.

    ``held_out`` are patients that must not be among the pairs, ``judges`` those that only judge. TrainingError before
    the first step where the pairs are wrong or TRL is missing, and later where the loss is not finite.
    """
    require_library()
    if parent.card.base_sha256 != base.sha256:
        raise ModelError(
            f"{parent.folder}: this adapter was trained on {parent.card.base}, not on {base.entry.name}.",
            fix="Load the base that the card names.",
        )
    checked = check_pairs(
        pairs, recipe, base.tokenizer, base.template, context=base.entry.shape.context, held_out=held_out, judges=judges
    )
    say(f"{checked.counts}; from adapter {parent.name}")
    model = attach_trainable(base, parent.folder)
    watch = _Watch(model, recipe, progress)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-run-") as scratch, _quiet():
        trainer = make_trainer(model, base, checked, recipe, Path(scratch))
        trainer.add_callback(watch.callback())
        trainer.train()
    if not watch.changed:  # it would have the name of the old one, and another card
        raise TrainingError(
            "The pairs changed nothing: the best state has the weights of the adapter that it began with.",
            fix="Raise preference.learning_rate or preference.epochs, or bring more pairs.",
        )
    watch.put_back()
    model.delete_adapter("ref")
    preferences = _learned(parent, checked, recipe, watch)
    return save_adapter(model, parent.card.model_copy(update={"preferences": preferences}), folder)


def _learned(parent: Adapter, checked: Checked, recipe: PreferenceRecipe, watch: _Watch) -> Preferences:
    """What the card says of it."""
    return Preferences(
        parent_sha256=parent.sha256,
        pairs=checked.counts.trained,
        judging=checked.counts.judging,
        nameless=checked.counts.nameless,
        by_task=dict(checked.counts.by_task),
        data=fingerprint([[_plain(one) for one in side] for side in (checked.trained, checked.judging)]),
        recipe=recipe,
        curve=tuple(watch.curve),
        best_step=watch.best_step,
        library=f"trl {version('trl')}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def make_trainer(model: Any, base: Base, checked: Checked, recipe: PreferenceRecipe, scratch: Path) -> Any:
    """TRL's trainer over our tokens; it writes nothing that stays, and tells nobody."""
    import torch
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    if base.device.type == "cuda" and torch.cuda.device_count() > 1:
        raise TrainingError("Several GPUs are visible, and this run takes one.", fix="Set CUDA_VISIBLE_DEVICES=0.")
    at_once = _divisor(recipe.batch_size, recipe.micro_pairs)
    steps = math.ceil(len(checked.trained) / recipe.batch_size) * recipe.epochs
    arguments = DPOConfig(
        output_dir=str(scratch),
        beta=recipe.beta,
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=recipe.batch_size // at_once,
        per_device_eval_batch_size=1,  # TRL takes the mean of its batches' means: exact where each has one pair
        lr_scheduler_type=recipe.schedule.value,
        warmup_steps=int(recipe.warmup * steps),  # transformers' first step of a warmup has the rate 0
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_norm,
        seed=recipe.seed,
        data_seed=recipe.seed,
        max_length=None,  # what is too long was refused or left out
        use_cpu=base.device.type == "cpu",
        bf16=False,  # the base is in the precision it was loaded in; adapters learn in fp32
        activation_checkpointing=False,
        eval_strategy="epoch",
        eval_on_start=True,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would show the mean in place of a loss that is no number
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    tokenizer, end = _own_tokenizer(base)
    trainer = _own_trainer()(
        model=model,
        args=arguments,
        data_collator=DataCollatorForPreference(pad_token_id=end),
        train_dataset=Dataset.from_list([_row(one) for one in checked.trained]),
        eval_dataset=Dataset.from_list([_row(one) for one in checked.judging]),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _own_trainer() -> Any:
    """TRL's DPOTrainer without its tokenization and its telemetry."""
    from trl.trainer.dpo_trainer import DPOTrainer

    def as_they_are(self: Any, dataset: Any, *_: Any) -> Any:
        return dataset

    def nobody(self: Any) -> None:
        return None

    return type("PreferenceTrainer", (DPOTrainer,), {"_prepare_dataset": as_they_are, "_send_telemetry": nobody})


def _own_tokenizer(base: Base) -> tuple[Any, int]:
    """A copy for TRL, which wants a padding token and sets it, and that token's id; masks keep it out of the loss."""
    import copy

    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.pad_token = chat.end_of_turn(base.template)
    return tokenizer, chat.token_id(tokenizer, tokenizer.pad_token)


@dataclass
class _Watch:
    """Follows a run: the curve, and the weights that the judging pairs find best."""

    model: Any
    recipe: PreferenceRecipe
    progress: Callable[[PreferenceTick], None]
    curve: list[PreferencePoint] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # since the last point
    start: dict[str, Any] = field(default_factory=dict)  # weights
    best: dict[str, Any] = field(default_factory=dict)
    best_step: int = 0

    def callback(self) -> Any:
        from transformers import TrainerCallback

        def on_log(_: Any, arguments: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            if "eval_loss" in logs:
                self._judged(state, logs)
            elif "loss" in logs:
                self._stepped(state, float(logs["loss"]))

        return type("Watch", (TrainerCallback,), {"on_log": on_log})()

    @property
    def changed(self) -> bool:
        """Whether the best weights are others than those of the beginning."""
        return any(bool((self.best[name] != value).any()) for name, value in self.start.items())

    def put_back(self) -> None:
        """The best weights into the model."""
        import torch

        with torch.no_grad():
            for name, parameter in trainable(self.model).items():
                parameter.copy_(self.best[name])

    def _stepped(self, state: Any, loss: float) -> None:
        self._stop_if_lost(state, loss)
        self.losses.append(loss)
        self.progress(PreferenceTick(state.global_step, state.max_steps, loss))

    def _judged(self, state: Any, logs: dict[str, Any]) -> None:
        self._stop_if_lost(state, logs["eval_loss"])
        point = PreferencePoint(
            step=state.global_step,
            epoch=state.epoch or 0.0,
            loss=fmean(self.losses) if self.losses else None,
            judged=logs["eval_loss"],
            margin=logs["eval_rewards/margins"],
            accuracy=logs["eval_rewards/accuracies"],
        )
        after = [one.judged for one in self.curve[1:]]
        self.curve.append(point)
        self.losses.clear()
        if point.loss is None:  # before the first step: the adapter that there is already is no candidate
            self.start = self._weights()
            return
        if not after or point.judged < min(after):
            self.best_step, self.best = point.step, self._weights()
        self.progress(PreferenceTick(state.global_step, state.max_steps, point.loss, point))

    def _weights(self) -> dict[str, Any]:
        return {name: parameter.detach().clone() for name, parameter in trainable(self.model).items()}

    def _stop_if_lost(self, state: Any, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"Learning from pairs stopped at step {state.global_step} of {state.max_steps}: the loss is not a "
                "finite number. Nothing was written.",
                fix=f"Lower preference.learning_rate (it is {self.recipe.learning_rate:g}).",
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what libraries say of each other; and the generators of this process as they were, which TRL seeds."""
    import random

    import numpy as np
    import torch
    from transformers.utils import logging

    states = random.getstate(), np.random.get_state()
    said: Any = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(), quiet_peft(), warnings.catch_warnings():
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            logging.set_verbosity(said)


def _divisor(number: int, most: int) -> int:
    """The largest divisor of ``number`` that is at most ``most``."""
    return next(one for one in range(min(number, most), 0, -1) if number % one == 0)


def _row(sample: PairSample) -> dict[str, list[int]]:
    return {
        "prompt_ids": list(sample.prompt), "chosen_ids": list(sample.chosen), "rejected_ids": list(sample.rejected)
    }  # fmt: skip


def _plain(sample: PairSample) -> list[Sequence[int]]:
    return [sample.prompt, sample.chosen, sample.rejected]
