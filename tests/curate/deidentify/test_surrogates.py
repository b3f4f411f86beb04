"""Surrogates keep the form of what they stand for and never equal it."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.curate.deidentify import Detector, Identifier, Mode, load_policy
from residency.curate.deidentify.invented import invented_names
from residency.curate.deidentify.policy import areas_of_few_people, general_zip
from residency.curate.deidentify.surrogates import Surrogates


@pytest.fixture
def surrogates(detector: Detector) -> Surrogates:
    return make(detector)


def make(detector: Detector, *identifiers: tuple[str, str], key: bytes = b"k" * 32) -> Surrogates:
    rules = load_policy("expert_determination")
    return Surrogates(
        key=key, patient="p1", lexicon=detector.lexicon, rules=rules, mode=Mode.SURROGATE, identifiers=identifiers
    )


def shape(text: str) -> str:
    return re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "9", text)))


@pytest.mark.parametrize("name", ["Sarah Turner", "TURNER, Sarah"])
@pytest.mark.parametrize("initials", ["ST", "S.T.", "S. T."])
def test_initials_are_those_of_the_surrogate_of_the_name_they_stand_for(
    detector: Detector, name: str, initials: str
) -> None:
    surrogates = make(detector, (Identifier.NAME, name))
    expected = surrogates.name_part("sarah")[0] + surrogates.name_part("turner")[0]
    new = surrogates.replace(Identifier.NAME, initials)
    assert shape(new) == shape(initials)
    assert re.sub(r"\W", "", new).upper() == expected


def test_initials_of_two_names_are_letters_of_their_own(detector: Detector) -> None:
    one = make(detector, (Identifier.NAME, "Sarah Turner"), (Identifier.NAME, "Simon Tate"))
    assert one.replace(Identifier.NAME, "ST") == make(detector).replace(Identifier.NAME, "ST")


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (Identifier.MRN, "12-34-56-78"),
        (Identifier.MRN, "MR673159"),
        (Identifier.PHONE, "(388) 982-6797"),
        (Identifier.SSN, "***-**-6250"),
        (Identifier.LICENSE, "FE9548638"),
        (Identifier.VEHICLE_ID, "RUY-9516"),
        (Identifier.HEALTH_PLAN_ID, "1EG4-TE5-MK73"),
        (Identifier.PHOTO_ID, "IMG_1730.jpg"),
        (Identifier.LOCATION, "WN5H 0PJ"),
        (Identifier.LOCATION, "33563"),
        (Identifier.NAME, "STH"),
    ],
)
def test_letters_stay_letters_and_digits_digits(surrogates: Surrogates, label: Identifier, text: str) -> None:
    new = surrogates.replace(label, text)
    assert new != text
    assert shape(new) == shape(text)


def test_a_country_code_stays(surrogates: Surrogates) -> None:
    assert surrogates.replace(Identifier.PHONE, "+44 7152 163830").startswith("+44 ")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    label=st.sampled_from(list(Identifier)),
    text=st.text(alphabet=st.sampled_from("aB1 .,:-/^'\n@#é"), min_size=1, max_size=20).filter(lambda t: t.strip()),
)
def test_a_surrogate_is_never_the_original(surrogates: Surrogates, label: Identifier, text: str) -> None:
    assert surrogates.replace(label, text) != text


@pytest.mark.parametrize("name", ["TURNER^SARAH", "Turner,Sarah", "Sarah TURNER", "sarah turner", "Turner, Sarah"])
def test_parts_separators_and_case_of_a_name_stay(detector: Detector, name: str) -> None:
    surrogates = make(detector, (Identifier.NAME, name))
    surname, given_name = surrogates.name_part("Turner"), surrogates.name_part("Sarah")
    expected = {"turner": surname, "sarah": given_name}
    new = surrogates.replace(Identifier.NAME, name)
    assert shape(re.sub(r"\w+", "", new)) == re.sub(r"\w+", "", name)
    for old_word, new_word in zip(re.findall(r"\w+", name), re.findall(r"\w+", new), strict=True):
        assert new_word.lower() == expected[old_word.lower()].lower()
        assert new_word.isupper() == old_word.isupper() and new_word.islower() == old_word.islower()


def test_an_initial_goes_with_the_full_name(detector: Detector) -> None:
    surrogates = make(detector, (Identifier.NAME, "Sarah Turner"))
    assert surrogates.replace(Identifier.NAME, "S. Turner")[0] == surrogates.name_part("Sarah")[0]


def test_a_surrogate_is_no_real_name_of_the_patient(detector: Detector) -> None:
    taken = make(detector, (Identifier.NAME, "Turner")).replace(Identifier.NAME, "Turner")
    assert (
        make(detector, (Identifier.NAME, "Turner"), (Identifier.NAME, taken)).replace(Identifier.NAME, "Turner")
        != taken
    )


def test_the_kind_of_an_organization_stays(surrogates: Surrogates) -> None:
    new = surrogates.replace(Identifier.ORGANIZATION, "St. Columba's Hospital")
    assert new.startswith("St. ") and new.endswith("'s Hospital") and "Columba" not in new


@pytest.mark.parametrize(
    ("code", "area"), [("03601", "000**"), ("90210", "902**"), ("10201", "000**"), ("20301-1234", "000**")]
)
def test_three_digits_of_a_zip_code_stay_where_enough_people_live(code: str, area: str) -> None:
    assert general_zip(code) == area


def test_the_restricted_areas_are_those_of_the_census_of_2020() -> None:
    few = areas_of_few_people()
    assert {"036", "205", "893"} <= few  # restricted by the census of 2020
    assert "063" not in few and "830" not in few and "831" not in few  # in the outdated list of 2000 only
    assert {"000", "213", "899"} <= few  # nobody lives there
    assert not few & {"100", "606", "902"}


def test_surrogates_come_from_names_that_no_list_of_real_names_knows(detector: Detector) -> None:
    invented = invented_names(detector.lexicon)
    for pool in (invented.female, invented.male, invented.surnames):
        assert len(pool) > 500
        assert not any(detector.lexicon.is_name(name) or detector.lexicon.is_word(name) for name in pool)
    assert not set(invented.female) & set(invented.male)
    assert not set(invented.surnames) & (set(invented.female) | set(invented.male))


def test_a_given_name_keeps_its_gender(detector: Detector) -> None:
    invented = invented_names(detector.lexicon)
    surrogates = make(detector, (Identifier.NAME, "Jennifer Robinson"), (Identifier.NAME, "Robert Robinson"))
    she, surname = surrogates.replace(Identifier.NAME, "Jennifer Robinson").split()
    he, same = surrogates.replace(Identifier.NAME, "Robert Robinson").split()
    assert she in invented.female and he in invented.male
    assert surname == same and surname in invented.surnames


@pytest.mark.parametrize(
    ("label", "text", "gone"),
    [
        (Identifier.URL, "http://x.org/patients/jane-doe-1951", ("jane", "doe", "1951", "x.org")),
        (Identifier.URL, "twitter.com/JaneDoe", ("jane", "twitter")),
        (Identifier.LOCATION, "12 Mill Rd", ("mill",)),
        (Identifier.LOCATION, "4 Park Ave", ("park",)),
        (Identifier.LOCATION, "Hauptstraße 12", ("haupt",)),
    ],
)
def test_nothing_telling_stays_in_a_path_or_a_street(surrogates, label: Identifier, text: str, gone: tuple) -> None:
    new = surrogates.replace(label, text).casefold()
    assert not any(part in new for part in gone)


def test_the_kind_of_a_street_stays(surrogates: Surrogates) -> None:
    assert surrogates.replace(Identifier.LOCATION, "12 Mill Rd").endswith(" Rd")
    assert "straße " in surrogates.replace(Identifier.LOCATION, "Hauptstraße 12")
    assert surrogates.replace(Identifier.LOCATION, "Flat 3 Park Court").startswith("Flat ")


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("Chicago", True), ("Lake Jane", True), ("60614", True), ("SW1A 1AA", True),
        ("Hauptstraße 12", False), ("Quarry Lane", False), ("12 Luna Glen", False), ("N412LF", False),
    ],
)  # fmt: skip
def test_a_limited_data_set_keeps_towns_and_postal_codes_and_nothing_else(detector, text: str, stays: bool) -> None:
    rules = load_policy("limited_data_set")
    limited = Surrogates(key=b"k" * 32, patient="p", lexicon=detector.lexicon, rules=rules, mode=Mode.SURROGATE)
    assert (limited.replace(Identifier.LOCATION, text) == text) == stays


def test_a_date_of_birth_that_shows_an_age_over_89_goes_under_a_shift_too(detector: Detector) -> None:
    surrogates = make(detector, (Identifier.DATE, "21 December 1929"), (Identifier.DATE, "3 March 2021"))
    assert surrogates.replace(Identifier.DATE, "21 December 1929") == "[DATE]"
    assert re.fullmatch(r"\d+ \w+ 202[012]", surrogates.replace(Identifier.DATE, "3 March 2021"))
