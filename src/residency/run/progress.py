"""Progress: what a person sees while the work goes on.

In: the start of a stage, steps done, a note. Out: whatever the face makes of it (a bar, a line, nothing).

Covers: the protocol, and a silent implementation. Does not cover: drawing; the command line does that.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Follows one stage after another."""

    def begin(self, stage: str, total: int | None = None, unit: str = "") -> None:
        """A stage starts; ``total`` units of work, None where that is not known."""
        ...

    def advance(self, amount: int = 1, note: str = "") -> None:
        """``amount`` more units are done."""
        ...

    def reach(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` units are done; for work that learns its length on the way."""
        ...

    def end(self, summary: str = "", *, reused: bool = False) -> None:
        """The stage is over; ``reused`` where nothing had to be done."""
        ...

    def say(self, line: str) -> None:
        """One line that stays."""
        ...


class Silent:
    """Says nothing."""

    def begin(self, stage: str, total: int | None = None, unit: str = "") -> None: ...

    def advance(self, amount: int = 1, note: str = "") -> None: ...

    def reach(self, done: int, total: int, note: str = "") -> None: ...

    def end(self, summary: str = "", *, reused: bool = False) -> None: ...

    def say(self, line: str) -> None: ...
