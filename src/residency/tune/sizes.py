"""What a base and its adapter weigh, from their shapes alone: no weight is read.

In: a name of the catalogue or a folder with config.json, and a recipe. Out: ``Sizes``; the memory of training on a
processor, on one GPU, on several that share the blocks.

Covers: every decoder that transformers builds, with the very adapter that training would build, on PyTorch's meta
device. The memory is that of this engine (engine/), which keeps what one part of a batch leaves behind, or with
``recompute`` only what goes into each block.
Does not cover: what is learned of (the logits count as if every token were), buffers of the libraries, other processes.
Mixtures: quantization makes linear layers smaller, not experts, and is left out. PEFT adds an adapter to all experts of
a block before they compute, so each adapted block holds its experts once more until its backward pass; and what experts
keep of a token is an estimate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.errors import ModelError
from residency.models.base import Base, Precision
from residency.models.catalogue import CatalogueEntry, Shape, catalogue, entry_named, entry_of_folder, name_of_folder
from residency.models.embedded import EMBEDDED
from residency.tune.forecast import MARGIN
from residency.tune.lora import Recipe, adapted_layers, attach, resolve, trainable

if TYPE_CHECKING:
    import torch

WIDE = 4  # bytes of fp32: adapters, their gradients, the optimizer
NARROW = 2  # bytes of bf16: weights and activations
TRAINED = 5 * WIDE  # a trained parameter: itself, gradient, two moments of AdamW, the best state
INT8 = 1.0  # bytes a quantized weight
NF4 = 0.5 + NARROW / 64  # and one scale for 64 weights
MOSTLY = 0.5  # share of the blocks that has to be linear layers for quantization to be offered
GATHERED = 2  # blocks that are whole at one time where they are shared out: this one, and the next on its way


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of a base and its adapter."""

    name: str
    parameters: int  # of the base
    in_blocks: int  # of these in decoder blocks
    linear: int  # of these in linear layers of the blocks, which quantization makes smaller
    experts: int  # numbers of adapted experts that are held beside the base's
    blocks: int
    adapted: int  # blocks with an adapter
    trained: int  # parameters of the adapter
    kept: int  # numbers that a token leaves behind for the backward pass, in all blocks
    vocabulary: int

    @property
    def adapter_bytes(self) -> int:
        """Of the adapter's file, but for its table of names."""
        return self.trained * WIDE

    @property
    def base_bytes(self) -> int:
        """Of the base's files in bf16."""
        return self.parameters * NARROW


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that training takes in one place."""

    place: str
    weights: float
    adapter: float  # with gradient, optimizer and best state
    activations: float  # of one part of a batch, with the logits

    @property
    def total(self) -> float:
        return self.weights + self.adapter + self.activations


def sizes_of(name: str, recipe: Recipe | None = None) -> Sizes:
    """Counts for the base called ``name`` (of the catalogue, or a folder with config.json) under ``recipe``."""
    import torch

    from residency.tune.engine.step import blocks_of

    base = _on_meta(name)
    resolved = resolve(recipe or Recipe(), base.entry).recipe
    blocks = torch.nn.ModuleList(blocks_of(base.model))
    adapted = adapted_layers(resolved, base.entry)
    parameters, in_blocks = _count(base.model.parameters()), _count(blocks.parameters())
    linear = sum(m.weight.numel() for m in blocks.modules() if isinstance(m, torch.nn.Linear))
    model = attach(base, resolved)
    trained = trainable(model)
    experts, kept = _count(_adapted_experts(model)), _kept_in_a_block(base.entry.shape, base.model.config, resolved)
    one = experts // adapted  # of one block, whose gradient is there as well
    if resolved.recompute:
        experts, kept = 2 * one, (adapted + 1) * base.entry.shape.hidden + kept
    else:
        experts, kept = experts + one, adapted * kept
    return Sizes(
        name=base.entry.name,
        parameters=parameters,
        in_blocks=in_blocks,
        linear=linear,
        experts=experts,
        blocks=len(blocks),
        adapted=adapted,
        trained=_count(trained.values()),
        kept=kept,
        vocabulary=base.entry.shape.vocabulary,
    )


def memory_of(sizes: Sizes, *, micro_tokens: int, gpus: int) -> list[Memory]:
    """What training takes, by place: weights wide and narrow on a processor, one GPU, several GPUs together."""
    others = sizes.parameters - sizes.linear
    outside = sizes.parameters - sizes.in_blocks
    shared = outside + sizes.in_blocks * (1 / gpus + GATHERED / sizes.blocks)
    places: dict[str, tuple[float, int]] = {
        "processor, fp32": (sizes.parameters * WIDE, WIDE),
        "processor or GPU, bf16": (sizes.parameters * NARROW, NARROW),
    }
    if sizes.linear > MOSTLY * sizes.in_blocks:
        places["the same, int8"] = (others * NARROW + sizes.linear * INT8, NARROW)
        places["the same, nf4"] = (others * NARROW + sizes.linear * NF4, NARROW)
    if gpus > 1:
        places[f"each of {gpus} GPUs, bf16, blocks shared out"] = (shared * NARROW, NARROW)
    logits = 2 * sizes.vocabulary  # and their gradient
    return [
        Memory(
            place=place,
            weights=weights,
            adapter=sizes.trained * TRAINED,
            activations=MARGIN * micro_tokens * (sizes.kept + logits) * number + sizes.experts * number,
        )
        for place, (weights, number) in places.items()
    ]


def _on_meta(name: str) -> Base:
    """The base without its weights. It has no tokenizer either."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    entry, fields = _described(name)
    try:
        config = AutoConfig.for_model(**fields)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    except Exception as error:  # a config.json can be wrong in every way, and each library says so by its own error
        raise ModelError(
            f"{name}: transformers cannot build a decoder of it ({type(error).__name__}).", fix="Use a decoder model."
        ) from error
    return Base(model.eval().requires_grad_(False), None, entry, "", Path(), Precision.BF16)


def _described(name: str) -> tuple[CatalogueEntry, dict[str, Any]]:
    """What is known of the base, and its config's fields."""
    folder = Path(os.path.expanduser(name))  # where there is no such user, a name as any other
    entry = entry_named(EMBEDDED if name == "embedded" else name)
    if entry is not None and not folder.is_dir():
        return entry, {"model_type": entry.model_type, **entry.shape.config()}
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shape = Shape.of_config(fields)
        model_type = str(fields["model_type"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(
            f"{name}: neither a base of the catalogue nor a folder with the config.json of a decoder.",
            fix=f"Use a folder, or one of: {', '.join(e.name for e in catalogue().bases)}.",
        ) from None
    known = entry_of_folder(folder, fields) or CatalogueEntry(
        name=name_of_folder(folder),
        licence="unknown", origin="a local folder", model_type=model_type, shape=shape, template=None,
    )  # fmt: skip
    return known, fields


def _adapted_experts(model: Any) -> Iterator[torch.nn.Parameter]:
    from peft.tuners.lora.layer import ParamWrapper

    for module in model.modules():
        if isinstance(module, ParamWrapper):
            yield module.get_param()  # type: ignore[no-untyped-call]


def _kept_in_a_block(shape: Shape, config: Any, recipe: Recipe) -> int:
    """Numbers a token that one block keeps for its backward pass: (H) four times, queries and what they read, keys and
    values, three times the feed-forward layer, R for each adapted layer."""
    width = getattr(config, "head_dim", None) or shape.hidden // shape.heads
    through = max(shape.experts_per_token, 1)
    attention = 2 * shape.heads * width + 2 * shape.kv_heads * width
    return 4 * shape.hidden + attention + 3 * shape.intermediate * through + len(recipe.targets) * recipe.rank


def _count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)
