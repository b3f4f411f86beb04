"""What the leak audit suspects and what it leaves alone. All texts and identifiers are invented."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.curate.deidentify.audit import (
    LOWEST_SCORE,
    Method,
    Suspect,
    Vocabulary,
    audit,
    presidio_as_shipped,
    summary,
    vocabulary_for,
)
from residency.curate.step import Tools
from residency.records import Document, Source, Span


@pytest.fixture(scope="session")
def vocabulary(tools: Tools) -> Vocabulary:
    return vocabulary_for(tools.pack)


def document(text: str, *, name: str = "d1", patient: str = "p1") -> Document:
    """``<<NAME:...>>`` marks a replaced place."""
    spans: list[Span] = []
    plain = ""
    for number, piece in enumerate(text.split("<<")):
        if number:
            replaced, piece = piece.split(">>", 1)
            label, value = replaced.split(":", 1)
            spans.append(Span(start=len(plain), end=len(plain) + len(value), label=label))
            plain += value
        plain += piece
    return Document(id=name, key=name, text=plain, source=Source(path="x.txt"), patient=patient, spans=tuple(spans))


def suspects(
    vocabulary: Vocabulary, text: str, known: Sequence[tuple[str, str]] = (), **options: object
) -> list[tuple[str, Suspect]]:
    one = document(text)
    found = audit([one], known=lambda document: known, vocabulary=vocabulary, **options)  # type: ignore[arg-type]
    return [(one.text[suspect.start : suspect.end], suspect) for suspect in found]


KNOWN = [
    ("NAME", "Søren Hargreaves", "the mother, soren hargreaves, is well", "soren hargreaves"),
    ("NAME", "HARGREAVES^NADIA", "seen with Hargreaves' sister", "Hargreaves"),
    ("NAME", "Nadia Hargreaves", "NADIA\nHARGREAVES WAS SEEN", "NADIA\nHARGREAVES"),
    ("NAME", "Hope Tremblay", "We met with Hope, who is tired", "Hope"),
    ("NAME", "Zoë O'Connor", "copy to Zoe O’Connor please", "Zoe O’Connor"),
    ("MRN", "12-34-56-78", "the file mrn_12345678.pdf is attached", "12345678"),
    ("MRN", "MR673159", "see MR 673-159 for the rest", "MR 673-159"),
    ("PHONE", "+44 7680 557845", "text 07680 557845", "557845"),
    ("VEHICLE_ID", "RUY-9516", "van ruy 9516 outside", "ruy 9516"),
    ("LOCATION", "Thunder Bay", "they came by bus from thunder  bay", "thunder  bay"),
    ("ORGANIZATION", "University of Oakdale Health", "a nurse from Oakdale rang", "Oakdale"),
    ("DATE", "24.06.18", "as on 24/06/18 before", "24/06/18"),
]


@pytest.mark.parametrize(("label", "raw", "text", "value"), KNOWN)
def test_a_known_identifier_of_the_patient_that_still_stands_is_found_in_any_form(
    vocabulary: Vocabulary, label: str, raw: str, text: str, value: str
) -> None:
    found = suspects(vocabulary, text, [(label, raw)])
    assert any(value in place and Method.KNOWN in suspect.methods for place, suspect in found)
    assert all(suspect.label == label for place, suspect in found if suspect.methods[0] is Method.KNOWN)


@pytest.mark.parametrize(
    ("label", "raw", "text"),
    [
        ("NAME", "A. Long", "He walked along the corridor."),
        ("NAME", "Hope", "We hope that he is well."),
        ("NAME", "Hope Gray", "Hope remains. The gray matter is normal."),
        ("NAME", "Will May", "He will be seen; he may improve."),
        ("MRN", "12345", "Platelets 812345 x 10^9/L."),
        ("AGE_OVER_89", "93", "SpO2 93 % on air."),
        ("DATE", "2019", "Since 2019 he has been stable."),
        ("ORGANIZATION", "Hill Street Clinic", "She came to the clinic."),
        ("LOCATION", "4 Ohio Street", "They live in Ohio."),
    ],
)
def test_ordinary_words_and_numbers_are_not_taken_for_the_patients_identifiers(
    vocabulary: Vocabulary, label: str, raw: str, text: str
) -> None:
    known = [s for _, s in suspects(vocabulary, text, [(label, raw)]) if Method.KNOWN in s.methods]
    assert known == []


def test_what_was_replaced_is_no_suspect_and_what_is_left_of_it_is(vocabulary: Vocabulary) -> None:
    known = [("NAME", "Nadia Hargreaves-Brennan")]
    text = "Dr. <<NAME:Brelora Vandstow>>-Brennan rang <<PHONE:0123 456 789>> on <<DATE:1 May 2012>>."
    assert [place for place, _ in suspects(vocabulary, text, known)] == ["Brennan"]


def test_identifiers_do_not_reach_over_a_replaced_place(vocabulary: Vocabulary) -> None:
    assert suspects(vocabulary, "12 <<MRN:999>> 345 seen", [("MRN", "12345")]) == []


def test_what_the_policy_lets_stay_is_left_alone_by_every_method(vocabulary: Vocabulary) -> None:
    text = "The family live in Walsall. Transfer to Walsall Manor."
    known = [("LOCATION", "Walsall")]
    assert [place for place, _ in suspects(vocabulary, text, known)] == ["Walsall", "Walsall Manor"]
    stays = suspects(vocabulary, text, known, stays=lambda label, text: label == "LOCATION")
    assert all("Walsall" not in place for place, _ in stays)


def test_what_may_stay_as_one_class_and_not_as_another_stays(vocabulary: Vocabulary) -> None:
    known = [("LOCATION", "Walsall"), ("NAME", "Walsall"), ("LOCATION", "Walsall Martinfort")]
    text = "They live in Walsall. The Martinfort road is closed."
    found = suspects(vocabulary, text, known, stays=lambda label, text: label == "LOCATION")
    assert [(place, suspect.methods) for place, suspect in found] == [("Martinfort", (Method.VOCABULARY,))]


def test_identifiers_of_one_patient_are_not_searched_in_another_ones_documents(vocabulary: Vocabulary) -> None:
    documents = [document("He met Hope.", name="a", patient="p1"), document("ref 12-345", name="b", patient="p2")]
    known = {"p1": [("MRN", "12345")], "p2": [("NAME", "Hope Gray")]}
    found = list(audit(documents, known=lambda one: known[one.patient], vocabulary=vocabulary))
    assert [suspect for suspect in found if Method.KNOWN in suspect.methods] == []


VOCABULARY = [
    ("He was seen with Brennan today.", "Brennan"),
    ("The family live in Martinfort now.", "Martinfort"),
    ("discussed with okonkwo, who agrees", "okonkwo"),
    ("THE MOTHER, BRENNAN, IS HEALTHY. THE EXAMINATION IS NORMAL.", "BRENNAN"),
    ("We talked to Grace about the plan.", "Grace"),
    ("Faith is doing fine at school.", "Faith"),
    ("You can ring Will in the evening.", "Will"),
    ("Dr <<NAME:Brelora>> Page agrees with the plan.", "Page"),
    ("They moved here from Chicago last spring.", "Chicago"),
]


@pytest.mark.parametrize(("text", "value"), VOCABULARY)
def test_a_word_that_nothing_explains_is_a_suspect(vocabulary: Vocabulary, text: str, value: str) -> None:
    found = suspects(vocabulary, text)
    assert [place for place, _ in found] == [value]
    assert found[0][1].methods == (Method.VOCABULARY,)


def test_suspect_neighbours_are_one_suspect_and_surer_than_each(vocabulary: Vocabulary) -> None:
    alone = suspects(vocabulary, "He was seen with Brennan today.")[0][1]
    (place, both), *rest = suspects(vocabulary, "He was seen with Okonkwo Brennan today.")
    assert (place, rest) == ("Okonkwo Brennan", [])
    assert both.score > alone.score


DIGITS = [
    ("ref 4839201 filed", "4839201", "OTHER_ID"),
    ("he rang from 525.273.5584 twice", "525.273.5584", "PHONE"),
    ("he rang from (388) 982-6797 twice", "(388) 982-6797", "PHONE"),
    ("printed from 51.209.141.158 now", "51.209.141.158", "IP"),
    ("write to nadia.h@example.org please", "nadia.h@example.org", "EMAIL"),
    ("images at https://pacs.example.org/9377 now", "https://pacs.example.org/9377", "URL"),
    ("seen 24.06.18 in clinic", "24.06.18", "DATE"),
    ("seen 2nd of March 2020 in clinic", "2nd of March 2020", "DATE"),
    ("seen 14FEB2011 in clinic", "14FEB2011", "DATE"),
    ("since August he is well", "August", "DATE"),
    ("consent signed 27/1 here", "27/1", "DATE"),
    ("plate AF66 DCN outside", "AF66 DCN", "OTHER_ID"),
    ("member 1EG4-TE5-MK73 noted", "1EG4-TE5-MK73", "OTHER_ID"),
    ("the great-grandmother lived to 96 and was well", "96", "AGE_OVER_89"),
]


@pytest.mark.parametrize(("text", "value", "label"), DIGITS)
def test_a_number_that_nothing_explains_is_a_suspect(vocabulary: Vocabulary, text: str, value: str, label: str) -> None:
    assert (value, label) in [(place, suspect.label) for place, suspect in suspects(vocabulary, text)]


CLEAN = [
    "Power 4/5 throughout, reflexes 2/4, GCS 15/15, Apgars 8/9, BP 110/70, HR 98, SpO2 98% on air, weight 12.5 kg.",
    "Variant NM_001165963.4:c.4942C>T in SCN1A; HP:0001250; OMIM 607208; microarray 22q11.2 deletion; 46,XY.",
    "Levetiracetam 250 mg twice daily, vitamin D 40000 IU. Platelets 253000 /uL, CK 12000 U/L. MRI 1.5T, T2, FLAIR.",
    "A 9-year-old boy with Babinski sign, Chiari malformation and a Guthrie card; Dandy-Walker variant was excluded.",
    "## Past Medical History\nHe has Type II lissencephaly. EEG showed hypsarrhythmia. PMH: nil. FHx: NAD.",
    "Follow-up in 6 months, since 2019. Review by Paediatric Neurology and Clinical Genetics at the MDT conference.",
    "IMPRESSION: EPILEPTIC ENCEPHALOPATHY, CAUSE UNKNOWN. PLAN: REPEAT EEG, PHYSIOTHERAPY, GENETICS REVIEW.",
    "no h/o seizures. exam normal. plan: f/u neuro, cont meds. mum happy. bloods sent.",
    "Lives in <<LOCATION:Tilbhurst>>, PA <<LOCATION:88120>>. Ohio Medicaid.",
    "- Medical history - First concerns arose early. Examination: Tone is low full stop Weight 26 lbs.",
]


@pytest.mark.parametrize("text", CLEAN)
def test_clean_clinical_text_has_no_suspects(vocabulary: Vocabulary, text: str) -> None:
    assert [(place, suspect.methods) for place, suspect in suspects(vocabulary, text)] == []


def test_overlapping_finds_are_one_suspect_with_all_methods_and_the_highest_score(vocabulary: Vocabulary) -> None:
    def second(text: str) -> list[Span]:
        return [Span(start=text.index("Brennan"), end=len(text), label="NAME", score=0.5)]

    ((place, suspect),) = suspects(vocabulary, "He met Brennan again", [("NAME", "Ida Brennan")], second=second)
    assert place == "Brennan again"
    assert suspect.methods == (Method.KNOWN, Method.VOCABULARY, Method.PRESIDIO)
    assert (suspect.label, suspect.score) == ("NAME", 0.9)


def test_a_second_reader_reads_the_sample_only_and_what_it_finds_in_replaced_places_is_left_out(
    vocabulary: Vocabulary,
) -> None:
    asked: list[str] = []

    def second(text: str) -> list[Span]:
        asked.append(text)
        return [Span(start=0, end=len(text), label="PHONE", score=0.85)]

    documents = [document("<<NAME:Brelora>> is well", name="a"), document("is well", name="b")]
    found = list(
        audit(
            documents,
            known=lambda one: (),
            vocabulary=vocabulary,
            second=second,
            sampled=lambda one: one.id == "a",
        )
    )
    assert asked == ["Brelora is well"]
    assert [(s.document, s.start, s.end, s.methods) for s in found] == [("a", 8, 15, (Method.PRESIDIO,))]


def test_presidio_as_shipped_reads_without_taking_ordinary_words_or_durations(vocabulary: Vocabulary) -> None:
    text = "GCS 15. John Smith was seen for two years by Prof <<NAME:Brelora Vandstow>>. Write to nadia@example.org."
    found = suspects(vocabulary, text, second=presidio_as_shipped())
    by_presidio = {place: suspect.label for place, suspect in found if Method.PRESIDIO in suspect.methods}
    assert by_presidio == {"John Smith": "NAME", "nadia@example.org": "EMAIL"}


def test_a_suspect_holds_no_text(vocabulary: Vocabulary) -> None:
    ((_, suspect),) = suspects(vocabulary, "He was seen with Brennan today.")
    assert "brennan" not in repr(suspect).casefold()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200), raw=st.text(max_size=20), cut=st.tuples(st.integers(0, 200), st.integers(0, 200)))
def test_any_text_is_audited_and_suspects_lie_in_order_outside_replaced_places(
    vocabulary: Vocabulary, text: str, raw: str, cut: tuple[int, int]
) -> None:
    start, end = sorted(min(place, len(text)) for place in cut)
    spans = (Span(start=start, end=end, label="NAME"),) if end > start else ()
    one = Document(id="d", key="d", text=text, source=Source(path="x"), patient="p", spans=spans)
    found = list(audit([one], known=lambda _: [("NAME", raw), ("MRN", raw)], vocabulary=vocabulary))
    for suspect in found:
        assert 0 <= suspect.start < suspect.end <= len(text)
        assert LOWEST_SCORE <= suspect.score <= 1
        assert all(suspect.end <= span.start or suspect.start >= span.end for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(found))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.from_regex(r"[b-df-hj-np-tv-z]{6,12}", fullmatch=True), before=st.sampled_from(["saw ", "- ", "(", "\n"]))
def test_a_known_name_is_found_wherever_it_stands(vocabulary: Vocabulary, raw: str, before: str) -> None:
    found = suspects(vocabulary, f"{before}{raw.upper()} again", [("NAME", raw.title())])
    assert any(Method.KNOWN in suspect.methods and raw.upper() in place for place, suspect in found)


@pytest.mark.slow  # compares times: stable on a quiet machine only
@pytest.mark.parametrize("piece", ["Dr A-", "1 23/", "a@b", "AB1-", "SN12.", "Lee ", "(12) ", "É"])
def test_time_grows_with_the_text_and_not_faster(vocabulary: Vocabulary, piece: str) -> None:
    known = [("NAME", "Lee Lee Lee Lee Smith"), ("MRN", "12312312312"), ("MRN", "AB1AB1AB1C")]

    def seconds(times: int) -> float:
        start = time.process_time()
        suspects(vocabulary, piece * times, known)
        return time.process_time() - start

    seconds(100)
    assert seconds(16_000) < 12 * max(seconds(4_000), 0.02)  # linear: 4; quadratic: 16


@pytest.mark.slow
def test_many_identifiers_cost_no_more_than_few(vocabulary: Vocabulary) -> None:
    text = "He was seen in clinic on ward 4 and sent home with advice. " * 300
    many = [("MRN", str(10_000_000 + number)) for number in range(5_000)]

    def seconds(known: Sequence[tuple[str, str]]) -> float:
        documents = [document(text, name=str(number)) for number in range(10)]
        searched = tuple(known)
        next(iter(audit(documents[:1], known=lambda _: searched, vocabulary=vocabulary)), None)
        start = time.process_time()
        list(audit(documents, known=lambda _: searched, vocabulary=vocabulary))
        return time.process_time() - start

    assert seconds(many) < 3 * seconds(many[:5]) + 0.3


def test_the_summary_counts_documents_methods_and_classes(vocabulary: Vocabulary) -> None:
    documents = [
        document("Seen with Brennan. Ref 4839201.", name="a"),
        document("Nothing here.", name="b"),
        document("Seen with Brennan.", name="c"),
        document("Nothing there.", name="d"),
    ]
    found = list(audit(documents, known=lambda _: [("NAME", "Ida Brennan")], vocabulary=vocabulary))
    told = summary(found, len(documents))
    assert (told["documents"], told["documents_with_suspects"], told["share_with_suspects"]) == (4, 2, 0.5)
    assert (told["suspects"], told["suspects_per_document"]) == (3, 0.75)
    assert told["by_method"] == {"known": 2, "vocabulary": 2, "digits": 1}
    assert told["by_label"] == {"NAME": 2, "OTHER_ID": 1}
    assert summary([], 0)["share_with_suspects"] is None


def test_without_a_pack_general_english_still_explains_words() -> None:
    assert suspects(vocabulary_for(None), "He was seen in the clinic and went home today.") == []
