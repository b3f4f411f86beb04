"""File formats: from a file of the inbox to the texts in it.

In: a ``SourceFile``. Out: ``Part`` for every text, ``Unreadable`` for what gives none.

Covers: which extension means which format, where one extension has several which of them its first line tells, and
which reader reads it; characters that no encoding can write. Does not cover: document ids, labels, duplicates; that
is ingest.py. A new format is a module here, a member of ``Format`` and a line in ``READERS``.

A file whose content contradicts its extension is dropped and says what it is; it is not read as something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from residency.curate.formats.charset import signature
from residency.curate.formats.chat import looks_like_chat, read_chat
from residency.curate.formats.docx import read_docx
from residency.curate.formats.fhir import read_fhir
from residency.curate.formats.hl7 import read_hl7
from residency.curate.formats.html import read_html
from residency.curate.formats.lines import json_object
from residency.curate.formats.parquet import parquet_columns, read_parquet
from residency.curate.formats.pdf import read_pdf
from residency.curate.formats.plain import read_text
from residency.curate.formats.source import (
    Format,
    Part,
    Reader,
    Reading,
    SourceFile,
    SourceSettings,
    Unreadable,
    whole_characters,
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
    "whole_characters",
]

READERS: Mapping[Format, Reader] = {
    Format.TEXT: read_text,
    Format.CSV: read_table,
    Format.TSV: read_table,
    Format.JSONL: read_table,
    Format.PARQUET: read_parquet,
    Format.HTML: read_html,
    Format.DOCX: read_docx,
    Format.PDF: read_pdf,
    Format.FHIR: read_fhir,
    Format.HL7: read_hl7,
    Format.CHAT: read_chat,
}
EXTENSIONS: Mapping[str, Format] = {
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".md": Format.TEXT,
    ".markdown": Format.TEXT,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".docx": Format.DOCX,
    ".pdf": Format.PDF,
    ".json": Format.FHIR,
    ".hl7": Format.HL7,
}
TABLES = frozenset({Format.CSV, Format.TSV, Format.JSONL, Format.PARQUET})  # have columns
_BY_ROW = TABLES | {Format.HL7}  # read a row or message at a time: the limit of size holds for each
_BINARY = frozenset({Format.DOCX, Format.PDF, Format.PARQUET})  # by nature
_LINES = frozenset({".jsonl", ".ndjson"})
_HL7_BEGINNINGS = ("MSH|", "FHS|", "BHS|")


def format_of(file: SourceFile) -> Format | None:
    """The format as set, else by extension and first line; None where nothing here reads it."""
    chosen = file.settings.format
    if chosen is not Format.AUTO:
        return chosen
    by_name = EXTENSIONS.get(file.path.suffix.casefold())
    if by_name in (Format.TEXT, Format.JSONL, Format.FHIR):
        return _by_first_line(file) or by_name
    return by_name


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
        for part in READERS[kind](file):
            yield _writable(part)
    except UnicodeDecodeError:
        yield Unreadable(reason="undecodable", detail=f"not {file.charset.encoding} from some place on")
    except OSError as error:
        yield Unreadable(reason="unreadable", detail=error.strerror or "cannot be read to its end")


def check_columns(file: SourceFile) -> None:
    """ProjectError where a table lacks the columns that its source needs; reads the beginning only."""
    kind = format_of(file)
    if kind not in TABLES or _obstacle(file, kind) is not None:
        return
    try:
        columns = parquet_columns(file) if kind is Format.PARQUET else columns_of(file)
    except (UnicodeDecodeError, OSError):
        return  # reading it gives the reason
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
    if size > file.settings.max_bytes and not _is_read_by_row(file, kind):
        return Unreadable(reason="too_large", detail=f"{size} bytes")
    if kind not in _BINARY and file.charset.problem:
        found = signature(file.facts.sample)
        hint = f"it is {found}; give it the extension of what it is" if found else ""
        return Unreadable(reason=file.charset.problem, detail=hint)
    return None


def _is_read_by_row(file: SourceFile, kind: Format) -> bool:
    return kind in _BY_ROW or (kind in (Format.CHAT, Format.FHIR) and file.path.suffix.casefold() in _LINES)


def _by_first_line(file: SourceFile) -> Format | None:
    """What the first line tells where one extension has several formats; None where it tells nothing."""
    try:
        sample, encoding = file.facts.sample, file.charset.encoding
    except OSError:
        return None
    first = sample.decode(encoding or "utf-8", errors="ignore").lstrip().partition("\n")[0]
    suffix = file.path.suffix.casefold()
    if suffix == ".json":
        return Format.CHAT if first.startswith("[") else None
    if suffix in _LINES:
        return _by_first_row(first) if file.settings.text_column is None else None
    return Format.HL7 if first.startswith(_HL7_BEGINNINGS) else None


def _by_first_row(line: str) -> Format | None:
    row = json_object(line)
    if isinstance(row, str):
        return None
    if isinstance(row.get("resourceType"), str):
        return Format.FHIR
    return Format.CHAT if looks_like_chat(row) else None


def _writable(part: Part | Unreadable) -> Part | Unreadable:
    """The part without halves of characters."""
    key, locator = whole_characters(part.key), whole_characters(part.locator)
    if isinstance(part, Unreadable):
        return replace(part, key=key, locator=locator, detail=whole_characters(part.detail))
    text = whole_characters(part.text)
    return replace(part, key=key, locator=locator, text=text, mended=text != part.text)
