"""Lines and the JSON objects on them, one at a time and bounded.

In: an open text, or a JSON-lines ``SourceFile``. Out: its lines; its objects with the number of their row.

Covers: lines above the limit, which are never held whole; rows that are no object. Does not cover: what an object
means (table.py, chat.py, fhir.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from residency.curate.formats.source import SourceFile, Unreadable

Object = Mapping[str, Any]

_LINE_ENDS = ("\n", "\r")


def lines(stream: TextIO, limit: int) -> Iterator[str | None]:
    """The lines of a stream with their ends, None for one above the limit (characters)."""
    while line := stream.readline(limit):
        if len(line) < limit or line.endswith(_LINE_ENDS):
            yield line
            continue
        while line and not line.endswith(_LINE_ENDS):
            line = stream.readline(limit)
        yield None


def objects_of(file: SourceFile) -> Iterator[tuple[str, Object | Unreadable]]:
    """The locator and the object of every row; empty lines are no rows."""
    with file.open_text() as stream:
        yield from objects(stream, file.settings.max_bytes)


def objects(stream: TextIO, limit: int) -> Iterator[tuple[str, Object | Unreadable]]:
    number = 0
    for line in lines(stream, limit):
        if line is not None and not line.strip():
            continue
        number += 1
        locator = f"row {number}"
        found = json_object(line)
        yield locator, Unreadable(reason=found, locator=locator) if isinstance(found, str) else found


def json_object(line: str | None) -> Object | str:
    """The object of a line, or the reason why there is none."""
    if line is None:
        return "too_large"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "broken_row"
    return row if isinstance(row, dict) else "broken_row"
