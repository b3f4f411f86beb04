"""Left, right, both: the side that a text names for something.

In: a text and the place of a mention. Out: the ``Side`` that is said of it, or None.

Covers: side words right before a mention ("left-sided ptosis") and right after it ("ptosis on the left").
Does not cover: sides that another sentence names; upper and lower, proximal and distal (the terminology's concepts).
"""

from __future__ import annotations

import re
from enum import StrEnum

from residency.packs.words import word_set

WORDS_BEFORE, WORDS_AFTER = 3, 5  # how far from a mention its side may stand; chosen by us


class Side(StrEnum):
    """A side of the body."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"
    ONE = "one"  # unilateral; which is not said


_SIDES = {
    Side.LEFT: word_set("left leftward sinister"),
    Side.RIGHT: word_set("right rightward"),
    Side.BOTH: word_set("bilateral bilaterally bilat both"),
    Side.ONE: word_set("unilateral unilaterally unilat"),
}
_OF_WORD = {word: side for side, words in _SIDES.items() for word in words}
_LETTERS = {"L": Side.LEFT, "R": Side.RIGHT}  # capitals that stand alone
_PHRASES = (("both sides", Side.BOTH), ("b/l", Side.BOTH))
_WORD = re.compile(r"[^\W\d_]+")
_CLAUSE_END = re.compile(r"[,;:.()\n\r]|\b(?:and|but|with|or|no|without)\b", re.IGNORECASE)
# Words that lead from a mention to its side: "ptosis on the left", "tremor of the right hand".
_LEADS = word_set("on of in at the his her their to side sided more than worse affecting involving")


def side_of(text: str, start: int, end: int) -> Side | None:
    """The side that is said of the mention [start, end), by the words around it.

    A side word within the mention belongs to the concept ("bilateral tonic-clonic seizure").
    """
    return side_within(_before(text, start)) or _after(text, end)


def agree(claimed: Side, said: Side) -> bool:
    """Whether what is ``said`` bears out what is ``claimed``. A side that is not named fits the left and the right."""
    return claimed is said or (claimed is Side.ONE and said in (Side.LEFT, Side.RIGHT))


def side_within(text: str) -> Side | None:
    """The side that a piece of text names; left and right are both."""
    lowered = text.lower()
    for phrase, side in _PHRASES:
        if phrase in lowered:
            return side
    found = {_side(match.group()) for match in _WORD.finditer(text)} - {None}
    if {Side.LEFT, Side.RIGHT} <= found:
        return Side.BOTH
    return found.pop() if len(found) == 1 else None


def _before(text: str, start: int) -> str:
    """The words of the clause right before a mention."""
    head = text[max(0, start - 40) : start]
    ends = [match.end() for match in _CLAUSE_END.finditer(head)]
    words = list(_WORD.finditer(head, ends[-1] if ends else 0))[-WORDS_BEFORE:]
    return head[words[0].start() :] if words else ""


def _after(text: str, end: int) -> Side | None:
    """The side that follows a mention, over nothing but words that lead to it."""
    tail = text[end : end + 60]
    stop = _CLAUSE_END.search(tail)
    for match in list(_WORD.finditer(tail, 0, stop.start() if stop else len(tail)))[:WORDS_AFTER]:
        side = _side(match.group())
        if side is not None:
            return side
        if match.group().lower() not in _LEADS:
            return None
    return None


def _side(word: str) -> Side | None:
    return _OF_WORD.get(word.lower()) or _LETTERS.get(word)
