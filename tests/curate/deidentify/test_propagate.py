"""What is known of a patient is found everywhere in the patient's documents. All people are invented."""

from __future__ import annotations

import pytest

HEADER = "Patient: Robert Gruenwald-Tarrant\nDOB: 03/04/1961"
FOLLOWED = [
    ("gruenwald was seen", "gruenwald"),
    ("ROBERT IS WELL", "ROBERT"),
    ("Robert's tremor", "Robert"),
    ("Bob sleeps badly", "Bob"),
    ("mother says Bobby is tired", "Bobby"),
    ("rob is tired", "rob"),
    ("Mr Gruenwlad came", "Gruenwlad"),
    ("GRUENWALD-TARRANT, R", "GRUENWALD-TARRANT, R"),
    ("Gruenwald Tarrant", "Gruenwald Tarrant"),
    ("Gruen-\nwald came back", "Gruen-\nwald"),
    ("Robert\nGruenwald-Tarrant", "Robert\nGruenwald-Tarrant"),
    ("file rgruenwald.pdf", "rgruenwald"),
    ("robert_gruenwald_2.docx was sent", "robert_gruenwald"),
    ("user rgruenwald logged in", "rgruenwald"),
    ("Gruenwalds are a large family", "Gruenwalds"),
    ("Robret was quiet", "Robret"),
    ("R.G.T. was seen", "R.G.T."),
    ("RGT attended", "RGT"),
    ("discussed with R. Gruenwald", "R. Gruenwald"),
    ("RobertGruenwald", "RobertGruenwald"),
    ("R0bert came", "R0bert"),
    ("G r u e n w a l d", "G r u e n w a l d"),
]


@pytest.mark.parametrize(("text", "value"), FOLLOWED)
def test_a_certain_name_is_followed_through_its_forms(found, text: str, value: str) -> None:
    assert (value, "NAME") in found(HEADER, text)[1]


@pytest.mark.parametrize(
    ("header", "text", "value"),
    [
        ("Patient: José Núñez", "Nunez came back", "Nunez"),
        ("Patient: Jose Nunez", "Núñez came back", "Núñez"),
        ("Patient: Margaret Halloway", "Peggy is well", "Peggy"),
        ("Patient: Peggy Halloway", "margaret is well", "margaret"),
        ("Patient: William Halloway", "Billy fell", "Billy"),
        ("Patient: Elizabeth Halloway", "Liz and Beth", "Beth"),
        ("Patient: Katarzyna Halloway", "Kasia is tired", "Kasia"),
        ("Patient: Björn Østergård", "Ostergard was late", "Ostergard"),
        ("Patient: Weiß, Anna", "Frau WEISS kam", "WEISS"),
        ("Patient: Müller, Anna", "Mueller attended", "Mueller"),
        ("email: xanthe.quillby@mail.example", "Quillby family\nPatient: Xanthe Quillby", "Quillby"),
    ],
)
def test_accents_nicknames_and_spellings_are_followed(found, header: str, text: str, value: str) -> None:
    assert (value, "NAME") in found(header, text)[1]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Patient: Robert Gruenwald", "Robust gait; the bob of the head; to rob; robotic arm."),
        ("Patient: Mark Long", "No mark on the skin; a long history; marked weakness."),
        ("Patient: Will Strong", "He will be strong; strong family history; willing to help."),
        ("Patient: Richard Head", "Head circumference; a rich diet; the head."),
        ("Patient: Susan Mills", "5 mills; sue; suspicious."),
        ("Patient: Anna Stroke", "stroke in 2012; anal tone; stoke."),
        ("Patient: Marie Gates", "gait was normal; grates; gated."),
        ("Patient: Peter Fitz", "two fits; fit free; petechiae; meter."),
        ("Patient: Christopher Payne", "pain in the back; topiramate."),
        ("Patient: Anthony Dosa", "the dose was raised."),
        ("Patient: Donald Keppler", "Keppra was raised; kept well."),
        ("Patient: Ian Sterling", "sterile technique; sternal wound; in an hour."),
        ("Patient: Martin Spinel", "spinal tap; martial arts; spine."),
        ("Patient: Paul Seizer", "seizure; pain; pall; seizes."),
        ("Patient: Ella Normand", "normal gait; normally fed; all normal."),
        ("Patient: Theodora Tremora", "tremor; tremors; the dog."),
    ],
)
def test_ordinary_words_near_a_name_stay(found, header: str, text: str) -> None:
    assert found(header, text)[1] == []


def test_nothing_of_one_patient_is_followed_in_another(detector) -> None:
    detector(["Patient: Zephyrine Gruenwald"])
    assert detector(["the gruenwald method; zephyrine cloth"]) == [[]]


def test_codes_and_addresses_are_followed_without_their_labels(found) -> None:
    _, second = found("MRN: ZX88123\nEmail: bo@mail.example", "zx88123 again, BO@mail.example")
    assert second == [("zx88123", "MRN"), ("BO@mail.example", "EMAIL")]
