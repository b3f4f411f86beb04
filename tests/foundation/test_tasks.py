"""Answers are written and read back the same way, and what cannot be read is said to be so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import ProjectError
from residency.records import Finding, Status, TaskKind
from residency.tasks import TaskSettings, gold_answer, read_findings, read_output, write_answer, write_findings_cell

EXTRACT = TaskSettings(name="findings", kind=TaskKind.EXTRACT, answer="findings", prompt="p.jinja")
CLASSIFY = TaskSettings(name="diagnose", kind=TaskKind.CLASSIFY, answer="diagnosis", prompt="p.jinja")
GENERATE = TaskSettings(name="summary", kind=TaskKind.GENERATE, answer="summary", prompt="p.jinja")
NAMES = {
    "ataxia": ("C:1", "Ataxia"),
    "wobbly": ("C:1", "Ataxia"),
    "seizure": ("C:2", "Seizure"),
    "x, severe": ("C:3", "X, severe"),
}


def concept_of(name):
    return NAMES.get(name.casefold())


def read(task, output):
    return read_output(task, output, labels=("Alpha disease", "Beta disease"), concept_of=concept_of)


findings = st.lists(
    st.builds(
        lambda pair, status: Finding(concept=pair[0], label=pair[1], status=status),
        st.sampled_from(sorted(set(NAMES.values()))),
        st.sampled_from(Status),
    ),
    max_size=6,
)


@given(findings)
def test_the_label_cell_and_the_answer_text_give_the_findings_back(some):
    cell = write_findings_cell(some)
    gold = gold_answer(EXTRACT, cell, place="row 1")
    assert {(f["concept"], f["status"]) for f in gold} == {f.key for f in some}
    answer = write_answer(EXTRACT, gold)
    assert {(f["concept"], f["status"]) for f in read(EXTRACT, answer)} == {f.key for f in some}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("none", []),
        ("None.", []),
        ("present: Wobbly", [("C:1", "present")]),
        (
            "Present: Ataxia; ataxia; Seizure.\n\nabsent: X, severe",
            [("C:1", "present"), ("C:2", "present"), ("C:3", "absent")],
        ),
        ("present: Ataxia\nabsent: Ataxia", [("C:1", "present"), ("C:1", "absent")]),
        ("present: Moonwalking", [("", "present")]),
    ],
)
def test_finding_lines_are_read(output, expected):
    assert [(f["concept"], f["status"]) for f in read(EXTRACT, output)] == expected


@pytest.mark.parametrize(
    "output", ["The patient has ataxia.", "maybe: Ataxia", "present Ataxia", "present: Ataxia\nand so on"]
)
def test_an_output_in_another_format_is_unparsed_not_empty(output):
    assert read(EXTRACT, output) is None


def test_an_empty_output_of_each_kind():
    assert read(CLASSIFY, " ") is None
    assert read(GENERATE, "\n") is None
    assert read(EXTRACT, "") is None


def test_a_label_is_read_whatever_its_case_and_nothing_else_is():
    assert read(CLASSIFY, "alpha DISEASE.") == "Alpha disease"
    assert read(CLASSIFY, "Gamma disease") is None


@pytest.mark.parametrize("cell", ["Ataxia present", "Ataxia [C:1]", "Ataxia [C:1] perhaps", "[C:1] present"])
def test_a_label_cell_in_another_format_is_an_error_with_its_place_but_without_its_text(cell):
    with pytest.raises(ProjectError) as caught:
        read_findings(cell, place="labels.csv row 7, findings")
    assert "labels.csv row 7" in str(caught.value)
    assert "Ataxia" not in str(caught.value)
