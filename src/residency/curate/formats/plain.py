"""Plain text: .txt, .md, and print files that hold several reports.

In: a text file. Out: one part a report.

Covers: reports separated by form feeds, as print spools write them. Does not cover: Markdown markup, which stays
in the text: reports use it as headings and lists.
"""

from __future__ import annotations

from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable, one_line_end


def read_text(file: SourceFile) -> Reading:
    """The whole file as one part, or one part between every two form feeds."""
    yield from split_pages(file.text())


def split_pages(text: str) -> Reading:
    """The reports of a text; empty pages between form feeds are blank paper, not reports."""
    pages = [page for page in text.split("\f") if page.strip()]
    if not pages:
        yield Unreadable(reason="no_text")
    elif "\f" not in text or len(pages) == 1:
        # Nothing is trimmed from a single report: what the file holds is what the document is.
        yield Part(text=one_line_end(text) if "\f" not in text else pages[0].strip("\n"))
    else:
        for number, page in enumerate(pages, 1):
            yield Part(text=page.strip("\n"), locator=f"part {number}")
