"""Repairs of one text, as edits, so that every span finds its place in the repaired text.

In: a text. Out: edits of it.

Covers: mojibake and other encoding damage, ligatures, white space, lines that were wrapped at a fixed width, empty
fields of templates, empty lines. Does not cover: typing errors and what a scanner misread inside words; guessing
there changes findings.

Each repair is a function from text to edits; the step applies them one after the other. Not a rewrite followed by
a comparison of two whole texts: that finds shifted places for repeated words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from residency.text import Edit

Repair = Callable[[str], Iterable[Edit]]

# Some words of one line: comparing two texts takes the square of their length, and reports may have one long line.
_PIECE = re.compile(r"[^\n]{1,200}[^\n ]*")
# What printers draw as one glyph; ftfy repairs them too, but the two repairs are switched apart.
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("[" + "".join(_LIGATURES) + "]")
# Controls, soft hyphens, zero-width characters and stray byte order marks: nobody sees them, every search misses.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b-\u200d\u2060\ufeff]+")
_LINE_END = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_BLANK = r"[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_OUTER_SPACE = re.compile(rf"^{_BLANK}+|(?<!{_BLANK}){_BLANK}+$", re.MULTILINE)
_INNER_SPACE = re.compile(rf"(?<=\S){_BLANK}+(?=\S)")
_EMPTY_LINES = re.compile(r"\A\n+|\n{3,}|\n+\Z")

_BULLET = re.compile(r"(?:[-*•·.>+◦▪–—]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s|[#*_=-]{2,}")
_LABEL = re.compile(r"[A-Z][\w /&()'’-]{0,40}(?::|\s[-–]\s)")
# The widths that programs wrap at. Shorter lines are verse or forms, longer ones are paragraphs.
_WRAP_WIDTHS = range(50, 133)
# Both chosen by us on reports outside the demo, 2026-11-24.
_MIN_FULL_LINES = 2  # fewer happen by chance
_MIN_CONTINUED = 0.5  # share of full lines after which the next begins without a capital

_EMPTY_FIELD = re.compile(
    r"""
    ^[ \t]* (?:[-*•]\s*)? [^\W\d_][\w /&()'’-]{1,40} : [ \t]*  # a label ...
    (?:
        (?: _{2,} | \.{3,} | \*{2,} | -{2,} | \[\s*\] | \(\s*\)  # ... and what a form prints for an answer,
          | \[?\s* (?: n/a | unknown | tbc | not\s+(?:documented|recorded|asked|entered|available|known) ) \s*\]?
        ) [ \t]*\.?[ \t]* (?:\n|\Z)
        | \s*\Z  # or nothing, where nothing follows
    )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def encoding(text: str) -> Iterator[Edit]:
    """Mojibake ("Ã¶" for "ö") with ftfy; quotes, ligatures, widths and line ends stay as they are."""
    import ftfy

    config = ftfy.TextFixerConfig(
        unescape_html=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        remove_terminal_escapes=False,
        normalization=None,
        explain=False,
    )
    for match in _PIECE.finditer(text):
        if not match.group().isascii():
            yield from _differences(match.start(), match.group(), ftfy.fix_text(match.group(), config))


def ligatures(text: str) -> Iterator[Edit]:
    """The letters that a typographic ligature stands for."""
    return (Edit(match.start(), match.end(), _LIGATURES[match.group()]) for match in _LIGATURE.finditer(text))


def line_ends(text: str) -> Iterator[Edit]:
    return (Edit(match.start(), match.end(), "\n") for match in _LINE_END.finditer(text))


def invisible(text: str) -> Iterator[Edit]:
    return (Edit(match.start(), match.end(), "") for match in _INVISIBLE.finditer(text))


def spaces(text: str) -> Iterator[Edit]:
    """Nothing at the borders of lines, one space between words. Columns of a layout move together."""
    edits = [Edit(match.start(), match.end(), "") for match in _OUTER_SPACE.finditer(text)]
    inner = (Edit(m.start(), m.end(), " ") for m in _INNER_SPACE.finditer(text) if m.group() != " ")
    yield from sorted([*edits, *inner])


def empty_lines(text: str) -> Iterator[Edit]:
    """At most one empty line between paragraphs, none around the text."""
    for match in _EMPTY_LINES.finditer(text):
        inside = match.start() > 0 and match.end() < len(text)
        yield Edit(match.start(), match.end(), "\n\n" if inside else "")


def empty_fields(text: str) -> Iterator[Edit]:
    """Lines of a template that nobody filled in."""
    return (Edit(match.start(), match.end(), "") for match in _EMPTY_FIELD.finditer(text))


def hard_wraps(text: str, replaced: Sequence[tuple[int, int]] = ()) -> list[Edit]:
    """Line ends that a program set at a fixed width, as spaces.

    A line was wrapped where the first word of the next did not fit any more. The width is the longest line;
    lines with ``replaced`` parts (surrogates are longer or shorter than what stood there) do not measure it, and
    count as full within the length of those parts. List items and labels at the start of a line begin a line.
    A check list has lines of one length too, but its lines do not begin in the middle of a sentence.
    """
    lines = [(start, line, _slack(start, start + len(line), replaced)) for start, line in _lines(text)]
    width = max((len(line) for _, line, slack in lines if not slack and " " in line), default=0)
    if width not in _WRAP_WIDTHS:
        return []
    edits, full, continued = [], 0, 0
    for (start, line, slack), (_, following, _) in pairwise(lines):
        if not _may_continue(line, following):
            continue
        if len(line) + 1 + len(following.split(" ", 1)[0]) > width - slack:
            full += not slack
            continued += not slack and not following[0].isupper()
            edits.append(_joint(start + len(line), line))
    no_case = text.isupper()
    return edits if full >= _MIN_FULL_LINES and (no_case or continued >= full * _MIN_CONTINUED) else []


def _may_continue(line: str, following: str) -> bool:
    """Whether the next line can belong to this one, by its first characters."""
    return bool(" " in line and following and not _BULLET.match(following) and not _LABEL.match(following))


def _joint(end: int, line: str) -> Edit:
    """The edit of the line end at ``end``; a word that was cut at its hyphen keeps the hyphen and gets no space."""
    cut_word = line[-1] == "-" and line[-2].isalpha()
    return Edit(end, end + 1, "" if cut_word else " ")


def _slack(start: int, end: int, replaced: Sequence[tuple[int, int]]) -> int:
    return sum(stop - begin for begin, stop in replaced if begin < end and stop > start)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Start and text of every line, without its line end."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _differences(start: int, old: str, new: str) -> Iterator[Edit]:
    """The smallest edits that make ``new`` of ``old``, which begins at ``start``."""
    if old == new:
        return
    for operation, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if operation != "equal":
            yield Edit(start + a, start + b, new[c:d])
