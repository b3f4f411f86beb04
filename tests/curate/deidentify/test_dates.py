"""Dates are read, moved and written in their own form."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.deidentify.dates import find_dates, prefers_day_first, read_date, shifted, write_date

NEW = date(2021, 9, 3)  # a Friday


@pytest.mark.parametrize(
    ("old", "day_first", "new"),
    [
        ("03/04/2019", False, "09/03/2021"),
        ("03/04/2019", True, "03/09/2021"),
        ("13.2.19", True, "03.9.21"),
        ("2019-04-03", False, "2021-09-03"),
        ("20190403", False, "20210903"),
        ("3 April 2019", False, "3 September 2021"),
        ("the 22nd of April 2019", False, "the 3rd of September 2021"),
        ("Apr. 13 2019", False, "Sep. 3 2021"),
        ("MAY 13, 2019", False, "SEPTEMBER 3, 2021"),
        ("13-MAY-19", False, "3-SEP-21"),
        ("04APR2019 2247hrs", False, "03SEP2021 2247hrs"),
        ("Wed 14 Jul", False, "Fri 3 Sep"),
        ("Mar '19", False, "Sep '21"),
        ("Nov-16", False, "Sep-21"),
        ("July", False, "September"),
        ("15 mars 2023", False, "3 septembre 2021"),
        ("4. April 2016", False, "3. September 2021"),
        ("12/19/2020 02:55", False, "09/03/2021 02:55"),
    ],
)
def test_a_date_is_written_in_the_form_of_another(old: str, day_first: bool, new: str) -> None:
    written = read_date(old, day_first=day_first)
    assert written is not None
    assert write_date(written, NEW) == new


@given(st.dates(date(1935, 1, 1), date(2025, 1, 1)), st.integers(-365, 365).filter(bool))
def test_intervals_survive_a_shift(day: date, days: int) -> None:
    text = day.strftime("%d %B %Y")
    written = read_date(text, day_first=False)
    assert written is not None
    again = read_date(shifted(written, days, year_if_unsaid=2000), day_first=False)
    assert again is not None and again.day and again.year
    assert (date(again.year, again.month, again.day) - day).days == days


def test_unambiguous_dates_tell_which_place_the_day_has() -> None:
    assert prefers_day_first(["13/02/2019", "03/04/2019"]) is True
    assert prefers_day_first(["02/13/2019"]) is False
    assert prefers_day_first(["03/04/2019"]) is None


@pytest.mark.parametrize("text", ["31/31/2019", "power 4/5", "2/3 of the time", "99/99/99", "ratio 10/4", "may march"])
def test_what_is_no_date_is_not_found(text: str) -> None:
    assert find_dates(text) == []
