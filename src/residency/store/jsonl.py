"""JSON lines files that are too large to hold: read by place, written in order.

In: a file with one JSON object a line, each with ``id`` and ``text``. Out: an index of its lines; the objects at some
places; an output file with one line for each, in the order of the input.

Covers: what is wrong with a line (its number and why, never its content), lines that belong together (one patient's)
wherever they stand, results that come in any order, output that appears whole or not at all. Does not cover: what is
done with the objects.

Only places are held in memory: some dozen bytes a line.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeGuard, TypeVar

from residency.errors import RecordError
from residency.store.files import WHY_NO_FILE, disk_errors, whole_file, why_no_file, writable_file

PROBLEMS_NAMED = 10  # in one error; the number of all is said
T = TypeVar("T")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Index:
    """Where the lines of a file begin, and which of them belong together."""

    path: Path
    starts: array[int] = field(default_factory=lambda: array("Q"))  # byte offset of each line that holds an object
    groups: dict[str, list[int]] = field(default_factory=dict)  # group -> numbers of its lines, in order
    other_keys: set[str] = field(default_factory=set)  # keys beside id, text, patient
    problems: list[str] = field(default_factory=list)  # "line 7: why"

    def __len__(self) -> int:
        return len(self.starts)

    def places(self, numbers: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.starts[number] for number in numbers)


def index_lines(path: Path, *, group: str = "patient", check: Callable[[dict[str, Any]], None] | None = None) -> Index:
    """The index of a file. ``group``: the key whose equal values belong together; ``check`` raises a ValueError that
    says what else is wrong with an object. Every line is checked; nothing of its content is kept."""
    index = Index(path.resolve() if not why_no_file(path) else path)  # what /dev/stdin is, a worker process cannot know
    seen: set[int] = set()
    for number, start, line in _lines(path):
        try:
            record = _object(line)
            if check is not None:
                check(record)
        except ValueError as error:
            index.problems.append(f"line {number}: {error}")
            continue
        name = hash(str(record["id"]))
        if name in seen:
            index.problems.append(f"line {number}: an id that an earlier line has too")
            continue
        seen.add(name)
        value = record.get(group)
        key = f"line:{number}" if value is None or value == "" else f"is:{value}"
        index.groups.setdefault(key, []).append(len(index.starts))
        index.starts.append(start)
        index.other_keys.update(record.keys() - {"id", "text", group})
    return index


def refuse_problems(index: Index) -> None:
    """A RecordError that names the first lines that cannot be read."""
    if index.problems:
        count = len(index.problems)
        shown = "; ".join(index.problems[:PROBLEMS_NAMED]) + ("; ..." if count > PROBLEMS_NAMED else "")
        raise RecordError(
            f"{index.path}: {count} line{'s' if count > 1 else ''} cannot be read: {shown}.",
            fix='Correct them, each to {"id": ..., "text": ...}; or add --skip-bad to go on without them.',
        )


def read_at(path: Path, starts: Sequence[int]) -> list[dict[str, Any]]:
    """The objects whose lines begin at these byte offsets."""
    records = []
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            records.append(json.loads(file.readline().removeprefix(_BOM)))
    return records


class OrderedLines:
    """Takes lines by number, in any order; what comes early waits on disk, not in memory."""

    def __init__(self, spool: IO[bytes], count: int) -> None:
        self._spool = spool
        self._where = array("Q", bytes(8 * count))
        self._length = array("Q", bytes(8 * count))

    def put(self, number: int, record: Any) -> None:
        try:
            line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        except UnicodeEncodeError:  # half of a surrogate pair: only as an escape is it valid JSON
            line = (json.dumps(record) + "\n").encode()
        self._where[number] = self._spool.tell()
        self._length[number] = len(line)
        self._spool.write(line)

    def write(self, path: Path) -> None:
        self._spool.flush()
        with path.open("wb") as file:
            for where, length in zip(self._where, self._length, strict=True):
                self._spool.seek(where)
                file.write(self._spool.read(length))


@contextmanager
def ordered_lines(path: Path, count: int) -> Iterator[OrderedLines]:
    """Writes ``path`` when the block ends well: ``count`` lines, in the order of their numbers."""
    folder = writable_file(path).parent
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as spool:  # without a name: nothing is left of it when this is killed
            lines = OrderedLines(spool, count)
            yield lines
            with whole_file(path) as finished:
                lines.write(finished)


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    problem = why_no_file(path)
    if problem:
        raise RecordError(f"{path}: {problem}.", fix="Name a JSON lines file.")
    try:
        with path.open("rb") as file:
            start = 0
            for number, line in enumerate(file, 1):
                content = line.removeprefix(_BOM) if number == 1 else line
                if content.strip():
                    yield number, start, content
                start += len(line)
    except OSError as error:
        raise RecordError(
            f"{path}: {WHY_NO_FILE.get(error.errno or 0, 'cannot be read to its end')}.", fix="Name a JSON lines file."
        ) from None


def read_objects(path: Path, read: Callable[[dict[str, Any]], T], *, shape: str) -> list[T]:
    """What ``read`` makes of every object of a file that fits into memory; objects need an ``id``, no ``text``.

    ``read`` raises a ValueError that says what is wrong. All problems are one RecordError; ``shape`` is how a line
    should look. Numbers that are not finite are no JSON.
    """
    found, seen, problems = [], set[str](), []
    for number, _, line in _lines(path):
        try:
            record = _object(line, needs_text=False)
            if str(record["id"]) in seen:
                raise ValueError("an id that an earlier line has too")
            found.append(read(record))
            seen.add(str(record["id"]))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        shown = "; ".join(problems[:PROBLEMS_NAMED]) + ("; ..." if len(problems) > PROBLEMS_NAMED else "")
        count = f"{len(problems)} line{'s' if len(problems) > 1 else ''}"
        raise RecordError(f"{path}: {count} cannot be read: {shown}.", fix=f"Correct them, each to {shape}.")
    if not found:
        raise RecordError(f"{path}: there is no record in it.", fix=f"Write one object a line: {shape}.")
    return found


class _NoNumber(ValueError):
    """NaN or Infinity, which Python reads and JSON does not know."""


def _no_number(written: str) -> float:
    raise _NoNumber(f"{written} where a number should be")


def _object(line: bytes, *, needs_text: bool = True) -> dict[str, Any]:
    """The object of a line; a ValueError says what is wrong without showing it."""
    try:
        record = json.loads(line.decode("utf-8"), parse_constant=None if needs_text else _no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at character {error.pos}") from None
    except _NoNumber:
        raise
    except ValueError:  # of json itself: Python reads no number of thousands of digits
        raise ValueError("a number that is too long") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("not an object")
    if not isinstance(record.get("id"), str) and not _is_number(record.get("id")):
        raise ValueError("no id (text or number)")
    if needs_text and not isinstance(record.get("text"), str):
        raise ValueError("no text")
    if not isinstance(record.get("patient"), str | None) and not _is_number(record.get("patient")):
        raise ValueError("patient is neither text nor number")
    return record


def check_spans(record: dict[str, Any], key: str, *, names: Sequence[str], unplaced: bool = False) -> None:
    """A ValueError unless ``key`` holds a list of spans within the text, each with a name under one of ``names``.
    ``unplaced``: a span may have no place."""
    if not isinstance(record.get(key), list):
        raise ValueError(f"no list {key!r}")
    for number, span in enumerate(record[key]):
        place = f"{key}[{number}]"
        if not isinstance(span, dict):
            raise ValueError(f"{place} is not an object")
        _check_names(span, names, place)
        start, end = span.get("start"), span.get("end")
        if unplaced and start is None and end is None:
            continue
        if not (_is_number(start) and _is_number(end)):
            raise ValueError(f"{place} has no start and end (whole numbers)")
        if not 0 <= start < end <= len(record["text"]):
            raise ValueError(f"{place} does not lie within the text")


def _check_names(span: dict[str, Any], names: Sequence[str], place: str) -> None:
    given = [span[name] for name in names if span.get(name) is not None]
    if names and not given:
        raise ValueError(f"{place} has no {' or '.join(names)}")
    if not all(isinstance(name, str) and name.strip() and name.isprintable() for name in given):
        raise ValueError(f"{place}: {' or '.join(names)} is not one line of text")


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
