"""Several processes train the adapter of one, whether each has the whole base or its share of the blocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from residency.errors import ProjectError, TrainingError
from residency.models.base import BaseWeights
from residency.tune.engine import layout
from residency.tune.forecast import Room, tightest
from residency.tune.lora import ChosenBy, Depth, Method, Recipe
from residency.tune.processes import ALONE, Processes, join
from residency.tune.render import Sample
from residency.tune.training import refuse_with_shared_blocks

PROGRAM = Path(__file__).with_name("several.py")
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--main_process_port", "0", "--num_processes", "2"]
WHOLE, SHARED = ["--multi_gpu"], ["--use_fsdp", "--fsdp_version", "2"]


def run(*command: str, ok: bool = True) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def losses(folder: Path) -> list[float]:
    return json.loads((folder / "card.json").read_text())["losses"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how, family, shared", [(WHOLE, "Llama", 0), (SHARED, "Llama", 4), (SHARED, "Gemma2", 4), (SHARED, "Mixtral", 4)],
    ids=["whole", "shared", "shared, one sample at a time", "shared mixture"],
)  # fmt: skip
def test_two_processes_train_the_adapter_of_one(tmp_path, how, family, shared) -> None:
    run(sys.executable, str(PROGRAM), str(tmp_path / "one"), family)
    said = run(*LAUNCH, *how, str(PROGRAM), str(tmp_path / "two"), family)
    assert said.count("shared out:") == 1 and f"shared out: {shared}" in said  # blocks, and what ties them
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-3, rtol=1e-2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.slow
def test_a_killed_run_of_two_goes_on_to_the_same_weights(tmp_path) -> None:
    for name in ("whole", "killed"):
        stop = ["7"] if name == "killed" else []
        run(*LAUNCH, *SHARED, str(PROGRAM), str(tmp_path / name), "Llama", *stop, ok=not stop)
    assert (tmp_path / "killed.checkpoint").is_file() and not (tmp_path / "killed").exists()
    run(*LAUNCH, *SHARED, str(PROGRAM), str(tmp_path / "killed"), "Llama")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(two[name], tensor) for name, tensor in one.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@given(st.lists(st.integers(2, 40), max_size=9), st.integers(1, 5))
def test_shares_are_of_about_equal_length_and_nothing_is_lost(lengths, count) -> None:
    samples = [Sample(str(n), "t", (k, *range(n - 1)), 1, 1.0) for k, n in enumerate(lengths)]
    shares = [layout.share(samples, number, count) for number in range(count)]
    assert sorted(s.ids for one in shares for s in one) == sorted(s.ids for s in samples)
    tokens = [sum(unit.tokens for unit in layout.units_of(one)) for one in shares]
    assert max(tokens) - min(tokens) <= max((n - 1 for n in lengths), default=0)


def test_samples_that_share_a_beginning_stay_in_one_process() -> None:
    begin = tuple(range(80))
    samples = [Sample(str(n), "t", (k, *begin, n), 81, 1.0) for k in range(2) for n in range(3)]
    shares = [layout.share(samples, number, 2) for number in range(2)]
    assert all(len(one) == 3 and len({s.ids[0] for s in one}) == 1 for one in shares)


def test_one_process_alone_exchanges_nothing() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    ALONE.add_gradients([parameter])
    assert parameter.grad is None and ALONE.tell("word") == "word" and ALONE.gather(3) == [3] and ALONE.leads
    ALONE.require_same("anything", "data")
    ALONE.leave()


def test_processes_that_begin_with_different_data_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(Processes, "gather", lambda self, word: [word, "another"])
    with pytest.raises(TrainingError, match="same data"):
        ALONE.require_same("one", "data")


def test_the_process_with_the_least_room_decides() -> None:
    rooms = [Room(100, 1000, 1.0, 10, 10), Room(500, 1000, 1.0, 10, 10)]
    found = tightest(rooms, sharing=2)
    assert (found.bytes_needed, found.bytes_free) == (500, 500)
    assert tightest(rooms[:1], sharing=1) == rooms[0]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(depth=Depth.FAST),
        Recipe(choose_by=ChosenBy.METRIC),
        Recipe(base_weights=BaseWeights.INT8),
        Recipe(method=Method.PISSA),
    ],
)
def test_what_needs_a_whole_base_is_refused_where_blocks_are_shared_out(recipe) -> None:
    with pytest.raises(TrainingError, match="recipe") as caught:
        refuse_with_shared_blocks(recipe)
    assert "--use_fsdp" in caught.value.fix
    refuse_with_shared_blocks(Recipe())


def test_only_fsdp_of_version_2_is_supported(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(ProjectError, match="version 1"):
        join()


@pytest.mark.parametrize("command", [["run"], ["tune", "--sweep"], ["tune", "--show", "1"], ["check"]])
def test_a_command_that_runs_in_one_process_says_so_where_several_were_launched(monkeypatch, command) -> None:
    from typer.testing import CliRunner

    from residency.cli import app

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, ProjectError) and "one process" in done.exception.message
