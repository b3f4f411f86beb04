"""The words of a reading copy, with the case of their line.

In: a reading copy. Out: its words with their places.

Covers: word boundaries, what stands between words, where a sentence or heading begins.
Does not cover: what the words mean.

The case of a line decides how much a capital says: in a line of capitals or of small letters it says nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property, lru_cache

from residency.curate.deidentify.lexicon import Lexicon

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_SMALL_PREFIX = re.compile(r"(?:(?:al|el|ul|ad|an|ar|as|at|az|ibn|bin)-|[dlo]')[A-ZÀ-ÖØ-Þ]")


@dataclass(frozen=True, slots=True)
class Word:
    start: int
    end: int
    text: str
    cased: bool  # its line mixes capitals and small letters, so a capital says something

    @property
    def capital(self) -> bool:
        """Begins as names do: a capital, a letter of a script without case, "al-Rahman", "d'Alba"."""
        first = self.text[0]
        if first.islower():
            return ("-" in self.text or "'" in self.text) and bool(_SMALL_PREFIX.match(self.text))
        return True


class Words:
    """The words of a text with the case of their line, and what follows from both."""

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.text = text
        self.lexicon = lexicon
        self.all = _words(text)
        self._starts = [word.start for word in self.all]

    def at(self, position: int) -> int:
        """Index of the first word that starts at or after ``position``."""
        return bisect_left(self._starts, position)

    def gap(self, index: int) -> str:
        """What stands between word ``index`` and the next."""
        return self.text[self.all[index].end : self.all[index + 1].start] if index + 1 < len(self.all) else "\n"

    @cached_property
    def sentence_starts(self) -> frozenset[int]:
        """Indices of words whose capital may be a sentence's or a heading's."""
        starts = {0}
        for index in range(len(self.all) - 1):
            gap = self.gap(index)
            initial = len(self.all[index].text) == 1 or self.all[index].text.casefold() in (
                "dr",
                "mr",
                "mrs",
                "ms",
                "prof",
                "st",
            )
            if "\n" in gap or any(ch in gap for ch in "!?:;•*>") or ("." in gap and not initial) or '"' in gap:
                starts.add(index + 1)
        return frozenset(starts)


@lru_cache(maxsize=64)  # finding names and following them read the same text one after the other
def _words(text: str) -> list[Word]:
    words: list[Word] = []
    offset = 0
    capitals, letters = sum(map(str.isupper, text)), sum(map(str.isalpha, text))
    mostly_lower, mostly_upper = capitals * 250 < letters, capitals * 10 > 6 * max(1, letters)
    for line in text.split("\n"):
        found = list(_WORD.finditer(line))
        long = [m.group() for m in found if len(m.group()) > 1]
        upper = sum(w.isupper() for w in long)
        cased = not mostly_lower and (upper * 10 < len(long) * 8 or (len(long) < 3 and not mostly_upper))
        words.extend(Word(offset + m.start(), offset + m.end(), m.group(), cased) for m in found)
        offset += len(line) + 1
    return words
