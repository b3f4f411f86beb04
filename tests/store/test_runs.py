"""Work is done once, found again, and resumed after a kill."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest

from residency.errors import StoreError
from residency.records import Decision, Failure, Judged, Prediction
from residency.store.journal import Journal
from residency.store.ledger import ForgottenRow, Ledger, RunRow
from residency.store.runs import Workspace


def prediction(name):
    return Prediction(id=name, example="e", task="t", system="s", output="o", value="v")


def one_record(run):
    run.write("predictions", Prediction, [prediction("p1")])
    run.facts["answers"] = 1


def refuse(run):
    raise AssertionError("this work was done before")


def test_equal_work_is_done_once_and_its_outputs_are_found_again(tmp_path):
    first = Workspace(tmp_path).once("evaluate", {"seed": 1}, one_record)
    again = Workspace(tmp_path).once("evaluate", {"seed": 1}, refuse)
    assert (first.reused, again.reused) == (False, True)
    assert again.read("predictions", Prediction) == [prediction("p1")]
    assert again.facts == {"answers": 1}
    assert again.row.seconds >= 0 and again.row.peak_bytes > 1_000_000


def test_another_setting_another_run(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.once("evaluate", {"seed": 1}, one_record)
    assert not workspace.once("evaluate", {"seed": 2}, one_record).reused
    assert not workspace.once("score", {"seed": 1}, one_record).reused


def test_a_run_whose_output_was_deleted_is_done_again(tmp_path):
    workspace = Workspace(tmp_path)
    outcome = workspace.once("evaluate", {}, one_record)
    workspace.artifacts.path(outcome.ref("predictions")).unlink()
    assert not workspace.once("evaluate", {}, one_record).reused


def test_a_failed_run_is_kept_as_a_fact_and_done_again(tmp_path):
    workspace = Workspace(tmp_path)

    def fails(run):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        workspace.once("tune", {}, fails)
    assert [(r.state, r.error) for r in workspace.ledger.runs("tune")] == [("failed", "ValueError")]
    assert not workspace.once("tune", {}, one_record).reused
    assert [r.state for r in workspace.ledger.runs("tune")] == ["done"]


def test_a_folder_is_kept_under_its_content(tmp_path):
    def makes_folder(run):
        made = run.scratch / "made"
        made.mkdir()
        (made / "weights").write_text("1")
        run.keep_folder("adapter", made)

    workspace = Workspace(tmp_path)
    outcome = workspace.once("tune", {}, makes_folder)
    assert (outcome.folder("adapter") / "weights").read_text() == "1"
    assert outcome.folder("adapter").name == outcome.hash("adapter")[:16]
    assert workspace.once("tune", {}, refuse).reused


KILLED = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from residency.records import Prediction
    from residency.store.runs import Workspace

    def work(run):
        journal = run.journal("predictions", Prediction)
        done = journal.read()
        print("found", len(done), flush=True)
        for i in range(len(done), 6):
            journal.append([Prediction(id=f"p{i}", example="e", task="t", system="s", output="o", value="v")])
            print("wrote", i, flush=True)
            if i == 2 and sys.argv[2] == "hang":
                time.sleep(60)
        run.write("predictions", Prediction, journal.read())

    outcome = Workspace(Path(sys.argv[1])).once("evaluate", {}, work)
    print([p.id for p in outcome.read("predictions", Prediction)])
""")


def test_a_run_killed_in_the_middle_goes_on_after_its_last_whole_unit(tmp_path):
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), "hang"], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    for line in killed.stdout:
        if line.strip() == "wrote 2":
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert [r.state for r in Ledger.at(tmp_path / "ledger.sqlite").runs()] == ["running"]
    again = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "go"], capture_output=True, text=True, check=True, env=os.environ
    )
    assert again.stdout.splitlines()[0] == "found 3"
    assert again.stdout.splitlines()[-1] == str([f"p{i}" for i in range(6)])


def test_a_torn_last_line_of_a_journal_is_cut_off_and_writing_goes_on(tmp_path):
    journal = Journal(tmp_path / "j.jsonl", Prediction)
    journal.append([prediction("a"), prediction("b")])
    with journal.path.open("ab") as file:
        file.write(b'{"id": "torn')
    assert [p.id for p in journal.read()] == ["a", "b"]
    journal.append([prediction("c")])
    assert [p.id for p in journal.read()] == ["a", "b", "c"]


def test_two_processes_cannot_work_in_one_workspace(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys,time; from pathlib import Path; from residency.store.runs import Workspace\n"
            "with Workspace(Path(sys.argv[1])).alone(): print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline().strip() == "held"
    with pytest.raises(StoreError, match="another residency process"), Workspace(tmp_path).alone():
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    time.sleep(0.05)
    with Workspace(tmp_path).alone():
        pass  # the lock of a killed process is free again


def test_decisions_are_appended_and_never_overwritten(tmp_path):
    ledger = Ledger.at(tmp_path / "ledger.sqlite")
    for number, verdict in enumerate(["correct", "wrong"]):
        ledger.decide(Decision(id=f"d{number}", subject="p1", who="ann", when="2026-01-01T00:00:00Z", verdict=verdict))
    assert [d.verdict for d in Ledger.at(tmp_path / "ledger.sqlite").decisions()] == ["correct", "wrong"]


def test_a_file_that_is_no_ledger_and_a_ledger_from_the_future_are_refused_clearly(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all, but long enough to look at" * 100)
    with pytest.raises(StoreError, match="not a ledger"):
        Ledger.at(tmp_path / "ledger.sqlite")
    newer = Ledger.at(tmp_path / "newer.sqlite")
    with newer.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE schema_version SET number = 99")
    with pytest.raises(StoreError, match="schema 99"):
        Ledger.at(tmp_path / "newer.sqlite")


def test_a_ledger_of_the_first_schema_learns_of_forgotten_patients(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.at(path)
    ledger.decide(Decision(id="1", subject="s", who="w", when="t", verdict="v", why=""))
    ledger.engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE forgotten")
        connection.execute("UPDATE schema_version SET number = 1")
    connection.close()
    ledger = Ledger.at(path)
    assert len(ledger.decisions()) == 1 and ledger.forgotten() == set()
    row = ForgottenRow("p-1", "2026-01-01", {"datasets": [{"what": "cleanse"}]})
    ledger.note_forgotten(ForgottenRow("p-1", "2025-01-01", {}))
    ledger.note_forgotten(row)
    assert ledger.forgotten_patient("p-1") == row and ledger.forgotten_patient("p-2") is None
    assert ledger.forgotten() == {"p-1"}


def test_a_ledger_of_an_earlier_schema_takes_corrected_answers(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.at(path)
    ledger.decide(Decision(id="1", subject="s", who="w", when="t", verdict="v", why=""))
    ledger.engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE decisions DROP COLUMN failure")
        connection.execute("ALTER TABLE decisions DROP COLUMN judged")
        connection.execute("UPDATE schema_version SET number = 2")
    connection.close()
    ledger = Ledger.at(path)
    judged = Judged(task="t", document="d-1", patient="p-1", answer="a", corrected="b")
    later = Decision(id="2", subject="s", who="w", when="t", verdict="v", why="c", failure=Failure.OTHER, judged=judged)
    ledger.decide(later)
    assert ledger.decisions()[0].judged is None and ledger.decisions()[1] == later
    assert ledger.forget_judged("p-2") == 0 and ledger.forget_judged("p-1") == 1
    assert ledger.decisions()[1] == replace(later, judged=None, why="")


def test_a_ledger_is_used_from_the_first_thing_that_it_knows(tmp_path):
    def run(ledger):
        ledger.save(RunRow(key="k", stage="s", state="running", identity={}, started="t"))

    def decision(ledger):
        ledger.decide(Decision(id="1", subject="s", who="w", when="t", verdict="v", why=""))

    def forgotten(ledger):
        ledger.note_forgotten(ForgottenRow("p-1", "t", {}))

    for know in (run, decision, forgotten):
        ledger = Ledger.at(tmp_path / f"{know.__name__}.sqlite")
        assert not ledger.used()
        know(ledger)
        assert ledger.used()


@pytest.mark.parametrize("limit", [10_000, 20_000, 30_000])
def test_a_ledger_that_was_begun_on_a_full_disk_is_made_whole_by_the_next_start(tmp_path, limit):
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom residency.errors import StoreError\n"
        "from residency.store.ledger import Ledger\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n    Ledger.at(Path(sys.argv[1]))\nexcept StoreError as error:\n    print(error)\n"
    )
    path = tmp_path / "ledger.sqlite"
    said = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "Free some space" in said.stdout
    ledger = Ledger.at(path)
    assert not ledger.used()
    ledger.note_forgotten(ForgottenRow("p-1", "t", {}))
    assert ledger.runs() == ledger.decisions() == []
