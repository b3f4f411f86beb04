"""The studio's database: who may do what, what they did, what waits for whom.

In: the file .residency/studio.sqlite of a project, or the URL of another database. Out: connections and transactions.

Covers: every table of the review studio, in one place; migrations; the anchor of the audit log, moved after every
transaction that wrote into it. Does not cover: what the tables mean (people.py, sessions.py, attempts.py,
approvals.py, break_glass.py, audit.py, queues.py); text: no table holds any of a document, an answer may hold what a
person wrote.

SQLAlchemy Core and no SQL of one database only. Points in time are seconds since 1970, UTC; a duration is seconds.
A person is named by the name that they sign in with, which is never given to another person.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
)

from residency.store.anchor import Anchor, Head
from residency.store.database import Database, Migration

NAME = 64  # characters of the name that a person signs in with
SHOWN = 128  # characters of the name that others read
HASH = 64  # hexadecimal digits of a SHA-256
ID = 64  # characters of a record's id
QUEUE = 80  # characters of the name of a queue

TABLES = MetaData()

# --- people -----------------------------------------------------------------------------------------------------

PEOPLE = Table(
    "people",
    TABLES,
    Column("name", String(NAME), primary_key=True),
    Column("shown", String(SHOWN), nullable=False),  # as others read it
    Column("password", String(256)),  # argon2id, encoded; null: signs in through the company's proxy only
    Column("made", Double, nullable=False),
    Column("disabled", Double),  # since when; null: may sign in
)

ROLES = Table(
    "roles",
    TABLES,
    Column("person", String(NAME), ForeignKey(PEOPLE.c.name), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("given_by", String(NAME), nullable=False),
    Column("given", Double, nullable=False),
)

SESSIONS = Table(
    "sessions",
    TABLES,
    Column("token_hash", String(HASH), primary_key=True),  # SHA-256 of the cookie; the cookie itself is not kept
    Column("person", String(NAME), ForeignKey(PEOPLE.c.name), nullable=False, index=True),
    Column("made", Double, nullable=False),
    Column("seen", Double, nullable=False),
)

ATTEMPTS = Table(  # to sign in, that failed
    "attempts",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("account_hash", String(HASH), nullable=False),  # of the name that was typed, which may be a password
    Column("address", String(64), nullable=False),
    Column("when", Double, nullable=False),
    Index("attempts_of_account", "account_hash", "when"),
    Index("attempts_from_address", "address", "when"),
)

APPROVALS = Table(
    "approvals",
    TABLES,
    Column("id", String(32), primary_key=True),
    Column("deed", String(32), nullable=False),
    Column("subject", String(128), nullable=False, index=True),  # of what: a hash or an id
    Column("reason", Text, nullable=False),
    Column("asked_by", String(NAME), ForeignKey(PEOPLE.c.name), nullable=False),
    Column("asked", Double, nullable=False),
    Column("decided_by", String(NAME), ForeignKey(PEOPLE.c.name)),
    Column("decided", Double),
    Column("approved", Boolean),
    Column("used", Double),  # an approval serves once
)

BREAK_GLASS = Table(
    "break_glass",
    TABLES,
    Column("id", String(32), primary_key=True),
    Column("person", String(NAME), ForeignKey(PEOPLE.c.name), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("began", Double, nullable=False),
    Column("ends", Double, nullable=False),  # moved forward in time by nobody, backward by whoever ends it
    Column("seen_by", String(NAME), ForeignKey(PEOPLE.c.name)),  # who has taken note of the alert
    Column("seen", Double),
)

# --- audit ------------------------------------------------------------------------------------------------------

AUDIT = Table(
    "audit",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without a gap
    Column("when", String(32), nullable=False),  # ISO 8601, UTC: hashed as it stands
    Column("who", String(NAME), nullable=False),
    Column("what", String(32), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("facts", Text, nullable=False),  # JSON: ids, counts and names, never text of a document
    Column("previous", String(HASH), nullable=False),
    Column("hash", String(HASH), nullable=False),
)

AUDIT_HEAD = Table(  # one row: locked by whoever appends, so that two never follow the same entry
    "audit_head",
    TABLES,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("hash", String(HASH), nullable=False),
)

NO_ENTRY = Head(0, "0" * HASH)  # what the first entry follows


# --- work -------------------------------------------------------------------------------------------------------

ITEMS = Table(
    "items",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(ID), nullable=False, unique=True),
    Column("queue", String(QUEUE), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(ID), nullable=False),  # id of the document or prediction
    Column("patient", String(16), nullable=False, index=True),  # pseudonym
    Column("facts", Text, nullable=False),  # JSON: ids, numbers, offsets and classes; never text
    Column("copy_of", String(ID), index=True),  # a hidden duplicate: id of the item that it repeats
    Index("items_of_queue", "queue"),
)

SLOTS = Table(  # one reading of an item by one person
    "slots",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("item", Integer, ForeignKey(ITEMS.c.number), nullable=False),
    Column("place", Integer, nullable=False),
    Column("queue", String(QUEUE), nullable=False),  # as the item's, for the index
    Column("duty", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("begun", Boolean, nullable=False),  # somebody else has answered the item: it is finished first
    Column("turn", Double, nullable=False),  # lowest first
    Column("who", String(NAME)),  # holds it, has answered it, or is the only one who may
    Column("due", Integer),  # of a hidden duplicate: after so many answers of that person
    Column("token", String(32)),  # of the last lease
    Column("until", Double),  # the end of the lease
    Column("version", Integer, nullable=False),  # of the last answer; 0 without one
    UniqueConstraint("item", "place"),
    UniqueConstraint("item", "who"),  # nobody reads an item twice, whatever the code does
    Index("slots_next", "queue", "duty", "state", "begun", "turn"),
    Index("slots_of_person", "queue", "who", "state"),
    Index("slots_leased", "state", "until"),
)

LEASES = Table(  # who was given what, and when
    "leases",
    TABLES,
    Column("token", String(32), primary_key=True),
    Column("slot", Integer, ForeignKey(SLOTS.c.number), nullable=False, index=True),
    Column("who", String(NAME), nullable=False),
    Column("since", Double, nullable=False),
)

PASSED = Table(  # items that a person did not want to answer
    "passed",
    TABLES,
    Column("item", Integer, ForeignKey(ITEMS.c.number), primary_key=True),
    Column("who", String(NAME), primary_key=True),
    Column("when", Double, nullable=False),
)

ANSWERS = Table(  # appended; the last version of a slot holds
    "answers",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("slot", Integer, ForeignKey(SLOTS.c.number), nullable=False),
    Column("version", Integer, nullable=False),
    Column("restores", Integer),  # of an undo: the version whose content this one repeats, 0 for none
    Column("who", String(NAME), nullable=False),
    Column("when", Double, nullable=False),
    Column("seconds", Double, nullable=False),  # that the person took
    Column("content", Text, nullable=False),  # JSON; null where the answer was taken back
    UniqueConstraint("slot", "version"),
    Index("answers_of_person", "who", "number"),
)

OUTBOX = Table(  # decisions that the ledger does not have yet
    "outbox",
    TABLES,
    Column("answer", Integer, ForeignKey(ANSWERS.c.number), primary_key=True),
    Column("decisions", Text, nullable=False),  # JSON
)

SUGGESTIONS = Table(  # what machines would say; apart from the items, so that a blind reader never gets it
    "suggestions",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("item", Integer, ForeignKey(ITEMS.c.number), nullable=False, index=True),
    Column("source", String(64), nullable=False),
    Column("score", Double, nullable=False),
    Column("content", Text, nullable=False),  # JSON, as an answer's
)


def _people_and_audit(connection: Connection) -> None:
    tables = (PEOPLE, ROLES, SESSIONS, ATTEMPTS, APPROVALS, BREAK_GLASS, AUDIT, AUDIT_HEAD)
    TABLES.create_all(connection, tables=tables)
    connection.execute(AUDIT_HEAD.insert().values(one=1, number=NO_ENTRY.number, hash=NO_ENTRY.hash))


def _work(connection: Connection) -> None:
    TABLES.create_all(connection, tables=(ITEMS, SLOTS, LEASES, PASSED, ANSWERS, OUTBOX, SUGGESTIONS))


class Studio(Database):
    """The database of one project's studio."""

    name: ClassVar[str] = "studio"
    lost: ClassVar[str] = "Put back the last good copy; people, audit log and unfinished reviews are in it."
    migrations: ClassVar[tuple[Migration, ...]] = (_people_and_audit, _work)

    def __init__(self, url: str, anchor: Anchor | None = None) -> None:
        super().__init__(url)
        self.anchor = anchor

    @classmethod
    def beside(cls, path: Path, anchor: Anchor) -> Studio:
        """The studio in the SQLite file ``path``, whose audit log is anchored outside of the project's folder."""
        studio = cls.at(path)
        studio.anchor = anchor
        return studio

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction; the audit entries in it are anchored once they are on disk."""
        with super().writing() as connection:
            yield connection
            head = audit_head(connection)
            if self.anchor is not None:
                self.anchor.read()  # a damaged one is said before the deed is done, not after
        if self.anchor is not None:
            self.anchor.move(head)


def audit_head(connection: Connection) -> Head:
    """The last entry of the audit log."""
    number, digest = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash)).one()
    return Head(number, digest)
