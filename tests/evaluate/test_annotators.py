"""Annotators beside each other, on answers whose agreement is known; the order by doubt, with its random share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.evaluate.annotators import agree_on_findings, agree_on_labels, agree_on_scale
from residency.evaluate.order import Known, in_order, worth


def finding(start, end, concept="HP:1", status="present"):
    return {"start": start, "end": end, "concept": concept, "label": concept, "status": status}


def test_labels_of_two_have_alpha_and_kappa():
    # Krippendorff 2011, example B; Cohen's kappa of the same table by hand: (0.6 - 0.5) / 0.5.
    one, two = "0100000000", "1110010100"
    said = {str(n): {"ann": a, "ben": b} for n, (a, b) in enumerate(zip(one, two, strict=True))}
    found = agree_on_labels(said)
    assert found.alpha == pytest.approx(0.095, abs=5e-4) and found.documents == 10
    assert [(p.first, p.second, p.documents) for p in found.pairs] == [("ann", "ben", 10)]
    assert found.pairs[0].kappa == pytest.approx(0.2)


def test_only_documents_that_two_have_read_count():
    found = agree_on_labels({"d-1": {"ann": "x"}, "d-2": {"ben": "y"}})
    assert (found.documents, found.alpha, list(found.pairs)) == (0, None, [])


def test_a_scale_forgives_a_step_more_than_two():
    scale = ("low", "middle", "high")
    near = {str(n): {"ann": "low", "ben": "middle"} for n in range(5)} | {"x": {"ann": "high", "ben": "high"}}
    far = {str(n): {"ann": "low", "ben": "high"} for n in range(5)} | {"x": {"ann": "middle", "ben": "middle"}}
    assert agree_on_scale(near, scale).alpha > agree_on_scale(far, scale).alpha


def test_findings_agree_by_place_concept_and_status():
    said = {
        "d-1": {"ann": [finding(0, 5), finding(9, 12)], "ben": [finding(0, 5), finding(9, 12, status="absent")]},
        "d-2": {"ann": [], "ben": []},
        "d-3": {"ann": [finding(0, 5)]},
    }
    [pair] = agree_on_findings(said).pairs
    assert pair.documents == 2
    assert pair.span_f1["span_f1"] == pytest.approx(0.5) and pair.span_f1["span_partial_f1"] == pytest.approx(1.0)
    assert agree_on_findings({"d": {"ann": [], "ben": []}}).pairs[0].span_f1 == {}


def test_doubt_comes_first_where_nothing_is_explored():
    sure = Known(id="sure", probabilities={"A": 0.99, "B": 0.01}, suggested=["A", "A"])
    torn = Known(id="torn", probabilities={"A": 0.5, "B": 0.5}, suggested=["A", "A"])
    split = Known(id="split", probabilities={"A": 0.5, "B": 0.5}, suggested=["A", "B"])
    assert [one.id for one in in_order([sure, torn, split], explore=1e-9, seed=1)] == ["split", "torn", "sure"]


def test_a_rare_class_is_worth_more_and_what_is_unknown_is_worth_a_look():
    frequent = {"A": 1.0, "B": 0.1}
    assert worth(Known(id="b", suggested=["B"]), frequent) > worth(Known(id="a", suggested=["A"]), frequent)
    assert worth(Known(id="?"), frequent) == 1.0


@given(st.integers(0, 60), st.floats(0.01, 1), st.integers(0, 99))
def test_every_document_comes_once_whatever_is_explored(count, explore, seed):
    documents = [Known(id=str(n), probabilities={"A": n / 60, "B": 1 - n / 60}) for n in range(count)]
    turns = in_order(documents, explore=explore, seed=seed)
    assert sorted(one.id for one in turns) == sorted(one.id for one in documents)
    assert [one.turn for one in turns] == list(range(count))
    assert turns == in_order(documents, explore=explore, seed=seed)


def test_the_random_share_is_a_random_sample():
    """Of the documents that came at random first, half are of each half of the doubt."""
    documents = [Known(id=f"{n:03}", probabilities={"A": n / 100, "B": 1 - n / 100}) for n in range(50)]
    sure = sum(
        next(one for one in in_order(documents, explore=0.3, seed=seed) if one.random).id < "025" for seed in range(400)
    )
    assert 160 < sure < 240
