"""What the model sees of an example: its tokens, one by one, and which of them are learned.

In: samples and a tokenizer. Out: ``Shown`` samples: pieces of text that people can read.

Covers: special tokens by their name, white space and control characters made visible, characters that take several
tokens. Does not cover: colors (the command line's).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from residency.tune.render import Sample

BROKEN = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4  # bytes of a character in UTF-8, and so tokens of one byte each


@dataclass(frozen=True, slots=True)
class Piece:
    """One token, or the few that make one character together."""

    text: str
    special: bool
    learned: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """One sample for people."""

    sample: Sample
    pieces: tuple[Piece, ...]


def show(samples: Sequence[Sample], tokenizer: Any, control: Sequence[int], *, count: int) -> list[Shown]:
    """The first ``count`` samples, the tasks in turn. ``control`` are the ids of the chat template's own tokens."""
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    in_turn = (sample for row in zip_longest(*by_task.values()) for sample in row if sample is not None)
    special = frozenset(control) | frozenset(getattr(tokenizer, "all_special_ids", ()))
    return [
        Shown(sample, tuple(_pieces(sample, tokenizer, special)))
        for sample, _ in zip(in_turn, range(count), strict=False)
    ]


def _pieces(sample: Sample, tokenizer: Any, special: frozenset[int]) -> Iterator[Piece]:
    for learned, ids in ((False, sample.ids[: sample.first]), (True, sample.ids[sample.first :])):
        for group in _characters(ids, tokenizer, special):
            if group[0] in special:
                yield Piece(str(tokenizer.convert_ids_to_tokens(group[0])), special=True, learned=learned)
            else:
                yield Piece(visible(_decode(tokenizer, group)), special=False, learned=learned)


def _characters(ids: Iterable[int], tokenizer: Any, special: frozenset[int]) -> Iterator[list[int]]:
    """Tokens, those that are part of one character together."""
    group: list[int] = []
    for number in ids:
        if number in special and group:
            yield group
            group = []
        group.append(number)
        if number in special or len(group) == LONGEST_CHARACTER or BROKEN not in _decode(tokenizer, group):
            yield group
            group = []
    if group:
        yield group


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def visible(text: str) -> str:
    """Line breaks with a mark before them, and other control characters as their escapes: a terminal obeys none."""
    return "".join("↵\n" if c == "\n" else c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
