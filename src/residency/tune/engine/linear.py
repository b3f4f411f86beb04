"""A linear layer with a LoRA adapter.

In: PEFT's layer. Out: the same layer, with a forward pass of our own.

Covers: plain LoRA and rsLoRA on linear layers, also on quantized ones (models/quantized.py), biases of the base,
dropout. Does not cover: DoRA (dora.py); other variants, several adapters at once; PEFT computes those.

PEFT widens the input to fp32 for its fp32 adapter and keeps the wide copy for the backward pass. Here products run in
the base's precision; parameters, their gradients and the optimizer stay fp32. Nothing is kept but the layer's input,
which its neighbors keep as well, and its R numbers a token.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from residency.models.quantized import QuantizedLinear


def covers(module: torch.nn.Module) -> bool:
    """Whether ``module`` is a layer that this forward pass computes."""
    return is_adapted_linear(module) and not module.lora_variant


def is_adapted_linear(module: torch.nn.Module) -> bool:
    """Whether ``module`` is PEFT's linear layer with the one adapter, of whatever variant, in its common form."""
    from peft.tuners.lora.layer import Linear

    return (
        type(module) is Linear
        and type(module.get_base_layer()) in (torch.nn.Linear, QuantizedLinear)
        and list(module.active_adapters) == ["default"]
        and "default" in module.lora_A
        and not module.merged
        and not module.fan_in_fan_out
        and not module.lora_bias["default"]
    )


def install(module: Any) -> None:
    """Gives the layer this forward pass; names and parameters stay as PEFT has them."""
    module.forward = partial(forward, module)


def forward(module: Any, x: torch.Tensor) -> torch.Tensor:
    """What PEFT's layer computes, (..., in) -> (..., out)."""
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    scale = float(module.scaling["default"])
    return _LoraLinear.apply(x, dropped(module, x), module.base_layer, a, b, scale)  # type: ignore[no-untyped-call]


def dropped(module: Any, x: torch.Tensor) -> torch.Tensor | None:
    """What the adapter reads in place of ``x``; None where that is ``x`` itself."""
    dropout = module.lora_dropout["default"]
    return dropout(x) if dropout.training and getattr(dropout, "p", 0) else None


def gradients(
    ctx: Any, dz: torch.Tensor, read: torch.Tensor, low: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor, torch.Tensor]:
    """Of x, what the adapter read, A and B, where ``dz``, (T, out), is that of ``z = x W^T + s (seen A^T) B^T``.

    ``read`` (T, in), ``low`` (T, R). ``ctx``: a function whose first two inputs are x and what the adapter read, with
    ``base``, ``scale``, ``dropped`` and the ``shape`` of x.
    """
    dlow = (dz @ b.to(dz.dtype)).mul_(ctx.scale)  # (T, R)
    da, db = (dlow.T @ read).to(a.dtype), (dz.T @ low).to(b.dtype).mul_(ctx.scale)
    dx = dseen = None
    if ctx.needs_input_grad[0]:
        dx = dz @ ctx.base.weight
        if not ctx.dropped:
            dx.addmm_(dlow, a.to(dz.dtype))
        dx = dx.view(ctx.shape)
    if ctx.dropped and ctx.needs_input_grad[1]:
        dseen = (dlow @ a.to(dz.dtype)).view(ctx.shape)
    return dx, dseen, da, db


class _LoraLinear(torch.autograd.Function):
    """``y = x W^T + bias + s (seen A^T) B^T``; ``seen`` is None where it is ``x``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,  # (..., in), base precision
        seen: torch.Tensor | None,
        base: torch.nn.Linear,  # weight (out, in), base precision, frozen; a quantized one is widened for each product
        a: torch.Tensor,  # (R, in), fp32
        b: torch.Tensor,  # (out, R), fp32
        scale: float,
    ) -> torch.Tensor:
        read = (x if seen is None else seen).flatten(0, -2)
        low = read @ a.to(x.dtype).T  # (T, R)
        y = F.linear(x.flatten(0, -2), base.weight, base.bias).addmm_(low, b.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(read, low, a, b)
        ctx.base, ctx.scale, ctx.dropped, ctx.shape = base, scale, seen is not None, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dx, dseen, da, db = gradients(ctx, dy.flatten(0, -2), *ctx.saved_tensors)
        return dx, dseen, None, da, db, None
