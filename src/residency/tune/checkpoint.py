"""Checkpoints: the state of a run in one file.

In: the state, the parameters, the optimizer. Out: a safetensors file, whole or not there at all.

Covers: everything that the rest of a run depends on; a torn or foreign file is as good as none.
Does not cover: generator states; training.py draws everything from the seed and the number of a step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.tune.adapter import CurvePoint

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class State:
    """How far a run has come."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # of every step
    curve: list[CurvePoint] = field(default_factory=list)
    best_value: float = 0.0
    best_step: int | None = None
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def write_checkpoint(
    path: Path,
    identity: str,
    state: State,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Replaces the checkpoint at ``path``; a kill at any moment leaves the old one or the new one."""
    from safetensors.torch import save

    tensors = {f"best.{name}": tensor for name, tensor in state.best.items()}
    for name, parameter in parameters.items():
        moments = optimizer.state[parameter]
        tensors[f"parameter.{name}"] = parameter.detach()
        tensors[f"mean.{name}"], tensors[f"square.{name}"] = moments["exp_avg"], moments["exp_avg_sq"]
    plain = {
        "step": state.step,
        "tokens": state.tokens,
        "seconds": state.seconds,
        "losses": state.losses,
        "curve": [point.model_dump(mode="json") for point in state.curve],
        "best_value": state.best_value,
        "best_step": state.best_step,
    }
    data = save({k: v.contiguous() for k, v in tensors.items()}, {"run": identity, "state": json.dumps(plain)})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def read_checkpoint(
    path: Path, identity: str, parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> State | None:
    """Puts parameters and optimizer back and returns the state; None where there is no checkpoint of this very run."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            if metadata.get("run") != identity:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (OSError, SafetensorError):
        return None
    plain = json.loads(metadata["state"])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter.{name}"])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(plain["step"]), device=parameter.device),
                "exp_avg": tensors[f"mean.{name}"].to(parameter.device),
                "exp_avg_sq": tensors[f"square.{name}"].to(parameter.device),
            }
    best = {name.removeprefix("best."): tensor for name, tensor in tensors.items() if name.startswith("best.")}
    curve = [CurvePoint.model_validate(point) for point in plain.pop("curve")]
    return State(**plain, curve=curve, best=best)
