"""Queues of work: what waits for a person, who has it now, and what was answered.

In: items, people's answers. Out: the next item for a person; answers, version after version.

Covers: several independent readers of an item; leases that two people never hold at once, that end, are renewed and
given back; versions of an answer (an edit names the version that it saw, a stale one is refused); undo; hidden
duplicates for whoever read the original; a third reader where two differ; what the ledger has not been told yet;
forgetting a patient. Does not cover: what items and answers mean (studio/); who may do what (people.py).

An answer that comes late is kept: in its own slot, if nobody has taken it meanwhile, else in a further one. An answer
that comes twice, because the first reply was lost, is one answer.

Every change of a slot is one UPDATE that names the state it expects, so that of two people one gets it, on whatever
database. Rejected: locking rows for the time that a person reads; a closed laptop would hold them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from residency.errors import ProjectError, StoreError
from residency.records import Decision
from residency.store.ledger import Ledger
from residency.store.studio import (
    ANSWERS,
    ITEMS,
    LEASES,
    OUTBOX,
    PASSED,
    SLOTS,
    SUGGESTIONS,
    Studio,
)

LEASE_SECONDS = 30 * 60.0  # a reader who is called away comes back to the same item within half an hour
LOOKED_AHEAD = 64  # half-read items that are looked through before a fresh one is given; bounds the time of ``next``
COPY_AFTER = 8  # answers between an item and its hidden duplicate: fewer are remembered
TRIES = 5  # times that somebody else may be faster
LONGEST_ANSWER = 200_000  # characters of JSON
ADJUDICATOR = -1  # the place of the third reader
ROWS_AT_ONCE = 2_000


class Duty(StrEnum):
    """What a slot asks of a person."""

    READ = "read"  # independent of every other reader
    ADJUDICATE = "adjudicate"  # sees what the readers said, not who they are


class State(StrEnum):
    """Where a slot is."""

    OPEN = "open"
    LEASED = "leased"
    ANSWERED = "answered"
    HIDDEN = "hidden"  # a duplicate whose original nobody has answered yet
    RESERVED = "reserved"  # a duplicate that waits for whoever answered the original
    CLOSED = "closed"  # not needed any more


_DECISIONS: TypeAdapter[list[Decision]] = TypeAdapter(list[Decision])
_FREED = {"state": State.OPEN, "who": None, "until": None}
_RESERVED = {"state": State.RESERVED, "until": None}  # a hidden duplicate stays with its reader


class StaleAnswer(StoreError):
    """The answer was changed since it was looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Something for people to look at. ``facts`` are plain data without any text of a document."""

    id: str
    queue: str
    kind: str
    subject: str
    patient: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    copy_of: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """An item that one person holds. ``token`` is the handle to answer, renew, give back, edit and undo."""

    token: str
    item: Item
    duty: Duty
    until: float  # seconds since 1970, UTC
    version: int  # of this person's last answer; 0 before the first
    content: Any = None  # of that answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One version of what a person said of an item. ``content`` is None where it was taken back."""

    number: int
    id: str
    token: str
    item: Item
    duty: Duty
    version: int
    who: str
    when: float
    seconds: float
    content: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """What a machine would answer."""

    source: str
    score: float
    content: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a queue is, in readings."""

    waiting: int
    leased: int
    answered: int


Tell = Callable[[Answer, str | None], Sequence[Decision]]
"""What the ledger is to be told of an answer, given also the id of the version before it, if there is one."""

Differ = Callable[[Item, Sequence[Any]], bool]
"""Whether the readers' answers to an item call for a third reader."""


class Queues:
    """All queues of one studio."""

    def __init__(self, studio: Studio, *, clock: Callable[[], float] = time.time) -> None:
        self.studio = studio
        self._clock = clock

    # --- filling ----------------------------------------------------------------------------------------------

    def add(self, items: Iterable[tuple[Item, float]], *, readers: int = 1) -> int:
        """Adds items with their turn, each for so many independent readers; those known already are left as they are.
        The number added."""
        added = 0
        for batch in _batches(items, ROWS_AT_ONCE):
            with self.studio.writing() as connection:
                added += self._add(connection, batch, readers)
        return added

    def _add(self, connection: Connection, batch: Sequence[tuple[Item, float]], readers: int) -> int:
        known = set(_in_parts(connection, select(ITEMS.c.id), ITEMS.c.id, [item.id for item, _ in batch]))
        fresh = {item.id: (item, turn) for item, turn in batch if item.id not in known}
        if not fresh:
            return 0
        connection.execute(ITEMS.insert(), [_item_row(item) for item, _ in fresh.values()])
        numbers = _in_parts(connection, select(ITEMS.c.id, ITEMS.c.number), ITEMS.c.id, list(fresh), whole=True)
        slots = []
        for name, number in numbers:
            item, turn = fresh[name]
            for place in range(1 if item.copy_of else readers):
                slots.append(_slot_row(item.queue, number, place, turn, State.HIDDEN if item.copy_of else State.OPEN))
        connection.execute(SLOTS.insert(), slots)
        return len(fresh)

    def reorder(self, turns: Iterable[tuple[str, float]]) -> None:
        """Gives items another turn, by id, where nobody has answered them yet."""
        for batch in _batches(turns, ROWS_AT_ONCE):
            with self.studio.writing() as connection:
                for name, turn in batch:
                    number = select(ITEMS.c.number).where(ITEMS.c.id == name).scalar_subquery()
                    waits = and_(SLOTS.c.item == number, SLOTS.c.state == State.OPEN)
                    connection.execute(update(SLOTS).where(waits).values(turn=turn))

    def suggest(self, item: str, suggestions: Iterable[Suggestion]) -> None:
        """Keeps what machines would answer to an item, in place of what they said before."""
        with self.studio.writing() as connection:
            number = connection.execute(select(ITEMS.c.number).where(ITEMS.c.id == item)).scalar_one()
            connection.execute(delete(SUGGESTIONS).where(SUGGESTIONS.c.item == number))
            for one in suggestions:
                values = {"source": one.source, "score": one.score, "content": _json(one.content)}
                connection.execute(SUGGESTIONS.insert().values(item=number, **values))

    def suggestions(self, item: str) -> list[Suggestion]:
        """What machines would answer, the surest first."""
        query = (
            select(SUGGESTIONS.c.source, SUGGESTIONS.c.score, SUGGESTIONS.c.content)
            .join(ITEMS, ITEMS.c.number == SUGGESTIONS.c.item)
            .where(ITEMS.c.id == item)
            .order_by(SUGGESTIONS.c.score.desc(), SUGGESTIONS.c.number)
        )
        with self.studio.reading() as connection:
            rows = connection.execute(query).all()
        return [Suggestion(source=row.source, score=row.score, content=json.loads(row.content)) for row in rows]

    def bring(self, item: str, who: str, content: Any) -> bool:
        """Keeps an answer that a person gave elsewhere; False where they have answered the item here already."""
        with self.studio.writing() as connection:
            number = connection.execute(select(ITEMS.c.number).where(ITEMS.c.id == item)).scalar_one()
            of_item = select(SLOTS).where(SLOTS.c.item == number).order_by(SLOTS.c.place)
            slots = connection.execute(of_item).all()
            if any(slot.who == who and slot.version for slot in slots):
                return False
            mine = [slot for slot in slots if slot.who == who]
            free = mine or [slot for slot in slots if slot.state == State.OPEN and slot.duty == Duty.READ]
            if free:
                slot, token = free[0], free[0].token if mine else self._take(connection, free[0], who)
            else:
                slot, token = self._further(connection, slots[0], who, since=self._clock())
            if token is None:
                raise _taken()
        self.answer(token, who, content, saw=slot.version)
        return True

    # --- leases -----------------------------------------------------------------------------------------------

    def next(self, queue: str, who: str, *, duty: Duty = Duty.READ) -> Lease | None:
        """The item that this person holds, or the next one that nobody holds; None where nothing is left for them.

        Never an item that they have read, in whatever duty, nor one that they passed.
        """
        for _ in range(TRIES):
            try:
                with self.studio.writing() as connection:
                    self._end_leases(connection)
                    held = self._held(connection, queue, who, duty)
                    if held is not None:
                        return self._renewed(connection, held)
                    slot = self._find(connection, queue, who, duty)
                    if slot is None:
                        return None
                    token = self._take(connection, slot, who)
                    if token is not None:
                        return self._lease(connection, token, who)
            except IntegrityError:
                continue  # the same person took another slot of this item in another window at the same moment
        raise StoreError("Others were faster several times.", fix="Ask for the next item again.")

    def renew(self, token: str, who: str) -> Lease:
        """Holds the item longer; StaleAnswer where somebody else has it now."""
        with self.studio.writing() as connection:
            slot = self._of(connection, token, who)
            if slot.who != who and not self._take_back(connection, slot, token, who):
                raise _taken()
            connection.execute(self._while_leased(slot).values(until=self._ends()))
            return self._lease(connection, token, who)

    def give_back(self, token: str, who: str, *, passed: bool = False) -> None:
        """Lets others have the item; ``passed``: this person is not asked again."""
        with self.studio.writing() as connection:
            slot = self._of(connection, token, who)
            if passed and slot.state != State.ANSWERED:
                row = {"item": slot.item, "who": who, "when": self._clock()}
                there = select(PASSED.c.item).where(PASSED.c.item == slot.item, PASSED.c.who == who)
                if connection.execute(there).first() is None:
                    connection.execute(PASSED.insert().values(**row))
            if slot.who == who:
                connection.execute(self._while_leased(slot).values(**(_FREED if slot.due is None else _RESERVED)))

    def lease(self, token: str, who: str) -> Lease:
        """What a token stands for; refused where it is not this person's."""
        with self.studio.reading() as connection:
            return self._lease(connection, token, who)

    def _end_leases(self, connection: Connection) -> None:
        over = select(SLOTS.c.number).where(SLOTS.c.state == State.LEASED, SLOTS.c.until < self._clock())
        numbers = connection.execute(over.with_for_update(skip_locked=True)).scalars().all()
        if numbers:
            ended = update(SLOTS).where(SLOTS.c.number.in_(numbers))
            connection.execute(ended.where(SLOTS.c.due.is_(None)).values(**_FREED))
            connection.execute(ended.where(SLOTS.c.due.is_not(None)).values(**_RESERVED))

    def _held(self, connection: Connection, queue: str, who: str, duty: Duty) -> Row | None:
        mine = and_(SLOTS.c.queue == queue, SLOTS.c.who == who, SLOTS.c.state == State.LEASED, SLOTS.c.duty == duty)
        query = select(SLOTS).where(mine).order_by(SLOTS.c.number).limit(1)
        return connection.execute(query).first()

    def _renewed(self, connection: Connection, slot: Row) -> Lease:
        connection.execute(self._while_leased(slot).values(until=self._ends()))
        return self._lease(connection, slot.token, slot.who)

    def _find(self, connection: Connection, queue: str, who: str, duty: Duty) -> Row | None:
        """The slot that comes next for a person.

        Items that somebody else has read come first, so that pairs are finished; only the first few are looked through,
        because the rest may all be this person's own. Then fresh ones; then every half-read one.
        """
        open_here = and_(SLOTS.c.queue == queue, SLOTS.c.duty == duty, SLOTS.c.state == State.OPEN)
        waiting = select(SLOTS).where(open_here).order_by(SLOTS.c.turn, SLOTS.c.number)
        begun, fresh = waiting.where(SLOTS.c.begun.is_(True)), waiting.where(SLOTS.c.begun.is_(False))
        few = begun.with_only_columns(SLOTS.c.number).limit(LOOKED_AHEAD).subquery()
        reserved = select(SLOTS).where(*_reserved(queue, who)).order_by(SLOTS.c.due)
        unread = _unread(SLOTS.c.item, who)
        ways: list[Select[Any]] = [
            waiting.where(SLOTS.c.number.in_(select(few.c.number)), unread),
            fresh.where(unread),
            begun.where(unread),
        ]
        if duty is Duty.READ:  # hidden duplicates whose time has come; the others where nothing else is left
            ways = [reserved.where(SLOTS.c.due <= self._answered_if_reserved(connection, queue, who)), *ways, reserved]
        for way in ways:
            # Elsewhere than on SQLite others are at work too: what they are just taking is not waited for.
            found = connection.execute(way.limit(1).with_for_update(skip_locked=True, of=SLOTS)).first()
            if found is not None:
                return found
        return None

    def _answered_if_reserved(self, connection: Connection, queue: str, who: str) -> int:
        """The number of a person's answers; not counted where no hidden duplicate waits for them."""
        waits = connection.execute(select(SLOTS.c.number).where(*_reserved(queue, who)).limit(1)).first()
        return 0 if waits is None else self._answered(connection, queue, who)

    def _answered(self, connection: Connection, queue: str, who: str) -> int:
        mine = (SLOTS.c.queue == queue, SLOTS.c.who == who, SLOTS.c.state == State.ANSWERED)
        return connection.execute(select(func.count()).select_from(SLOTS).where(*mine)).scalar_one()

    def _take(self, connection: Connection, slot: Row, who: str) -> str | None:
        """The token of the lease; None where somebody else was faster."""
        token = secrets.token_hex(16)
        here = update(SLOTS).where(SLOTS.c.number == slot.number, SLOTS.c.state == slot.state)
        taken = connection.execute(here.values(state=State.LEASED, who=who, token=token, until=self._ends()))
        if taken.rowcount != 1:
            return None
        connection.execute(LEASES.insert().values(token=token, slot=slot.number, who=who, since=self._clock()))
        return token

    def _take_back(self, connection: Connection, slot: Row, token: str, who: str) -> bool:
        """Whether a slot whose lease had ended is this person's again."""
        if connection.execute(select(SLOTS.c.number).where(SLOTS.c.item == slot.item, SLOTS.c.who == who)).first():
            return False
        here = update(SLOTS).where(SLOTS.c.number == slot.number, SLOTS.c.state == State.OPEN)
        mine = here.values(state=State.LEASED, who=who, token=token, until=self._ends())
        return connection.execute(mine).rowcount == 1

    def _while_leased(self, slot: Row) -> Any:
        return update(SLOTS).where(SLOTS.c.number == slot.number, SLOTS.c.state == State.LEASED)

    def _ends(self) -> float:
        return self._clock() + LEASE_SECONDS

    def _of(self, connection: Connection, token: str, who: str) -> Row:
        """The slot of a token, with the time when it was given. Whoever writes about an item holds the item first, so
        that its readers wait for each other in one order."""
        of_token = (LEASES.c.token == token, LEASES.c.who == who)
        item = select(ITEMS.c.number).join(SLOTS, SLOTS.c.item == ITEMS.c.number).join(LEASES).where(*of_token)
        connection.execute(item.with_for_update(of=ITEMS))
        query = select(SLOTS, LEASES.c.since).join(LEASES, LEASES.c.slot == SLOTS.c.number).where(*of_token)
        slot = connection.execute(query).first()
        if slot is None:  # the same words whether it is another person's or nobody's
            raise ProjectError("There is no such item for you.", fix="Ask for the next item.")
        if slot.state == State.CLOSED:
            raise ProjectError("This item is not asked about any more.", fix="Ask for the next item.")
        return slot

    def _lease(self, connection: Connection, token: str, who: str) -> Lease:
        query = (
            select(SLOTS.c.duty, SLOTS.c.until, SLOTS.c.version, SLOTS.c.who, ANSWERS.c.content, *_ITEM)
            .join(LEASES, LEASES.c.slot == SLOTS.c.number)
            .join(ITEMS, ITEMS.c.number == SLOTS.c.item)
            .outerjoin(ANSWERS, and_(ANSWERS.c.slot == SLOTS.c.number, ANSWERS.c.version == SLOTS.c.version))
            .where(LEASES.c.token == token, LEASES.c.who == who)
        )
        row = connection.execute(query).first()
        if row is None:
            raise ProjectError("There is no such item for you.", fix="Ask for the next item.")
        mine = row.who == who
        return Lease(
            token=token,
            item=_item(row),
            duty=Duty(row.duty),
            until=(row.until or 0.0) if mine else 0.0,
            version=row.version if mine else 0,
            content=json.loads(row.content) if mine and row.content else None,
        )

    # --- answers ----------------------------------------------------------------------------------------------

    def answer(
        self,
        token: str,
        who: str,
        content: Any,
        *,
        saw: int,
        seconds: float = 0.0,
        tell: Tell | None = None,
        differ: Differ | None = None,
        within: Callable[[Connection, Answer], None] | None = None,
    ) -> Answer:
        """Keeps an answer, or another version of it; ``saw`` is the version that the person was looking at.

        ``tell`` says what the ledger is to be told of it, and is asked once. ``differ`` decides on a third reader once
        all others have answered. ``within`` writes into the same transaction, an audit entry for instance.
        """
        written = _json(content)
        if len(written) > LONGEST_ANSWER:
            raise ProjectError(
                f"The answer is {len(written)} characters long; {LONGEST_ANSWER} are kept.", fix="Shorten it."
            )
        for _ in range(TRIES):
            try:
                with self.studio.writing() as connection:
                    slot = self._of(connection, token, who)
                    again = self._sent_again(connection, slot, who, written, saw)
                    if again is not None:
                        return again
                    slot, saw = self._own_slot(connection, slot, token, who, saw)
                    return self._write(
                        connection, slot, who, written, saw=saw, seconds=seconds, tell=tell, differ=differ,
                        within=within,
                    )  # fmt: skip
            except IntegrityError:
                continue  # the same answer, sent twice at the same moment
        raise _changed()

    def undo(
        self,
        token: str,
        who: str,
        *,
        saw: int,
        tell: Tell | None = None,
        differ: Differ | None = None,
        within: Callable[[Connection, Answer], None] | None = None,
    ) -> Answer:
        """The answer before the one that the person saw, as a new version; before the first one, none."""
        with self.studio.writing() as connection:
            slot = self._of(connection, token, who)
            if slot.who != who or not slot.version:
                raise ProjectError("There is no answer of yours to take back.", fix="Answer the item first.")
            last = self._version(connection, slot.number, saw)
            restores = (saw if last.restores is None else last.restores) - 1
            if restores < 0:
                raise ProjectError("The answer is taken back already.", fix="Answer the item.")
            content = self._version(connection, slot.number, restores).content if restores else _json(None)
            return self._write(
                connection, slot, who, content, saw=saw, seconds=0.0, tell=tell, differ=differ, within=within,
                restores=restores,
            )  # fmt: skip

    def history(self, token: str, who: str) -> list[Answer]:
        """All versions of a person's answer, oldest first."""
        with self.studio.reading() as connection:
            query = _answers().where(
                ANSWERS.c.slot == select(LEASES.c.slot).where(LEASES.c.token == token).scalar_subquery(),
                ANSWERS.c.who == who,
            )
            rows = connection.execute(query.order_by(ANSWERS.c.version)).all()
        return [_answer(row) for row in rows]

    def answers(self, queue: str, *, duty: Duty | None = None) -> Iterator[Answer]:
        """The answers that hold now, in the order in which they were first looked at; those taken back left out."""
        query = _answers(current=True).where(SLOTS.c.queue == queue, SLOTS.c.state == State.ANSWERED)
        if duty is not None:
            query = query.where(SLOTS.c.duty == duty)
        with self.studio.reading() as connection:
            for row in connection.execute(query.order_by(SLOTS.c.number)):
                yield _answer(row)

    def of_item(self, item: str, *, duty: Duty = Duty.READ) -> list[Answer]:
        """What holds now of one item, by place: the first reader's first."""
        query = _answers(current=True).where(ITEMS.c.id == item, SLOTS.c.state == State.ANSWERED, SLOTS.c.duty == duty)
        with self.studio.reading() as connection:
            return [_answer(row) for row in connection.execute(query.order_by(SLOTS.c.place))]

    def mine(self, queue: str, who: str, *, most: int = 20) -> list[Answer]:
        """A person's last answers, the newest first: what they may still change."""
        # By the answers' own index: of thousands, the last few.
        last = _answers(current=True).where(ANSWERS.c.who == who).order_by(ANSWERS.c.number.desc())
        query = last.where(SLOTS.c.queue == queue, SLOTS.c.who == ANSWERS.c.who, SLOTS.c.state == State.ANSWERED)
        with self.studio.reading() as connection:
            rows = connection.execute(query.limit(most)).all()
        return [_answer(row) for row in rows]

    def items(self, queue: str) -> Iterator[Item]:
        """All items of a queue."""
        with self.studio.reading() as connection:
            for row in connection.execute(select(*_ITEM).where(ITEMS.c.queue == queue).order_by(ITEMS.c.number)):
                yield _item(row)

    def progress(self, queue: str, *, duty: Duty = Duty.READ) -> Progress:
        """How far a queue is; hidden duplicates are not counted until somebody has them."""
        query = (
            select(SLOTS.c.state, func.count())
            .where(SLOTS.c.queue == queue, SLOTS.c.duty == duty)
            .group_by(SLOTS.c.state)
        )
        with self.studio.reading() as connection:
            counts = {state: count for state, count in connection.execute(query)}
        return Progress(
            waiting=counts.get(State.OPEN, 0),
            leased=counts.get(State.LEASED, 0),
            answered=counts.get(State.ANSWERED, 0),
        )

    def _sent_again(self, connection: Connection, slot: Row, who: str, written: str, saw: int) -> Answer | None:
        """The answer that this very call has kept before, where its reply was lost."""
        query = _answers().where(
            ANSWERS.c.who == who, ANSWERS.c.version == saw + 1, ANSWERS.c.slot == slot.number,
            ANSWERS.c.content == written, ANSWERS.c.restores.is_(None),
        )  # fmt: skip
        row = connection.execute(query).first() if slot.version > saw else None
        return None if row is None else _answer(row)

    def _own_slot(self, connection: Connection, slot: Row, token: str, who: str, saw: int) -> tuple[Row, int]:
        """The person's slot of this item, and the version to follow: the slot of the token, or, where somebody else has
        that by now, a further one with a token of its own."""
        if slot.who == who or self._take_back(connection, slot, token, who):
            return slot, saw
        mine = select(SLOTS).where(SLOTS.c.item == slot.item, SLOTS.c.who == who)
        if connection.execute(mine).first() is not None or slot.duty == Duty.ADJUDICATE or slot.due is not None:
            raise _taken()
        further, _ = self._further(connection, slot, who, since=slot.since)
        return further, 0

    def _further(self, connection: Connection, slot: Row, who: str, *, since: float) -> tuple[Row, str]:
        """One more slot of the same item for one person, and its token."""
        token = secrets.token_hex(16)
        place = select(func.max(SLOTS.c.place) + 1).where(SLOTS.c.item == slot.item)
        row = _slot_row(slot.queue, slot.item, connection.execute(place).scalar_one(), slot.turn, State.LEASED)
        connection.execute(SLOTS.insert().values(**row | {"who": who, "token": token, "until": self._ends()}))
        number = select(SLOTS.c.number).where(SLOTS.c.item == slot.item, SLOTS.c.who == who)
        lease = {"token": token, "slot": connection.execute(number).scalar_one(), "who": who, "since": since}
        connection.execute(LEASES.insert().values(**lease))
        return self._of(connection, token, who), token

    def _write(
        self,
        connection: Connection,
        slot: Row,
        who: str,
        written: str,
        *,
        saw: int,
        seconds: float,
        tell: Tell | None,
        differ: Differ | None,
        within: Callable[[Connection, Answer], None] | None,
        restores: int | None = None,
    ) -> Answer:
        now, taken_back = self._clock(), written == _json(None)
        state = {"state": State.LEASED, "until": self._ends()} if taken_back else {"state": State.ANSWERED}
        here = update(SLOTS).where(SLOTS.c.number == slot.number, SLOTS.c.version == saw, SLOTS.c.who == who)
        if connection.execute(here.values(version=saw + 1, **state)).rowcount != 1:
            raise _changed()
        connection.execute(
            ANSWERS.insert().values(
                id=secrets.token_hex(16),
                slot=slot.number, version=saw + 1, restores=restores, who=who, when=now, content=written,
                seconds=max(0.0, min(seconds, now - slot.since)),
            )
        )  # fmt: skip
        kept = _answers().where(ANSWERS.c.slot == slot.number, ANSWERS.c.version == saw + 1)
        answer = _answer(connection.execute(kept).one())
        if tell is not None:
            earlier = select(ANSWERS.c.id).where(ANSWERS.c.slot == slot.number, ANSWERS.c.version == saw)
            decisions = tell(answer, connection.execute(earlier).scalar())
            written = _DECISIONS.dump_json(list(decisions)).decode()
            connection.execute(OUTBOX.insert().values(answer=answer.number, decisions=written))
        if slot.duty == Duty.READ:
            self._follow_up(connection, slot, answer, first=saw == 0)
            if differ is not None:
                self._settle(connection, slot, answer.item, differ)
        if within is not None:
            within(connection, answer)
        return answer

    def _follow_up(self, connection: Connection, slot: Row, answer: Answer, *, first: bool) -> None:
        """What an answer changes for other slots: the item is begun, and its hidden duplicates wait for its reader."""
        if not first:
            return
        others = update(SLOTS).where(SLOTS.c.item == slot.item, SLOTS.c.number != slot.number)
        connection.execute(others.values(begun=True))
        copies = select(ITEMS.c.number).where(ITEMS.c.copy_of == answer.item.id)
        hidden = connection.execute(
            select(SLOTS.c.number).where(SLOTS.c.item.in_(copies), SLOTS.c.state == State.HIDDEN)
        ).scalars()
        for number in hidden.all():
            due = self._answered(connection, slot.queue, answer.who) + COPY_AFTER
            waits = update(SLOTS).where(SLOTS.c.number == number, SLOTS.c.state == State.HIDDEN)
            connection.execute(waits.values(state=State.RESERVED, who=answer.who, due=due))

    def _settle(self, connection: Connection, slot: Row, item: Item, differ: Differ) -> None:
        """Opens the third reader's slot where the readers differ, and closes it where they do not any more."""
        query = (
            select(SLOTS.c.state, ANSWERS.c.content)
            .outerjoin(ANSWERS, and_(ANSWERS.c.slot == SLOTS.c.number, ANSWERS.c.version == SLOTS.c.version))
            .where(SLOTS.c.item == slot.item, SLOTS.c.duty == Duty.READ)
            .order_by(SLOTS.c.place)
        )
        rows = connection.execute(query).all()
        complete = all(row.state == State.ANSWERED for row in rows) and len(rows) > 1
        wanted = complete and differ(item, [json.loads(row.content) for row in rows])
        third = and_(SLOTS.c.item == slot.item, SLOTS.c.place == ADJUDICATOR)
        there = connection.execute(select(SLOTS.c.state).where(third)).scalar()
        if wanted and there is None:
            row = _slot_row(slot.queue, slot.item, ADJUDICATOR, slot.turn, State.OPEN) | {"duty": Duty.ADJUDICATE}
            connection.execute(SLOTS.insert().values(**row))
        elif there == (State.CLOSED if wanted else State.OPEN):
            state = State.OPEN if wanted else State.CLOSED
            connection.execute(update(SLOTS).where(third, SLOTS.c.state == there).values(state=state))

    def _version(self, connection: Connection, slot: int, version: int) -> Row:
        row = connection.execute(
            select(ANSWERS.c.content, ANSWERS.c.restores).where(ANSWERS.c.slot == slot, ANSWERS.c.version == version)
        ).first()
        if row is None:
            raise _changed()
        return row

    # --- what others must know --------------------------------------------------------------------------------

    def untold(self, *, most: int = 1_000) -> list[tuple[int, list[Decision]]]:
        """What the ledger was to be told and was not, oldest first: the number of an answer, and its decisions."""
        query = select(OUTBOX.c.answer, OUTBOX.c.decisions).order_by(OUTBOX.c.answer).limit(most)
        with self.studio.reading() as connection:
            return [(row.answer, _DECISIONS.validate_json(row.decisions)) for row in connection.execute(query)]

    def hand_on(self, ledger: Ledger) -> int:
        """Tells the ledger what it does not know yet; the number of decisions. A killed process leaves some behind, and
        the next call tells them; the ledger keeps once what it is told twice."""
        told = 0
        for number, decisions in self.untold():
            for decision in decisions:
                ledger.decide(decision)
            self.told([number])
            told += len(decisions)
        return told

    def told(self, numbers: Iterable[int]) -> None:
        """The ledger knows these answers now."""
        with self.studio.writing() as connection:
            for number in numbers:
                connection.execute(delete(OUTBOX).where(OUTBOX.c.answer == number))

    def forget(self, patient: str) -> int:
        """Empties every answer and suggestion about a patient, and asks nobody about them again; the items removed
        from the queues. That somebody answered, and when, stays."""
        about = select(ITEMS.c.number).where(ITEMS.c.patient == patient)
        slots = select(SLOTS.c.number).where(SLOTS.c.item.in_(about))
        with self.studio.writing() as connection:
            count = connection.execute(select(func.count()).select_from(about.subquery())).scalar_one()
            connection.execute(delete(SUGGESTIONS).where(SUGGESTIONS.c.item.in_(about)))
            answers = select(ANSWERS.c.number).where(ANSWERS.c.slot.in_(slots))
            connection.execute(delete(OUTBOX).where(OUTBOX.c.answer.in_(answers)))
            connection.execute(update(ANSWERS).where(ANSWERS.c.slot.in_(slots)).values(content=_json(None)))
            connection.execute(update(SLOTS).where(SLOTS.c.item.in_(about)).values(state=State.CLOSED))
            connection.execute(update(ITEMS).where(ITEMS.c.patient == patient).values(facts=_json({})))
        return count


_ITEM = tuple(ITEMS.c[name] for name in Item.__dataclass_fields__)


def _answers(*, current: bool = False) -> Select[Any]:
    """Answers with their item and the token of their slot; ``current``: only the last version of each slot."""
    query = (
        select(
            ANSWERS.c.number.label("answer"), ANSWERS.c.id.label("answer_id"), ANSWERS.c.version, ANSWERS.c.who,
            ANSWERS.c.when, ANSWERS.c.seconds,
            ANSWERS.c.content, SLOTS.c.duty, SLOTS.c.token, *_ITEM,
        )
        .join(SLOTS, SLOTS.c.number == ANSWERS.c.slot)
        .join(ITEMS, ITEMS.c.number == SLOTS.c.item)
    )  # fmt: skip
    return query.where(ANSWERS.c.version == SLOTS.c.version) if current else query


def _answer(row: Row) -> Answer:
    return Answer(
        number=row.answer,
        id=row.answer_id,
        token=row.token,
        item=_item(row),
        duty=Duty(row.duty),
        version=row.version,
        who=row.who,
        when=row.when,
        seconds=row.seconds,
        content=json.loads(row.content),
    )


def _item(row: Row) -> Item:
    return Item(
        id=row.id, queue=row.queue, kind=row.kind, subject=row.subject, patient=row.patient,
        facts=json.loads(row.facts), copy_of=row.copy_of,
    )  # fmt: skip


def _item_row(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Item.__dataclass_fields__} | {"facts": _json(item.facts)}


def _slot_row(queue: str, item: int, place: int, turn: float, state: State) -> dict[str, Any]:
    return {
        "item": item, "place": place, "queue": queue, "duty": Duty.READ, "state": state, "begun": False,
        "turn": turn, "version": 0,
    }  # fmt: skip


def _reserved(queue: str, who: str) -> tuple[Any, ...]:
    return SLOTS.c.queue == queue, SLOTS.c.who == who, SLOTS.c.state == State.RESERVED


def _unread(item: Any, who: str) -> Any:
    """The person has neither read, nor holds, nor passed the item."""
    other = SLOTS.alias()
    read = exists(select(other.c.number).where(other.c.item == item, other.c.who == who))
    passed = exists(select(PASSED.c.item).where(PASSED.c.item == item, PASSED.c.who == who))
    return ~or_(read, passed)


def _in_parts(
    connection: Connection, query: Select[Any], column: Any, values: Sequence[str], *, whole: bool = False
) -> list[Any]:
    """The rows whose column has one of many values, asked for a few hundred at a time."""
    found: list[Any] = []
    for part in _batches(values, 500):
        rows = connection.execute(query.where(column.in_(part)))
        found += rows.all() if whole else rows.scalars().all()
    return found


def _batches(things: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for thing in things:
        batch.append(thing)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _changed() -> StaleAnswer:
    return StaleAnswer("The answer was changed meanwhile, perhaps in another window.", fix="Look at it again.")


def _taken() -> StaleAnswer:
    return StaleAnswer("The time for this item ran out, and somebody else has it now.", fix="Ask for the next item.")
