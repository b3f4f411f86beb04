"""Word files: the running text of a .docx.

In: a .docx file. Out: one part, a paragraph a line, a table row a line with tabs between its cells.

Covers: body text in reading order with tables, text boxes, content controls and tracked insertions.
Does not cover: page headers and footers (letterheads, repeated on every page), comments, footnotes, deleted text,
list numbers, and the old .doc format.

Not python-docx: it leaves out what stands in content controls and tracked insertions, which is where hospital
templates keep the findings.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast
from xml.etree import ElementTree

from residency.curate.formats.charset import SIGNATURE_BYTES, signature
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable

_BODY = "word/document.xml"
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ElementTree.ParseError,
    NotImplementedError,
    EOFError,
    RuntimeError,  # a password
    ValueError,
    OSError,
)
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_NO_TEXT = ("del", "moveFrom", "instrText", "pPr", "rPr", "sectPr", "tblPr", "tcPr")
_SKIPPED = {_FALLBACK, *(f"{_WORD}{name}" for name in _NO_TEXT)}
_CHARACTERS = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}


def read_docx(file: SourceFile) -> Reading:
    with file.path.open("rb") as packed:
        text = docx_text(packed, file.settings.max_bytes)
    yield Part(text=text) if isinstance(text, str) else text


def docx_text(packed: BinaryIO, limit: int) -> str | Unreadable:
    """The document's text; "too_large" where it unpacks to more than the limit, "broken_file" where it is no docx."""
    try:
        with zipfile.ZipFile(packed) as archive:
            size = archive.getinfo(_BODY).file_size  # the archive gives no byte beyond what it declares here
            if size > limit:
                return Unreadable(reason="too_large", detail=f"unpacks to {size} bytes")
            with archive.open(_BODY) as stream:
                text = _text(cast(BinaryIO, stream))
    except _BROKEN:
        packed.seek(0)
        kind = signature(packed.read(SIGNATURE_BYTES)) or "something else"
        return Unreadable(reason="broken_file", detail=f"not a Word document that can be opened but {kind}")
    return text if text.strip() else Unreadable(reason="no_text")


class _NoEntities(ElementTree.TreeBuilder):
    """Refuses a document type: Word writes none, and entities declared there can unpack without bound."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ElementTree.ParseError("a Word document has no document type")


def _text(stream: BinaryIO) -> str:
    root = ElementTree.parse(stream, parser=ElementTree.XMLParser(target=_NoEntities())).getroot()
    body = root.find(f"{_WORD}body")
    return "" if body is None else "\n".join(_lines(body))


def _lines(block: ElementTree.Element) -> Iterator[str]:
    """The lines of a body, cell or text box, in reading order."""
    for element in block:
        if element.tag in _SKIPPED:
            continue
        if element.tag == f"{_WORD}p":
            yield _paragraph(element)
            for box in _boxes(element):
                yield from _lines(box)
        elif element.tag == f"{_WORD}tr":
            yield "\t".join(" ".join(filter(None, _lines(cell))) for cell in _cells(element))
        else:
            yield from _lines(element)  # tables, content controls, custom markup


def _cells(row: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for element in row:
        if element.tag == f"{_WORD}tc":
            yield element
        elif element.tag not in _SKIPPED:
            yield from _cells(element)


def _paragraph(paragraph: ElementTree.Element) -> str:
    return "".join(_characters(paragraph))


def _characters(element: ElementTree.Element) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_WORD}t":
            yield child.text or ""
        elif child.tag in _CHARACTERS:
            yield _CHARACTERS[child.tag]
        elif child.tag != f"{_WORD}txbxContent" and child.tag not in _SKIPPED:
            yield from _characters(child)


def _boxes(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for child in element:
        if child.tag == f"{_WORD}txbxContent":
            yield child
        elif child.tag not in _SKIPPED:
            yield from _boxes(child)
