"""The benchmark for GPUs runs on a processor as well, so that it is known to work before there is a GPU."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "gpu.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gpu", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_gpu"] = module
    spec.loader.exec_module(module)
    return module


def test_loss_and_gradient_are_checked_against_transformers_with_peft(bench) -> None:
    assert bench.check(bench.SCALES["tiny"], "cpu")["right"]


def test_what_is_not_installed_is_left_out_and_said(bench) -> None:
    row = {"tokens_a_second": 1.0, "peak_gb": 2.0, "first_loss": 3.0, "last_loss": 4.0, "steps": 1}
    table = bench.show({"ours": row, "trl-nf4": {"missing": "no bitsandbytes"}, "trl": {"failed": "out of memory"}})
    assert "| ours | 1 | 2.00 | 3.0000 | 4.0000 |" in table
    assert "left out: no bitsandbytes" in table and "failed: out of memory" in table


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_a_processor(tmp_path) -> None:
    command = [sys.executable, str(PROGRAM), "--shape", "tiny", "--device", "cpu", "--json", str(tmp_path / "gpu.json")]
    subprocess.run([*command, "--systems", "ours,ours-recompute,trl"], check=True, timeout=300)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["check"]["right"] and found["systems"]["ours"]["tokens_a_second"] > 0
    ours, trl = found["systems"]["ours"], found["systems"]["trl"]
    assert "missing" in trl or trl["first_loss"] == pytest.approx(ours["first_loss"], rel=1e-3)
