"""A planned study keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from residency.evaluate.compare import Verdict, compare_tallies
from residency.evaluate.intervals import Tally
from residency.evaluate.power import Assumptions, certification_n, plan_study, required_n_margin


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.01, (299, 473, 628)), (0.02, (149, 236, 313)), (0.005, (598, 947, 1258))]
)
def test_the_certified_numbers_are_the_published_ones(rate, needed):
    assert tuple(certification_n(rate, errors) for errors in range(3)) == needed


def test_a_planned_interval_has_the_planned_width():
    n = plan_study(Assumptions(accuracy=0.9, half_width=0.04)).needs["interval"].cases
    for cases, fits in ((n, True), (n - 10, False)):
        low, high = proportion_confint(0.9 * cases, cases, method="wilson")
        assert ((high - low) / 2 <= 0.04) is fits


def test_several_cases_a_patient_need_more_cases_and_fewer_patients():
    single, several = Assumptions(), Assumptions(cases_per_patient=3, correlation=0.3)
    assert several.design_effect == pytest.approx(1.6)
    for name in ("better", "non_inferior", "interval"):
        one, three = plan_study(single).needs[name], plan_study(several).needs[name]
        assert three.cases == pytest.approx(1.6 * one.cases, rel=0.02)
        assert three.patients < one.patients == one.cases
    assert plan_study(several).needs["critical_0"].patients == 299


def test_a_planned_study_shows_non_inferiority_as_often_as_promised():
    rng, runs = np.random.default_rng(7), 300
    needed = required_n_margin(0.06, 0.2)
    kinds = rng.choice([1, -1, 0], p=[0.1, 0.1, 0.8], size=(runs, needed))
    names = [f"p{i}" for i in range(needed)]
    shown = [
        compare_tallies(
            Tally.of_scores((row == 1).astype(float)), Tally.of_scores((row == -1).astype(float)), names,
            margin=0.06, permutations=1,
        ).verdict in (Verdict.NON_INFERIOR, Verdict.EQUIVALENT, Verdict.BETTER)
        for row in kinds
    ]  # fmt: skip
    assert 0.72 <= np.mean(shown) <= 0.88


@given(
    difference=st.floats(0.01, 0.3), discordant=st.floats(0.05, 0.9), margin=st.floats(0.01, 0.3),
    patients=st.floats(1, 20), correlation=st.floats(0, 1), power=st.floats(0.6, 0.99),
)  # fmt: skip
def test_any_assumption_has_a_plan_and_more_power_needs_no_fewer_cases(
    difference, discordant, margin, patients, correlation, power
):
    common = {
        "difference": difference, "discordant": discordant, "margin": margin,
        "cases_per_patient": patients, "correlation": correlation,
    }  # fmt: skip
    plan = plan_study(Assumptions(**common, power=power)).needs
    stronger = plan_study(Assumptions(**common, power=min(0.995, power + 0.02))).needs
    for name, need in plan.items():
        assert need.cases is None or 1 <= need.patients <= need.cases
        assert need.cases is None or stronger[name].cases is None or stronger[name].cases >= need.cases
    assert required_n_margin(0.1, 0.2, difference=-0.1) is None
