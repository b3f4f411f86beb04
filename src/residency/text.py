"""Spans of text, and where they go when the text is edited.

In: a text, and edits of it: [start, end) -> replacement.
Out: the new text, and an ``OffsetMap`` that carries spans from the old text to the new and back.

Covers: any number of non-overlapping edits; chains of edits (``then``); positions inside a replaced
part (they widen to the whole replacement, never shrink to nothing).
Does not cover: moving text from one place to another; that is a deletion and an insertion.

All offsets are half-open and count Unicode code points, as Python strings do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace ``text[start:end]`` with ``replacement``; ``start == end`` inserts."""

    start: int
    end: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of the old text and the stretch of the new text that it became."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int
    kept: bool  # True: copied unchanged, so positions inside it correspond one to one


@dataclass(frozen=True, slots=True)
class OffsetMap:
    """Carries spans over one or several rounds of edits. ``rounds`` are applied in order."""

    rounds: tuple[tuple[Piece, ...], ...] = ()

    def forward(self, start: int, end: int) -> tuple[int, int]:
        """The span of the new text that ``[start, end)`` of the old text became."""
        for pieces in self.rounds:
            start, end = _carry(pieces, start, end, forward=True)
        return start, end

    def backward(self, start: int, end: int) -> tuple[int, int]:
        """The span of the old text that ``[start, end)`` of the new text came from."""
        for pieces in reversed(self.rounds):
            start, end = _carry(pieces, start, end, forward=False)
        return start, end

    def then(self, later: OffsetMap) -> OffsetMap:
        """This map followed by ``later``."""
        return OffsetMap(self.rounds + later.rounds)


def apply_edits(text: str, edits: Iterable[Edit]) -> tuple[str, OffsetMap]:
    """The edited text and its map. Overlapping edits, or edits outside the text, are a ValueError."""
    ordered = sorted(edits)
    if not ordered:
        return text, OffsetMap()
    parts: list[str] = []
    pieces: list[Piece] = []
    old = new = 0
    for edit in ordered:
        if edit.start < old or edit.end < edit.start or edit.end > len(text):
            raise ValueError(f"edit [{edit.start}, {edit.end}) overlaps another or lies outside 0..{len(text)}")
        if edit.start > old:
            pieces.append(Piece(old, edit.start, new, new + edit.start - old, kept=True))
            parts.append(text[old : edit.start])
            new += edit.start - old
        pieces.append(Piece(edit.start, edit.end, new, new + len(edit.replacement), kept=False))
        parts.append(edit.replacement)
        old, new = edit.end, new + len(edit.replacement)
    if old < len(text):
        pieces.append(Piece(old, len(text), new, new + len(text) - old, kept=True))
        parts.append(text[old:])
    return "".join(parts), OffsetMap((tuple(pieces),))


def _carry(pieces: Sequence[Piece], start: int, end: int, *, forward: bool) -> tuple[int, int]:
    first = _target(pieces, start, forward=forward, at_end=False)
    last = first if end == start else _target(pieces, end, forward=forward, at_end=True)
    return first, max(first, last)


def _target(pieces: Sequence[Piece], position: int, *, forward: bool, at_end: bool) -> int:
    """Where one border of a span goes. A border inside a replaced piece goes to that piece's outer border."""
    starts = [p.old_start if forward else p.new_start for p in pieces]
    # A closing border belongs to the piece before it, an opening border to the piece after it.
    index = bisect_right(starts, position - 1 if at_end else position) - 1
    piece = pieces[max(index, 0)]
    from_start, to_start = (piece.old_start, piece.new_start) if forward else (piece.new_start, piece.old_start)
    to_end = piece.new_end if forward else piece.old_end
    if piece.kept:
        return min(to_start + position - from_start, to_end)
    return to_end if at_end else to_start
