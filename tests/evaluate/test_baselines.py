"""Baselines answer every case, honestly and the same way each time."""

from __future__ import annotations

import random

import pytest

from residency.errors import EvaluationError
from residency.evaluate.baselines import (
    findings_baseline,
    findings_sentence_baseline,
    lead_baseline,
    linear_baseline,
    majority_baseline,
)
from residency.evaluate.metrics import score
from residency.records import Example, Finding, Split, Status, TaskKind

SIGNS = {
    "ALS": ["fasciculations", "wasting", "bulbar", "weakness", "tongue"],
    "MS": ["optic", "neuritis", "relapse", "plaques", "lesions"],
    "Wilson disease": ["copper", "kayser", "fleischer", "tremor", "liver"],
}


def case(number, gold="ALS", kind=TaskKind.CLASSIFY):
    return Example(
        id=f"e{number}", task="t", kind=kind, messages=(), answer=str(gold), gold=gold, patient=f"p{number}",
        split=Split.TEST, parents=(f"d{number}",),
    )  # fmt: skip


def reports(seed, count):
    rng = random.Random(seed)
    labels = [rng.choice(list(SIGNS)) for _ in range(count)]
    filler = ["seen", "in", "clinic", "today", "with", "family", "history", "reviewed"]
    return [" ".join(rng.choices(SIGNS[label], k=3) + rng.choices(filler, k=8)) for label in labels], labels


def ataxia(status=Status.PRESENT, label="Ataxia", concept="HP:0001251"):
    return Finding(concept=concept, label=label, status=status)


def test_the_majority_baseline_answers_the_most_frequent_label():
    (found,) = majority_baseline(["MS", "ALS", "MS"], [case(0)])
    assert (found.value, found.confidence) == ("MS", pytest.approx(2 / 3))
    assert found.probabilities == {"ALS": pytest.approx(1 / 3), "MS": pytest.approx(2 / 3)}


def test_the_linear_baseline_learns_the_words_of_each_disease():
    (texts, labels), (test_texts, gold) = reports(1, 60), reports(2, 30)
    examples = [case(i, g) for i, g in enumerate(gold)]
    patients = [f"q{i}" for i in range(60)]
    found = linear_baseline(texts, labels, patients, examples, test_texts)
    assert {s.metric: s.value for s in score(examples, found, draws=50)}["accuracy"] > 0.9
    assert all(sum(p.probabilities.values()) == pytest.approx(1) for p in found)
    assert all(set(p.probabilities) == set(SIGNS) for p in found)
    again = linear_baseline(texts, labels, patients, examples, test_texts)
    assert [p.probabilities for p in again] == [p.probabilities for p in found]


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["wasting"], ["ALS"]),
        (["wasting", "plaques"], ["ALS", "MS"]),
        (["", "plaques", "of the"], ["ALS", "MS", "MS"]),
        ([" ", ""], ["ALS", "MS"]),
    ],
)
def test_the_linear_baseline_works_with_hardly_any_reports(texts, labels):
    found = linear_baseline(texts, labels, [f"q{i}" for i in range(len(texts))], [case(0)], ["wasting and plaques"])
    assert found[0].value in labels


def test_the_linear_baseline_without_cases_answers_nothing():
    assert linear_baseline(*reports(1, 12), [f"q{i}" for i in range(12)], [], []) == []


def test_labels_that_do_not_fit_texts_are_refused():
    with pytest.raises(EvaluationError, match="differ in number"):
        linear_baseline(["a"], ["ALS", "MS"], ["p"], [case(0)], ["a"])
    for make in (lambda: majority_baseline([], [case(0)]), lambda: linear_baseline([], [], [], [case(0)], ["a"])):
        with pytest.raises(EvaluationError, match="no training labels"):
            make()


def test_the_terminology_step_alone_is_a_baseline_for_findings():
    examples = [case(0, [], TaskKind.EXTRACT), case(1, [], TaskKind.EXTRACT)]
    found = findings_baseline(examples, {"d0": [ataxia(), ataxia(), ataxia(Status.FAMILY)], "d1": []})
    assert found[0].value == [
        {"concept": "HP:0001251", "label": "Ataxia", "status": "present"},
        {"concept": "HP:0001251", "label": "Ataxia", "status": "family"},
    ]
    assert found[1].value == []
    with pytest.raises(EvaluationError, match="document d1 of case e1"):
        findings_baseline(examples, {"d0": []})


def test_found_findings_make_a_sentence():
    examples = [case(i, "", TaskKind.GENERATE) for i in range(3)]
    found = findings_sentence_baseline(
        examples,
        {
            "d0": [ataxia(), ataxia(label="Spastic gait", concept="b"), ataxia(label="Tremor", concept="c")],
            "d1": [ataxia(Status.ABSENT)],
            "d2": [ataxia(label="EEG abnormality")],
        },
    )
    assert [p.value for p in found] == [
        "Patient with ataxia, spastic gait and tremor.",
        "Patient without recorded findings.",
        "Patient with EEG abnormality.",
    ]


def test_the_lead_baseline_is_the_first_sentences():
    examples = [case(0, "", TaskKind.GENERATE), case(1, "", TaskKind.GENERATE)]
    found = lead_baseline(examples, ["Seen today. He falls!\nNo ptosis. Plan: MRI.", "  "])
    assert found[0].value == "Seen today. He falls! No ptosis."
    assert found[1].value is None  # nothing to say is an unread answer
