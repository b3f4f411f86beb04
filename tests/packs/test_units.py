"""Units are read whole or not at all, and written one way; numbers stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.cleanse import repair
from residency.errors import ProjectError
from residency.packs import load_pack
from residency.packs.units import Unit, Units, load_units, read_units
from residency.text import apply_edits

NEUROLOGY = load_units(load_pack("neurology"))


def written(text, units=NEUROLOGY):
    return apply_edits(text, repair.units(text, units))[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sertraline 50 MG daily", "sertraline 50 mg daily"),
        ("250mcg, 3 mls and 2 cc.", "250µg, 3 mL and 2 mL."),
        ("30 mgs/kg then 30 mg/kg/d", "30 mg/kg then 30 mg/kg/day"),
        ("lactate 2,1 mmol/l; CK 800 u/l", "lactate 2,1 mmol/L; CK 800 U/L"),
        ("seen for 45 mins, again in 2 wks", "seen for 45 min, again in 2 wk"),
        ("dose 5 micrograms", "dose 5 µg"),
    ],
)
def test_one_unit_is_written_one_way(text, expected):
    assert written(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a 3-year-old boy, 5 months of age, for 20 minutes",  # everyday words stay
        "2 mg/h",  # a unit that is not in the table is not read as a part of it
        "5 mmol and 6 grammar books, 3 MM wide, 4 G",  # a longer word; letter case that could mean two things
        "3 in the morning; page 4 of 5; L5-S1; 2/5",
        "room A12 mg",
    ],
)
def test_what_is_no_known_unit_stays(text):
    assert written(text) == text


def test_letter_case_decides_where_two_units_differ_in_it():
    units = Units({"mm": Unit("mm", "m", 0.001), "mM": Unit("mmol/L", "mol/L", 0.001)})
    assert written("3 mm and 3 mM and 3 MM", units) == "3 mm and 3 mmol/L and 3 MM"


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,000 mg", 1000), ("12,500.5 mg", 12500.5), ("1,000,000 mg", 1e6), ("2,1 mg", 2.1), ("0,125 mg", 0.125)],
)
def test_a_comma_before_three_digits_divides_thousands(text, number):
    [quantity] = NEUROLOGY.find(text)
    assert quantity.number == number and text[: quantity.unit_start].strip() == text.split()[0]


def test_equal_amounts_are_equal_in_the_base_unit():
    first, second = NEUROLOGY.find("0.5 g or 500 mg")
    assert first.in_base == pytest.approx(second.in_base) and first.unit.base == second.unit.base


@given(st.text(alphabet="0123456789., mgµkgL/dlMG%hrsyr-\n", max_size=60))
def test_writing_units_twice_changes_nothing_and_numbers_stay(text):
    once = written(text)
    assert written(once) == once
    assert [c for c in once if c.isdigit()] == [c for c in text if c.isdigit()]


MG = {"written": "mg", "standard": "mg", "base": "g", "factor": "0.001"}


@pytest.mark.parametrize(
    "row",
    [
        {"written": "mg"},
        *({**MG, "factor": factor} for factor in ("x", "", "nan", "inf", "0", "-1")),
        {**MG, "standard": ""},  # would delete the unit from every text
        {**MG, "base": " "},
    ],
)
def test_a_torn_row_is_an_error_with_its_spelling(row):
    with pytest.raises(ProjectError, match="'mg'"):
        read_units([row])


def test_a_unit_with_two_meanings_is_an_error():
    assert read_units([MG, MG]) == {"mg": Unit("mg", "g", 0.001)}
    with pytest.raises(ProjectError, match=r"'mg' .* another meaning"):
        read_units([MG, {**MG, "factor": "1"}])
    with pytest.raises(ProjectError, match="''"):
        read_units([{**MG, "written": ""}])


def test_a_pack_without_units_has_none():
    assert list(Units({}).find("5 mg")) == []
