"""What a text says about a finding. Each case is a text and the statuses of its findings in text order."""

from __future__ import annotations

import pytest

from residency.curate.extract import Reader, find

PRESENT, ABSENT, FAMILY, UNCERTAIN, RESOLVED = "present", "absent", "family", "uncertain", "resolved"

CASES = [
    # stated
    ("She has ataxia and dysarthria.", [PRESENT, PRESENT]),
    ("She is ataxic.", [PRESENT]),
    ("Tremor was noted on examination.", [PRESENT]),
    ("[x] Scoliosis", [PRESENT]),
    ("Scoliosis: Yes", [PRESENT]),
    ("Mother reports ataxia.", [PRESENT]),
    ("His father has noticed seizures.", [PRESENT]),
    ("Her mother says she has tremor.", [PRESENT]),
    # negated before
    ("No seizures.", [ABSENT]),
    ("He is not ataxic.", [ABSENT]),
    ("She denies seizures or tremor.", [ABSENT, ABSENT]),
    ("There was no evidence of scoliosis.", [ABSENT]),
    ("Examination was negative for tremor, ataxia and scoliosis.", [ABSENT] * 3),
    ("I could find neither tremor nor ataxia.", [ABSENT, ABSENT]),
    ("Without nystagmus, ptosis or strabismus.", [ABSENT] * 3),
    ("No seizures, tremor,\nor ataxia.", [ABSENT] * 3),
    ("Ataxia without nystagmus.", [PRESENT, ABSENT]),
    ("Ataxia in the absence of tremor.", [PRESENT, ABSENT]),
    ("neg: scoliosis; tremor", [ABSENT, ABSENT]),
    ("(-) scoliosis", [ABSENT]),
    ("-ve for scoliosis / tremor", [ABSENT, ABSENT]),
    ("No tremor but ataxia is present.", [ABSENT, PRESENT]),
    ("There is no tremor, however she has ataxia.", [ABSENT, PRESENT]),
    ("No tremor. Ataxia.", [ABSENT, PRESENT]),
    ("No tremor or overnight seizures.", [ABSENT, ABSENT]),
    ("No tremor; gait: ataxia.", [ABSENT, PRESENT]),
    ("neg: tremor; CNS: ataxia", [ABSENT, PRESENT]),
    # negated after
    ("Seizures were denied.", [ABSENT]),
    ("Tremor and ataxia have been excluded.", [ABSENT, ABSENT]),
    ("Scoliosis was not seen.", [ABSENT]),
    ("Scoliosis has been ruled out.", [ABSENT]),
    ("Scoliosis: absent", [ABSENT]),
    ("Scoliosis | absent\nTremor | present", [ABSENT, PRESENT]),
    ("[ ] Scoliosis\n[x] Tremor", [ABSENT, PRESENT]),
    ("Scoliosis  -\nTremor  +", [ABSENT, PRESENT]),
    ("Pertinent negatives:\n- Scoliosis\n- Tremor\n\nPresent: ataxia.", [ABSENT, ABSENT, PRESENT]),
    # looks negated and is not
    ("No new treatment has been started for her seizures.", [PRESENT]),
    ("There has been no change in his tremor.", [PRESENT]),
    ("Not only ataxia but also dysarthria.", [PRESENT, PRESENT]),
    ("We are not seeing any progression of her ataxia.", [PRESENT]),
    ("No cause was found for the seizures.", [PRESENT]),
    ("The seizures have not resolved.", [PRESENT]),
    # family
    ("The mother had migraine.", [FAMILY]),
    ("Her great-grandmother had parkinsonism.", [FAMILY]),
    ("Tremor is reported in the maternal uncle.", [FAMILY]),
    ("FHx: mother - migraine", [FAMILY]),
    ("Family history includes epilepsy in a cousin.", [FAMILY]),
    ("Family history:\nMigraine and tremor.\n\nExamination:\nAtaxia.", [FAMILY, FAMILY, PRESENT]),
    ("The brother has tremor. He has ataxia.", [FAMILY, PRESENT]),
    ("There is no family history of migraine.", []),
    ("The mother does not have migraine.", []),
    # hypothetical
    ("The family was told what to do should a seizure ever occur.", []),
    ("Return if there is fever or vomiting.", []),
    ("She is at risk of scoliosis.", []),
    # uncertain
    ("Possible tremor.", [UNCERTAIN]),
    ("?scoliosis", [UNCERTAIN]),
    ("Query dystonia.", [UNCERTAIN]),
    ("We cannot exclude dystonia.", [UNCERTAIN]),
    ("It is unclear whether she has dystonia; to be re-assessed.", [UNCERTAIN]),
    ("The possibility of dystonia was raised but has not been confirmed.", [UNCERTAIN]),
    ("Tremor, not confirmed.", [UNCERTAIN]),
    # resolved
    ("Seizures resolved by the age of 3.", [RESOLVED]),
    ("She used to have eczema but grew out of it.", [RESOLVED]),
    ("She had ptosis in the past, now outgrown.", [RESOLVED]),
    ("h/o enuresis, resolved", [RESOLVED]),
    ("Earlier enuresis has settled.", [RESOLVED]),
    ("History of febrile seizures, now settled.", [RESOLVED]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text[:50] for text, _ in CASES])
def test_each_finding_gets_the_status_that_the_text_gives_it(text: str, expected: list[str], reader: Reader) -> None:
    assert [finding.status.value for finding in find(text, reader)] == expected


def test_a_hard_wrap_inside_a_cue_is_a_space(reader: Reader) -> None:
    text = "There was a long talk with the family, and there is no evidence\nof scoliosis on the films."
    assert [f.status.value for f in find(text, reader)] == [ABSENT]


def test_a_mistyped_cue_still_counts(reader: Reader) -> None:
    assert [f.status.value for f in find("Seizures were deneid.", reader)] == [ABSENT]
