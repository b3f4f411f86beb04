"""Omission, rates with intervals, and a judge's rate corrected."""

from __future__ import annotations

import numpy as np
import pytest

from residency.errors import EvaluationError
from residency.evaluate.claims.judge import LEAST_JUDGED, JudgedOutput, Share, corrected_rate, rate_of_verdicts
from residency.evaluate.claims.means import Means
from residency.evaluate.claims.omission import Fact, facts_in, omitted
from residency.evaluate.claims.rates import audits, claim_scores, read_sources
from residency.evaluate.claims.read import claims_of
from residency.records import Example, Prediction, Split, Status, TaskKind

SEIZURE, FOCAL, ATAXIA = "HP:0001250", "HP:0007359", "HP:0001251"


@pytest.mark.parametrize(
    ("output", "missing"),
    [
        ("Seizures. No ataxia.", []),
        ("Focal-onset seizures. No ataxia.", []),  # narrower
        ("No ataxia.", [SEIZURE]),
        ("", [SEIZURE, ATAXIA]),
        ("No seizures. Ataxia.", []),  # turned around: contradicted, not left out
    ],
)
def test_a_fact_is_left_out_if_nothing_is_said_of_it(output: str, missing: list[str], means: Means) -> None:
    facts = [Fact(SEIZURE, Status.PRESENT), Fact(ATAXIA, Status.ABSENT)]
    found = omitted(facts, claims_of(output, means), means.terminology)
    assert [fact.concept for fact in found] == missing


def test_a_wider_name_leaves_a_narrower_fact_out(means: Means) -> None:
    facts = facts_in(means.find("Focal-onset seizures."))
    assert omitted(facts, claims_of("Seizures.", means), means.terminology) == facts


def case(number: int, gold: str, output: str | None) -> tuple[Example, Prediction]:
    example = Example(
        id=f"e{number}", task="summary", kind=TaskKind.GENERATE, messages=(), answer=gold, gold=gold,
        patient=f"p{number // 2}", split=Split.TEST,
    )  # fmt: skip
    prediction = Prediction(
        id=f"a{number}", example=example.id, task="summary", system="s", output=output or "", value=output
    )
    return example, prediction


def test_rates_count_claims_documents_and_facts(means: Means) -> None:
    gold = "He has seizures and hypotonia."
    outputs = ["He has seizures and hypotonia.", "He has seizures and microcephaly.", "He has seizures.", None] * 3
    examples, predictions = zip(*(case(n, gold, output) for n, output in enumerate(outputs)), strict=True)
    sources = read_sources({example.id: gold for example in examples}, means)
    found = {s.metric: s for s in claim_scores(predictions[0], audits(examples, predictions, sources, means))}
    assert found["hallucination_rate"].value == pytest.approx(1 / 5)
    assert found["hallucinated_document_rate"].value == pytest.approx(1 / 4)
    assert found["omission_rate"].value == pytest.approx(4 / 8)  # an unread output leaves everything out
    assert {score.unscored for score in found.values()} == {3}
    assert all(score.low is not None and score.low <= score.value <= score.high for score in found.values())


def test_a_judge_is_corrected_by_what_it_can_do() -> None:
    rate = corrected_rate(Share(145, 1000), sensitivity=Share(90, 100), specificity=Share(95, 100))
    assert rate.value == pytest.approx((0.145 + 0.95 - 1) / (0.9 + 0.95 - 1))
    assert rate.low < rate.value < rate.high


def test_a_judge_that_was_not_measured_or_knows_nothing_is_refused() -> None:
    few = Share(LEAST_JUDGED - 1, LEAST_JUDGED - 1)
    with pytest.raises(EvaluationError, match="was measured on"):
        corrected_rate(Share(1, 10), sensitivity=few, specificity=Share(90, 100))
    with pytest.raises(EvaluationError, match="as often"):
        corrected_rate(Share(1, 10), sensitivity=Share(50, 100), specificity=Share(50, 100))
    with pytest.raises(EvaluationError, match="no share"):
        Share(3, 2)


@pytest.mark.parametrize(("truth", "se", "sp"), [(0.0, 0.9, 0.95), (0.05, 0.8, 0.9), (0.3, 0.9, 0.8)])
def test_the_corrected_interval_covers(truth: float, se: float, sp: float) -> None:
    rng = np.random.default_rng(5)
    covered, draws = 0, 1_000
    for _ in range(draws):
        flagged = Share(int(rng.binomial(400, truth * se + (1 - truth) * (1 - sp))), 400)
        judged = (Share(int(rng.binomial(100, se)), 100), Share(int(rng.binomial(100, sp)), 100))
        rate = corrected_rate(flagged, sensitivity=judged[0], specificity=judged[1])
        covered += rate.low <= truth <= rate.high
    assert covered / draws >= 0.93


def test_verdicts_on_outputs_of_the_same_patients_tell_less() -> None:
    rng = np.random.default_rng(2)
    wrong = rng.random(120) < 0.3
    flagged = np.where(rng.random(120) < 0.9, wrong, ~wrong)
    alone = [JudgedOutput(f"p{i}", bool(f), bool(w)) for i, (f, w) in enumerate(zip(flagged, wrong, strict=True))]
    again = [one for one in alone for _ in range(4)]
    one, four = rate_of_verdicts(alone), rate_of_verdicts(again)
    assert four.value == pytest.approx(one.value)
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.05)
