"""Numbers whose shape or checksum is enough. All values are invented."""

from __future__ import annotations

import pytest

from residency.curate.deidentify import checksums

VALID = [
    (checksums.luhn, "4111 1111 1111 1111"),
    (checksums.luhn, "046 454 286"),
    (checksums.npi, "1291417776"),
    (checksums.dea, "BH0198603"),
    (checksums.vin, "1HGCM82633A004352"),
    (checksums.nhs, "642 621 2997"),
    (checksums.iban, "GB82 WEST 1234 5698 7654 32"),
    (checksums.iban, "DE89370400440532013000"),
    (checksums.dni, "12345678Z"),
    (checksums.dni, "X-1234567-L"),
    (checksums.nir, "2 85 11 75 789 844 24"),
    (checksums.kvnr, "M778949504"),
    (checksums.gtin, "00844588003288"),
]


@pytest.mark.parametrize(("check", "number"), VALID)
def test_a_right_checksum_is_accepted(check, number: str) -> None:
    assert check(number)


@pytest.mark.parametrize(("check", "number"), VALID)
def test_every_single_wrong_digit_is_noticed(check, number: str) -> None:
    for place, character in enumerate(number):
        if character.isdigit():
            other = str((int(character) + 1) % 10)
            assert not check(number[:place] + other + number[place + 1 :])


SHAPES = [
    ("The number 642 621 2997 was given.", "642 621 2997", "HEALTH_PLAN_ID"),
    ("seen under 6426212997 before", "6426212997", "HEALTH_PLAN_ID"),
    ("provider 1291417776 billed", "1291417776", "LICENSE"),
    ("prescriber BH0198603 wrote", "BH0198603", "LICENSE"),
    ("the car 1HGCM82633A004352 was towed", "1HGCM82633A004352", "VEHICLE_ID"),
    ("paid from DE89 3704 0044 0532 0130 00 last week", "DE89 3704 0044 0532 0130 00", "ACCOUNT"),
    ("charged to 4111-1111-1111-1111", "4111-1111-1111-1111", "ACCOUNT"),
    ("his 12345678Z was copied", "12345678Z", "OTHER_ID"),
    ("scanned (01)00844588003288(21)10987654d321 today", "(01)00844588003288(21)10987654d321", "DEVICE_ID"),
    ("phone 490154203237518 paired", "490154203237518", "DEVICE_ID"),
    ("adapter 00-1a-2b-3c-4d-5e seen", "00-1a-2b-3c-4d-5e", "DEVICE_ID"),
    ("under 1EG4-TE5-MK73 in the plan", "1EG4-TE5-MK73", "HEALTH_PLAN_ID"),
    ("insured M778949504 in Germany", "M778949504", "HEALTH_PLAN_ID"),
    ("held as AB 12 34 56 C there", "AB 12 34 56 C", "OTHER_ID"),
    ("uuid 123e4567-e89b-12d3-a456-426614174000 logged", "123e4567-e89b-12d3-a456-426614174000", "OTHER_ID"),
    ("file IMG-20190304-WA0007.jpg sent", "IMG-20190304-WA0007.jpg", "PHOTO_ID"),
    ("written as NR 12345678 there", "12345678", "MRN"),
    ("Resident RS1234 and 1234000 here", "1234000", "MRN"),
    ("number 574-33-9482 on the form", "574-33-9482", "SSN"),
    ("the 2 85 11 75 789 844 24 on his card", "2 85 11 75 789 844 24", "SSN"),
]


@pytest.mark.parametrize(("text", "value", "label"), SHAPES)
def test_a_shape_that_speaks_for_itself_needs_no_label(found, text: str, value: str, label: str) -> None:
    assert (value, label) in found(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "ALT 123, AST 456, platelets 250000, WCC 12.5, CK 18000 U/L",
        "NM_000249.4:c.350C>T (p.Thr117Met), rs63750447, chr3:37012011, NC_000003.12",
        "HP:0001250 and ORPHA:33069; OMIM #607208; ICD-10 G40.419; PMID 28881234; NCT01234567",
        "doi:10.1016/j.neuron.2019.01.001",
        "SCN1A, KCNQ2, CDKL5, MT-ND5, m.3243A>G, D4Z4, TP53 p.R175H, 22q11.2 deletion, 15q13.3",
        "T1 3D MPRAGE 1x1x1 mm, TR 2300 TE 2.98, b1000, FA 9, 256x256",
        "EDSS 3.5, MMSE 28/30, MoCA 24/30, NIHSS 4, UPDRS-III 32, ALSFRS-R 44/48, HADS 7",
        "CPT 95816, LOINC 2345-7, SNOMED 84757009, ATC N03AX14",
        "vitamin B12 350 pg/ml, 25-OH vitamin D3 32, HbA1c 48 mmol/mol, CA19-9 12",
        "C5-C6 disc, L4/5, T12-L1, V1-V3, III-XII intact, S1 root, 5-0 nylon",
        "levetiracetam 1000-1500 mg, 10-20 system, F7-T3, Fp1, sensitivity 7 uV/mm, 0.5-70 Hz",
        "COVID-19, H1N1, HLA-B*1502, anti-GAD65 2000 IU/ml, IgG4, 14-3-3 protein",
    ],
)
def test_numbers_of_medicine_are_left_alone(found, text: str) -> None:
    assert found(text) == [[]]


@pytest.mark.parametrize(
    "text", ["Na 139 135-145 mmol/L", "B12 232-1245 pg/mL", "Platelets 210 [150-450]", "Reference range: 150-400"]
)
def test_a_laboratorys_normal_range_is_no_identifier(found, text: str) -> None:
    assert found(text)[0] == []
