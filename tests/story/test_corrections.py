"""Reviewers' corrected answers: kept with the decision, trained on next, and never those of held-out patients."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import ProjectError
from residency.forget import forget_patient
from residency.project import Project
from residency.records import Decision, Failure, Judged, Judgment, Origin, Split
from residency.review import answers_to_judge, open_review, record_answer
from residency.run.progress import Silent
from residency.story import prepare_lessons, run_project


class Spoken(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def other_label(item):
    return next(label for label in item.labels if label != item.answer)


def correct(project, document, corrected, *, task="diagnose", answer="nonsense"):
    """As the studio or a review of served calls would write it."""
    judged = Judged(task=task, document=document.id, patient=document.patient, answer=answer, corrected=corrected)
    name = f"v-{task}-{document.id}"
    project.workspace.ledger.decide(
        Decision(id=name, subject="p-1", who="Ann", when="t", verdict=Judgment.WRONG, judged=judged)
    )


def test_a_decision_carries_the_corrected_answer(told):
    project = open_review(told[0])
    item = answers_to_judge(project, "diagnose")[0]
    record_answer(
        project,
        item,
        Judgment.CRITICAL,
        who="Ann",
        corrected=other_label(item).upper(),
        failure=Failure.MISSED,
        why="x",
    )
    kept = Project.open(told[0]).workspace.ledger.decisions()[-1]
    assert (kept.verdict, kept.failure, kept.why) == ("critically wrong", Failure.MISSED, "x")
    assert kept.judged.corrected == other_label(item) and kept.judged.answer == item.answer
    assert kept.judged.document == item.document and kept.judged.patient == item.patient


def test_what_contradicts_itself_is_refused(told):
    project = open_review(told[0])
    item = answers_to_judge(project, "diagnose")[0]
    with pytest.raises(ProjectError, match="needs no correction"):
        record_answer(project, item, Judgment.CORRECT, who="Ann", corrected=other_label(item))
    with pytest.raises(ProjectError, match="no label"):
        record_answer(project, item, Judgment.WRONG, who="Ann", corrected="Gout")
    with pytest.raises(ProjectError, match="control characters"):
        record_answer(project, item, Judgment.WRONG, who="Ann", why="\x1b[2J")
    if item.answer in item.labels:
        with pytest.raises(ProjectError, match="the system's own"):
            record_answer(project, item, Judgment.WRONG, who="Ann", corrected=item.answer)
    assert project.workspace.ledger.decisions() == []


def test_the_terminal_asks_for_the_corrected_answer_until_it_fits(told):
    item = answers_to_judge(open_review(told[0]), "diagnose")[0]
    keys = f"w\nGout\n{other_label(item)}\nm\nsee line 3\nq\n"
    result = CliRunner().invoke(app, ["review", "diagnose", "--who", "Ann", "--project", str(told[0])], input=keys)
    assert result.exit_code == 0 and "no label of task diagnose" in result.output
    kept = Project.open(told[0]).workspace.ledger.decisions()[-1]
    assert (kept.judged.corrected, kept.failure, kept.why) == (other_label(item), Failure.MISSED, "see line 3")


def test_the_terminal_takes_an_answer_of_several_lines(told):
    keys = "w\npresent: Ataxia\nabsent: Seizure\n\n\n\nq\n"
    result = CliRunner().invoke(app, ["review", "findings", "--who", "Ann", "--project", str(told[0])], input=keys)
    assert result.exit_code == 0, result.output
    assert Project.open(told[0]).workspace.ledger.decisions()[-1].judged.corrected == "present: Ataxia\nabsent: Seizure"


def test_corrections_of_training_patients_are_trained_on_and_those_of_test_patients_are_counted(told):
    root, before = told
    project = Project.open(root)
    of_side = {side: [d for d in before.documents if before.split_of[d.patient] is side] for side in Split}
    trained, validated = of_side[Split.TRAIN][0], of_side[Split.VALIDATION][0]
    wrong = {"Alpha disease": "Beta disease", "Beta disease": "Alpha disease"}
    correct(project, trained, wrong[trained.answers["diagnosis"]])
    correct(project, validated, "absent: Seizure", task="findings")
    for held_out in (*of_side[Split.TEST][:2], of_side[Split.CALIBRATION][0]):
        correct(project, held_out, "Alpha disease")
    progress = Spoken()
    after = run_project(root, progress, until="tune")
    assert "    note: 3 corrections of held-out patients are not trained on" in progress.lines
    lessons = prepare_lessons(after)
    reviewed = [e for e in (*lessons.training, *lessons.validation) if e.origin is Origin.REVIEW]
    assert {(e.task, e.parents[0], e.author, e.answer) for e in reviewed} == {
        ("diagnose", trained.id, "Ann", wrong[trained.answers["diagnosis"]]),
        ("findings", validated.id, "Ann", "absent: Seizure"),
    }
    questions = [(e.task, e.parents[0]) for e in (*lessons.training, *lessons.validation)]
    assert (
        len(questions)
        == len(set(questions))
        == len(prepare_lessons(before).training) + len(prepare_lessons(before).validation)
    )
    assert not {e.patient for e in lessons.training} & lessons.held_out
    assert after.runs["tune"].facts["corrections"] == {"trained_on": 2, "of held-out patients": 3}
    assert after.runs["tune"].hash("adapter") != before.runs["tune"].hash("adapter")


def test_forgetting_a_patient_takes_out_what_was_written_about_their_answers(told):
    root, before = told
    project = Project.open(root)
    first, second = before.documents[0], next(d for d in before.documents if d.patient != before.documents[0].patient)
    correct(project, first, "Alpha disease")
    correct(project, second, "Alpha disease")
    forget_patient(project, first.patient)
    gone, kept = Project.open(root).workspace.ledger.decisions()
    assert gone.judged is None and gone.verdict == "wrong" and kept.judged.patient == second.patient
