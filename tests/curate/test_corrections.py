"""Corrections: what fits the task, whose word counts, and that held-out patients stay held out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.curate.corrections import HELD_OUT, Refused, read_correction, reader_of, usable_corrections
from residency.errors import ProjectError
from residency.records import Decision, Document, Judged, Source, Split, TaskKind
from residency.tasks import TaskSettings, write_answer, write_cell

LABELS = ("Ataxia", "Chorea", "Myopathy")
TERMS = {"ataxia": ("HP:0001251", "Ataxia"), "seizure": ("HP:0001250", "Seizure")}
TASKS = {kind: TaskSettings(name=kind.value, kind=kind, answer=kind.value, prompt="p.jinja") for kind in TaskKind}
KINDS = (TaskKind.CLASSIFY, TaskKind.EXTRACT, TaskKind.GENERATE)


def concept_of(name):
    return TERMS.get(name.casefold())


def read(kind, text):
    return read_correction(TASKS[kind], text, labels=LABELS, concept_of=concept_of, closed=True)


def document(number, patient=None):
    patient = patient or f"p-{number}"
    return Document(
        id=f"d-{number}", key=f"k{number}", text="She has ataxia.", source=Source(path="x"), patient=patient
    )


def decision(number, corrected="Chorea", *, who="Ann", verdict="wrong", at=0, answer="Ataxia", task="classify"):
    judged = Judged(task=task, document=f"d-{number}", patient=f"p-{number}", answer=answer, corrected=corrected)
    return Decision(
        id=f"v-{number}-{who}-{at}", subject=f"p-x{number}", who=who, when="t", verdict=verdict, judged=judged
    )


def usable(decisions, documents, split_of):
    known = {one.id: one for one in documents}
    read = reader_of(list(TASKS.values()), {"classify": LABELS}, concept_of, closed=True)
    return usable_corrections(decisions, known, split_of, read)


def test_a_correction_is_written_as_the_model_should_have_written_it():
    assert read(TaskKind.CLASSIFY, " chorea.\n") == "Chorea"
    assert read(TaskKind.GENERATE, "Two \n words ") == "Two words"
    gold = read(TaskKind.EXTRACT, "present: ataxia\nabsent: Seizure")
    assert write_answer(TASKS[TaskKind.EXTRACT], gold) == "present: Ataxia\nabsent: Seizure"
    assert write_cell(TASKS[TaskKind.EXTRACT], gold) == "Ataxia [HP:0001251] present; Seizure [HP:0001250] absent"
    assert read(TaskKind.EXTRACT, "none") == []


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (TaskKind.CLASSIFY, "Gout", "no label of task classify"),
        (TaskKind.EXTRACT, "she has ataxia", "cannot be read as findings"),
        (TaskKind.EXTRACT, "present: Ataxia; Secretname", "does not know finding 2"),
        *((kind, " \n", "is empty") for kind in KINDS),
        *((kind, "a\x1b[2J", "control characters") for kind in KINDS),
        *((kind, "\ud800", "half a character") for kind in KINDS),
    ],
)
def test_what_does_not_fit_the_task_is_refused_without_repeating_it(kind, text, problem):
    with pytest.raises(ProjectError, match=problem) as caught:
        read(kind, text)
    assert "Secretname" not in str(caught.value) and "Gout" not in str(caught.value)


@given(st.dictionaries(st.integers(0, 9), st.sampled_from([*Split, None]), min_size=1))
def test_every_correction_is_used_or_refused_for_a_reason_and_none_of_a_held_out_patient_is_used(sides):
    split_of = {f"p-{number}": side for number, side in sides.items() if side}
    documents = [document(number) for number in sides]
    found = usable([decision(number) for number in sides], documents, split_of)
    assert len(found.usable) + sum(found.refused.values()) == len(sides)
    assert not {split_of[one.patient] for one in found.usable} & HELD_OUT
    held_out = sum(side in HELD_OUT for side in sides.values())
    assert found.refused.get(Refused.HELD_OUT, 0) == held_out
    if held_out:
        assert f"{held_out} corrections of held-out patients are not trained on" in found.notes()


def test_a_patient_is_held_out_by_either_name_and_without_the_document():
    """The document may have another patient now, or be gone: whoever it was reviewed as stays held out."""
    test = {"p-1": Split.TEST, "p-2": Split.TRAIN}
    for documents in ([document(1, patient="p-2")], []):
        assert usable([decision(1)], documents, test).refused == {Refused.HELD_OUT: 1}
    assert usable([decision(2)], [document(2, patient="p-1")], test).refused == {Refused.HELD_OUT: 1}
    assert usable([decision(2)], [], test).refused == {Refused.GONE: 1}


def test_the_last_word_of_a_reviewer_counts():
    split_of, documents = {"p-1": Split.TRAIN}, [document(1)]
    found = usable([decision(1), decision(1, "Myopathy", at=1)], documents, split_of)
    assert [one.answer for one in found.usable] == ["Myopathy"]
    taken_back = decision(1, "", verdict="correct", at=2)
    assert usable([decision(1), taken_back], documents, split_of).usable == ()
    agreed = decision(1, "", verdict="correct", at=2, answer="Chorea")  # a better model gives the corrected answer
    assert len(usable([decision(1), agreed], documents, split_of).usable) == 1


def test_reviewers_who_disagree_teach_nothing_and_those_who_agree_do():
    split_of, documents = {"p-1": Split.TRAIN}, [document(1)]
    against = usable([decision(1), decision(1, "Myopathy", who="Bob")], documents, split_of)
    assert against.usable == () and against.refused == {Refused.CONTRADICTORY: 2}
    together = usable([decision(1), decision(1, who="Bob", answer="Myopathy")], documents, split_of)
    assert [(one.who, one.rejected) for one in together.usable] == [("Ann", "Ataxia"), ("Bob", "Myopathy")]
    assert together.by_question()["classify", "d-1"].who == "Bob"


def test_a_correction_that_fitted_once_and_does_not_any_more_is_counted():
    split_of, documents = {"p-1": Split.TRAIN}, [document(1)]
    assert usable([decision(1, "Gout")], documents, split_of).refused == {Refused.UNFIT: 1}
    assert usable([decision(1, task="cook")], documents, split_of).refused == {Refused.UNFIT: 1}
