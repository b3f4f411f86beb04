"""Tables: csv, tsv and jsonl, one document a row.

In: a table with a column of ids and a column of texts. Out: one part a row; rows are read one at a time.

Covers: comma, semicolon, tab and bar as delimiter, quoted cells with line breaks, any column order, ids that are
numbers, names of columns with blanks ("Report ID"). Does not cover: tables without a header; nested fields of jsonl:
such a row is dropped.

Cells are read strictly (RFC 4180): a lenient reader turns one broken quote into rows of shifted cells that
look like documents. After a broken quote nobody can tell where the next row begins, so the reader stops there
and says at which line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from residency.curate.formats.lines import objects
from residency.curate.formats.source import Format, Part, Reading, SourceFile, Unreadable, one_line_end
from residency.errors import ProjectError

ID_COLUMNS = ("id", "note_id", "report_id", "document_id", "doc_id", "report", "accession", "accession_number", "key")
TEXT_COLUMNS = ("text", "note_text", "report_text", "body", "note", "report", "content", "document", "narrative")
_DELIMITERS = ",;\t|"
_NAME = re.compile(r"[^\W\d][\w.#/()\[\]:-]{0,39}(?: [\w.#/()\[\]:-]{1,40}){0,2}")  # of a column: up to three words


Row = dict[str, str]
Cells = Mapping[str, object]  # of a row, as the file holds them


def read_table(file: SourceFile) -> Reading:
    """One part a row; a row that cannot be read is dropped alone."""
    columns: tuple[str, str] | None = None
    number = 0
    for number, row in enumerate(_rows(file), 1):
        if isinstance(row, Unreadable):
            yield row
            continue
        columns = columns or choose_columns(file, list(row))
        key, text = (row.get(column) for column in columns)
        if isinstance(key, (dict, list)) or isinstance(text, (dict, list)):
            detail = "a cell is neither text nor a number"
            yield Unreadable(reason="broken_row", detail=detail, locator=f"row {number}")
        else:
            yield part_of(as_text(key), as_text(text), f"row {number}")
    if not number:
        yield Unreadable(reason="no_rows")


def rows_of(file: SourceFile) -> Iterator[Row | Unreadable]:
    """The rows of a table, one at a time, with cells as text; what is no row is an ``Unreadable`` in its place."""
    for row in _rows(file):
        yield row if isinstance(row, Unreadable) else {name: as_text(value) for name, value in row.items()}


def _rows(file: SourceFile) -> Iterator[Cells | Unreadable]:
    with file.open_text() as stream:
        if is_jsonl(file):
            yield from (row for _, row in objects(stream, file.settings.max_bytes))
        else:
            yield from _DelimitedRows(stream, file.settings.max_bytes)


def columns_of(file: SourceFile) -> list[str]:
    """The columns of a table, read from its beginning only; of jsonl those of its first object."""
    with file.open_text() as stream:
        if not is_jsonl(file):
            return _DelimitedRows(stream, file.settings.max_bytes).header
        rows = objects(stream, file.settings.max_bytes)
        return list(next((row for _, row in rows if not isinstance(row, Unreadable)), ()))


def is_jsonl(file: SourceFile) -> bool:
    by_name = file.path.suffix.casefold() in (".jsonl", ".ndjson")
    return file.settings.format is Format.JSONL or (file.settings.format is Format.AUTO and by_name)


class _DelimitedRows:
    """The rows of a delimited text. ``header`` is read at once, the rows on the way."""

    def __init__(self, stream: TextIO, limit: int) -> None:
        # The module's default of 131,072 characters is less than a long report has. It holds for the process.
        csv.field_size_limit(max(limit, csv.field_size_limit()))
        first = stream.readline()
        delimiter = max(_DELIMITERS, key=lambda d: len(next(csv.reader([first], delimiter=d), [])))
        self.header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        self._reader = csv.reader(stream, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[Row | Unreadable]:
        number = 0
        while True:
            line = self._reader.line_num + 2  # where the row begins; the header is line 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                detail = f"the quotes are broken in the row that begins at line {line}; nothing after it was read"
                yield Unreadable(reason="broken_quote", detail=detail, locator=f"row {number + 1}")
                return
            if cells:  # not an empty line
                number += 1
                yield self._row(cells, f"row {number}", line)

    def _row(self, cells: list[str], locator: str, line: int) -> Row | Unreadable:
        if len(cells) == len(self.header):
            return dict(zip(self.header, cells, strict=True))
        detail = f"{len(cells)} cells, {len(self.header)} expected, at line {line}"
        return Unreadable(reason="broken_row", detail=detail, locator=locator)


def choose_columns(file: SourceFile, columns: Sequence[str]) -> tuple[str, str]:
    """The id column and the text column: as set, else by their common names. ProjectError where one is missing."""
    text = _choose("text_column", file, columns, TEXT_COLUMNS, taken=file.settings.id_column)
    return _choose("id_column", file, columns, ID_COLUMNS, taken=text), text


def common_columns(columns: Sequence[str]) -> tuple[str, str] | None:
    """The id column and the text column by their common names; None where one is missing."""
    text = _by_name(columns, TEXT_COLUMNS, taken=None)
    key = _by_name(columns, ID_COLUMNS, taken=text)
    return None if text is None or key is None else (key, text)


def _choose(setting: str, file: SourceFile, columns: Sequence[str], names: Sequence[str], taken: str | None) -> str:
    wanted: str | None = getattr(file.settings, setting)
    if wanted is not None and wanted in columns:
        return wanted
    by_name = _by_name(columns, names, taken) if wanted is None else None
    if by_name is not None:
        return by_name
    missing = f"no column {wanted!r}" if wanted is not None else f"no column with a common name for {setting}"
    raise ProjectError(
        f"{file.name}: {missing}; {_shown(columns)}.",
        fix=f"Set {setting} of the source {file.settings.path!r} to one of them.",
    )


def _shown(columns: Sequence[str]) -> str:
    """The columns in words; not where the first row is no header, but a report."""
    if not all(_NAME.fullmatch(column) for column in columns):
        return f"its first row has {len(columns)} cells that are no names of columns; a table needs a header"
    return f"its columns are {', '.join(map(repr, columns)) or 'none'}"


def _by_name(columns: Sequence[str], names: Sequence[str], taken: str | None) -> str | None:
    """The column whose name comes first among the common ``names``."""
    named = {"_".join(column.casefold().split()): column for column in columns if column != taken}
    return next((named[name] for name in names if name in named), None)


def part_of(key: str, text: str, locator: str) -> Part | Unreadable:
    """The part of one row, or what it lacks."""
    key, text = key.strip(), one_line_end(text)
    if not key:
        return Unreadable(reason="no_id", locator=locator)
    if not text.strip():
        return Unreadable(reason="no_text", key=key, locator=locator)
    return Part(text=text, key=key, locator=locator)


def as_text(value: object) -> str:
    """A cell that is no text as text; an empty one where there is no value."""
    return "" if value is None else str(value)
