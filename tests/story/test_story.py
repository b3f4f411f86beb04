"""The whole story on a small project: what comes out, what a second telling does, what is never written."""

import json
import re
import sqlite3
import zipfile

import pytest
import yaml
from typer.testing import CliRunner

from residency.cli import app
from residency.datacard import describe_data, write_card
from residency.errors import ProjectError, StoreError
from residency.exchange import export_tasks, import_annotations
from residency.project import Project
from residency.records import Origin, Split
from residency.run.progress import Silent
from residency.story import STAGES, questions, run_project, written_differently
from residency.trace import trace_record


def test_a_project_ends_with_a_verdict_a_report_and_a_way_back(told):
    root, iteration = told
    report = json.loads((root / "report.json").read_text())
    assert next(iter(report)) == "verdict"
    assert report["verdict"] == "INCONCLUSIVE"
    assert "judged by an expert" in " ".join(report["reasons"])
    recipe = {row["name"]: row["value"] for row in report["training"]["recipe"]}
    assert recipe["patience"] == "none" and "q_proj, v_proj" in (root / "report.html").read_text()
    assert {"zero_shot", "few_shot", "tuned", "linear", "candidates", "terminology"} == {
        system["name"] for system in report["systems"]
    }
    measured = {(s["system"], s["task"], s["metric"]) for s in report["scores"]}
    assert {("tuned", "diagnose", "accuracy"), ("tuned", "findings", "f1"), ("tuned", "summary", "rougeL")} <= measured
    assert report["data"]["read"] == report["data"]["kept"] + sum(d["count"] for d in report["data"]["dropped"])
    assert "<html" in (root / "report.html").read_text()
    sides = {}
    for patient, side in iteration.split_of.items():
        assert sides.setdefault(patient, side) is side
    for case in report["cases"]["worst"]:
        trace = trace_record(root, case["id"])
        assert trace.document.source.path.startswith("inbox/letter_")
        assert (root / trace.document.source.path).is_file()
        assert [step for step, _ in trace.steps] == ["deidentify", "cleanse", "deduplicate", "extract"]
        assert trace.nearest and all((root / near.source).is_file() for near in trace.nearest)


def test_telling_it_again_does_nothing_twice(told):
    root, first = told
    again = run_project(root, Silent())
    assert again.runs.keys() == first.runs.keys()
    assert all(outcome.reused for outcome in again.runs.values())
    assert [score for score in again.scores] == [score for score in first.scores]


def test_a_changed_setting_repeats_only_what_comes_after_it(told):
    root, _ = told
    file = root / "residency.yaml"
    file.write_text(re.sub(r"max_tokens: 12\b", "max_tokens: 13", file.read_text()))
    again = run_project(root, Silent())
    done = {stage for stage, outcome in again.runs.items() if not outcome.reused}
    assert "deidentify" not in done and "tune" not in done and "tuned diagnose" not in done
    assert "tuned summary" in done


def test_no_identifier_is_written_anywhere(told):
    """Every file of the project but the inbox and the label file is searched, Parquet decoded."""
    import pyarrow.parquet as pq

    root, _ = told
    for path in (p for p in root.rglob("*") if p.is_file()):
        if path.is_relative_to(root / "inbox") or path.name == "labels.csv":
            continue
        content = path.read_bytes().decode("utf-8", errors="replace")
        if path.suffix == ".parquet":
            content += str(pq.read_table(path).to_pylist())
        assert "Vandermolen" not in content, path
        assert not re.search(r"\b55000\d\d\b", content), path


def test_the_split_separates_and_the_report_shows_it(told):
    root, iteration = told
    tested = {e["patients"] for e in json.loads((root / "report.json").read_text())["data"]["split"]}
    assert sum(tested) <= len(iteration.split_of) * 4
    assert len({score.clusters for score in iteration.scores if score.task == "diagnose"}) == 1


def test_until_stops_after_the_stage_and_an_unknown_stage_is_named(make_project):
    root = make_project()
    iteration = run_project(root, Silent(), until="split")
    assert "split" in iteration.runs and "tune" not in iteration.runs
    with pytest.raises(ProjectError, match="there is no such stage") as caught:
        run_project(root, Silent(), until="tea")
    assert all(stage in caught.value.fix for stage in STAGES)


def test_why_before_a_run_says_to_run(make_project):
    with pytest.raises(ProjectError, match="not run yet"):
        trace_record(make_project(), "letter_01")


def test_why_of_something_unknown_and_of_something_dropped(make_project):
    root = make_project()
    (root / "inbox" / "letter_90.txt").write_text((root / "inbox" / "letter_00.txt").read_text())
    run_project(root, Silent(), until="split")
    with pytest.raises(ProjectError, match="no prediction, example or document"):
        trace_record(root, "nobody")
    assert trace_record(root, "letter_01").document.key == "letter_01"


# --- bad input --------------------------------------------------------------------------------------------------


def problems_of(root):
    with pytest.raises(ProjectError) as caught:
        Project.open(root)
    return caught.value.problems


def test_a_project_file_with_three_mistakes_names_all_three(make_project):
    root = make_project(
        seed=-1, colour="red", tasks=[{"name": "diagnose", "kind": "guess", "answer": "a", "prompt": "p"}]
    )
    problems = problems_of(root)
    assert len(problems) == 3
    assert any(p.startswith("seed (is -1)") for p in problems)
    assert any(p.startswith("colour: unknown setting") for p in problems)
    assert any(p.startswith("tasks[0].kind") for p in problems)


def test_curation_that_does_not_begin_with_deidentify_is_refused(make_project):
    assert any(
        "must begin with the step deidentify" in p for p in problems_of(make_project(curate=[{"step": "cleanse"}]))
    )


def test_no_project_and_no_yaml(tmp_path, make_project):
    with pytest.raises(ProjectError, match="no project here"):
        Project.open(tmp_path / "nothing")
    root = make_project()
    (root / "residency.yaml").write_text("name: [unclosed")
    with pytest.raises(ProjectError, match="not YAML"):
        Project.open(root)


def test_an_empty_inbox_is_said_before_anything_runs(make_project):
    root = make_project()
    for path in (root / "inbox").iterdir():
        path.unlink()
    with pytest.raises(ProjectError, match="inbox"):
        run_project(root, Silent())


def test_a_label_for_an_unknown_report_is_said(make_project):
    root = make_project()
    with (root / "labels.csv").open("a") as file:
        file.write("letter_99,p99,Alpha disease,,\n")
    with pytest.raises(ProjectError, match="letter_99"):
        run_project(root, Silent())


def test_a_binary_file_named_txt_is_dropped_with_a_reason_and_the_rest_goes_on(make_project):
    root = make_project()
    (root / "inbox" / "picture.txt").write_bytes(bytes(range(256)) * 40)
    iteration = run_project(root, Silent(), until="split")
    assert iteration.runs["deidentify"].facts["unreadable"] == 1
    assert len(iteration.documents) == 40


def test_a_report_of_a_hundred_thousand_words_is_answered_as_too_long_and_counts_as_wrong(make_project):
    recipe = {"epochs": 1, "rank": 2, "targets": ["q_proj"], "max_tokens": 400, "most_truncated": 0.5}
    root = make_project(recipe=recipe)
    (root / "prompts" / "summary.jinja").write_text("summary?\n{{ document.text }}\n")
    for number in range(0, 40, 2):
        path = root / "inbox" / f"letter_{number:02}.txt"
        path.write_text(path.read_text() + "He walks slowly, day after day. " * (16_700 if number == 0 else 200))
    iteration = run_project(root, Silent(), until="score")
    unscored = [p for p in iteration.predictions["tuned", "summary"] if p.value is None and p.output == ""]
    assert unscored
    rates = {s.metric: s.value for s in iteration.scores if (s.task, s.system) == ("summary", "tuned")}
    assert rates["unscored_rate"] > 0


def test_a_lost_key_is_refused_before_anything_is_written(told, monkeypatch, tmp_path):
    root, _ = told
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another-home"))
    with pytest.raises(StoreError, match="key of this workspace is missing"):
        run_project(root, Silent(), fresh=True)


def test_a_ledger_can_be_read_with_any_tool(told):
    root, _ = told
    with sqlite3.connect(root / ".residency" / "ledger.sqlite") as connection:
        states = {state for (state,) in connection.execute("SELECT state FROM runs")}
    connection.close()
    assert states == {"done"}
    assert not zipfile.is_zipfile(root / "report.html")


def test_knowledge_from_outside_reaches_the_baseline_of_the_candidates(make_project):
    root = make_project()
    before = run_project(root, Silent(), until="evaluate")
    label = before.labels["diagnose"][0]
    (root / "known.tsv").write_text(f"disease_name\thpo_id\tqualifier\treference\n{label}\tHP:0001337\tNOT\tPMID:1\n")
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    (root / "residency.yaml").write_text(yaml.safe_dump({**settings, "knowledge": [{"path": "known.tsv"}]}))
    after = run_project(root, Silent(), until="evaluate")
    assert after.candidates != before.candidates
    shares = [[p.probabilities for p in one.predictions["candidates", "diagnose"]] for one in (before, after)]
    assert shares[0] != shares[1]


def test_the_dataset_card_counts_what_there_is_and_says_what_lacks(told):
    root, iteration = told
    card = describe_data(Project.open(root), enough=30)
    assert (card.documents, card.patients) == (40, 40)
    assert card.sources == {"text": 40} == json.loads((root / "report.json").read_text())["data"]["formats"]
    diagnose, findings, summary = card.tasks
    assert sum(diagnose.examples.values()) == 40 and diagnose.unanswered == 0
    trained = diagnose.examples["train"]
    assert diagnose.lacks == 30 - trained and findings.lacks == summary.lacks == diagnose.lacks
    assert [one.lacks for one in diagnose.classes] == sorted(
        (15 - one.examples for one in diagnose.classes), reverse=True
    )
    assert sum(one.examples for one in diagnose.classes) == trained
    assert card.verdict.startswith("Not enough: diagnose lacks")
    assert describe_data(Project.open(root), enough=5).verdict.startswith("Enough")
    as_json, page = write_card(card, root)
    assert json.loads(as_json.read_text())["data"] == iteration.data == card.data
    assert "| Alpha disease | 20 | 20 |" in page.read_text() and "Vandermolen" not in page.read_text()
    shown = CliRunner().invoke(app, ["data", "--enough", "30", "-p", str(root)])
    assert shown.exit_code == 0 and "lacks" in shown.output and "dataset.md" in shown.output


def test_documents_go_to_label_studio_and_annotations_come_back_as_a_label_file(told, tmp_path):
    root, _ = told
    project = Project.open(root)
    count, config = export_tasks(project, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert count == len(tasks) == 40 and "Alpha disease" in config.read_text()
    assert "Vandermolen" not in (tmp_path / "tasks.json").read_text()
    for number, task in enumerate(tasks):  # a second annotator, who disagrees on two
        other = json.loads(json.dumps(task["annotations"][0]))
        other["completed_by"] = {"email": "ann"}
        for result in other["result"]:
            if result["from_name"] == "diagnose" and number < 2:
                result["value"]["choices"] = ["Something else"]
        task["annotations"].append(other)
    (tmp_path / "back.json").write_text(json.dumps(tasks))
    done = import_annotations(project, tmp_path / "back.json", tmp_path / "annotations.csv")
    assert done.annotations == 80 and set(done.annotators) == {"residency", "ann"}
    assert 0.8 < done.agreement["diagnose"] < 1
    rows = (tmp_path / "annotations.csv").read_text().splitlines()
    assert rows[0] == "report,patient,annotator,diagnosis,findings,summary" and len(rows) == 81
    assert "Ataxia [HP:0001251] present" in rows[1]
    shown = CliRunner().invoke(app, ["import", str(tmp_path / "no.json"), "-p", str(root)])
    assert isinstance(shown.exception, ProjectError)


def test_training_texts_are_written_differently_and_held_out_ones_are_not(make_project):
    augmenting = {"copies": 2, "names": 1.0, "sections": 1.0, "typos": 0.1}
    iteration = run_project(make_project(augment=augmenting), Silent(), until="release")
    examples = written_differently(iteration, {})
    assert examples and {example.split for example in examples} == {Split.TRAIN}
    assert {example.origin for example in examples} == {Origin.SYNTHETIC}
    originals = {e.id: e for task in iteration.project.settings.tasks for e in questions(iteration, task, Split.TRAIN)}
    assert not originals.keys() & {example.id for example in examples}
    for task in iteration.project.settings.tasks:
        golds = {json.dumps(e.gold) for e in originals.values() if e.task == task.name}
        assert {json.dumps(e.gold) for e in examples if e.task == task.name} <= golds
