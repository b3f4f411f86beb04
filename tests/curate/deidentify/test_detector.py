"""What is found, what is left alone, and that no input breaks it. All identifiers are invented."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.curate.deidentify import Detector
from residency.curate.deidentify.step import OwnPattern, _recognizer


def found(detector: Detector, *texts: str) -> list[list[tuple[str, str]]]:
    return [
        [(text[s.start : s.end], str(s.label)) for s in spans]
        for text, spans in zip(texts, detector(texts), strict=True)
    ]


IDENTIFIERS = [
    ("Patient: HARGREAVES, Nadia", "HARGREAVES, Nadia", "NAME"),
    ("PID|1||HARGREAVES^NADIA^Q", "HARGREAVES^NADIA^Q", "NAME"),
    ("She was seen by Dr. van der Berg in clinic.", "van der Berg", "NAME"),
    ("the case was discussed with dr. head, who agrees", "head", "NAME"),
    ("THE MOTHER, OLIVIA BRENNAN, IS HEALTHY", "OLIVIA BRENNAN", "NAME"),
    ("His brother (Matteo) is well.", "Matteo", "NAME"),
    ("Advice given.\n\nT. Okafor, RN", "T. Okafor", "NAME"),
    ("Printed by user QX\n", "QX", "NAME"),
    ("Many thanks,\nPriya Hargreaves", "Priya Hargreaves", "NAME"),
    ("Mrs. Turner's son", "Turner", "NAME"),
    ("seen with Hope  O'Connor today", "Hope  O'Connor", "NAME"),
    ("Dr. K. Schäfer and Dr. SchÃ¤fer", "K. Schäfer", "NAME"),
    ("Seen on 03/04/2019.", "03/04/2019", "DATE"),
    ("Bloods on 2nd of March 2020", "2nd of March 2020", "DATE"),
    ("f/u 14FEB2011 0930hrs", "14FEB2011 0930hrs", "DATE"),
    ("EEG 2011-03-09T22:40 normal", "2011-03-09T22:40", "DATE"),
    ("since Mar '19 worse", "Mar '19", "DATE"),
    ("we moved here in August", "August", "DATE"),
    ("consent signed 27/1", "27/1", "DATE"),
    ("MRN: 12-34-56-78", "12-34-56-78", "MRN"),
    ("hospital number MR673159", "MR673159", "MRN"),
    ("NHS no 485 777 3456", "485 777 3456", "HEALTH_PLAN_ID"),
    ("Member ID 1EG4-TE5-MK73", "1EG4-TE5-MK73", "HEALTH_PLAN_ID"),
    ("Acct # V63456390", "V63456390", "ACCOUNT"),
    ("DEA FE9548638", "FE9548638", "LICENSE"),
    ("school bus, plate RUY-9516", "RUY-9516", "VEHICLE_ID"),
    ("Loop recorder serial 364775-C", "364775-C", "DEVICE_ID"),
    ("SSN 574 33 9482", "574 33 9482", "SSN"),
    ("Soc Sec ***-**-6250", "***-**-6250", "SSN"),
    ("palm-vein enrolment PV00037", "PV00037", "BIOMETRIC"),
    ("photographs (file IMG_1730.jpg)", "IMG_1730.jpg", "PHOTO_ID"),
    ("exome sent, lab ref WES-18/56293", "WES-18/56293", "OTHER_ID"),
    ("call (388) 982-6797 please", "(388) 982-6797", "PHONE"),
    ("Pager #4867, ext. 1119", "ext. 1119", "PHONE"),
    ("fax 020 7113 7610", "020 7113 7610", "FAX"),
    ("write to nadia.h@outlook.com", "nadia.h@outlook.com", "EMAIL"),
    ("images on www.pacs.example.org/pt/9377", "www.pacs.example.org/pt/9377", "URL"),
    ("from 199.234.221.61 by", "199.234.221.61", "IP"),
    ("the great-grandmother K. Flynn is ninety-three and well", "ninety-three", "AGE_OVER_89"),
    ("a 91-year-old man", "91", "AGE_OVER_89"),
    ("Address: Flat 13F, Hill Glens, Walsall WN5H 0PJ", "Flat 13F, Hill Glens", "LOCATION"),
    ("78240 Luna Glen Suite 154, Thunder Bay, PA 33563", "Thunder Bay", "LOCATION"),
    ("78240 Luna Glen Suite 154, Thunder Bay, PA 33563", "33563", "LOCATION"),
    ("The family moved from Inverness to Lake Jane", "Lake Jane", "LOCATION"),
    ("Notes from St. Columba's Hospital arrived", "St. Columba's Hospital", "ORGANIZATION"),
    ("transferred to university of oakdale health today", "university of oakdale health", "ORGANIZATION"),
    ("the father works at Lee Manufacturing.", "Lee Manufacturing", "ORGANIZATION"),
]


@pytest.mark.parametrize(("text", "value", "label"), IDENTIFIERS)
def test_an_identifier_is_found_whole_and_with_its_class(detector: Detector, text: str, value: str, label: str) -> None:
    assert (value, label) in found(detector, text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "Babinski sign absent, Romberg negative, Chiari malformation, Rett syndrome, Pierre Robin sequence.",
        "Power 4/5 throughout, reflexes 2/4, GCS 15/15, Apgars 8/9.",
        "BP 115/75 mmHg, HR 95, SpO2 98% on air, temp 36.9, platelets 250000 x10.",
        "Keppra 250 mg BD, Epilim 10 ml, clobazam 0.5 mg/kg.",
        "KCNQ2 c.1234A>G p.Arg412Ter, HP:0001250, OMIM 613720.",
        "Seizures may occur; he can march and walk. She may be floppy.",
        "Department of Paediatric Neurology, epilepsy clinic, primary school age.",
        "A 12-year-old boy, first fit at 9 months, weight 13.0 kg (29 lb).",
        "No hypertelorism. The spine is long and the head small; hand grip strong; young for his age.",
        "SEVERE GLOBAL DEVELOPMENTAL DELAY. HYPOTONIA. NO SEIZURES. MOTHER REPORTS POOR SLEEP.",
        "first noticed in 2012; reviewed by the team",
    ],
)
def test_clinical_language_is_left_alone(detector: Detector, text: str) -> None:
    assert found(detector, text) == [[]]


def test_a_certain_name_is_found_in_the_patients_other_documents_in_any_case(detector: Detector) -> None:
    _, other = found(detector, "Patient: GRUENWALD, Zephyrine", "zephyrine's sleep is poor. GRUENWALD family informed.")
    assert other == [("zephyrine", "NAME"), ("GRUENWALD", "NAME")]


def test_a_name_that_is_a_word_is_followed_only_where_a_capital_marks_it(detector: Detector) -> None:
    _, other = found(detector, "Patient: LONG, Hope", "I met Hope today. There is hope. A long face. Hope is well.")
    assert [value for value, _ in other] == ["Hope", "Hope"]


def test_a_name_split_over_a_wrapped_line_is_one_name(detector: Detector) -> None:
    text = (
        "She was brought in for review of gait by her aunt and by Dr. Mira\n"
        "van Dijk, who had written to us about the tremor of both hands\n"
        "and the falls at home since the last visit to the clinic."
    )
    assert ("Mira\nvan Dijk", "NAME") in found(detector, text)[0]


def test_a_teams_own_pattern_runs_beside_the_rules(tools) -> None:
    own = _recognizer(OwnPattern(label="STUDY_ID", regex=r"\bREG-\d{2}\b"))
    detector = Detector(tools.pack, recognizers=[own], entities=False)
    assert found(detector, "enrolled as REG-17")[0] == [("REG-17", "STUDY_ID")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\n ",
        "\x00\x00",
        "👩‍⚕️🎉",
        "المريض بخير",
        "e\u0301" * 50,
        "-" * 5000,
        "1" * 30_000,
        "a" * 30_000,
        "[" * 3000,
        "^" * 3000,
    ],
    ids=["empty", "blank", "null", "emoji", "rtl", "combining", "dashes", "digits", "letters", "brackets", "carets"],
)
def test_no_input_breaks_detection(detector: Detector, text: str) -> None:
    for span in detector([text])[0]:
        assert 0 <= span.start < span.end <= len(text)


def test_identifiers_beside_odd_characters_keep_their_offsets(detector: Detector) -> None:
    text = "\x00🎉 Dr. José  Núñez\u200b called; ‏MRN 1234567"
    assert found(detector, text)[0] == [("José  Núñez", "NAME"), ("1234567", "MRN")]


def test_a_long_text_is_read_to_its_end(detector: Detector) -> None:
    text = "no change. " * 4000 + "Seen by Dr. Brennan on 03/04/2019"
    assert [value for value, _ in found(detector, text)[0]] == ["Brennan", "03/04/2019"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.sampled_from("aB1 .,:-/^'\n@#(é\u0301\x00Ã¤Dr"), max_size=80))
def test_spans_lie_inside_the_text_in_order_and_never_overlap(detector: Detector, text: str) -> None:
    end = 0
    for span in detector([text])[0]:
        assert end <= span.start < span.end <= len(text)
        end = span.end


@pytest.mark.parametrize("edge", ["", " ", "\n", "\u200f", "🎉", "\x00"])
@pytest.mark.parametrize("text", ["MRN 5520193", "03/04/2019", "Dr. Okonjo", "555-013-4477", "a.b@mail.example"])
def test_an_identifier_at_the_very_edge_is_found(detector: Detector, edge: str, text: str) -> None:
    spans = found(detector, edge + text + edge)[0]
    assert len(spans) == 1 and text.endswith(spans[0][0])


def test_a_finding_of_the_model_alone_stays_doubtful(detector: Detector) -> None:
    text = "The meeting took place near Marrakesh and Wolverhampton."
    assert all(span.score < 0.6 for span in detector([text])[0] if span.found_by == "spacy")
