"""The recipe, and the adapter it builds.

In: what a person set, and what the catalogue knows of the base. Out: a ``Recipe``; a PEFT model on that base.

Covers: which value comes from where (project file, then catalogue, then the general default); LoRA and its variants as
PEFT has them; refusing what cannot go together. Does not cover: the steps of training (training.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from residency.errors import ModelError, TrainingError
from residency.models.base import Base, BaseWeights
from residency.models.catalogue import CatalogueEntry
from residency.settings import Settings, explain
from residency.tune import pissa

if TYPE_CHECKING:
    from peft import PeftModel

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
# What transformers calls the experts' matrices -> by the name of the linear layer that they take the place of.
EXPERT_NAMES = {"gate_proj": ("gate_up_proj",), "up_proj": ("gate_up_proj",), "down_proj": ("down_proj",)}
FAST_SHARE = 1 / 3  # of the blocks, for a base without a measured depth


class Schedule(StrEnum):
    """How the learning rate falls after warmup."""

    CONSTANT = "constant"
    LINEAR = "linear"  # to zero
    COSINE = "cosine"  # to zero


class ChosenBy(StrEnum):
    """What says which state of a run is the best."""

    LOSS = "loss"  # of the validation answers, mean over the tasks
    METRIC = "metric"  # of answers that the model writes to the validation questions; slow, and what a task cares about


class Depth(StrEnum):
    """How many decoder blocks get an adapter."""

    FULL = "full"  # all
    FAST = "fast"  # the last ones, as many as the catalogue says of the base; those below are computed once


class Method(StrEnum):
    """Which kind of adapter is trained. All are saved in PEFT's format and load on the base as it is; vLLM loads all
    but DoRA."""

    LORA = "lora"
    RSLORA = "rslora"  # LoRA whose update is multiplied by alpha / sqrt(rank), so that a high rank still learns
    DORA = "dora"  # LoRA, and the length of every row of the weight (engine/dora.py)
    PISSA = "pissa"  # LoRA that starts from the weight's largest singular directions (pissa.py)


class Recipe(Settings):
    """How an adapter is trained."""

    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="peak learning rate of AdamW, per step")
    batch_size: int = Field(default=8, ge=1, le=4096, description="examples a step, count")
    epochs: int = Field(default=3, ge=1, le=1000, description="passes over the training examples, count")
    method: Method = Field(default=Method.LORA, description="kind of adapter: lora, rslora, dora or pissa")
    base_weights: BaseWeights = Field(
        default=BaseWeights.LOADED,
        description="how the frozen base is held in training: as loaded, or its linear layers as int8 or nf4",
    )
    rank: int = Field(default=16, ge=1, le=1024, description="rank of the LoRA matrices, count")
    alpha: float = Field(
        default=32,
        gt=0,
        le=4096,
        description="LoRA scale; the update is multiplied by alpha / rank, with rslora by alpha / sqrt(rank)",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of a LoRA layer's inputs set to zero, 0 to 1")
    targets: tuple[str, ...] = Field(
        default=(*ATTENTION, *FEED_FORWARD), min_length=1, description="names of the linear layers that get an adapter"
    )
    depth: Depth = Field(
        default=Depth.FULL,
        description="full: adapters on all blocks; fast: on the last ones only, several times faster",
    )
    kept_bytes: int = Field(
        default=4 * 2**30, ge=0, description="largest file of hidden states kept between epochs when fast, bytes"
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
    recompute: bool = Field(
        default=False,
        description="compute each block again in the backward pass instead of keeping what it computed: a fraction of "
        "the memory a token, a third more time, the same result",
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


def adapted_layers(recipe: Recipe, entry: CatalogueEntry) -> int:
    """How many of the last decoder blocks get an adapter."""
    layers = entry.shape.layers
    if recipe.depth is Depth.FULL:
        return layers
    return entry.fast.layers if entry.fast else math.ceil(layers * FAST_SHARE)


def held_as(base: Base, weights: BaseWeights) -> Base:
    """The base with its weights held as the recipe says; TrainingError where that cannot be."""
    if base.weights is weights:
        return base
    if base.weights is not BaseWeights.LOADED:
        raise TrainingError(
            f"recipe.base_weights is {weights}, and the base was loaded as {base.weights}.",
            fix=f"Set recipe.base_weights to {base.weights}, or load the base again.",
        )
    try:
        return base.quantized(weights)
    except ModelError as error:
        raise TrainingError(f"recipe.base_weights: {error.message}", fix=error.fix) from None


def attach(base: Base, recipe: Recipe) -> PeftModel:
    """A fork of the base with a fresh adapter in fp32: A is drawn with the recipe's seed and B is zero, or both are as
    PiSSA has them. TrainingError where the recipe and the base do not go together."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = base.fork()
    layers, count = base.entry.shape.layers, adapted_layers(recipe, base.entry)
    top = range(layers - count, layers)
    linear, experts = _targets(model, recipe, top)
    _refuse_impossible(recipe, base, experts)
    config = LoraConfig(
        r=recipe.rank,
        # PEFT types alpha as int; whole numbers stay whole in adapter_config.json.
        lora_alpha=int(recipe.alpha) if recipe.alpha == int(recipe.alpha) else recipe.alpha,  # type: ignore[arg-type]
        lora_dropout=recipe.dropout,
        target_modules=linear,
        target_parameters=experts or None,
        use_rslora=recipe.method is Method.RSLORA,
        use_dora=recipe.method is Method.DORA,
        layers_to_transform=None if count >= layers else list(top),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT 0.21 reads an attribute that transformers 5 deprecates.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        # GPT-2's layers are stored transposed; PEFT sees that by itself and says so.
        warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)
        torch.manual_seed(recipe.seed)
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
        if recipe.method is Method.PISSA:
            pissa.start(adapted)
    # PEFT writes the folder of the base here, which means nothing on another machine.
    adapted.peft_config["default"].base_model_name_or_path = base.entry.name
    return adapted


def trainable(model: Any) -> dict[str, Any]:
    """The adapter's parameters by name, in a fixed order."""
    return {name: parameter for name, parameter in sorted(model.named_parameters()) if parameter.requires_grad}


def _targets(model: Any, recipe: Recipe, top: range) -> tuple[list[str], list[str]]:
    """The linear layers to adapt, by their last name, and the experts' matrices in the blocks ``top``, by their path.

    transformers holds the experts of a block in one parameter each for gate with up, and for down.
    """
    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if type(module) in _linear_types()}
    paths = [name for name, p in model.named_parameters() if p.ndim == 3 and "experts" in name.split(".")]
    wanted = {name for target in recipe.targets for name in EXPERT_NAMES.get(target, ())}
    experts = [
        p for p in paths if p.rpartition(".")[2] in wanted and not {str(n) for n in top}.isdisjoint(p.split("."))
    ]
    known = linear | (set(EXPERT_NAMES) if paths else set())
    unknown = sorted(set(recipe.targets) - known)
    if unknown:
        raise TrainingError(
            f"recipe.targets: the base has no linear layer called {', '.join(unknown)}.",
            fix=f"Use some of: {', '.join(sorted(known - {'lm_head'}))}.",
        )
    return [target for target in recipe.targets if target in linear], experts


def _linear_types() -> tuple[type, ...]:
    import torch
    from transformers.pytorch_utils import Conv1D

    from residency.models.quantized import QuantizedLinear

    return torch.nn.Linear, Conv1D, QuantizedLinear


def _refuse_impossible(recipe: Recipe, base: Base, experts: Sequence[str]) -> None:
    """One TrainingError for everything in the recipe that does not go together, or not with this base."""
    attention_only = f"recipe.targets to {', '.join(ATTENTION)}"
    problems, cures = [], []
    if experts and recipe.dropout:
        problems.append("recipe.dropout: PEFT cannot drop inputs of a mixture of experts")
        cures.append(f"recipe.dropout to 0, or {attention_only}")
    if experts and recipe.method in (Method.DORA, Method.PISSA):
        problems.append(f"recipe.method: {recipe.method} cannot adapt a mixture of experts")
        cures.append(f"recipe.method to {Method.LORA} or {Method.RSLORA}, or {attention_only}")
    if recipe.method is Method.PISSA and base.weights is not BaseWeights.LOADED:
        problems.append(f"recipe.base_weights: pissa takes the base's weights apart, which {base.weights} cannot hold")
        cures.append(f"recipe.base_weights to {BaseWeights.LOADED}, or recipe.method to {Method.LORA}")
    if problems:
        raise TrainingError(f"{'; '.join(problems)}.", fix=f"Set {'; and '.join(cures)}.")
