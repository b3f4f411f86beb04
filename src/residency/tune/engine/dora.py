"""A linear layer with a DoRA adapter.

In: PEFT's layer. Out: the same layer, with a forward pass of our own.

Covers: DoRA on linear layers, biases of the base, dropout of what the adapter reads. Does not cover: what linear.py
does not cover either; PEFT computes it.

DoRA (Liu and others, 2024, arXiv 2402.09353) gives every row of the adapted weight ``V = W + s B A`` a learned length:
``y = m / |V| * (x V^T) + bias``. As the paper proposes in its section 4.3, and as PEFT does, the lengths ``|V|`` count
as constants in the gradient. PEFT builds V to measure them. Here they come from products with the R columns alone:
``|V_i|^2 = |W_i|^2 + 2 s (W A^T)_i . B_i + s^2 (B A A^T)_i . B_i``, whose first term never changes. PEFT's dropout acts
on part of what W reads as well; here, as in plain LoRA, on what A reads.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from residency.tune.engine.linear import dropped, gradients, is_adapted_linear


def covers(module: torch.nn.Module) -> bool:
    """Whether ``module`` is a layer that this forward pass computes."""
    from peft.tuners.lora.variants import DoraLinearVariant

    return is_adapted_linear(module) and type(module.lora_variant.get("default")) is DoraLinearVariant  # type: ignore[union-attr, operator]


def install(module: Any) -> None:
    """Gives the layer this forward pass; names and parameters stay as PEFT has them."""
    squares = module.base_layer.weight.detach().float().square().sum(1)  # (out,), |W_i|^2
    module.forward = partial(forward, module, squares)


def forward(module: Any, squares: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What PEFT's layer computes, (..., in) -> (..., out)."""
    magnitude = module.lora_magnitude_vector["default"].weight
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    scale = float(module.scaling["default"])
    return _DoraLinear.apply(x, dropped(module, x), module.base_layer, squares, a, b, magnitude, scale)  # type: ignore[no-untyped-call]


def lengths(
    weight: torch.Tensor, squares: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float
) -> torch.Tensor:
    """(out,), fp32: the L2 norm of each row of ``weight + scale * b @ a``."""
    across = (weight @ a.to(weight.dtype).T).float()  # (out, R)
    own = b @ (a @ a.T)  # (out, R)
    return (squares + ((2 * scale * across + scale**2 * own) * b).sum(1)).clamp_min(0).sqrt()


class _DoraLinear(torch.autograd.Function):
    """``y = g z + bias``: ``z = x W^T + s (seen A^T) B^T``, ``g = m / |V|``; ``seen`` is None where it is ``x``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,  # (..., in), base precision
        seen: torch.Tensor | None,
        base: torch.nn.Linear,  # weight (out, in), base precision, frozen
        squares: torch.Tensor,  # (out,), fp32
        a: torch.Tensor,  # (R, in), fp32
        b: torch.Tensor,  # (out, R), fp32
        magnitude: torch.Tensor,  # (out,), fp32
        scale: float,
    ) -> torch.Tensor:
        weight = base.weight
        read = (x if seen is None else seen).flatten(0, -2)
        low = read @ a.to(x.dtype).T  # (T, R)
        z = F.linear(x.flatten(0, -2), weight).addmm_(low, b.to(x.dtype).T, alpha=scale)
        length = lengths(weight, squares, a, b, scale)
        # g is close to 1, and in bf16 what a step changes of it would be rounded away; of g - 1 it is not.
        beyond = (magnitude / length - 1).to(x.dtype)
        y = torch.addcmul(z, z, beyond)
        # What is kept is y, which its reader often keeps as well; a large bias would hide z in it.
        kept, by = (y, magnitude) if base.bias is None else (z, length)
        if base.bias is not None:
            y += base.bias
        ctx.save_for_backward(read, low, a, b, beyond, kept, by)
        ctx.base, ctx.scale, ctx.dropped, ctx.shape = base, scale, seen is not None, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        read, low, a, b, beyond, kept, by = ctx.saved_tensors
        dy = dy.flatten(0, -2)
        dmagnitude = (dy * kept).sum(0).float() / by  # the sum of dy z / |V|, and z / |V| = (y - bias) / m
        dz = torch.addcmul(dy, dy, beyond)  # (T, out)
        dx, dseen, da, db = gradients(ctx, dz, read, low, a, b)
        return dx, dseen, None, None, da, db, dmagnitude, None
