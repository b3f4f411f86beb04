"""Progress bars.

In: what the stages report. Out: a line a stage on the terminal; a moving bar while it works.

Covers: terminals and plain logs (a line a stage, no control characters). Does not cover: what is worth reporting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from residency.cli.terminal import terminal

SECONDS_BETWEEN_LINES = 30.0  # in a log without a terminal


class Bars:
    """Draws progress with Rich."""

    def __init__(self, console: Console, bars: Progress) -> None:
        self.console, self.bars = console, bars
        self._task: TaskID | None = None
        self._stage, self._begun, self._spoke, self._done = "", 0.0, 0.0, 0
        self._total: int | None = None

    def begin(self, stage: str, total: int | None = None, unit: str = "") -> None:
        self._close()
        self._stage, self._total, self._done = stage, total, 0
        self._begun = self._spoke = time.monotonic()
        self._task = self.bars.add_task(stage, total=total, note=unit)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.reach(self._done + amount, self._total, note)

    def reach(self, done: int, total: int | None, note: str = "") -> None:
        if self._task is None:
            return
        self._done, self._total = done, total
        self.bars.update(self._task, completed=done, total=total)
        if note:
            self.bars.update(self._task, note=note)
        if not self.console.is_terminal and time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            of = f" of {self._total}" if self._total else ""
            self.console.print(f"    {self._stage}: {self._done}{of} {note}")

    def end(self, summary: str = "", *, reused: bool = False) -> None:
        seconds = time.monotonic() - self._begun
        self._close()
        mark, time_taken = ("=", "done before") if reused else ("✓", f"{seconds:.0f} s")
        self.console.print(Text.assemble(f"  {mark} {self._stage:<12} {summary}  ", (time_taken, "dim")))

    def say(self, line: str) -> None:
        self.console.print(line)

    def _close(self) -> None:
        if self._task is not None:
            self.bars.remove_task(self._task)
            self._task = None


@contextmanager
def bars() -> Iterator[Bars]:
    """Progress for the length of a command."""
    console = terminal()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress:
        yield Bars(console, progress)
