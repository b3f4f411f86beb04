"""What is promised about label sets and thresholds holds, over many calibration sets."""

from __future__ import annotations

import numpy as np
import pytest

from residency.errors import EvaluationError
from residency.evaluate.calibration.conformal import coverage_of, fit_label_sets
from residency.evaluate.calibration.selective import augrc, choose_threshold
from residency.records import Example, Prediction, Split, TaskKind

LABELS = 6


def names(codes):
    return [f"p{code}" for code in codes]


def world(rng, patients, cases=1):
    """Cases with label chances that a system knows only roughly; cases of a patient have the same gold label."""
    rows = np.repeat(np.arange(patients), cases)
    odds = rng.normal(size=(patients, LABELS))[rows] * 2
    gold = (odds + rng.gumbel(size=(patients, LABELS))[rows]).argmax(axis=1)
    said = np.exp(odds + rng.normal(size=odds.shape))
    said /= said.sum(axis=1, keepdims=True)
    examples = [
        Example(
            id=f"e{i}", task="t", kind=TaskKind.CLASSIFY, messages=(), answer=f"l{g}", gold=f"l{g}",
            patient=f"p{rows[i]}", split=Split.TEST,
        )
        for i, g in enumerate(gold)
    ]  # fmt: skip
    return examples, [
        Prediction(
            id=f"r{i}", example=f"e{i}", task="t", system="s", output="x", value=f"l{row.argmax()}",
            confidence=float(row.max()), probabilities={f"l{k}": float(p) for k, p in enumerate(row)},
        )
        for i, row in enumerate(said)
    ]  # fmt: skip


@pytest.mark.parametrize("cases", [1, 3])
def test_label_sets_hold_the_gold_label_as_often_as_stated_and_inside_the_band(cases):
    rng, runs = np.random.default_rng(1), 60
    covered, inside = [], 0
    test = world(rng, 1_500)
    for run in range(runs):
        sets = fit_label_sets(*world(rng, 60, cases), coverage=0.9, seed=run)
        found = coverage_of(sets, *test)
        covered.append(found.coverage.value)
        inside += sets.band[0] <= found.coverage.value <= sets.band[1]
    # 55 of 60 patients: the mean true coverage is 55 / 61; its standard error over the runs is about 0.005.
    assert np.mean(covered) == pytest.approx(55 / 61, abs=0.017)
    assert inside / runs >= 0.87


def test_the_band_for_few_test_cases_holds_95_of_100_measured_coverages():
    rng, runs, inside = np.random.default_rng(2), 150, 0
    for run in range(runs):
        found = coverage_of(fit_label_sets(*world(rng, 40), seed=run), *world(rng, 50))
        inside += found.band[0] <= found.coverage.value <= found.band[1]
    assert inside / runs >= 0.9


def test_too_few_patients_give_sets_of_every_label_and_it_is_said():
    rng = np.random.default_rng(3)
    sets = fit_label_sets(*world(rng, 8), coverage=0.9)
    assert "8 patients are too few" in sets.note
    found = coverage_of(sets, *world(rng, 10))
    assert (found.coverage.value, found.size, found.inside) == (1.0, LABELS, True)
    with pytest.raises(EvaluationError, match="between 0 and 1"):
        fit_label_sets(*world(rng, 8), coverage=1.0)


def test_a_label_that_the_system_does_not_know_is_not_covered():
    rng = np.random.default_rng(4)
    examples, predictions = world(rng, 40)
    strangers = [Example(**{k: getattr(e, k) for k in e.__dataclass_fields__} | {"gold": "new"}) for e in examples]
    assert coverage_of(fit_label_sets(examples, predictions), strangers, predictions).coverage.value == 0
    assert fit_label_sets(strangers, predictions).quantile == 1.0  # no gold label has any probability


@pytest.mark.parametrize("cases", [1, 3])
def test_the_chosen_threshold_keeps_its_risk_as_often_as_promised(cases):
    rng, runs, broken, given = np.random.default_rng(5), 200, 0, 0
    fresh = rng.beta(5, 1.2, size=200_000)
    for _ in range(runs):
        # Patients share their luck: all cases of one are right, or wrong, together in half of the patients.
        sure = rng.beta(5, 1.2, size=300 * cases)
        patients = np.repeat(np.arange(300), cases)
        luck = np.where(rng.random(300) < 0.5, rng.random(300), np.nan)[patients]
        draw = np.where(np.isnan(luck), rng.random(len(sure)), luck)
        found = choose_threshold(sure, draw < sure**0.5, names(patients), risk=0.1, doubt=0.05)
        if found.threshold is not None:
            given += 1
            answered = fresh[fresh >= found.threshold]
            broken += 1 - (answered**0.5).mean() > 0.1
    assert broken / runs <= 0.05 + 0.046  # three standard errors
    assert given / runs > 0.8  # and it is of use


def test_a_threshold_needs_proof():
    few = choose_threshold([0.9] * 20, [True] * 20, names(range(20)), risk=0.05)
    assert few.threshold is None and "20 cases of 20 patients do not show" in few.note
    assert not few.answers(1.0)
    many = choose_threshold([0.9] * 120 + [0.5] * 40, [True] * 120 + [False] * 40, names(range(160)), risk=0.05)
    assert (many.threshold, many.coverage) == (0.9, 0.75)
    assert many.answers(0.9) and not many.answers(0.8) and not many.answers(None)
    one = choose_threshold([0.9] * 80, [True] * 80, ["p"] * 80, risk=0.05)
    assert one.threshold is None  # eighty cases of one patient are one


def test_the_generalized_area_of_a_known_table():
    # Errors among the first 1, 2, 3, 4 cases: 0, 0, 1, 2, each of 4 cases, mean over 4.
    assert augrc([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]) == pytest.approx((0 + 0 + 1 + 2) / 16)
