"""The reading copy and its way back to the raw text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.deidentify.reading import read


@pytest.mark.parametrize(
    ("raw", "copy"),
    [
        ("JosÃ© MÃ¼ller", "José Müller"),
        ("it\u2019s  here", "it's here"),
        ("Jose\u0301", "José"),
        ("seen comma well full stop new paragraph Plan", "seen, well.\n Plan"),
        ("period pain", "period pain"),
    ],
)
def test_the_copy_is_easier_to_read(raw: str, copy: str) -> None:
    assert read(raw).text == copy


def test_only_ends_of_wrapped_lines_become_spaces() -> None:
    raw = (
        "Name: A B\nDOB: today\nThis is a long line of prose that was wrapped at some\n"
        "width by the exporter of the records system and goes on"
    )
    assert read(raw).text.count("\n") == 2


@given(st.text(alphabet=st.sampled_from("ab Ã©\u0301\u00ad \n\u2019comma,."), max_size=60))
def test_every_character_of_the_copy_has_a_place_in_the_raw_text(raw: str) -> None:
    reading = read(raw)
    assert len(reading.text) == len(reading.starts) == len(reading.ends)
    for i in range(len(reading.text)):
        start, end = reading.back(i, i + 1)
        assert 0 <= start < end <= len(raw)
    assert list(reading.starts) == sorted(reading.starts)


@pytest.mark.parametrize("raw", ["JosÃ©", "Jose\u0301", "a  "])
def test_a_replaced_stretch_goes_back_as_a_whole(raw: str) -> None:
    reading = read(raw)
    assert reading.back(0, len(reading.text)) == (0, len(raw))
