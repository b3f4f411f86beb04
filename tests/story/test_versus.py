"""An adapter that was made worse is refused, with the reason; the same adapter again is never better."""

from __future__ import annotations

import csv
import json
import re

import pytest
import yaml
from typer.testing import CliRunner
from worse import turned_round

from residency.cli import app
from residency.errors import EvaluationError, ProjectError
from residency.project import Project
from residency.records import Split
from residency.run.progress import Silent
from residency.store.runs import Outcome
from residency.story import TRAINED, run_project
from residency.versus import compare_systems

POLICY = [
    {"rule": "better_than", "task": "diagnose", "metric": "bits_per_byte", "baseline": "zero_shot"},
    {"rule": "unscored_at_most", "task": "diagnose", "rate": 0.0},
]


def with_policy(root, lines):
    file = root / "residency.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "gate": {"lines": lines}}, sort_keys=False))
    return root


def judge(root, adapter):
    return CliRunner().invoke(app, ["evaluate", "--adapter", str(adapter), "-p", str(root)], catch_exceptions=False)


@pytest.fixture(scope="module")
def judged(told_once, tmp_path_factory):
    """The told project under a policy, a worsened adapter, and what the command said of it."""
    import shutil

    root = tmp_path_factory.mktemp("judged") / "project"
    shutil.copytree(told_once[0], root)
    good = run_project(with_policy(root, POLICY), Silent())
    worse = turned_round(root, root.parent / "worse")
    return root, good, worse, judge(root, worse)


def test_a_worsened_adapter_gets_no_go_with_the_reason_on_the_page(judged):
    root, good, worse, result = judged
    assert good.verdict.verdict == "GO", good.verdict
    assert result.exit_code == 1 and "NO-GO" in result.output
    sha256 = json.loads((worse / "card.json").read_text())["weights_sha256"]
    folder = root / ".residency" / "evaluations" / f"a-{sha256[:12]}"
    gate = json.loads((folder / "gate.json").read_text())
    assert (gate["verdict"], gate["exit_status"], gate["iteration"]) == ("NO-GO", 1, sha256[:12])
    (refused,) = [line for line in gate["gate"] if line["verdict"] == "NO-GO"]
    assert refused["rule"]["metric"] == "bits_per_byte" and refused["measured"]["low"] > 0
    page = (folder / "report.html").read_text()
    assert "NO-GO" in page and "tuned better than zero_shot in bits per byte" in page
    own = json.loads((root / "gate.json").read_text())
    assert own["verdict"] == "GO" and own["iteration"] == good.adapter_sha256[:12]


def test_nothing_is_asked_of_the_other_systems_again(judged):
    root, good, worse, _ = judged
    again = run_project(root, Silent(), adapter=str(worse))
    assert all(outcome.reused for outcome in again.runs.values()) and "tune" not in again.runs
    assert again.runs["zero_shot summary"].row.key == good.runs["zero_shot summary"].row.key
    assert again.runs["tuned summary"].row.key != good.runs["tuned summary"].row.key


def test_the_same_adapter_judged_again_is_not_better_than_itself(judged, tmp_path):
    """Evaluated as if it were another one, from its hash, it is the same in every metric."""
    root, good, _, _ = judged
    again = run_project(root, Silent(), adapter=good.adapter_sha256[:10])
    assert again.verdict.verdict == good.verdict.verdict
    found = compare_systems(Project.open(root), good.adapter_sha256[:10], "tuned")
    for task in found["tasks"].values():
        for metric, one in task["comparisons"].items():
            assert one["difference"] == 0 and one["verdict"] not in ("BETTER", "WORSE"), metric


def test_the_worsened_adapter_loses_the_comparison_and_wins_it_turned_round(judged):
    root, _, worse, _ = judged
    lost = compare_systems(Project.open(root), str(worse), "tuned")["tasks"]["diagnose"]["comparisons"]
    won = compare_systems(Project.open(root), "tuned", str(worse))["tasks"]["diagnose"]["comparisons"]
    assert lost["bits_per_byte"]["low"] > 0 and won["bits_per_byte"]["high"] < 0  # fewer bits are better
    assert not {"BETTER", "NON-INFERIOR"} & {lost["bits_per_byte"]["verdict"]}
    assert won["bits_per_byte"]["verdict"] not in ("WORSE", "INCONCLUSIVE") or won["bits_per_byte"]["p_adjusted"] > 0.05
    assert not {"rougeL", "bleu"} & lost.keys()
    assert lost["bits_per_byte"]["p_adjusted"] >= lost["bits_per_byte"]["p"]
    assert won["bits_per_byte"]["first"] == pytest.approx(lost["bits_per_byte"]["second"])


def test_the_command_names_both_the_cases_and_the_verdicts(judged):
    root, _, worse, _ = judged
    result = CliRunner().invoke(app, ["compare", str(worse), "few_shot", "-p", str(root)], catch_exceptions=False)
    assert result.exit_code == 0 and "summary: " in result.output and re.search(r"cases [0-9a-f]{12}\.", result.output)
    command = ["compare", "tuned", "linear", "-p", str(root), "--json"]
    found = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).output)
    assert list(found["tasks"]) == ["diagnose"] and found["tasks"]["diagnose"]["n"] == 8


def test_a_run_is_found_by_its_key(judged):
    root, good, _, _ = judged
    key = good.runs["few_shot diagnose"].row.key
    found = compare_systems(Project.open(root), key.rpartition("-")[2][:12], "few_shot")
    assert list(found["tasks"]) == ["diagnose"]
    assert found["tasks"]["diagnose"]["comparisons"]["accuracy"]["difference"] == 0


def test_names_that_stand_for_nothing_are_said(judged, tmp_path):
    root, _, _, _ = judged
    with pytest.raises(ProjectError, match="no system, adapter or run") as caught:
        compare_systems(Project.open(root), "tuned", "zebra")
    assert "few_shot" in caught.value.fix
    unasked = turned_round(root, tmp_path / "unasked", factor=3.0)
    with pytest.raises(EvaluationError, match="has answered nothing here") as caught:
        compare_systems(Project.open(root), str(unasked), "tuned")
    assert "residency evaluate --adapter" in caught.value.fix


def test_answers_to_other_cases_are_refused(judged, tmp_path):
    import shutil

    root = tmp_path / "project"
    shutil.copytree(judged[0], root)
    labels = (root / "labels.csv").read_text()
    _, good, worse, _ = judged
    tested = next(d for d in good.documents if good.split_of[d.patient] is Split.TEST)
    number = int(re.search(r"letter_(\d+)", tested.source.path).group(1))
    changed = labels.replace(f"{20 + number} years old, with", f"{20 + number} years old, without sleep and with")
    assert changed != labels
    (root / "labels.csv").write_text(changed)
    run_project(root, Silent())
    with pytest.raises(EvaluationError, match="answered other cases of summary"):
        compare_systems(Project.open(root), str(worse), "tuned")


def test_an_adapter_that_was_trained_on_todays_test_patients_is_refused(judged, tmp_path):
    import shutil

    root = tmp_path / "project"
    shutil.copytree(judged[0], root)
    project, good = Project.open(root), judged[1]
    (row,) = project.workspace.ledger.runs("tune")
    row.facts[TRAINED].append(next(iter(good.patients(Split.TEST))))
    project.workspace.ledger.save(Outcome(row, reused=True, workspace=project.workspace).row)
    with pytest.raises(EvaluationError, match="trained on 1 patients that are held out"):
        run_project(root, Silent(), adapter=good.adapter_sha256[:12])


def test_slices_calibration_and_forgetting_are_judged_from_the_evidence(judged, tmp_path):
    import shutil

    root = tmp_path / "project"
    shutil.copytree(judged[0], root)
    diagnose = {"task": "diagnose", "metric": "accuracy"}
    lines = [
        {"rule": "at_least", **diagnose, "value": 0.99, "where": {"format": "text"}},
        {"rule": "not_worse_than", **diagnose, "baseline": "zero_shot", "margin": 0.99, "where": {"format": "text"}},
        {"rule": "at_least", **diagnose, "value": 0.5, "where": {"color": "red"}},
        {"rule": "at_least", **diagnose, "value": 0.5, "where": {"format": "hl7"}},
        {"rule": "calibrated", "task": "diagnose"},
        {"rule": "not_forgotten", "margin": 90},
        {"rule": "no_critical_errors", "task": "findings", "severity": 1000},
        {"rule": "better_than", "task": "findings", "metric": "critical_error_rate", "baseline": "terminology"},
        {"rule": "better_than", "task": "findings", "metric": "omission_rate", "baseline": "terminology"},
    ]
    iteration = run_project(with_policy(root, lines), Silent())
    found = iteration.verdict.lines
    formats = {document.meta["format"] for document in iteration.documents}
    assert formats == {"text"}
    assert found[0].measured.n == 8 and "where format is text" in found[0].title
    assert found[1].verdict == "GO" or found[1].measured.required_n
    assert found[2].verdict == "INCONCLUSIVE" and "There is no slice 'color'; slices are" in found[2].reason
    assert "No case has format 'hl7'; there is text" in found[3].reason
    assert "Calibration error" in found[4].reason and found[4].measured.n == 8
    assert found[5].verdict == "GO" and "bits per byte" in found[5].title
    assert found[6].verdict == "INCONCLUSIVE" and "its severities" in found[6].reason
    value = {(one.system, one.metric): one.value for one in iteration.scores if one.task == "findings"}
    for line in found[7:]:  # what harms is compared by the table and the texts, as it is scored
        ours, theirs = value["tuned", line.line.metric], value["terminology", line.line.metric]
        assert line.measured.value == pytest.approx(ours - theirs) and ours > theirs
        assert line.verdict == "NO-GO"


def test_a_line_of_the_policy_may_be_about_a_column_and_tells_nothing_of_few_patients(judged, tmp_path):
    import shutil

    root = tmp_path / "project"
    shutil.copytree(judged[0], root)
    _, good, _, _ = judged
    tested = [d for d in good.documents if good.split_of[d.patient] is Split.TEST]
    alone = tested[0].source.path
    with (root / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["site"] = row["length"] = "B" if row["report"] in alone else "A"
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    line = {"rule": "at_least", "task": "diagnose", "metric": "accuracy", "value": 0.5}
    with_policy(root, [{**line, "where": {name: side}} for name in ("site", "length") for side in "AB"])
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    settings["evaluate"]["slices"] = ["site", "length"]
    (root / "residency.yaml").write_text(yaml.safe_dump(settings))
    found = run_project(root, Silent()).verdict.lines
    for many, one in (found[:2], found[2:]):
        assert many.measured.n == len(tested) - 1
        assert one.verdict == "INCONCLUSIVE" and one.measured is None and "Fewer than 5 patients" in one.reason
