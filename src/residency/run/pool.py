"""The process pool: how work is spread over the cores of one machine.

In: a function that can be pickled, and items. Out: its results, in the order of the items.

Covers: few items in flight, so that memory stays flat however many items there are; one core (everything runs in this
process); an error in a worker (raised here, the rest is given up); a main process that is killed (its workers end by
themselves). Does not cover: what an item is. Hand over references to private text, such as places in a file or names
in the vault, rather than the text.

The function is sent to each worker once, and is expected to load what it needs there on its first item.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from residency.errors import StoreError

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT = 3  # items a worker: one at work, one waiting, one on its way back


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """``work`` of every item, in their order, on so many processes; with one, right here."""
    if workers <= 1:
        yield from map(work, items)
        return
    # Not "fork": the libraries that the parent has loaded hold threads and locks that a copy would wait for forever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(work,)) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_do, item))
                if len(waiting) >= workers * _IN_FLIGHT:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise StoreError(
                "A worker process ended without a word; most often the machine had no memory left for it.",
                fix="Run again with fewer workers (--workers 1).",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_work: Callable[[Any], Any] | None = None  # of a worker process


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    os.environ["OMP_NUM_THREADS"] = "1"  # as many processes as cores: threads would only wait for each other
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _do(item: Any) -> Any:
    assert _work is not None
    return _work(item)
