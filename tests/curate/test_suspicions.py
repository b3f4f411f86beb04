"""Planted wrong labels are found first; the judge never saw the patient; the order of documents makes no difference."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.curate.suspicions import SuspicionSettings, suspicious_labels
from residency.records import Document, Finding, Source, Status

CLASSES = ("red", "green", "blue", "white")
SIGNS = {label: [f"{label}{n}" for n in range(8)] for label in CLASSES}


def document(key, signs, label, patient=None, group="", text=""):
    findings = tuple(
        Finding(concept=sign, label=sign.title(), status=Status.ABSENT if "x" in sign else Status.PRESENT)
        for sign in signs
    )
    return Document(id=f"d-{key}", key=key, text=text, source=Source(path=key), patient=patient or key, group=group,
                    answers={"diagnosis": label}, findings=findings)  # fmt: skip


def corpus(size=120, wrong=8, seed=1):
    """Documents that show signs of their class, and the keys of those whose label was changed."""
    rng = random.Random(seed)
    documents, planted = [], {}
    for number in range(size):
        truth = CLASSES[number % 4]
        signs = rng.sample(SIGNS[truth], 4) + rng.sample(SIGNS[rng.choice(CLASSES)], 1)
        label = truth
        if number < wrong:
            label = rng.choice([other for other in CLASSES if other != truth])
            planted[f"{number:03}"] = truth
        text = f"Seen with {' '.join(signs)}."
        documents.append(document(f"{number:03}", dict.fromkeys(signs), label, f"p{number}", f"g{number % 9}", text))
    return documents, planted


@pytest.mark.parametrize("options", [{}, {"signs": "words"}, {"by": "group"}, {"folds": 3}])
def test_planted_labels_come_first_with_the_true_label_suggested(options):
    documents, planted = corpus()
    found = suspicious_labels(documents, "diagnosis", SuspicionSettings(**options))
    assert {s.key: s.suggested for s in found.listed[: len(planted)]} == planted
    assert all(s.likely_wrong for s in found.listed[: len(planted)])
    assert abs(found.likely_wrong - len(planted)) <= 2
    assert found.judged == len(documents) and not found.not_judged


def test_a_label_that_is_merely_less_likely_is_doubtful_and_not_called_wrong():
    documents, _ = corpus(wrong=0)
    halves = [document(f"half{n}", ["red0", "red1", "blue0", "blue1"], "red" if n % 2 else "blue") for n in range(10)]
    found = suspicious_labels([*documents, *halves], "diagnosis")
    assert found.doubtful > found.likely_wrong


def test_a_reason_names_the_strongest_findings_and_what_is_said_of_them():
    documents, _ = corpus(wrong=0)
    odd = document("odd", ["red0", "red1", "blue0"], "blue")
    (first, *_) = suspicious_labels([*documents, odd], "diagnosis").listed
    assert (first.document, first.suggested) == ("d-odd", "red")
    assert set(first.speaks_for_suggested) == {"Red0", "Red1"} and first.speaks_for_label == ("Blue0",)
    assert first.reason.endswith("for red: Red0, Red1; for blue: Blue0") or "Red1, Red0" in first.reason
    assert first.label_share + first.suggested_share == pytest.approx(1) and first.suggested_share > 0.5


def test_an_absent_finding_is_named_as_absent():
    documents = [document(f"{n}", ["x1", "y"] if n % 2 else ["z"], "a" if n % 2 else "b") for n in range(20)]
    (first, *_) = suspicious_labels([*documents, document("odd", ["x1"], "b")], "diagnosis").listed
    assert first.speaks_for_suggested == ("X1 (absent)",)


def test_a_patient_with_many_copies_of_a_wrong_label_does_not_vouch_for_it():
    documents, _ = corpus(wrong=0)
    copies = [document(f"copy{n}", SIGNS["red"][:4], "blue", "same patient") for n in range(5)]
    listed = suspicious_labels([*documents, *copies], "diagnosis").listed
    assert {s.key for s in listed[:5]} == {c.key for c in copies}


def test_labels_that_nobody_else_has_and_documents_without_signs_are_counted_and_not_judged():
    documents, _ = corpus(wrong=0)
    rare = [document(f"r{n}", ["red0"], "rare", "one patient") for n in range(2)]
    bare = [document("bare", [], "red")]
    unlabeled = [document("none", ["red0"], "  ")]
    found = suspicious_labels([*documents, *rare, *bare, *unlabeled], "diagnosis")
    assert found.not_judged == {"label of one patient only": 2, "no sign": 1}
    assert found.judged == len(documents)
    assert not {s.key for s in found.listed} & {"r0", "r1", "bare", "none"}


def test_by_group_a_label_of_one_group_only_is_not_judged():
    documents = [document(f"{n}", [f"s{n % 3}"], f"c{n % 3}", group=f"g{n % 3}") for n in range(30)]
    assert suspicious_labels(documents, "diagnosis", SuspicionSettings(by="group")).not_judged == {
        "label of one group only": 30
    }
    assert suspicious_labels(documents, "diagnosis").judged == 30


def test_the_list_is_as_long_as_asked_for_and_the_rest_is_a_count():
    documents, planted = corpus()
    found = suspicious_labels(documents, "diagnosis", SuspicionSettings(most=3))
    assert len(found.listed) == 3 and found.doubtful >= len(planted)


def test_words_of_replaced_places_are_no_signs():
    from residency.records import Span

    documents, _ = corpus(wrong=0)
    named = [replace(d, text=f"Anna {d.text}", spans=(Span(start=0, end=4, label="NAME"),)) for d in documents]
    listed = suspicious_labels(named, "diagnosis", SuspicionSettings(signs="words")).listed
    assert all("anna" not in (*s.speaks_for_suggested, *s.speaks_for_label) for s in listed)


def test_nothing_to_judge_is_an_empty_list():
    assert suspicious_labels([], "diagnosis").listed == ()
    assert suspicious_labels([document("a", ["x"], "y")], "other").judged == 0


@given(st.integers(0, 1000), st.integers(0, 40), st.sampled_from(["patient", "group"]), st.randoms())
@settings(max_examples=25)
def test_order_does_not_matter_and_every_label_is_accounted_for(seed, size, by, order):
    documents, _ = corpus(size, min(size, 3), seed)
    options = SuspicionSettings(by=by, folds=4)
    found = suspicious_labels(documents, "diagnosis", options)
    assert found.judged + sum(found.not_judged.values()) == size
    assert found.likely_wrong <= found.doubtful <= found.judged
    order.shuffle(documents)
    assert suspicious_labels(documents, "diagnosis", options) == found
