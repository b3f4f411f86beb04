"""Agreement beyond chance, held against published values and the libraries that others use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.agreement import Level, cohen_kappa, krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units, values 1-5.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
UNITS = [[answer for answer in unit if answer is not None] for unit in zip(*OBSERVERS, strict=True)]


def test_alpha_is_that_of_the_published_example():
    assert krippendorff_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(UNITS, level=Level.ORDINAL, order=range(1, 6)) == pytest.approx(0.815, abs=5e-4)


def test_nothing_to_agree_on_is_no_agreement():
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([["x"], ["y"]]) is None
    assert krippendorff_alpha([["x", "x"], ["x", "x"]]) is None
    assert cohen_kappa([]) is None and cohen_kappa([("x", "x")]) is None


def test_kappa_is_that_of_a_textbook_table():
    # Cohen 1960 as worked in many textbooks: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
    table = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(table) == pytest.approx(0.4)


answers = st.lists(st.lists(st.sampled_from([1, 2, 3, 4, None]), min_size=3, max_size=3), min_size=2, max_size=12)


@given(answers, st.sampled_from(list(Level)))
def test_alpha_equals_that_of_the_krippendorff_package(units, level):
    krippendorff = pytest.importorskip("krippendorff")
    import numpy as np

    ours = krippendorff_alpha([[a for a in unit if a is not None] for unit in units], level=level, order=(1, 2, 3, 4))
    table = np.array([[np.nan if a is None else a for a in row] for row in zip(*units, strict=True)])
    if ours is None:
        return
    theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=str(level), value_domain=[1, 2, 3, 4])
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=8), st.randoms())
def test_the_order_of_things_and_readers_does_not_matter(units, random):
    shuffled = [random.sample(unit, len(unit)) for unit in random.sample(units, len(units))]
    one, other = krippendorff_alpha(units), krippendorff_alpha(shuffled)
    assert one == other or one == pytest.approx(other)
