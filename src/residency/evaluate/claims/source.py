"""A source text, read once, so that many claims can be checked against it.

In: the text, the means. Out: a ``SourceText``: its findings with their sides, amounts, times, the persons' sex, words.

Covers: a second reading of the findings with line ends inside sentences taken as spaces, for texts that are wrapped
narrowly; the words in order, for claims that nothing else bears out. Does not cover: judging (check.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from residency.evaluate.claims.amounts import Amount, read_amounts
from residency.evaluate.claims.claim import Place
from residency.evaluate.claims.means import Means, Name
from residency.evaluate.claims.sides import Side, side_of, side_within
from residency.evaluate.claims.times import Time, read_times
from residency.packs.typos import SHORTEST_TYPO, one_edit
from residency.packs.words import STOP_WORDS, WORD, light, strong, word_set
from residency.records import Finding, Status

SLACK = 3  # other words that may stand between the words of a claim; chosen by us
SHORTEST_ALONE = 6  # letters of a name of one word; shorter ones are too often part of another name
SHORTEST_ABBREVIATION = 3
AROUND = 160  # code points on either side of a place that are read again with another name in it
MALE = word_set("male boy man gentleman")
FEMALE = word_set("female girl woman lady")
_HE = MALE | word_set("he his him mr")
_SHE = FEMALE | word_set("she her mrs ms miss")
_SEX_FIELD = re.compile(r"\b(?:sex|gender|s)\W{1,4}(?P<sex>[MF])\b|\b\d{1,3}\s?(?:yo?|/o)?\s?/?(?P<short>[MF])\b")
_NOT = word_set("not no without never")
_WRAP = re.compile(r"[ \t]?(?:\r?\n)[ \t]*(?=[a-z])")
_SENTENCE_END = re.compile(r"[.;](?=\s)|\n")


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding of the source at its place."""

    concept: str
    status: Status
    place: Place
    side: Side | None


@dataclass(slots=True)
class SourceText:
    """A text as claims are checked against it."""

    text: str
    means: Means
    mentions: tuple[Mention, ...]
    amounts: Sequence[Amount]
    times: Sequence[Time]
    described_as: str | None  # male | female: the first word that describes a person
    males: int
    females: int
    words: tuple[str, ...]  # light forms of every word that carries meaning
    places: tuple[Place, ...]  # of the words
    _unwrapped: tuple[Mention, ...] | None = field(default=None, repr=False)

    def unwrapped(self) -> tuple[Mention, ...]:
        """The findings that are read where a line end before a lower-case letter is a space; places stay the same."""
        if self._unwrapped is None:
            text = _WRAP.sub(lambda match: " " * len(match.group()), self.text)
            self._unwrapped = _mentions(text, self.means) if text != self.text else ()
        return self._unwrapped

    def window(self, words: Sequence[str]) -> Place | None:
        """The narrowest place that holds all these words, in any order, with little else between."""
        span = self._narrowest(words, SLACK)
        return (self.places[span[0]][0], self.places[span[1]][1]) if span else None

    def named(self, name: Name) -> tuple[Place | None, bool]:
        """Where a name stands, in any order of its words, and whether it is negated within: "ears are not low-set"."""
        words = name.words
        if name.short:
            return self._abbreviated(name.short), False
        if len(words) == 1 and len(words[0]) < SHORTEST_ALONE:
            return None, False
        span = self._narrowest(words, 1)
        if span is None:
            return None, False
        between = self.words[span[0] : span[1] + 1]
        negated = bool(_NOT.intersection(between)) and not _NOT.intersection(words)
        if len(between) > len(set(words)) and not negated:
            return None, False  # another word within a name makes it another name
        return (self.places[span[0]][0], self.places[span[1]][1]), negated

    def _abbreviated(self, short: str) -> Place | None:
        """Where an abbreviation stands alone. Two letters in a text of capitals may be any word."""
        if len(short) < SHORTEST_ABBREVIATION and self.text.isupper():
            return None
        match = re.search(rf"(?<![^\W_]){re.escape(short)}(?![^\W_])", self.text, self._letter_case(short))
        return match.span() if match else None

    @staticmethod
    def _letter_case(short: str) -> re.RegexFlag:
        return re.IGNORECASE if len(short) >= SHORTEST_ABBREVIATION else re.NOFLAG

    def _narrowest(self, words: Sequence[str], slack: int) -> tuple[int, int] | None:
        """First and last number of the narrowest run of words that holds all of ``words``."""
        needed = tuple(dict.fromkeys(words))
        hits = sorted((at, word) for word in needed for at in self._at(word))
        best: tuple[int, int] | None = None
        last: dict[str, int] = {}
        for at, word in hits:
            last[word] = at
            if len(last) == len(needed):
                first = min(last.values())
                if at - first < len(needed) + slack and (best is None or at - first < best[1] - best[0]):
                    best = (first, at)
        return best

    def read_again(self, place: Place, label: str, concept: str) -> Status | None:
        """The status that the source gives to a concept if its name at ``place`` were ``label``; None without any."""
        before, after = self.text[max(0, place[0] - AROUND) : place[0]], self.text[place[1] : place[1] + AROUND]
        starts = [match.end() for match in _SENTENCE_END.finditer(before)]
        before = before[starts[-1] :] if starts else before
        stop = _SENTENCE_END.search(after)
        after = after[: stop.end()] if stop else after
        read = self.means.find(f"{before}{label}{after}")
        here = [
            f for f in read if f.concept == concept and f.start is not None and f.start <= len(before) < (f.end or 0)
        ]
        return here[0].status if here else None

    def _at(self, word: str) -> list[int]:
        stem = strong(word)
        return [number for number, known in enumerate(self.words) if _same(word, stem, known)]


def read_source(text: str, means: Means) -> SourceText:
    """A text made ready for checking."""
    mentions = _mentions(text, means)
    described_as, males, females = _sexes(text)
    found = [(match, light(match.group())) for match in WORD.finditer(text)]
    kept = [(match.span(), form) for match, form in found if form not in STOP_WORDS]
    return SourceText(
        text=text,
        means=means,
        mentions=mentions,
        amounts=read_amounts(text, means.units),
        times=read_times(text),
        described_as=described_as,
        males=males,
        females=females,
        words=tuple(form for _, form in kept),
        places=tuple(place for place, _ in kept),
    )


def _mentions(text: str, means: Means) -> tuple[Mention, ...]:
    return tuple(_mention(text, found) for found in means.find(text) if found.start is not None)


def _mention(text: str, found: Finding) -> Mention:
    start, end = found.start or 0, found.end or 0
    side = side_of(text, start, end) or side_within(text[start:end])
    return Mention(found.concept, found.status, (start, end), side)


def _sexes(text: str) -> tuple[str | None, int, int]:
    """The sex that the first describing word names; how many words speak of a male and of a female person."""
    words = [match.group().lower() for match in WORD.finditer(text)]
    described = next((sex for sex in map(_describes, words) if sex is not None), None)
    fields = [match["sex"] or match["short"] for match in _SEX_FIELD.finditer(text)]
    males = sum(word in _HE for word in words) + fields.count("M")
    return described, males, sum(word in _SHE for word in words) + fields.count("F")


@lru_cache(maxsize=50_000)
def _describes(word: str) -> str | None:
    """The sex that a describing word names, one slip of the keyboard allowed."""
    for sex, known in (("male", MALE), ("female", FEMALE)):
        if word in known:
            return sex
    near = {sex for sex, known in (("male", MALE), ("female", FEMALE)) for k in known if _one_slip(word, k)}
    return near.pop() if len(near) == 1 else None


def _one_slip(word: str, known: str) -> bool:
    return len(word) >= SHORTEST_TYPO and len(known) >= SHORTEST_TYPO and one_edit(word, known)


@lru_cache(maxsize=200_000)
def _same(word: str, stem: str, known: str) -> bool:
    """Equal, or of one stem, or one slip of the keyboard apart."""
    if word == known or (len(word) >= SHORTEST_TYPO and stem == strong(known)):
        return True
    long = len(word) > SHORTEST_TYPO and abs(len(word) - len(known)) < 2
    return long and word[0] == known[0] and one_edit(word, known)
