"""Addresses and towns. All are invented or mean nobody."""

from __future__ import annotations

import re

import pytest

from residency.curate.deidentify.places import is_code_abroad

PLACES = [
    ("lives at 1420 Larkspur Ave, Apt 3B, Dunmore, OH 44120", "1420 Larkspur Ave, Apt 3B"),
    ("lives at 1420 Larkspur Ave, Apt 3B, Dunmore, OH 44120", "Dunmore"),
    ("lives at 1420 Larkspur Ave, Apt 3B, Dunmore, OH 44120", "44120"),
    ("12 Harrow Lane, Tilbridge, Kent ME4 7QX", "12 Harrow Lane"),
    ("12 Harrow Lane, Tilbridge, Kent ME4 7QX", "Tilbridge"),
    ("12 Harrow Lane, Tilbridge, Kent ME4 7QX", "ME4 7QX"),
    ("12 HARROW LANE, TILBRIDGE", "12 HARROW LANE"),
    ("1420 N. Larkspur St.", "1420 N. Larkspur St."),
    ("88 SW 4th Street", "88 SW 4th Street"),
    ("4410 County Road 12", "4410 County Road 12"),
    ("221B Baker Street", "221B Baker Street"),
    ("P.O. Box 4471", "P.O. Box 4471"),
    ("PO Box 4471, Dunmore", "PO Box 4471"),
    ("zip 44120", "44120"),
    ("ZIP code: 44120-1123", "44120-1123"),
    ("postcode ME4 7QX", "ME4 7QX"),
    ("postal code K1A 0B1", "K1A 0B1"),
    ("She lives in Dunmore with a cat", "Dunmore"),
    ("resident of Cuyahoga County", "Cuyahoga County"),
    ("Harris County jail", "Harris County"),
    ("originally from Accra, Ghana", "Accra"),
    ("flew from Boston to Tulsa", "Tulsa"),
    ("born in Kraków", "Kraków"),
    ("travelled to Lagos last month", "Lagos"),
    ("transferred from Leeds", "Leeds"),
    ("works in Manchester", "Manchester"),
    ("on holiday in Barcelona", "Barcelona"),
    ("the Chicago area", "Chicago"),
    ("City: Dunmore", "Dunmore"),
    ("Town: Tilbridge", "Tilbridge"),
    ('"city": "Dunmore"', "Dunmore"),
    ("Address: 5 The Maltings, Tilbridge", "5 The Maltings"),
    ("Hauptstraße 12, 10115 Berlin", "Hauptstraße 12"),
    ("Hauptstraße 12, 10115 Berlin", "10115"),
    ("Hauptstraße 12, 10115 Berlin", "Berlin"),
    ("14 rue des Lilas, 75011 Paris", "14 rue des Lilas"),
    ("14 rue des Lilas, 75011 Paris", "75011"),
    ("75013 Paris", "75013"),
    ("Wohnhaft in 80331 München.", "München"),
    ("lives in 28001 Madrid", "Madrid"),
    ("D-80331 München", "80331"),
    ("Calle de Alcalá 45, 28014 Madrid", "28014"),
    ("Via Garibaldi 12, 20121 Milano", "Via Garibaldi 12"),
    ("Kerkstraat 14, 1017 GL Amsterdam", "1017 GL"),
    ("Kerkstraat 14, 1017 GL Amsterdam", "Kerkstraat 14"),
    ("ul. Długa 5, 00-238 Warszawa", "00-238"),
    ("Rua Augusta 120, Lisboa", "Rua Augusta 120"),
    ("Dunmore, OH", "Dunmore"),
    ("Dunmore, Ohio", "Dunmore"),
    ("Boston, Massachusetts", "Boston"),
    ("GPS 51.5074, -0.1278", "51.5074, -0.1278"),
    ("the corner of Larkspur Ave and Fifth Street", "Larkspur Ave"),
    ("moved from Dunmore to Tilbridge", "Tilbridge"),
    ("lives in DUNMORE", "DUNMORE"),
    ("comes from Leighton Buzzard", "Leighton Buzzard"),
    ("lives in a flat in Tilbridge", "Tilbridge"),
    ("lives alone in Tilbridge", "Tilbridge"),
    ("lives with her son in Tilbridge", "Tilbridge"),
]


@pytest.mark.parametrize(("text", "value"), PLACES)
def test_a_place_is_found_whole(found, text: str, value: str) -> None:
    assert (value, "LOCATION") in found(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "He lives in a bungalow, lives at home, lives in sheltered housing, works in finance, born in 1960.",
        "Moved from bed to chair; travelled to clinic; transferred from ward; comes from a large family.",
        "2 small strokes; 5 day course; 3 point gait; 10 metre walk; 6 minute walk; 2 step test; 20 minute run.",
        "Glasgow Coma Scale 15; Montreal Cognitive Assessment; London classification; Boston Naming Test.",
        "Stockholm consensus; Rome IV criteria; Helsinki declaration; Paris system; Boston criteria; El Escorial.",
        "The state of Ohio; in California; in Germany; in the United States.",
        "County services; the corner of the mouth; area of Broca; left field cut; right parietal area.",
        "pain in Left leg; numbness in Right hand; in Clinic; in January",
    ],
)
def test_clinical_language_and_states_are_left_alone(found, text: str) -> None:
    assert [hit for hit in found(text)[0] if hit[1] not in ("DATE",)] == []


@pytest.mark.parametrize(
    "text",
    ["heparin, 10000 Units, given", "rose to 25000 Cells.", "10000 Admissions", "Wohnhaft in 80331 München"],
)
def test_what_a_number_counts_and_what_a_lower_case_state_follows_is_no_town(text: str, found) -> None:
    assert not {value for value, _ in found(text)[0]} & {"10000", "25000", "Units", "Cells", "Admissions", "Wohnhaft"}


@pytest.mark.parametrize(
    ("text", "abroad"),
    [
        ("12 rue de Rivoli, 75013 Paris", True),
        ("75013 Paris", True),
        ("75013\nParis", True),
        ("lives in 28001 Madrid", True),
        ("D-80331 ", True),
        ("PLZ: 80331", True),
        ("code postal 75013", True),
        ("Thunder Bay, PA 33563 Phone: 555-013-4477", False),
        ("Dunmore OH\n44120\nPhone", False),
        ("zip 44120 Phone 555-013-4477", False),
        ("^DUNMORE^OH^44120", False),
        ("Dunmore 44120", False),
    ],
)
def test_a_code_before_its_town_is_no_zip_code(text: str, abroad: bool) -> None:
    code = re.search(r"\d{5}", text)
    assert code and is_code_abroad(text, *code.span()) is abroad
