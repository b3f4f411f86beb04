"""Hidden states of the frozen lower layers, kept from one epoch to the next.

In: a key and a tensor. Out: the tensor again, bit for bit, or None.

Covers: one file of records, each with its key, shape and checksum, for one run (base, data and depth, by hash); a size
limit; a torn tail after a kill; a full disk (nothing more is kept). Does not cover: which states are worth keeping.

The file is written and read through the system's page cache, so it is memory as long as there is some, and disk
otherwise. Rejected: a dictionary of tensors, which ends the run where memory ends, and is empty after a kill.
"""

from __future__ import annotations

import os
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import torch

HEADER = struct.Struct("<32sqqI")  # key, rows, columns, CRC-32 of the numbers


class HiddenStates:
    """A keyed file of matrices in one precision, at most ``limit`` bytes, that belongs to the run ``identity``."""

    def __init__(self, path: Path, identity: str, dtype: torch.dtype, limit: int) -> None:
        self.dtype, self.limit = dtype, limit
        self._title = sha256(f"{identity} {dtype}".encode()).digest()
        self._places: dict[bytes, tuple[int, int, int, int]] = {}  # key -> offset, rows, columns, checksum
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b", buffering=0)
        self._end = self._scan()

    def get(self, key: bytes) -> torch.Tensor | None:
        """What was kept under ``key``; None where nothing was, or where the disk gives back something else."""
        if key not in self._places:
            return None
        offset, rows, columns, checksum = self._places[key]
        data = bytearray(os.pread(self._file.fileno(), rows * columns * self.dtype.itemsize, offset))
        if len(data) != rows * columns * self.dtype.itemsize or zlib.crc32(data) != checksum:
            del self._places[key]
            return None
        return torch.frombuffer(data, dtype=self.dtype).view(rows, columns)

    def put(self, key: bytes, value: torch.Tensor) -> None:
        """Keeps a matrix, where there is room."""
        data = value.detach().to("cpu", self.dtype).contiguous().view(torch.uint8).numpy().tobytes()
        if key in self._places or self._end + HEADER.size + len(data) > self.limit:
            return
        rows, columns = value.shape
        checksum = zlib.crc32(data)
        try:
            written = self._file.write(HEADER.pack(key, rows, columns, checksum) + data)
        except OSError:
            written = 0
        if written < HEADER.size + len(data):
            self.limit = 0  # a full disk slows the run down and does not end it
            return
        self._places[key] = (self._end + HEADER.size, rows, columns, checksum)
        self._end += HEADER.size + len(data)

    def close(self) -> None:
        """Nothing can be asked or kept after this."""
        self._file.close()

    def _scan(self) -> int:
        """Finds the records of an earlier process; the end of the last whole one. What follows is cut off."""
        file = self._file.fileno()
        size = os.fstat(file).st_size
        if os.pread(file, len(self._title), 0) != self._title:
            self._file.truncate(0)
            return self._file.write(self._title)
        end = len(self._title)
        while end + HEADER.size <= size:
            key, rows, columns, checksum = HEADER.unpack(os.pread(file, HEADER.size, end))
            length = rows * columns * self.dtype.itemsize
            if rows < 0 or columns < 0 or end + HEADER.size + length > size:
                break
            self._places[key] = (end + HEADER.size, rows, columns, checksum)
            end += HEADER.size + length
        self._file.truncate(end)
        return end
