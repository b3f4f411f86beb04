"""One copy of each report, the same one in every order."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.curate.deduplicate import Deduplicate
from residency.curate.deduplicate.near import MIN_FOUND, Near, rows_per_band
from residency.curate.deduplicate.signature import (
    PERMUTATIONS,
    Likeness,
    estimated_likeness,
    exact_digest,
    min_hash,
    own_words,
)
from residency.records import Document, Source, Span

WORDS = [
    f"{first}{second}" for first in ("ata", "dys", "hypo", "myo", "neu", "spa") for second in ("xia", "tonia", "ra")
]


def document(key, text, patient="p", answers=(), spans=()):
    return Document(id=f"d-{key}", key=key, text=text, source=Source(path=key), patient=patient,
                    answers=dict(answers), spans=tuple(spans))  # fmt: skip


def results_of(documents, **options):
    return list(Deduplicate(**options)(documents, None))


def outcome(documents, **options):
    results = results_of(documents, **options)
    kept = [r.key for r in results if isinstance(r, Document)]
    return kept, {r.key: r.detail for r in results if not isinstance(r, Document)}


def report(seed, words=60):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def changed(text, count, seed=0):
    """The text with so many words replaced by words that it does not have."""
    words = text.split()
    for number in random.Random(seed).sample(range(len(words)), count):
        words[number] = f"other{number}"
    return " ".join(words)


# --- exact copies -----------------------------------------------------------------------------------------------


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
    copies = [document("a", "same"), document("b", "same", answers={"d": "x"})]
    assert outcome(copies) == (["b"], {"a": "d-b"})
    assert outcome([document("a", "same"), document("b", "same", answers={"d": ""})]) == (["a"], {"b": "d-a"})


def named(key, patient, name, seed=1):
    text = f"Seen with {name} today: {report(seed, 30)}"
    return document(key, text, patient, spans=[Span(start=10, end=10 + len(name), label="NAME")])


def test_replaced_names_do_not_hide_a_copy_and_their_class_does():
    anna, bo = named("a", "p1", "Anna Maria Lopez"), named("b", "p2", "Bo")
    results = results_of([anna, bo])
    assert [(r.key, getattr(r, "reason", "")) for r in results] == [("a", ""), ("b", "exact_duplicate")]
    town = replace(bo, spans=(replace(bo.spans[0], label="LOCATION"),))
    assert exact_digest(town) != exact_digest(anna)
    assert "bo" not in own_words(bo) and own_words(bo) == own_words(anna)


def test_texts_of_nothing_but_replaced_places_are_no_near_copies_of_each_other():
    texts = [document(k, "Anna", spans=[Span(start=0, end=4, label=label)]) for k, label in (("a", "X"), ("b", "Y"))]
    assert outcome(texts) == (["a", "b"], {})


# --- near copies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "found"), [(1, True), (4, True), (25, False), (60, False)])
def test_a_few_other_words_make_a_near_copy_and_many_a_report_of_its_own(words, found):
    first = document("a", report(1))
    results = results_of([first, document("b", changed(report(1), words))])
    assert [getattr(r, "reason", "kept") for r in results] == ["kept", "near_duplicate" if found else "kept"]


def test_null_finds_exact_copies_only_and_a_higher_threshold_fewer_near_ones():
    documents = [document("a", report(1)), document("b", changed(report(1), 4)), document("c", report(1).upper())]
    assert outcome(documents, near=None) == (["a", "b"], {"c": "d-a"})
    assert outcome(documents, near={"threshold": 0.95}) == (["a", "b"], {"c": "d-a"})
    assert outcome(documents) == (["a"], {"b": "d-a", "c": "d-a"})


def test_near_copies_of_other_patients_stay_where_patients_are_looked_at_apart():
    documents = [document("a", report(1), "p1"), document("b", changed(report(1), 2), "p2"),
                 document("c", changed(report(1), 3), "p1")]  # fmt: skip
    assert outcome(documents, within="patient") == (["a", "b"], {"c": "d-a"})


def test_of_two_kept_documents_the_more_alike_one_is_named():
    near, middle = {"threshold": 0.72}, " ".join(f"word{number}" for number in range(400))
    documents = [document("a", changed(middle, 26, 1)), document("b", changed(middle, 20, 2)), document("c", middle)]
    assert outcome(documents[:2], near=near) == (["a", "b"], {}), "the two are no copies of each other"
    assert outcome([documents[0], documents[2]], near=near) == (["a"], {"c": "d-a"})
    assert outcome(documents, near=near) == (["a", "b"], {"c": "d-b"})


def test_two_patients_must_be_more_alike_than_one_patient_with_itself():
    first, second = document("a", report(1), "p"), document("b", changed(report(1), 5), "p")
    assert outcome([first, second]) == (["a"], {"b": "d-a"})
    stranger = replace(second, patient="q")
    assert outcome([first, stranger]) == (["a", "b"], {})
    assert outcome([first, stranger], near={"other_patients": 0.5}) == (["a"], {"b": "d-a"})


def test_letters_that_two_patients_have_from_one_template_stay():
    letters = [
        document(f"{n}", f"Mr. X is {20 + n} years old and was seen for ataxia. There is no tremor on examination. "
                 f"He will be seen again in {n + 1} weeks.", f"p{n}")
        for n in range(20)
    ]  # fmt: skip
    assert outcome(letters) == ([letter.key for letter in letters], {})


def test_the_longest_copy_can_be_kept():
    documents = [document("a", report(1)), document("b", f"{report(1)} addendum: seen again on monday")]
    assert outcome(documents) == (["a"], {"b": "d-a"})
    assert outcome(documents, keep="longest") == (["b"], {"a": "d-b"})
    labeled = replace(documents[0], answers={"d": "x"})
    assert outcome([labeled, documents[1]], keep="longest") == (["a"], {"b": "d-a"})


def test_a_chain_of_small_changes_does_not_swallow_its_far_end():
    chain = [report(1)]
    for step in range(12):
        chain.append(changed(chain[-1], 4, seed=step))
    kept, dropped = outcome([document(f"{number:02}", text) for number, text in enumerate(chain)])
    assert kept[0] == "00" and len(kept) > 1
    assert set(dropped.values()) <= {f"d-{key}" for key in kept}


def test_documents_are_read_twice_and_not_held():
    class Files:
        """Counts how often it is read."""

        reads = 0

        def __iter__(self):
            self.reads += 1
            yield from [document("a", report(1)), document("b", changed(report(1), 2)), document("c", report(2))]

    files = Files()
    assert outcome(files) == (["a", "c"], {"b": "d-a"})
    assert files.reads == 2
    assert outcome(iter(list(files))) == (["a", "c"], {"b": "d-a"})


_texts = st.one_of(
    st.sampled_from(["x", "X ", "y", ""]),
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 3)).map(
        lambda drawn: changed(report(drawn[0], 40), drawn[1], drawn[2])
    ),
)


@given(
    st.lists(st.tuples(_texts, st.sampled_from("pq"), st.booleans()), max_size=9),
    st.sampled_from(["patient", "anywhere"]),
    st.sampled_from(["first", "longest"]),
    st.randoms(),
)
@settings(max_examples=150)
def test_order_does_not_matter_nothing_disappears_and_a_second_pass_finds_nothing(drawn, within, keep, order):
    documents = [
        document(str(number), text, patient, {"d": "x"} if labeled else {})
        for number, (text, patient, labeled) in enumerate(drawn)
    ]
    options = {"within": within, "keep": keep}
    kept, dropped = outcome(documents, **options)
    assert sorted([*kept, *dropped]) == sorted(d.key for d in documents)
    assert set(dropped.values()) <= {f"d-{key}" for key in kept}
    shuffled = list(documents)
    order.shuffle(shuffled)
    again, dropped_again = outcome(shuffled, **options)
    assert (sorted(again), dropped_again) == (sorted(kept), dropped)
    assert outcome([d for d in documents if d.key in kept], **options) == (kept, {})


# --- signatures and their index ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("common", "own"), [(0, 50), (50, 50), (80, 20), (190, 10), (100, 0)])
def test_the_estimate_is_within_four_standard_errors_of_the_true_likeness(common, own):
    shared = {f"s{n}" for n in range(common)}
    one, other = (min_hash(shared | {f"{side}{n}" for n in range(own)}) for side in "ab")
    true = common / (common + 2 * own)
    error = (true * (1 - true) / PERMUTATIONS) ** 0.5
    assert abs(float(estimated_likeness(one, other[None, :])[0]) - true) <= 4 * error + 1e-9


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_bands_are_as_long_as_a_pair_at_the_threshold_allows(threshold):
    def found(rows):
        return 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows)

    rows = rows_per_band(threshold)
    assert found(rows) >= MIN_FOUND
    assert all(found(longer) < MIN_FOUND for longer in range(rows + 1, PERMUTATIONS + 1))


@given(st.integers(0, 2**32), st.sampled_from([0.5, 0.6, 0.8]))
@settings(max_examples=30)
def test_the_index_finds_what_a_comparison_of_all_pairs_finds(seed, threshold):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**32, (4, PERMUTATIONS), dtype=np.uint32)
    noise = rng.integers(0, 2**32, (40, PERMUTATIONS), dtype=np.uint32)
    mixed = rng.random((40, PERMUTATIONS)) < rng.choice([0.02, 0.1, 0.9], (40, 1))
    table = np.where(mixed, noise, base[rng.integers(0, 4, 40)])
    index = Near(table, threshold)
    for row in range(40):
        likeness = estimated_likeness(table[row], table[:row])
        assert {other for other, _ in index.alike(row)} == {n for n in range(row) if likeness[n] >= threshold}
        index.add(row)


def test_signatures_are_the_same_in_every_run():
    assert min_hash({"of gait", "ataxia of"})[:3].tolist() == [1111323078, 561491059, 3659713719]


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="threshold"):
        Likeness(threshold=0.1)
