"""Search in a terminology, for a person who types: from the first letters, in lay words, with slips of the keyboard.

In: a pack; what somebody has typed so far. Out: concepts, the likeliest first, each with the name that was found.

Covers: preferred labels, synonyms, the pack's own names and lay words; concept ids; beginnings of words; other forms of
a word (ataxic); one slip a word. Does not cover: finding mentions in text (curate/extract): a person chooses here, so
that what is found may mean several things.

Every word that was typed must be in the name; among those names the better match, the fewer other words and the better
kind of name come first. Rejected: a search engine's weights of words; among names of four words they say little.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from residency.packs import Pack
from residency.packs.terminology import Terminology, load_terminology
from residency.packs.typos import deletion_index, neighbors
from residency.packs.words import content, light, strong

SHORTEST_QUERY = 2  # letters: a single one begins thousands of names
LONGEST_QUERY = 200  # characters; nobody types more
MOST_WORDS = 20  # of a name; more do not make it worse
NAMES_A_CONCEPT = 8  # looked at for each concept that is wanted: a concept has several names
_SCOPE = {"LABEL": 0, "EXACT": 1, "LAY": 1, "NARROW": 2, "RELATED": 3, "BROAD": 4}
_EXACT, _FORM, _BEGINNING, _SLIP = range(4)  # how a typed word matches one of a name, best first
_ID = re.compile(r"[a-z]+:\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A concept, with the name through which it was found."""

    concept: str
    label: str
    name: str


@dataclass(frozen=True, slots=True)
class _Name:
    concept: str
    name: str
    worth: int  # number of words, then kind of name; the lower the better


class TermSearch:
    """An index over one pack's names."""

    def __init__(self, terminology: Terminology, own: Sequence[tuple[str, str]] = ()) -> None:
        """``own``: further names with their concepts."""
        self._terminology = terminology
        names = [(name, c, scope) for c in terminology for name, scope in terminology.synonyms[c]]
        names += [(name, terminology.current(c), "LAY") for name, c in own if c in terminology]
        self._names: list[_Name] = []  # by name: among equals the first in the alphabet comes first
        self._with_word: defaultdict[str, list[int]] = defaultdict(list)
        for name, concept, scope in sorted(names):
            words = set(content(name))
            for word in words:
                self._with_word[word].append(len(self._names))
            worth = min(len(words), MOST_WORDS) * len(_SCOPE) + _SCOPE.get(scope, _SCOPE["RELATED"])
            self._names.append(_Name(concept, name, worth))
        self._vocabulary = sorted(self._with_word)
        self._of_stem: defaultdict[str, list[str]] = defaultdict(list)
        for word in self._vocabulary:
            self._of_stem[strong(word)].append(word)
        self._slips: Mapping[str, tuple[str, ...]] = deletion_index(self._vocabulary)

    def find(self, typed: str, *, most: int = 10) -> list[Found]:
        """Concepts that what was typed may mean; the last word may be only begun."""
        typed = typed[:LONGEST_QUERY].strip()
        if _ID.fullmatch(typed):
            concept = self._terminology.current(typed.upper())
            return [self._found(concept, self._terminology.label(concept))] if concept in self._terminology else []
        words = list(dict.fromkeys(content(typed))) or [light(word) for word in typed.split()]
        if sum(map(len, words)) < SHORTEST_QUERY:
            return []
        matched = [self._match(word) for word in words]
        both = set(matched[0]).intersection(*matched[1:])
        hows = ((number, [of_word[number] for of_word in matched]) for number in both)
        # A slip weighs more than any name's worth, and that more than how its words match.
        ranked = heapq.nsmallest(
            NAMES_A_CONCEPT * most,
            ((how.count(_SLIP), self._names[number].worth, sum(how), number) for number, how in hows),
        )
        best: dict[str, int] = {}
        for *_, number in ranked:
            best.setdefault(self._names[number].concept, number)
        return [self._found(concept, self._names[number].name) for concept, number in list(best.items())[:most]]

    def _match(self, word: str) -> dict[int, int]:
        """The names that hold a typed word, with how it matches."""
        words = dict.fromkeys(self._begun(word), _BEGINNING)
        words |= dict.fromkeys(self._of_stem.get(strong(word), ()), _FORM)
        if word in self._with_word:
            words[word] = _EXACT
        elif not words:
            words = dict.fromkeys(neighbors(word, self._with_word, self._slips), _SLIP)
        found: dict[int, int] = {}
        for known, how in words.items():
            for number in self._with_word[known]:
                found[number] = min(how, found.get(number, how))
        return found

    def _begun(self, word: str) -> list[str]:
        if len(word) < SHORTEST_QUERY:
            return []
        start = bisect_left(self._vocabulary, word)
        end = bisect_left(self._vocabulary, word + "\U0010ffff")
        return self._vocabulary[start:end]

    def _found(self, concept: str, name: str) -> Found:
        return Found(concept, self._terminology.label(concept), name)


@lru_cache(maxsize=4)
def load_search(pack: Pack) -> TermSearch:
    """The search over a pack's names; built once a process."""
    settings = pack.settings
    rows = [*pack.rows(settings.synonyms, "name", "hpo_id"), *pack.rows(settings.lay_words, "name", "hpo_id")]
    return TermSearch(load_terminology(pack), [(row["name"], row["hpo_id"]) for row in rows if row["hpo_id"]])
