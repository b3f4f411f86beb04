"""The step's promises: what is outside spans stays, order does not matter, the key decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.curate.deidentify import Deidentify, Mode, count_replaced
from residency.curate.deidentify.policy import NAMES
from residency.curate.deidentify.surrogates import derived_pseudonym, shift_of
from residency.curate.step import Tools
from residency.records import Document, Source

NOTE = (
    "Patient: TURNER, Hope   DOB: 03/04/2010   MRN: 12-34-56-78\n"
    "Seen: 14 March 2019 at Long Memorial Hospital\n\n"
    "Hope Turner is a girl with hypotonia and ataxia. Mrs. Turner wrote from hope.turner21@gmail.com on 3/9/2019.\n"
    "The family live in Lake Jane. NOK: Matteo Turner, 12 Luna Glen, Lake Jane, PA 03601. "
    "Her great-grandmother is 93 and well.\n"
    "Dr. K. Brennan, pager 4867"
)
LETTER = "Dear Dr Brennan,\n\nI reviewed Hope on 14 March 2019. Babinski absent, power 4/5. Call (388) 982-6797."
PIECES = [
    "Patient: TURNER, Hope\n",
    "Dr. Brennan ",
    "has ataxia. ",
    "MRN 1234567 ",
    "on 03/04/2019 ",
    "\n\n",
    "  ",
    "hypotonia, ",
    "é🎉 ",
    "(388) 982-6797 ",
    "lives in Lake Jane ",
    "Hope is well. ",
    "aged 93, ",
    "at Long Memorial Hospital ",
    "x@y.org ",
    "power 4/5 ",
    "July ",
    "[NAME] ",
]


def document(text: str, *, patient: str = "p1", key: str = "a", answers: dict[str, str] | None = None) -> Document:
    return Document(
        id=f"d-{key}", key=key, text=text, source=Source(path="x.txt"), patient=patient, answers=answers or {}
    )


def run(documents: Sequence[Document], tools: Tools, **settings_: object) -> list[Document]:
    return [result for result in Deidentify(**settings_)(documents, tools) if isinstance(result, Document)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.sampled_from(list(Mode)),
    st.sampled_from(NAMES),
)
def test_text_outside_spans_is_untouched(tools: Tools, detector, text: str, mode: Mode, policy: str) -> None:
    [new] = run([document(text)], tools, mode=mode, policy=policy)
    kept, position = [], 0
    for span in new.spans:
        kept.append(new.text[position : span.start])
        position = span.end
    kept.append(new.text[position:])
    at = 0
    for stretch in kept:  # every kept stretch occurs in the old text, in order
        at = text.index(stretch, at) + len(stretch)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_second_pass_over_tagged_text_finds_nothing_new(tools: Tools, text: str) -> None:
    [first] = run([document(text)], tools, mode=Mode.TAG)
    [second] = run([document(first.text)], tools, mode=Mode.TAG)
    assert second.text == first.text


def test_no_identifier_of_the_note_remains(tools: Tools) -> None:
    [new] = run([document(NOTE)], tools)
    for identifier in (
        "turner",
        "hope",
        "03/04/2010",
        "12-34-56-78",
        "14 march",
        "long memorial",
        "lake jane",
        "luna",
        "03601",
        "matteo",
        "brennan",
        "4867",
        "93",
    ):
        assert identifier not in new.text.lower()
    assert "hypotonia and ataxia" in new.text


def test_nothing_disappears_and_order_stays(tools: Tools) -> None:
    documents = [document(NOTE, patient=f"p{n % 3}", key=str(n)) for n in range(7)]
    results = run(documents, tools)
    assert [d.key for d in results] == [d.key for d in documents]
    assert [d.parents for d in results] == [(d.id,) for d in documents]


def test_the_order_of_documents_does_not_matter(tools: Tools) -> None:
    documents = [document(NOTE, key="a"), document(LETTER, key="b"), document(LETTER, patient="p2", key="c")]
    forward = {d.key: d.text for d in run(documents, tools)}
    backward = {d.key: d.text for d in run(documents[::-1], tools)}
    assert forward == backward


def test_the_same_key_gives_the_same_surrogates_and_another_key_others(tools: Tools) -> None:
    [first], [again] = run([document(NOTE)], tools), run([document(NOTE)], tools)
    [other] = run([document(NOTE)], replace(tools, key=b"x" * 32))
    assert first.text == again.text
    for one, two in zip(first.spans, other.spans, strict=True):
        if one.label in ("NAME", "MRN", "EMAIL"):
            assert first.text[one.start : one.end] != other.text[two.start : two.end]


def test_surrogates_of_one_patient_say_nothing_about_anothers(tools: Tools) -> None:
    one, two = run([document(NOTE, patient="p1", key="a"), document(NOTE, patient="p2", key="b")], tools)
    assert one.text.splitlines()[0] != two.text.splitlines()[0]


def test_a_person_stays_one_person(tools: Tools) -> None:
    note, letter = run([document(NOTE, key="a"), document(LETTER, key="b")], tools)
    surname, given_name = note.text.split("Patient: ")[1].split("   ")[0].split(", ")
    assert surname.isupper()
    assert f"Mrs. {surname.title()} wrote from {given_name.lower()}.{surname.lower()}" in note.text
    assert f"I reviewed {given_name} on" in letter.text
    clinician = note.text.split("Dr. ")[1].split(",")[0].split()[-1]
    assert f"Dear Dr {clinician}," in letter.text


def test_dates_move_together_and_keep_their_form(tools: Tools) -> None:
    note, letter = run([document(NOTE, key="a"), document(LETTER, key="b")], tools)
    seen = note.text.split("Seen: ")[1].split(" at ")[0]
    assert seen != "14 March 2019"
    assert f"on {seen}. Babinski" in letter.text


@given(st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=8))
def test_the_offset_of_dates_is_never_zero(key: bytes, patient: str) -> None:
    assert 1 <= abs(shift_of(key, patient)) <= 365


@pytest.mark.parametrize(
    ("policy", "present", "absent"),
    [
        (
            "safe_harbor",
            ["DOB: 2010", "Seen: 2019", "PA 000**", "90+", "MRN: [MRN]", "pager [PHONE]"],
            ["Lake Jane", "14 March", "Turner"],
        ),
        ("expert_determination", ["90+"], ["Lake Jane", "03601", "03/04/2010"]),
        ("limited_data_set", ["Lake Jane", "PA 03601", "is 93"], ["Luna Glen", "03/04/2010", "Turner"]),
    ],
)
def test_a_policy_says_what_may_stay(tools: Tools, policy: str, present: list[str], absent: list[str]) -> None:
    [new] = run([document(NOTE)], tools, policy=policy)
    assert all(text in new.text for text in present)
    assert not any(text in new.text for text in absent)


@pytest.mark.parametrize(
    "place", ["14 rue des Lilas, 75011 Paris", "80331 München", "PLZ 80331", "lives in 28001 Madrid"]
)
def test_safe_harbor_leaves_no_three_digits_of_a_postal_code_that_is_no_zip_code(tools: Tools, place: str) -> None:
    [new] = run([document(place)], tools, policy="safe_harbor")
    assert not re.search("750|803|280", new.text) and "**" not in new.text


def test_safe_harbor_leaves_three_digits_of_a_zip_code_before_another_field(tools: Tools) -> None:
    [new] = run([document("Thunder Bay, PA 33563 Phone: 555-013-4477")], tools, policy="safe_harbor")
    assert new.text.endswith("PA 335** Phone: [PHONE]")


def test_safe_harbor_drops_a_birth_year_that_shows_an_age_over_89(tools: Tools) -> None:
    [new] = run([document("DOB: 03/04/1926\nSeen: 14 March 2019")], tools, policy="safe_harbor")
    assert new.text == "DOB: [DATE]\nSeen: 2019"


def test_tags_name_the_class(tools: Tools) -> None:
    [new] = run([document("Seen by Dr. Brennan on 03/04/2019")], tools, mode=Mode.TAG)
    assert new.text == "Seen by Dr. [NAME] on [DATE]"
    assert [new.text[s.start : s.end] for s in new.spans] == ["[NAME]", "[DATE]"]


def test_organizations_are_a_switch(tools: Tools) -> None:
    [new] = run([document("Seen at Long Memorial Hospital by Dr. Brennan")], tools, mode=Mode.TAG, organizations=False)
    assert new.text == "Seen at Long Memorial Hospital by Dr. [NAME]"


def test_only_the_named_answer_columns_are_treated(tools: Tools) -> None:
    answers = {"summary": "hope has ataxia", "diagnosis": "Rett syndrome", "reviewer": "Dr. Brennan"}
    [new] = run([document(NOTE, answers=answers)], tools, answers=("summary",), mode=Mode.TAG)
    assert new.answers == {"summary": "[NAME] has ataxia", "diagnosis": "Rett syndrome", "reviewer": "Dr. Brennan"}


def test_counts_are_of_the_replaced_places(tools: Tools) -> None:
    results = run([document("Dr. Brennan saw Dr. Okafor on 03/04/2019")], tools)
    assert count_replaced(results) == {"NAME": 2, "DATE": 1}


def test_documents_without_a_patient_stand_alone(tools: Tools) -> None:
    one, two = run([document("Dr. Brennan", patient="", key="a"), document("Dr. Brennan", patient="", key="b")], tools)
    assert one.text != two.text


def test_a_pseudonym_hides_the_patient_and_stays_the_same() -> None:
    assert derived_pseudonym(b"k" * 32, "p1") == derived_pseudonym(b"k" * 32, "p1")
    assert (
        len(
            {derived_pseudonym(b"k" * 32, "p1"), derived_pseudonym(b"x" * 32, "p1"), derived_pseudonym(b"k" * 32, "p2")}
        )
        == 3
    )
    assert derived_pseudonym(b"k" * 32, "p1").startswith("p-") and len(derived_pseudonym(b"k" * 32, "p1")) == 12


def test_sets_of_one_patient_under_two_policies_share_no_surrogate(tools: Tools) -> None:
    [one] = run([document(NOTE)], tools, policy="safe_harbor")
    [two] = run([document(NOTE)], tools, policy="limited_data_set")
    assert one.text.splitlines()[0].split("DOB")[0] != two.text.splitlines()[0].split("DOB")[0]


@pytest.mark.parametrize("cue", ["born 1927", "YOB 1927", "DOB: 1927", "b. 1922"])
def test_a_bare_year_of_birth_goes_where_it_shows_an_age_over_89(tools: Tools, cue: str) -> None:
    [new] = run([document(f"Seen 14 March 2019. Age 97, {cue}. Married in 1951.")], tools, policy="safe_harbor")
    assert "192" not in new.text and "1951" in new.text and "[DATE]" in new.text


def test_a_later_year_of_birth_stays(tools: Tools) -> None:
    [new] = run([document("A boy born 2010.")], tools, policy="safe_harbor")
    assert new.text == "A boy born 2010."
