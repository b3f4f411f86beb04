"""Rotary position embedding without the copies.

In: the module of a transformers model that defines ``apply_rotary_pos_emb``. Out: while ``turning`` lasts, that
function is one of our own, where it computes the same.

Covers: the rotation that Llama, Mistral, Mixtral, Qwen and Gemma share, told by trying. Does not cover: interleaved and
partial rotations; they stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from residency.tune.engine.kernels import ROTATE, fused

FUNCTION = "apply_rotary_pos_emb"


@contextmanager
def turning(model: torch.nn.Module) -> Iterator[None]:
    """Exchanges the function of the model's own module. transformers gives it no other handle."""
    module: Any = sys.modules[type(model).__module__]
    original = getattr(module, FUNCTION, None)
    if original is None or not _same(original):
        yield
        return
    setattr(module, FUNCTION, rotate)
    try:
        yield
    finally:
        setattr(module, FUNCTION, original)


def rotate(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys (B, heads, T, D), rotated by (B, T, D). The signature is transformers'."""
    if kernel := fused(ROTATE, q):
        turned: tuple[torch.Tensor, torch.Tensor] = kernel.apply(q, k, cos, sin, None, unsqueeze_dim)
        return turned
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return _Rotate.apply(q, cos, sin), _Rotate.apply(k, cos, sin)  # type: ignore[no-untyped-call]


@cache
def _same(original: Any) -> bool:
    draw = torch.Generator().manual_seed(0)
    q, k, cos, sin = (
        torch.randn(shape, generator=draw) for shape in ((1, 2, 3, 8), (1, 1, 3, 8), (1, 3, 8), (1, 3, 8))
    )
    try:
        expected = original(q, k, cos, sin)
    except (TypeError, RuntimeError):
        return False
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(rotate(q, k, cos, sin), expected, strict=True))


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        ctx.save_for_backward(cos, sin)
        y = x * cos
        y[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
        y[..., half:].addcmul_(x[..., :half], sin[..., half:])
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        half = dy.shape[-1] // 2
        dx = dy * cos
        dx[..., :half].addcmul_(dy[..., half:], sin[..., half:])
        dx[..., half:].addcmul_(dy[..., :half], sin[..., :half], value=-1)
        return dx, None, None
