"""No patient on two sides, every class its share, and the same split whatever the order."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.split import SplitSettings, split_patients
from residency.records import Document, Source, Split

BY_CLASS = SplitSettings(stratify="diagnosis")
_patients = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("ABC"), st.sampled_from(["x", "y", "z", ""])), max_size=40
)


def documents(rows):
    return [
        Document(
            id=f"d{n}", key=str(n), text="", source=Source(path="x"), patient=str(p), group=g, answers={"diagnosis": c}
        )
        for n, (p, c, g) in enumerate(rows)
    ]


def classes(*sizes):
    return documents([(f"{c}{n}", f"class {c}", f"g{c}") for c, size in enumerate(sizes) for n in range(size)])


@given(_patients, st.sampled_from(["patient", "group"]), st.sampled_from([None, "diagnosis"]), st.randoms())
def test_every_patient_is_on_one_side_in_every_order(rows, by, stratify, order):
    records = documents(rows)
    settings = SplitSettings(by=by, stratify=stratify)
    report = split_patients(records, settings, seed=3)
    assert set(report.split_of) == {d.patient for d in records}
    assert sum(report.count(side) for side in Split) == len(report.split_of)
    order.shuffle(records)
    assert split_patients(records, settings, seed=3).split_of == report.split_of


@given(_patients)
def test_by_group_no_group_is_on_two_sides(rows):
    records = documents(rows)
    split_of = split_patients(records, SplitSettings(by="group")).split_of
    sides = defaultdict(set)
    for record in records:
        if record.group:
            sides[record.group].add(split_of[record.patient])
    assert all(len(its_sides) == 1 for its_sides in sides.values())


def test_every_class_gets_its_share_within_one_patient():
    report = split_patients(classes(17, 17, 40, 25), BY_CLASS, seed=1)
    for counts in report.patients.values():
        size = sum(counts.values())
        for side in Split:
            assert abs(counts[side] - BY_CLASS.fraction(side) * size) < 1.5
    assert not report.warnings


def test_over_many_small_classes_every_side_gets_its_fraction():
    report = split_patients(classes(*[4] * 400), BY_CLASS, seed=1)
    for side in Split:
        assert report.count(side) / 1600 == pytest.approx(BY_CLASS.fraction(side), abs=0.03)


def test_every_class_trains_and_classes_with_too_few_patients_are_named():
    report = split_patients(classes(1, 2, 30), BY_CLASS, seed=1)
    assert all(counts[Split.TRAIN] for counts in report.patients.values())
    assert any("no patient in validation: class 0; class 1" in warning for warning in report.warnings)


@pytest.mark.parametrize("seed", range(20))
def test_who_joins_moves_only_those_at_the_borders_of_the_same_class(seed):
    rng = random.Random(seed)
    rows = [(f"p{n}", rng.choice("AB"), "") for n in range(60)]
    before = split_patients(documents(rows), BY_CLASS, seed=seed).split_of
    after = split_patients(documents([*rows, ("new", "A", "")]), BY_CLASS, seed=seed).split_of
    moved = [patient for patient, side in before.items() if after[patient] is not side]
    class_of = {patient: label for patient, label, _ in rows}
    assert len(moved) <= 3
    assert all(class_of[patient] == "A" for patient in moved)


def test_a_class_of_one_patient_is_never_held_out():
    report = split_patients(classes(*[1] * 60), BY_CLASS, seed=1)
    assert report.count(Split.TRAIN) == 60


def test_seeds_give_different_splits_and_one_seed_the_same():
    records = classes(60)
    splits = [
        split_patients(records, SplitSettings(seed=own), seed=project).split_of for project in (0, 1) for own in (0, 1)
    ]
    assert splits[0] == split_patients(records, SplitSettings(), seed=0).split_of
    assert all(splits[0] != other for other in splits[1:])


def test_a_patient_with_several_labels_counts_by_the_most_frequent_one():
    rows = [("p", "x", ""), ("p", "y", ""), ("p", "y", ""), ("p", "", ""), ("p", "", ""), ("p", "", "")]
    assert list(split_patients(documents(rows), BY_CLASS).patients) == ["y"]


def test_no_documents_give_an_empty_split():
    assert split_patients([], BY_CLASS).split_of == {}


def test_a_side_can_be_left_out():
    settings = SplitSettings(train=0.8, validation=0.0, calibration=0.0, test=0.2, stratify="diagnosis")
    report = split_patients(classes(50), settings)
    assert Counter(report.split_of.values()) == {Split.TRAIN: 40, Split.TEST: 10}
    assert not report.warnings


def test_fractions_that_are_no_whole_are_an_error_with_their_sum():
    with pytest.raises(ValueError, match=r"add up to 0\.96"):
        SplitSettings(train=0.6)
