"""How people here write: with which words reports end, and which words are written in capitals.

In: documents, one after the other. Out: ``Endings`` and ``Casing``, which answer for one line or one word.

Covers: counting in tables of fixed size, however many reports there are; the order of the reports makes no difference.
Does not cover: rare words, which may share a place in a table with another one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from residency.curate.cleanse.lines import NUMBER, Line, form_hash

_MIN_REPORTS = 100  # fewer do not tell how reports end; chosen by us, 2026-11-24
_LAST_WORDS = 6  # of a line are looked at to tell whether it is a last line; same source
_PLACES = 2**18  # for words; in 50,000 reports a word that matters shares its place with rare ones at most
_CASED_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_END_WORD = re.compile(r"[^\W\d_]+|\d+")


class Endings:
    """How the last line of a report differs from the others, by words: naive Bayes over counts in a table of fixed
    size, in which two rare words may share a place."""

    def __init__(self) -> None:
        self._last = np.zeros(_PLACES, dtype=np.int64)
        self._other = np.zeros(_PLACES, dtype=np.int64)
        self._lasts = self._others = 0  # lines

    def learn(self, lines: Sequence[Line]) -> None:
        """One document: its last line that is not empty, and the lines before."""
        written = [line for line in lines if line.form]
        for line in written[:-1]:
            np.add.at(self._other, self._places(line.form), 1)
        if written:
            np.add.at(self._last, self._places(written[-1].form), 1)
            self._lasts += 1
            self._others += len(written) - 1

    def log_odds(self, form: str) -> float:
        """Mean over the last words of log(share of last lines with it / share of other lines with it); infinite where
        too few reports were seen to say that a line is none."""
        words = _END_WORD.findall(form)[-_LAST_WORDS:]
        if not words or self._lasts < _MIN_REPORTS:
            return math.inf
        places = self._places(" ".join(words))
        last = np.log((self._last[places] + 0.5) / (self._lasts + 1))
        other = np.log((self._other[places] + 0.5) / (self._others + 1))
        return float((last - other).mean())

    def _places(self, form: str) -> Sequence[int]:
        words = {NUMBER.sub("0", word) for word in _END_WORD.findall(form)}
        return sorted(map(_word_place, words))


class Casing:
    """Which words are written in capitals where a line has small letters too: MRI, not SEIZURE. Counts in a table of
    fixed size."""

    def __init__(self) -> None:
        self._capitals = np.zeros(_PLACES, dtype=np.int32)
        self._all = np.zeros(_PLACES, dtype=np.int32)

    def learn(self, text: str) -> None:
        for line in text.split("\n"):
            if line.isupper() or line.islower():
                continue
            words = _CASED_WORD.findall(line)
            np.add.at(self._all, [_word_place(word.casefold()) for word in words], 1)
            np.add.at(self._capitals, [_word_place(word.casefold()) for word in words if word.isupper()], 1)

    def is_acronym(self, word: str) -> bool:
        """Whether a word, given in small letters, is mostly written in capitals; a word nobody wrote is none."""
        place = _word_place(word)
        return bool(self._capitals[place] * 2 > self._all[place])


@lru_cache(maxsize=100_000)
def _word_place(word: str) -> int:
    return form_hash(word) % _PLACES
