"""Tuning launched in two processes: one tells the story, both train, and a run alone goes on with the adapter."""

import os
import subprocess
import sys

import pytest

from residency.run.progress import Silent
from residency.story import run_project

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--main_process_port", "0", "--num_processes", "2"]
KEY = "5a" * 32


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--multi_gpu"], ["--use_fsdp", "--fsdp_version", "2"]], ids=["whole", "shared"])
def test_tuning_in_two_processes_leaves_what_a_run_alone_goes_on_with(make_project, monkeypatch, how) -> None:
    root = make_project()
    environment = {**os.environ, "RESIDENCY_KEY": KEY, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [*LAUNCH, *how, "-m", "residency", "tune", "--project", str(root)]
    for again in (False, True):  # the second time the adapter is there, and nobody has anything to train
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        tune = [line for line in done.stdout.splitlines() if " tune " in line and "adapter" in line]
        assert len(tune) == 1 and ("done before" in tune[0]) is again
    assert list((root / ".residency" / "runs").glob("*")) == []
    monkeypatch.setenv("RESIDENCY_KEY", KEY)
    alone = run_project(root, Silent())
    assert alone.runs["tune"].reused and alone.verdict is not None
