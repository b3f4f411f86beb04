"""Spans are matched as the field's packages match them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate.evaluator import Evaluator
from seqeval.metrics import f1_score

from residency.evaluate.metrics.spans import span_tallies

TOKENS, TAGS = 30, ("finding", "gene")


def spans(rng):
    """Spans on tokens that do not touch, in order."""
    found, at = [], 0
    while (at := at + int(rng.integers(1, 5))) < TOKENS - 3:
        end = at + int(rng.integers(1, 4))
        found.append((str(rng.choice(TAGS)), at, end))
        at = end
    return found


def disturbed(rng, gold):
    """The spans as a system might give them: some moved within their gap, some with another label, some left out."""
    said = []
    for label, start, end in gold:
        kind = rng.choice(["same", "shorter", "label", "missed"], p=[0.5, 0.2, 0.15, 0.15])
        if kind == "shorter":
            end = max(start + 1, end - 1)
        elif kind == "label":
            label = TAGS[1 - TAGS.index(label)]
        if kind != "missed":
            said.append((label, start, end))
    return said


def as_findings(places):
    return [{"concept": "", "label": label, "start": start, "end": end} for label, start, end in places]


def tags(places):
    line = ["O"] * TOKENS
    for label, start, end in places:
        line[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return line


def documents(seed, count=25):
    rng = np.random.default_rng(seed)
    gold = [spans(rng) for _ in range(count)]
    return [(one, disturbed(rng, one)) for one in gold]


def value(pairs, name):
    return span_tallies([(as_findings(gold), as_findings(said)) for gold, said in pairs])[name].value


@pytest.mark.parametrize("seed", range(3))
def test_strict_f1_equals_seqeval(seed):
    pairs = documents(seed)
    expected = f1_score([tags(gold) for gold, _ in pairs], [tags(said) for _, said in pairs])
    assert value(pairs, "span_f1") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "theirs"), [("span_f1", "strict"), ("span_partial_f1", "partial"), ("span_type_f1", "ent_type")]
)
def test_all_three_equal_nervaluate(seed, name, theirs):
    def listed(places):  # its ends are inclusive
        return [{"label": label, "start": start, "end": end - 1} for label, start, end in places]

    pairs = [(gold, said) for gold, said in documents(seed) if gold and said]
    evaluator = Evaluator([listed(g) for g, _ in pairs], [listed(s) for _, s in pairs], tags=list(TAGS), loader="dict")
    assert value(pairs, name) == pytest.approx(evaluator.evaluate()["overall"][theirs].f1, abs=1e-9)


def test_the_best_matching_is_taken_where_the_first_one_is_worse():
    gold, said = [("a", 0, 10), ("a", 10, 20)], [("a", 8, 12), ("a", 0, 10)]
    assert value([(gold, said)], "span_partial_f1") == pytest.approx(0.75)  # one equal, one half


def test_a_finding_without_a_place_counts_as_wrong_and_gold_without_one_is_not_measured():
    gold, said = as_findings([("a", 0, 5)]), as_findings([("a", 0, 5), ("b", None, None)])
    assert span_tallies([(gold, said)])["span_f1"].value == pytest.approx(2 / 3)
    assert span_tallies([(said, gold)]) == {}
    assert span_tallies([(gold, as_findings([("a", None, None)]))]) == {}
    assert span_tallies([(gold, None), (gold, gold)])["span_f1"].value == pytest.approx(2 / 3)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(1, 4)), max_size=6),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(1, 4)), max_size=6),
)
def test_credit_is_at_most_that_of_the_smaller_list_and_strict_is_the_least(gold, said):
    pair = [[(label, start, start + size) for label, start, size in places] for places in (gold, said)]
    found = span_tallies([(as_findings(pair[0]), as_findings(pair[1]))])
    for tally in found.values():
        assert 0 <= tally.parts[0, 0] <= min(tally.parts[0, 1:])
    if found:
        assert found["span_f1"].parts[0, 0] <= found["span_type_f1"].parts[0, 0]
