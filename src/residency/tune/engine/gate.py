"""Gated feed-forward layers that keep two tensors instead of three.

In: a feed-forward layer of a transformers model. Out: the same module, with a forward pass of our own, where it
computes the same.

Covers: ``down(act(gate(x)) * up(x))`` with SiLU or GELU (tanh), as Llama, Mistral, Qwen and Gemma have it; told by
trying.
Does not cover: other shapes, mixtures of experts; they stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from residency.tune.engine.kernels import GATE, fused

Slope = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Activation = tuple[Callable[[torch.Tensor], torch.Tensor], Slope]
ACTIVATIONS: tuple[Activation, ...] = (
    (F.silu, torch.ops.aten.silu_backward),
    (partial(F.gelu, approximate="tanh"), partial(torch.ops.aten.gelu_backward, approximate="tanh")),
)


def install(module: Any) -> bool:
    """Gives ``module`` this forward pass where it is a layer that this computes; says whether."""
    act = getattr(module, "act_fn", None)
    if act is None or not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj")):
        return False
    width = getattr(module.gate_proj, "in_features", None)
    if width is None:
        return False
    x = torch.randn(2, width, generator=torch.Generator().manual_seed(0)).to(module.gate_proj.weight)
    with torch.no_grad():
        expected = module(x)
        for activation in ACTIVATIONS:
            if torch.equal(_plain(module, activation, x), expected):
                module.forward = partial(forward, module, activation)
                return True
    return False


def forward(module: Any, activation: Activation, x: torch.Tensor) -> torch.Tensor:
    """(..., H) -> (..., H)."""
    if activation is ACTIVATIONS[0] and (kernel := fused(GATE, x)):
        return module.down_proj(kernel.apply(module.gate_proj(x), module.up_proj(x)))
    return _plain(module, activation, x)


def _plain(module: Any, activation: Activation, x: torch.Tensor) -> torch.Tensor:
    return module.down_proj(_Gate.apply(module.gate_proj(x), module.up_proj(x), activation))  # type: ignore[no-untyped-call]


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor, activation: Activation) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        ctx.activation = activation
        return activation[0](gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        act, slope = ctx.activation
        dup = act(gate).mul_(dy)
        return slope(dy * up, gate), dup, None
