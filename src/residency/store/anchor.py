"""The anchor of the audit log: its last entry, remembered where whoever can write the database cannot.

In: number and hash of the last entry. Out: the same, after the process that wrote it has ended.

Covers: several processes at once; a kill between an entry and its anchor (the anchor is then behind, never ahead).
Does not cover: a person who may write the folder of keys as well; keep a copy of the anchor, or of an exported log, in
the hands of an auditor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from residency.errors import StoreError
from residency.places import key_folder
from residency.store.files import disk_errors, locked, write_text

_LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64})\n")


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
            text = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error.strerror}).",
                fix="Give this user read access, or put back a copy.",
            ) from None
        found = _LINE.fullmatch(text)
        if found is None:
            raise StoreError(f"{self.path}: not an anchor of an audit log.", fix="Put back the last good copy.")
        return Head(int(found[1]), found[2])

    def move(self, head: Head) -> None:
        """Anchors ``head``, unless a later entry is anchored already."""
        if head.number <= self._moved:
            return
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        busy = f"{self.path}: another process has been at work with it for a minute."
        with locked(self.path.with_name(f"{self.path.name}.lock"), seconds=60, busy=busy):
            anchored = self.read()
            if anchored is None or anchored.number < head.number:
                write_text(self.path, f"{head.number} {head.hash}\n")
        self._moved = max(self._moved, head.number)


def anchor_path(project_id: str) -> Path:
    """Where the anchor of a project's audit log lies: beside its key."""
    return key_folder() / f"{project_id}.audit"
