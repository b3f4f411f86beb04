"""Freed memory goes back to the system.

In: nothing. Out: nothing; the process gets smaller where the C library can do that (glibc).

Covers: heaps that batches of ever-changing size fragment: without this a training run doubles within ten steps.
Does not cover: memory that is still in use.
"""

from __future__ import annotations

import ctypes
import sys


def return_free_memory() -> None:
    """Gives freed heap pages back; costs milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
