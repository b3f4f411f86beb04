"""Mistakes of a project are said before work is spent on them, with place and next step, and leak nothing."""

import json
import os
import stat

import pytest
import yaml
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import ProjectError, ResidencyError, StoreError
from residency.folder import check_project, new_project
from residency.project import Project
from residency.run.progress import Silent
from residency.story import run_project


def problems_of(root):
    with pytest.raises(ProjectError) as caught:
        Project.open(root)
    return " | ".join(caught.value.problems)


def changed(root, **entries):
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    (root / "residency.yaml").write_text(yaml.safe_dump({**settings, **entries}, sort_keys=False))
    return root


def test_free_text_answers_must_be_de_identified(make_project):
    root = make_project(curate=[{"step": "deidentify", "answers": ["sumary"]}, {"step": "extract"}])
    assert "must list 'summary'" in problems_of(root)


def test_a_column_that_de_identification_names_and_the_file_lacks_is_said(make_project):
    steps = [{"step": "deidentify", "entities": False, "answers": ["summary", "comment"]}, {"step": "extract"}]
    with pytest.raises(ProjectError, match="no column 'comment'"):
        run_project(make_project(curate=steps), Silent(), until="curate")


def test_columns_that_no_task_asks_for_are_not_stored(make_project):
    root = make_project()
    lines = (root / "labels.csv").read_text().splitlines()
    lines = [
        f"{line},{'comment' if number == 0 else 'Seen by Dr Aloysius Pendragon'}" for number, line in enumerate(lines)
    ]
    (root / "labels.csv").write_text("\n".join(lines))
    iteration = run_project(root, Silent(), until="curate")
    assert all("comment" not in document.answers for document in iteration.documents)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"rule": "reviews_at_least", "task": "zzz", "count": 1}, "no task 'zzz'"),
        (
            {"rule": "better_than", "task": "diagnose", "metric": "accuracy", "baseline": "few_shoot"},
            "no system 'few_shoot'",
        ),
        ({"rule": "at_least", "task": "diagnose", "metric": "fact_f1", "value": 0.5}, "not measured for classify"),
    ],
)
def test_a_gate_line_that_names_nothing_is_refused(make_project, line, said):
    assert said in problems_of(make_project(gate={"lines": [line]}))


def test_a_metric_of_the_teams_own_that_is_not_there_is_said(make_project):
    line = {"rule": "at_least", "task": "diagnose", "metric": "own:gene", "value": 0.5}
    root = make_project(gate={"lines": [line]})
    assert "evaluate.own.diagnose names no such function" in problems_of(root)
    own = {"own": {"diagnose": ["checks.py:gene"]}}
    assert "there is no task 'zzz'" in problems_of(changed(root, evaluate={"own": {"zzz": ["checks.py:gene"]}}))
    found = {one.title: one for one in check_project(changed(root, evaluate=own))}
    assert "no file" in found["own metrics of diagnose"].problems[0]
    (root / "checks.py").write_text("def gene(gold, output):\n    return gold == output\n")
    found = {one.title: one for one in check_project(root)}
    assert (found["own metrics of diagnose"].problems, found["own metrics of diagnose"].detail) == ((), "own:gene")


def test_two_tasks_of_one_name_and_a_setting_that_stands_twice(make_project):
    root = make_project()
    tasks = yaml.safe_load((root / "residency.yaml").read_text())["tasks"]
    assert "'diagnose' stands 2 times" in problems_of(changed(root, tasks=[*tasks, tasks[0]]))
    (root / "residency.yaml").write_text("name: one\nname: two\n")
    with pytest.raises(ProjectError, match=r"line 2: not YAML: the setting 'name' stands twice"):
        Project.open(root)


@pytest.mark.parametrize(
    "content", [b"# caf\xe9\nname: x\n", b"- a\n- b\n", b"name: \x00\n", b"!!python/object:os.system {}\n"]
)
def test_a_file_that_is_no_project_file_is_an_error_not_a_traceback(make_project, content):
    root = make_project()
    (root / "residency.yaml").write_bytes(content)
    with pytest.raises(ProjectError):
        Project.open(root)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("SECRET Ataxia present", "not written as"),
        ("Ataxia [HP:0001251] maybe", "not written as"),
        ("Ataxia [HP:9999999] present", "does not know"),
    ],
)
def test_findings_that_cannot_be_read_are_named_by_row_and_never_shown(make_project, cell, said):
    root = make_project()
    lines = (root / "labels.csv").read_text().splitlines()
    parts = lines[3].split(",", 3)
    lines[3] = ",".join([*parts[:3], f"{cell},summary"])
    (root / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(ProjectError, match=said) as caught:
        run_project(root, Silent(), until="curate")
    assert "row 3" in str(caught.value) and "SECRET" not in str(caught.value)


def test_a_task_without_its_column_and_labels_without_rows(make_project):
    root = make_project()
    lines = (root / "labels.csv").read_text().splitlines()
    (root / "labels.csv").write_text(lines[0] + "\n")
    with pytest.raises(ProjectError, match="no column 'diagnosis'"):
        run_project(root, Silent(), until="curate")


@pytest.mark.parametrize(
    "template",
    [
        "{{ nothing }}",
        "{{ document.answers }}",
        "{{ document.patient }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ document.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "   ",
        "{% if instruct %}question{% endif %}",
    ],
)
def test_a_template_sees_the_text_and_the_findings_and_nothing_else(make_project, template):
    root = make_project()
    (root / "prompts" / "diagnose.jinja").write_text(template)
    project = Project.open(root)
    with pytest.raises(ProjectError, match=r"diagnose\.jinja"):
        project.prompt(project.task("diagnose"))


def test_a_prompt_outside_the_project_is_refused(make_project):
    root = make_project()
    tasks = yaml.safe_load((root / "residency.yaml").read_text())["tasks"]
    tasks[0]["prompt"] = "../../../../etc/passwd"
    project = Project.open(changed(root, tasks=tasks))
    with pytest.raises(ProjectError, match="outside the project folder"):
        project.prompt(project.task("diagnose"))


def test_a_link_out_of_the_project_is_refused_and_one_to_nowhere_is_dropped_with_a_reason(make_project):
    root = make_project()
    os.symlink("nowhere", root / "inbox" / "lost.txt")
    assert run_project(root, Silent(), until="curate").runs["deidentify"].facts["unreadable"] == 1
    os.symlink("/etc/passwd", root / "inbox" / "link.txt")
    with pytest.raises(ProjectError, match=r"inbox/link\.txt"):
        run_project(root, Silent(), until="curate")


def test_too_few_patients_is_said_before_training(make_project):
    root = make_project()
    lines = (root / "labels.csv").read_text().splitlines()
    for path in list((root / "inbox").iterdir())[2:]:
        path.unlink()
    kept = {path.stem for path in (root / "inbox").iterdir()}
    (root / "labels.csv").write_text("\n".join(line for line in lines if line.split(",")[0] in {"report", *kept}))
    with pytest.raises(ProjectError, match="no patient is left for"):
        run_project(root, Silent(), until="tune")


# --- the workspace ------------------------------------------------------------------------------------------------


def test_nobody_else_may_look_into_the_workspace(told):
    root, _ = told
    Project.open(root).workspace  # noqa: B018
    assert stat.S_IMODE((root / ".residency").stat().st_mode) == 0o700


def test_fresh_deletes_what_was_made_and_keeps_what_people_decided(told):
    root, _ = told
    project = Project.open(root)
    stale = project.workspace.folder / "artifacts" / "aa" / "stale.parquet"
    stale.parent.mkdir(exist_ok=True)
    stale.write_text("old")
    (project.workspace.folder / "artifacts" / ".x.part.y").write_text("torn")
    from residency.review import decide

    decide(project, "p-1", "correct", who="Ann")
    run_project(root, Silent(), until="curate", fresh=True)
    assert not stale.exists() and not list((project.workspace.folder / "artifacts").glob(".*"))
    assert [d.verdict for d in Project.open(root).workspace.ledger.decisions()] == ["correct"]
    assert {run.stage for run in project.workspace.ledger.runs()} == {"deidentify", "cleanse", "deduplicate", "extract"}


def test_a_damaged_identity_and_a_file_in_place_of_the_workspace(told, make_project):
    root, _ = told
    (root / ".residency" / "project.json").write_text("{")
    with pytest.raises(StoreError, match=r"project\.json: damaged"):
        run_project(root, Silent())
    other = make_project()
    (other / ".residency").write_text("in the way")
    with pytest.raises(ResidencyError, match="in the way"):
        run_project(other, Silent())


# --- check and init -------------------------------------------------------------------------------------------------


def test_check_finds_what_a_run_would_refuse(make_project):
    root = make_project()
    assert [one.problems for one in check_project(root)] == [()] * len(check_project(root))
    (root / "prompts" / "summary.jinja").write_text("{{ nothing }}")
    with (root / "labels.csv").open("a") as file:
        file.write("letter_99,p99,Alpha disease,bad cell,text\n")
    found = {one.title: one.problems for one in check_project(root) if one.problems}
    assert set(found) == {"answers", "documents", "prompt of summary"}


def test_check_reads_the_tables_of_knowledge(make_project):
    root = make_project(knowledge=[{"path": "known.tsv"}])
    (root / "known.tsv").write_text("disease_name\thpo_id\tqualifier\treference\nA\tHP:1\n")
    [found] = [one for one in check_project(root) if one.problems]
    assert found.title == "knowledge known.tsv" and "line 2 has 2 cells" in found.problems[0]


def test_init_makes_a_project_that_says_what_is_missing_and_never_overwrites(tmp_path):
    made = new_project(tmp_path / "mine")
    assert not made.existed and (made.folder / "residency.yaml").is_file()
    titles = {one.title for one in check_project(made.folder) if one.problems}
    assert {"inbox", "labels"} <= titles and "project file" not in titles
    assert new_project(tmp_path / "mine").existed
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("x")
    with pytest.raises(ProjectError, match="not an empty folder"):
        new_project(tmp_path / "full")


def test_the_demo_has_a_known_key_so_that_its_numbers_are_the_same_everywhere(tmp_path):
    one, two = (Project.open(new_project(tmp_path / name, demo="neurology").folder) for name in ("one", "two"))
    assert one.key == two.key
    assert json.loads((tmp_path / "one" / ".residency" / "project.json").read_text())["id"]


def test_the_commands_answer_with_their_exit_status(make_project, tmp_path):
    invoke = CliRunner().invoke
    assert invoke(app, ["check", "--project", str(make_project())]).exit_code == 0
    assert invoke(app, ["check", "--project", str(tmp_path / "nothing")]).exit_code == 2
    assert invoke(app, ["models"]).exit_code == 0
    assert invoke(app, ["run", "--project", str(tmp_path / "project"), "--until", "split"]).exit_code == 0


def test_exchange_never_writes_over_what_it_reads_or_has_written(make_project, tmp_path):
    root, exported = make_project(), tmp_path / "export.json"
    exported.write_text("[]")
    for arguments, problem in (
        (["export", str(tmp_path / "tasks.xml")], "configuration goes there"),
        (["export", str(tmp_path)], "a folder"),
        (["import", str(exported), "-o", str(exported)], "would replace the input"),
        (["import", "/dev/null", "-o", str(tmp_path / "labels.csv")], "a device"),
    ):
        result = CliRunner().invoke(app, [*arguments, "-p", str(root)])
        assert isinstance(result.exception, ResidencyError) and problem in result.exception.message
    assert exported.read_text() == "[]"
