"""The recipe, and the adapter it builds.

In: what a person set, and what the catalogue knows of the base. Out: a ``Recipe``; a PEFT model on that base.

Covers: which value comes from where (project file, then catalogue, then the general default); standard PEFT LoRA.
Does not cover: the steps of training (engine.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from residency.errors import TrainingError
from residency.models.base import Base
from residency.models.catalogue import CatalogueEntry
from residency.settings import Settings, explain

if TYPE_CHECKING:
    from peft import PeftModel

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


class Schedule(StrEnum):
    """How the learning rate falls after warmup."""

    CONSTANT = "constant"
    LINEAR = "linear"  # to zero
    COSINE = "cosine"  # to zero


class ChosenBy(StrEnum):
    """What says which state of a run is the best."""

    LOSS = "loss"  # of the validation answers, mean over the tasks
    METRIC = "metric"  # of answers that the model writes to the validation questions; slow, and what a task cares about


class Recipe(Settings):
    """How an adapter is trained."""

    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="peak learning rate of AdamW, per step")
    batch_size: int = Field(default=8, ge=1, le=4096, description="examples a step, count")
    epochs: int = Field(default=3, ge=1, le=1000, description="passes over the training examples, count")
    rank: int = Field(default=16, ge=1, le=1024, description="rank of the LoRA matrices, count")
    alpha: float = Field(default=32, gt=0, le=4096, description="LoRA scale; the update is multiplied by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of a LoRA layer's inputs set to zero, 0 to 1")
    targets: tuple[str, ...] = Field(
        default=(*ATTENTION, *FEED_FORWARD), min_length=1, description="names of the linear layers that get an adapter"
    )
    top_layers: int | None = Field(
        default=None, ge=1, description="adapt only this many of the last decoder blocks, count; all where not set"
    )
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps in which the rate rises, 0 to 1")
    schedule: Schedule = Field(default=Schedule.COSINE, description="constant, linear or cosine")
    weight_decay: float = Field(
        default=0.01, ge=0, le=10, description="decoupled weight decay of AdamW, per unit of rate"
    )
    max_norm: float = Field(
        default=1.0, gt=0, description="largest L2 norm of a step's gradient; longer ones are scaled down"
    )
    max_tokens: int = Field(
        default=1024, ge=16, le=131072, description="longest sample, tokens; longer questions are cut"
    )
    micro_tokens: int = Field(
        default=2048, ge=16, description="tokens held in memory at once, about; a step is split where it holds more"
    )
    checkpoint_every: int = Field(default=25, ge=1, description="steps between checkpoints, count")
    spike_factor: float = Field(
        default=5.0, gt=1, description="stop when the loss stays above this many times its recent median, ratio"
    )
    most_truncated: float = Field(
        default=0.1, ge=0, le=1, description="largest share of questions that may be cut; more refuse the run, 0 to 1"
    )
    most_unusable: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="largest share of samples that may be left out because their answer does not fit, or because their "
        "tokens are not what the chat template says; more refuse the run, 0 to 1",
    )
    choose_by: ChosenBy = Field(
        default=ChosenBy.LOSS, description="what chooses the weights that are kept, on validation: loss or metric"
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after this many epochs without a better state, count; never where not set"
    )
    seed: int = Field(default=1, ge=0, description="seed of the first weights, the order of the examples and dropout")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe with every value decided, and where each came from: "project", "catalogue" or "default"."""

    recipe: Recipe
    source: Mapping[str, str]


def resolve(recipe: Recipe, entry: CatalogueEntry) -> Resolved:
    """What a person set stands; what they did not set comes from the base's entry, else from the default."""
    unset = {name: default.value for name, default in entry.recipe.items() if name not in recipe.model_fields_set}
    chosen = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    try:
        resolved = Recipe.model_validate({**unset, **chosen})
    except ValidationError as error:
        raise TrainingError(
            f"Catalogue, recipe of {entry.name}: {'; '.join(explain(error))}.", fix="Correct models/catalogue.json."
        ) from None
    sources = {
        name: "project" if name in chosen else "catalogue" if name in unset else "default"
        for name in Recipe.model_fields
    }
    return Resolved(resolved, sources)


def attach(base: Base, recipe: Recipe) -> PeftModel:
    """A fork of the base with a fresh adapter: A is drawn with the recipe's seed, B is zero, both in fp32."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = base.fork()
    _check_targets(model, recipe)
    layers = int(model.config.num_hidden_layers)  # type: ignore[union-attr,arg-type]
    top = None if recipe.top_layers is None else list(range(max(layers - recipe.top_layers, 0), layers))
    config = LoraConfig(
        r=recipe.rank,
        # PEFT types alpha as int; whole numbers stay whole in adapter_config.json.
        lora_alpha=int(recipe.alpha) if recipe.alpha == int(recipe.alpha) else recipe.alpha,  # type: ignore[arg-type]
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.targets),
        layers_to_transform=top,
        bias="none",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT 0.21 reads an attribute that transformers 5 deprecates.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(recipe.seed)
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    # PEFT writes the folder of the base here, which means nothing on another machine.
    adapted.peft_config["default"].base_model_name_or_path = base.entry.name
    return adapted


def trainable(model: Any) -> dict[str, Any]:
    """The adapter's parameters by name, in a fixed order."""
    return {name: parameter for name, parameter in sorted(model.named_parameters()) if parameter.requires_grad}


def _check_targets(model: Any, recipe: Recipe) -> None:
    import torch

    present = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    unknown = sorted(set(recipe.targets) - present)
    if unknown:
        raise TrainingError(
            f"recipe.targets: the base has no linear layer called {', '.join(unknown)}.",
            fix=f"Use some of: {', '.join(sorted(present - {'lm_head'}))}.",
        )
