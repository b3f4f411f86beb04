"""The gate passes only what the evidence shows, and says what to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from residency.evaluate.compare import Comparison, Verdict
from residency.evaluate.gate import EXIT_STATUS, GateEvidence, GateVerdict, decide
from residency.evaluate.metrics import METRICS
from residency.evaluate.policy import GateSettings
from residency.records import Score
from residency.settings import explain

GO, NO_GO, OPEN = GateVerdict.GO, GateVerdict.NO_GO, GateVerdict.INCONCLUSIVE


def scored(metric="accuracy", value=0.8, low=0.75, high=0.85, **more):
    facts = {"task": "diagnosis", "system": "tuned", "n": 145, "clusters": 112} | more
    return Score(metric=metric, value=value, low=low, high=high, **facts)


def compared(low, high, metric="accuracy", **more):
    facts = {"p": 0.01, "method": "t", "n": 145, "clusters": 112, "margin": 0.0, "verdict": Verdict.INCONCLUSIVE}
    return Comparison(
        task="diagnosis", metric=metric, candidate="tuned", baseline="few_shot", candidate_value=0.8,
        baseline_value=0.6, difference=0.2, low=low, high=high, lower_is_better=METRICS[metric].lower_is_better,
        **facts | more,
    )  # fmt: skip


def verdict(line, **evidence):
    facts = {"scores": [], "comparisons": []} | evidence
    result = decide(GateSettings(lines=[line]), GateEvidence(**facts))
    assert result.verdict is result.lines[0].verdict
    return result.lines[0]


BETTER = {"rule": "better_than", "task": "diagnosis", "metric": "accuracy", "baseline": "few_shot"}
NOT_WORSE = BETTER | {"rule": "not_worse_than", "margin": 0.05}
AT_LEAST = {"rule": "at_least", "task": "diagnosis", "metric": "accuracy", "value": 0.7}
AT_MOST = {"rule": "at_most", "task": "diagnosis", "metric": "bits_per_byte", "value": 0.7}
UNREAD = {"rule": "unscored_at_most", "task": "diagnosis", "rate": 0.02}
REVIEWS = {"rule": "reviews_at_least", "task": "diagnosis", "count": 20}
DEIDENTIFIED = {"rule": "deidentification_reviewed"}


@pytest.mark.parametrize(
    ("line", "low", "high", "expected"),
    [
        (BETTER, 0.01, 0.3, GO),
        (BETTER, 0.0, 0.3, OPEN),
        (BETTER, -0.1, 0.3, OPEN),
        (BETTER, -0.3, -0.01, NO_GO),
        (BETTER, -0.3, 0.0, NO_GO),
        (BETTER | {"margin": 0.1}, 0.05, 0.3, OPEN),
        (BETTER | {"margin": 0.1}, 0.11, 0.3, GO),
        (BETTER | {"margin": 0.1}, 0.02, 0.09, NO_GO),
        (NOT_WORSE, -0.04, 0.3, GO),
        (NOT_WORSE, -0.06, 0.3, OPEN),
        (NOT_WORSE, -0.3, -0.06, NO_GO),
        (NOT_WORSE, -0.04, -0.01, GO),
        (BETTER, None, None, OPEN),
    ],
)
def test_comparisons_pass_refuse_or_stay_open(line, low, high, expected):
    found = verdict(line, comparisons=[compared(low, high)])
    assert found.verdict is expected
    assert bool(found.next_step) is (expected is not GO)


@pytest.mark.parametrize(("said", "expected"), [(Verdict.BETTER, GO), (Verdict.WORSE, NO_GO)])
def test_a_comparison_without_an_interval_may_still_have_a_verdict(said, expected):
    assert verdict(BETTER, comparisons=[compared(None, None, verdict=said)]).verdict is expected


def test_where_less_is_better_a_negative_difference_is_a_gain():
    line = BETTER | {"metric": "bits_per_byte"}
    assert verdict(line, comparisons=[compared(-0.3, -0.1, "bits_per_byte")]).verdict is GO
    assert verdict(line, comparisons=[compared(0.1, 0.3, "bits_per_byte")]).verdict is NO_GO


def test_the_wrong_systems_or_task_do_not_count():
    for wrong in ({"baseline": "zero_shot"}, {"task": "findings"}, {"system": "older"}):
        found = verdict(BETTER | wrong, comparisons=[compared(0.1, 0.2)])
        assert found.verdict is OPEN
        assert "Not measured" in found.reason


@pytest.mark.parametrize(
    ("line", "low", "high", "expected"),
    [
        (AT_LEAST, 0.70, 0.9, GO),
        (AT_LEAST, 0.65, 0.9, OPEN),
        (AT_LEAST, 0.5, 0.69, NO_GO),
        (AT_MOST, 0.5, 0.70, GO),
        (AT_MOST, 0.6, 0.8, OPEN),
        (AT_MOST, 0.71, 0.9, NO_GO),
        (AT_LEAST, None, None, OPEN),
    ],
)
def test_values_pass_refuse_or_stay_open(line, low, high, expected):
    assert verdict(line, scores=[scored(line["metric"], low=low, high=high)]).verdict is expected


@pytest.mark.parametrize(("rate", "expected"), [(0.0, GO), (0.02, GO), (0.05, NO_GO)])
def test_unread_outputs_are_judged_as_counted(rate, expected):
    assert verdict(UNREAD, scores=[scored("unscored_rate", rate, unscored=round(rate * 145))]).verdict is expected


@pytest.mark.parametrize(("done", "expected"), [({}, OPEN), ({"diagnosis": 19}, OPEN), ({"diagnosis": 20}, GO)])
def test_reviews_are_counted(done, expected):
    assert verdict(REVIEWS, reviews=done).verdict is expected


def test_without_any_review_the_next_step_is_exact():
    found = verdict(REVIEWS, review_step="Run residency review {task}.")
    assert found.reason == "None of 20 answers judged."
    assert found.next_step == "Run residency review diagnosis. 20 more answers are needed."
    assert decide(GateSettings(lines=[REVIEWS]), GateEvidence(scores=[], comparisons=[])).exit_status == 3


def test_de_identification_needs_a_person():
    assert verdict(DEIDENTIFIED).verdict is OPEN
    assert verdict(DEIDENTIFIED, deidentification="GO", deidentification_reason="all read").verdict is GO
    refused = verdict(DEIDENTIFIED, deidentification="NO-GO", deidentification_reason="too many missed")
    assert refused.verdict is NO_GO and refused.reason == "too many missed"


@pytest.mark.parametrize(
    ("lows", "expected"), [((0.1, 0.1), GO), ((0.1, -0.1), OPEN), ((-0.1, -0.3), NO_GO), ((0.1, -0.3), NO_GO)]
)
def test_one_refusal_refuses_and_go_needs_every_line(lows, expected):
    lines = [BETTER, BETTER | {"metric": "macro_f1"}]
    comparisons = [compared(low, low + 0.2, m) for low, m in zip(lows, ("accuracy", "macro_f1"), strict=True)]
    result = decide(GateSettings(lines=lines), GateEvidence(scores=[], comparisons=comparisons))
    assert result.verdict is expected
    assert result.exit_status == {GO: 0, NO_GO: 1, OPEN: 3}[expected]


def test_no_policy_is_no_pass():
    result = decide(GateSettings(), GateEvidence(scores=[], comparisons=[]))
    assert result.verdict is OPEN
    assert "gate: lines:" in result.lines[0].next_step


def test_the_exit_status_leaves_two_to_errors():
    assert sorted(EXIT_STATUS.values()) == [0, 1, 3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "rouge1"}, "similarity of wording"),
        ({"metric": "bleu"}, "gate on fact_f1"),
        ({"metric": "chrf"}, "similarity of wording"),
        ({"metric": "length_ratio"}, "no value of it is better"),
        ({"metric": "acuracy"}, "no such metric; use one of accuracy"),
        ({"margin": -0.1}, "greater than or equal to 0"),
        ({"rule": "beats"}, "better_than"),
        ({"margn": 0.1}, "unknown setting"),
    ],
)
def test_a_policy_that_cannot_decide_is_refused_with_the_reason(change, said):
    with pytest.raises(ValidationError) as caught:
        GateSettings(lines=[BETTER | change])
    assert said in " ".join(explain(caught.value))


@pytest.mark.parametrize(
    ("line", "said"),
    [(AT_LEAST | {"metric": "bits_per_byte"}, "use at_most"), (AT_MOST | {"metric": "accuracy"}, "use at_least")],
)
def test_a_line_in_the_wrong_direction_is_refused(line, said):
    with pytest.raises(ValidationError, match=said):
        GateSettings(lines=[line])


def test_the_reason_shows_value_interval_and_cases():
    found = verdict(BETTER, comparisons=[replace(compared(0.05, 0.35), required_n=600)])
    assert found.reason == (
        "0.800 against 0.600: difference +0.200 [+0.050, +0.350] (a gain is positive), 145 cases of 112 patients."
    )
    open_line = verdict(BETTER, comparisons=[compared(-0.05, 0.35)])
    assert open_line.measured.required_n == 463 and "about 463" in open_line.next_step


def test_a_metric_of_the_teams_own_can_be_gated_on():
    policy = GateSettings(lines=[{"rule": "at_least", "task": "diagnose", "metric": "own:gene", "value": 0.5}])
    assert decide(policy, GateEvidence(scores=[], comparisons=[])).lines[0].title.startswith("diagnose: gene of")
    with pytest.raises(ValidationError, match="use at_least"):
        GateSettings(lines=[{"rule": "at_most", "task": "diagnose", "metric": "own:gene", "value": 0.5}])
