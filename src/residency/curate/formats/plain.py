"""Plain text: .txt, .md, and print files that hold several reports.

In: a text file. Out: one part a report.

Covers: reports separated by form feeds, as print spools write them, or by the line that begins each of them
(``report_start``); pages of one report, which say so themselves ("Page 2 of 3"). Does not cover: Markdown markup,
which stays in the text: reports use it as headings and lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from residency.curate.formats.pages import join_pages, printed_number
from residency.curate.formats.source import Part, Reading, SourceFile, Unreadable


def read_text(file: SourceFile) -> Reading:
    """The whole file as one part, or one part a report."""
    text = file.text()
    if not text.strip("\f \t\n"):
        yield Unreadable(reason="no_text")
    elif file.settings.report_start is not None:
        yield from _split_at(re.compile(file.settings.report_start), text)
    else:
        yield from _split_pages(text)


def _split_pages(text: str) -> Reading:
    """The reports between form feeds; empty pages are blank paper, not reports."""
    reports = [join_pages(pages) if len(pages) > 1 else pages[0] for pages in _reports(text.split("\f"))]
    if "\f" not in text:
        yield Part(text=text)  # nothing is trimmed: what the file holds is what the document is
    elif len(reports) == 1:
        yield Part(text=reports[0].strip("\n"))
    else:
        yield from (Part(text=report.strip("\n"), locator=f"part {n}") for n, report in enumerate(reports, 1))


def _reports(pages: Sequence[str]) -> Iterator[list[str]]:
    """The pages of each report: those that print the next number of as many pages go on with the one before."""
    report: list[str] = []
    last = None
    for page in pages:
        if not page.strip():
            continue
        printed = printed_number(page)
        goes_on = printed is not None and last is not None and printed == (last.number + 1, last.of) and printed.of
        if report and not goes_on:
            yield report
            report = []
        report.append(page)
        last = printed
    yield report


def _split_at(start: re.Pattern[str], text: str) -> Reading:
    """The reports of a text, each from a line that begins one; what stands before the first of them is none."""
    reports: list[list[str]] = [[]]
    for line in text.replace("\f", "\n").split("\n"):
        if start.search(line):
            reports.append([])
        reports[-1].append(line)
    before, *found = ("\n".join(lines).strip("\n") for lines in reports)
    if before.strip():
        yield Unreadable(
            reason="no_report_start", detail="before the first line that begins a report", locator="part 0"
        )
    yield from (Part(text=report, locator=f"part {number}") for number, report in enumerate(found, 1))
