"""The training step for any decoder, through transformers, PEFT and autograd.

In: a PEFT model and samples. Out: the loss, and its gradient in the adapter's parameters.

Covers: every architecture that transformers reads, on any device. Does not cover: speed; fused.py is the fast way
where it fits. One sequence at a time, so nothing is padded, and logits only where something is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from residency.tune.render import Sample


class PlainStep:
    """Loss and gradient of samples. The PEFT model's parameters are read, their ``grad`` is added to."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = next(model.parameters()).device

    def refresh(self) -> None:
        """Nothing to do: the model reads its parameters itself."""

    def learn(self, samples: Sequence[Sample], scale: float, noise: torch.Generator | None) -> float:
        """Adds the gradient of ``scale`` x the weighted sum of nats over supervised tokens; returns the sum itself."""
        self.model.train(noise is not None)
        total = 0.0
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            if noise is not None:
                # PEFT draws its dropout from the global generator.
                torch.manual_seed(int(torch.randint(2**62, (1,), generator=noise)))
            for sample in samples:
                loss = self._nats(sample) * sample.weight
                (loss * scale).backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach())
        return total

    @torch.no_grad()
    def measure(self, samples: Sequence[Sample]) -> list[float]:
        """Nats of each sample's supervised tokens, summed, unweighted, without dropout."""
        self.model.eval()
        return [float(self._nats(sample)) for sample in samples]

    def _nats(self, sample: Sample) -> torch.Tensor:
        ids = torch.tensor(sample.ids, device=self.device)
        logits = self.model(input_ids=ids[None, :-1], logits_to_keep=sample.supervised, use_cache=False).logits[0]
        return F.cross_entropy(logits.float(), ids[sample.first :], reduction="sum")
