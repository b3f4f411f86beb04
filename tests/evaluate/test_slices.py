"""A worst slice is one of several, and is not made worse than it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.evaluate.assessment import Assess, in_slices
from residency.evaluate.slices import (
    BINS,
    ENOUGH,
    FEWEST_PATIENTS,
    NOT_GIVEN,
    VALUES,
    in_bins,
    own_slices,
    slice_scores,
    without_high_age,
    worst_slice,
)
from residency.records import Example, Prediction, Split, TaskKind


def answers(right, kind=TaskKind.CLASSIFY, labels=None):
    labels = labels or ["ALS"] * len(right)
    examples = [
        Example(
            id=f"e{i}", task="t", kind=kind, messages=(), answer=label, gold=label, patient=f"p{i}", split=Split.TEST
        )
        for i, label in enumerate(labels)
    ]
    return examples, [
        Prediction(id=f"r{i}", example=f"e{i}", task="t", system="s", output="x", value=labels[i] if hit else "other")
        for i, hit in enumerate(right)
    ]


def worst(right, sites):
    return worst_slice(*answers(right), {"site": sites}, "accuracy", draws=200, seed=0)


def test_the_interval_of_the_worst_slice_holds_although_it_was_picked():
    rng, runs, picked, alone = np.random.default_rng(1), 80, 0, 0
    sites = [f"s{i % 8}" for i in range(320)]
    for _ in range(runs):
        right = rng.random(320) < 0.8  # all eight sites are equally good
        found = worst(right, sites)
        picked += found.low <= 0.8 <= found.high
        [score] = [
            one.score
            for one in slice_scores(*answers(right), {"site": sites}, draws=200)
            if one.value == found.value and one.score.metric == "accuracy"
        ][:1]
        alone += score.low <= 0.8 <= score.high
    assert picked / runs >= 0.95 - 0.073
    assert alone / runs < picked / runs  # the plain interval of a picked slice fails more often


def test_a_slice_of_few_cases_and_a_slice_of_all_are_no_worst_slice():
    right = [False] * (ENOUGH - 1) + [True] * 40
    found = worst(right, ["few"] * (ENOUGH - 1) + ["a"] * 20 + ["b"] * 20)
    assert (found.measured, found.of) == (1.0, 2)
    assert worst([True] * 30, ["all"] * 30) is None
    assert worst_slice(*answers([True] * 3), {}, "accuracy", draws=200, seed=0) is None


def test_every_case_is_in_one_value_of_every_slice():
    examples, predictions = answers([True, False] * 30)
    slices = {"site": ["a", "b", "c"] * 20, "age": ["old"] * 60}
    scores = slice_scores(examples, predictions, slices, draws=200)
    for name in slices:
        assert sum(one.score.n for one in scores if one.slice == name and one.score.metric == "accuracy") == 60


def test_what_has_too_many_values_shows_the_most_frequent_ones():
    values = ["often"] * 5 + [f"v{i}" for i in range(VALUES + 20)]
    scores = slice_scores(*answers([True] * len(values)), {"id": values}, draws=200)
    assert len({one.value for one in scores}) == VALUES
    assert scores[0].value == "often"


def test_length_and_label_frequency_need_no_naming():
    labels = ["common"] * 40 + ["middle"] * 8 + ["rare"] * 2
    examples, _ = answers([True] * 50, labels=labels)
    found = own_slices(examples, ["word " * (i + 1) for i in range(50)])
    assert set(found["label_frequency"]) == {"more than 20 cases", "6 to 20 cases", "up to 5 cases"}
    assert [found["length"].count(name) for name in ("short", "middle", "long")] == pytest.approx([17, 16, 17], abs=1)
    assert "length" not in own_slices(examples, [None] * 50)
    assert "length" not in own_slices(examples[:20], ["word"] * 20)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.integers(0, 120).map(str), st.just("")), min_size=1, max_size=60))
def test_numbers_keep_their_order_in_bins_and_outer_bins_are_open(values):
    found = in_bins(values)
    assert len(found) == len(values)
    given_ = [(float(value), name) for value, name in zip(values, found, strict=True) if value]
    assert {name for value, name in zip(values, found, strict=True) if not value} <= {NOT_GIVEN}
    ordered = list(dict.fromkeys(name for _, name in sorted(given_)))
    assert sum(a != b for (_, a), (_, b) in pairwise(sorted(given_))) == max(len(ordered) - 1, 0)  # one run each
    if len({value for value, _ in given_}) > 6:
        assert len(ordered) <= BINS
        highest = max(value for value, _ in given_)
        assert all(name.startswith("below") or "and above" in name or "to below" in name for _, name in given_)
        assert f"{highest:g} to" not in " ".join(ordered)


def test_few_values_and_words_are_slices_as_they_are():
    assert in_bins(["1", "2", "", "1"]) == ["1", "2", NOT_GIVEN, "1"]
    assert in_bins([*map(str, range(20)), "unknown"]) == [*map(str, range(20)), "unknown"]


@pytest.mark.parametrize(("cell", "kept"), [("93", "90"), ("89", "89"), ("90", "90"), ("", ""), ("site 93", "site 93")])
def test_a_high_age_is_not_kept(cell, kept):
    assert without_high_age(cell) == kept


def test_of_a_slice_of_few_patients_only_the_size_is_told():
    few = FEWEST_PATIENTS - 1
    right = [False] * (3 * few) + [True] * 60
    examples, predictions = answers(right)
    examples = [replace(e, patient=f"p{i % few}" if i < 3 * few else e.patient) for i, e in enumerate(examples)]
    sites = ["small"] * (3 * few) + ["large"] * 60
    found = in_slices(examples, predictions, {"site": sites}, "accuracy", Assess(draws=200))
    small = found["matrix"]["site"]["small"]["accuracy"]
    assert small == {"value": None, "low": None, "high": None, "n": 3 * few, "patients": few}
    assert found["matrix"]["site"]["large"]["accuracy"]["value"] == 1
    assert (found["worst"].value, 3 * few >= ENOUGH) == ("large", True)  # not the small one, which is worse
