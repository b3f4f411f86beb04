"""Adapters that were made worse on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from residency.tune.adapter import CARD, WEIGHTS, content_sha256


def turned_round(root: Path, folder: Path, *, factor: float = 10.0) -> Path:
    """The project's adapter against what it learned: its update turned round and made larger, signed as any other.

    Shuffled weights are no worse for sure: on a base of random weights a random update may by chance be a good one.
    """
    shutil.copytree(next((root / ".residency" / "adapters").iterdir()), folder)
    weights = load_file(folder / WEIGHTS)
    assert any("lora_B" in name for name in weights)
    turned = {name: -factor * w if "lora_B" in name else w for name, w in weights.items()}
    save_file({name: w.astype(weights[name].dtype) for name, w in turned.items()}, folder / WEIGHTS)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "weights_sha256": content_sha256(folder)}))
    return folder
