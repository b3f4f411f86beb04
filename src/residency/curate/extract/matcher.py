"""Where a text names a concept.

In: tokens and a lexicon. Out: ``Mention``s in text order; none overlaps another.

Covers: the longest name at each place; word order, stop words, wraps and hyphens inside a name; abbreviations as
written (folded in texts without letter case); a typo of one letter in a long word; numbers, spelling and part of
speech through the lexicon's keys. Does not cover: what the text says about the concept (status).

An order-free key of the words in a window, and not a trie: a trie needs one branch for each word order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from residency.curate.extract.lexicon import Entry, Lexicon, read_in_place
from residency.curate.extract.tokens import Tokens
from residency.curate.extract.typos import SHORTEST_TYPO, nearest
from residency.packs.words import AND, AND_WORDS, STOP_WORDS, word_set

# A name never reaches across these; a subject or a conjunction opens another statement.
_BORDER_WORDS = word_set("he she they it who which but because although however we i")
# One mistyped word alone is taken for a name only from this length on.
_LONGEST_RISK = 7
# What is not a finding although a finding's name stands before it.
_THINGS = word_set(
    """clinic clinician nurse service team center unit mdt meeting conference surgery monitoring history semiology
    type diary plan protocol specialist society foundation register registry leaflet action"""
)
_AFTER_A_FINDING = word_set(
    """absent denied resolved settled present since when during without not no neg negative excluded ruled seen
    noted now again today currently started began worse better improved unchanged throughout"""
)
# Words after an abbreviation that show that it is not a finding ("MR imaging", "ID number").
_NO_FINDING_BEFORE = word_set("imaging scan spectroscopy angiography venography angiogram card number")
_DIGITS_OF_A_NUMBER = 3
_LINE = 200  # characters; as far as a line is looked at for its letter case


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in the text: tokens ``first`` to ``last`` (inclusive)."""

    first: int
    last: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Unit:
    """One content word, or one word of a written-out abbreviation."""

    form: str
    stem: str
    first: int  # token
    last: int
    short: bool = False  # from an abbreviation
    typo: bool = False
    comma: bool = False  # a comma stands before it


def find_mentions(tokens: Tokens, lexicon: Lexicon) -> list[Mention]:
    """All mentions, longest first at each place, in text order."""
    short_forms = _ShortForms.of(tokens, lexicon)
    found: list[Mention] = []
    for run in _runs(tokens, lexicon, short_forms):
        found.extend(_mentions_of_run(run, tokens, lexicon, short_forms))
    explained = {mention for mention, later in pairwise(found) if _explains(tokens, mention, later)}
    return [mention for mention in found if mention not in explained]


def _explains(tokens: Tokens, mention: Mention, later: Mention) -> bool:
    """Whether the brackets after an abbreviation say what it stands for: "CP (cleft palate)"."""
    if later.first != mention.last + 2 or mention.first != mention.last:
        return False
    return tokens.raw[mention.last].isupper() and tokens.raw[mention.last + 1] == "("


@dataclass(frozen=True, slots=True)
class _ShortForms:
    """The abbreviations that one text may use: as written, or folded where it has no letter case."""

    names: Mapping[str, Entry]
    words: Mapping[str, tuple[str, ...]]
    folded: bool

    @classmethod
    def of(cls, tokens: Tokens, lexicon: Lexicon) -> _ShortForms:
        if tokens.text.islower() or tokens.text.isupper():
            return cls(lexicon.folded_abbreviations, lexicon.folded_expansions, folded=True)
        return cls(lexicon.abbreviations, lexicon.expansions, folded=False)

    def spelled(self, raw: str) -> str:
        return raw.lower() if self.folded else raw


def _mentions_of_run(
    run: Sequence[_Unit], tokens: Tokens, lexicon: Lexicon, short_forms: _ShortForms
) -> Iterator[Mention]:
    at = 0
    while at < len(run):
        size, entry = _longest_at(run, at, tokens, lexicon)
        if entry is None:
            size, entry = 1, _abbreviation(run[at], tokens, short_forms)
        if entry is None:
            entry = _shares_head(run, at, tokens, lexicon)
        if entry is None:
            at += 1
            continue
        last = run[at + size - 1].last
        if entry.concept:
            yield Mention(run[at].first, last, entry)
        at += size
        while at < len(run) and run[at].first <= last:  # the rest of an abbreviation
            at += 1
        if size > 1 and (second := _shares_start(run, at, size, tokens, lexicon)):
            yield Mention(run[at + 1].first, run[at + 1].last, second)
            at += 2


def _shares_head(run: Sequence[_Unit], at: int, tokens: Tokens, lexicon: Lexicon) -> Entry | None:
    """The first of two coordinated names: "palmar" in "palmar and plantar pits"."""
    if at + 3 >= len(run) or run[at].form == AND or run[at + 1].form != AND:
        return None
    size, entry = _longest_at(run, at + 2, tokens, lexicon)
    if entry is None or size < 2:
        return None
    units = [run[at], *run[at + 3 : at + 2 + size]]
    return _plain(lexicon.read([unit.form for unit in units], [unit.stem for unit in units]))


def _plain(entry: Entry | None) -> Entry | None:
    """The entry where it is an ordinary name: a statement of normality is not taken apart."""
    return None if entry is None or entry.status or entry.predicate or not entry.concept else entry


def _shares_start(run: Sequence[_Unit], at: int, size: int, tokens: Tokens, lexicon: Lexicon) -> Entry | None:
    """The second of two coordinated names: "cysts" in "branchial fistulas or cysts"; ``at`` is the coordinator."""
    if at + 1 >= len(run) or run[at].form != AND or _longest_at(run, at + 1, tokens, lexicon)[1] is not None:
        return None
    for units in ([*run[at - size : at - 1], run[at + 1]], [run[at - size], run[at + 1]]):
        entry = _plain(lexicon.read([unit.form for unit in units], [unit.stem for unit in units]))
        if entry is not None:
            return entry
    return None


def _longest_at(run: Sequence[_Unit], at: int, tokens: Tokens, lexicon: Lexicon) -> tuple[int, Entry | None]:
    """Content words of the longest name that starts here, and its entry."""
    if run[at].form == AND or (at and run[at].short and run[at - 1].first == run[at].first):
        return 1, None
    for size in range(min(lexicon.longest, len(run) - at), 0, -1):
        window = run[at : at + size]
        if window[-1].form == AND or not _is_whole(window, run, at + size):
            continue
        entry = _look_up(window, tokens, lexicon)
        if entry is not None:
            return size, entry
    return 1, None


def _is_whole(window: Sequence[_Unit], run: Sequence[_Unit], end: int) -> bool:
    """Whether a window does not end inside an abbreviation."""
    return end == len(run) or run[end].first > window[-1].last


def _look_up(window: Sequence[_Unit], tokens: Tokens, lexicon: Lexicon) -> Entry | None:
    if len(window) == 1 and window[0].typo and len(window[0].form) < _LONGEST_RISK:
        return None
    if window[0].short and window[0].first == window[-1].first:
        return None  # an abbreviation alone is a finding only where the pack says so
    words = [unit.form for unit in window]
    if any(unit.comma for unit in window[1:]):
        key = " ".join(sorted(words))
        return lexicon.exact.get(key) if key in lexicon.commas else None
    entry = lexicon.read(words, [unit.stem for unit in window])
    if entry is not None and _modifies(tokens, window[-1].last, entry):
        return None
    return entry


def _modifies(tokens: Tokens, index: int, entry: Entry) -> bool:
    """Whether a name only describes what follows: "epilepsy clinic"; a lone everyday word before any noun."""
    following = index + 1
    if following == len(tokens) or not tokens.raw[following][0].isalpha():
        return False
    form = tokens.light[following]
    return form in _THINGS or (
        entry.predicate and form not in STOP_WORDS | AND_WORDS | _BORDER_WORDS | _AFTER_A_FINDING
    )


def _abbreviation(unit: _Unit, tokens: Tokens, short_forms: _ShortForms) -> Entry | None:
    entry = short_forms.names.get(short_forms.spelled(tokens.raw[unit.first]))
    if entry is None or unit.typo or _modifies(tokens, unit.first, entry):
        return None
    return None if _names_a_thing(tokens, unit.first) else entry


def _names_a_thing(tokens: Tokens, index: int) -> bool:
    """Whether an abbreviation introduces a number or an examination: "ID 805-95", "ACC-2338", "MR imaging"."""
    following = index + 1
    while following < len(tokens) and tokens.raw[following] in (":", "#", "-"):
        following += 1
    if following == len(tokens):
        return False
    word = tokens.raw[following]
    digits = sum(c.isdigit() for c in word)
    number = digits >= _DIGITS_OF_A_NUMBER or (digits > 0 and len(word) > _DIGITS_OF_A_NUMBER)
    return number or tokens.raw[index + 1] == "#" or tokens.light[following] in _NO_FINDING_BEFORE


def _runs(tokens: Tokens, lexicon: Lexicon, short_forms: _ShortForms) -> Iterator[list[_Unit]]:
    """Stretches of words that may belong to one name."""
    run: list[_Unit] = []
    comma = False
    for index, raw in enumerate(tokens.raw):
        form = tokens.light[index]
        everyday = form in STOP_WORDS or form in _BORDER_WORDS
        if everyday and raw.isupper() and raw in short_forms.names and not _is_capitals(tokens, index):
            everyday = False  # "IS" for infantile spasms
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


def _units(index: int, tokens: Tokens, lexicon: Lexicon, short_forms: _ShortForms, comma: bool) -> tuple[_Unit, ...]:
    """The content words of one token; none where the token is a border."""
    raw, form = tokens.raw[index], tokens.light[index]
    if raw.lower() in AND_WORDS and raw != "+":
        return (_Unit(AND, AND, index, index),)
    if not (raw[0].isalnum() or raw[0] in "↑↓°"):
        return ()
    words = short_forms.words.get(short_forms.spelled(raw))
    if words is not None:
        return tuple(
            _Unit(word, lexicon.stem(word), index, index, short=True, comma=comma and not place)
            for place, word in enumerate(words)
        )
    form = read_in_place(form, tokens.raw[index + 1] if index + 1 < len(tokens) else "")
    stem = lexicon.stem(form)
    if form in lexicon.vocabulary or stem in lexicon.stems or short_forms.spelled(raw) in short_forms.names:
        return (_Unit(form, stem, index, index, comma=comma),)
    corrected = _correct(form, lexicon)
    if corrected is None:
        return ()
    return (_Unit(corrected, lexicon.stem(corrected), index, index, typo=True, comma=comma),)


def _correct(form: str, lexicon: Lexicon) -> str | None:
    """The one vocabulary word that an unknown long word mistypes."""
    if len(form) < SHORTEST_TYPO or form in lexicon.known_words or not form.isalpha():
        return None
    return nearest(form, lexicon.vocabulary, lexicon.neighbors)
