"""The words of a text that may belong to names.

In: tokens, a lexicon, and what abbreviations stand for. Out: runs: stretches of ``Unit``s that one name may span.

Covers: stop words, wraps, hyphens and brackets around one word inside a name; prefixes with and without a hyphen;
abbreviated words written out; a typo of one letter in a long word; "mild to moderate" as two degrees.
Does not cover: which units are a name (matcher).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from residency.curate.extract.lexicon import Lexicon, read_in_place
from residency.curate.extract.short_forms import ShortForms
from residency.curate.extract.tokens import Tokens
from residency.packs.typos import SHORTEST_TYPO, nearest
from residency.packs.words import AND, AND_WORDS, PREFIXES, STOP_WORDS, light, word_set

# A name never reaches across these; a subject or a conjunction opens another statement.
BORDER_WORDS = word_set("he she they it who which but because although however we i")
# "Mild to moderate" names two degrees.
_DEGREES = word_set("borderline mild moderate severe profound")
_LINE = 200  # characters; as far as a line is looked at for its letter case
MEMO_WORDS = 100_000  # words whose look-up is remembered in a process


@dataclass(frozen=True, slots=True)
class Unit:
    """One content word, or one word of a written-out abbreviation."""

    form: str
    stem: str
    first: int  # token
    last: int
    short: bool = False  # from an abbreviation
    typo: bool = False
    comma: bool = False  # a comma stands before it


def runs(tokens: Tokens, lexicon: Lexicon, short_forms: ShortForms) -> Iterator[list[Unit]]:
    """Stretches of words that may belong to one name."""
    run: list[Unit] = []
    comma = False
    joined = -1  # last token of a word that was joined to its prefix
    for index, raw in enumerate(tokens.raw):
        if index <= joined:
            continue
        form = tokens.light[index]
        if (form in PREFIXES or len(raw) == 1) and (whole := _with_prefix(index, tokens, lexicon, comma)):
            run.append(whole)
            joined, comma = whole.last, False
            continue
        everyday = form in STOP_WORDS or form in BORDER_WORDS
        if everyday and raw.isupper() and raw in short_forms.names and not _is_capitals(tokens, index):
            everyday = False  # "IS" for infantile spasms
        if form == "to" and run and _DEGREES.issuperset(tokens.light[index - 1 : index + 2 : 2]):
            run.append(Unit(AND, AND, index, index))
            continue
        if (everyday and form in STOP_WORDS) or (raw in "-–'’" and tokens.tight(index)) or _is_aside(tokens, index):
            continue
        if raw == ",":
            comma = True
            continue
        units = () if everyday else _units(index, tokens, lexicon, short_forms, comma)
        comma = False
        if units:
            run.extend(units)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _with_prefix(index: int, tokens: Tokens, lexicon: Lexicon, comma: bool) -> Unit | None:
    """The word that a prefix and a hyphen open: "pre-auricular", and "A-1"."""
    if index + 2 >= len(tokens) or tokens.raw[index + 1] not in "-–" or not tokens.tight(index + 1):
        return None
    numbered = tokens.raw[index].isalpha() and len(tokens.raw[index]) == 1 and tokens.raw[index + 2].isdigit()
    if tokens.light[index] not in PREFIXES and not numbered:
        return None
    form = light(tokens.raw[index] + tokens.raw[index + 2])
    if form not in lexicon.vocabulary:
        return None
    return Unit(form, lexicon.stem(form), index, index + 2, comma=comma)


def _is_aside(tokens: Tokens, index: int) -> bool:
    """Whether this is a bracket around one word, as in "non-motor (absence) seizure"."""
    raw = tokens.raw
    opens = raw[index] == "(" and index + 2 < len(tokens) and raw[index + 2] == ")" and raw[index + 1].isalpha()
    closes = raw[index] == ")" and index > 1 and raw[index - 2] == "(" and raw[index - 1].isalpha()
    return opens or closes


def _is_capitals(tokens: Tokens, index: int) -> bool:
    """Whether the line around a token is in capitals throughout."""
    text, start, end = tokens.text, tokens.starts[index], tokens.ends[index]
    line_start = max(text.rfind("\n", 0, start) + 1, start - _LINE)
    line_end = text.find("\n", end)
    return text[line_start : line_end if 0 <= line_end < end + _LINE else end + _LINE].isupper()


def _units(index: int, tokens: Tokens, lexicon: Lexicon, short_forms: ShortForms, comma: bool) -> tuple[Unit, ...]:
    """The content words of one token; none where the token is a border."""
    raw, form = tokens.raw[index], tokens.light[index]
    if raw.lower() in AND_WORDS and raw != "+":
        return (Unit(AND, AND, index, index),)
    if not (raw[0].isalnum() or raw[0] in "↑↓°"):
        return ()
    words = short_forms.words.get(short_forms.spelled(raw))
    if words is not None:
        return tuple(
            Unit(word, lexicon.stem(word), index, index, short=True, comma=comma and not place)
            for place, word in enumerate(words)
        )
    form = read_in_place(form, tokens.raw[index + 1] if index + 1 < len(tokens) else "")
    known = _known(form, lexicon)
    if known is None and short_forms.spelled(raw) in short_forms.names:
        known = (form, lexicon.stem(form), False)
    if known is None:
        return ()
    return (Unit(known[0], known[1], index, index, typo=known[2], comma=comma),)


def _known(form: str, lexicon: Lexicon) -> tuple[str, str, bool] | None:
    """The vocabulary word, its stem, and whether it was mistyped; None for a word that no name has."""
    if form in lexicon.memo:
        return lexicon.memo[form]
    stem = lexicon.stem(form)
    found: tuple[str, str, bool] | None = None
    if form in lexicon.vocabulary or stem in lexicon.stems:
        found = (form, stem, False)
    elif corrected := _correct(form, lexicon):
        found = (corrected, lexicon.stem(corrected), True)
    if len(lexicon.memo) < MEMO_WORDS:
        lexicon.memo[form] = found
    return found


def _correct(form: str, lexicon: Lexicon) -> str | None:
    """The one vocabulary word that an unknown long word mistypes."""
    if len(form) < SHORTEST_TYPO or form in lexicon.known_words or not form.isalpha():
        return None
    return nearest(form, lexicon.vocabulary, lexicon.neighbors)
