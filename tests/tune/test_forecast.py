"""What a run will take, said before it."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from residency.errors import TrainingError
from residency.models import memory
from residency.tune.forecast import Room, measure_room, measure_seconds, refuse_without_room
from residency.tune.lora import Recipe
from residency.tune.render import Sample

GIB = 2**30
FOUND = Room(bytes_needed=10 * GIB, bytes_free=GIB, bytes_a_token=2**20, largest=8192, longest=300)


def sample(length: int) -> Sample:
    return Sample("e", "t", tuple(range(length)), length - 5, 1.0)


def test_memory_grows_with_the_tokens_that_are_held_at_once() -> None:
    seen: list[int] = []

    def learn(samples) -> None:
        held = torch.ones(sum(len(s.ids) for s in samples), 64 * 1024)  # 256 kB a token
        seen.append(len(held))
        del held

    recipe = Recipe(micro_tokens=1000, batch_size=8)
    found = measure_room(learn, [sample(100)] * 50, [sample(9)], recipe, trained=0, device=torch.device("cpu"))
    assert seen == [600]  # a few hundred tokens, whatever the run's size
    assert found.largest == 800 and found.longest == 100  # a batch of eight is smaller than a part may be
    if found.bytes_needed is not None:  # the system says what a step took
        assert 0.9 < found.bytes_a_token / (256 * 1024) < 1.1
        assert 0.8 < found.bytes_needed / (800 * 256 * 1024) < 1.3


def test_time_grows_with_the_samples_and_the_epochs() -> None:
    def seconds(count: int, checked: int, epochs: float) -> float:
        of = [[sample(100)] * n for n in (4, count, checked)]
        return measure_seconds(lambda samples: time.sleep(0.04), *of, epochs=epochs)

    assert 0.1 < seconds(10, 0, 1) < 0.3  # 0.1 s by rule
    assert 1.0 < seconds(40, 30, 2) < 2.5  # 1.0 s by rule: a validation takes a third


@pytest.mark.parametrize(
    ("free", "longest", "proposal"),
    [
        (10 * GIB, 300, None),
        (GIB, 300, "recipe.micro_tokens to 600 or less"),
        (GIB, 700, "recipe.max_tokens to 600 or less"),
        (GIB // 2, 300, "smaller base"),
        (0, 300, "smaller base"),
    ],
)
def test_a_run_that_memory_cannot_hold_is_refused_with_what_would_do(free, longest, proposal) -> None:
    needed = int(8192 * 2**20 * 1.15) + 334 * 2**20  # a part, and 334 MiB of state beside it
    found = replace(FOUND, bytes_needed=needed, bytes_free=free, longest=longest)
    if proposal is None:
        return refuse_without_room(found, Recipe())
    with pytest.raises(TrainingError, match="Training cannot start: it would need") as caught:
        refuse_without_room(found, Recipe())
    assert proposal in caught.value.fix


def test_the_proposed_part_would_fit() -> None:
    needed = int(8192 * 2**20 * 1.15) + 334 * 2**20
    after = int(600 * 2**20 * 1.15) + 334 * 2**20
    assert after <= GIB
    refuse_without_room(replace(FOUND, bytes_needed=after), Recipe(micro_tokens=600))
    assert needed > GIB


def test_where_the_system_says_nothing_nothing_is_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "no-proc")
    ran: list[int] = []
    found = measure_room(ran.append, [sample(20)], [], Recipe(), trained=1, device=torch.device("cpu"))
    assert found.bytes_needed is None and len(ran) == 1
    refuse_without_room(found, Recipe())


@pytest.mark.parametrize(
    ("limit", "used", "left"), [("1000", "400", 600), ("1000", "4000", 0), ("max", "5", None), (None, None, None)]
)
def test_a_container_has_what_its_limit_leaves(monkeypatch, tmp_path: Path, limit, used, left) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text(used + "\n")
    found = memory.available_bytes()
    assert found == left if left is not None else found > 10**6


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say what a step took")
def test_growth_is_what_was_held_at_once() -> None:
    """In a process of its own: what other tests left behind does not count."""
    code = (
        "import torch; from residency.models.memory import growth\n"
        "work = lambda: [torch.ones(25_000_000).sum() for _ in range(3)]\n"
        "growth(work); found = growth(work); assert 90e6 < found < 130e6, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
