"""The fast training step for Llama-shaped decoders on a CPU, forward and backward written by hand.

In: a PEFT model and samples. Out: the loss, and its gradient in the adapter's parameters.

Covers: Llama decoders (SmolLM2, Llama 3, TinyLlama) without biases, LoRA on any of their seven projections, on all
blocks or the last ones. Does not cover: other architectures and GPUs; plain.py trains those through autograd, and
tests hold both to the same loss and gradient.

Why by hand: on a processor that multiplies bf16 matrices in hardware, a small model spends most of its time outside
matrix products. What is saved against transformers with PEFT: padding (sequences lie end to end), logits where
nothing is learned, casts between bf16 and fp32 around every adapter, one product for projections that read the same
input, PyTorch's CPU attention backward (many times slower than its three products on short sequences), everything
below the first adapted block in the backward pass, gradients of frozen weights.

Key of letters: T tokens of a micro-batch, H hidden, F feed-forward, N query heads, K key/value heads, G = N / K,
D width of a head, L length of one sequence, R rank (of all projections of a group together), V vocabulary.
Products run in the base's precision; adapters, their gradients and the loss are fp32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from residency.tune.lora import ATTENTION, FEED_FORWARD
from residency.tune.render import Sample

Tensor = torch.Tensor
PROJECTIONS = frozenset({*ATTENTION, *FEED_FORWARD})


def fits(model: Any) -> bool:
    """Whether this step computes what the model does: a Llama decoder without biases, on a CPU, with plain LoRA."""
    base = model.get_base_model()
    config = base.config
    lora = next(iter(model.peft_config.values()))
    return (
        type(base).__name__ == "LlamaForCausalLM"
        and next(base.parameters()).device.type == "cpu"
        and not getattr(config, "attention_bias", False)
        and not getattr(config, "mlp_bias", False)
        and config.hidden_act == "silu"
        and set(lora.target_modules) <= PROJECTIONS
        and lora.bias == "none"
        and not lora.lora_bias
        and not lora.use_dora
    )


@dataclass(slots=True)
class _Part:
    """One projection's adapter: where its rows and columns lie in the group's matrices."""

    a: torch.nn.Parameter  # (r, in), fp32
    b: torch.nn.Parameter  # (out, r), fp32
    scale: float
    rows: slice
    columns: slice


class _Group:
    """Projections that read the same input, as one product: ``y = x W^T + drop(x) A^T B``.

    A stacks the projections' A; B is block-diagonal, scaled. Dropout is drawn once for the group.
    """

    def __init__(self, modules: Sequence[Any], dropout: float) -> None:
        bases = [getattr(module, "base_layer", module) for module in modules]
        weights = [base.weight.detach() for base in bases]
        self.weight = torch.cat(weights) if len(weights) > 1 else weights[0]  # (out, in), base precision
        self.dropout = dropout
        self.parts: list[_Part] = []
        row = column = 0
        for module, weight in zip(modules, weights, strict=True):
            out = weight.shape[0]
            if hasattr(module, "lora_A"):
                a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
                rank = a.shape[0]
                scale = float(module.scaling["default"])
                self.parts.append(_Part(a, b, scale, slice(row, row + rank), slice(column, column + out)))
                row += rank
            column += out
        self.rank = row
        self.a = self.b = torch.empty(0)

    def refresh(self) -> None:
        """Take the adapter's parameters over into the base's precision."""
        if not self.parts:
            return
        dtype = self.weight.dtype
        self.a = torch.cat([part.a.detach() for part in self.parts]).to(dtype)  # (R, in)
        self.b = torch.zeros(self.rank, self.weight.shape[0], dtype=dtype)  # (R, out)
        for part in self.parts:
            self.b[part.rows, part.columns] = (part.b.detach().T * part.scale).to(dtype)

    def forward(self, x: Tensor, noise: torch.Generator | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``y`` (T, out), and what backward needs."""
        y = x @ self.weight.T
        if not self.parts:
            return y, (x,)
        if noise is None or not self.dropout:
            low = x @ self.a.T  # (T, R)
            return y.addmm_(low, self.b), (x, low)
        keep = torch.empty_like(x).bernoulli_(1 - self.dropout, generator=noise).div_(1 - self.dropout)
        kept = x * keep
        low = kept @ self.a.T
        return y.addmm_(low, self.b), (kept, low, keep)

    def backward(self, dy: Tensor, saved: tuple[Tensor, ...], *, inner: bool = True) -> Tensor:
        """Adds the parameters' gradients; the gradient of ``x`` (T, in), empty where ``inner`` is False."""
        x = saved[0]
        if not self.parts:
            return dy @ self.weight
        low, keep = saved[1], saved[2] if len(saved) > 2 else None
        dlow = dy @ self.b.T  # (T, R)
        da, db = (dlow.T @ x).float(), (low.T @ dy).float()  # (R, in), (R, out)
        for part in self.parts:
            _add_gradient(part.a, da[part.rows])
            _add_gradient(part.b, db[part.rows, part.columns].T * part.scale)
        if not inner:
            return torch.empty(0)
        dx = dy @ self.weight
        return dx.addmm_(dlow, self.a) if keep is None else dx.add_((dlow @ self.a).mul_(keep))


@dataclass(slots=True)
class _Block:
    """One decoder block: frozen norms and four groups."""

    norm_in: Tensor
    norm_mid: Tensor
    qkv: _Group
    out: _Group
    gate_up: _Group
    down: _Group

    @property
    def groups(self) -> tuple[_Group, ...]:
        return self.qkv, self.out, self.gate_up, self.down


@dataclass(slots=True)
class _Trace:
    """What one block's backward pass needs of its forward pass."""

    x: Tensor  # (T, H)
    inverse_in: Tensor  # (T, 1), fp32
    qk: Tensor  # (T, N + K, D), rotated
    v: Tensor  # (T, K, D)
    attention: list[Tensor]  # per sequence (K, G * L, L)
    mid: Tensor  # (T, H)
    inverse_mid: Tensor
    gate_up: Tensor  # (T, 2F)
    activated: Tensor  # (T, F), silu(gate)
    saved: tuple[tuple[Tensor, ...], ...]  # of the four groups, in order


@dataclass(slots=True)
class _Batch:
    """Samples end to end. The last token of each is only a target, so it is left out of ``ids``."""

    ids: Tensor  # (T,)
    lengths: list[int]
    rows: Tensor  # (S,) rows whose next token is learned
    targets: Tensor  # (S,)
    weights: Tensor  # (S,), fp32
    counts: list[int]  # supervised tokens of each sample
    cos: Tensor = field(default_factory=lambda: torch.empty(0))  # (T, 1, D)
    sin: Tensor = field(default_factory=lambda: torch.empty(0))  # (T, 1, D / 2)
    mask: Tensor = field(default_factory=lambda: torch.empty(0))  # (longest, longest), 0 or -inf


class FusedStep:
    """Loss and gradient of samples. The PEFT model's parameters are read, their ``grad`` is added to."""

    def __init__(self, model: Any) -> None:
        base = model.get_base_model()
        config = base.config
        self.heads = int(config.num_attention_heads)
        self.kv_heads = int(config.num_key_value_heads or self.heads)
        self.width = int(getattr(config, "head_dim", None) or config.hidden_size // self.heads)
        self.epsilon = float(config.rms_norm_eps)
        self.embedding = base.model.embed_tokens.weight.detach()  # (V, H)
        self.head = base.lm_head.weight.detach()  # (V, H)
        self.norm = base.model.norm.weight.detach()
        self.rotary = base.model.rotary_emb
        dropout = float(next(iter(model.peft_config.values())).lora_dropout)
        self.blocks = [_block(layer, dropout) for layer in base.model.layers]
        adapted = (i for i, block in enumerate(self.blocks) if any(group.parts for group in block.groups))
        self.first = next(adapted, len(self.blocks))  # below this block nothing is learned

    def refresh(self) -> None:
        """To be called after the parameters changed."""
        for block in self.blocks:
            for group in block.groups:
                group.refresh()

    @torch.no_grad()
    def learn(self, samples: Sequence[Sample], scale: float, noise: torch.Generator | None) -> float:
        """Adds the gradient of ``scale`` x the weighted sum of nats over supervised tokens; returns the sum itself."""
        batch = self._pack(samples)
        traces: list[_Trace] = []
        hidden = self._forward(batch, traces, noise)
        learned = hidden[batch.rows]  # (S, H)
        inverse = _inverse_rms(learned, self.epsilon)
        normed = _normed(learned, inverse, self.norm)
        log_p = torch.log_softmax((normed @ self.head.T).float(), dim=-1)  # (S, V), fp32
        nats = -log_p.gather(1, batch.targets[:, None])[:, 0]
        slope = log_p.exp_()
        slope[torch.arange(len(batch.targets)), batch.targets] -= 1
        slope.mul_(batch.weights[:, None] * scale)
        dlearned = _norm_backward(slope.to(hidden.dtype) @ self.head, learned, self.norm, inverse)
        self._backward(torch.zeros_like(hidden).index_add_(0, batch.rows, dlearned), batch, traces)
        return float((nats * batch.weights).sum())

    @torch.no_grad()
    def measure(self, samples: Sequence[Sample]) -> list[float]:
        """Nats of each sample's supervised tokens, summed, unweighted, without dropout."""
        batch = self._pack(samples)
        hidden = self._forward(batch, None, None)[batch.rows]
        normed = _normed(hidden, _inverse_rms(hidden, self.epsilon), self.norm)
        nats = F.cross_entropy((normed @ self.head.T).float(), batch.targets, reduction="none")
        return [float(part.sum()) for part in torch.split(nats, batch.counts)]

    def _pack(self, samples: Sequence[Sample]) -> _Batch:
        lengths = [len(sample.ids) - 1 for sample in samples]
        starts = [0]
        for length in lengths[:-1]:
            starts.append(starts[-1] + length)
        rows = [torch.arange(s.first - 1, len(s.ids) - 1) + start for s, start in zip(samples, starts, strict=True)]
        counts = [sample.supervised for sample in samples]
        weights = torch.tensor([sample.weight for sample in samples], dtype=torch.float32)
        batch = _Batch(
            ids=torch.tensor([token for sample in samples for token in sample.ids[:-1]]),
            lengths=lengths,
            rows=torch.cat(rows),
            targets=torch.tensor([token for sample in samples for token in sample.ids[sample.first :]]),
            weights=weights.repeat_interleave(torch.tensor(counts)),
            counts=counts,
        )
        dtype, longest = self.embedding.dtype, max(lengths)
        positions = torch.cat([torch.arange(length) for length in lengths])
        cos, sin = self.rotary(torch.empty(1, dtype=torch.float32), positions[None])
        batch.cos = cos[0, :, None].to(dtype)
        batch.sin = sin[0, :, None, : self.width // 2].to(dtype)
        batch.mask = torch.full((longest, longest), -math.inf, dtype=dtype).triu_(1)
        return batch

    def _forward(self, batch: _Batch, traces: list[_Trace] | None, noise: torch.Generator | None) -> Tensor:
        """Hidden states before the last norm, (T, H); ``traces`` gets one entry for every block from ``first`` on."""
        x = self.embedding[batch.ids]
        for number, block in enumerate(self.blocks):
            learns = traces is not None and number >= self.first
            x, trace = self._block_forward(block, x, batch, noise, learns=learns)
            if traces is not None and learns:
                traces.append(trace)
        return x

    def _block_forward(
        self, block: _Block, x: Tensor, batch: _Batch, noise: torch.Generator | None, *, learns: bool
    ) -> tuple[Tensor, _Trace]:
        tokens, rotated = x.shape[0], self.heads + self.kv_heads
        inverse_in = _inverse_rms(x, self.epsilon)
        qkv, saved_qkv = block.qkv.forward(_normed(x, inverse_in, block.norm_in), noise)
        qk = _rotate(qkv[:, : rotated * self.width].view(tokens, rotated, self.width), batch.cos, batch.sin)
        v = qkv[:, rotated * self.width :].reshape(tokens, self.kv_heads, self.width)
        read, attention = self._attend(qk, v, batch) if learns else (self._read_only(qk, v, batch), [])
        mid, saved_out = block.out.forward(read, noise)
        mid.add_(x)
        inverse_mid = _inverse_rms(mid, self.epsilon)
        gate_up, saved_gate_up = block.gate_up.forward(_normed(mid, inverse_mid, block.norm_mid), noise)
        half = gate_up.shape[1] // 2
        activated = F.silu(gate_up[:, :half])
        y, saved_down = block.down.forward(activated * gate_up[:, half:], noise)
        saved = (saved_qkv, saved_out, saved_gate_up, saved_down)
        return y.add_(mid), _Trace(x, inverse_in, qk, v, attention, mid, inverse_mid, gate_up, activated, saved)

    def _backward(self, dx: Tensor, batch: _Batch, traces: list[_Trace]) -> None:
        for number in range(len(self.blocks) - 1, self.first - 1, -1):
            dx = self._block_backward(self.blocks[number], dx, batch, traces.pop(), inner=number > self.first)

    def _block_backward(self, block: _Block, dy: Tensor, batch: _Batch, trace: _Trace, *, inner: bool) -> Tensor:
        """The gradient of the block's input (T, H); empty where ``inner`` is False."""
        saved_qkv, saved_out, saved_gate_up, saved_down = trace.saved
        half = trace.activated.shape[1]
        dproduct = block.down.backward(dy, saved_down)
        dgate_up = torch.empty_like(trace.gate_up)
        torch.mul(dproduct, trace.activated, out=dgate_up[:, half:])
        dproduct.mul_(trace.gate_up[:, half:])
        dgate_up[:, :half] = torch.ops.aten.silu_backward(dproduct, trace.gate_up[:, :half])
        dnormed = block.gate_up.backward(dgate_up, saved_gate_up)
        dmid = _norm_backward(dnormed, trace.mid, block.norm_mid, trace.inverse_mid).add_(dy)
        dqk, dv = self._attend_backward(block.out.backward(dmid, saved_out), trace, batch)
        # A rotation's transpose is the rotation the other way.
        dqk = _rotate(dqk, batch.cos, -batch.sin)
        dqkv = torch.cat([dqk.flatten(1), dv.flatten(1)], dim=1)
        dnormed = block.qkv.backward(dqkv, saved_qkv, inner=inner)
        if not inner:
            return dnormed
        return _norm_backward(dnormed, trace.x, block.norm_in, trace.inverse_in).add_(dmid)

    def _attend(self, qk: Tensor, v: Tensor, batch: _Batch) -> tuple[Tensor, list[Tensor]]:
        """Causal attention inside each sequence: (T, N * D), and the probabilities of each sequence."""
        read = torch.empty(v.shape[0], self.heads * self.width, dtype=v.dtype)
        probabilities = []
        for rows, length in _sequences(batch.lengths):
            q, k = self._grouped(qk[rows, : self.heads]), qk[rows, self.heads :].transpose(0, 1)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(self.width**-0.5)  # (K, G * L, L)
            scores.view(self.kv_heads, -1, length, length).add_(batch.mask[:length, :length])
            p = torch.softmax(scores, dim=-1)
            self._ungroup(torch.bmm(p, v[rows].transpose(0, 1)), read[rows])
            probabilities.append(p)
        return read, probabilities

    def _read_only(self, qk: Tensor, v: Tensor, batch: _Batch) -> Tensor:
        """Causal attention inside each sequence, (T, N * D), where nothing has to be kept for a backward pass."""
        read = torch.empty(v.shape[0], self.heads * self.width, dtype=v.dtype)
        group = self.heads // self.kv_heads
        for rows, length in _sequences(batch.lengths):
            q, k = qk[rows, : self.heads].transpose(0, 1), qk[rows, self.heads :].transpose(0, 1)
            keys, values = (part.repeat_interleave(group, dim=0) for part in (k, v[rows].transpose(0, 1)))
            said = F.scaled_dot_product_attention(q[None], keys[None], values[None], is_causal=True)[0]  # (N, L, D)
            read[rows] = said.transpose(0, 1).reshape(length, -1)
        return read

    def _attend_backward(self, dread: Tensor, trace: _Trace, batch: _Batch) -> tuple[Tensor, Tensor]:
        dqk, dv = torch.empty_like(trace.qk), torch.empty_like(trace.v)
        for (rows, _), p in zip(_sequences(batch.lengths), trace.attention, strict=True):
            q, k = self._grouped(trace.qk[rows, : self.heads]), trace.qk[rows, self.heads :].transpose(0, 1)
            d = self._grouped(dread[rows].view(-1, self.heads, self.width))  # (K, G * L, D)
            dv[rows] = torch.bmm(p.transpose(1, 2), d).transpose(0, 1)
            dp = torch.bmm(d, trace.v[rows].permute(1, 2, 0))
            dscores = torch._softmax_backward_data(dp, p, -1, p.dtype).mul_(self.width**-0.5)
            self._ungroup(torch.bmm(dscores, k), dqk[rows, : self.heads])
            dqk[rows, self.heads :] = torch.bmm(dscores.transpose(1, 2), q).transpose(0, 1)
        return dqk, dv

    def _grouped(self, q: Tensor) -> Tensor:
        """(L, N, D) as (K, G * L, D): the queries that share a key head, one after the other."""
        return (
            q.view(q.shape[0], self.kv_heads, -1, self.width).permute(1, 2, 0, 3).reshape(self.kv_heads, -1, self.width)
        )

    def _ungroup(self, grouped: Tensor, into: Tensor) -> None:
        """The inverse of ``_grouped``, written into (L, N, D) or (L, N * D)."""
        length = into.shape[0]
        target = into.view(length, self.kv_heads, -1, self.width)
        target.copy_(grouped.view(self.kv_heads, -1, length, self.width).permute(2, 0, 1, 3))


def _block(layer: Any, dropout: float) -> _Block:
    attention, mlp = layer.self_attn, layer.mlp
    return _Block(
        norm_in=layer.input_layernorm.weight.detach(),
        norm_mid=layer.post_attention_layernorm.weight.detach(),
        qkv=_Group([attention.q_proj, attention.k_proj, attention.v_proj], dropout),
        out=_Group([attention.o_proj], dropout),
        gate_up=_Group([mlp.gate_proj, mlp.up_proj], dropout),
        down=_Group([mlp.down_proj], dropout),
    )


def _sequences(lengths: Sequence[int]) -> list[tuple[slice, int]]:
    found, start = [], 0
    for length in lengths:
        found.append((slice(start, start + length), length))
        start += length
    return found


def _inverse_rms(x: Tensor, epsilon: float) -> Tensor:
    """1 / root of the mean square of each row, (T, 1), fp32."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return torch.rsqrt(norm.square() / x.shape[-1] + epsilon)


def _normed(x: Tensor, inverse: Tensor, weight: Tensor) -> Tensor:
    return (x * inverse.to(x.dtype)).mul_(weight)


def _norm_backward(dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
    """Gradient of RMSNorm's input: i * g - x * i^3 * mean(g * x), with g = dy * weight."""
    g = dy * weight
    shared = (g * x).sum(-1, keepdim=True, dtype=torch.float32) * (inverse**3 / x.shape[-1])
    return (g * inverse.to(x.dtype)).addcmul_(x, shared.to(x.dtype), value=-1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of (T, heads, D): the first half of a head is the cosine part, as in transformers."""
    half = x.shape[-1] // 2
    y = x * cos
    y[..., :half].addcmul_(x[..., half:], sin, value=-1)
    y[..., half:].addcmul_(x[..., :half], sin)
    return y


def _add_gradient(parameter: torch.nn.Parameter, gradient: Tensor) -> None:
    if parameter.grad is None:
        parameter.grad = gradient.contiguous().clone()
    else:
        parameter.grad.add_(gradient)
