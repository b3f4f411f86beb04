"""Memory of this process and this machine.

In: a device. Out: how much is free; the most that some work took; freed memory goes back to the system.

Covers: what the machine, its container (cgroup 2) or the GPU has left; peaks on Linux and on GPUs, None elsewhere;
heaps that batches of ever-changing size fragment: without giving them back a training run doubles within ten steps.
Does not cover: memory that other processes will ask for.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self")


def return_free_memory() -> None:
    """Gives freed heap pages back; costs milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def available_bytes(device: torch.device | str = "cpu") -> int:
    """How much more this process can take on ``device``."""
    if str(device).startswith("cuda"):
        import torch

        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    import psutil

    on_machine: int = psutil.virtual_memory().available
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    return on_machine if limit is None or used is None else max(min(on_machine, limit - used), 0)


def growth(work: Callable[[], object], device: torch.device | str = "cpu") -> int | None:
    """The most memory that ``work`` held beyond what was held before, bytes; None where the system does not say."""
    if str(device).startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return int(torch.cuda.max_memory_allocated(device)) - before
    return_free_memory()
    try:
        (PROCESS / "clear_refs").write_text("5")  # the peak starts anew; proc(5)
    except OSError:
        work()
        return None
    start = _resident("VmRSS")
    work()
    return max(_resident("VmHWM") - start, 0)


def _resident(name: str) -> int:
    lines = (PROCESS / "status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or it says "max"."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
