"""People's decisions reach the gate: what was inconclusive for want of review is not any more."""

import pytest
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import ProjectError
from residency.evaluate.gate import GateVerdict
from residency.project import Project
from residency.review import (
    answers_to_judge,
    decide,
    documents_to_read,
    open_review,
    record_reading,
    record_release,
    sample_of_output,
)
from residency.run.progress import Silent
from residency.story import run_project

GATE = {
    "lines": [
        {"rule": "reviews_at_least", "task": "diagnose", "count": 3},
        {"rule": "deidentification_reviewed"},
    ]
}


@pytest.fixture
def reviewed(told):
    import yaml

    root, _ = told
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    (root / "residency.yaml").write_text(yaml.safe_dump({**settings, "gate": GATE}))
    run_project(root, Silent())
    return root


def test_answers_come_in_a_drawn_order_blind_and_only_once(reviewed):
    project = open_review(reviewed)
    items = answers_to_judge(project, "diagnose")
    assert [i.subject for i in items] == [i.subject for i in answers_to_judge(open_review(reviewed), "diagnose")]
    assert not hasattr(items[0], "confidence") and not hasattr(items[0], "system")
    decide(project, items[0].subject, "correct", who="Ann")
    assert [i.subject for i in answers_to_judge(project, "diagnose")] == [i.subject for i in items[1:]]


def test_the_gate_goes_once_people_have_decided(reviewed):
    project = open_review(reviewed)
    for item in answers_to_judge(project, "diagnose")[:3]:
        decide(project, item.subject, "correct", who="Ann")
    assert run_project(reviewed, Silent()).verdict.verdict is GateVerdict.INCONCLUSIVE
    for document in documents_to_read(project):
        record_reading(project, document, [], [], who="Pat")
    assert run_project(reviewed, Silent()).verdict.verdict is GateVerdict.INCONCLUSIVE
    record_release(project, approve=True, who="Pat")
    assert run_project(reviewed, Silent()).verdict.verdict is GateVerdict.GO


def test_a_refusal_does_not_open_the_gate(reviewed):
    project = open_review(reviewed)
    for item in answers_to_judge(project, "diagnose"):
        decide(project, item.subject, "wrong", who="Ann")
    record_release(project, approve=False, who="Pat")
    assert run_project(reviewed, Silent()).verdict.verdict is GateVerdict.NO_GO


def test_the_terminal_takes_keys_and_says_what_to_run_next(reviewed):
    result = CliRunner().invoke(
        app, ["review", "diagnose", "--who", "Ann", "--project", str(reviewed)], input="c\nz\nw\n\n\n\ns\nq\n"
    )
    assert result.exit_code == 0, result.output
    assert "2 answers judged" in result.output
    verdicts = [d.verdict for d in Project.open(reviewed).workspace.ledger.decisions()]
    assert verdicts == ["correct", "wrong"]


def test_whoever_releases_a_set_sees_documents_with_their_replaced_places(reviewed):
    sample = sample_of_output(open_review(reviewed), 20)
    assert len(sample) == 20
    assert all(document.spans and "Vandermolen" not in document.text for document in sample)


def test_a_decision_without_a_name_and_an_unknown_task_are_refused(reviewed):
    project = open_review(reviewed)
    with pytest.raises(ProjectError, match="needs a name"):
        decide(project, "p-1", "correct", who=" ")
    with pytest.raises(ProjectError, match="no answers to judge"):
        answers_to_judge(project, "cook")
