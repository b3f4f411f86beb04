"""A verdict is only given where the cases allow it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from residency.errors import EvaluationError
from residency.evaluate.compare import (
    Verdict,
    compare,
    compare_tallies,
    holm_adjust,
    judge,
)
from residency.evaluate.intervals import Shape, Tally, ratio
from residency.evaluate.paired import holm, mcnemar_midp, newcombe_paired, permutation_p
from residency.evaluate.power import required_n
from residency.records import Example, Prediction, Split, TaskKind

B, N, E, W, I = (  # noqa: E741
    Verdict.BETTER,
    Verdict.NON_INFERIOR,
    Verdict.EQUIVALENT,
    Verdict.WORSE,
    Verdict.INCONCLUSIVE,
)


def share(scores):
    return Tally.of_scores(np.asarray(scores, dtype=float))


def names(codes):
    return [f"p{code}" for code in codes]


def f1_tally(hits, gold, said):
    parts = np.column_stack([hits, gold, said]).astype(float)
    return Tally(parts, lambda sums: ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2]), Shape.RATIO)


@pytest.mark.parametrize(
    ("gain", "margin", "verdict"),
    [
        ((0.01, 0.20), 0.0, B),
        ((0.01, 0.02), 0.05, B),
        ((-0.02, 0.20), 0.0, I),
        ((-0.02, 0.20), 0.05, N),
        ((-0.02, 0.03), 0.05, E),
        ((-0.04, -0.01), 0.05, E),
        ((-0.06, -0.01), 0.05, W),
        ((-0.06, -0.01), 0.0, W),
        ((-0.06, 0.01), 0.05, I),
        ((0.0, 0.2), 0.0, I),
        (None, 0.05, I),
    ],
)
def test_the_interval_and_the_margin_give_the_verdict(gain, margin, verdict):
    assert judge(gain, margin) is verdict


@pytest.mark.parametrize(("first", "second"), [(0, 5), (1, 5), (12, 2), (30, 45), (7, 8)])
def test_mcnemar_midp_is_the_exact_p_less_half_the_observed_tables(first, second):
    from scipy.stats import binom

    exact = mcnemar([[10, first], [second, 10]], exact=True).pvalue
    expected = exact - binom.pmf(min(first, second), first + second, 0.5)
    assert mcnemar_midp(first, second) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("discordant", [0, 1, 4])
def test_mcnemar_midp_of_a_draw_is_one(discordant):
    assert mcnemar_midp(discordant, discordant) == pytest.approx(1.0)


def test_newcombe_gives_the_published_interval():
    # Newcombe 1998, Statistics in Medicine 17:2635, table III: 36, 12, 2, 0 by method 10.
    assert newcombe_paired(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_newcombe_corrects_a_positive_correlation():
    def corner(first, second, phi):
        return math.sqrt(first**2 - 2 * phi * first * second + second**2)

    n, (a, b, c, d) = 70, (40, 9, 4, 17)
    (l1, u1), (l2, u2) = (proportion_confint(x, n, method="wilson") for x in (a + b, a + c))
    p1, p2 = (a + b) / n, (a + c) / n
    phi = (a * d - b * c - n / 2) / math.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    expected = (p1 - p2 - corner(p1 - l1, u2 - p2, phi), p1 - p2 + corner(u1 - p1, p2 - l2, phi))
    assert newcombe_paired(a, b, c, d) == pytest.approx(expected, abs=1e-9)


def test_a_winner_needs_the_test_as_well_as_the_interval():
    # Three patients that all gain a little: the t interval lies above zero, but 2 of 8 sign choices are as extreme.
    candidate, baseline = Tally.of_scores([0.52, 0.61, 0.71]), Tally.of_scores([0.42, 0.50, 0.60])
    found = compare_tallies(candidate, baseline, names(range(3)))
    assert found.low > 0 and found.p > 0.05
    assert (found.verdict, compare_tallies(candidate, baseline, names(range(3)), margin=0.2).verdict) == (I, E)
    assert compare_tallies(candidate, baseline, names(range(3)), margin=0.05).verdict is N
    assert compare_tallies(baseline, candidate, names(range(3))).verdict is I
    assert "the test does not" in found.note


def test_copies_of_a_case_are_no_evidence():
    gaps = [1] * 6 + [-1] * 2 + [0] * 2
    candidate, baseline = ([float(gap == sign) for gap in gaps] for sign in (1, -1))
    once = compare_tallies(share(candidate), share(baseline), names(range(10)))
    copied = compare_tallies(share(candidate * 8), share(baseline * 8), names(list(range(10)) * 8))
    assert (once.verdict, copied.verdict) == (I, I)
    assert "McNemar" in once.method
    assert copied.method == "t, clustered"
    assert copied.p > 0.1
    assert copied.required_n == pytest.approx(8 * once.required_n, rel=0.15)  # as many patients, eight cases each


def test_swapping_the_systems_mirrors_the_interval():
    low, high = newcombe_paired(40, 9, 4, 17)
    assert newcombe_paired(40, 4, 9, 17) == pytest.approx((-high, -low))


def test_holm_equals_statsmodels():
    p = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist(), abs=1e-12)
    assert holm([]) == []


def test_the_permutation_of_few_patients_is_near_the_complete_enumeration():
    candidate, baseline = np.array([[3.0, 4], [2, 3], [4, 4], [1, 2]]), np.array([[1.0, 4], [2, 3], [1, 4], [0, 2]])
    # Patients gain 2, 0, 3, 1: sums of absolute value 6 come from 4 of 16 sign choices (the zero counts double).
    found = permutation_p(candidate, baseline, lambda sums: ratio(sums[..., 0], sums[..., 1]), permutations=20_000)
    assert found == pytest.approx(4 / 16, abs=0.01)


def test_required_n_follows_connor_and_the_design_effect():
    # ((1.959964 sqrt(0.2) + 0.841621 sqrt(0.2 - 0.0025)) / 0.05)^2 = 625.6
    assert required_n(0.05, 0.2) == 626
    assert required_n(-0.05, 0.2, design_effect=1.5) == 939
    assert required_n(0.0, 0.2) is None


def test_as_many_cases_as_required_settle_the_comparison_as_often_as_promised():
    rng, runs = np.random.default_rng(5), 300
    needed = required_n(0.1, 0.3)
    kinds = rng.choice([1, -1, 0], p=[0.2, 0.1, 0.7], size=(runs, needed))
    settled = [
        compare_tallies(share(row == 1), share(row == -1), names(range(needed)), permutations=1).verdict is B
        for row in kinds
    ]
    assert 0.72 <= np.mean(settled) <= 0.88


def test_the_same_answers_are_equivalent_within_a_margin():
    answers = share([1, 0] * 100)
    for patients in (names(range(200)), names(np.arange(200) // 2)):
        found = compare_tallies(answers, answers, patients, margin=0.05)
        assert found.difference == 0
        assert found.verdict is E
        assert compare_tallies(answers, answers, patients).verdict is I


@pytest.mark.parametrize("patients", [range(40), [i // 2 for i in range(40)]])
def test_all_right_against_all_wrong_is_better_and_the_reverse_worse(patients):
    right, wrong = share([1] * 40), share([0] * 40)
    assert compare_tallies(right, wrong, names(patients)).verdict is B
    assert compare_tallies(wrong, right, names(patients)).verdict is W
    one, none = f1_tally([3] * 40, [3] * 40, [3] * 40), f1_tally([0] * 40, [3] * 40, [3] * 40)
    assert compare_tallies(one, none, names(patients)).verdict is B
    assert compare_tallies(none, one, names(patients)).verdict is W


def test_for_losses_less_is_better():
    rng = np.random.default_rng(2)
    low, high = rng.random(80), rng.random(80) + 0.5
    losses = [replace(Tally.of_scores(values, ceiling=None), lower_is_better=True) for values in (low, high)]
    found = compare_tallies(*losses, names(range(80)))
    assert found.difference < 0
    assert found.verdict is B
    assert found.gain[0] > 0
    assert compare_tallies(*reversed(losses), names(range(80))).verdict is W


def test_one_patient_is_inconclusive_and_it_is_said():
    for tallies in (
        (share([1, 1]), share([0, 0])),
        (f1_tally([1, 1], [2, 2], [2, 2]), f1_tally([0, 0], [2, 2], [2, 2])),
    ):
        found = compare_tallies(*tallies, ["p", "p"])
        assert (found.verdict, found.low, found.p) == (I, None, None)
        assert "one patient" in found.note


def test_systems_that_were_tallied_differently_are_refused():
    with pytest.raises(EvaluationError, match="not tallied alike"):
        compare_tallies(share([1, 0]), share([1, 0, 1]), names(range(2)))
    with pytest.raises(EvaluationError, match="at least 0"):
        compare_tallies(share([1, 0]), share([1, 0]), names(range(2)), margin=-0.1)


def test_ratios_are_compared_on_the_same_resamples():
    rng = np.random.default_rng(11)
    gold = rng.integers(1, 30, size=60)
    hard = rng.beta(2, 2, size=60)  # both systems fail on the same hard cases
    hits = rng.binomial(gold, hard)
    candidate = f1_tally(np.minimum(hits + (rng.random(60) < 0.3), gold), gold, gold)
    baseline = f1_tally(hits, gold, gold)
    found = compare_tallies(candidate, baseline, names(range(60)))
    assert found.verdict is B
    assert found.high - found.low < 0.03  # either system alone: about 0.1
    assert found.p < 0.01


def test_holm_takes_back_what_only_stands_alone():
    one = compare_tallies(share([1, 0] * 40), share([0, 0] * 40), names(range(80)))
    family = [replace(one, p=p, verdict=verdict) for p, verdict in ((0.001, B), (0.04, B), (0.03, W), (0.9, I))]
    found = holm_adjust(family)
    assert [c.verdict for c in found] == [B, I, I, I]
    assert found[1].p_adjusted == pytest.approx(0.09)
    assert "BETTER alone" in found[1].note
    assert holm_adjust([replace(one, p=0.06, margin=0.05)])[0].verdict is N
    assert holm_adjust([replace(one, p=None, verdict=I)])[0].p_adjusted is None


def examples_of(answers):
    return [
        Example(
            id=f"e{i}", task="diagnosis", kind=TaskKind.CLASSIFY, messages=(), answer=gold, gold=gold,
            patient=f"p{i}", split=Split.TEST,
        )
        for i, gold in enumerate(answers)
    ]  # fmt: skip


def predictions_of(system, answers, **more):
    return [
        Prediction(id=f"{system}{i}", example=f"e{i}", task="diagnosis", system=system, output=str(a), value=a, **more)
        for i, a in enumerate(answers)
    ]


def test_two_systems_are_compared_on_every_metric_that_ranks():
    examples = examples_of(["ALS", "MS"] * 30)
    tuned = predictions_of("tuned", ["ALS", "MS"] * 30)
    other = predictions_of("few_shot", ["ALS", "never seen"] * 30)
    found = {c.metric: c for c in compare(examples, tuned, other)}
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "unscored_rate"}
    accuracy = found["accuracy"]
    assert (accuracy.task, accuracy.candidate, accuracy.baseline) == ("diagnosis", "tuned", "few_shot")
    assert (accuracy.difference, accuracy.verdict) == (0.5, B)
    assert found["macro_f1"].baseline_value == pytest.approx(1 / 3)
    assert found["unscored_rate"].verdict is I


def test_the_direction_of_each_metric_is_known():
    examples = examples_of(["ALS", "MS"] * 20)
    systems = [
        [replace(p, nats=nats + i % 3) for i, p in enumerate(predictions_of(name, ["ALS", "MS"] * 20, tokens=2))]
        for name, nats in (("tuned", 1.0), ("few_shot", 4.0))
    ]
    found = {c.metric: c for c in compare(examples, *systems)}
    assert found["bits_per_byte"].difference < 0
    assert (found["bits_per_byte"].verdict, found["perplexity"].verdict) == (B, B)


def test_a_metric_that_only_one_system_has_is_an_error_when_asked_for():
    examples = examples_of(["ALS", "MS"])
    tuned, other = predictions_of("tuned", ["ALS", "MS"], nats=1.0, tokens=2), predictions_of("few_shot", ["ALS", "MS"])
    with pytest.raises(EvaluationError, match=r"tuned and few_shot: bits_per_byte"):
        compare(examples, tuned, other, metrics=["bits_per_byte"])


@settings(max_examples=40, deadline=None)
@given(
    cases=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=2, max_size=25),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_of_cases_and_of_systems_does_not_matter(cases, shuffle):
    def measure(rows, first=0, second=1):
        systems = share([r[first] for r in rows]), share([r[second] for r in rows])
        return compare_tallies(*systems, names(r[2] for r in rows), permutations=99)

    found = measure(cases)
    mirrored = measure(cases, 1, 0)
    assert mirrored.difference == pytest.approx(-found.difference)
    if found.low is not None:
        assert -1 <= found.low <= found.difference <= found.high <= 1 or "t," in found.method
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    shuffle.shuffle(cases)
    again = measure(cases)
    assert (again.difference, again.verdict) == (pytest.approx(found.difference), found.verdict)
    assert again.p == pytest.approx(found.p) if found.p is not None else again.p is None


def correlated_pair(rng, patients, largest, gain=0.0):
    """Two systems that are right on the same cases six times of ten, and share their patients' difficulty."""
    codes = np.repeat(np.arange(patients), rng.integers(1, largest + 1, size=patients))
    chance = rng.beta(2.1, 0.9, size=patients)[codes]
    common, same = rng.random(len(codes)) < chance, rng.random((2, len(codes))) < 0.6
    own = rng.random((2, len(codes))) < chance
    answers = np.where(same, common, own)
    answers[0] |= rng.random(len(codes)) < gain / 0.3
    return answers.astype(float), names(codes)


@pytest.mark.parametrize("largest", [1, 3])
def test_better_is_said_falsely_at_most_as_often_as_promised(largest):
    rng, runs, false = np.random.default_rng(30), 800, 0
    for _ in range(runs):
        (candidate, baseline), patients = correlated_pair(rng, 60, largest)
        false += compare_tallies(share(candidate), share(baseline), patients, permutations=199).verdict is B
    assert false / runs <= 0.025 + 0.0166  # three standard errors of the simulation


def test_pairing_finds_a_gain_much_more_often_than_two_separate_intervals():
    rng, runs, paired, unpaired = np.random.default_rng(31), 300, 0, 0
    for _ in range(runs):
        (candidate, baseline), patients = correlated_pair(rng, 250, 1, gain=0.05)
        paired += compare_tallies(share(candidate), share(baseline), patients, permutations=1).verdict is B
        n, gap = len(candidate), candidate.mean() - baseline.mean()
        unpaired += gap > 1.96 * np.sqrt((candidate.var() + baseline.var()) / n)
    assert paired >= 1.5 * unpaired


def test_ratios_are_called_better_falsely_at_most_as_often_as_promised():
    rng, runs, false = np.random.default_rng(32), 300, 0
    for run in range(runs):
        gold = rng.integers(1, 8, size=90)
        chance = np.repeat(rng.beta(4, 3, size=45), 2)
        systems = [f1_tally(rng.binomial(gold, chance), gold, gold) for _ in range(2)]
        found = compare_tallies(*systems, names(np.arange(90) // 2), draws=800, permutations=199, seed=run)
        false += found.verdict is B
    assert false / runs <= 0.025 + 0.027
