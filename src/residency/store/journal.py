"""A journal: finished units of a long run, safe the moment they are written.

In: records, one by one or in small groups. Out: after a kill, every group whose write had ended.

Covers: a torn last line (ignored and cut off), a full disk. Does not cover: finished runs; theirs are artifacts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from residency.store.files import disk_errors

Record = TypeVar("Record")


class Journal(Generic[Record]):
    """Records of one kind, appended to one file."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self.path = path
        self._adapter: TypeAdapter[Record] = TypeAdapter(kind)

    def read(self) -> list[Record]:
        """All whole records, at once."""
        return list(self.records())

    def records(self) -> Iterator[Record]:
        """All whole records, one after another; cuts off a torn end first, so that appending goes on from a whole
        line."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            whole = sum(len(line) for line in file if line.endswith(b"\n"))
            file.truncate(whole)
            file.seek(0)
            for line in file:
                yield self._adapter.validate_python(json.loads(line))

    def append(self, records: Iterable[Record]) -> None:
        """Adds records and waits until the disk has them."""
        lines = "".join(_line(self._adapter.dump_python(record, mode="json")) for record in records)
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())


def _line(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":")) + "\n"
