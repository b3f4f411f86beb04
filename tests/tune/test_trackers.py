"""Trackers get numbers, and are not needed."""

from __future__ import annotations

import sys

import pytest

from residency.errors import TrainingError
from residency.tune.adapter import CurvePoint
from residency.tune.trackers import Tracker, tracked, values
from residency.tune.training import Tick

POINT = CurvePoint(step=2, epoch=1, loss=2, validation=1.5, by_task={"diagnose": 1.5}, learning_rate=0.1, seconds=1)
TICKS = [Tick(1, 2, 3.0, 100.0, 1.0, 0.05), Tick(2, 2, 2.0, 100.0, 0.0, 0.1, POINT)]


def test_off_by_default_and_nothing_is_written(tmp_path) -> None:
    with tracked(None, tmp_path, {}) as track:
        track(TICKS[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tracker", Tracker)
def test_a_package_that_is_not_there_is_said_before_training(tracker, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, tracker.value, None)
    with (
        pytest.raises(TrainingError, match=f"the package {tracker} is not installed") as caught,
        tracked(tracker, tmp_path, {}),
    ):
        raise AssertionError("training began")
    assert f"pip install {tracker}" in caught.value.fix


def test_the_end_of_an_epoch_brings_the_validation(tmp_path) -> None:
    assert values(TICKS[0]) == {"train/loss": 3.0, "train/learning_rate": 0.05, "train/tokens_per_second": 100.0}
    assert values(TICKS[1])["validation/loss/diagnose"] == values(TICKS[1])["validation/loss"] == 1.5


def test_tensorboard_reads_what_was_written(tmp_path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracked(Tracker.TENSORBOARD, tmp_path, {"rank": 16}) as track:
        for tick in TICKS:
            track(tick)
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("train/loss")] == [(1, 3.0), (2, 2.0)]
    assert [event.step for event in read.Scalars("validation/loss")] == [2]


def test_mlflow_reads_what_was_written(tmp_path, monkeypatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with tracked(Tracker.MLFLOW, tmp_path, {"rank": 16}) as track:
        for tick in TICKS:
            track(tick)
    [run] = mlflow.search_runs(output_format="list")
    assert run.data.params == {"rank": "16"} and run.data.metrics["validation/loss"] == 1.5


def test_wandb_stays_offline_unless_told_otherwise(tmp_path, monkeypatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with tracked(Tracker.WANDB, tmp_path, {"rank": 16}) as track:
        for tick in TICKS:
            track(tick)
    assert list((tmp_path / "wandb").rglob("offline-run-*"))
