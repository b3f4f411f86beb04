"""Attention inside the spans of a packed sequence.

In: queries, keys and values of one layer; the ``Spans``, from ``over``. Out: what the queries read.

Covers: grouped queries, sliding windows, a shared beginning; on processors a backward pass of plain matrix products,
which computes the probabilities again instead of keeping them; on GPUs PyTorch's fused attention, one call a span
(FlashAttention where there is no window). Does not cover: scores that are capped, attention sinks (refused, and
step.py goes on with one sample at a time and the model's own attention).

Rejected, measured with the shapes of SmolLM2 (docs/decisions.md): one dense mask over the packed sequence, padding to
the longest sample, PyTorch's fused attention on each sequence (its backward pass on a CPU is slow).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right

from residency.tune.engine.layout import Span

NAME = "residency"  # of this attention, in transformers' registry
CHUNK = 128  # queries at a time: keys behind the last query of a chunk are left out; measured by us, docs/decisions.md
REFUSED = ("softcap", "s_aux", "sinks", "head_mask", "position_bias")


class AttentionNotCovered(Exception):
    """The model asks for something that this attention does not compute."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some queries of a span and all that they may see."""

    queries: slice
    seen: slice  # keys of the shared beginning
    own: slice  # keys of the span
    offset: int  # position of the first query, relative to the first key


@dataclass(slots=True)
class Spans:
    """Who sees whom in one packed sequence."""

    spans: Sequence[Span]
    used: bool = False
    _masks: dict[tuple[int | None, torch.dtype], torch.Tensor] = field(default_factory=dict)

    def chunks(self, window: int | None) -> Iterator[_Chunk]:
        for span in self.spans:
            for start in range(span.start, span.stop, CHUNK):
                stop = min(start + CHUNK, span.stop)
                first = span.before + start - span.start  # position of the first query
                skipped = max(first - window + 1, 0) if window else 0
                seen = slice(span.seen + min(skipped, span.before), span.seen + span.before)
                own = slice(span.start + max(skipped - span.before, 0), stop)
                yield _Chunk(slice(start, stop), seen, own, first - skipped)

    def mask(self, chunk: _Chunk, keys: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """(C, L): 0 where a query sees a key, minus infinity elsewhere."""
        whole = self._masks.get((window, like.dtype))
        queries = chunk.queries.stop - chunk.queries.start
        size = chunk.offset + queries
        if whole is None or whole.shape[0] < max(size, keys):
            longest = max(size, keys, *(span.before + span.stop - span.start for span in self.spans))
            distance = torch.arange(longest)[:, None] - torch.arange(longest)
            hidden = (distance < 0) | (distance >= window) if window else distance < 0
            whole = torch.zeros(longest, longest, dtype=like.dtype).masked_fill_(hidden, -torch.inf).to(like.device)
            self._masks[window, like.dtype] = whole
        return whole[chunk.offset : size, :keys]


_OVER: ContextVar[Spans | None] = ContextVar("spans", default=None)


@contextmanager
def over(spans: Spans | None) -> Iterator[None]:
    """While this lasts, layers with this attention attend inside ``spans``."""
    token = _OVER.set(spans)
    try:
        yield
    finally:
        _OVER.reset(token)


def spans_now() -> Spans | None:
    """What layers attend inside of at this moment."""
    return _OVER.get()


def register() -> None:
    """Makes this attention known to transformers, which builds no mask for it."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,  # (1, N, T, D)
    key: torch.Tensor,  # (1, K, T, D)
    value: torch.Tensor,  # (1, K, T, Dv)
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: (1, T, N, Dv). The signature is theirs."""
    spans = _OVER.get()
    if spans is None or attention_mask is not None or any(others.get(name) is not None for name in REFUSED):
        raise AttentionNotCovered(type(module).__name__)
    spans.used = True
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.is_cuda:
        return by_span(query, key, value, scale, spans, sliding_window), None
    return _Attention.apply(query[0], key[0], value[0], scale, spans, sliding_window)[None], None  # type: ignore[no-untyped-call]


def by_span(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, spans: Spans, window: int | None
) -> torch.Tensor:
    """The same with PyTorch's fused attention, one call a span: (1, T, N, Dv)."""
    read = []
    for span in spans.spans:
        if span.start == span.stop:
            continue
        seen, own = slice(span.seen, span.seen + span.before), slice(span.start, span.stop)
        keys, values = (torch.cat([x[:, :, seen], x[:, :, own]], dim=2) for x in (key, value))
        queries, length = span.stop - span.start, keys.shape[2]
        # The last query sees the last key, the first one all that was shared.
        mask: Any = causal_lower_right(queries, length)
        if window:
            distance = torch.arange(span.before, length, device=query.device)[:, None]
            distance = distance - torch.arange(length, device=query.device)
            mask = (distance >= 0) & (distance < window)
        mine = query[:, :, own]
        read.append(F.scaled_dot_product_attention(mine, keys, values, attn_mask=mask, scale=scale, enable_gqa=True))
    return torch.cat(read, dim=2).transpose(1, 2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, spans: Spans, window: int | None
    ) -> torch.Tensor:
        read = q.new_empty(q.shape[1], q.shape[0], v.shape[2])  # (T, N, Dv)
        for chunk in spans.chunks(window):
            values = _keys(v, chunk)
            p = _probabilities(q, _keys(k, chunk), chunk, scale, spans, window)
            _ungroup(torch.bmm(p, values), read[chunk.queries])
        ctx.save_for_backward(q, k, v)
        ctx.scale, ctx.spans, ctx.window = scale, spans, window
        return read

    @staticmethod
    def backward(ctx: Any, dread: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        dq = q.new_empty(q.shape[1], q.shape[0], q.shape[2])  # (T, N, D), as the projections wrote it
        dk = k.new_zeros(k.shape[1], k.shape[0], k.shape[2])
        dv = v.new_zeros(v.shape[1], v.shape[0], v.shape[2])
        for chunk in ctx.spans.chunks(ctx.window):
            keys, values = _keys(k, chunk), _keys(v, chunk)
            p = _probabilities(q, keys, chunk, ctx.scale, ctx.spans, ctx.window)
            # Scaling the queries and keys is cheaper than scaling the scores between them.
            d = _grouped(dread[chunk.queries].transpose(0, 1), k.shape[0])  # (K, G * C, Dv)
            _add(dv, torch.bmm(p.transpose(1, 2), d), chunk)
            dp = torch.bmm(d, values.transpose(1, 2))
            dscores = torch._softmax_backward_data(dp, p, -1, p.dtype)  # (K, G * C, L)
            _ungroup(torch.bmm(dscores, keys).mul_(ctx.scale), dq[chunk.queries])
            _add(
                dk, torch.bmm(dscores.transpose(1, 2), _grouped(q[:, chunk.queries], k.shape[0])).mul_(ctx.scale), chunk
            )
        return dq.transpose(0, 1), dk.transpose(0, 1), dv.transpose(0, 1), None, None, None


def _probabilities(
    q: torch.Tensor, keys: torch.Tensor, chunk: _Chunk, scale: float, spans: Spans, window: int | None
) -> torch.Tensor:
    """(K, G * C, L)."""
    heads, length = keys.shape[:2]
    grouped = _grouped(q[:, chunk.queries], heads)
    scores = torch.bmm(grouped.mul(scale), keys.transpose(1, 2))
    # Without a window only the chunk's own keys, the last ones, hold some that a query must not see.
    masked = length if window else chunk.queries.stop - chunk.queries.start
    mask = spans.mask(chunk, length, window, q)[:, length - masked :]
    scores.view(heads, -1, len(mask), length)[..., length - masked :].add_(mask)
    return torch.softmax(scores, dim=-1)


def _keys(x: torch.Tensor, chunk: _Chunk) -> torch.Tensor:
    """The keys or values that a chunk sees: (K, L, D)."""
    own = x[:, chunk.own]
    return torch.cat([x[:, chunk.seen], own], dim=1) if chunk.seen.stop > chunk.seen.start else own


def _add(gradient: torch.Tensor, part: torch.Tensor, chunk: _Chunk) -> None:
    """Adds (K, L, D) to the rows of (T, K, D) that a chunk sees."""
    before = chunk.seen.stop - chunk.seen.start
    part = part.transpose(0, 1)
    if before:
        gradient[chunk.seen] += part[:before]
    gradient[chunk.own] += part[before:]


def _grouped(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(N, C, D) as (K, G * C, D): the queries that share a key head, one after the other."""
    return x.reshape(heads, -1, x.shape[2])


def _ungroup(grouped: torch.Tensor, into: torch.Tensor) -> None:
    """The inverse of ``_grouped``, written into (C, N, D)."""
    rows, heads, width = into.shape
    into.copy_(grouped.view(heads, rows, width).transpose(0, 1))
