"""Overlapping findings: which of them stands.

In: spans of one text. Out: spans without overlap, sorted.

Covers: overlaps of any number of spans. Does not cover: whether a span is right.

The surer of two overlapping spans wins, and among equals the longer; scores count in tenths.
A finding that sticks out of a winner keeps the part that sticks out, if it holds a letter or digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from residency.records import Span


def resolve(text: str, spans: Iterable[Span]) -> list[Span]:
    """Non-overlapping spans that together cover every place that any of ``spans`` covers."""
    taken: list[Span] = []
    covered = bytearray(len(text))
    for span in sorted(spans, key=lambda s: (-round(s.score, 1), s.start - s.end, s.start, s.label)):
        for piece in _uncovered(span, covered):
            if any(map(str.isalnum, text[piece.start : piece.end])):
                taken.append(_trimmed(text, piece))
                covered[piece.start : piece.end] = b"\x01" * (piece.end - piece.start)
    return sorted(taken, key=lambda s: s.start)


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
