"""How samples lie end to end in one sequence.

In: samples. Out: ``Unit``: samples that share their beginning; ``Packed``: units as one sequence, with positions,
who sees whom (``Span``), and where something is learned.

Covers: no padding; several questions about one text share the text's tokens; parts of at most so many tokens; the
order of an epoch, in which samples that share a beginning stay side by side.
Does not cover: attention over the spans (attention.py).

Rejected: beginnings shared at several depths (a trie). Questions about one report share one long beginning, and what
all reports share is short.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from residency.tune.render import Sample

SHARED = 64  # tokens; a shorter beginning costs more in small products than it saves; chosen by us, 2026-11


@dataclass(frozen=True, slots=True)
class Span:
    """Rows [start, stop) of a sequence: they see the rows [seen, seen + before) and, causally, themselves."""

    start: int
    stop: int
    seen: int = 0
    before: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """Samples whose first ``shared`` tokens are the same; 0 for one sample alone."""

    samples: tuple[Sample, ...]
    shared: int = 0

    @property
    def tokens(self) -> int:
        """How many rows the unit takes. A sample's last token is never read, only predicted."""
        return self.shared + sum(len(sample.ids) - 1 - self.shared for sample in self.samples)

    @property
    def key(self) -> bytes:
        """Identity of what a model reads of it."""
        digest = hashlib.sha256(str(self.shared).encode())
        for sample in self.samples:
            digest.update(np.asarray([len(sample.ids), *sample.ids[:-1]], dtype=np.int64).tobytes())
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Packed:
    """Units as one sequence of T tokens, S of whose rows are supervised."""

    units: tuple[Unit, ...]
    ids: torch.Tensor  # (1, T)
    positions: torch.Tensor  # (1, T)
    spans: tuple[Span, ...]
    rows: torch.Tensor  # (S,) rows that predict a learned token
    targets: torch.Tensor  # (S,) the learned tokens
    weights: torch.Tensor  # (S,) fp32, the example's weight

    @property
    def samples(self) -> list[Sample]:
        """In the order of ``targets``."""
        return [sample for unit in self.units for sample in unit.samples]


def units_of(samples: Sequence[Sample], *, least: int = SHARED) -> list[Unit]:
    """Every sample in one unit. Those that share ``least`` tokens or more of their questions are together.

    Greedy over the samples in the order of their tokens, where those with a common beginning are neighbors: one more
    sample joins where the unit then saves more tokens than before.
    """
    found: list[Unit] = []
    for sample in sorted(samples, key=lambda s: s.ids):
        unit = found[-1] if found else None
        if unit is not None and (joined := _joined(unit, sample, least)) is not None:
            found[-1] = joined
        else:
            found.append(Unit((sample,)))
    return found


def _joined(unit: Unit, sample: Sample, least: int) -> Unit | None:
    members = len(unit.samples)
    first = unit.samples[0]
    most = min(unit.shared if members > 1 else first.first - 1, sample.first - 1)
    shared = _common(first.ids, sample.ids, most)
    saved, saving = (members - 1) * unit.shared, members * shared
    return Unit((*unit.samples, sample), shared) if shared >= least and saving > saved else None


def _common(a: Sequence[int], b: Sequence[int], most: int) -> int:
    return next((i for i in range(min(most, len(a), len(b))) if a[i] != b[i]), min(most, len(a), len(b)))


def deal(samples: Sequence[Sample], size: int, *, seed: int, epoch: int) -> list[list[Sample]]:
    """The batches of an epoch: units in a drawn order, cut every ``size`` samples."""
    units = units_of(samples)
    order = np.random.default_rng([seed, epoch]).permutation(len(units))
    drawn = [sample for number in order for sample in units[number].samples]
    return [drawn[start : start + size] for start in range(0, len(drawn), size)]


def share(samples: Sequence[Sample], number: int, count: int) -> list[Sample]:
    """The samples that process ``number`` of ``count`` computes: whole units, about as many tokens for each process."""
    if count == 1:
        return list(samples)
    shares: list[list[Sample]] = [[] for _ in range(count)]
    tokens = [0] * count
    for unit in sorted(units_of(samples), key=lambda u: u.tokens, reverse=True):
        least = tokens.index(min(tokens))
        shares[least] += unit.samples
        tokens[least] += unit.tokens
    return shares[number]


def parts(units: Sequence[Unit], most: int) -> Iterator[list[Unit]]:
    """The units in parts of at most ``most`` tokens, or of one unit where that is longer; similar lengths together."""
    part: list[Unit] = []
    tokens = 0
    for unit in sorted(units, key=lambda u: u.tokens):
        if part and tokens + unit.tokens > most:
            yield part
            part, tokens = [], 0
        part.append(unit)
        tokens += unit.tokens
    if part:
        yield part


def pack(units: Sequence[Unit], device: torch.device | None = None) -> Packed:
    """Units end to end."""
    ids: list[int] = []
    positions: list[int] = []
    spans: list[Span] = []
    rows: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for unit in units:
        seen, shared = len(ids), unit.shared
        if shared:
            ids += unit.samples[0].ids[:shared]
            positions += range(shared)
            spans.append(Span(seen, seen + shared))
        for sample in unit.samples:
            start, length = len(ids), len(sample.ids) - 1 - shared
            ids += sample.ids[shared:-1]
            positions += range(shared, shared + length)
            spans.append(Span(start, start + length, seen, shared))
            rows += range(start + sample.first - 1 - shared, start + length)
            targets += sample.ids[sample.first :]
            weights += [sample.weight] * sample.supervised
    return Packed(
        units=tuple(units),
        ids=torch.tensor([ids], device=device),
        positions=torch.tensor([positions], device=device),
        spans=tuple(spans),
        rows=torch.tensor(rows, device=device),
        targets=torch.tensor(targets, device=device),
        weights=torch.tensor(weights, dtype=torch.float32, device=device),
    )


def per_sample(values: torch.Tensor, packed: Packed) -> list[float]:
    """Sums of a value a supervised row, (S,), for each sample of ``packed``."""
    ends = np.cumsum([0, *(sample.supervised for sample in packed.samples)])
    return [float(values[start:stop].sum()) for start, stop in pairwise(ends)]
