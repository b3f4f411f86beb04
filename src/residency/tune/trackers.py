"""Experiment trackers: the curve of a run in TensorBoard, MLflow or Weights & Biases, through their own loggers.

In: a tracker's name, a folder, a run's recipe and ticks. Out: what that tracker writes.

Covers: loss, rate, tokens a second, validation by task. Numbers and settings only, never text or ids. Nothing leaves
the machine by itself: MLflow writes below the folder unless MLFLOW_TRACKING_URI says otherwise, and W&B is offline
unless WANDB_MODE does. Off unless the project file names one; none of the packages is needed otherwise.
Does not cover: artifacts; the ledger holds them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.errors import TrainingError

if TYPE_CHECKING:
    from residency.tune.training import Tick

Log = Callable[[Mapping[str, float], int], None]
"""Takes values by name, and the step they belong to."""


class Tracker(StrEnum):
    """Who else is told of a training run."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"


@contextmanager
def tracked(tracker: Tracker | None, folder: Path, settings: Mapping[str, Any]) -> Iterator[Callable[[Tick], None]]:
    """What to call with every tick. TrainingError, before anything is trained, where the package is not there."""
    if tracker is None:
        yield lambda tick: None
        return
    with _OPEN[tracker](folder / tracker, settings) as log:
        yield lambda tick: log(values(tick), tick.step)


def values(tick: Tick) -> dict[str, float]:
    """The numbers of one step, by the name they have in a tracker."""
    found = {
        "train/loss": tick.loss,
        "train/learning_rate": tick.learning_rate,
        "train/tokens_per_second": tick.tokens_per_second,
    }
    if tick.point is not None:
        found["validation/loss"] = tick.point.validation
        found |= {f"validation/loss/{task}": value for task, value in tick.point.by_task.items()}
        if tick.point.metric is not None:
            found["validation/metric"] = tick.point.metric
    return found


@contextmanager
def _tensorboard(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    _imported("tensorboard")
    writer = _imported("torch.utils.tensorboard").SummaryWriter(str(folder))
    writer.add_text("recipe", "\n".join(f"    {name}: {value}" for name, value in settings.items()))

    def log(found: Mapping[str, float], step: int) -> None:
        for name, value in found.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def _mlflow(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    mlflow = _imported("mlflow")
    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    with mlflow.start_run():
        mlflow.log_params(dict(settings))
        yield lambda found, step: mlflow.log_metrics(dict(found), step=step)


@contextmanager
def _wandb(folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    wandb = _imported("wandb")
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project="residency", dir=str(folder), config=dict(settings), mode=os.environ.get("WANDB_MODE", "offline"),
        settings=wandb.Settings(disable_code=True, disable_git=True, console="off"),
    )  # fmt: skip
    try:
        yield lambda found, step: run.log(dict(found), step=step)
    finally:
        run.finish()


_OPEN = {Tracker.TENSORBOARD: _tensorboard, Tracker.MLFLOW: _mlflow, Tracker.WANDB: _wandb}


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise TrainingError(
            f"tracker: the package {package} is not installed.",
            fix=f"Install it (pip install {package}), or leave tracker out of the project file.",
        ) from None
