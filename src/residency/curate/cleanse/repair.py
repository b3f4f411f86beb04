"""Repairs of one text, as edits, so that every span finds its place in the repaired text.

In: a text. Out: edits of it.

Covers: mojibake and other encoding damage, ligatures, white space, lines that were wrapped at a fixed width, empty
fields of templates, empty lines, punctuation that was spoken and written down as words, paragraphs that a note has
twice, text in capitals, units of measurement. Does not cover: typing errors and what a scanner misread inside words;
guessing there changes findings.

Each repair is a function from text to edits; the step applies them one after the other. Not a rewrite followed by
a comparison of two whole texts: that finds shifted places for repeated words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from residency.packs.units import Units
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
          | @\w+@ | \.[a-z]\w{2,}  # ... or a name that should have been replaced by the answer
          | \[?\s* (?: n/a | unknown | tbc | not\s+(?:documented|recorded|asked|entered|available|known) ) \s*\]?
        ) [ \t]*\.?[ \t]* (?:\n|\Z)
        | \s*\Z  # or nothing, where nothing follows
    )
    | ^[ \t]* @\w+@ [ \t]* (?:\n|\Z)
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)

_SPOKEN = {"comma": ",", "full stop": ".", "period": ".", "colon": ":", "semicolon": ";", "question mark": "?",
           "new paragraph": "\n\n", "new line": "\n", "next line": "\n"}  # fmt: skip
_COMMAND = re.compile(
    r"[ \t\n]*\b(" + "|".join(name.replace(" ", r"[ \t\n]+") for name in _SPOKEN) + r")\b(?!-)", re.IGNORECASE
)
_AFTER_COMMAND = re.compile(r"[ \t]*([,.:;]?)")
_SURE_COMMANDS = frozenset({"comma", "full stop", "new paragraph", "new line", "next line"})  # else parts of sentences
_MIN_SURE_COMMANDS = 2  # in a text that counts as dictated; one may be what a patient said
# Before "period" and "colon" they are nouns: "in the neonatal period", "of the colon".
_NOUN_BEFORE = re.compile(
    r"\b(?:a|an|the|this|that|of|in|each|every|same|whole|long|short|brief|(?:neo|post|pre|peri|ante|intra)?natal"
    r"|newborn|partum|postictal|ictal|menstrual|first|last|free|latency|observation|follow[- ]up|transverse"
    r"|ascending|descending|sigmoid)\s*$",
    re.IGNORECASE,
)

_PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
# What programs put before a copied paragraph: "--- previous note ---" above it, "[copied forward]" in its first line.
_MARKER = re.compile(r"[-=*_~#]{2,}[^\n]{0,60}[-=*_~#]{2,}\n|\[[^\]\n]{1,40}\][ :]*|<{2,}[^>\n]{1,40}>{2,}[ :\n]*")
_MIN_COPIED_WORDS = 5  # shorter paragraphs are headings and values that may well stand twice

_CAPS_LINE_WORDS = 5  # fewer are a heading, unless the whole text is in capitals
_CAPS_SHARE = 0.9  # of a line's letters that are capitals; the rest are units and surrogates
_LETTERS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|^[-*•·>#+\d.)( ]+)$")


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


def spoken_punctuation(text: str) -> list[Edit]:
    """Commands that a typist wrote down ("comma", "full stop", "new paragraph"), as what they stand for.

    Only in a text that has several of those which are no words of a report. "Period" is a noun after what makes it one
    ("the neonatal period"); where a command follows it, it is one too.
    """
    found = [(match, " ".join(match.group(1).casefold().split())) for match in _COMMAND.finditer(text)]
    if sum(name in _SURE_COMMANDS for _, name in found) < _MIN_SURE_COMMANDS:
        return []
    return [_written(match, name, text) for match, name in found if _is_command(match, name, text)]


def _is_command(match: re.Match[str], name: str, text: str) -> bool:
    if name in _SURE_COMMANDS:
        return True
    followed = _COMMAND.match(text, match.end()) is not None
    return not followed and not _NOUN_BEFORE.search(text, max(0, match.start() - 40), match.start())


def _written(match: re.Match[str], name: str, text: str) -> Edit:
    """The edit of one command. A mark that the typist set as well is not set twice."""
    after = _AFTER_COMMAND.match(text, match.end())
    assert after is not None  # it matches the empty text
    if after.group(1):
        return Edit(match.start(), after.start(1), "")
    breaks = _SPOKEN[name].endswith("\n")
    return Edit(match.start(), after.end() if breaks else match.end(), _SPOKEN[name])


def copied_paragraphs(text: str) -> Iterator[Edit]:
    """Paragraphs that stand in the text before, as a copied note has them, with the marker line above them."""
    seen: set[str] = set()
    for match in _PARAGRAPH.finditer(text):
        marker = _MARKER.match(match.group())
        body = " ".join(match.group()[marker.end() if marker else 0 :].casefold().split())
        if body in seen:
            yield Edit(match.start(), match.end(), "")
        elif len(body.split()) >= _MIN_COPIED_WORDS:
            seen.add(body)


def capitals(text: str, is_acronym: Callable[[str], bool], replaced: Sequence[tuple[int, int]] = ()) -> Iterator[Edit]:
    """Lines in capitals, as sentences: small letters but for the first of a sentence and what is an acronym.

    ``is_acronym`` tells of a word in small letters whether others write it in capitals. ``replaced`` parts stay.
    """
    least = 1 if _in_capitals(text) else _CAPS_LINE_WORDS
    for start, line in _lines(text):
        words = list(_LETTERS.finditer(line))
        if len(words) < least or not _in_capitals(line):
            continue
        for word in words:
            begin, end = start + word.start(), start + word.end()
            if any(a < end and b > begin for a, b in replaced) or not _may_shrink(word.group(), line, word.span()):
                continue
            if is_acronym(word.group().casefold()):
                continue
            kept = 1 if _SENTENCE_START.search(line[: word.start()]) or word.group() == "I" else 0
            small = word.group()[kept:].lower()
            if len(small) == len(word.group()) - kept and small != word.group()[kept:]:
                yield Edit(begin + kept, end, small)


def _may_shrink(word: str, line: str, span: tuple[int, int]) -> bool:
    """Whether a word is one, in capitals, and no part of a code or unit (T2, SpO2, HTTP://)."""
    around = line[max(0, span[0] - 1) : span[0]] + line[span[1] : span[1] + 1]
    return word.isupper() and not any(character.isdigit() or character in "@/_\\" for character in around)


def _in_capitals(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return bool(letters) and sum(map(str.isupper, letters)) >= len(letters) * _CAPS_SHARE


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


def units(text: str, known: Units) -> Iterator[Edit]:
    """Units of measurement in their standard spelling; numbers are never touched."""
    for quantity in known.find(text):
        if text[quantity.unit_start : quantity.end] != quantity.unit.standard:
            yield Edit(quantity.unit_start, quantity.end, quantity.unit.standard)
