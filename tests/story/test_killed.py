"""The story is killed in the middle, or the disk fills: nothing finished is lost, and the next run ends as if nothing
had happened."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from residency.cli import main; main()"]
KEY = "5a" * 32


def environment():
    return {**os.environ, "RESIDENCY_KEY": KEY, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def start(root, **how):
    return subprocess.Popen(
        [*COMMAND, "run", "--project", str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), **how,
    )  # fmt: skip


def run_to_end(root):
    process = start(root)
    output = process.communicate()[0]
    assert process.returncode == 3, output  # INCONCLUSIVE: nobody reviewed anything
    report = json.loads((root / "report.json").read_text())
    return output, report


def kill_after(root, line):
    """Kills the run, for real, a moment after it printed ``line``."""
    process = start(root)
    for printed in process.stdout:
        if line in printed:
            threading.Event().wait(0.7)
            break
    else:
        pytest.fail(f"the run ended before {line!r}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL


def numbers(report):
    return report["training"]["adapter"], [(s["system"], s["task"], s["metric"], s["value"]) for s in report["scores"]]


@pytest.fixture
def undisturbed(make_project, tmp_path):
    root = make_project()
    output, report = run_to_end(root)
    assert "INCONCLUSIVE" in output
    (root / ".residency").rename(tmp_path / "first")
    (root / "report.json").unlink()
    return root, numbers(report)


def test_killed_while_curating_training_and_answering_the_run_goes_on_and_ends_in_the_same_numbers(undisturbed):
    root, expected = undisturbed
    for line in ("deidentify", "split", "zero_shot findings"):
        kill_after(root, line)
    output, report = run_to_end(root)
    assert numbers(report) == expected
    assert "= deidentify" in output, "finished stages are found again"


def test_a_full_disk_ends_in_one_sentence_and_the_next_run_goes_on(make_project):
    root = make_project()
    limit = 60_000  # bytes a file: less than the adapter's checkpoint needs

    def no_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(root, preexec_fn=no_space)
    output = process.communicate()[0]
    assert process.returncode == 2, output
    assert "Traceback" not in output
    assert "disk" in output and "again" in output
    assert not any(path.suffix == ".part" for path in Path(root / ".residency").rglob("*"))
    run_to_end(root)


def test_a_mistake_in_the_project_file_ends_in_a_sentence_each_and_a_fix(make_project):
    root = make_project(seed=-1, colour="red")
    process = start(root)
    output = process.communicate()[0]
    assert process.returncode == 2
    assert "seed (is -1)" in output and "colour: unknown setting" in output and "Traceback" not in output
