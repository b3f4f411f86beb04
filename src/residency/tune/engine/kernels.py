"""Fused kernels on a GPU.

In: a tensor and the name of a kernel. Out: the kernel, or None.

Covers: those of Liger for norms, rotations and gates, where it is installed (``residency[gpu]``). They compute what
norm.py, rotary.py and gate.py compute in several kernels. Does not cover: processors, where these modules are faster;
the loss, which never holds more than a few rows (loss.py).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch

RMS_NORM = ("rms_norm", "LigerRMSNormFunction")
ROTATE = ("rope", "LigerRopeFunction")
GATE = ("swiglu", "LigerSiLUMulFunction")


def fused(kernel: tuple[str, str], x: torch.Tensor) -> Any:
    """The autograd function for ``x``; None on processors, and where Liger is not installed."""
    return _found(*kernel) if x.is_cuda else None


@cache
def _found(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"liger_kernel.ops.{module}"), name)
    except ImportError:
        return None
