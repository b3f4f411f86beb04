"""Parquet: one document a row.

In: a .parquet file with a column of ids and a column of texts. Out: one part a row, read a few rows at a time; no
other column is touched.

Covers: texts as strings, as bytes in UTF-8 and dictionary-encoded; ids that are numbers. Does not cover: nested
columns, encrypted files, folders of partitions (every file of them is a file of its own).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable
from residency.curate.formats.table import as_text, choose_columns, part_of

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_ROWS = 256  # held at once; a report has a few kilobytes


def read_parquet(file: SourceFile) -> Reading:
    """One part a row; a row that cannot be read is dropped alone, and a broken file ends with a reason."""
    number = 0
    try:
        with _open(file) as table:
            id_column, text_column = choose_columns(file, _names(table))
            for number, (key, text) in enumerate(_rows(table, id_column, text_column), 1):
                yield _read(key, text, f"row {number}", file.settings.max_bytes)
    except _errors() as error:
        detail = f"not a parquet file that can be read ({type(error).__name__}) after row {number}"
        yield Unreadable(reason="broken_file", detail=detail)
        return
    if not number:
        yield Unreadable(reason="no_rows")


def parquet_columns(file: SourceFile) -> list[str]:
    """The columns of a file, from its footer; none of a broken one."""
    try:
        with _open(file) as table:
            return _names(table)
    except _errors():
        return []


def _open(file: SourceFile) -> ParquetFile:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(file.path, memory_map=False, pre_buffer=False)


def _names(table: ParquetFile) -> list[str]:
    return [str(name) for name in table.schema_arrow.names]


def _rows(table: ParquetFile, *columns: str) -> Iterator[tuple[Any, ...]]:
    for batch in table.iter_batches(batch_size=_ROWS, columns=list(columns), use_threads=False):
        yield from zip(*(batch.column(column).to_pylist() for column in columns), strict=True)


def _read(key: Any, text: Any, locator: str, limit: int) -> Part | Unreadable:
    try:
        name, content = _cell(key), _cell(text)
    except (TypeError, UnicodeDecodeError):
        return Unreadable(reason="broken_row", detail="a cell is neither text nor a number", locator=locator)
    if len(content) > limit:
        return Unreadable(reason="too_large", key=name, locator=locator)
    return part_of(name, content, locator)


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, (list, dict, tuple)):
        raise TypeError
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers with a gap in it
    return as_text(value)


def _errors() -> tuple[type[Exception], ...]:
    from pyarrow import ArrowException

    return (ArrowException, OSError, ValueError)
