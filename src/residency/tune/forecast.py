"""What a run will take: memory and time, from small measured steps.

In: the step, the samples, the recipe. Out: a ``Room`` and seconds; TrainingError where the memory will not do.

Covers: the memory of the largest part of a batch, of the optimizer and of the best state; the time of all steps and
validations. Does not cover: other processes that come later; what is saved from the second epoch on when what the lower
blocks compute is kept: the time is that of an epoch without.

Memory is measured first, on a few hundred tokens, and taken times the tokens of the largest part. That holds while
memory grows with the tokens, which it does with attention that never holds all scores at once. Only then is one whole
batch timed: how many tokens its samples share is part of how long a step takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.filesize import decimal

from residency.errors import TrainingError
from residency.models.memory import available_bytes, growth, return_free_memory
from residency.tune.lora import Recipe
from residency.tune.render import Sample

if TYPE_CHECKING:
    import torch

MEASURED = 512  # tokens on which memory is measured, about; chosen by us, 2026-11: enough to be no rounding
FORWARD = 1 / 3  # of a step's time goes into the forward pass, which is all of a validation; a usual rule of thumb
MARGIN = 1.15  # what memory a part may take beyond the measured one in proportion; chosen by us, 2026-11
LEAST = 128  # tokens; a report that is cut shorter says too little to propose it; chosen by us, 2026-11
STATE = 16  # bytes a trained parameter: gradient, two moments of AdamW and the best state, fp32 each


@dataclass(frozen=True, slots=True)
class Room:
    """The memory that a run takes. ``bytes_needed`` is None where the system does not say what a step took."""

    bytes_needed: int | None  # beyond what the process holds now
    bytes_free: int
    bytes_a_token: float
    largest: int  # tokens held at once
    longest: int  # tokens of the longest sample

    def __str__(self) -> str:
        needed = "" if self.bytes_needed is None else f"{decimal(self.bytes_needed)} more memory; "
        return f"{needed}{decimal(self.bytes_free)} are free"


def measure_room(
    learn: Callable[[Sequence[Sample]], object],
    samples: Sequence[Sample],
    checked: Sequence[Sample],
    recipe: Recipe,
    *,
    trained: int,
    device: torch.device,
) -> Room:
    """Runs ``learn`` on a few samples.

    ``learn`` computes loss and gradient; the gradient is the caller's to throw away. ``trained`` counts parameters.
    """
    few = _few(samples)
    taken = growth(lambda: learn(few), device)
    return_free_memory()
    bytes_a_token = (taken or 0) / _tokens(few)
    longest = max(len(sample.ids) for sample in (*samples, *checked))
    # A part holds at most micro_tokens, or one sample where that is longer; and no more than a batch has.
    most = max(min(recipe.micro_tokens, recipe.batch_size * longest), longest)
    needed = None if taken is None else int(bytes_a_token * most * MARGIN) + STATE * trained
    return Room(
        bytes_needed=needed,
        bytes_free=available_bytes(device),
        bytes_a_token=bytes_a_token,
        largest=most,
        longest=longest,
    )


def tightest(rooms: Sequence[Room], sharing: int) -> Room:
    """Of what several processes measured, the one with the least to spare; ``sharing`` of them have the same memory."""
    parts = [replace(room, bytes_free=room.bytes_free // sharing) for room in rooms]
    return min(parts, key=lambda room: room.bytes_free - (room.bytes_needed or 0))


def measure_seconds(
    learn: Callable[[Sequence[Sample]], object],
    batch: Sequence[Sample],
    samples: Sequence[Sample],
    checked: Sequence[Sample],
    *,
    epochs: float,
) -> float:
    """Runs ``learn`` on one batch, and says how long ``epochs`` of all samples and validations will take."""
    began = time.perf_counter()
    learn(batch)
    seconds_a_token = (time.perf_counter() - began) / _tokens(batch)
    return_free_memory()
    return seconds_a_token * epochs * (_tokens(samples) + FORWARD * _tokens(checked))


def in_words(seconds: float, room: Room) -> str:
    """The forecast as a line."""
    return f"forecast: about {timedelta(seconds=round(seconds))} (h:min:s), {room}"


def refuse_without_room(found: Room, recipe: Recipe) -> None:
    """TrainingError where the run would end for want of memory, with a setting that would do."""
    if found.bytes_needed is None or found.bytes_needed <= found.bytes_free:
        return
    beside = found.bytes_needed - int(found.bytes_a_token * found.largest * MARGIN)
    room = int((found.bytes_free - beside) / (found.bytes_a_token * MARGIN)) if found.bytes_a_token else 0
    if room >= found.longest:
        proposal = f"Set recipe.micro_tokens to {room} or less (it is {recipe.micro_tokens}); the result is the same."
    elif room >= LEAST:
        proposal = f"Set recipe.max_tokens to {room} or less, adapt fewer blocks, or use a smaller base."
    else:
        proposal = "Adapt fewer blocks, use a smaller base, or a machine with more memory."
    raise TrainingError(
        f"Training cannot start: it would need {decimal(found.bytes_needed)} more memory, "
        f"and {decimal(found.bytes_free)} are free "
        f"(the longest sample has {found.longest} tokens, {found.largest} are held at once).",
        fix=proposal,
    )


def _few(samples: Sequence[Sample]) -> list[Sample]:
    few: list[Sample] = []
    for sample in samples:
        few.append(sample)
        if _tokens(few) >= MEASURED:
            break
    return few


def _tokens(samples: Sequence[Sample]) -> int:
    return sum(len(sample.ids) for sample in samples)
