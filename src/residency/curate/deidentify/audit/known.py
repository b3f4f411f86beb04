"""Known: an identifier of the same patient that was replaced elsewhere still stands here.

In: the raw identifiers of a patient; a text whose replaced places are hidden. Out: matches.

Covers: whole identifiers and parts of names, over blanks, punctuation and accents; the digits of codes inside longer
tokens; what a policy lets stay (matched too, so that no other method suspects it). Does not cover: what nobody replaced
anywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from residency.curate.deidentify.anonymity import STATES
from residency.curate.deidentify.audit.found import HIDDEN, PART, SHORTEST_WHOLE, YEAR
from residency.curate.deidentify.audit.vocabulary import inner_capital
from residency.curate.deidentify.labels import Identifier as Id
from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.organizations import is_generic
from residency.curate.deidentify.places import is_street_word
from residency.curate.deidentify.tokens import Words

# Scores say how much speaks for a leak, 0 to 1; an order, no probabilities. Chosen by us on the development reports of
# bench/deidentify.py with a tenth of their identifiers left in, November 2026.
KNOWN_WHOLE = 1.0
KNOWN_PART = 0.9
KNOWN_WORD = 0.5  # a part of a name that is an ordinary word, with a capital that nothing explains

_SHORTEST_PART = 4  # letters; parts of names shorter than this are also too many other things
_FEWEST_DIGITS = 5  # of a code, to be searched by its digits alone
_ANYWHERE_DIGITS = 7  # so many digits in a row are found inside longer numbers too
_PHONE_TAIL = 7  # digits; a phone number is known by its end, whatever its country code

Stays = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class _Needle:
    """What is searched for, and under what conditions a place counts."""

    label: str
    score: float
    stays: bool = False
    needs_capital: bool = False  # an ordinary word: only a capital that no sentence start explains counts


@dataclass(frozen=True, slots=True)
class _Match:
    start: int
    end: int
    needle: _Needle


_END = ""  # the key of a needle in a node of the tree; no character is the empty string
_FOLLOWED_AS_WORDS = frozenset((Id.NAME, Id.LOCATION, Id.ORGANIZATION))
_NOT_CODES = _FOLLOWED_AS_WORDS | {Id.DATE, Id.AGE_OVER_89}
_RUN = re.compile(rf"[^\W\d_]+|\d+|{HIDDEN}+")
_NUMBER_CHAIN = re.compile(r"\d+(?:[ ()./+_-]{1,3}\d+)*")


@dataclass(slots=True)
class Dictionary:
    """The identifiers of one patient as two trees of characters: one walk from each word, none for each identifier.

    ``wholes`` holds letters and digits without what stands between them, found from word to word; ``digits`` the digits
    of codes, found inside longer tokens too.
    """

    wholes: dict[str, Any] = field(default_factory=dict)
    digits: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, identifiers: Iterable[tuple[str, str]], lexicon: Lexicon, stays: Stays) -> Dictionary:
        dictionary = cls()
        for label, text in sorted(identifiers):
            may_stay = stays(label, text)
            dictionary._add_whole(label, text, lexicon, may_stay)
            if label in _FOLLOWED_AS_WORDS and not may_stay:
                dictionary._add_parts(label, text, lexicon)
            if label not in _NOT_CODES:
                dictionary._add_digits(label, text, may_stay)
        return dictionary

    def _add_whole(self, label: str, text: str, lexicon: Lexicon, stays: bool) -> None:
        plain = _plain(text)
        if len(plain) < SHORTEST_WHOLE or label == Id.AGE_OVER_89 or YEAR.fullmatch(plain):
            return
        if len(plain) < len(text.strip()) and lexicon.is_word(plain):  # "A. Long" is not "along"
            return
        ordinary = len(PART.findall(text)) == 1 and plain.isalpha() and _is_ordinary(text.strip(), lexicon)
        score = KNOWN_WORD if ordinary else KNOWN_WHOLE
        _plant(self.wholes, plain, _Needle(label, score, stays, needs_capital=ordinary))

    def _add_parts(self, label: str, text: str, lexicon: Lexicon) -> None:
        for word in PART.findall(text.replace("^", " ").replace("\u2019", "'")):
            part = word.removesuffix("'s").removesuffix("'S")
            if len(part) < _SHORTEST_PART or lexicon.is_particle(part) or part.casefold() in lexicon.safe:
                continue
            ordinary = _is_ordinary(part, lexicon)
            if label != Id.NAME and (ordinary or is_generic(part) or is_street_word(part) or part.title() in STATES):
                continue
            score = KNOWN_WORD if ordinary else KNOWN_PART
            _plant(self.wholes, _plain(part), _Needle(label, score, needs_capital=ordinary))

    def _add_digits(self, label: str, text: str, stays: bool) -> None:
        digits = "".join(ch for ch in text if ch in "0123456789")
        if len(digits) >= _FEWEST_DIGITS:
            _plant(self.digits, digits, _Needle(label, KNOWN_PART, stays))
        if label in (Id.PHONE, Id.FAX) and len(digits) > _PHONE_TAIL:
            _plant(self.digits, digits[-_PHONE_TAIL:], _Needle(label, KNOWN_PART, stays))

    def search(self, text: str, words: Words) -> list[_Match]:
        """Where identifiers stand; of those that begin at one place, the longest."""
        folded, places = _folded(text)
        matches = list(self._wholes(folded, places))
        matches += self._digits(folded, places)
        return [match for match in matches if not match.needle.needs_capital or _capital_says(words, match.start)]

    def _wholes(self, folded: str, places: Sequence[int]) -> Iterator[_Match]:
        if not self.wholes:
            return
        runs = [(m.start(), m.end()) for m in _RUN.finditer(folded)]
        for number, (start, _) in enumerate(runs):
            if folded[start] in self.wholes:
                last = self._longest(folded, runs, number)
                if last is not None:
                    yield _Match(places[start], places[last[0] - 1] + 1, last[1])

    def _longest(self, folded: str, runs: Sequence[tuple[int, int]], number: int) -> tuple[int, _Needle] | None:
        """Where the longest identifier ends that begins with a run and ends with one; at most as long as the tree."""
        node: dict[str, Any] | None = self.wholes
        last: tuple[int, _Needle] | None = None
        while number < len(runs):
            for ch in folded[slice(*runs[number])]:
                node = node.get(ch) if node is not None else None
                if node is None:
                    return last
            if node is not None and _END in node:
                last = runs[number][1], node[_END]
            number += 1
        return last

    def _digits(self, folded: str, places: Sequence[int]) -> Iterator[_Match]:
        if not self.digits:
            return
        for chain in _NUMBER_CHAIN.finditer(folded):
            at = [i for i in range(*chain.span()) if folded[i].isdigit()]
            for first in range(len(at) - _FEWEST_DIGITS + 1):
                for last, needle in self._digits_from(folded, at, first):
                    yield _Match(places[at[first]], places[at[last]] + 1, needle)

    def _digits_from(self, folded: str, at: Sequence[int], first: int) -> Iterator[tuple[int, _Needle]]:
        """Codes that begin with the digit number ``first``, and the number of their last digit."""
        node: dict[str, Any] = self.digits
        for last in range(first, len(at)):
            if folded[at[last]] not in node:
                return
            node = node[folded[at[last]]]
            if _END in node:
                whole = not _digit_at(folded, at[first] - 1) and not _digit_at(folded, at[last] + 1)
                if whole or last + 1 - first >= _ANYWHERE_DIGITS:
                    yield last, node[_END]


def _plant(tree: dict[str, Any], plain: str, needle: _Needle) -> None:
    for ch in plain:
        tree = tree.setdefault(ch, {})
    kept = tree.get(_END)
    # What may stay comes first; else what is surer.
    if kept is None or (needle.stays, needle.score) > (kept.stays, kept.score):
        tree[_END] = needle


def _digit_at(text: str, position: int) -> bool:
    return 0 <= position < len(text) and text[position].isdigit()


def _capital_says(words: Words, start: int) -> bool:
    """A capital at ``start`` that neither the case of the line nor the start of a sentence explains."""
    index = words.at(start)
    if index >= len(words.all) or words.all[index].start != start:
        return False
    return inner_capital(words, index)


def _is_ordinary(word: str, lexicon: Lexicon) -> bool:
    return lexicon.is_word(word) or word.casefold() in lexicon.safe


def _plain(text: str) -> str:
    """Small letters and digits without accents, marks and blanks."""
    return "".join(ch for ch in _folded(text)[0] if ch.isalnum())


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """``text`` in small letters without accents, and where each character of it stands in ``text``."""
    if text.isascii():
        return text.lower(), range(len(text))
    parts: list[str] = []
    places: list[int] = []
    for place, ch in enumerate(text):
        folded = _folded_character(ch)
        parts.append(folded)
        places += [place] * len(folded)
    return "".join(parts), places


# Letters that Unicode does not take apart, as people write them without the letter.
_WITHOUT_ACCENT = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "ħ": "h", "ŋ": "n"}
)


@lru_cache(maxsize=4096)
def _folded_character(ch: str) -> str:
    decomposed = unicodedata.normalize("NFKD", ch.casefold()).translate(_WITHOUT_ACCENT)
    return "".join(part for part in decomposed if not unicodedata.combining(part))
