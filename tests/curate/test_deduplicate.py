"""One copy of each report, the same one in every order."""

from hypothesis import given
from hypothesis import strategies as st

from residency.curate.deduplicate import Deduplicate
from residency.records import Document, Source


def document(key, text, patient="p", answers=()):
    return Document(id=f"d-{key}", key=key, text=text, source=Source(path=key), patient=patient, answers=dict(answers))


def outcome(documents, **settings):
    results = list(Deduplicate(**settings)(documents, None))
    kept = [r.key for r in results if isinstance(r, Document)]
    return kept, {r.key: r.detail for r in results if not isinstance(r, Document)}


def test_white_space_and_case_do_not_make_a_difference_and_words_do():
    kept, dropped = outcome(
        [document("a", "Ataxia of gait."), document("b", "ATAXIA  of\ngait. "), document("c", "Ataxia of gai.")]
    )
    assert kept == ["a", "c"]
    assert dropped == {"b": "d-a"}


def test_equal_reports_of_two_patients_are_copies_unless_patients_are_looked_at_apart():
    documents = [document("a", "same", "p1"), document("b", "same", "p2")]
    assert outcome(documents) == (["a"], {"b": "d-a"})
    assert outcome(documents, within="patient") == (["a", "b"], {})


def test_a_labeled_copy_is_kept_before_an_unlabeled_one():
    assert outcome([document("a", "same"), document("b", "same", answers={"d": "x"})]) == (["b"], {"a": "d-b"})


@given(st.lists(st.tuples(st.sampled_from(["x", "X ", "y", "z"]), st.sampled_from("pq")), max_size=8), st.randoms())
def test_order_does_not_matter_nothing_disappears_and_a_second_pass_finds_nothing(pairs, order):
    documents = [document(str(number), text, patient) for number, (text, patient) in enumerate(pairs)]
    kept, dropped = outcome(documents)
    assert sorted([*kept, *dropped]) == sorted(d.key for d in documents)
    shuffled = list(documents)
    order.shuffle(shuffled)
    again, dropped_again = outcome(shuffled)
    assert (sorted(again), dropped_again) == (sorted(kept), dropped)
    assert outcome([d for d in documents if d.key in kept]) == (kept, {})
    assert set(dropped.values()) <= {f"d-{key}" for key in kept}
