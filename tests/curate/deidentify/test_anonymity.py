"""k-anonymity against counts done by hand. All patients are invented."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.deidentify.anonymity import UNKNOWN, quasi_identifiers, small_cells
from residency.records import Document, Source, Span


def document(
    text: str, *, name: str = "d", patient: str = "p1", spans: Sequence[Span] = (), **answers: str
) -> Document:
    return Document(
        id=name, key=name, text=text, source=Source(path="x"), patient=patient, answers=answers, spans=tuple(spans)
    )


def told(text: str, *spans: Span) -> dict[str, str]:
    return quasi_identifiers(document(text, spans=spans), columns=[])


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("A 9-year-old girl", "1-9"),
        ("10 yr old", "10-19"),
        ("a 19 y/o man", "10-19"),
        ("89 years old", "80-89"),
        ("a 90+ year-old", "90+"),
        ("93 yo", "90+"),
        ("an 11 month old infant", "under 1"),
        ("an 18-month-old boy", "1-9"),
        ("3 weeks old", "under 1"),
        ("a newborn with seizures", "under 1"),
        ("Age: 42  Sex: F", "40-49"),
        ("The mother, 41 years old, is well. A 7-year-old boy", "1-9"),
        ("walked at 2 years old; 14-year-old boy", "10-19"),
        ("DOB 2004-06-30, seen 2014-06-29", "1-9"),
        ("DOB 2004-06-30, seen 2014-06-30", "10-19"),
        ("no age told", UNKNOWN),
    ],
)
def test_the_age_is_the_patients_and_falls_into_a_band(text: str, age: str) -> None:
    assert told(text)["age"] == age


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("a 4-year-old boy; his sister is a girl", "male"),
        ("Sex: F. The boy next door", "female"),
        ("this lady", "female"),
        ("seen in clinic", UNKNOWN),
    ],
)
def test_the_sex_is_what_the_form_or_the_first_word_says(text: str, sex: str) -> None:
    assert told(text)["sex"] == sex


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Thornford, PA 33563", "Pennsylvania"),
        ("lives in west virginia", "West Virginia"),
        ("He is OK, he said. OR theatre", UNKNOWN),
        ("moved from Scotland to Ohio, United States", "Ohio"),
        ("born in Scotland", "Scotland"),
        ("Ohio, then Texas, then Texas", "Texas"),
    ],
)
def test_the_state_is_the_most_specific_place_that_stays(text: str, state: str) -> None:
    assert told(text)["state"] == state


def test_a_surrogate_tells_no_state_but_the_letters_after_it_do() -> None:
    text = "Virginia Texas lives in Tilbhurst, OH 44120"
    spans = [
        Span(start=0, end=14, label="NAME"),
        Span(start=text.index("Tilb"), end=text.index(","), label="LOCATION"),
        Span(start=text.index("44120"), end=len(text), label="LOCATION"),
    ]
    assert told(text, *spans)["state"] == "Ohio"
    assert told("Virginia Texas", spans[0])["state"] == UNKNOWN


def test_the_year_is_that_of_the_latest_date_even_where_only_years_are_left() -> None:
    assert told("seen 3/5/2012 and 2014-01-02, born 2001")["year"] == "2014"
    assert told("seen 2016 again", Span(start=5, end=9, label="DATE"))["year"] == "2016"
    assert told("no date")["year"] == UNKNOWN


def test_columns_come_from_the_answers() -> None:
    one = document("x", diagnosis="Rett syndrome ", other="y")
    assert quasi_identifiers(one, columns=["diagnosis", "site"]) == {
        "age": UNKNOWN,
        "sex": UNKNOWN,
        "state": UNKNOWN,
        "year": UNKNOWN,
        "diagnosis": "Rett syndrome",
        "site": UNKNOWN,
    }


def seven() -> list[Document]:
    """Seven patients: four boys and two girls of one age with A, one boy with B; p1 has three documents."""
    boy, girl = "a 5-year-old boy", "a 5-year-old girl"
    rows = [("p1", boy, "A"), ("p1", boy, "A"), ("p1", girl, "B"), ("p2", boy, "A"), ("p3", boy, "A")]
    rows += [("p4", boy, "A"), ("p5", girl, "A"), ("p6", girl, "A"), ("p7", boy, "B")]
    return [
        document(text, name=f"d{number}", patient=patient, diagnosis=diagnosis)
        for number, (patient, text, diagnosis) in enumerate(rows)
    ]


def test_cells_count_patients_and_not_documents() -> None:
    result = small_cells(seven(), columns=["diagnosis"], k=3)
    assert (result.patients, result.cells, result.smallest) == (7, 3, 1)
    assert [(cell.patients, cell.pseudonyms) for cell in result.below] == [(1, ("p7",)), (2, ("p5", "p6"))]
    assert result.below[0].values["diagnosis"] == "B"
    assert (result.patients_below, result.share_below) == (3, pytest.approx(3 / 7))
    assert not result.reached
    assert result.unknown == {"age": 0, "sex": 0, "state": 7, "year": 7, "diagnosis": 0}


def test_the_next_step_is_the_quasi_identifier_whose_loss_helps_most() -> None:
    result = small_cells(seven(), columns=["diagnosis"], k=3)
    left = {one.quasi_identifier: one.patients_below for one in result.without}
    # Without diagnosis: boys 5, girls 2. Without sex: A 6, B 1. Without the others nothing changes.
    assert left == {"diagnosis": 2, "sex": 1, "age": 3, "state": 3, "year": 3}
    assert result.drop_first == "sex"
    assert small_cells(seven(), columns=["diagnosis"], k=2).drop_first == "diagnosis"
    assert small_cells(seven(), columns=["diagnosis"], k=1).drop_first is None


def test_k_itself_is_enough() -> None:
    assert small_cells(seven(), columns=[], k=2).reached
    assert not small_cells(seven(), columns=[], k=3).reached


def test_unknown_is_a_value_like_any_other() -> None:
    documents = [document("nothing told", name=str(number), patient=f"p{number}") for number in range(3)]
    result = small_cells(documents, columns=[], k=3)
    assert (result.cells, result.smallest, result.reached) == (1, 3, True)
    known = [*documents, document("nothing told", name="y", patient="p0", diagnosis="A")]
    assert small_cells(known, columns=["diagnosis"], k=3).below[0].pseudonyms == ("p0",)


def test_the_year_of_a_patient_is_the_latest_of_the_documents() -> None:
    documents = [document(f"seen {year}-01-02", name=year, patient="p1") for year in ("2019", "2020", "2018", "2018")]
    assert small_cells(documents, columns=[], k=2).below[0].values["year"] == "2020"


def test_documents_without_a_patient_stand_alone() -> None:
    documents = [document("x", name="a", patient=""), document("x", name="b", patient="")]
    assert small_cells(documents, columns=[], k=1).patients == 2


def test_no_documents_and_a_k_of_nothing() -> None:
    empty = small_cells([], columns=[], k=5)
    assert (empty.patients, empty.cells, empty.smallest, empty.share_below, empty.reached) == (0, 0, 0, 0.0, True)
    with pytest.raises(ValueError, match="k is 0"):
        small_cells([], columns=[], k=0)


def test_the_result_is_plain_data() -> None:
    plain = json.loads(json.dumps(small_cells(seven(), columns=["diagnosis"], k=3).plain()))
    assert plain["below"][0]["pseudonyms"] == ["p7"]
    assert (plain["reached"], plain["drop_first"]) == (False, "sex")


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6"]),
        st.sampled_from(["a 5-year-old boy", "a 5-year-old girl", "a 15-year-old boy", "seen 2019-02-03", ""]),
        st.sampled_from(["A", "B", ""]),
        st.sampled_from(["north", "south", ""]),
    ),
    max_size=14,
)


def made(rows: Sequence[tuple[str, str, str, str]]) -> list[Document]:
    return [
        document(text, name=f"d{number}", patient=patient, diagnosis=diagnosis, site=site)
        for number, (patient, text, diagnosis, site) in enumerate(rows)
    ]


@given(rows=ROWS, k=st.integers(1, 5))
def test_another_quasi_identifier_never_makes_cells_larger(rows: list[tuple[str, str, str, str]], k: int) -> None:
    few = small_cells(made(rows), columns=["diagnosis"], k=k)
    more = small_cells(made(rows), columns=["diagnosis", "site"], k=k)
    assert more.smallest <= few.smallest
    assert more.patients_below >= few.patients_below
    assert all(one.patients_below <= more.patients_below for one in more.without)
    dropped = next(one for one in more.without if one.quasi_identifier == "site")
    assert (dropped.smallest, dropped.patients_below) == (few.smallest, few.patients_below)


@given(rows=ROWS)
def test_every_patient_is_in_one_cell(rows: list[tuple[str, str, str, str]]) -> None:
    all_cells = small_cells(made(rows), columns=["diagnosis"], k=100)
    patients = [patient for cell in all_cells.below for patient in cell.pseudonyms]
    assert sorted(patients) == sorted({row[0] for row in rows})
    assert sum(cell.patients for cell in all_cells.below) == all_cells.patients


@given(rows=ROWS, data=st.data())
def test_the_order_of_documents_does_not_matter(rows: list[tuple[str, str, str, str]], data: st.DataObject) -> None:
    documents = made(rows)
    other = data.draw(st.permutations(documents))
    assert small_cells(documents, columns=["diagnosis"], k=2) == small_cells(other, columns=["diagnosis"], k=2)
