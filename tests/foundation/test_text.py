"""Spans survive edits, in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.text import Edit, OffsetMap, apply_edits


@st.composite
def edited_texts(draw):
    text = draw(st.text(max_size=60))
    borders = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edits = [
        Edit(start, end, draw(st.text(max_size=5)))
        for start, end in zip(borders[::2], borders[1::2], strict=False)
    ]  # fmt: skip
    return text, edits


@given(edited_texts())
def test_text_outside_the_edits_is_untouched_and_its_spans_go_there_and_back(case):
    text, edits = case
    new, offsets = apply_edits(text, edits)
    kept_from = 0
    for edit in [*sorted(edits), Edit(len(text), len(text), "")]:
        start, end = kept_from, edit.start
        if end > start:
            there = offsets.forward(start, end)
            assert new[there[0] : there[1]] == text[start:end]
            assert offsets.backward(*there) == (start, end)
        kept_from = edit.end


@given(edited_texts(), st.data())
def test_a_span_that_holds_an_edit_holds_the_replacement(case, data):
    text, edits = case
    new, offsets = apply_edits(text, edits)
    for edit in edits:
        if edit.end > edit.start:
            start = data.draw(st.integers(0, edit.start))
            end = data.draw(st.integers(edit.end, len(text)))
            there = offsets.forward(start, end)
            assert edit.replacement in new[there[0] : there[1]]


@given(edited_texts())
def test_a_border_inside_a_replaced_part_widens_to_the_whole_replacement(case):
    text, edits = case
    new, offsets = apply_edits(text, edits)
    for edit in edits:
        if edit.end - edit.start >= 2:
            start, end = offsets.forward(edit.start + 1, edit.end)
            assert new[start:end] == edit.replacement


def test_two_rounds_of_edits_carry_a_span_through_both():
    first, one = apply_edits("Dr Smith saw ataxia.", [Edit(3, 8, "Jo")])
    second, two = apply_edits(first, [Edit(0, 0, ">> ")])
    both = one.then(two)
    start = "Dr Smith saw ataxia.".index("ataxia")
    there = both.forward(start, start + 6)
    assert second[there[0] : there[1]] == "ataxia"
    assert both.backward(*there) == (start, start + 6)


def test_no_edits_is_the_identity():
    assert apply_edits("same", []) == ("same", OffsetMap())
    assert OffsetMap().forward(1, 3) == (1, 3)


@pytest.mark.parametrize(
    "edits",
    [[Edit(0, 3, "x"), Edit(2, 4, "y")], [Edit(3, 2, "x")], [Edit(0, 99, "x")]],
    ids=["overlap", "reversed", "outside"],
)
def test_edits_that_make_no_sense_are_refused(edits):
    with pytest.raises(ValueError, match="overlaps another or lies outside"):
        apply_edits("abcde", edits)
