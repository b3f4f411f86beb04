"""Deduplicate: one copy of each report, near copies included. The step is in step.py.

In: documents. Out: one of each set of copies; the others ``Dropped``.

Covers: what of a text a copy shares (signature.py), finding it among many without comparing all pairs (near.py), which
copy stays (step.py). Does not cover: copies on two sides of a split that were not dropped; decontaminate.py names them.
"""

from residency.curate.deduplicate.step import Deduplicate, Keep, Within

__all__ = ["Deduplicate", "Keep", "Within"]
