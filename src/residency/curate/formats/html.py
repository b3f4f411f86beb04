"""HTML: the text that a reader of the page would see.

In: an HTML file or attachment. Out: one part.

Covers: block elements as lines, paragraphs with an empty line between them, ``br``, ``pre``, tables (a row is a
line), entities; tags that nobody closed. Does not cover: text that style sheets hide, list numbers, frames.
The title is left out: viewers put the patient's name there, and it is not part of the report.

The parser of the standard library and no tree: a page of any depth needs memory for its text only.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable

_HIDDEN = frozenset({"script", "style", "title", "template", "noscript", "svg"})
# fmt: off
_LINES = frozenset({
    "address", "article", "aside", "body", "caption", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "footer", "form", "header", "hr", "html", "legend", "li", "main", "nav", "section", "table", "tbody",
    "tfoot", "thead", "tr",
})
_PARAGRAPHS = frozenset({"p", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
# fmt: on
_CELLS = frozenset({"td", "th"})
_SPACE = re.compile(r"[ \t\n\f\r]+")  # what HTML collapses; a no-break space stays


def read_html(file: SourceFile) -> Reading:
    text = html_text(file.text())
    yield Part(text=text) if text else Unreadable(reason="no_text")


def html_text(source: str) -> str:
    """The visible text of a page."""
    page = _Page()
    page.feed(source)
    page.close()
    return page.text()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._hidden: str | None = None  # the hidden element that is open
        self._preformatted = 0
        self._breaks = 0  # line ends owed before the next text
        self._loose_end = False  # whether a space at the end of the text so far is only layout of the source

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden is not None:
            return
        if tag in _HIDDEN:
            self._hidden = tag
        elif tag == "br":
            self._end_text()
            self._pieces.append("\n" * self._take_breaks() + "\n")
        elif tag in _CELLS:
            self._separate_cells()
        else:
            self._block(tag)
            self._preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._hidden is not None:
            self._hidden = None if tag == self._hidden else self._hidden
            return
        self._block(tag)
        self._preformatted -= tag == "pre" and self._preformatted > 0

    def handle_data(self, data: str) -> None:
        if self._hidden is not None:
            return
        if not self._preformatted:
            data = _SPACE.sub(" ", data)
            if not self._pieces or self._breaks or self._pieces[-1].endswith(("\n", " ", "\t")):
                data = data.removeprefix(" ")
        elif self._breaks:
            data = data.removeprefix("\n")  # HTML drops the line end that follows <pre>
        if data:
            self._pieces.append("\n" * self._take_breaks() + data)
            self._loose_end = not self._preformatted

    def text(self) -> str:
        return "".join(self._pieces).strip("\n")

    def _block(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._owe(2)
        elif tag in _LINES:
            self._owe(1)

    def _owe(self, breaks: int) -> None:
        self._end_text()
        self._breaks = max(self._breaks, breaks)

    def _take_breaks(self) -> int:
        breaks, self._breaks = (self._breaks if self._pieces else 0), 0
        return breaks

    def _end_text(self) -> None:
        """Takes back the space before a line end; inside ``pre`` it is text."""
        if self._loose_end:
            self._pieces[-1] = self._pieces[-1].removesuffix(" ")
            self._loose_end = False

    def _separate_cells(self) -> None:
        if self._pieces and not self._breaks and not self._pieces[-1].endswith("\n"):
            self._end_text()
            self._pieces.append("\t")
