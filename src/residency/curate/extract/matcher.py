"""Where a text names a concept.

In: tokens and a lexicon. Out: ``Mention``s in text order; none overlaps another.

Covers: the longest name at each place, in any word order; names that share a part in a list, from either end
("anal, renal and ear anomalies", "hypoplasia of the ulna and radius"); numbers, spelling and part of speech through
the lexicon's keys. Does not cover: which words count and how they are written (runs, short_forms); a name inside a
longer one ("brachydactyly" in "type C brachydactyly"); what the text says about the concept (status).

An order-free key of the words in a window, and not a trie: a trie needs one branch for each word order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from residency.curate.extract.lexicon import Entry, Lexicon, is_modifier
from residency.curate.extract.runs import BORDER_WORDS, Unit, runs
from residency.curate.extract.short_forms import ShortForms, names_a_thing
from residency.curate.extract.tokens import Tokens
from residency.packs.words import AND, AND_WORDS, STOP_WORDS, word_set

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
_DICTATED = word_set("comma period ful colon semicolon new point nor r")  # "abnormal gait full stop"
_AFTER_A_NOUN = STOP_WORDS | AND_WORDS | BORDER_WORDS | _AFTER_A_FINDING | _DICTATED
_NUMERAL = re.compile(r"\d{1,2}[A-Z]?|[IVX]{1,4}[a-zA-Z]?|[A-Z]\d?")
_LONGEST_LIST = 14  # words in which a coordinated list is looked for
_LONGEST_MEMBER = 3  # words of a member that borrows a part of its neighbor's name


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in the text: tokens ``first`` to ``last`` (inclusive)."""

    first: int
    last: int
    entry: Entry


def find_mentions(tokens: Tokens, lexicon: Lexicon) -> list[Mention]:
    """All mentions, longest first at each place, in text order."""
    short_forms = ShortForms.of(tokens, lexicon)
    found: list[Mention] = []
    for run in runs(tokens, lexicon, short_forms):
        found.extend(_mentions_of_run(run, tokens, lexicon, short_forms))
    explained = {mention for mention, later in pairwise(found) if _explains(tokens, mention, later)}
    return [mention for mention in found if mention not in explained]


def _explains(tokens: Tokens, mention: Mention, later: Mention) -> bool:
    """Whether the brackets after an abbreviation say what it stands for: "CP (cleft palate)"."""
    if later.first != mention.last + 2 or mention.first != mention.last:
        return False
    return tokens.raw[mention.last].isupper() and tokens.raw[mention.last + 1] == "("


def _mentions_of_run(
    run: Sequence[Unit], tokens: Tokens, lexicon: Lexicon, short_forms: ShortForms
) -> Iterator[Mention]:
    at = 0
    while at < len(run):
        size, entry = _longest_at(run, at, tokens, lexicon)
        if entry is None:
            size, entry = 1, _abbreviation(run[at], tokens, short_forms)
        if (entry is None or (size == 1 and is_modifier(run[at].form))) and (
            shared := _shares_end(run, at, tokens, lexicon)
        ):
            size, entry = shared
        if entry is None:
            at += 1
            continue
        last = run[at + size - 1].last
        if entry.concept:
            yield Mention(run[at].first, last, entry)
        name = run[at : at + size]
        at += size
        while at < len(run) and run[at].first <= last:  # the rest of an abbreviation
            at += 1
        if size > 1 and entry.concept:
            for start, end, other in _share_start(name, run, at, tokens, lexicon):
                yield Mention(run[start].first, run[end - 1].last, other)
                at = end


def _members(run: Sequence[Unit], at: int) -> list[tuple[int, int]]:
    """The members of a list from ``at`` on: "anal", "renal", "ear anomalies" in "anal, renal and ear anomalies".

    Commas and coordinators part them; the member after the first coordinator is the last. Empty where none follows.
    """
    members: list[tuple[int, int]] = []
    start = at
    for place in range(at, min(len(run), at + _LONGEST_LIST)):
        if run[place].form == AND or (run[place].comma and place > start):
            if place > start:
                members.append((start, place))
                if start > at and run[start - 1].form == AND:
                    return members
            start = place + (run[place].form == AND)
    end = min(len(run), at + _LONGEST_LIST)
    closed = at < start < end and run[start - 1].form == AND
    return [*members, (start, end)] if closed else []


def _shares_end(run: Sequence[Unit], at: int, tokens: Tokens, lexicon: Lexicon) -> tuple[int, Entry] | None:
    """A member of a list whose last member ends its name too: "palmar" in "palmar and plantar pits"."""
    if run[at].form == AND or run[at].stem in lexicon.general or len(members := _members(run, at)) < 2:
        return None
    first = run[at : members[0][1]]
    start, end = members[-1]
    if len(first) > _LONGEST_MEMBER:
        return None
    for stop in range(min(end, start + _LONGEST_MEMBER + 1), start + 1, -1):
        if not _is_unbroken(run[start:stop], tokens):
            continue
        for cut in range(start + 1, stop):
            entry = _plain(_read([*first, *run[cut:stop]], lexicon))
            if entry is not None:
                return len(first), entry
    return None


def _share_start(
    name: Sequence[Unit], run: Sequence[Unit], at: int, tokens: Tokens, lexicon: Lexicon
) -> Iterator[tuple[int, int, Entry]]:
    """The members of a list that begin as ``name`` does: "cysts" in "branchial fistulas or cysts"."""
    for start, end in _members_after(run, at):
        if run[start].short or _longest_at(run, start, tokens, lexicon)[1] is not None:
            return
        if run[start].stem in lexicon.general:
            return
        entry, width = None, 0
        for width in range(min(end - start, _LONGEST_MEMBER), 0, -1):
            member = run[start : start + width]
            kept = (_plain(_read([*name[:keep], *member], lexicon)) for keep in range(len(name) - 1, 0, -1))
            if entry := next((found for found in kept if found is not None), None):
                break
        if entry is None:
            return
        yield start, start + width, entry


def _members_after(run: Sequence[Unit], at: int) -> list[tuple[int, int]]:
    """The members of a list that follow its first one, which ends before ``at``."""
    if at == 0 or at == len(run) or not (run[at].form == AND or run[at].comma):
        return []
    return _members(run, at - 1)[1:]


def _read(units: Sequence[Unit], lexicon: Lexicon) -> Entry | None:
    return lexicon.read([unit.form for unit in units], [unit.stem for unit in units])


def _plain(entry: Entry | None) -> Entry | None:
    """The entry where it is an ordinary name: a statement of normality is not taken apart."""
    return None if entry is None or entry.status or entry.predicate or not entry.concept else entry


def _longest_at(run: Sequence[Unit], at: int, tokens: Tokens, lexicon: Lexicon) -> tuple[int, Entry | None]:
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


def _is_whole(window: Sequence[Unit], run: Sequence[Unit], end: int) -> bool:
    """Whether a window does not end inside an abbreviation."""
    return end == len(run) or run[end].first > window[-1].last


def _look_up(window: Sequence[Unit], tokens: Tokens, lexicon: Lexicon) -> Entry | None:
    if len(window) == 1 and window[0].typo and len(window[0].form) < _LONGEST_RISK:
        return None
    if window[0].short and window[0].first == window[-1].first:
        return None  # an abbreviation alone is a finding only where the pack says so
    words = [unit.form for unit in window]
    if any(unit.comma for unit in window[1:]):
        key = " ".join(sorted(words))
        return lexicon.exact.get(key) if key in lexicon.commas and not _are_names(window, lexicon) else None
    entry = lexicon.read(words, [unit.stem for unit in window])
    if entry is not None and _modifies(tokens, window[-1].last, entry):
        return None
    if entry is not None and not entry.status and _dangles(window, tokens, lexicon):
        return None
    return entry


def _are_names(window: Sequence[Unit], lexicon: Lexicon) -> bool:
    """Whether the first comma parts two names that stand for themselves: "cleft palate, cleft lip"."""
    comma = next(place for place, unit in enumerate(window) if unit.comma and place)
    return all(_plain(_read(part, lexicon)) for part in (window[:comma], window[comma:]))


def _is_unbroken(units: Sequence[Unit], tokens: Tokens) -> bool:
    """Whether only hyphens stand between these units."""
    return all(raw in "-–" for left, right in pairwise(units) for raw in tokens.raw[left.last + 1 : right.first])


def _dangles(window: Sequence[Unit], tokens: Tokens, lexicon: Lexicon) -> bool:
    """Whether a window read loosely ends in an adjective whose noun follows: "enlarged cardiac" before "silhouette"."""
    following = window[-1].last + 1
    if len(window) == 1 or following == len(tokens) or not tokens.raw[following][0].isalpha():
        return False
    if tokens.light[following] in _AFTER_A_NOUN:
        return False
    if is_modifier(window[-1].form):
        return " ".join(sorted(unit.form for unit in window)) not in lexicon.exact
    bare = len(window) == 2 and window[0].stem in lexicon.general  # "abnormal chromosome" before "number"
    return bare and _is_unbroken(window, tokens)


def _modifies(tokens: Tokens, index: int, entry: Entry) -> bool:
    """Whether a name only describes what follows: "epilepsy clinic"; a lone everyday word before any noun."""
    following = index + 1
    if following == len(tokens) or not tokens.raw[following][0].isalpha():
        return False
    form = tokens.light[following]
    if form == "type" and following + 1 < len(tokens) and _NUMERAL.fullmatch(tokens.raw[following + 1]):
        return False  # "distal arthrogryposis type 1" is one
    return form in _THINGS or (entry.predicate and form not in STOP_WORDS | AND_WORDS | BORDER_WORDS | _AFTER_A_FINDING)


def _abbreviation(unit: Unit, tokens: Tokens, short_forms: ShortForms) -> Entry | None:
    entry = short_forms.names.get(short_forms.spelled(tokens.raw[unit.first]))
    if entry is None or unit.typo or _modifies(tokens, unit.first, entry):
        return None
    return None if names_a_thing(tokens, unit.first) else entry
