"""Claims against a source: every verdict and problem on a sentence whose truth is plain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.evaluate.claims.check import check_all
from residency.evaluate.claims.claim import Checked, Ground, Problem, Verdict
from residency.evaluate.claims.means import Means
from residency.evaluate.claims.read import claims_of, claims_of_findings
from residency.evaluate.claims.source import read_source

SOURCE = """9-year-old boy seen for seizures. Onset was at 5 months.
He has left-sided hemiparesis, bilateral ptosis and focal clonic seizures. There is no ataxia. A tremor has resolved.
Possible dystonia. His mother has migraine. Carbamazepine 200 mg twice daily. CK 8000. Sodium 140 mmol/L.
He was reviewed by the dietician last spring."""


def checked(summary: str, means: Means, source: str = SOURCE) -> list[Checked]:
    return check_all(claims_of(summary, means), read_source(source, means))


def only(summary: str, means: Means, source: str = SOURCE) -> Checked:
    [one] = checked(summary, means, source)
    return one


@pytest.mark.parametrize(
    ("summary", "ground"),
    [
        ("seizures", Ground.VERBATIM),
        ("epileptic seizure", Ground.NAME),
        ("Focal-onset seizure.", Ground.NARROWER),  # the source has focal clonic seizures
        ("There is no truncal ataxia.", Ground.NARROWER),  # what is wider is absent
        ("Hemiparesis on the left.", Ground.NAME),
        ("Bilateral ptosis.", Ground.VERBATIM),
        ("His mother has migraine.", Ground.VERBATIM),
        ("Carbamazepine 200 mg.", Ground.VERBATIM),
        ("Carbamazepine 0.2 g.", Ground.VALUE),
        ("CK 8000.", Ground.VERBATIM),
        ("Onset at 5 months.", Ground.VERBATIM),
        ("9-year-old", Ground.VERBATIM),
        ("9 y/o", Ground.VALUE),
        ("Reviewed by dietician.", Ground.WORDING),
    ],
)
def test_what_the_source_says_is_supported(summary: str, ground: Ground, means: Means) -> None:
    verdicts = [one for one in checked(summary, means)]
    assert [one.verdict for one in verdicts] == [Verdict.SUPPORTED] * len(verdicts) and verdicts
    if ground is not Ground.NAME:
        assert ground in {one.ground for one in verdicts}


@pytest.mark.parametrize(
    ("summary", "verdict", "problem"),
    [
        ("He has ataxia.", Verdict.CONTRADICTED, Problem.POLARITY),
        ("There are no seizures.", Verdict.CONTRADICTED, Problem.POLARITY),
        ("He has migraine.", Verdict.CONTRADICTED, Problem.EXPERIENCER),
        ("He has a tremor.", Verdict.CONTRADICTED, Problem.TEMPORALITY),
        ("He has dystonia.", Verdict.CONTRADICTED, Problem.CERTAINTY),
        ("Right-sided hemiparesis.", Verdict.CONTRADICTED, Problem.LATERALITY),
        ("Left ptosis.", Verdict.CONTRADICTED, Problem.LATERALITY),
        ("Carbamazepine 400 mg.", Verdict.CONTRADICTED, Problem.VALUE),
        ("Carbamazepine 200 g.", Verdict.CONTRADICTED, Problem.UNIT),
        ("CK 800.", Verdict.CONTRADICTED, Problem.VALUE),
        ("Onset at 5 years.", Verdict.CONTRADICTED, Problem.TEMPORALITY),
        ("19-year-old", Verdict.CONTRADICTED, Problem.SUBJECT),
        ("A girl.", Verdict.CONTRADICTED, Problem.SUBJECT),
        ("He has microcephaly.", Verdict.NOT_FOUND, Problem.FABRICATION),
        ("Zelnick sign.", Verdict.NOT_FOUND, Problem.FABRICATION),
    ],
)
def test_what_the_source_does_not_say_is_called_so_for_the_right_reason(
    summary: str, verdict: Verdict, problem: Problem, means: Means
) -> None:
    one = only(summary, means)
    assert (one.verdict, one.problem) == (verdict, problem)
    assert one.ground is None


def test_a_claim_narrower_than_the_source_is_over_specified(means: Means) -> None:
    one = only("Severe intellectual disability.", means, "He has intellectual disability.")
    assert (one.verdict, one.problem) == (Verdict.NOT_FOUND, Problem.OVER_SPECIFIED)


def test_the_evidence_is_the_place_in_the_source(means: Means) -> None:
    one = only("There is no ataxia.", means)
    assert one.evidence is not None and SOURCE[slice(*one.evidence)] == "ataxia"


def test_a_wrong_value_knows_by_how_much(means: Means) -> None:
    assert only("Carbamazepine 300 mg.", means).factor == pytest.approx(1.5)


def test_a_negation_within_a_name_is_one(means: Means) -> None:
    source = "The joints are not hypermobile."
    assert only("No joint hypermobility.", means, source).verdict is Verdict.SUPPORTED
    assert only("Joint hypermobility.", means, source).verdict is not Verdict.SUPPORTED


def test_a_narrow_wrap_hides_nothing(means: Means) -> None:
    assert only("Polydactyly.", means, "Remarkable for preaxial\npolydactyly.").verdict is Verdict.SUPPORTED
    assert only("Preaxial polydactyly.", means, "Remarkable for preaxial\npolydactyly.").verdict is Verdict.SUPPORTED


def test_findings_given_as_data_are_checked_like_text(means: Means) -> None:
    findings = [
        {"concept": "HP:0001250", "label": "Seizure", "status": "present"},
        {"concept": "HP:0001251", "label": "Ataxia", "status": "present"},
        {"concept": "", "label": "Zelnick sign", "status": "present"},
    ]
    found = check_all(claims_of_findings(findings), read_source(SOURCE, means))
    assert [one.problem for one in found] == [None, Problem.POLARITY, Problem.FABRICATION]


def test_nothing_is_claimed_by_an_empty_output(means: Means) -> None:
    assert claims_of("", means) == [] and claims_of_findings(None) == []


def test_an_empty_source_bears_nothing_out(means: Means) -> None:
    assert all(one.is_hallucination for one in checked("9-year-old boy with seizures. CK 80.", means, ""))


SENTENCES = ("He has seizures.", "There is no ataxia.", "Onset was at 5 months.", "Carbamazepine 200 mg.", "CK 8000.",
             "A 9-year-old boy.", "His mother has migraine.", "Left-sided hemiparesis.")  # fmt: skip


@given(said=st.permutations(SENTENCES), extra=st.lists(st.sampled_from(SENTENCES), max_size=4))
def test_a_copy_of_the_source_is_supported_in_any_order_and_always_the_same(
    said: list[str], extra: list[str], means: Means
) -> None:
    source = " ".join(sorted(SENTENCES))
    text = " ".join([*said, *extra])
    first = checked(text, means, source)
    assert [one for one in first if one.is_hallucination] == []
    assert first == checked(text, means, source)


@given(text=st.text(max_size=200), source=st.text(max_size=200))
def test_any_text_gets_a_verdict_and_places_lie_in_their_texts(text: str, source: str, means: Means) -> None:
    for one in checked(text, means, source):
        start, end = one.claim.place or (0, 0)
        assert 0 <= start <= end <= len(text)
        if one.evidence is not None:
            assert 0 <= one.evidence[0] < one.evidence[1] <= len(source)
        assert (one.verdict is Verdict.SUPPORTED) == (one.problem is None) == (one.ground is not None)
