"""Maps make confidence honest, and are chosen on patients that they were not fitted on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from residency.errors import EvaluationError
from residency.evaluate.calibration.agreement import agreement
from residency.evaluate.calibration.event import logit
from residency.evaluate.calibration.logistic import auroc, calibration_slope, in_the_large
from residency.evaluate.calibration.maps import (
    ConfidenceMap,
    MapKind,
    cross_fitted,
    fit_isotonic,
    fit_map,
    fit_platt,
)
from residency.evaluate.calibration.reliability import Honesty, judge_confidence, reliability
from residency.evaluate.report.view import plain
from residency.records import Example, Prediction, Split, TaskKind


def names(codes):
    return [f"p{code}" for code in codes]


def world(seed, n, distort, kind=TaskKind.EXTRACT, cases_a_patient=1):
    """Answers that are right with a known chance; the system says a distorted one."""
    rng = np.random.default_rng(seed)
    true = rng.beta(4, 2, size=n)
    right = rng.random(n) < true
    gold = [{"concept": "A", "label": "a", "status": "present"}]
    examples = [
        Example(
            id=f"e{i}", task="t", kind=kind, messages=(), answer="a", gold=gold, patient=f"p{i // cases_a_patient}",
            split=Split.CALIBRATION,
        )
        for i in range(n)
    ]  # fmt: skip
    predictions = [
        Prediction(
            id=f"r{i}", example=f"e{i}", task="t", system="s", output="x", value=gold if hit else [],
            confidence=float(distort(chance)),
        )
        for i, (chance, hit) in enumerate(zip(true, right, strict=True))
    ]  # fmt: skip
    return examples, predictions


def sharper(chance):
    return expit(2.5 * logit(np.array(chance)) + 0.5)


def test_platt_equals_scikit_learn():
    rng = np.random.default_rng(0)
    sure = rng.beta(3, 1, size=300)
    right = rng.random(300) < sure**2
    found = fit_platt(sure, right)
    theirs = _SigmoidCalibration().fit(logit(sure), right)
    assert (found.slope, found.intercept) == pytest.approx((-theirs.a_, -theirs.b_), abs=1e-4)
    assert found.convert(sure) == pytest.approx(theirs.predict(logit(sure)), abs=1e-5)
    assert found.nll_after < found.nll_before


def test_isotonic_equals_scikit_learn_and_says_that_it_needs_more_cases():
    rng = np.random.default_rng(1)
    sure = rng.random(200)
    right = rng.random(200) < sure**2
    found = fit_isotonic(sure, right)
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(sure, right)
    grid = np.linspace(0, 1, 50)
    assert found.convert(grid) == pytest.approx(theirs.predict(grid), abs=1e-9)
    assert "200 cases" in found.note


@pytest.mark.parametrize("kind", [MapKind.PLATT, MapKind.ISOTONIC])
def test_a_map_makes_any_confidence_honest(kind):
    examples, predictions = world(12, 1_500, sharper)
    assert reliability(examples, predictions, draws=50).honesty is Honesty.OVERCONFIDENT
    found = fit_map(*world(3, 2_000, sharper), kind=kind)
    assert reliability(examples, [found.apply(p) for p in predictions], draws=50).honesty is Honesty.CALIBRATED


def test_the_map_is_chosen_by_cross_fitting_and_says_so():
    found = fit_map(*world(4, 400, sharper))
    assert found.kind is MapKind.PLATT  # no label probabilities, too few cases for isotonic
    assert "cross-fitting: platt" in found.note
    steps = fit_map(*world(5, 3_000, lambda chance: 0.2 if chance < 0.6 else 0.9 if chance < 0.8 else 0.3))
    assert steps.kind is MapKind.ISOTONIC or steps.nll_after < 0.7
    assert fit_map(*world(6, 50, lambda _: 0.7)).kind is MapKind.NONE  # confidence never varies


def test_without_any_confidence_nothing_is_mapped_and_it_is_said():
    examples, predictions = world(7, 20, float)
    found = fit_map(examples, [replace(p, confidence=None) for p in predictions])
    assert (found.kind, found.note) == (MapKind.NONE, "not calibrated: no answer has a confidence")


def test_cross_fitting_never_shows_a_map_the_patient_that_it_is_used_on(monkeypatch):
    examples, predictions = world(8, 60, sharper, cases_a_patient=3)
    honest = cross_fitted(examples, predictions, kind=MapKind.PLATT)
    # Turning one patient's outcomes around moves the others' confidences, not its own.
    turned = [replace(p, value=[] if p.value else examples[0].gold) for p in predictions[:3]]
    again = cross_fitted(examples, [*turned, *predictions[3:]], kind=MapKind.PLATT)
    assert [p.confidence for p in again[:3]] == [p.confidence for p in honest[:3]]
    assert [p.confidence for p in again[3:]] != [p.confidence for p in honest[3:]]


@pytest.mark.parametrize("kind", list(MapKind))
def test_a_map_survives_json_and_never_changes_an_answer(kind):
    examples, predictions = world(9, 1_100, sharper)
    found = fit_map(examples, predictions, kind=kind)
    again = ConfidenceMap.of(json.loads(json.dumps(plain(found))))
    assert again == found
    assert [again.apply(p) for p in predictions[:20]] == [found.apply(p) for p in predictions[:20]]
    assert [found.apply(p).value for p in predictions[:20]] == [p.value for p in predictions[:20]]


def test_confidence_that_points_the_wrong_way_is_left_alone_and_it_is_said():
    sure = np.linspace(0.1, 0.9, 60)
    found = fit_platt(sure, sure < 0.5)
    assert (found.kind, found.note) == (MapKind.NONE, "left alone: more confidence does not mean more right answers")
    with pytest.raises(EvaluationError, match="No case has a confidence"):
        fit_platt([], [])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
def test_platt_is_finite_and_rising_whatever_the_cases(cases):
    sure, right = [c for c, _ in cases], [r for _, r in cases]
    found = fit_platt(sure, right)
    if found.kind is MapKind.PLATT:
        mapped = found.convert(np.sort(np.array(sure)))
        assert ((mapped >= 0) & (mapped <= 1)).all() and (np.diff(mapped) >= -1e-12).all()


# --- clinicians' measures ---


def test_slope_and_intercept_equal_statsmodels_with_clustered_errors():
    rng = np.random.default_rng(10)
    patients = np.arange(240) // 3
    odds = rng.normal(size=240) * 2
    right = (rng.random(240) < expit(0.3 + 0.6 * odds + rng.normal(size=80)[patients])).astype(float)
    found = calibration_slope(odds, right, names(patients))
    options = {"cov_type": "cluster", "cov_kwds": {"groups": patients, "use_correction": False}}
    model = sm.GLM(right, sm.add_constant(odds), family=sm.families.Binomial()).fit(**options)
    error = model.bse[1] * np.sqrt(80 / 79)
    assert found.value == pytest.approx(model.params[1], abs=1e-6)
    assert found.high - found.value == pytest.approx(1.9904502 * error, rel=1e-5)
    large = in_the_large(odds, right, names(patients))
    fixed = sm.GLM(right, np.ones(240), family=sm.families.Binomial(), offset=odds).fit(**options)
    assert large.value == pytest.approx(fixed.params[0], abs=1e-6)


def test_auroc_equals_scikit_learn_and_its_interval_covers():
    rng, covered, runs = np.random.default_rng(11), 0, 400
    for _ in range(runs):
        right = np.repeat(rng.random(50) < 0.6, 2).astype(float)
        sure = np.round(expit(right + rng.normal(size=100)), 2)
        found = auroc(sure, right, names(np.arange(100) // 2))
        assert found.value == pytest.approx(roc_auc_score(right, sure), abs=1e-9)
        covered += found.low <= 0.7602 <= found.high  # Phi(1 / sqrt 2)
    assert 0.915 <= covered / runs <= 0.985
    assert np.isnan(auroc(np.array([0.2, 0.4]), np.ones(2), ["a", "b"]).value)


def test_an_honest_system_has_slope_one_and_intercept_zero():
    rng = np.random.default_rng(12)
    sure = rng.beta(4, 2, size=2_000)
    found = judge_confidence(sure, rng.random(2_000) < sure, names(range(2_000)), draws=50)
    assert found.slope.low < 1 < found.slope.high
    assert found.in_the_large.low < 0 < found.in_the_large.high
    assert found.debiased_ece < found.ece
    parts = found.murphy.reliability - found.murphy.resolution + found.murphy.uncertainty
    assert parts == pytest.approx(found.brier.value, abs=0.005)
    assert found.skill == pytest.approx(1 - found.brier.value / found.murphy.uncertainty)


def test_outcomes_that_are_all_alike_have_no_slope_and_it_is_said():
    found = judge_confidence([0.2, 0.9, 0.6], [True] * 3, names(range(3)), draws=50)
    assert np.isnan(found.slope.value) and "all alike" in found.slope.note
    assert found.skill is None


# --- asking several times ---


@pytest.mark.parametrize(
    ("samples", "answer", "share"),
    [
        (["ALS", "MS", "ALS"], "ALS", 2 / 3),
        (["ALS", None, None], "ALS", 1 / 3),
        ([None, None], None, 0.0),
        ([[{"a": 1, "b": 2}], [{"b": 2, "a": 1}], []], [{"a": 1, "b": 2}], 2 / 3),
        (["MS", "ALS"], "MS", 0.5),
    ],
)
def test_the_answer_of_most_samples_and_their_share(samples, answer, share):
    assert agreement(samples) == (answer, pytest.approx(share))
