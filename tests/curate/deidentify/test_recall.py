"""Bounds with a known truth, and what the gate makes of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from residency.curate.deidentify.feedback import Place, Reading
from residency.curate.deidentify.policy import ReviewRule
from residency.curate.deidentify.recall import (
    POOLED,
    Standing,
    estimate_recall,
    lower_bound,
    trials_needed,
    upper_bound,
)
from residency.records import Span

RULE = ReviewRule(missed_at_most=0.05, pool_below=10)


def read(document: str, missed: tuple[Place, ...] = (), wrong: tuple[Place, ...] = ()) -> Reading:
    return Reading(document, "Pat", "2026-11-24", missed, wrong)


def names(count: int) -> list[Span]:
    return [Span(start=10 * n, end=10 * n + 5, label="NAME") for n in range(count)]


def test_no_miss_in_600_is_at_most_half_a_percent() -> None:
    assert upper_bound(0, 600, 0.95) == pytest.approx(0.00498, abs=1e-5)
    assert upper_bound(0, 59, 0.95) < 0.05 < upper_bound(0, 58, 0.95)


@given(st.integers(0, 30), st.integers(1, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bound_is_exact(misses: int, trials: int, confidence: float) -> None:
    """At the bound, so few misses or fewer have exactly the probability that the confidence leaves."""
    if misses >= trials:
        assert upper_bound(misses, trials, confidence) == 1.0
        return
    assert binom.cdf(misses, trials, upper_bound(misses, trials, confidence)) == pytest.approx(1 - confidence, abs=1e-6)
    low = lower_bound(misses, trials, confidence)
    assert (
        (low == 0.0) if misses == 0 else math.isclose(binom.sf(misses - 1, trials, low), 1 - confidence, abs_tol=1e-6)
    )


@given(st.integers(0, 20), st.sampled_from([0.01, 0.05, 0.2]))
def test_so_many_trials_are_needed_and_not_one_fewer(misses: int, limit: float) -> None:
    needed = trials_needed(misses, limit, 0.95)
    assert needed is not None
    assert upper_bound(misses, needed, 0.95) <= limit < upper_bound(misses, needed - 1, 0.95)


def test_the_bound_covers_the_truth_as_often_as_it_promises() -> None:
    import numpy as np

    drawn = np.random.default_rng(7).binomial(120, 0.04, size=4000)
    bounds = {m: upper_bound(int(m), 120, 0.95) for m in set(drawn)}
    assert np.mean([bounds[m] >= 0.04 for m in drawn]) >= 0.95 - 0.01


def test_enough_documents_without_a_miss_are_a_go() -> None:
    readings = [read(f"d{n}") for n in range(20)]
    found = {f"d{n}": names(3) for n in range(20)}
    result = estimate_recall(readings, found, {"NAME": 300}, RULE, documents=100)
    [row] = result.rows
    assert (row.reviewed, row.missed, row.standing) == (60, 0, Standing.GO)
    assert row.bound == pytest.approx(1 - 0.05 ** (1 / 60))
    assert result.standing is Standing.GO and result.documents_needed == 0


def test_too_few_documents_are_inconclusive_and_say_how_many_more() -> None:
    readings = [read(f"d{n}") for n in range(5)]
    result = estimate_recall(readings, {f"d{n}": names(2) for n in range(5)}, {"NAME": 300}, RULE, documents=150)
    assert result.standing is Standing.INCONCLUSIVE
    assert result.documents_needed == math.ceil((59 - 10) / 2)


def test_many_misses_are_a_no_go_and_more_reading_does_not_help() -> None:
    missed = tuple(Place(1000 + n, 1003 + n, "NAME") for n in range(0, 30, 3))
    readings = [read("d0", missed), *(read(f"d{n}") for n in range(1, 10))]
    found = {f"d{n}": names(3) for n in range(10)}
    result = estimate_recall(readings, found, {"NAME": 300}, RULE, documents=100)
    assert result.standing is Standing.NO_GO
    assert result.rows[0].documents_needed is None
    assert (result.with_a_miss, result.read) == (1, 10)
    assert result.documents_bound == pytest.approx(upper_bound(1, 10, 0.95))


def test_a_wrong_span_is_no_identifier_and_a_miss_found_since_is_none() -> None:
    found = {"d0": [*names(2), Span(start=100, end=110, label="NAME")]}
    reading = read("d0", missed=(Place(102, 108, "NAME"),), wrong=(Place(0, 5, "NAME"),))
    result = estimate_recall([reading], found, {"NAME": 3}, RULE, documents=1)
    assert (result.rows[0].reviewed, result.rows[0].missed, result.wrong) == (2, 0, 1)


def test_rare_classes_are_bounded_together_and_one_that_was_only_missed_occurs() -> None:
    found = {"d0": [*names(12), Span(start=500, end=505, label="SSN"), Span(start=510, end=515, label="IP")]}
    reading = read("d0", missed=(Place(600, 605, "FAX"),))
    result = estimate_recall([reading], found, {"NAME": 12, "SSN": 1, "IP": 1}, RULE, documents=1)
    pool = result.rows[-1]
    assert pool.label == POOLED and set(pool.classes) == {"SSN", "IP", "FAX"}
    assert (pool.occurs, pool.reviewed, pool.missed) == (3, 3, 1)


def test_a_class_with_a_limit_of_its_own_stands_alone() -> None:
    rule = ReviewRule(missed_by_class={"SSN": 0.5}, pool_below=10)
    found = {"d0": [Span(start=0, end=5, label="SSN"), Span(start=10, end=15, label="IP")]}
    rows = {row.label: row for row in estimate_recall([read("d0")], found, {"SSN": 1, "IP": 1}, rule, documents=1).rows}
    assert rows["SSN"].limit == 0.5 and rows["IP"].classes == ("IP",)


def test_readings_of_documents_that_are_gone_do_not_count() -> None:
    result = estimate_recall([read("gone")], {}, {"NAME": 50}, RULE, documents=10)
    assert (result.read, result.rows[0].bound, result.documents_bound) == (0, 1.0, 1.0)
