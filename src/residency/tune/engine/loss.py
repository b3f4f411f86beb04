"""Cross-entropy of supervised rows.

In: logits of the rows where something is learned. Out: nats of each.

Covers: fp32 sums over logits in any precision, a few rows at a time, the gradient written in the logits' precision.
Does not cover: which rows those are (layout.py).
"""

from __future__ import annotations

from typing import Any

import torch

BLOCK = 32  # rows in fp32 at a time: they stay in the processor's cache; chosen by us, 2026-11
BLOCK_ON_GPU = 1024  # few kernels, and a fraction of a GB for any vocabulary; chosen by us, 2026-11, not measured


def nats(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(S, V), (S,) -> (S,), fp32."""
    return _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        slope = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        found = []
        block = BLOCK_ON_GPU if logits.is_cuda else BLOCK
        for start in range(0, len(logits), block):
            rows = slice(start, start + block)
            log_p = torch.log_softmax(logits[rows].float(), dim=-1)
            chosen = targets[rows, None]
            found.append(-log_p.gather(1, chosen)[:, 0])
            if slope is not None:
                p = log_p.exp_()
                slope[rows] = p.scatter_add_(1, chosen, -torch.ones_like(chosen, dtype=p.dtype))
        if slope is not None:
            ctx.save_for_backward(slope)
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, d: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * d[:, None].to(slope.dtype), None
