"""Decoder blocks shared out over processes: each keeps its share, and has the others' while a block computes (FSDP2).

In: a model that is whole in the first process and on the meta device in the others. Out: the same model, its blocks
shared out, everything else whole in all of them.

Covers: frozen weights in any precision, block by block, so that no device ever holds the whole base. Adapters are small
and stay whole everywhere: their gradients are added up by training.py, and checkpoints are those of one process.
Does not cover: blocks of which some compute in one process and not in another (``most`` makes their number equal).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist

from residency.tune.processes import Processes


@dataclass
class Shards:
    """How one model is shared out."""

    processes: Processes
    _brought: dict[int, torch.Tensor] = field(default_factory=dict)  # by identity, so that tied weights stay tied

    @cached_property
    def _mesh(self) -> Any:
        from torch.distributed.device_mesh import init_device_mesh

        return init_device_mesh(self.device.type, (self.processes.count,))

    @property
    def device(self) -> torch.device:
        return torch.device(self.processes.device or "cpu")

    def bring(self, modules: Iterable[torch.nn.Module]) -> None:
        """What these modules themselves hold, from the first process onto the device of every one."""
        for module in modules:
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = self._received(tensor)  # type: ignore[assignment]

    def cut(self, block: torch.nn.Module) -> None:
        """This process keeps its share of the block's frozen weights."""
        self._share(block, {p for p in block.parameters() if p.requires_grad})

    def root(self, module: torch.nn.Module) -> None:
        """Ties the blocks together, so that one is fetched while another computes. Nothing else is shared out."""
        self._share(module, set(module.parameters()))
        self._brought.clear()

    def most(self, count: int) -> int:
        """The largest count of any process."""
        return max(self.processes.gather(count))

    def _share(self, module: torch.nn.Module, whole: set[torch.nn.Parameter]) -> None:
        from torch.distributed.fsdp import fully_shard

        fsdp = self.processes.fsdp
        fully_shard(
            module, mesh=self._mesh, reshard_after_forward=fsdp.reshard_after_forward, offload_policy=fsdp.cpu_offload,
            ignored_params=whole,
        )  # fmt: skip

    def _received(self, tensor: torch.Tensor) -> torch.Tensor:
        known = self._brought.get(id(tensor))
        if known is not None:
            return known
        here = tensor.detach().to(self.device) if self.processes.leads else torch.empty_like(tensor, device=self.device)
        dist.broadcast(here, src=0)
        if isinstance(tensor, torch.nn.Parameter):
            here = torch.nn.Parameter(here, requires_grad=tensor.requires_grad)
        self._brought[id(tensor)] = here
        return here


def modules_outside(model: torch.nn.Module, blocks: Sequence[Any]) -> Iterator[torch.nn.Module]:
    """The modules that are in no block."""
    inside = {id(module) for block in blocks for module in block.modules()}
    return (module for module in model.modules() if id(module) not in inside)
