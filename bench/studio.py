"""How fast the studio's queues are when they are full: `next` and `answer` with many documents and answers.

In: numbers of documents, answers and people. Out: milliseconds at the median and the 95th percentile, printed.

Covers: two independent readers an item, two queues, people who take turns. Does not cover: pages, several people at the
same moment (tests/store/test_queues.py), the network.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, event

from residency.store.queues import Item, Queues
from residency.store.studio import ANSWERS, ITEMS, LEASES, SLOTS, Studio

QUEUES = ("annotate/diagnose", "annotate/findings")
READERS = 2
ROWS = 20_000


def fill(studio: Studio, documents: int, answers: int, people: int) -> Queues:
    """Items for two readers in each queue; the first answers are given, by people in turn."""
    queues = Queues(studio)
    for queue in QUEUES:
        items = (Item(id=f"{queue}-{n}", queue=queue, kind="annotate", subject=f"d-{n}") for n in range(documents))
        queues.add(((item, float(n)) for n, item in enumerate(items)), readers=READERS)
    with studio.writing() as connection:
        numbers = list(connection.execute(SLOTS.select().order_by(SLOTS.c.queue, SLOTS.c.turn, SLOTS.c.place)))
        # Readings are spread so that at the end of each queue items stand half read, as they do in a team's life.
        share = answers / len(numbers)
        of_queue = {queue: [slot for slot in numbers if slot.queue == queue] for queue in QUEUES}
        done = [slot for slots in of_queue.values() for slot in slots[: round(len(slots) * share)]]
        half = [slot for slots in of_queue.values() for slot in slots[round(len(slots) * share) :]]
        half = [slot for slot in half if slot.place == 0][: people * 20]
        now = time.time()
        rows: dict[Any, list[dict[str, Any]]] = {SLOTS: [], LEASES: [], ANSWERS: []}
        for number, slot in enumerate([*done, *half]):
            who, token = f"p{(number // READERS + slot.place) % people}", f"{number:032x}"
            rows[SLOTS].append({"its": slot.number, "who": who, "token": token})
            rows[LEASES].append({"token": token, "slot": slot.number, "who": who, "since": now})
            said = {"id": token, "slot": slot.number, "version": 1, "who": who, "when": now, "seconds": 20.0}
            rows[ANSWERS].append(said | {"content": '{"label":"Alpha disease","comment":""}'})
        answered = SLOTS.update().where(SLOTS.c.number == bindparam("its")).values(state="answered", version=1)
        connection.execute(answered, rows[SLOTS])
        for table in (LEASES, ANSWERS):
            for start in range(0, len(rows[table]), ROWS):
                connection.execute(table.insert(), rows[table][start : start + ROWS])
        items_half = [slot.item for slot in half]
        for start in range(0, len(items_half), 500):
            part = items_half[start : start + 500]
            begun = SLOTS.update().where(SLOTS.c.item.in_(part), SLOTS.c.state == "open")
            connection.execute(begun.values(begun=True))
    with studio.reading() as connection:
        for table in (ITEMS, SLOTS, ANSWERS):
            print(f"{table.name}: {connection.exec_driver_sql(f'SELECT COUNT(*) FROM {table.name}').scalar():,}")
    return queues


def measure(queues: Queues, people: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call."""
    spent: dict[str, list[float]] = {"next": [], "answer": [], "mine": [], "undo": []}

    def timed(name: str, call: Callable[..., Any], *given: Any, **more: Any) -> Any:
        begun = time.perf_counter()
        result = call(*given, **more)
        spent[name].append(1_000 * (time.perf_counter() - begun))
        return result

    for number in range(rounds):
        who, queue = f"p{number % people}", QUEUES[number % len(QUEUES)]
        lease = timed("next", queues.next, queue, who)
        if lease is None:
            continue
        answer = timed("answer", queues.answer, lease.token, who, {"label": "A"}, saw=lease.version, differ=differ)
        timed("mine", queues.mine, queue, who)
        if number % 10 == 0:
            timed("undo", queues.undo, lease.token, who, saw=answer.version, differ=differ)
    return spent


def differ(_: Item, contents: Any) -> bool:
    return len({str(content) for content in contents}) > 1


def without_the_disk(studio: Studio) -> Studio:
    """The same without waiting for the disk at each commit: what is left is our own."""
    event.listen(studio.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    studio.engine.dispose()
    return studio


def disk(folder: Path, times: int = 100) -> float:
    """Milliseconds that this disk needs for one small write, median."""
    spent = []
    with (folder / "disk").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            spent.append(1_000 * (time.perf_counter() - begun))
    return percentile(spent, 0.5)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--answers", type=int, default=200_000)
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        studio = Studio.at(Path(folder) / "studio.sqlite")
        queues = fill(studio, options.documents, options.answers, options.people)
        print(
            f"filled in {time.perf_counter() - begun:.0f} s; one write to this disk takes {disk(Path(folder)):.1f} ms"
        )
        show("every answer on disk before the reply", measure(queues, options.people, options.rounds))
        without_the_disk(studio)
        show("without waiting for the disk", measure(queues, options.people, options.rounds))


def show(title: str, spent: dict[str, list[float]]) -> None:
    print(title)
    for name, values in spent.items():
        print(f"  {name}: p50 {percentile(values, 0.5):.2f} ms, p95 {percentile(values, 0.95):.2f} ms")


if __name__ == "__main__":
    main()
