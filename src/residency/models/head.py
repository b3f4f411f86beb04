"""The output layer with fp32 logits, at no more cost than the positions that are asked for.

In: a causal language model whose output layer is a plain linear layer. Out: the same model, its logits in fp32.

Covers: bf16 and fp32 models on CPU and GPU. Does not cover: an output layer that an adapter has changed; it is
left alone.

Products of two bf16 numbers are exact in fp32, so all that is changed is the rounding of their sum.

Positions are handed to the product as one matrix. The last positions of several rows do not lie together in memory,
and for such a tensor torch copies the whole weight once for every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class FlatHead(torch.nn.Module):
    """Linear layer over fp32 numbers."""

    weight: torch.Tensor  # (V, H)

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach(), persistent=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, T, H) -> (B, T, V)."""
        flat = torch.nn.functional.linear(hidden.flatten(0, -2), self.weight)
        return flat.view(*hidden.shape[:-1], -1)


class WideHead(torch.nn.Module):
    """Linear layer over bf16 numbers with an fp32 result."""

    weight: torch.Tensor  # (V, H)

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        # On a CPU there is no product of bf16 matrices with an fp32 result, so a wide copy is kept.
        self.register_buffer("weight", weight.float() if weight.device.type == "cpu" else weight, persistent=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, T, H) bf16 -> (B, T, V) fp32."""
        rows = hidden.flatten(0, -2)
        if hidden.device.type == "cpu":
            with _bf16_products():
                flat = torch.nn.functional.linear(rows.float(), self.weight)
        else:
            flat = torch.mm(rows, self.weight.T, out_dtype=torch.float32)
        return flat.view(*hidden.shape[:-1], -1)


def widen_head(model: Any) -> Any:
    """``model`` with a ``WideHead`` where it computes in bf16, else a ``FlatHead``.

    Changes the module tree, so hand in a fork.
    """
    head = model.get_output_embeddings()
    if type(head) is torch.nn.Linear and head.bias is None:
        model.set_output_embeddings(WideHead(head) if head.weight.dtype is torch.bfloat16 else FlatHead(head))
    return model


@contextmanager
def _bf16_products() -> Iterator[None]:
    """Let oneDNN multiply fp32 matrices as bf16: exact here, and about twice as fast where AMX is."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set at run time by torch itself
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before
