"""A run of a tiny base as a program that a launcher starts several times.

accelerate launch ... several.py FOLDER FAMILY [KILL_AFTER_STEP]
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import tiny
from torch.distributed.fsdp import FSDPModule

from residency.records import Split
from residency.tune.processes import join
from residency.tune.training import Tick, train

RECIPE = tiny.RECIPE.model_copy(update={"dropout": 0.0, "micro_tokens": 100})  # several parts a step, not equally many


def main() -> None:
    folder, family = Path(sys.argv[1]), sys.argv[2]
    kill_after = int(sys.argv[3]) if len(sys.argv) > 3 else None

    def die(tick: Tick) -> None:
        if tick.step == 1:
            print("shared out:", sum(issubclass(type(one), FSDPModule) for one in gc.get_objects()), flush=True)
        if tick.step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    processes = join()
    base = tiny.tiny_base(family)
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    train(
        tiny.examples(18), tiny.examples(6, Split.VALIDATION), base, RECIPE, folder,
        labels=tiny.LABELS, progress=die, processes=processes,
    )  # fmt: skip
    assert all(tensor.equal(before[name]) for name, tensor in base.model.state_dict().items())
    processes.leave()


if __name__ == "__main__":
    main()
