"""A worst slice is one of several, and is not made worse than it is."""

from __future__ import annotations

import numpy as np
import pytest

from residency.evaluate.slices import ENOUGH, VALUES, own_slices, slice_scores, worst_slice
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
