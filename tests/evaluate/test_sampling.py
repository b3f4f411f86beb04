"""A sample drawn by risk estimates the rate over all without bias, and its interval holds what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import EvaluationError
from residency.evaluate.sampling import draw, estimate_rate, inclusion_probabilities, pick_copies

POPULATION, SAMPLE, RUNS = 600, 120, 400


def world(seed: int, *, wrong: float = 0.12, patients: int = 400):
    """Answers of patients; errors are likelier where the risk is high, as far as the risk knows."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(patients, size=POPULATION)
    risk = rng.beta(1, 4, size=POPULATION)
    chance = wrong * (0.4 + 3 * risk)
    errors = (rng.uniform(size=POPULATION) < chance).astype(float)
    return risk, errors, [f"p-{number}" for number in patient]


def judged(risk, errors, patients, seed, *, stop: int | None = None, random_share: float = 0.4):
    pi = inclusion_probabilities(risk, SAMPLE, random_share=random_share)
    drawn = draw([str(n) for n in range(len(risk))], pi, seed=seed)
    seen = [int(one.id) for one in drawn][:stop]
    return estimate_rate(
        errors[seen], pi[seen], [patients[n] for n in seen], drawn=len(drawn), population=len(risk)
    )  # fmt: skip


@pytest.mark.parametrize("stop", [None, 50])
def test_the_rate_over_these_answers_is_unbiased_and_covered(stop):
    risk, errors, patients = world(7)
    truth = errors.mean()
    rates = [judged(risk, errors, patients, seed, stop=stop) for seed in range(RUNS)]
    error = np.std([r.these.value for r in rates]) / np.sqrt(RUNS)
    assert abs(np.mean([r.these.value for r in rates]) - truth) < 4 * error + 0.002
    totals = np.array([r.total for r in rates])
    assert abs(totals.mean() - errors.sum()) < 4 * totals.std() / np.sqrt(RUNS)  # Horvitz-Thompson is exact
    assert np.mean([r.these.low <= truth <= r.these.high for r in rates]) > 0.92


def test_risk_makes_the_estimate_of_rare_errors_sharper():
    risk, errors, patients = world(3, wrong=0.05)
    risk = np.where(errors == 1, 0.9, risk)  # a risk that knows something
    by_risk = np.std([judged(risk, errors, patients, seed).these.value for seed in range(300)])
    at_random = np.std([judged(risk, errors, patients, seed, random_share=1.0).these.value for seed in range(300)])
    assert by_risk < 0.8 * at_random


@pytest.mark.parametrize(("wrong", "patients"), [(0.12, 400), (0.02, 400), (0.12, 60)])
def test_the_rate_for_new_patients_is_covered(wrong, patients):
    truth = wrong * (0.4 + 3 * 0.2)  # the mean of beta(1, 4) is 0.2
    rates = [judged(*world(seed, wrong=wrong, patients=patients), seed) for seed in range(RUNS)]
    assert abs(np.mean([r.new.value for r in rates]) - truth) < 0.006
    assert np.mean([r.new.low <= truth <= r.new.high for r in rates]) > 0.92


def test_whoever_looks_at_all_knows():
    _, errors, patients = world(1)
    all_seen = estimate_rate(errors, np.ones(POPULATION), patients, drawn=POPULATION, population=POPULATION)
    assert all_seen.these.low == all_seen.these.high == pytest.approx(errors.mean())
    assert all_seen.new.low < errors.mean() < all_seen.new.high


def test_no_error_in_a_sample_is_no_proof_that_there_is_none():
    rate = estimate_rate([0.0] * 50, [0.2] * 50, [f"p-{n}" for n in range(50)], drawn=50, population=250)
    assert rate.these.value == 0 and 0.03 < rate.these.high < rate.new.high < 0.1


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 70), st.floats(0.05, 1), st.integers(0, 1_000)
)
def test_probabilities_are_such_and_the_sample_has_its_size(risks, count, random_share, seed):
    pi = inclusion_probabilities(risks, count, random_share=random_share)
    size = min(count, len(risks))
    assert pi.sum() == pytest.approx(size) and (pi > 0).all() and (pi <= 1 + 1e-12).all()
    drawn = draw([str(n) for n in range(len(risks))], pi, seed=seed)
    assert len({one.id for one in drawn}) == len(drawn) == size
    assert [one.turn for one in drawn] == list(range(size))
    assert {str(n) for n in np.flatnonzero(pi >= 1)} <= {one.id for one in drawn}
    assert drawn == draw([str(n) for n in range(len(risks))], pi, seed=seed)


def test_each_answer_is_drawn_as_often_as_its_probability_says():
    risks = np.linspace(0, 1, 30)
    pi = inclusion_probabilities(risks, 10, random_share=0.3)
    seen = np.zeros(30)
    for seed in range(2_000):
        seen[[int(one.id) for one in draw([str(n) for n in range(30)], pi, seed=seed)]] += 1
    assert np.abs(seen / 2_000 - pi).max() < 4.5 * np.sqrt(0.25 / 2_000)


def test_copies_are_of_the_sample_and_no_more_than_it_has():
    drawn = draw([str(n) for n in range(10)], np.full(10, 0.5), seed=1)
    copies = pick_copies(drawn, 3, seed=1)
    assert len(set(copies)) == 3 and set(copies) <= {one.id for one in drawn}
    assert len(pick_copies(drawn, 99, seed=1)) == len(drawn)


def test_bad_input_is_named():
    with pytest.raises(EvaluationError, match="never looked at"):
        inclusion_probabilities([1.0], 1, random_share=0)
    with pytest.raises(EvaluationError, match="from 0 up"):
        inclusion_probabilities([-1.0, float("nan")], 1, random_share=1)
    with pytest.raises(EvaluationError, match="Nobody has judged"):
        estimate_rate([], [], [], drawn=3, population=9)
