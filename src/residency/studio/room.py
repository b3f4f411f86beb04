"""The room: where a person is given work, and what they say is kept.

In: a project; people's names, answers. Out: items with what may be seen of them; answers; decisions in the ledger.

Covers: the next item of a queue, answering, undo, the audit entry of every answer and of every look at raw text, and
handing answers on to the ledger, which is the one store of decisions. Does not cover: kinds of work (a module each),
pages, permissions.

Answer and audit entry are written in one transaction; the ledger, another database, is told afterwards. What it was not
told because the process was killed waits in the studio and is told the next time; what it is told twice it keeps once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from random import Random
from typing import Any

from sqlalchemy import Connection

from residency.errors import ProjectError
from residency.project import Project
from residency.records import Decision, record_id
from residency.store.audit import Event, append
from residency.store.ledger import TAKEN_BACK
from residency.store.queues import Answer, Duty, Item, Lease, Queues, Suggestion, Tell
from residency.studio.annotate import Annotate
from residency.studio.deidentify import Read, Spans
from residency.studio.validate import Validate
from residency.studio.work import Filled, View, Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An item as a person has it. The lease's item stays on this side: its facts are not for the page."""

    token: str
    queue: str
    kind: str
    duty: Duty
    until: float
    version: int
    content: Any
    view: View


class Room:
    """All work of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.queues = Queues(project.studio)

    @cached_property
    def works(self) -> dict[str, Work]:
        """Every kind of work there is, by name."""
        kinds: tuple[Work, ...] = (
            Spans(self.project, self.queues), Read(self.project, self.queues), Annotate(self.project, self.queues),
            Validate(self.project, self.queues),
        )  # fmt: skip
        return {work.kind: work for work in kinds}

    def work(self, kind: str) -> Work:
        try:
            return self.works[kind]
        except KeyError:
            raise ProjectError("There is no such kind of work.", fix=f"Use one of: {', '.join(self.works)}.") from None

    def fill(self, *kinds: str) -> list[Filled]:
        """Puts what waits for people into the queues: of these kinds, or of all."""
        return [filled for kind in kinds or self.works for filled in self.work(kind).fill()]

    def next(self, queue: str, who: str, *, duty: Duty = Duty.READ) -> Shown | None:
        """The next item for this person; None where nothing is left for them."""
        lease = self.queues.next(queue, who, duty=duty)
        return None if lease is None else self._shown(lease, who)

    def again(self, token: str, who: str) -> Shown:
        """An item that the person holds or has answered."""
        return self._shown(self.queues.lease(token, who), who)

    def suggestions(self, token: str, who: str) -> list[Suggestion]:
        """What machines would answer, where this kind of work may show it."""
        item = self.queues.lease(token, who).item
        work = self.work(item.kind)
        return work.suggestions(item) if work.suggests else []

    def answer(self, token: str, who: str, content: Any, *, saw: int, seconds: float = 0.0) -> Answer:
        """Keeps an answer, or another version of it."""
        lease = self.queues.lease(token, who)
        work = self.work(lease.item.kind)
        checked = work.check(lease.item, content, duty=lease.duty)
        answer = self.queues.answer(
            token, who, checked, saw=saw, seconds=seconds, tell=self._tell(work), differ=work.differ, within=_logged
        )
        self.hand_on()
        return answer

    def undo(self, token: str, who: str, *, saw: int) -> Answer:
        """Takes the person's last version back."""
        work = self.work(self.queues.lease(token, who).item.kind)
        answer = self.queues.undo(token, who, saw=saw, tell=self._tell(work), differ=work.differ, within=_logged)
        self.hand_on()
        return answer

    def hand_on(self) -> int:
        """Tells the ledger every answer that it does not know yet; the number of decisions."""
        return self.queues.hand_on(self.project.workspace.ledger)

    def _tell(self, work: Work) -> Tell | None:
        """What the ledger is told of an answer: that the earlier version's decisions are taken back, and the new ones.
        It is written down with the answer, because the iteration that it is about may be gone when it is told."""

        def tell(answer: Answer, earlier: str | None) -> list[Decision]:
            when = datetime.fromtimestamp(answer.when, UTC).isoformat(timespec="microseconds")
            by: dict[str, Any] = {"who": answer.who, "when": when}
            gone = [_decision_id(earlier, part) for part in range(work.parts(answer.item))] if earlier else []
            new = [] if answer.content is None else work.decisions(answer.item, answer.content)
            return [
                *(Decision(id=record_id("v", gone=name), subject=name, verdict=TAKEN_BACK, **by) for name in gone),
                *(Decision(id=_decision_id(answer.id, part), **by, **one) for part, one in enumerate(new)),
            ]

        return tell if work.decides else None

    def _shown(self, lease: Lease, who: str) -> Shown:
        work = self.work(lease.item.kind)
        if work.raw:
            with self.project.studio.writing() as connection:
                append(connection, Event.RAW_TEXT_READ, who=who, subject=lease.item.subject)
        versions = self._versions(lease.item) if lease.duty is Duty.ADJUDICATE else []
        return Shown(
            token=lease.token,
            queue=lease.item.queue,
            kind=lease.item.kind,
            duty=lease.duty,
            until=lease.until,
            version=lease.version,
            content=lease.content,
            view=work.view(lease.item, duty=lease.duty, versions=versions, answered=lease.content),
        )

    def _versions(self, item: Item) -> list[Any]:
        """What the readers said, in an order drawn for this item: the first to answer is not always A."""
        said = [answer.content for answer in self.queues.of_item(item.id)]
        return Random(f"{self.project.settings.seed} {item.id}").sample(said, len(said))


def _decision_id(answer: str, part: int) -> str:
    return record_id("v", answer=answer, part=part)


def _logged(connection: Connection, answer: Answer) -> None:
    facts: dict[str, str | int | bool] = {"kind": answer.item.kind, "version": answer.version, "duty": str(answer.duty)}
    append(connection, Event.DECIDED, who=answer.who, subject=answer.item.id, facts=facts)
