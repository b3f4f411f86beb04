"""PiSSA: an adapter that starts from the base's principal directions, and is saved as a plain one.

In: a fresh adapter. Out: the same adapter, started; later a plain LoRA adapter in a folder.

Covers: linear layers in every layout. Does not cover: mixtures of experts, quantized bases (lora.py refuses both).

PiSSA (Meng and others, 2024, arXiv 2404.02948) trains the largest singular directions ``s B0 A0`` of a weight W, and
freezes the rest, ``W - s B0 A0``. So it trains over other weights than those of the base, and its matrices alone would
mean nothing to whoever holds the base. What was learned, ``s (B A - B0 A0)``, is a plain update of twice the rank: that
is saved, and loads like any other adapter. PEFT can convert as well, but reads the first matrices from a folder into
the model that is being trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from residency.errors import TrainingError
from residency.models.memory import available_bytes

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

ITERATIONS = 16  # of the randomized decomposition; as PEFT's documentation proposes where the exact one takes too long
FIRST = {"lora_A": "first_A", "lora_B": "first_B"}  # PEFT's matrix -> the buffer with what it started from


def start(model: PeftModel) -> None:
    """Gives the adapter its first matrices, and the fork under it the rest; whose fork it is keeps its weights.

    Draws from torch's generator. The first matrices stay on the layers, beside the trained ones.
    """
    import torch

    layers = [module for _, module in _layers(model)]
    _require_directions(layers)
    _require_room(layers)
    for layer in layers:
        linear = layer.get_base_layer()
        linear.weight = torch.nn.Parameter(linear.weight.detach(), requires_grad=False)  # PEFT writes into this one
        layer.pissa_init("default", f"pissa_niter_{ITERATIONS}")
        for theirs, ours in FIRST.items():
            first = getattr(layer, theirs)["default"].weight.detach().clone()
            layer.register_buffer(ours, first, persistent=False)


def save_as_lora(model: PeftModel, config: Path, weights: Path) -> None:
    """Turns what PEFT saved of ``model`` into a plain adapter; one that did not start this way stays as it is."""
    from safetensors.torch import load_file, save_file

    layers = dict(_layers(model))
    if not any(hasattr(layer, name) for layer in layers.values() for name in FIRST.values()):
        return
    saved = load_file(weights)
    for path, layer in layers.items():
        a, b = f"{path}.lora_A.weight", f"{path}.lora_B.weight"
        saved[a] = _beside(saved[a], layer.first_A, dim=0)  # (2 R, in)
        saved[b] = _beside(saved[b], -layer.first_B, dim=1)  # (out, 2 R)
    save_file(saved, weights, metadata={"format": "pt"})
    settings: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    settings |= {"r": 2 * settings["r"], "lora_alpha": 2 * settings["lora_alpha"]}  # the scale is alpha / r
    config.write_text(json.dumps(settings), encoding="utf-8")


def _layers(model: PeftModel) -> list[tuple[str, Any]]:
    """The adapted layers by their path in PEFT's file."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def _require_directions(layers: list[Any]) -> None:
    """TrainingError where a layer has fewer singular directions than the adapter's rank."""
    rank = layers[0].r["default"]
    fewest = min(min(layer.get_base_layer().weight.shape) for layer in layers)
    if rank > fewest:
        raise TrainingError(
            f"recipe.rank: an adapted layer has {fewest} singular directions, and pissa would train {rank}.",
            fix=f"Set recipe.rank to {fewest} or less, or recipe.method to lora.",
        )


def _require_room(layers: list[Any]) -> None:
    """TrainingError where the copies of the adapted weights do not fit into memory."""
    weights = [layer.get_base_layer().weight for layer in layers]
    needed, free = sum(weight.nbytes for weight in weights), available_bytes(weights[0].device)
    if needed > free:
        raise TrainingError(
            f"recipe.method: pissa copies the weights that it adapts, {decimal(needed)}, and {decimal(free)} of memory "
            "are free.",
            fix="Set recipe.method to lora, adapt fewer blocks, or use a machine with more memory.",
        )


def _beside(trained: torch.Tensor, first: torch.Tensor, *, dim: int) -> torch.Tensor:
    import torch

    return torch.cat([trained, first.to(trained)], dim=dim).contiguous()
