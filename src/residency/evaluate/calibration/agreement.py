"""Confidence from asking several times.

In: several outputs of one system for one case. Out: the answer that most of them give, and their share.

Covers: self-consistency for any kind of task (Wang et al. 2022): equal answers are counted, the most frequent one is
given, ties by who came first. Does not cover: texts that say the same in other words; they count as different.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any


def agreement(samples: Sequence[Any]) -> tuple[Any, float]:
    """The most frequent answer and its share of all samples; unread samples (None) agree with nothing."""
    keys = [None if sample is None else json.dumps(sample, sort_keys=True, default=str) for sample in samples]
    counts = Counter(key for key in keys if key is not None)
    if not counts:
        return None, 0.0
    key, count = counts.most_common(1)[0]
    return samples[keys.index(key)], count / len(samples)
