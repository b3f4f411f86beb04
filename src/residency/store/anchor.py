"""The anchor of the audit log: its last entry, remembered where whoever can write the database cannot.

In: number and hash of the last entry. Out: the same, after the process that wrote it has ended.

Covers: several processes at once; a kill or a power cut between an entry and its anchor (the anchor is then behind,
never ahead). Does not cover: a person who may write the folder of keys as well; keep a copy of the anchor, or of an
exported log, in the hands of an auditor.

The file is one line of fixed length that is written over in place: a move costs no room on the disk, and does not wait
for it.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from residency.errors import StoreError
from residency.places import key_folder
from residency.store.files import disk_errors

_LINE = re.compile(r"(\d{18}) ([0-9a-f]{64})\n")
_LENGTH = 18 + 1 + 64 + 1  # bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a log, or of a part of it."""

    number: int
    hash: str


@dataclass(slots=True)
class Anchor:
    """One file: the number and the hash of an entry."""

    path: Path
    _moved: int = field(default=0, init=False)  # by this process; an older head is not looked at again

    def read(self) -> Head | None:
        """The anchored entry; None where none was anchored yet."""
        try:
            with self._open(os.O_RDONLY, fcntl.LOCK_SH) as handle:
                return self._head(handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error.strerror}).",
                fix="Give this user read access, or put back a copy.",
            ) from None

    def move(self, head: Head) -> None:
        """Anchors ``head``, unless a later entry is anchored already."""
        if head.number <= self._moved:
            return
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._open(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as handle:
                anchored = self._head(handle)
                if anchored is None or anchored.number < head.number:
                    os.pwrite(handle, f"{head.number:018} {head.hash}\n".encode(), 0)
        self._moved = max(self._moved, head.number)

    @contextmanager
    def _open(self, how: int, lock: int) -> Iterator[int]:
        handle = os.open(self.path, how | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, lock)  # held for the time of one small read and write
            yield handle
        finally:
            os.close(handle)

    def _head(self, handle: int) -> Head | None:
        text = os.pread(handle, _LENGTH + 1, 0).decode("ascii", errors="replace")
        if not text:
            return None  # killed after the file was made, before it was written
        found = _LINE.fullmatch(text)
        if found is None:
            raise StoreError(f"{self.path}: not an anchor of an audit log.", fix="Put back the last good copy.")
        return Head(int(found[1]), found[2])


def anchor_path(project_id: str) -> Path:
    """Where the anchor of a project's audit log lies: beside its key."""
    return key_folder() / f"{project_id}.audit"
