"""Has tuning cost the model plain English? Bits per byte on a general control text, before and after.

In: the untuned and the tuned model. Out: the likelihood of every passage; ``Forgetting``: both means, the difference
with its interval, and a verdict.

Covers: a small control text that comes with the package (``control_text.txt``; its first lines name the licence), in
passages of everyday prose, asked for by their titles. Does not cover: other abilities, such as arithmetic or other
languages; text of the domain (the ``bits_per_byte`` of each task).

A passage is a case of its own: passages share no author's patient, so that nothing is clustered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

import numpy as np

from residency.errors import EvaluationError
from residency.evaluate.intervals import DRAWS, Array, bootstrap_interval
from residency.evaluate.metrics.facts import share_of_sums
from residency.models.model import Likelihood, Model
from residency.records import Message

CONTROL = "control_text.txt"
# A loss in bits per byte up to this is no forgetting that a reader would notice. Chosen by us: one hundredth of a bit
# is about one per cent of what a small model needs for English.
MARGIN = 0.01


class Memory(StrEnum):
    """What became of plain English."""

    KEPT = "kept"  # at most the margin was lost
    FORGOTTEN = "forgotten"
    UNCLEAR = "unclear"  # the interval holds both


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of the control text."""

    title: str
    text: str

    @property
    def question(self) -> tuple[Message, ...]:
        return (Message(role="user", content=f"Write a paragraph about this: {self.title}."),)

    @property
    def size(self) -> int:
        """Bytes in UTF-8."""
        return len(self.text.encode())


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Bits per byte of the control text; lower is better, a positive difference is a loss."""

    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    passages: int
    size: int  # bytes
    margin: float
    verdict: Memory
    note: str = ""


@cache
def passages() -> tuple[Passage, ...]:
    """The control text that comes with the package."""
    whole = files("residency.evaluate").joinpath(CONTROL).read_text(encoding="utf-8")
    blocks = [block.strip() for block in whole.split("\n\n") if block.strip() and not block.startswith("#")]
    pairs = [block.partition(": ")[::2] for block in blocks]
    return tuple(Passage(title, text) for title, text in pairs)


def control_likelihoods(model: Model, *, group_size: int) -> list[Likelihood]:
    """The likelihood of every passage, in order."""
    found: list[Likelihood] = []
    whole = passages()
    for start in range(0, len(whole), group_size):
        group = whole[start : start + group_size]
        found += model.score([passage.question for passage in group], [passage.text for passage in group])
    return found


def forgetting(
    before: Sequence[Likelihood],
    after: Sequence[Likelihood],
    *,
    margin: float = MARGIN,
    draws: int = DRAWS,
    seed: int = 0,
) -> Forgetting:
    """Both likelihoods of the same passages, compared in pairs."""
    whole = passages()
    if not len(before) == len(after) == len(whole):
        raise EvaluationError(
            f"{len(before)} and {len(after)} likelihoods came for {len(whole)} passages of the control text.",
            fix="Run the evaluation again, so that both models read the same text.",
        )
    sizes = np.array([passage.size for passage in whole], dtype=np.float64)
    bits_before, bits_after = (_bits(likelihoods) for likelihoods in (before, after))
    names = [passage.title for passage in whole]
    parts = np.column_stack([bits_after - bits_before, sizes])
    found = bootstrap_interval(parts, names, share_of_sums, seed=seed, draws=draws)
    low, high = found.low, found.high
    if np.ptp(parts[:, 0]) == 0:  # a model that did not change at all
        low = high = found.value
    return Forgetting(
        before=float(bits_before.sum() / sizes.sum()),
        after=float(bits_after.sum() / sizes.sum()),
        difference=found.value,
        low=low,
        high=high,
        passages=len(whole),
        size=int(sizes.sum()),
        margin=margin,
        verdict=remembered(low, high, margin),
        note=found.note if low is None else "",
    )


def _bits(likelihoods: Sequence[Likelihood]) -> Array:
    bits = np.array([likelihood.nats for likelihood in likelihoods], dtype=np.float64) / math.log(2)
    if not np.isfinite(bits).all():
        raise EvaluationError(
            "The likelihood of a passage of the control text is not finite.",
            fix="Look at the training curve: weights that are not numbers give this.",
        )
    return bits


def remembered(low: float | None, high: float | None, margin: float) -> Memory:
    """The verdict from the interval of the loss."""
    if high is not None and high <= margin:
        return Memory.KEPT
    return Memory.FORGOTTEN if low is not None and low > margin else Memory.UNCLEAR
