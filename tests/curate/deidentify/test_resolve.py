"""Which finding stands where several claim the same place, and with what score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.deidentify.resolve import CERTAIN, DISPUTED, resolve
from residency.records import Span

TEXT = "Jordan came from the Jordan Clinic on 5551234 today"


def span(start: int, end: int, label: str, score: float) -> Span:
    return Span(start=start, end=end, label=label, score=score, found_by="test")


def test_the_surer_finding_wins_and_the_rest_of_the_other_stays() -> None:
    [first, second] = resolve(TEXT, [span(0, 6, "NAME", 0.9), span(0, 11, "LOCATION", 0.7)])
    assert (first.label, first.score) == ("NAME", 0.9)
    assert (TEXT[second.start : second.end].strip(), second.label) == ("came", "LOCATION")


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        (("NAME", 0.7), ("LOCATION", 0.55), DISPUTED),  # a rule says a name, the model a place
        (("LOCATION", 0.55), ("NAME", 0.55), 0.55),  # already below
        (("NAME", 0.9), ("LOCATION", 0.8), 0.9),  # certain
        (("NAME", 0.7), ("NAME", 0.55), 0.7),  # agreed
        (("MRN", 0.6), ("PHONE", 0.75), 0.75),  # hidden either way
    ],
)
def test_a_dispute_between_classes_leaves_a_doubtful_score(one, other, score: float) -> None:
    [winner] = resolve(TEXT, [span(0, 6, *one), span(0, 6, *other)])
    assert winner.score == score


def test_a_name_inside_an_organization_is_no_dispute() -> None:
    winners = resolve(TEXT, [span(21, 34, "ORGANIZATION", 0.8), span(21, 27, "NAME", 0.6)])
    assert [(w.label, w.score) for w in winners] == [("ORGANIZATION", 0.8)]


SPANS = st.lists(
    st.builds(
        lambda start, length, label, score: span(start, min(len(TEXT), start + length), label, score),
        st.integers(0, len(TEXT) - 1),
        st.integers(1, 20),
        st.sampled_from(("NAME", "LOCATION", "DATE", "MRN")),
        st.sampled_from((0.5, 0.55, 0.6, 0.7, 0.84, CERTAIN, 0.95)),
    ),
    max_size=8,
)


@given(SPANS)
def test_every_letter_that_was_found_stays_found_once_and_order_does_not_matter(spans: list[Span]) -> None:
    resolved = resolve(TEXT, spans)
    covered = [place for s in resolved for place in range(s.start, s.end)]
    assert len(covered) == len(set(covered))
    wanted = {p for s in spans for p in range(s.start, s.end) if TEXT[p].isalnum()}
    assert wanted <= set(covered)
    assert resolve(TEXT, reversed(spans)) == resolved
