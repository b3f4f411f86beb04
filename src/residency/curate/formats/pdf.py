"""PDF: the text layer.

In: a .pdf file or attachment. Out: one part; every page that is only a picture is said so beside it.

Covers: lines in the order in which the file writes them, empty lines where the gap between two lines shows one,
running headers and footers (see pages.py), files that only restrict printing or copying. Does not cover: pictures
of text (nothing is guessed; recognize them first, e.g. with ocrmypdf), passwords, forms and comments, paragraphs:
their lines stay as they are set, and cleanse joins them.

pypdf: no dependencies of its own, and bounded where a stream unpacks to more than it should. Its layout mode was
not taken: it leaves a page of two columns interleaved.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from residency.curate.formats.charset import signature
from residency.curate.formats.pages import join_pages
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable, one_line_end

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_EMPTY_LINE = 1.6  # times the usual distance of two lines; chosen by us: single spacing is 1, an empty line 2
_HEADER_BYTES = 1024  # readers accept %PDF- after some junk, up to here


def read_pdf(file: SourceFile) -> Reading:
    with file.path.open("rb") as stream:
        yield from pdf_parts(stream, file.settings.max_bytes)


def pdf_parts(stream: BinaryIO, limit: int) -> Reading:
    """The text of all pages as one part; "no_text_layer" for the file, or for pages of pictures among others."""
    beginning = stream.read(_HEADER_BYTES)
    if b"%PDF-" not in beginning:
        yield Unreadable(reason="broken_file", detail=f"not a PDF but {signature(beginning) or 'something else'}")
        return
    pages = _pages(stream, limit)
    if isinstance(pages, Unreadable):
        yield pages
        return
    text = join_pages([text for text, _ in pages])
    if not text.strip():
        yield Unreadable(reason="no_text_layer", detail=f"{len(pages)} pages without text; recognize their text first")
        return
    yield Part(text=text)
    for number, (text, has_picture) in enumerate(pages, 1):
        if has_picture and not text.strip():
            yield Unreadable(reason="no_text_layer", detail="the page is a picture", locator=f"page {number}")


def pdf_text(content: bytes, limit: int) -> str | Unreadable:
    """The text of an attachment, or why there is none; a page that is only a picture makes it unreadable."""
    parts = list(pdf_parts(io.BytesIO(content), limit))
    problem = next((part for part in parts if isinstance(part, Unreadable)), None)
    return problem or "".join(part.text for part in parts if isinstance(part, Part))


def _pages(stream: BinaryIO, limit: int) -> list[tuple[str, bool]] | Unreadable:
    """The text of every page, and whether it shows a picture."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

    try:
        with _quiet():
            return _texts(PdfReader(stream), limit)
    except (FileNotDecryptedError, DependencyError):
        return Unreadable(reason="encrypted", detail="it needs a password; save a copy without one")
    except LimitReachedError:
        return Unreadable(reason="too_large", detail="it unpacks to too much")
    except Exception:  # a broken file fails anywhere in the parser; it is one record that becomes Dropped
        return Unreadable(reason="broken_file", detail="not a PDF that can be opened")


def _texts(reader: PdfReader, limit: int) -> list[tuple[str, bool]] | Unreadable:
    if reader.is_encrypted and not reader.decrypt(""):
        return Unreadable(reason="encrypted", detail="it needs a password; save a copy without one")
    pages: list[tuple[str, bool]] = []
    size = 0
    for page in reader.pages:
        pages.append((_text(page), _has_picture(page)))
        size += len(pages[-1][0])
        if size > limit:
            return Unreadable(reason="too_large", detail=f"its text has more than {limit} characters")
    return pages


def _text(page: PageObject) -> str:
    """The lines of a page, with an empty one where the gap between two is wider than usual."""
    lines: list[str] = [""]
    heights: list[float | None] = [None]  # of every line above the bottom of the page; None for an empty one

    def visit(text: str, matrix: Sequence[float], text_matrix: Sequence[float], *_: Any) -> None:
        height = matrix[1] * text_matrix[4] + matrix[3] * text_matrix[5] + matrix[5]
        for number, piece in enumerate(one_line_end(text).split("\n")):
            if number:
                lines.append("")
                heights.append(None)
            lines[-1] += piece
            if piece.strip() and heights[-1] is None:
                heights[-1] = height

    page.extract_text(visitor_text=visit)
    return "\n".join(_with_empty_lines(lines, heights)).strip("\n")


def _with_empty_lines(lines: Sequence[str], heights: Sequence[float | None]) -> Iterator[str]:
    set_lines = [(line.rstrip(), height) for line, height in zip(lines, heights, strict=True) if height is not None]
    if not set_lines:
        return
    steps = [above - below for (_, above), (_, below) in pairwise(set_lines)]
    down = sorted(step for step in steps if step > 0) or [0.0]
    usual = down[len(down) // 4]  # not the median: half of the lines of a list may be paragraphs of their own
    for (line, _), step in zip(set_lines, [0.0, *steps], strict=True):
        if step > usual * _EMPTY_LINE:
            yield ""
        yield line


def _has_picture(page: PageObject) -> bool:
    resources = page.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    drawn = objects.get_object().values() if objects is not None else ()
    return any(drawing.get_object().get("/Subtype") in ("/Image", "/Form") for drawing in drawn)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pypdf's warnings: they go to standard error, and may quote what the file holds."""
    logger = logging.getLogger("pypdf")
    was = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # its children have no level of their own
    try:
        yield
    finally:
        logger.setLevel(was)
