"""File formats: from a file of the inbox to the texts in it.

In: a ``SourceFile``. Out: ``Part`` for every text, ``Unreadable`` for what gives none.

Covers: which extension means which format, and which reader reads it. Does not cover: document ids, labels,
duplicates; that is ingest.py. A new format is a module here, a member of ``Format`` and a line in ``READERS``.
"""

from __future__ import annotations

from collections.abc import Mapping

from residency.curate.formats.docx import read_docx
from residency.curate.formats.fhir import read_fhir
from residency.curate.formats.html import read_html
from residency.curate.formats.plain import read_text
from residency.curate.formats.source import (
    Format,
    Part,
    Reader,
    Reading,
    SourceFile,
    SourceSettings,
    Unreadable,
)
from residency.curate.formats.table import choose_columns, columns_of, read_table

__all__ = [
    "EXTENSIONS",
    "READERS",
    "Format",
    "Part",
    "SourceFile",
    "SourceSettings",
    "Unreadable",
    "check_columns",
    "format_of",
    "read",
]

READERS: Mapping[Format, Reader] = {
    Format.TEXT: read_text,
    Format.CSV: read_table,
    Format.TSV: read_table,
    Format.JSONL: read_table,
    Format.HTML: read_html,
    Format.DOCX: read_docx,
    Format.FHIR: read_fhir,
}
EXTENSIONS: Mapping[str, Format] = {
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".md": Format.TEXT,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".docx": Format.DOCX,
    ".json": Format.FHIR,
}
TABLES = frozenset({Format.CSV, Format.TSV, Format.JSONL})  # read by row: a limit of size holds for a row
_ARCHIVES = frozenset({Format.DOCX})  # binary by nature


def format_of(file: SourceFile) -> Format | None:
    """The format as set, else by extension; None where nothing here reads it."""
    chosen = file.settings.format
    return EXTENSIONS.get(file.path.suffix.casefold()) if chosen is Format.AUTO else chosen


def read(file: SourceFile) -> Reading:
    """The texts of one file. ProjectError only where the settings do not fit it; anything else is ``Unreadable``."""
    kind = format_of(file)
    if kind is None:
        yield Unreadable(reason="unsupported_format", detail=file.path.suffix.casefold() or "no extension")
        return
    problem = _obstacle(file, kind)
    if problem is not None:
        yield problem
        return
    try:
        yield from READERS[kind](file)
    except UnicodeDecodeError:
        yield Unreadable(reason="undecodable", detail=f"not {file.charset.encoding} from some place on")


def check_columns(file: SourceFile) -> None:
    """ProjectError where a table lacks the columns that its source needs; reads the beginning only."""
    kind = format_of(file)
    if kind in TABLES and _obstacle(file, kind) is None:
        columns = columns_of(file)
        if columns:
            choose_columns(file, columns)


def _obstacle(file: SourceFile, kind: Format) -> Unreadable | None:
    """What makes reading pointless, known before the reader starts."""
    try:
        size = file.facts.size
    except OSError as error:
        return Unreadable(reason="unreadable", detail=error.strerror or "cannot be opened")
    if size == 0:
        return Unreadable(reason="no_text", detail="the file is empty")
    if size > file.settings.max_bytes and kind not in TABLES:
        return Unreadable(reason="too_large", detail=f"{size} bytes")
    if kind not in _ARCHIVES and file.charset.problem:
        return Unreadable(reason=file.charset.problem)
    return None
