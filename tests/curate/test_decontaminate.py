"""Nothing held out is known from training; the test set keeps its documents."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.decontaminate import (
    PROTECTION,
    Kind,
    contamination,
)
from residency.curate.deduplicate.signature import Likeness
from residency.curate.split import SplitBy, SplitSettings, split_patients
from residency.errors import ProjectError
from residency.records import Document, Source, Split

WORDS = [
    f"{first}{second}" for first in ("ata", "dys", "hypo", "myo", "neu", "spa") for second in ("xia", "tonia", "ra")
]
SIDES = {"train": Split.TRAIN, "validation": Split.VALIDATION, "calibration": Split.CALIBRATION, "test": Split.TEST}


def document(key, text, patient=None, group=""):
    return Document(id=f"d-{key}", key=key, text=text, source=Source(path=key), patient=patient or key, group=group)


def report(seed):
    return " ".join(random.Random(seed).choices(WORDS, k=60))


def sides(**of_key):
    return {f"d-{key}": SIDES[side] for key, side in of_key.items()}


def gone(result):
    return {dropped.key: (dropped.reason, dropped.detail) for dropped in result.dropped}


# --- documents --------------------------------------------------------------------------------------------------


def test_a_near_copy_of_a_test_report_leaves_training_and_the_test_report_stays():
    documents = [document("a", report(1)), document("b", f"{report(1)} addendum"), document("c", report(2))]
    result = contamination(documents, sides(a="train", b="test", c="train"))
    assert [d.key for d in result.clean] == ["b", "c"]
    assert gone(result) == {"a": ("near_copy_held_out", result.dropped[0].detail)}
    assert result.dropped[0].detail.startswith("d-b (test), likeness 0.9")
    assert "d-a (train) and d-b (test): near_copy" in str(result.violations[0])


def test_reports_of_two_patients_from_one_template_are_no_violation_until_the_settings_say_so():
    words = report(1).split()
    words[10:50:8] = [f"other{n}" for n in range(5)]
    documents = [document("a", report(1)), document("b", " ".join(words))]
    assert not contamination(documents, sides(a="test", b="train")).violations
    strict = Likeness(other_patients=0.5)
    assert gone(contamination(documents, sides(a="test", b="train"), likeness=strict)).keys() == {"b"}


def test_copies_on_one_side_are_no_violation():
    documents = [document("a", report(1)), document("b", report(1))]
    assert contamination(documents, sides(a="train", b="train")).violations == ()
    assert contamination(documents, sides(a="test", b="test")).clean == tuple(documents)


@pytest.mark.parametrize(("one", "other"), [(a, b) for i, a in enumerate(PROTECTION) for b in PROTECTION[i + 1 :]])
def test_the_less_protected_side_gives_way(one, other):
    documents = [document("a", report(1)), document("b", report(1))]
    result = contamination(documents, {"d-a": one, "d-b": other})
    assert [d.key for d in result.dropped] == ["a"]


def test_a_patient_on_two_sides_is_a_violation_and_a_group_only_where_the_split_is_by_group():
    documents = [
        document("a", report(1), "p", "g"),
        document("b", report(2), "p", "g"),
        document("c", report(3), "q", "g"),
    ]
    of = sides(a="test", b="train", c="train")
    assert gone(contamination(documents, of)) == {"b": ("shared_patient_held_out", "d-a (test), p")}
    by_group = contamination(documents, of, by=SplitBy.GROUP)
    assert gone(by_group)["c"] == ("shared_group_held_out", "d-a (test), g")
    assert {v.kind for v in by_group.violations if v.document == "d-b"} == {Kind.SHARED_PATIENT, Kind.SHARED_GROUP}


def test_documents_without_a_group_share_none():
    documents = [document("a", report(1)), document("b", report(2))]
    assert not contamination(documents, sides(a="test", b="train"), by=SplitBy.GROUP).violations


def test_a_document_without_a_side_is_an_error_with_its_id():
    with pytest.raises(ProjectError, match="d-b"):
        contamination([document("a", ""), document("b", "")], sides(a="train"))


_drawn = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("pqrs"), st.sampled_from(["", "g", "h"]), st.sampled_from(PROTECTION)),
    max_size=10,
)


@given(_drawn, st.sampled_from(SplitBy), st.randoms())
def test_what_is_left_is_clean_in_every_order_and_no_test_document_goes(drawn, by, order):
    documents = [document(str(n), report(seed), patient, group) for n, (seed, patient, group, _) in enumerate(drawn)]
    side_of = {f"d-{n}": side for n, (*_, side) in enumerate(drawn)}
    result = contamination(documents, side_of, by=by)
    assert len(result.clean) + len(result.dropped) == len(documents)
    assert not contamination(result.clean, side_of, by=by).violations
    assert all(side_of[dropped.id] is not Split.TEST for dropped in result.dropped)
    order.shuffle(documents)
    again = contamination(documents, side_of, by=by)
    assert again.violations == result.violations
    assert {d.id for d in again.dropped} == {d.id for d in result.dropped}


@given(_drawn, st.sampled_from(SplitBy))
def test_a_split_of_reports_without_copies_is_clean(drawn, by):
    documents = [document(str(n), report(n), patient, group) for n, (_, patient, group, _) in enumerate(drawn)]
    split_of = split_patients(documents, SplitSettings(by=by)).split_of
    assert not contamination(documents, {d.id: split_of[d.patient] for d in documents}, by=by).violations
