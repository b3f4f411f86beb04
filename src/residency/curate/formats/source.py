"""A file of the inbox, and what reading it gives: texts, or the reason why not.

In: a path and its ``SourceSettings``. Out: a ``SourceFile``; a reader turns it into ``Part`` and ``Unreadable``.

Covers: the settings of a source, the one pass over the bytes that a reader needs before it starts (hash, size,
encoding), and the limit on the size of a text. Does not cover: the formats; each is a module beside this one.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pydantic import Field, field_validator

from residency.curate.formats.charset import SAMPLE_BYTES, Charset, detect
from residency.settings import Settings


class Format(StrEnum):
    """How a file is read. ``auto`` goes by the file's extension."""

    AUTO = "auto"
    TEXT = "text"  # .txt, .md; form feeds or ``report_start`` separate reports
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    HTML = "html"
    DOCX = "docx"
    PDF = "pdf"  # the text layer
    FHIR = "fhir"  # .json: one R4 resource or a Bundle; .ndjson: one resource a line
    HL7 = "hl7"  # v2 messages, one or many
    CHAT = "chat"  # OpenAI messages, alpaca, sharegpt: .jsonl, or one list in a .json


class SourceSettings(Settings):
    """Where documents are, and how to read them."""

    path: str = Field(description="file, folder (read with all folders below it) or glob below the project folder")
    format: Format = Field(default=Format.AUTO, description="format of the files; auto goes by the extension")
    id_column: str | None = Field(
        default=None, description="csv, tsv, jsonl, parquet: column of the document's id; none: by name"
    )
    text_column: str | None = Field(
        default=None, description="csv, tsv, jsonl, parquet: column of the text; none: by name"
    )
    report_start: str | None = Field(
        default=None,
        description="text: regular expression; a line in which it is found begins the next report; none: form feeds do",
    )
    encoding: str = Field(default="auto", description="encoding of the files, e.g. utf-8 or cp1252; auto detects it")
    max_bytes: int = Field(
        default=50_000_000,
        ge=1_000,
        description="largest text read, in bytes: of a file, a row, a message, or what a docx or pdf unpacks to",
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        if value == "auto":
            return value
        try:
            name = codecs.lookup(value).name
        except LookupError:
            raise ValueError("Python knows no encoding of this name; auto detects it") from None
        return "utf-8-sig" if name == "utf-8" else name  # reads UTF-8 with and without a byte order mark

    @field_validator("report_start")
    @classmethod
    def _valid_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error.msg}") from None
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One text of a file. ``key`` is empty where only the file's name can give one."""

    text: str
    key: str = ""
    locator: str = ""  # the place inside the file, e.g. "row 4"; empty for a whole file
    mended: bool = False  # halves of characters in it were replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file or a part of it that gives no text. ``reason`` is a short stable word; ``detail`` never holds text."""

    reason: str
    detail: str = ""
    key: str = ""
    locator: str = ""


Reading = Iterator[Part | Unreadable]
Reader = Callable[["SourceFile"], Reading]


@dataclass(frozen=True)
class SourceFile:
    """One file below the project folder. Its bytes are read once, in blocks, when the first fact is asked for."""

    path: Path
    name: str  # relative to the project folder, with forward slashes
    settings: SourceSettings

    @cached_property
    def facts(self) -> FileFacts:
        return survey(self.path)

    @cached_property
    def charset(self) -> Charset:
        """The encoding of the file's text, or why it is not text."""
        detected = detect(self.facts.sample, valid_utf8=self.facts.valid_utf8)
        chosen = self.settings.encoding
        # A codec for single bytes decodes any picture; the wide ones hold zeros, which look binary.
        if chosen == "auto" or (detected.problem == "binary" and not chosen.startswith(("utf-16", "utf-32"))):
            return detected
        return Charset(chosen)

    def bytes(self) -> bytes:
        return self.path.read_bytes()

    def open_text(self) -> io.TextIOWrapper:
        """The file as text, line ends untouched. UnicodeDecodeError comes while reading, not here."""
        return self.path.open(encoding=self.charset.encoding, newline="")

    def text(self) -> str:
        """The whole text with ``\\n`` line ends. UnicodeDecodeError where the encoding does not fit."""
        return one_line_end(self.bytes().decode(self.charset.encoding or "utf-8"))


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one pass over a file's bytes tells."""

    sha256: str
    size: int  # bytes
    sample: bytes  # its beginning
    valid_utf8: bool


def survey(path: Path) -> FileFacts:
    """Reads the file once in blocks; memory does not grow with its size."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    sample, size, valid = b"", 0, True
    with path.open("rb") as file:
        while block := file.read(SAMPLE_BYTES):
            sample = sample or block
            size += len(block)
            digest.update(block)
            valid = valid and _decodes(decoder, block, final=False)
    valid = valid and _decodes(decoder, b"", final=True)
    return FileFacts(digest.hexdigest(), size, sample, valid)


def whole_characters(text: str) -> str:
    """The text without halves of characters, which JSON and names of files can hold and no text file can: each
    becomes U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def one_line_end(text: str) -> str:
    """The text with ``\\n`` for every ``\\r\\n`` and ``\\r``."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True
