"""A kind of work: the one shape that every queue of the studio has.

In: a project. Out: items to look at; a view of an item; an answer, checked; the decisions that follow from it.

Covers: the protocol, what its parts hand to each other, what every kind holds. Does not cover: any kind of work itself.

A view is what reaches the person and nothing else does: plain data made field by field, so that no model's name, score
or suggestion gets in because somebody added a fact to an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from residency.errors import ProjectError
from residency.project import Project
from residency.store.queues import Duty, Item, Queues, Suggestion
from residency.story import Iteration, recall

View = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """What was put into a queue."""

    queue: str
    added: int
    readers: int


class Work(Protocol):
    """One kind of work."""

    kind: str
    decides: bool  # the ledger is told of its answers
    raw: bool  # shows text with identifiers: each look is logged
    suggests: bool  # machines' suggestions may be shown beside an item, where the person asks for them

    def fill(self) -> list[Filled]:
        """Puts what waits for people into the queues; what is there already stays as it is."""

    def view(self, item: Item, *, duty: Duty, versions: Sequence[Any] = (), answered: Any = None) -> View:
        """What a person sees. ``versions``: for an adjudicator, what the readers said, in random order, without names;
        ``answered``: what this person has said, where a further part of the item follows from it."""

    def suggestions(self, item: Item) -> list[Suggestion]:
        """What machines would answer."""

    def check(self, item: Item, content: Any, *, duty: Duty) -> Any:
        """The answer in its one form; ProjectError says what is wrong with it."""

    def differ(self, item: Item, contents: Sequence[Any]) -> bool:
        """Whether readers' answers call for a third reader."""

    def parts(self, item: Item) -> int:
        """How many decisions an answer to the item makes."""

    def decisions(self, item: Item, content: Any) -> list[dict[str, Any]]:
        """The fields of these Decisions: subject, verdict, and what else there is."""


class OfProject:
    """What every kind of work holds."""

    def __init__(self, project: Project, queues: Queues) -> None:
        self.project = project
        self.queues = queues

    @cached_property
    def iteration(self) -> Iteration:
        """The last iteration, as it was when it was first asked for."""
        return recall(self.project)


def an_object(content: Any, *known: str) -> dict[str, Any]:
    """The answer, if it is an object with no other names than these."""
    if not isinstance(content, dict):
        raise ProjectError("The answer is no object of named values.", fix=f"Give {', '.join(known)}.")
    unknown = sorted(set(map(str, content)) - set(known))
    if unknown:
        raise ProjectError(
            f"The answer holds {len(unknown)} names that are not asked for.", fix=f"Give {', '.join(known)}."
        )
    return content


def a_text(content: dict[str, Any], name: str) -> str:
    """The text of this name; empty where there is none."""
    text = content.get(name) or ""
    if not isinstance(text, str):
        raise ProjectError(f"{name} is no text.", fix="Write text.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ProjectError(f"{name} holds half a character.", fix="Write it as UTF-8 text.") from None
    if not all(c.isprintable() or c in "\n\t" for c in text):
        raise ProjectError(f"{name} holds control characters.", fix="Write plain text.")
    return text.strip()


def one_of(value: Any, known: Sequence[str], name: str) -> str:
    """The value, if it is one of those known."""
    if value not in known:
        raise ProjectError(f"{name} is none of those known.", fix=f"Use one of: {', '.join(known)}.")
    return str(value)


def a_place(value: Any, length: int) -> tuple[int, int]:
    """Start and end of a place in a text of so many characters."""
    start, end = (value.get("start"), value.get("end")) if isinstance(value, dict) else (None, None)
    numbers = all(isinstance(one, int) and not isinstance(one, bool) for one in (start, end))
    if not numbers or not 0 <= start < end <= length:  # type: ignore[operator]
        raise ProjectError("A marked place does not lie within the text.", fix=f"Give a place between 0 and {length}.")
    return start, end  # type: ignore[return-value]
