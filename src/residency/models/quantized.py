"""A frozen linear layer whose weight takes one byte a number, or half of one.

In: a linear layer. Out: a linear layer that computes about the same; its weight is widened for each product and thrown
away after it.

Covers: int8 with one scale a row; nf4, the four-bit levels of QLoRA (Dettmers and others, 2023, arXiv 2305.14314) with
one scale a block; gradients in the input; every device. Does not cover: training the weight, embeddings and heads, the
experts of a mixture (parameters, not layers).

A scale is rounded to the layer's precision before the codes are computed with it, so that its rounding is no error.

Rejected: bitsandbytes. Its CPU kernel widens nf4 about twice as fast, but looks for compiled kernels on the network,
and nothing here may. Products of int8 matrices: no faster than those of bf16 (docs/decisions.md).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from residency.errors import ModelError
from residency.models.base import BaseWeights

MOST = 127  # largest int8 code
BLOCK = 64  # weights that share a scale in nf4, as in the paper
# The quantiles of a normal distribution that the paper's appendix E gives, from -1 to 1, zero among them.
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class QuantizedLinear(torch.nn.Linear):
    """``linear`` with a narrow weight; a subclass, so that PEFT adapts it as it adapts any other."""

    codes: torch.Tensor  # int8: (out, in); nf4: (out * in / 2,) uint8, two codes each
    scale: torch.Tensor  # int8: (out, 1); nf4: (blocks, 1)

    def __init__(self, linear: torch.nn.Linear, weights: BaseWeights) -> None:
        super(torch.nn.Linear, self).__init__()  # the class between would make a weight
        self.in_features, self.out_features, self.weights = linear.in_features, linear.out_features, weights
        self.register_parameter("bias", linear.bias)
        codes, scale = (_int8 if weights is BaseWeights.INT8 else _nf4)(linear.weight.detach())
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """(out, in) in the precision of the layer that this one stands for; made anew on every call."""
        if self.weights is BaseWeights.INT8:
            return self.codes.to(self.scale.dtype).mul_(self.scale)
        pairs = _pairs(self.scale.dtype, self.scale.device).index_select(0, self.codes.int())
        blocks = pairs.view(self.scale.dtype).view(-1, BLOCK).mul_(self.scale)
        return blocks.view(-1)[: self.out_features * self.in_features].view(self.out_features, self.in_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        return _Product.apply(x, self)  # type: ignore[no-untyped-call]

    def widened(self) -> torch.nn.Linear:
        """A plain layer of the same numbers."""
        plain = torch.nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        plain.weight = torch.nn.Parameter(self.weight, requires_grad=False)
        plain.bias = self.bias
        return plain


def quantize_layers(model: Any, weights: BaseWeights) -> None:
    """Puts a ``QuantizedLinear`` in the place of every linear layer of ``model`` but its head.

    Changes the module tree, so hand in a fork, or a model that nobody else holds. ModelError where most of the weights
    would stay as they are.
    """
    head = model.get_output_embeddings()
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) is torch.nn.Linear and layer is not head
    ]
    if not found or any(p.ndim == 3 and "experts" in name.split(".") for name, p in model.named_parameters()):
        raise ModelError(
            f"{weights} holds linear layers, and most weights of this base are something else "
            "(a mixture of experts, or an older layout).",
            fix=f"Leave base_weights at {BaseWeights.LOADED}.",
        )
    for parent, name, layer in found:
        setattr(parent, name, QuantizedLinear(layer, weights))


def count_parameters(model: torch.nn.Module) -> int:
    """How many numbers a model stands for, quantized ones included."""
    narrow = sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, QuantizedLinear))
    return narrow + sum(parameter.numel() for parameter in model.parameters())


def _int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scale = _scale(weight.float() / MOST, weight.dtype)
    return (weight.float() / scale.float()).round_().clamp_(-MOST, MOST).to(torch.int8), scale


def _nf4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = weight.flatten().float()
    blocks = F.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scale = _scale(blocks, weight.dtype)
    levels = torch.tensor(LEVELS, device=weight.device)
    codes = torch.bucketize(blocks / scale.float(), (levels[1:] + levels[:-1]) / 2).to(torch.uint8).view(-1)
    return codes[::2] * len(LEVELS) + codes[1::2], scale


def _scale(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The largest number of each row, in ``dtype``; of a row of zeros, the smallest that can divide."""
    return rows.abs().amax(1, keepdim=True).to(dtype).clamp_min(torch.finfo(dtype).tiny)


@cache
def _pairs(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(256,): both levels of a byte's two codes, side by side as the bits of one integer, so that one look-up does."""
    levels = torch.tensor(LEVELS, dtype=dtype, device=device)
    pairs = torch.stack([levels.repeat_interleave(len(LEVELS)), levels.repeat(len(LEVELS))], dim=1)
    return pairs.view(torch.int32 if dtype.itemsize == 2 else torch.int64).view(-1)


class _Product(torch.autograd.Function):
    """``y = x W^T + bias`` that keeps nothing: the gradient in x needs the codes alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer = layer
        return F.linear(x, layer.weight, layer.bias)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
        return dy @ ctx.layer.weight, None
