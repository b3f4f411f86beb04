"""An adapter: a PEFT folder and the card that says what it is.

In: a trained PEFT model and its card, or a folder. Out: a folder that PEFT, transformers and vLLM load as it is,
with card.json beside the weights; an ``Adapter``.

Covers: the content hash that identifies an adapter everywhere; refusing weights that changed since, and an adapter
of another base. Does not cover: scores (the ledger holds them), serving.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from residency.errors import ModelError
from residency.models.base import Base
from residency.settings import Settings, explain
from residency.tune.lora import Recipe
from residency.tune.pairs import PreferenceRecipe
from residency.tune.pissa import save_as_lora

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

CARD = "card.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


class CurvePoint(Settings):
    """The state of a run after some steps. Losses are nats a supervised token."""

    step: int = Field(ge=0, description="steps done, count")
    epoch: float = Field(ge=0, description="passes over the training examples done")
    loss: float = Field(description="training loss, mean over the steps since the last point, nats a token")
    validation: float = Field(description="validation loss, mean over the tasks, nats a token")
    by_task: dict[str, float] = Field(description="validation loss of each task, nats a token")
    metric: float | None = Field(
        default=None, description="what the recipe's metric says of the answers, mean over the tasks; if it chooses"
    )
    learning_rate: float = Field(ge=0, description="learning rate of the last step")
    seconds: float = Field(
        ge=0, description="wall time since the start of the run, earlier parts of a resumed run included"
    )


class PreferencePoint(Settings):
    """What the pairs that are not trained on say of a state, beside the adapter that the run began with.

    A reward is beta x (log-likelihood of an answer under this state - under the adapter of the beginning), in nats.
    """

    step: int = Field(ge=0, description="steps done, count")
    epoch: float = Field(ge=0, description="passes over the training pairs done")
    loss: float | None = Field(description="training loss, mean over the steps since the last point; none at the start")
    judged: float = Field(ge=0, description="loss on the judging pairs; ln 2 = 0.693 where nothing was learned")
    margin: float = Field(description="reward of the chosen answer less that of the rejected, mean over judging pairs")
    accuracy: float = Field(ge=0, le=1, description="share of judging pairs whose margin is above 0")


class Preferences(Settings):
    """What an adapter learned from preference pairs, after the training that the rest of its card tells of."""

    parent_sha256: str = Field(description="hash of the adapter that it began with, and was held near to")
    pairs: int = Field(ge=0, description="pairs trained on, count")
    judging: int = Field(ge=0, description="pairs of other patients that judged, count")
    nameless: int = Field(ge=0, description="pairs without a patient, count: nobody can tell whose they are")
    by_task: dict[str, int] = Field(description="pairs trained on by task, count")
    data: str = Field(description="hash over the tokens of all pairs, both sides")
    recipe: PreferenceRecipe = Field(description="recipe")
    curve: tuple[PreferencePoint, ...] = Field(description="the state before the first step, and after every epoch")
    best_step: int = Field(ge=0, description="the step whose weights these are")
    library: str = Field(description="what computed the steps, with its version")
    created: str = Field(description="ISO 8601, UTC")

    @property
    def best(self) -> PreferencePoint:
        """The point whose weights these are."""
        return next(point for point in self.curve if point.step == self.best_step)

    @property
    def helped(self) -> bool:
        """Whether the judging pairs find the state better than the adapter of the beginning."""
        return self.best.judged < self.curve[0].judged


class AdapterCard(Settings):
    """Where an adapter comes from."""

    base: str = Field(description="name of the base model")
    base_sha256: str = Field(description="hash of the base's weights")
    licence: str = Field(description="licence of the base's weights")
    precision: str = Field(
        default="", description="how the base was held in training: bf16 or fp32; recipe.base_weights may be narrower"
    )
    template: str = Field(description="name of the chat template")
    data: str = Field(description="hash over the ids of the training and validation examples")
    examples: dict[str, int] = Field(description="training examples by task, count")
    recipe: Recipe = Field(description="resolved recipe")
    recipe_source: dict[str, str] = Field(description="setting -> project, catalogue or default")
    curve: tuple[CurvePoint, ...] = Field(description="training curve")
    losses: tuple[float, ...] = Field(description="training loss of every step, nats a token")
    trainable: int = Field(ge=0, description="parameters that were trained, count")
    total: int = Field(ge=0, description="parameters of the base and the adapter, count")
    layers: int = Field(ge=1, description="decoder blocks with an adapter, the last ones of the base, count")
    best_step: int = Field(ge=0, description="the step whose weights these are")
    truncated: int = Field(ge=0, description="training samples whose question was cut, count")
    left_out: int = Field(
        default=0, ge=0, description="training samples that were left out: nothing to learn, or not the chat template"
    )
    tokens: int = Field(ge=0, description="tokens trained on, count")
    created: str = Field(description="ISO 8601, UTC")
    preferences: Preferences | None = Field(
        default=None, description="what it learned from preference pairs afterwards; none if nothing"
    )
    weights_sha256: str = Field(default="", description="hash of adapter_model.safetensors and adapter_config.json")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter on disk. ``sha256`` is its identity."""

    folder: Path
    card: AdapterCard

    @property
    def sha256(self) -> str:
        return self.card.weights_sha256

    @property
    def name(self) -> str:
        """Short name: the first digits of the identity."""
        return f"a-{self.sha256[:12]}"


def save_adapter(model: PeftModel, card: AdapterCard, folder: Path) -> Adapter:
    """Writes the adapter beside ``folder`` and moves it there whole; an older one at that place is replaced."""
    with _whole_folder(folder) as beside:
        # Without this word PEFT asks the Hugging Face hub for the base's configuration.
        model.save_pretrained(str(beside), save_embedding_layers=False)
        save_as_lora(model, beside / CONFIG, beside / WEIGHTS)
        _sort_config(beside / CONFIG)
        (beside / "README.md").unlink(missing_ok=True)  # PEFT's empty form; card.json says more
        card = card.model_copy(update={"weights_sha256": content_sha256(beside)})
        (beside / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Adapter(folder, card)


def copy_adapter(adapter: Adapter, folder: Path) -> Adapter:
    """The same adapter in another folder; an older one at that place is replaced."""
    may_be_adapter(folder)
    with _whole_folder(folder) as beside:
        for name in (CONFIG, WEIGHTS, CARD):
            shutil.copy2(adapter.folder / name, beside / name)
    return Adapter(folder, adapter.card)


def may_be_adapter(folder: Path) -> None:
    """ModelError where something else than an adapter of ours stands in ``folder``, or beside one: saving would
    delete it."""
    others = {path.name for path in folder.iterdir()} - {CONFIG, WEIGHTS, CARD} if folder.is_dir() else set()
    if folder.is_symlink() or others or (folder.exists() and not folder.is_dir()):
        raise ModelError(f"{folder}: there is something else than an adapter.", fix="Name another folder.")


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder beside ``folder`` and moves it there whole; what was there is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        yield beside
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_card(folder: Path) -> Adapter:
    """The adapter in ``folder``; ModelError where it is not whole or its weights are not those of its card."""
    try:
        card = AdapterCard.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
        found = content_sha256(folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: not an adapter of residency ({Path(str(error.filename)).name} cannot be read).",
            fix="Give the folder that a training run wrote.",
        ) from None
    except ValidationError as error:
        raise ModelError(f"{folder / CARD}: {'; '.join(explain(error))}.", fix="Train the adapter again.") from None
    if found != card.weights_sha256:
        raise ModelError(
            f"{folder}: the adapter's files are not those of its card "
            f"(hash {found[:12]}, expected {card.weights_sha256[:12]}).",
            fix="Copy the folder again, or train the adapter again.",
        )
    return Adapter(folder, card)


def load_adapter(folder: Path, base: Base) -> torch.nn.Module:
    """The base with the adapter on it; ModelError where the adapter changed, or belongs to other weights."""
    from residency.models.attach import attach

    adapter_for(folder, base.sha256, base.entry.name)
    return attach(base, folder)


def adapter_for(folder: Path, base_sha256: str, base: str) -> Adapter:
    """The adapter in ``folder``; ModelError where it changed, or belongs to other weights than those of ``base``."""
    adapter = load_card(folder)
    if adapter.card.base_sha256 != base_sha256:
        raise ModelError(
            f"{folder}: this adapter was trained on {adapter.card.base} {adapter.card.base_sha256[:12]}, "
            f"not on {base} {base_sha256[:12]}.",
            fix="Load the base that the card names.",
        )
    return adapter


def content_sha256(folder: Path) -> str:
    """Identity of an adapter: the hash over its configuration and its weights, as bytes."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        content = (folder / name).read_bytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _sort_config(path: Path) -> None:
    """Sorted, equal runs are equal files: PEFT writes its targets in the order of a set, new in every process."""
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
