"""What an abbreviation stands for: what the text says of it, then what the pack says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.extract import Reader, find
from residency.curate.extract.short_forms import definitions

DEFINED = [
    ("an imprinting defect (ID) was found", {"ID": "imprinting defect"}),
    ("severe intellectual disability (ID)", {"ID": "intellectual disability"}),
    ("Fluorescence in situ hybridization (FISH)", {"FISH": "Fluorescence in situ hybridization"}),
    ("basal cell carcinomas (BCCs)", {"BCCs": "basal cell carcinomas"}),
    ("GTCS (generalized tonic-clonic seizures)", {"GTCS": "generalized tonic-clonic seizures"}),
    ("she was seen (OK) and left", {}),
    ("no brackets ID", {}),
    ("defect. (ID) alone", {}),
    ("imprinting defect (ID) and intellectual disability (ID)", {"ID": "imprinting defect"}),  # the first counts
]

READ = [
    ("Severe ID noted.", ["Intellectual disability, severe"]),
    ("He has ID and ataxia.", ["Intellectual disability", "Ataxia"]),
    ("Patient ID 805-953-1553 has ataxia.", ["Ataxia"]),
    ("ID card shown.", []),
    ("Some have an imprinting defect (ID). Patients with ID are mildly affected.", []),
    ("Intellectual disability (ID) was seen. ID was noted at 3.", ["Intellectual disability"] * 3),
    ("Basal cell carcinoma (BCC); two BCC were removed.", ["Basal cell carcinoma"] * 3),
    ("mean +/- SE of the follow-up", []),
]


@pytest.mark.parametrize(("text", "expected"), DEFINED, ids=[text for text, _ in DEFINED])
def test_a_definition_in_brackets_is_found(text: str, expected: dict[str, str]) -> None:
    assert definitions(text) == expected


@pytest.mark.parametrize(("text", "labels"), READ, ids=[text for text, _ in READ])
def test_the_text_decides_before_the_pack(text: str, labels: list[str], reader: Reader) -> None:
    assert [finding.label for finding in find(text, reader)] == labels


@given(st.text(alphabet="aAbB (-)\n.", max_size=80))
def test_any_text_can_be_searched_for_definitions(text: str) -> None:
    assert all(short in text for short in definitions(text))
