"""Keys and values of a batch, kept in room that is taken once.

In: keys and values of new tokens. Out: those of all tokens so far, as views.

Covers: a fixed capacity; starting from a prefix that all rows share; keeping some rows; going back.
Does not cover: sliding windows.

transformers' own DynamicCache copies everything for every token; at sixteen rows that costs more than the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers' base class is untyped
    """One layer's keys and values: (rows, heads, capacity, width); the first ``length`` positions are filled."""

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity = capacity
        self.length = 0
        self.room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append and return views of everything so far."""
        end = self.length + key_states.shape[-2]
        if self.room is None:
            self.take_room(key_states, rows=key_states.shape[0])
        assert self.room is not None
        self.room[0][:, :, self.length : end] = key_states
        self.room[1][:, :, self.length : end] = value_states
        return self.show(end)

    def take_room(self, like: torch.Tensor, *, rows: int) -> None:
        _, heads, _, width = like.shape
        keys, values = (like.new_empty((rows, heads, self.capacity, width)) for _ in range(2))
        self.room = (keys, values)
        self.dtype, self.device = like.dtype, like.device
        self.is_initialized = True

    def show(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the first ``length`` positions the content, and return them."""
        assert self.room is not None
        self.length = length
        keys, values = (room[:, :, :length] for room in self.room)
        self.keys, self.values = keys, values
        return keys, values

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these rows only, in this order."""
        assert self.room is not None
        self.room = (self.room[0][rows], self.room[1][rows])
        self.show(self.length)


class RoomyCache(Cache):
    """A ``Cache`` of ``RoomyLayer``s."""

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[RoomyLayer(capacity) for _ in range(layers)])

    @classmethod
    def after(cls, prefix: RoomyCache | None, *, layers: int, rows: int, capacity: int) -> RoomyCache:
        """Room for ``rows`` rows that all begin with the single row of ``prefix``."""
        cache = cls(layers, capacity)
        if prefix is not None:
            for mine, theirs in zip(cache.rooms, prefix.rooms, strict=True):
                keys, values = theirs.show(theirs.length)
                mine.take_room(keys, rows=rows)
                mine.update(keys, values)  # broadcast over the rows
        return cache

    @property
    def rooms(self) -> Sequence[RoomyLayer]:
        return [layer for layer in self.layers if isinstance(layer, RoomyLayer)]

    def rewind(self, length: int) -> None:
        """Forget everything after the first ``length`` positions."""
        for layer in self.rooms:
            layer.show(length)

    def keep(self, rows: torch.Tensor) -> None:
        for layer in self.rooms:
            layer.keep(rows)
