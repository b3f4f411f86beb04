"""Root-mean-square norms that keep their input and one number a row.

In: a norm of a transformers model. Out: the same module with a forward pass of our own, where it computes the same.

Covers: ``x / rms(x) * weight`` and Gemma's ``* (1 + weight)``, told apart by trying both. Does not cover: norms with
biases or means; they stay as they are. Weights are frozen, so only the input has a gradient.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from residency.tune.engine.kernels import RMS_NORM, fused


def install(module: Any) -> bool:
    """Gives ``module`` this forward pass where it is a norm that this computes; says whether."""
    weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if "RMSNorm" not in type(module).__name__ or weight is None or epsilon is None or weight.requires_grad:
        return False
    x = torch.randn(4, len(weight), generator=torch.Generator().manual_seed(0)).to(weight)
    with torch.no_grad():
        expected = module(x).float()
        for offset in (0, 1):
            found = forward(module, offset, epsilon, x).float()
            if (found - expected).norm() <= 4 * torch.finfo(weight.dtype).eps * expected.norm():
                module.forward = partial(forward, module, offset, epsilon)
                return True
    return False


def forward(module: Any, offset: int, epsilon: float, x: torch.Tensor) -> torch.Tensor:
    """(..., H) -> (..., H). The weight is read anew: it can be another tensor each time where blocks are shared out."""
    if kernel := fused(RMS_NORM, x):
        # Not in place: the gradient that comes in belongs to the residual stream as well.
        return kernel.apply(x, module.weight, epsilon, float(offset), "gemma" if offset else "llama", False)
    weight = module.weight + offset if offset else module.weight
    return _RmsNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.rsqrt(norm.square() / x.shape[-1] + epsilon)  # (..., 1), fp32
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse.to(x.dtype)).mul_(weight)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """i * g - x * i^3 * mean(g * x), with g = dy * weight and i the inverse root mean square."""
        x, weight, inverse = ctx.saved_tensors
        g = dy * weight
        shared = (g * x).sum(-1, keepdim=True, dtype=torch.float32) * (inverse**3 / x.shape[-1])
        return g.mul_(inverse.to(x.dtype)).addcmul_(x, shared.to(x.dtype), value=-1), None, None
