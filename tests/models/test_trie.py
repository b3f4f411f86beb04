"""A trie holds every option once and loses none."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from residency.models.trie import ROOT, Trie, build_trie, tries_of

END = 9
option_lists = st.lists(st.lists(st.integers(0, 2), max_size=4).map(lambda ids: [*ids, END]), min_size=1, max_size=12)


def spelled(trie: Trie, number: int) -> list[int]:
    """The tokens of an option, read back from the nodes above its last step."""
    last = trie.paths[number][-1]
    tokens, node = [last.token], last.node
    while node != ROOT:
        tokens.append(trie.tokens[node])
        node = trie.parents[node]
    return tokens[::-1]


@settings(max_examples=40)
@given(option_lists, st.integers(1, 8))
def test_every_option_is_spelled_once_however_the_set_is_split(options: list[list[int]], most: int) -> None:
    found = {}
    for trie in tries_of(options, most_nodes=most):
        for number, option in enumerate(trie.options):
            assert option not in found
            found[option] = spelled(trie, number)
            assert [step.token for step in trie.paths[number]] == options[option]
    assert [found[i] for i in range(len(options))] == options


@settings(max_examples=40)
@given(option_lists)
def test_a_shared_beginning_is_one_node(options: list[list[int]]) -> None:
    trie = build_trie(options, range(len(options)))
    beginnings = {tuple(option[:end]) for option in options for end in range(1, len(option))}
    assert len(trie.tokens) == len(beginnings)


@settings(max_examples=40)
@given(option_lists)
def test_a_node_sees_itself_and_the_nodes_above_it(options: list[list[int]]) -> None:
    trie = build_trie(options, range(len(options)))
    for node, row in enumerate(trie.ancestors()):
        above = {node}
        while trie.parents[min(above)] != ROOT:
            above.add(trie.parents[min(above)])
        assert {other for other, seen in enumerate(row) if seen} == above
        assert trie.depths[node] == len(above) - 1


@settings(max_examples=40)
@given(option_lists, st.integers(1, 8))
def test_no_trie_outgrows_the_limit_unless_one_option_does(options: list[list[int]], most: int) -> None:
    for trie in tries_of(options, most_nodes=most):
        assert len(trie.tokens) <= max(most, max(len(options[i]) for i in trie.options))
