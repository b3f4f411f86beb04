"""Work spread over processes comes back whole, in order, and its processes end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from residency.errors import RecordError, StoreError
from residency.run.pool import cores, spread


@dataclass(frozen=True)
class Square:
    """The square of a number, and who computed it; some numbers end the work."""

    fail_at: int = -1
    die_at: int = -1

    def __call__(self, number: int) -> tuple[int, int]:
        if number == self.fail_at:
            raise RecordError("number 3 is bad.", fix="Leave it out.")
        if number == self.die_at:
            os._exit(9)
        return number * number, os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    results = list(spread(Square(), range(20), workers=workers))
    assert [square for square, _ in results] == [n * n for n in range(20)]
    assert (os.getpid() in {pid for _, pid in results}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_is_raised_as_it_is(workers: int) -> None:
    with pytest.raises(RecordError, match="number 3 is bad"):
        list(spread(Square(fail_at=3), range(20), workers=workers))


def test_a_worker_that_dies_is_said_clearly() -> None:
    with pytest.raises(StoreError, match="ended without a word"):
        list(spread(Square(die_at=5), range(20), workers=2))


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []
    results = spread(Square(), (taken.append(n) or n for n in range(1000)), workers=2)
    next(results)
    assert len(taken) < 20
    results.close()


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from residency.run.pool import spread\n"
        "def work(n):\n"
        "    open(os.path.join(sys.argv[1], f'pid-{os.getpid()}'), 'w').close()\n"
        "    time.sleep(0.05)\n"
        "    return n\n"
        "if __name__ == '__main__':\n"
        "    for _ in spread(work, range(100000), workers=2): pass\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.DEVNULL)
    _wait(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    workers = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _wait(lambda: not any(_alive(pid) for pid in workers))


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def _wait(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen within a minute"
        time.sleep(0.05)
