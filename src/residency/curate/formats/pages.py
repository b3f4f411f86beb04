"""Pages of one report: put together, with what every page repeats said once.

In: the texts of pages. Out: one text; the printed number of a page.

Covers: a header or footer that is the same on every page but for a number that counts up. It is kept once, the header
above the text and the footer below it: nothing is lost, and no sentence is broken in two. Page numbers are left out.
Does not cover: headers that differ from page to page, or that begin on the second page; they stay where they are.

Lines that differ in other numbers are never taken for a header: "Hb 12.1" and "Hb 9.8" may both begin a page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

EDGE_LINES = 6  # how many lines of a header or footer are looked at; chosen by us: letterheads have about four

_OF = r"(?:\s*(?:of|von|de|sur|/)\s*(?P<{}>\d{{1,4}}))?"
_NUMBER = re.compile(
    rf"\b(?:page|seite|pagina|página|pag\.|p\.)\s*(?P<named>\d{{1,4}}){_OF.format('named_of')}"
    rf"|^\W*(?P<alone>\d{{1,4}}){_OF.format('alone_of')}\W*$",
    re.IGNORECASE,
)


class PageNumber(NamedTuple):
    """What is printed on a page: "Page 2 of 3"; ``of`` is 0 where it says "Page 2" only."""

    number: int
    of: int


def join_pages(pages: Sequence[str]) -> str:
    """The text of all pages, one after the other; blank pages are none."""
    rest = [page.strip("\n").split("\n") for page in pages if page.strip()]
    header, footer = _running(rest, 0), _running(rest, -1)
    body = [line for page in rest for line in page]
    return "\n".join([*filter(str.strip, header), *body, *filter(str.strip, reversed(footer))])


def printed_number(page: str) -> PageNumber | None:
    """The number that the first or last lines of a page print, with the word for page before it."""
    printed = [line for line in page.split("\n") if line.strip()]
    for line in (*printed[:EDGE_LINES], *printed[-EDGE_LINES:]):
        match = _NUMBER.search(line)
        if match is not None and match["named"]:
            return PageNumber(int(match["named"]), int(match["named_of"] or 0))
    return None


def _running(pages: list[list[str]], edge: int) -> list[str]:
    """Takes the lines that all pages have at an edge (0 first, -1 last) off them, and gives them, from the edge on."""
    taken: list[str] = []
    while len(pages) > 1 and all(pages) and len(taken) < EDGE_LINES:
        line = _common([page[edge] for page in pages])
        if line is None:
            break
        taken.append(line)
        for page in pages:
            del page[edge]
    return taken


def _common(lines: Sequence[str]) -> str | None:
    """The line that all pages have, without its page number; None where they differ."""
    rests, numbers = zip(*(_without_number(line) for line in lines), strict=True)
    same = len({rest.strip() for rest in rests}) == 1
    counts_up = all(number == (numbers[0] or 0) + place for place, number in enumerate(numbers))
    if not same or not (counts_up or set(numbers) == {None}):
        return None
    return str(rests[0]).rstrip()


def _without_number(line: str) -> tuple[str, int | None]:
    match = _NUMBER.search(line)
    if match is None:
        return line, None
    return line[: match.start()] + line[match.end() :], int(match["named"] or match["alone"])
