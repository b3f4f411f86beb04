"""Overlapping findings: which of them stands.

In: spans of one text. Out: spans without overlap, sorted.

Covers: overlaps of any number of spans. Does not cover: whether a span is right.

The surer of two overlapping spans wins, and among equals the longer; scores count in tenths.
A finding that sticks out of a winner keeps the part that sticks out, if it holds a letter or digit.

A winner keeps its score, with one exception. Where two findings below ``CERTAIN`` take most of the same place for
different things, and one of them for a person, a place or an organization, the winner's score falls to
``DISPUTED``, so that whoever lists doubtful findings lists it. Numbers of one class taken for another are hidden
either way and raise no doubt, nor does a name inside an organization's. Findings that agree raise nothing: rules
read the same words, so their agreement is no second opinion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from residency.curate.deidentify.labels import Identifier as Id
from residency.records import Span

CERTAIN = 0.85  # found with this score or more, a finding leaves no doubt
DISPUTED = 0.58
_IN_WORDS = frozenset((Id.NAME, Id.LOCATION, Id.ORGANIZATION))


def resolve(text: str, spans: Iterable[Span]) -> list[Span]:
    """Non-overlapping spans that together cover every place that any of ``spans`` covers."""
    taken: list[Span] = []
    covered = bytearray(len(text))
    ranked = sorted(spans, key=_rank)
    for span in _disputed(ranked):
        for piece in _uncovered(span, covered):
            if any(map(str.isalnum, text[piece.start : piece.end])):
                taken.append(_trimmed(text, piece))
                covered[piece.start : piece.end] = b"\x01" * (piece.end - piece.start)
    return sorted(taken, key=lambda s: s.start)


def _rank(span: Span) -> tuple[float, int, int, float, str, str]:
    """The surer one first, in tenths; then the longer one; the rest makes the order of the input not matter."""
    return -round(span.score, 1), span.start - span.end, span.start, -span.score, span.label, span.found_by


def _disputed(ranked: Sequence[Span]) -> list[Span]:
    """``ranked`` in its order, with the scores of those whose place another class claims too."""
    doubtful = sorted((span for span in ranked if span.score < CERTAIN), key=lambda s: s.start)
    in_dispute: set[Span] = set()
    for index, span in enumerate(doubtful):
        for other in doubtful[index + 1 :]:
            if other.start >= span.end:
                break
            if _disagree(span, other):
                in_dispute.update((span, other))
    return [replace(span, score=min(span.score, DISPUTED)) if span in in_dispute else span for span in ranked]


def _disagree(one: Span, other: Span) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    longer = max(one.end - one.start, other.end - other.start)
    return one.label != other.label and bool({one.label, other.label} & _IN_WORDS) and shared * 2 > longer


def _uncovered(span: Span, covered: bytearray) -> list[Span]:
    """The stretches of ``span`` that no winner covers yet."""
    pieces = []
    start = covered.find(0, span.start, span.end)
    while start != -1:
        end = covered.find(1, start, span.end)
        end = span.end if end == -1 else end
        pieces.append(replace(span, start=start, end=end))
        start = covered.find(0, end, span.end)
    return pieces


def _trimmed(text: str, span: Span) -> Span:
    """Without blanks and separators at its ends."""
    start, end = span.start, span.end
    while start < end and text[start] in " \n\r,;|":
        start += 1
    while end > start and text[end - 1] in " \n\r,;|":
        end -= 1
    return replace(span, start=start, end=end)
