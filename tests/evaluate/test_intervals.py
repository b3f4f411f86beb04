"""An interval holds what it promises, and says so where it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from residency.errors import EvaluationError
from residency.evaluate.intervals import (
    Bootstrap,
    Shape,
    Tally,
    bootstrap_interval,
    clopper_pearson,
    cluster_codes,
    cluster_sums,
    clustered_variance,
    effective_n,
    interval,
    korn_graubard,
    mean_interval,
    ratio,
    resample,
    share_interval,
    upper_bound,
    wilson,
)


def names(codes):
    return [f"p{code}" for code in codes]


def ratio_of_sums(sums):
    return ratio(sums[..., 0], sums[..., 1])


def correlated_answers(rng, share, correlation, patients, largest):
    """Right/wrong answers of patients with 1 to ``largest`` cases, beta-binomial, and the patient of each."""
    codes = np.repeat(np.arange(patients), rng.integers(1, largest + 1, size=patients))
    chances = np.full(patients, share)
    if correlation:
        weight = 1 / correlation - 1
        chances = rng.beta(share * weight, (1 - share) * weight, size=patients)
    return (rng.random(len(codes)) < chances[codes]).astype(float), names(codes)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 7), (81, 263), (15, 148), (999, 1000)])
def test_wilson_and_clopper_pearson_equal_statsmodels(right, n):
    assert wilson(right, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-9)
    assert clopper_pearson(right, n) == pytest.approx(proportion_confint(right, n, method="beta"), abs=1e-9)
    assert share_interval([1.0] * right + [0.0] * (n - right), names(range(n))).low == pytest.approx(
        proportion_confint(right, n, method="wilson")[0], abs=1e-9
    )


@pytest.mark.parametrize(("errors", "cases", "bound"), [(0, 299, 0.01), (1, 473, 0.01), (2, 628, 0.01), (0, 149, 0.02)])
def test_the_certified_number_of_cases_gives_the_certified_error_rate(errors, cases, bound):
    assert upper_bound(errors, cases) <= bound < upper_bound(errors, cases - 1)


def test_the_clustered_variance_of_a_known_table():
    # Patients (1, 1), (0, 0), (1): mean 0.6, sums of deviations 0.8, -1.2, 0.4; (0.64 + 1.44 + 0.16) * 3/2 / 25.
    codes, count = cluster_codes(["a", "a", "b", "b", "c"])
    scores = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    assert clustered_variance(scores, codes, count) == pytest.approx(2.24 * 1.5 / 25)
    assert effective_n(scores, codes, count) == pytest.approx(0.24 / (2.24 * 1.5 / 25))


def test_two_copies_of_every_case_tell_no_more_than_one():
    rng = np.random.default_rng(3)
    scores, patients = rng.integers(2, size=60).astype(float), list(range(60))
    once, twice = share_interval(scores, names(patients)), share_interval(np.tile(scores, 2), names(patients * 2))
    assert twice.n_eff == pytest.approx(59, rel=1e-9)
    assert twice.high - twice.low >= once.high - once.low


def test_korn_graubard_is_clopper_pearson_with_fewer_cases():
    scores, patients = np.tile([1.0] * 7 + [0.0] * 3, 2), names(list(range(10)) * 2)
    found = korn_graubard(scores, patients)
    n_eff = 9 * (2.0930240544 / 2.2621571628) ** 2  # effective 9; t for 19 and for 9 degrees of freedom
    assert found.n_eff == pytest.approx(n_eff, rel=1e-8)
    assert (found.low, found.high) == pytest.approx(proportion_confint(0.7 * n_eff, n_eff, method="beta"), abs=1e-7)


def test_all_right_counts_as_one_case_a_patient():
    found = share_interval([1.0] * 40, names([i // 4 for i in range(40)]))
    assert (found.value, found.high, found.n_eff) == (1.0, 1.0, 10.0)
    assert found.low < 0.75


@pytest.mark.parametrize("make", [share_interval, korn_graubard, mean_interval])
@pytest.mark.parametrize("scores", [[1.0], [1.0, 0.0, 1.0]])
def test_one_patient_has_no_interval_and_it_is_said(make, scores):
    found = make(scores, ["p"] * len(scores))
    assert (found.low, found.high, found.clusters) == (None, None, 1)
    assert "one patient" in found.note


@pytest.mark.parametrize(
    ("scores", "patients", "said"),
    [
        ([], [], "no cases"),
        ([1.0, math.nan, math.inf], ["a", "b", "c"], "2 cases are not finite, the first at position 1"),
        ([1.0], ["a", "b"], "1 scores came with 2 patients"),
    ],
)
@pytest.mark.parametrize("make", [share_interval, korn_graubard, mean_interval])
def test_what_cannot_be_averaged_is_an_error(make, scores, patients, said):
    with pytest.raises(EvaluationError, match=said):
        make(scores, patients)


def test_equal_values_take_the_widest_possible_interval_or_none():
    patients = names(range(20))
    assert mean_interval([0.5] * 20, patients).low is None
    wide = mean_interval([0.5] * 20, patients, ceiling=1.0)
    assert (wide.low, wide.high) == pytest.approx(wilson(10, 20))
    nothing = bootstrap_interval(np.tile([0.0, 2.0], (20, 1)), patients, ratio_of_sums, seed=0, ceiling=1.0)
    assert (nothing.low, nothing.high) == pytest.approx(wilson(0, 20))
    assert "widest possible" in nothing.note


def test_an_undefined_ratio_is_said():
    found = bootstrap_interval(np.zeros((5, 2)), names(range(5)), ratio_of_sums, seed=0)
    assert math.isnan(found.value)
    assert "not defined" in found.note


def test_undefined_resamples_are_left_out_and_said():
    parts = np.zeros((6, 2))
    parts[0] = [1, 2]
    parts[1] = [2, 2]
    found = bootstrap_interval(parts, names(range(6)), ratio_of_sums, seed=0)
    assert "resamples, left out" in found.note
    assert found.low <= 0.75 <= found.high


def test_cluster_sums_add_up_each_patient():
    codes, count = cluster_codes(["b", "a", "b"])
    assert cluster_sums(np.array([[1.0], [2.0], [4.0]]), codes, count).tolist() == [[2.0], [5.0]]


def test_sums_of_a_patient_are_the_same_to_the_last_bit_in_any_order():
    parts, codes = np.random.default_rng(6).random((40, 2)), np.zeros(40, dtype=np.intp)
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(parts)
        assert cluster_sums(shuffled, codes, 1)[:, 0].tolist() == cluster_sums(parts, codes, 1)[:, 0].tolist()


def test_resampling_in_pieces_is_resampling_at_once(monkeypatch):
    sums = np.random.default_rng(0).random((50, 2))
    whole = resample(sums, ratio_of_sums, seed=4, draws=64)
    monkeypatch.setattr("residency.evaluate.intervals.CHUNK", 50 * 8)
    assert resample(sums, ratio_of_sums, seed=4, draws=64).tolist() == pytest.approx(whole.tolist())


def test_the_bootstrap_of_a_mean_agrees_with_the_t_interval():
    rng = np.random.default_rng(8)
    scores, patients = rng.beta(4, 2, size=300), names(rng.integers(120, size=300))
    expected = mean_interval(scores, patients)
    for kind in Bootstrap:
        parts = np.column_stack([scores, np.ones(300)])
        found = bootstrap_interval(parts, patients, ratio_of_sums, seed=1, kind=kind, draws=4_000)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)


@settings(max_examples=60, deadline=None)
@given(
    cases=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6)), min_size=1, max_size=30),
    shape=st.sampled_from(Shape),
    shuffle=st.randoms(use_true_random=False),
)
def test_an_interval_contains_its_value_and_does_not_know_the_order_of_cases(cases, shape, shuffle):
    def measure(rows):
        scores = np.array([score for score, _ in rows])
        parts = np.column_stack([np.round(scores) if shape is Shape.SHARE else scores, np.ones(len(rows))])
        tally = Tally(parts, ratio_of_sums, shape)
        return interval(tally, names(patient for _, patient in rows), draws=200)

    found = measure(cases)
    if found.low is None:
        assert found.high is None
        assert found.note
    else:
        assert 0 <= found.low <= found.value <= found.high <= 1
    shuffle.shuffle(cases)
    again = measure(cases)
    assert again.value == pytest.approx(found.value)
    assert (again.low is None) == (found.low is None)
    if found.low is not None:
        assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_clustered_shares_are_covered_as_promised(share, correlation):
    rng, runs = np.random.default_rng(20), 600
    covered = 0
    for _ in range(runs):
        answers, patients = correlated_answers(rng, share, correlation, patients=60, largest=4)
        found = share_interval(answers, patients)
        covered += found.low <= share <= found.high
    # 0.935 to 0.965 is promised; three standard errors of the simulation on either side.
    assert 0.935 - 0.027 <= covered / runs <= 0.965 + 0.027


def test_counting_reports_as_patients_would_break_the_promise():
    rng, runs = np.random.default_rng(21), 400
    covered = 0
    for _ in range(runs):
        answers, _ = correlated_answers(rng, 0.5, 0.4, patients=60, largest=6)
        low, high = wilson(answers.sum(), len(answers))
        covered += low <= 0.5 <= high
    assert covered / runs < 0.9


def test_ratios_are_covered_as_promised():
    rng, runs, covered = np.random.default_rng(22), 300, 0
    for _ in range(runs):
        gold = rng.integers(1, 8, size=80)
        hits = rng.binomial(gold, np.repeat(rng.beta(6, 3, size=40), 2))
        said = hits + rng.integers(0, 3, size=80)
        parts = np.column_stack([2 * hits, gold + said]).astype(float)
        found = bootstrap_interval(parts, names(np.arange(80) // 2), ratio_of_sums, seed=5, draws=600)
        truth = 2 * 4 * (2 / 3) / (4 + 4 * (2 / 3) + 1)
        covered += found.low <= truth <= found.high
    assert 0.915 <= covered / runs <= 0.985
