"""A closed set of options as a token trie, so that shared beginnings are scored once.

In: token ids of every option, its end token included. Out: nodes in breadth of insertion (a parent comes before its
children), and for each option the path that its log-probability is summed over.

Covers: options that begin alike, options that are the beginning of another, equal options, large sets
(``tries_of`` splits them). Does not cover: probabilities; transformer.py has the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROOT = -1  # the prompt's last token


@dataclass(frozen=True, slots=True)
class Step:
    """One factor of an option's probability: ``token`` after ``node`` (``ROOT``: right after the prompt)."""

    node: int
    token: int


@dataclass(frozen=True, slots=True)
class Trie:
    """``tokens[i]`` follows node ``parents[i]``. ``options`` are positions in the caller's list."""

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]  # 0 for a child of the prompt
    options: tuple[int, ...]
    paths: tuple[tuple[Step, ...], ...]  # one for each of ``options``

    def ancestors(self) -> list[list[bool]]:
        """``[i][j]``: node j is node i or above it. Shape (nodes, nodes)."""
        table: list[list[bool]] = []
        for node, parent in enumerate(self.parents):
            row = list(table[parent]) if parent != ROOT else [False] * len(self.tokens)
            row[node] = True
            table.append(row)
        return table


def tries_of(options: Sequence[Sequence[int]], *, most_nodes: int) -> Iterator[Trie]:
    """Tries that hold every option once. A trie is closed when the next option could take it over ``most_nodes``."""
    order = sorted(range(len(options)), key=lambda index: tuple(options[index]))  # neighbors share beginnings
    group: list[int] = []
    size = 0
    for index in order:
        length = len(options[index])
        if group and size + length > most_nodes:
            yield build_trie(options, group)
            group, size = [], 0
        group.append(index)
        size = _nodes(options, group) if size + length > most_nodes // 2 else size + length
    if group:
        yield build_trie(options, group)


def build_trie(options: Sequence[Sequence[int]], group: Sequence[int]) -> Trie:
    """The trie of the options at the positions ``group``. The last token of an option is read, never fed."""
    children: dict[tuple[int, int], int] = {}
    parents: list[int] = []
    depths: list[int] = []
    paths = []
    for index in group:
        node, path = ROOT, []
        for depth, token in enumerate(options[index]):
            path.append(Step(node, token))
            if depth == len(options[index]) - 1:
                break
            if (node, token) not in children:
                children[node, token] = len(parents)
                parents.append(node)
                depths.append(depth)
            node = children[node, token]
        paths.append(tuple(path))
    tokens = tuple(token for _, token in children)
    return Trie(tokens, tuple(parents), tuple(depths), tuple(group), tuple(paths))


def _nodes(options: Sequence[Sequence[int]], group: Sequence[int]) -> int:
    return len({tuple(options[index][:end]) for index in group for end in range(1, len(options[index]))})
