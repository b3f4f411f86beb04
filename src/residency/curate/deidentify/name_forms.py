"""The forms in which a known name comes back.

In: certain names of one patient's documents. Out: ``KnownNames``, which says of a word whether it is one of them,
and how.

Covers: parts of names, halves of hyphenated ones, accents left out or spelled out ("Mueller"), plurals of a family,
short and pet forms (nicknames.py), one letter wrong, missing, doubled or exchanged with its neighbor, initials.
Does not cover: where in a text these may be believed (propagate.py).

One edit is asked of parts with at least five letters, and never makes a name of a word or of another name: "Gates"
must not swallow "gait", nor "Marie" "Maria".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import category, normalize

from residency.curate.deidentify.lexicon import Lexicon
from residency.curate.deidentify.nicknames import called
from residency.curate.deidentify.words import words

_PART = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_SPECIAL = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ß": "ss"})
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_LOOKALIKES = str.maketrans("013458", "oieasb")
_SHORTEST_PART = 3
SHORTEST_WITH_AN_ERROR, _LONGEST_WITH_AN_ERROR = 5, 40  # letters; no name is longer
_ABBREVIATIONS = words("abbreviations")


class Form(StrEnum):
    PART = "part"
    NICKNAME = "nickname"
    MISSPELLED = "misspelled"


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Small letters without accents throughout."""

    parts: dict[str, bool]  # part -> whether it is an ordinary word too
    nicknames: dict[str, bool]
    nearly: dict[str, tuple[str, ...]]  # a part less one letter -> the parts it may come from
    initials: frozenset[str]  # of whole names, two letters and more
    first_letters: frozenset[str]

    def form(self, word: str) -> tuple[Form, bool] | None:
        """How ``word``, folded, is a known name as it stands, and whether it is an ordinary word too."""
        if word in self.parts:
            return Form.PART, self.parts[word]
        if word in self.nicknames:
            return Form.NICKNAME, self.nicknames[word]
        return None

    def one_edit_away(self, word: str) -> bool:
        """Whether one letter more, less, other, or exchanged with its neighbor makes a known part of ``word``."""
        if not SHORTEST_WITH_AN_ERROR <= len(word) <= _LONGEST_WITH_AN_ERROR:
            return False
        candidates = set(self.nearly.get(word, ()))
        for shorter in _less_one_letter(word):
            candidates.update(self.nearly.get(shorter, ()))
            if shorter in self.parts and not self.parts[shorter] and len(shorter) >= SHORTEST_WITH_AN_ERROR:
                return True
        return any(_one_edit(word, part) for part in candidates)


def known_names(names: Iterable[str], lexicon: Lexicon) -> KnownNames:
    """What to look for, of ``names`` as they were written (in small letters)."""
    parts: dict[str, bool] = {}
    nicknames: dict[str, bool] = {}
    initials: set[str] = set()
    for name in names:
        ordered = _given_first(name)
        found = [part.removesuffix("'s") for part in _PART.findall(ordered)]
        for part in found:
            for form in _written_forms(part):
                if len(form) >= _SHORTEST_PART and not lexicon.is_particle(form):
                    parts[form] = lexicon.is_word(form)
            for nickname in called(fold(part)):
                nicknames[nickname] = lexicon.is_word(nickname) or len(nickname) <= _SHORTEST_PART
        initials |= _initials_of(found, lexicon)
    plurals = {part + "s": False for part, ordinary in parts.items() if not ordinary and len(part) > 4}
    parts = {**{p: o for p, o in plurals.items() if not lexicon.is_word(p)}, **parts}
    nearly: dict[str, list[str]] = {}
    for part, ordinary in parts.items():
        if SHORTEST_WITH_AN_ERROR <= len(part) <= _LONGEST_WITH_AN_ERROR and not ordinary:
            for shorter in {part, *_less_one_letter(part)}:
                nearly.setdefault(shorter, []).append(part)
    return KnownNames(
        parts=parts,
        nicknames={n: o for n, o in nicknames.items() if n not in parts},
        nearly={shorter: tuple(sorted(whole)) for shorter, whole in nearly.items()},
        initials=frozenset(i for i in initials if i not in _ABBREVIATIONS),
        first_letters=frozenset(part[0] for part in parts),
    )


def fold(word: str) -> str:
    """Small letters without accents."""
    folded = word.casefold()
    if folded.isascii():
        return folded
    return "".join(ch for ch in normalize("NFD", folded.translate(_SPECIAL)) if category(ch) != "Mn")


def without_lookalikes(word: str) -> str:
    """Digits read as the letters they look like: "R0bert"."""
    return fold(word).translate(_LOOKALIKES)


def _given_first(name: str) -> str:
    surname, comma, given = name.replace("^", ",", 1).replace("^", " ").partition(",")
    return f"{given} {surname}" if comma else name


def _written_forms(part: str) -> Iterator[str]:
    """The part, its halves, and both with accents spelled out."""
    halves = [half for half in re.split("['-]", part) if len(half) > _SHORTEST_PART] if "-" in part else []
    for piece in (part, *halves):
        yield fold(piece)
        if not piece.isascii():
            yield fold(piece.casefold().translate(_SPELLED_OUT))


def _initials_of(parts: list[str], lexicon: Lexicon) -> set[str]:
    """Of given name and surname; of all parts; with both halves of a double surname."""
    telling = [fold(part) for part in parts if not lexicon.is_particle(part)]
    if len(telling) < 2:
        return set()
    halves = "".join(half[0] for part in telling for half in part.split("-") if half)
    return {telling[0][0] + telling[-1][0], "".join(part[0] for part in telling), halves}


def _less_one_letter(word: str) -> Iterator[str]:
    return (word[:place] + word[place + 1 :] for place in range(len(word)))


def _one_edit(word: str, part: str) -> bool:
    """One letter inserted, left out, replaced, or two neighbors exchanged; the first letter holds unless exchanged."""
    if word == part or abs(len(word) - len(part)) > 1:
        return False
    if len(word) == len(part):
        different = [place for place, (a, b) in enumerate(zip(word, part, strict=True)) if a != b]
        exchanged = (
            len(different) == 2
            and different[1] == different[0] + 1
            and word[different[0]] == part[different[1]]
            and word[different[1]] == part[different[0]]
        )
        return exchanged or (len(different) == 1 and different[0] > 0)
    longer, shorter = (word, part) if len(word) > len(part) else (part, word)
    return any(longer[:place] + longer[place + 1 :] == shorter for place in range(1, len(longer)))
