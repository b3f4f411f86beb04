"""Putting a PEFT adapter on a base.

In: a ``Base`` and a folder with adapter_config.json and adapter_model.safetensors. Out: a module that computes with it,
or one that goes on learning.

Covers: LoRA in all its PEFT variants; refusing pickles, other kinds of adapters, and adapters of another base.
Does not cover: training one (tune/), its card (tune/).

Merged or not: ``merge=True`` adds the update to a copy of the adapted weights. That takes their memory once more, and
every pass is about as fast as the base's; unmerged, each adapted layer multiplies three times. In bf16 the sum is
rounded to the base weight's step. Measured against fp32 on the embedded base with a trained adapter (November
2026), merged answers were no further off than unmerged ones: the rounding of activations outweighs it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.errors import ModelError
from residency.models.base import Base

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
ANOTHER = "Train an adapter for this base, or name the base that it was trained on."


def attach(base: Base, folder: Path, *, merge: bool = False) -> torch.nn.Module:
    """The base with the adapter in ``folder``; ``base`` itself stays as it is. ModelError where they do not fit."""
    _check_config(folder)
    return _merged(_load(base, folder)) if merge else _load(base, folder).get_base_model()


def attach_trainable(base: Base, folder: Path) -> Any:
    """The base with the adapter in ``folder`` as a PEFT model whose adapter goes on learning, in fp32."""
    _check_config(folder)
    return _load(base, folder, trainable=True)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without two warnings: PEFT asks transformers a question under its old name; missing weights are an error here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
        yield


def _check_config(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        raise ModelError(
            f"{folder}: {WEIGHTS} is missing; pickled adapters are not read.", fix="Save it as safetensors."
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{folder}: {CONFIG} is missing or broken.", fix="Copy the adapter's folder again.") from None
    if kind != "LORA":
        raise ModelError(f"{folder}: the adapter is of the kind {kind!r}, not LORA.", fix="Train a LoRA adapter.")


def _load(base: Base, folder: Path, *, trainable: bool = False) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        # To compute with, the adapter's numbers in the base's precision: PEFT would widen bf16 to fp32, which costs
        # half the speed. To learn, fp32: a step of the optimizer is smaller than what bf16 can hold.
        with quiet_peft():
            model = PeftModel.from_pretrained(
                base.fork(), str(folder), is_trainable=trainable, autocast_adapter_dtype=trainable
            )
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder}: the adapter does not fit the base {base.entry.name} ({type(error).__name__}).", fix=ANOTHER
        ) from error
    except (OSError, SafetensorError, TypeError) as error:
        raise ModelError(
            f"{folder}: the adapter cannot be read ({type(error).__name__}).", fix="Copy the adapter's folder again."
        ) from error
    _require_same_weights(model, base, folder)
    return model if trainable else model.eval().requires_grad_(False)


def _require_same_weights(model: Any, base: Base, folder: Path) -> None:
    """PEFT leaves out what it cannot place and starts from zero where the file has nothing; neither may pass."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        in_file = set(file.keys())
    placed = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if in_file != placed:
        odd = len(in_file ^ placed)
        raise ModelError(f"{folder}: {odd} weights of the adapter have no place in {base.entry.name}.", fix=ANOTHER)


def _merged(model: Any) -> torch.nn.Module:
    import torch
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            adapted: Any = module.get_base_layer()
            # A parameter of its own: safe_merge puts a new tensor into it, and the base keeps the old one.
            name = getattr(module, "parameter_name", "weight")  # experts are parameters, not layers
            setattr(adapted, name, torch.nn.Parameter(getattr(adapted, name).detach(), requires_grad=False))
    return model.merge_and_unload(safe_merge=True)
