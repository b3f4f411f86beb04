"""One training step: loss and gradient of samples in an adapter's parameters.

In: a PEFT model, or a plain one that is trained whole, and samples. Out: the loss; gradients are added to the
parameters.

Covers: every causal language model of transformers, on any device. Samples lie end to end where the model's attention
allows it, which is tried on construction; elsewhere (state-space models, capped scores) one sample at a time. Blocks
below the first adapted one compute without a graph, once for each text where ``kept`` is given.
Where blocks are shared out over processes (shards.py), all of them call ``learn`` and ``measure`` at the same time.
Does not cover: the order of samples, the optimizer (../training.py).

The model is the plain transformers model: some of its modules get another forward pass that computes the same. Names,
parameters and what PEFT saves stay as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from residency.tune.engine import attention, dora, gate, linear, norm, rotary
from residency.tune.engine.hidden import HiddenStates
from residency.tune.engine.layout import Packed, Unit, pack, parts, per_sample, units_of
from residency.tune.engine.loss import nats
from residency.tune.engine.shards import Shards, modules_outside
from residency.tune.render import Sample

PROBE = 12  # tokens of the sequences on which packing is tried
IDLE = Unit((Sample("", "", (0, 0), 1, 0.0),))  # computed while other processes have more to do; counts nothing
TOLERANCE = 0.05  # relative difference of logits that still is rounding (bf16) and not another computation


class Part(StrEnum):
    """Which blocks compute."""

    ALL = "all"
    LOWER = "lower"  # those below the first adapted one
    UPPER = "upper"  # the others, on hidden states that are known


class Engine:
    """Loss and gradient of samples. ``micro_tokens`` bounds how many tokens are in memory at once."""

    def __init__(
        self,
        model: Any,
        *,
        micro_tokens: int,
        kept: HiddenStates | None = None,
        recompute: bool = False,
        shards: Shards | None = None,
    ) -> None:
        self.model, self.base = model, _plain(model)
        self.micro_tokens, self.kept, self.recompute, self.shards = micro_tokens, kept, recompute, shards
        self.device = next(self.base.parameters()).device if shards is None else shards.device
        self.model.eval()
        self.layers = blocks_of(self.base)
        self.first = first_adapted(model)
        self.others = self._prepare()
        self.part, self.tuples = Part.ALL, False
        self.below = torch.empty(0)  # (1, T, H) what the first adapted block reads
        for number, layer in enumerate(self.layers):
            layer.forward = partial(self._layer, number, layer.forward)
        self.sliced = "logits_to_keep" in inspect.signature(self.base.forward).parameters
        self.packs = self._try_packing()

    def learn(self, samples: Sequence[Sample], scale: float, noise: torch.Generator | None) -> float:
        """Adds the gradient of ``scale`` x the weighted sum of nats over supervised tokens; returns the sum itself."""
        losses = []
        with self._drawing(noise):
            for packed in self._packed(samples):
                loss = (nats(self._scores(packed), packed.targets) * packed.weights).sum()
                (loss * scale).backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
        return sum(map(float, losses), start=0.0)  # only now: a GPU need not wait after each part

    @torch.no_grad()
    def measure(self, samples: Sequence[Sample]) -> list[float]:
        """Nats of each sample's supervised tokens, summed, unweighted, without dropout."""
        found: dict[int, list[float]] = {}
        for packed, logits in self.read(samples):
            for sample, value in zip(packed.samples, per_sample(nats(logits, packed.targets), packed), strict=True):
                found.setdefault(id(sample), []).append(value)
        return [found[id(sample)].pop() for sample in samples]

    def read(self, samples: Sequence[Sample]) -> Iterator[tuple[Packed, torch.Tensor]]:
        """The samples, packed, and the logits of their supervised rows, (S, V), without dropout."""
        for packed in self._packed(samples):
            yield packed, self._scores(packed)

    def _packed(self, samples: Sequence[Sample]) -> Iterator[Packed]:
        units = [Unit((sample,)) for sample in samples] if not self.packs else units_of(samples)
        divided = list(parts(units, self.micro_tokens) if self.packs else ([unit] for unit in units))
        if self.shards:  # a block computes as often in every process
            divided += [[IDLE]] * (self.shards.most(len(divided)) - len(divided))
        for part in divided:
            yield pack(part, self.device)

    def _scores(self, packed: Packed) -> torch.Tensor:
        """Logits of every supervised row, (S, V)."""
        if self.first:
            self.below = torch.cat([self._hidden(unit) for unit in packed.units])[None]
        with self._computing(Part.UPPER if self.first else Part.ALL):
            return self._logits(packed)

    @torch.no_grad()
    def _hidden(self, unit: Unit) -> torch.Tensor:
        """What the first adapted block reads, (T, H).

        Computed for each unit alone, so that it has the same bits in every batch, and from the file as anew.
        """
        known = self.kept.get(unit.key) if self.kept else None
        if known is not None:
            return known.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else known
        packed = pack([unit], self.device)
        with self._computing(Part.LOWER):
            self._forward(self.base.base_model, packed)
        hidden = self.below[0]
        if self.kept:
            self.kept.put(unit.key, hidden)
        return hidden

    def _logits(self, packed: Packed) -> torch.Tensor:
        """(S, V)."""
        if self.sliced:
            return self._forward(self.base, packed, logits_to_keep=packed.rows).logits[0]
        return self._forward(self.base, packed).logits[0, packed.rows]

    def _forward(self, module: Any, packed: Packed, **settings: Any) -> Any:
        if not self.packs:
            return module(input_ids=packed.ids, use_cache=False, **settings)
        with attention.over(attention.Spans(packed.spans)), rotary.turning(self.base):
            return module(input_ids=packed.ids, position_ids=packed.positions, use_cache=False, **settings)

    def _layer(self, number: int, forward: Any, hidden_states: torch.Tensor, *args: Any, **settings: Any) -> Any:
        """A decoder block, or a stand-in where it has nothing to compute."""
        if self.part is Part.LOWER and number >= self.first:
            self.below = hidden_states if number == self.first else self.below
        elif self.part is Part.UPPER and number < self.first:
            hidden_states = self.below
        else:
            if self.recompute and torch.is_grad_enabled():
                forward = partial(self._again, forward, attention.spans_now())
            result = forward(hidden_states, *args, **settings)
            self.tuples = isinstance(result, tuple)
            return result
        return (hidden_states,) if self.tuples else hidden_states

    def _again(
        self, forward: Any, spans: attention.Spans | None, hidden: torch.Tensor, *args: Any, **others: Any
    ) -> Any:
        """A block that keeps its input alone, and computes again in the backward pass, with the same spans."""

        def compute(hidden: torch.Tensor) -> Any:
            with attention.over(spans), rotary.turning(self.base):
                return forward(hidden, *args, **others)

        return checkpoint(compute, hidden, use_reentrant=False)

    @contextmanager
    def _computing(self, part: Part) -> Iterator[None]:
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before

    @contextmanager
    def _drawing(self, noise: torch.Generator | None) -> Iterator[None]:
        """Dropout of the adapters, drawn from ``noise`` alone; none where there is no ``noise``."""
        from peft.tuners.lora import LoraLayer

        drawn = [
            m for layer in self.model.modules() if isinstance(layer, LoraLayer) for m in layer.lora_dropout.values()
        ]
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            if noise is not None:
                torch.manual_seed(int(torch.randint(2**62, (1,), generator=noise)))
            for dropout in drawn:
                dropout.train(noise is not None)
            yield
        for dropout in drawn:
            dropout.eval()

    def _prepare(self) -> list[str]:
        """Exchanges forward passes and shares out blocks; names the adapted layers that keep PEFT's forward pass."""
        if self.shards is None:
            return _exchange(self.base.modules())
        outside = list(modules_outside(self.model, self.layers))
        self.shards.bring(outside)
        others = _exchange(outside)
        for block in self.layers:  # one after the other, so that only one of them is whole
            self.shards.bring(block.modules())
            others += _exchange(block.modules())
            self.shards.cut(block)
        self.shards.root(self.base.base_model)
        return others

    @torch.no_grad()
    def _try_packing(self) -> bool:
        """Whether two sequences end to end, under this attention, give what each gives alone under the model's own."""
        vocabulary = self.base.get_input_embeddings().weight.shape[0]
        draw = torch.Generator().manual_seed(0)
        drawn = [tuple(torch.randint(vocabulary, (PROBE,), generator=draw).tolist()) for _ in range(2)]
        # The second one has the beginning of the first, so that a shared beginning is tried as well.
        half = PROBE // 2
        samples = [
            Sample("", "", ids, half + 1, 1.0) for ids in (drawn[0], drawn[0][:half] + drawn[1][half:], drawn[1])
        ]
        self.packs = False
        alone = torch.cat([self._logits(pack([Unit((sample,))], self.device)).float() for sample in samples])
        own = self.base.config._attn_implementation
        attention.register()
        self.base.config._attn_implementation, self.packs = attention.NAME, True
        packed = pack([Unit(tuple(samples[:2]), half), Unit((samples[2],))], self.device)
        try:
            found = self._logits(packed).float()
        except (attention.AttentionNotCovered, TypeError, ValueError, RuntimeError):
            found = torch.full_like(alone, torch.nan)
            if self.shards:
                self.base.base_model.reset_iter_state()
        fits = bool((found - alone).norm() <= TOLERANCE * alone.norm())
        if not fits:
            self.base.config._attn_implementation = own
        return fits


def _exchange(modules: Iterable[Any]) -> list[str]:
    """Gives modules their faster forward passes; names the kinds of adapted layers that keep PEFT's."""
    from peft.tuners.lora import LoraLayer

    others, found = [], list(modules)
    for module in found:
        if linear.covers(module):
            linear.install(module)
        elif dora.covers(module):
            dora.install(module)
        elif isinstance(module, LoraLayer):
            others.append(type(module).__name__)
    for module in found:
        norm.install(module) or gate.install(module)
    return others


def first_adapted(model: Any) -> int:
    """Number of the first block with something to learn; 0 where that lies outside of the blocks."""
    blocks = blocks_of(_plain(model))
    inside = {id(p): number for number, block in enumerate(blocks) for p in block.parameters() if p.requires_grad}
    adapted = [inside.get(id(p)) for p in model.parameters() if p.requires_grad]
    lowest = [number for number in adapted if number is not None]
    # What is adapted outside of the blocks is the head, above them, or the embedding, below.
    embedding = _plain(model).get_input_embeddings()
    below = any(p.requires_grad for p in embedding.parameters())
    return 0 if below or not lowest else min(lowest)


def _plain(model: Any) -> Any:
    """The transformers model that PEFT has wrapped, if it has."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


def blocks_of(base: Any) -> list[Any]:
    """The decoder blocks, in order."""
    count = base.config.num_hidden_layers
    lists = [m for m in base.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    return list(lists[0]) if lists else []
