"""The processes that train one adapter together.

In: what a launcher (``accelerate launch``) put into the environment. Out: ``Processes``: which of them this is; sums
and words that they exchange.

Covers: one process alone, where all of this does nothing; several on processors (gloo) or one GPU each (NCCL); whether
the launcher asks for shared blocks (FSDP). Does not cover: who does what (together.py, training.py), and what the
network between them can be read by: they speak unencrypted, so it has to be one machine or a network of one's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from residency.errors import ProjectError, TrainingError

if TYPE_CHECKING:
    import torch

Word = TypeVar("Word")
PATIENCE = timedelta(days=30)  # others wait while the first one curates, or writes answers to be judged


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together. The first one leads: only it writes what stays."""

    rank: int = 0
    count: int = 1
    device: str | None = None  # of this process; None where nobody launched several
    sharing: int = 1  # processes that have this device's memory
    fsdp: Any = None  # accelerate's settings, where each process has only its share of the blocks
    words: Any = None  # the group over which objects go

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def tell(self, word: Word | None) -> Word:
        """What the first process says, in all of them."""
        said: list[Any] = [word]
        if self.count > 1:
            import torch.distributed as dist

            dist.broadcast_object_list(said, src=0, group=self.words)
        return said[0]

    def gather(self, word: Word) -> list[Word]:
        """What every process says, in the order of their ranks."""
        said: list[Any] = [word] * self.count
        if self.count > 1:
            import torch.distributed as dist

            dist.all_gather_object(said, word, group=self.words)
        return said

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Every gradient becomes the sum of those of all processes; the same bits in each of them."""
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        learned = list(parameters)
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learned])
        dist.all_reduce(flat)
        for parameter, part in zip(learned, torch.split(flat, [p.numel() for p in learned]), strict=True):
            parameter.grad = part.view_as(parameter)

    def require_same(self, what: object, name: str) -> None:
        """TrainingError where the processes do not begin with the same."""
        said = self.gather(what)
        if any(one != said[0] for one in said):
            raise TrainingError(
                f"The processes do not begin with the same {name}.",
                fix="Give all of them the same base, the same files, and a folder that all of them see.",
            )

    def leave(self) -> None:
        """Nothing can be exchanged after this."""
        if self.count > 1:
            import torch.distributed as dist

            dist.destroy_process_group()


ALONE = Processes()


def launched() -> int:
    """How many processes a launcher has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def join() -> Processes:
    """Finds the other processes; ``ALONE`` where there are none. Every one of them has to call this."""
    if launched() == 1:
        return ALONE
    import torch
    import torch.distributed as dist

    try:
        from accelerate import PartialState
        from accelerate.utils import FullyShardedDataParallelPlugin
    except ImportError:
        raise ProjectError(
            "Several processes need the package accelerate.", fix="Run: pip install 'residency[distributed]'"
        ) from None
    fsdp = None
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        fsdp = FullyShardedDataParallelPlugin()
        if fsdp.fsdp_version != 2:
            raise ProjectError("FSDP of version 1 is not supported.", fix="Launch with --fsdp_version 2.")
    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(
        rank=state.process_index,
        count=state.num_processes,
        device=str(state.device),
        sharing=int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if state.device.type == "cpu" else 1,
        fsdp=fsdp,
        words=dist.new_group(backend="gloo", timeout=PATIENCE),
    )
