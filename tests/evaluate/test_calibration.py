"""A confidence is judged by what came true, and chance is not taken for dishonesty."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from residency.errors import EvaluationError
from residency.evaluate.calibration.maps import HOTTEST, IDENTITY, fit_temperature
from residency.evaluate.calibration.reliability import (
    Honesty,
    expected_calibration_error,
    judge_confidence,
    null_band,
    reliability,
)
from residency.evaluate.calibration.selective import aurc, selective
from residency.records import Example, Prediction, Split, TaskKind


def names(n):
    return [f"p{i}" for i in range(n)]


def world(seed, n, heat, labels=5):
    """Cases whose true label chances are known; the system reports them at ``heat`` times the right temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, labels)) * 2
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = np.exp(logits / heat) / np.exp(logits / heat).sum(axis=1, keepdims=True)
    gold = [rng.choice(labels, p=row) for row in true]
    examples = [
        Example(
            id=f"e{i}", task="t", kind=TaskKind.CLASSIFY, messages=(), answer=f"l{g}", gold=f"l{g}",
            patient=f"p{i}", split=Split.CALIBRATION,
        )
        for i, g in enumerate(gold)
    ]  # fmt: skip
    return examples, [prediction(i, {f"l{k}": float(p) for k, p in enumerate(row)}) for i, row in enumerate(said)]


def prediction(number, probabilities):
    best = max(probabilities, key=lambda label: probabilities[label])
    return Prediction(
        id=f"r{number}", example=f"e{number}", task="t", system="tuned", output=best, value=best,
        confidence=probabilities[best], probabilities=probabilities,
    )  # fmt: skip


@pytest.mark.parametrize("heat", [0.4, 1.0, 2.5])
def test_the_temperature_of_the_world_is_recovered(heat):
    found = fit_temperature(*world(1, 3_000, heat))
    assert found.temperature == pytest.approx(1 / heat, rel=0.06)
    assert found.nll_after <= found.nll_before
    assert found.note == ""


def test_calibration_repairs_confidence_and_leaves_answers_alone():
    examples, predictions = world(2, 1_200, 0.4)
    assert reliability(examples, predictions).honesty is Honesty.OVERCONFIDENT
    map_ = fit_temperature(*world(3, 400, 0.4))
    repaired = [map_.apply(one) for one in predictions]
    after = reliability(examples, repaired)
    assert after.honesty is Honesty.CALIBRATED
    assert after.ece <= after.null_band[1]
    assert [one.value for one in repaired] == [one.value for one in predictions]
    assert all(math.isclose(sum(one.probabilities.values()), 1) for one in repaired)
    assert all(one.confidence == max(one.probabilities.values()) for one in repaired)


def test_too_little_confidence_is_seen_too():
    assert reliability(*world(4, 1_200, 3.0)).honesty is Honesty.UNDERCONFIDENT


def test_a_temperature_that_cannot_be_known_stays_at_one_and_it_is_said():
    examples, predictions = world(5, 40, 1.0)
    right = [replace(e, gold=p.value) for e, p in zip(examples, predictions, strict=True)]
    unknown = [replace(e, gold="never seen") for e in examples]
    for cases, said in ((right, "40 are right"), (unknown, "0 have a probability"), (examples[:1], "of 1 cases")):
        found = fit_temperature(cases, predictions[: len(cases)])
        assert found.temperature == 1.0
        assert said in found.note
    bare = [replace(p, probabilities={}) for p in predictions]
    assert fit_temperature(examples, bare).temperature == 1.0
    assert IDENTITY.apply(bare[0]) == bare[0]
    assert IDENTITY.apply(predictions[0]).confidence == pytest.approx(predictions[0].confidence)


def test_labels_outside_the_set_are_left_out_of_the_fit_and_it_is_said():
    examples, predictions = world(6, 200, 1.0)
    examples[0] = replace(examples[0], gold="never seen")
    assert "1 cases without a probability" in fit_temperature(examples, predictions).note


def test_a_system_beyond_repair_ends_at_the_border_and_it_is_said():
    examples, predictions = world(7, 60, 1.0)
    liars = [
        replace(e, gold=min(p.probabilities, key=p.probabilities.get))
        for e, p in zip(examples, predictions, strict=True)
    ]
    liars[0] = replace(examples[0], gold=predictions[0].value)
    found = fit_temperature(liars, predictions)
    assert found.temperature == pytest.approx(HOTTEST, rel=0.01)
    assert "end of the searched range" in found.note


def test_probabilities_that_are_no_distribution_are_refused():
    examples, predictions = world(8, 3, 1.0)
    broken = [replace(p, probabilities={**p.probabilities, "l0": 0.9}) for p in predictions]
    with pytest.raises(EvaluationError, match=r"e0 are not a distribution"):
        fit_temperature(examples, broken)
    fewer = [replace(predictions[0], probabilities={"l0": 0.5, "l1": 0.5}), *predictions[1:]]
    with pytest.raises(EvaluationError, match="2 to 5 labels"):
        fit_temperature([replace(examples[0], gold="l0"), *examples[1:]], fewer)


def test_the_ece_of_a_known_table():
    # Thirty cases in fifteen bins of two; confidence 0.8 throughout shares one bin: |18/30 - 0.8|.
    assert expected_calibration_error([0.8] * 30, [True] * 18 + [False] * 12) == pytest.approx(0.2)
    # Two levels that cancel in the mean do not cancel in the ECE.
    assert expected_calibration_error([0.9] * 15 + [0.1] * 15, [False] * 15 + [True] * 15) == pytest.approx(0.9)


def test_bins_have_equal_mass():
    rng = np.random.default_rng(0)
    found = judge_confidence(rng.random(150), rng.random(150) < 0.5, names(150))
    assert [one.n for one in found.bins] == [10] * 15
    assert sum(one.n for one in judge_confidence([0.3] * 7, [True] * 7, names(7)).bins) == 7


def test_brier_and_log_loss_equal_scikit_learn():
    rng = np.random.default_rng(1)
    sure, right = rng.random(80), rng.random(80) < 0.6
    found = judge_confidence(sure, right, names(80))
    assert found.brier.value == pytest.approx(brier_score_loss(right, sure), abs=1e-9)
    assert found.log_loss.value == pytest.approx(log_loss(right, sure), abs=1e-9)
    assert found.brier.low < found.brier.value < found.brier.high


@pytest.mark.parametrize("n", [40, 150])
def test_honest_systems_are_called_dishonest_one_time_in_twenty(n):
    rng, runs, alarms = np.random.default_rng(2), 500, 0
    for run in range(runs):
        sure = rng.beta(5, 2, size=n)
        found = judge_confidence(sure, rng.random(n) < sure, names(n), seed=run, draws=20)
        alarms += found.honesty is not Honesty.CALIBRATED
    assert 0.021 <= alarms / runs <= 0.079  # three standard errors of the simulation


def test_the_null_band_shrinks_with_cases_and_repeats():
    sure = np.random.default_rng(3).random(400)
    assert null_band(sure)[1] < null_band(sure[:40])[1]
    assert null_band(sure, seed=5) == null_band(sure, seed=5)


def test_unread_answers_are_counted_and_kept_out():
    examples, predictions = world(9, 20, 1.0)
    unread = [replace(predictions[0], value=None), *predictions[1:]]
    found = reliability(examples, unread)
    assert (found.n, found.unscored) == (19, 1)


@pytest.mark.parametrize(
    ("confidence", "said"),
    [([], "No case has a confidence"), ([0.5, 1.2], "first at position 1"), ([math.nan], "position 0")],
)
def test_what_is_no_confidence_is_refused(confidence, said):
    with pytest.raises(EvaluationError, match=said):
        judge_confidence(confidence, [True] * len(confidence), names(len(confidence)))


def test_one_case_is_judged_without_intervals():
    found = judge_confidence([0.7], [True], ["p"])
    assert (found.n, found.brier.low) == (1, None)
    assert "bins of fewer than five" in found.note


def test_the_area_under_the_risk_coverage_curve_of_a_known_table():
    # Risks 0, 0, 1/3, 1/2 at coverage 1/4 to 1.
    assert aurc([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert aurc([0.5] * 4, [1, 1, 0, 0]) == pytest.approx(0.5)


def test_a_perfect_order_has_almost_no_excess():
    right = [True] * 700 + [False] * 300
    found = selective(np.linspace(1, 0, 1_000).tolist(), right, names(1_000))
    assert found.excess_aurc == pytest.approx(0, abs=2e-3)
    assert found.points[699].accuracy.value == 1.0
    assert found.points[-1].coverage == 1.0
    assert found.points[-1].accuracy.value == found.accuracy == 0.7


def test_coverage_points_of_a_known_table():
    found = selective([0.9, 0.5, 0.9, None], [True, False, False, True], ["a", "b", "c", "d"])
    assert [(p.threshold, p.coverage, p.accuracy.value) for p in found.points] == [
        (0.9, 0.5, 0.5),
        (0.5, 0.75, pytest.approx(1 / 3)),
    ]
    assert found.accuracy == 0.25  # without a confidence it is never answered


def test_the_area_has_an_interval_over_patients():
    rng = np.random.default_rng(0)
    sure = rng.beta(4, 2, size=150)
    right = rng.random(150) < sure
    alone = selective(sure.tolist(), right.tolist(), names(150), draws=300).aurc_interval
    assert alone.value == pytest.approx(aurc(sure, right))
    assert 0 <= alone.low < alone.value < alone.high <= 1
    # The same cases five times over: as many patients, and nothing new is known.
    five = selective(
        np.repeat(sure, 5).tolist(), np.repeat(right, 5).tolist(), np.repeat(names(150), 5).tolist(), draws=300
    ).aurc_interval
    assert (five.low, five.high) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert five.n == 750 and five.clusters == 150
    assert selective(sure.tolist(), right.tolist(), ["one"] * 150, draws=300).aurc_interval.low is None


@settings(max_examples=40, deadline=None)
@given(
    cases=st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=30),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_of_cases_does_not_matter(cases, shuffle):
    def measure(rows):
        sure, right = [row[0] for row in rows], [row[1] for row in rows]
        return expected_calibration_error(sure, right), aurc(sure, right), null_band(sure)[1]

    first = measure(cases)
    assert 0 <= first[0] <= 1
    assert 0 <= first[1] <= 1
    shuffle.shuffle(cases)
    second = measure(cases)
    assert second == pytest.approx(first)
