"""The gate passes only what the evidence shows, and says what to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from residency.evaluate.compare import Comparison, Verdict
from residency.evaluate.gate import EXIT_STATUS, GateEvidence, GateVerdict, Part, decide
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


# --- slices, confidence, zero tolerance, forgetting ------------------------------------------------------------------

AT_SITE_A = AT_LEAST | {"where": {"site": "A"}}
HONEST = {"rule": "calibrated", "task": "diagnosis"}
NO_SEVERE = {"rule": "no_critical_errors", "task": "diagnosis", "severity": 3}
KEPT = {"rule": "not_forgotten", "margin": 0.01}


def test_a_line_about_a_slice_is_judged_by_the_cases_of_that_slice_only():
    parts = {("diagnosis", "site", "A"): Part(scores=[scored(low=0.5, high=0.6)], comparisons=[compared(0.01, 0.1)])}
    whole = {"scores": [scored(low=0.9, high=0.99)], "comparisons": [compared(-0.3, -0.1)], "parts": parts}
    assert verdict(AT_SITE_A, **whole).verdict is NO_GO
    assert verdict(AT_LEAST, **whole).verdict is GO
    assert verdict(BETTER | {"where": {"site": "A"}}, **whole).verdict is GO
    assert "where site is A" in verdict(AT_SITE_A, **whole).title


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"ward": "A"}, "There is no slice 'ward'; slices are length, site."),
        ({"site": "C"}, "No case has site 'C'; there is A, B."),
        ({"site": "A"}, "Not measured"),
    ],
)
def test_a_slice_that_is_none_is_named_beside_those_that_are(where, said):
    slices = {"diagnosis": {"site": ["A", "B"], "length": ["short"]}}
    found = verdict(AT_LEAST | {"where": where}, slices=slices)
    assert found.verdict is OPEN and said in found.reason and found.next_step


@pytest.mark.parametrize("limit", [float("inf"), float("nan"), float("-inf")])
@pytest.mark.parametrize(
    ("line", "name"),
    [(AT_LEAST, "value"), (BETTER, "margin"), (NO_SEVERE, "severity"), (KEPT, "margin")],
)
def test_a_limit_is_a_number_that_something_can_lie_above(line, name, limit):
    with pytest.raises(ValidationError, match=r"finite number|greater than"):
        GateSettings(lines=[line | {name: limit}])


def test_a_line_is_about_one_slice():
    with pytest.raises(ValidationError, match="at most 1"):
        GateSettings(lines=[AT_LEAST | {"where": {"site": "A", "sex": "female"}}])


def honesty(ece, said, n=200):
    between = {"low": 0.01, "high": 0.2}
    facts = {"ece": ece, "ece_interval": between, "null_band": [0.02, 0.09], "honesty": said, "n": n, "clusters": n}
    return {"calibration": {"diagnosis": facts}}


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (honesty(0.05, "calibrated"), GO),
        (honesty(0.05, "calibrated", n=99), OPEN),
        (honesty(0.2, "overconfident"), NO_GO),
        (honesty(0.2, "overconfident", n=20), NO_GO),
        (honesty(0.2, "underconfident"), NO_GO),
        ({}, OPEN),
    ],
)
def test_confidence_is_honest_within_its_null_band_on_enough_cases(evidence, expected):
    found = verdict(HONEST, **evidence)
    assert found.verdict is expected and bool(found.next_step) is (expected is not GO)
    if expected is OPEN and evidence:
        assert found.measured.required_n == 100 and "Too few" in found.reason


def errors(*counted, n=60):
    rows = [
        {"error": "missed", "what": what, "severity": severity, "count": count} for what, severity, count in counted
    ]
    return {"critical": {("diagnosis", "tuned"): {"counted": rows, "n": n}}, "severities": [1, 2, 3, 5]}


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (errors(), GO),
        (errors(("HP:1", 2, 7)), GO),
        (errors(("HP:1", 3, 1)), NO_GO),
        (errors(("HP:1", 1, 2), ("HP:2", 5, 1)), NO_GO),
        ({"severities": [1, 5]}, OPEN),
        (errors() | {"severities": [1, 2]}, OPEN),
    ],
)
def test_one_error_of_a_tier_without_tolerance_refuses(evidence, expected):
    assert verdict(NO_SEVERE, **evidence).verdict is expected


def test_a_tier_that_no_row_has_is_said_with_those_that_are_there():
    assert "its severities: 1, 2." in verdict(NO_SEVERE, **errors() | {"severities": [2, 1]}).reason
    refused = verdict(NO_SEVERE, **errors(("HP:2", 5, 1)))
    assert refused.reason == "1 among 60 documents: missed HP:2 (1)." and refused.measured.value == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-0.01, 0.01, GO), (0.011, 0.02, NO_GO), (0.0, 0.02, OPEN), (None, None, OPEN)]
)
def test_forgetting_is_judged_by_the_interval_of_the_loss(low, high, expected):
    facts = {"before": 1.0, "after": 1.01, "difference": 0.01, "low": low, "high": high, "passages": 20}
    assert verdict(KEPT, forgetting=facts).verdict is expected
    assert verdict(KEPT).verdict is OPEN


def test_what_would_settle_an_open_line_is_said():
    """A value and its limit a quarter of the interval apart: four times the cases, and as many again for the power."""
    found = verdict(AT_LEAST | {"value": 0.78}, scores=[scored(value=0.8, low=0.76, high=0.84, n=100)])
    assert found.verdict is OPEN and 800 < found.measured.required_n < 830
    assert f"about {found.measured.required_n}" in found.next_step
    at_limit = verdict(AT_LEAST | {"value": 0.8}, scores=[scored(value=0.8, low=0.76, high=0.84, n=100)])
    assert at_limit.measured.required_n is None and "more patients" in at_limit.next_step


def test_without_a_critical_error_the_exact_number_of_documents_is_said():
    line = {"rule": "at_most", "task": "diagnosis", "metric": "critical_error_rate", "value": 0.01}
    found = verdict(line, scores=[scored("critical_error_rate", 0.0, 0.0, 0.03, n=100)])
    assert found.verdict is OPEN and found.measured.required_n == 299
    assert verdict(line, scores=[scored("critical_error_rate", 0.0, 0.0, 0.0099, n=299)]).verdict is GO
    refused = verdict(line, scores=[scored("critical_error_rate", 0.2, 0.1, 0.3)])
    assert refused.verdict is NO_GO and (refused.measured.limit, refused.measured.value) == (0.01, 0.2)


@given(
    value=st.floats(0.01, 0.99), low=st.floats(0.001, 0.5), high=st.floats(0.001, 0.5), limit=st.floats(0, 1),
    n=st.integers(2, 10_000),
)  # fmt: skip
def test_what_would_settle_is_more_than_there_is_and_only_where_a_line_is_open(value, low, high, limit, n):
    found = verdict(AT_LEAST | {"value": limit}, scores=[scored(value=value, low=value - low, high=value + high, n=n)])
    if found.verdict is OPEN:
        assert found.measured.required_n is None or found.measured.required_n > n
    else:
        assert found.measured.required_n is None
