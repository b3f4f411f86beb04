"""Near: those of many signatures that are like a given one, without comparing all pairs.

In: signatures, as rows of a table. Out: for one row, the rows before it that are alike.

Covers: locality-sensitive hashing with bands (Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3): rows that agree in every position of one band at least are compared. A pair at the
threshold is compared with a probability of ``MIN_FOUND`` or more, pairs above it nearly always. Does not cover: which
of two copies stays.

Not datasketch's own MinHashLSH: it keeps a set for each band of each document, some kilobytes a report; here a band
value that only one document has takes no bucket at all. It is the same family of hashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from residency.curate.deduplicate.signature import PERMUTATIONS, Numbers, estimated_likeness

MIN_FOUND = 0.99  # probability that a pair at the threshold is compared; higher means more comparisons in vain
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: spreads the values (Knuth)


def rows_per_band(threshold: float) -> int:
    """The longest bands with which a pair at the threshold is found: 1 - (1 - threshold**rows)**bands >= MIN_FOUND."""
    lengths = range(PERMUTATIONS, 0, -1)
    found = (rows for rows in lengths if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= MIN_FOUND)
    return next(found, 1)


class Near:
    """Rows of a table of signatures that were added, found again by likeness."""

    def __init__(self, table: Numbers, threshold: float) -> None:
        self.table = table
        self.threshold = threshold
        self._keys = _band_keys(table, rows_per_band(threshold))
        self._shared = _shared_in_column(self._keys)
        self._buckets: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, row: int) -> None:
        for bucket in self._addresses(row):
            self._buckets[bucket].append(row)

    def alike(self, row: int) -> list[tuple[int, float]]:
        """Added rows at or above the threshold with their estimated likeness, the most alike first, then as added."""
        compared = sorted({other for bucket in self._addresses(row) for other in self._buckets.get(bucket, ())})
        if not compared:
            return []
        likeness = estimated_likeness(self.table[row], self.table[compared])
        pairs = zip(compared, map(float, likeness), strict=True)
        return sorted((pair for pair in pairs if pair[1] >= self.threshold), key=lambda pair: -pair[1])

    def _addresses(self, row: int) -> Iterator[tuple[int, int]]:
        for band in np.flatnonzero(self._shared[row]):
            yield int(band), int(self._keys[row, band])


def _band_keys(table: Numbers, rows: int) -> Numbers:
    """One number for each band of each signature. Two bands may share one by chance; they are compared in vain."""
    bands = PERMUTATIONS // rows
    keys = np.zeros((len(table), bands), dtype=np.uint64)  # (documents, bands)
    for position in range(rows):
        keys = (keys ^ table[:, position : bands * rows : rows]) * _MULTIPLIER
        keys ^= keys >> np.uint64(29)
    return keys


def _shared_in_column(keys: Numbers) -> Numbers:
    """Which values occur more than once in their column."""
    shared = np.zeros(keys.shape, dtype=np.bool_)
    for band in range(keys.shape[1]):
        _, back, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        shared[:, band] = counts[back] > 1
    return shared
