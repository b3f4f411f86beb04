"""Private text: it is in the vault and nowhere else; people check it, release it, and may have it forgotten."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from residency import intake
from residency.cli import app
from residency.curate.deidentify.feedback import Place
from residency.errors import GateRefused, ProjectError, StoreError
from residency.forget import forget_patient
from residency.intake import RAW, TREATMENT, raw_document, treatment
from residency.project import Project, rotate_project_key
from residency.records import Document, Dropped
from residency.review import (
    documents_to_read,
    doubtful_spans,
    record_reading,
    record_release,
    record_span,
    standing,
)
from residency.run.progress import Silent
from residency.store.audit import latest, verify
from residency.story import run_project
from residency.trace import trace_record

SECRETS = [b"Vandermolen", b"vandermolen", b"Quentin", *(b"55%05d" % number for number in range(40))]


@pytest.fixture
def project(told) -> Path:
    """Forty letters, de-identified; nobody has read them."""
    return told[0]


def set_policy(root: Path, **review: object) -> None:
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    settings["curate"][0]["policy"]["review"].update(review)
    (root / "residency.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def deidentified(root: Path, until: str = "release") -> dict[str, str]:
    """The de-identified texts by report."""
    run = run_project(root, Silent(), until=until).runs["deidentify"]
    return {document.key: document.text for document in run.read("documents", Document)}


def read_all(root: Path, *, who: str = "Pat") -> int:
    project = Project.open(root)
    count = 0
    for document in documents_to_read(project):
        record_reading(project, document, [], [], who=who)
        count += 1
    return count


def plaintext_in(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [f"{path}: {secret!r}" for path in files for secret in SECRETS if secret in path.read_bytes()]


def test_raw_text_is_in_the_vault_encrypted_and_nowhere_else(project: Path) -> None:
    opened = Project.open(project)
    assert opened.vault.count(RAW) == opened.vault.count(TREATMENT) == 40
    raw = raw_document(opened.vault, opened.vault.ids(RAW)[0])
    assert "Vandermolen" in raw.text
    assert plaintext_in(project / ".residency") == []
    assert [line for page in project.glob("*.*ml") for line in plaintext_in(page.parent) if str(page) in line] == []
    assert plaintext_in(project / "inbox") != []


def test_the_evidence_is_written_with_owner_rights_and_holds_no_text(project: Path) -> None:
    for name in ("deidentification.json", "deidentification.html"):
        assert (project / name).stat().st_mode & 0o077 == 0
        assert not any(secret in (project / name).read_bytes() for secret in SECRETS)
    evidence = json.loads((project / "deidentification.json").read_text())
    assert evidence["standing"] == "INCONCLUSIVE" and evidence["signature"] is None
    assert evidence["anonymity"]["k"] == 5 and evidence["vault"]["patients"] == 40
    assert len(evidence["not_covered"]) > 3


def test_training_waits_until_people_have_read_enough_and_released_the_set(project: Path) -> None:
    set_policy(project, before_training=True)
    shutil.rmtree(project / ".residency" / "adapters")
    with pytest.raises(GateRefused, match="0 of 40 documents were read") as refused:
        run_project(project, Silent())
    assert refused.value.verdict == "INCONCLUSIVE"
    assert not (project / ".residency" / "adapters").exists()
    assert read_all(project) == 40
    with pytest.raises(GateRefused, match="nobody has released"):
        run_project(project, Silent(), until="release")
    record_release(Project.open(project), approve=True, who="Pat")
    released = run_project(project, Silent(), until="release").released
    assert released.standing == "GO" and released.signed.who == "Pat"
    assert released.recall.rows[0].reviewed == 120


def test_a_refused_set_stays_refused_until_it_changes(project: Path) -> None:
    set_policy(project, before_training=True)
    read_all(project)
    record_release(Project.open(project), approve=False, who="Pat")
    with pytest.raises(GateRefused, match="Pat refused") as refused:
        run_project(project, Silent(), until="release")
    assert refused.value.verdict == "NO-GO"


def test_what_a_reader_names_is_counted_as_missed_and_found_from_then_on(project: Path) -> None:
    opened = Project.open(project)
    first = next(documents_to_read(opened))
    start = first.text.index("tremor")  # stands for a name that no rule knows
    record_reading(opened, first, [Place(start, start + 6, "NAME")], [], who="Pat")
    now = standing(opened)
    assert (now.recall.read, now.recall.rows[0].missed, now.recall.with_a_miss) == (1, 1, 1)
    key = raw_document(opened.vault, first.document).key
    texts = deidentified(project)
    assert "tremor" not in texts[key]
    assert sum("tremor" in text for text in texts.values()) == 39
    # Recall stays that of the machine: a document that was corrected does not flatter it.
    assert standing(Project.open(project)).recall.rows[0].missed == 1


def test_a_span_that_a_person_rejects_stays_as_it_was_written(project: Path) -> None:
    opened = Project.open(project)
    document = opened.vault.ids(TREATMENT)[0]
    span = next(s for s in treatment(opened.vault, document).found if s.label == "MRN")
    raw = raw_document(opened.vault, document)
    assert raw.text[span.start : span.end] not in deidentified(project)[raw.key]
    from residency.review import Doubtful

    record_span(opened, Doubtful(document, span, "", "", "", ""), "", who="Pat")
    assert raw.text[span.start : span.end] in deidentified(project)[raw.key]


def test_a_place_outside_the_text_and_an_unknown_class_are_refused(project: Path) -> None:
    opened = Project.open(project)
    first = next(documents_to_read(opened))
    with pytest.raises(ProjectError, match="does not lie within"):
        record_reading(opened, first, [Place(5, 10_000, "NAME")], [], who="Pat")
    with pytest.raises(ProjectError, match="no class"):
        record_reading(opened, first, [Place(5, 10, "name please")], [], who="Pat")
    assert opened.workspace.ledger.decisions() == []


def test_looks_at_raw_text_and_decisions_are_in_the_audit_log_and_no_text_is(project: Path) -> None:
    command = ["review", "--deidentified", "--who", "Pat Example", "-p", str(project)]
    assert CliRunner().invoke(app, command, input="\nq\n").exit_code == 0  # one read, another shown
    opened = Project.open(project)
    said = latest(opened.studio, most=3)
    assert [entry.what for entry in said] == ["raw-text-read", "decided", "raw-text-read"]
    decision = opened.workspace.ledger.decisions()[0]
    assert [entry.subject for entry in said[1:]] == [decision.id, decision.subject]
    assert said[0].who.startswith("console:") and verify(opened.studio).whole
    assert plaintext_in(project / ".residency") == []


def test_judged_spans_do_not_come_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("residency.review.DOUBTFUL", 2.0)  # every span is in doubt
    opened = Project.open(project)
    spans = list(doubtful_spans(opened))
    assert len(spans) == 120 and {s.text for s in spans} >= {"Quentin Vandermolen"}
    record_span(opened, spans[0], "NAME", who="Pat")
    assert len(list(doubtful_spans(opened))) == 119


def test_the_terminal_reads_judges_and_releases(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def review(*options: str, keys: str) -> str:
        result = CliRunner().invoke(app, ["review", *options, "--who", "Pat", "-p", str(project)], input=keys)
        assert result.exit_code == 0, result.output
        return result.output

    shown = review(
        "--deidentified",
        keys="NAME nothing like it\nX-Y tremor\nNAME tremor\n-2\n-99\n-²\n-" + "9" * 5000 + "\n\ns\n\nq\n",
    )
    assert "stands nowhere" in shown and "no class" in shown and "There is no span 99" in shown
    assert "1 missed, 1 no identifiers" in shown and "2 documents read" in shown
    evidence = standing(Project.open(project)).recall
    assert (evidence.read, evidence.rows[0].missed, evidence.wrong) == (2, 1, 1)
    monkeypatch.setattr("residency.review.DOUBTFUL", 2.0)
    assert "3 spans judged" in review("--doubtful", keys="y\nn\nc\nnot a class\nMRN\nq\n")
    assert "Recorded: refused" in review("--release", keys="z\nr\n")
    assert review("--release", keys="").rstrip().endswith("[q]uit:")


def test_what_looks_like_markup_is_printed_as_it_stands(project: Path, tmp_path: Path) -> None:
    read_all(project)
    root = project.rename(tmp_path / "[b]:x:")
    opened = Project.open(root)
    record_release(opened, approve=True, who="Pat [/x] [red]")
    for keys in ("q\n", "r\n", "q\n"):
        command = ["review", "--release", "--who", "Ann [/y]", "-p", str(root)]
        result = CliRunner().invoke(app, command, input=keys)
        assert result.exit_code == 0, result.output
    assert "Ann [/y] refused this set" in result.output
    assert "[b]:x:" in CliRunner().invoke(app, ["data", "-p", str(root)]).output
    with pytest.raises(ProjectError, match="can be printed"):
        record_release(opened, approve=True, who="Pat \x1b[31m")


def test_limits_are_shares_of_known_classes(project: Path) -> None:
    for limits, problem in (
        ({"SNN": 0.1}, "1 of its classes"),
        ({"SSN": 1.0}, "less than 1"),
        ({"SSN": float("nan")}, ""),
    ):
        set_policy(project, missed_by_class=limits)
        with pytest.raises(ProjectError) as raised:
            Project.open(project)
        assert "missed_by_class" in raised.value.problems[0] and problem in raised.value.problems[0]
    settings = yaml.safe_load((project / "residency.yaml").read_text())
    settings["curate"][0]["patterns"] = [{"label": "STUDY_ID", "regex": "S-[0-9]+"}]
    settings["curate"][0]["policy"]["review"]["missed_by_class"] = {"STUDY_ID": 0.1, "SSN": 0.01}
    (project / "residency.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    assert Project.open(project).settings.deidentify.policy.review.missed_by_class["STUDY_ID"] == 0.1


def test_a_run_says_where_broken_characters_were_replaced(make_project) -> None:
    root = make_project()
    row = {"id": "odd", "text": "Mr. Vandermolen was seen \ud800 for ataxia."}
    (root / "inbox" / "more.jsonl").write_text(json.dumps(row) + "\n")
    run = run_project(root, Silent(), until="deidentify").runs["deidentify"]
    assert run.facts["mended"] == 1
    odd = next(document for document in run.read("documents", Document) if document.key == "odd")
    assert "\ufffd for ataxia" in odd.text and "Vandermolen" not in odd.text


def test_review_says_what_it_needs() -> None:
    for arguments in (
        ["review", "--deidentified"],
        ["review", "--who", "x"],
        ["review", "t", "--release", "--who", "x"],
    ):
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, ProjectError) and "your name" in result.exception.message


def test_a_forgotten_patient_is_gone_and_does_not_come_back(told) -> None:
    root, _ = told
    opened = Project.open(root)
    first = opened.vault.identity(opened.vault.patients(RAW)[0])
    pseudonym = opened.vault.find(first)
    trained = run_project(root, Silent()).split_of[pseudonym] in ("train", "validation")
    result = forget_patient(Project.open(root), first)
    assert result.pseudonym == pseudonym and result.records == 2 and len(result.sources) == 1
    assert {saw.what for saw in result.datasets} == {"deidentify", "cleanse", "deduplicate", "extract"}
    assert len(result.adapters) == trained
    assert not (root / "report.html").exists() and not (root / "deidentification.json").exists()
    assert not any(pseudonym.encode() in path.read_bytes() for path in (root / ".residency").rglob("*.parquet"))
    iteration = run_project(root, Silent())
    assert len(iteration.runs["deidentify"].read("documents", Document)) == 39
    [dropped] = [d for d in iteration.runs["deidentify"].read("dropped", Dropped) if d.reason == "forgotten"]
    assert dropped.source.place == result.sources[0]
    with pytest.raises(StoreError, match="knows no such patient"):
        forget_patient(Project.open(root), "nobody")


def test_forget_on_the_command_line_asks_first(told) -> None:
    root, _ = told
    patient = Project.open(root).vault.patients(RAW)[5]
    asked = CliRunner().invoke(app, ["forget", patient, "-p", str(root)], input="n\n")
    assert asked.exit_code == 1 and Project.open(root).vault.count(RAW) == 40
    done = CliRunner().invoke(app, ["forget", patient, "--yes", "-p", str(root)])
    assert done.exit_code == 0 and "inbox/letter_" in done.output and "Next:" in done.output
    assert Project.open(root).vault.count(RAW) == 39


def test_a_new_key_changes_no_surrogate_and_the_old_one_opens_nothing(make_project) -> None:
    project = make_project()
    before = deidentified(project)
    old = Project.open(project)
    old_key, folder = old.key, old.vault.path.parent
    count, next_step = rotate_project_key(old)
    assert count == 41 and next_step == ""
    reopened = Project.open(project)
    assert reopened.key != old_key and reopened.vault.state().rotated
    assert run_project(project, Silent(), until="release").runs["deidentify"].reused
    (project / "inbox" / "letter_00.txt").write_text(
        (project / "inbox" / "letter_00.txt").read_text() + "She is well.\n"
    )
    after = deidentified(project)
    assert {key: after[key] for key in list(before)[1:]} == {key: before[key] for key in list(before)[1:]}
    assert after["letter_00"].startswith(before["letter_00"].rstrip("\n"))
    from residency.store.keys import LocalWrapper
    from residency.store.vault import Vault

    with pytest.raises(StoreError, match="not the key"):
        Vault.open(folder, LocalWrapper(old_key))


@pytest.mark.parametrize("rotated", ["copy", "original"])
def test_a_rotation_in_one_folder_takes_no_key_from_its_copy(make_project, tmp_path, rotated) -> None:
    roots = {"original": make_project(), "copy": tmp_path / "copy"}
    before = deidentified(roots["original"])
    shutil.copytree(roots["original"], roots["copy"])
    if rotated == "original":
        Project.open(roots["copy"]).vault  # noqa: B018  (whoever never opens a copy has a backup)
    _, next_step = rotate_project_key(Project.open(roots[rotated]))
    assert "The old key is also in" in next_step
    for root in roots.values():
        assert Project.open(root).vault.state().patients == 40
        assert deidentified(root) == before
    assert {name for name, root in roots.items() if Project.open(root).vault.state().rotated} == {rotated}


def test_a_moved_project_opens_and_a_new_one_in_its_old_place_has_another_key(make_project, tmp_path) -> None:
    root = make_project()
    key = Project.open(root).key
    state = Project.open(root).vault.state()
    root.rename(tmp_path / "moved")
    assert Project.open(make_project()).key != key
    moved = Project.open(tmp_path / "moved")
    assert moved.key == key and moved.vault.state() == state


def test_a_project_that_lost_its_identity_finds_its_key_again(project: Path) -> None:
    key = Project.open(project).key
    (project / ".residency" / "project.json").unlink()
    reopened = Project.open(project)
    assert reopened.key == key and reopened.vault.count(RAW) == 40
    assert reopened.vault.id == json.loads((project / ".residency" / "project.json").read_text())["vault"]


@pytest.mark.parametrize("lost", ["vault", "vault and identity", "vault and ledger", "content"])
def test_a_vault_that_is_lost_is_said_and_no_forgotten_patient_comes_back(project: Path, lost: str) -> None:
    place = project / ".residency"
    if lost == "content":
        (place / "vault" / "vault.sqlite").write_bytes(b"")
    else:
        shutil.rmtree(place / "vault")
    if "identity" in lost:
        (place / "project.json").unlink()
    for path in place.glob("ledger.sqlite*") if "ledger" in lost else ():
        path.unlink()
    for arguments in (["vault", "show"], ["vault", "rotate"], ["forget", "p-1", "--yes"], ["run"], ["check"]) * 2:
        result = CliRunner().invoke(app, [*arguments, "-p", str(project)])
        said = result.output + (result.exception.message if isinstance(result.exception, StoreError) else "")
        assert result.exit_code and "missing or empty" in " ".join(said.split()), arguments
    assert not (place / "vault" / "vault.sqlite").exists() or (lost == "content")


def test_an_older_copy_of_the_vault_does_not_bring_a_forgotten_patient_back(project: Path, tmp_path: Path) -> None:
    opened = Project.open(project)
    patient = opened.vault.patients(RAW)[0]
    opened.vault.close()
    shutil.copytree(project / ".residency" / "vault", tmp_path / "older")
    forget_patient(Project.open(project), patient)
    shutil.rmtree(project / ".residency" / "vault")
    shutil.copytree(tmp_path / "older", project / ".residency" / "vault")
    again = Project.open(project).vault
    assert again.state().forgotten == 1 and again.read(RAW, patient) == [] and again.count(RAW) == 39


def test_forgetting_again_tells_again_what_saw_the_patient_and_what_the_inbox_still_holds(told) -> None:
    root, iteration = told
    trained = next(patient for patient, side in iteration.split_of.items() if side == "train")
    opened = Project.open(root)
    first = forget_patient(opened, opened.vault.identity(trained))
    assert len(first.datasets) == 4 and len(first.adapters) == 1 and len(first.sources) == 1
    Project.open(root).workspace.clear()  # as --fresh does; the adapter goes, what it saw does not
    again = forget_patient(Project.open(root), trained)
    assert again.records == 0
    assert (again.when, again.datasets, again.adapters) == (first.when, first.datasets, first.adapters)
    assert again.sources == first.sources and again.unread == ""
    shown = CliRunner().invoke(app, ["forget", trained, "--yes", "-p", str(root)]).output
    assert first.sources[0] in shown and first.adapters[0].hash[:16] in shown
    (root / first.sources[0]).unlink()  # the row of the label file stays: the inbox does not fit together any more
    once_more = forget_patient(Project.open(root), trained)
    assert once_more.sources == () and "do not fit together" in once_more.unread
    assert once_more.datasets == first.datasets
    assert plaintext_in(root / ".residency") == []


def test_a_forgetting_that_was_killed_is_finished_when_the_project_is_next_opened(project: Path) -> None:
    opened = Project.open(project)
    patient = opened.vault.patients(RAW)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("residency.store.vault.Vault.forget", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            forget_patient(opened, patient)
    assert opened.vault.count(RAW) == 40
    assert Project.open(project).vault.count(RAW) == 39
    assert len(forget_patient(Project.open(project), patient).datasets) == 4


def test_what_came_into_the_inbox_since_the_last_run_is_named_too(project: Path) -> None:
    opened = Project.open(project)
    patient = next(p for p in opened.vault.patients(RAW) if opened.vault.identity(p) == "5500007")
    (project / "inbox" / "newer.txt").write_text("Seen again.")
    labels = (project / "labels.csv").read_text()
    (project / "labels.csv").write_text(labels + "newer,5500007,Alpha disease,,\n")
    assert forget_patient(opened, patient).sources == ("inbox/letter_07.txt", "inbox/newer.txt")


def test_a_lost_key_is_said_and_nothing_is_touched(project: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another-machine"))
        with pytest.raises(StoreError, match="key of this workspace is missing"):
            run_project(project, Silent())
        assert not (tmp_path / "another-machine").exists()
    assert all(run.reused for run in run_project(project, Silent()).runs.values())


def test_one_process_and_several_give_the_same_documents(project: Path, tmp_path: Path, monkeypatch) -> None:
    one = run_project(project, Silent(), until="deidentify").runs["deidentify"].hash("documents")
    monkeypatch.setattr(intake, "DOCUMENTS_A_WORKER", 10)
    monkeypatch.setattr("residency.story.cores", lambda: 2)
    again = run_project(project, Silent(), until="deidentify", fresh=True).runs["deidentify"]
    assert not again.reused and again.hash("documents") == one


def test_a_kill_during_deidentification_leaves_no_plaintext_and_the_next_run_goes_on(make_project, tmp_path) -> None:
    root = make_project()
    script = (
        "import sys, time\n"
        "from residency import intake\n"
        "from residency.run.progress import Silent\n"
        "from residency.story import run_project\n"
        "intake.PATIENTS_AT_ONCE = 1\n"
        "treat = intake.TreatPatients._patient\n"
        "def slowly(*a):\n"
        "    time.sleep(0.1)\n"
        "    return treat(*a)\n"
        "intake.TreatPatients._patient = slowly\n"
        "run_project(__import__('pathlib').Path(sys.argv[1]), Silent(), until='deidentify')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(root)])
    journals = root / ".residency" / "runs"
    end = time.monotonic() + 120
    while sum(path.read_bytes().count(b"\n") for path in journals.glob("*/patients.jsonl")) < 5:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert plaintext_in(root / ".residency") == []
    treated: list[str] = []
    original = intake.TreatPatients._patient

    def counted(self, vault, patient, tools):
        treated.append(patient)
        return original(self, vault, patient, tools)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake.TreatPatients, "_patient", counted)
        outcome = run_project(root, Silent(), until="deidentify").runs["deidentify"]
    assert 0 < len(treated) <= 35 and outcome.ref("documents").count == 40
    assert plaintext_in(root / ".residency") == []
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert run_project(copy, Silent(), until="deidentify", fresh=True).runs["deidentify"].hash(
        "documents"
    ) == outcome.hash("documents")


def test_there_is_one_deidentification_and_it_is_first(make_project) -> None:
    root = make_project()
    settings = yaml.safe_load((root / "residency.yaml").read_text())
    settings["curate"].append(settings["curate"][0])
    (root / "residency.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ProjectError) as raised:
        Project.open(root)
    assert "have no other" in raised.value.problems[0]


def test_a_report_whose_name_tells_the_patient_goes_by_its_id(make_project) -> None:
    root = make_project()
    (root / "inbox" / "letter_03.txt").rename(root / "inbox" / "Vandermolen_Quentin-5500003.txt")
    labels = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(labels.replace("letter_03", "Vandermolen_Quentin-5500003"))
    iteration = run_project(root, Silent(), until="split")
    assert plaintext_in(root / ".residency") == []
    [hidden] = [d for d in iteration.documents if d.key.startswith("d-")]
    assert "Vandermolen" not in hidden.source.place and len(iteration.documents) == 40
    result = CliRunner().invoke(app, ["why", hidden.id, "-p", str(root)])
    assert "inbox/Vandermolen_Quentin-5500003.txt" in result.output  # for whoever has the key
    assert CliRunner().invoke(app, ["why", "Vandermolen_Quentin-5500003", "-p", str(root)]).output == result.output


def test_a_dropped_report_whose_name_is_hidden_is_found_by_its_name(make_project) -> None:
    root = make_project()
    (root / "inbox" / "note_77.txt").write_text("Dictated but not read.")  # without a label, it is its own patient
    run_project(root, Silent(), until="split")
    with pytest.raises(ProjectError, match="dropped by cleanse: too_short"):
        trace_record(root, "note_77")
