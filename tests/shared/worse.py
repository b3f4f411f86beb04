"""Adapters that were made worse on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from residency.tune.adapter import CARD, WEIGHTS, content_sha256


def scrambled(root: Path, folder: Path, *, factor: float = 30.0, seed: int = 0) -> Path:
    """The project's adapter with its weights shuffled and made larger, whole and signed as any other."""
    shutil.copytree(next((root / ".residency" / "adapters").iterdir()), folder)
    rng = np.random.default_rng(seed)
    weights = load_file(folder / WEIGHTS)
    noisy = {name: factor * rng.permutation(w.ravel()).reshape(w.shape) for name, w in sorted(weights.items())}
    save_file({name: np.ascontiguousarray(w, dtype=weights[name].dtype) for name, w in noisy.items()}, folder / WEIGHTS)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "weights_sha256": content_sha256(folder)}))
    return folder
