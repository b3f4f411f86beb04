"""The studio's database: who may do what, what they did, what waits for whom.

In: the file .residency/studio.sqlite of a project, or the URL of another database. Out: connections and transactions.

Covers: every table of the review studio, in one place; migrations; the anchor of the audit log, moved after every
transaction that wrote into it. Does not cover: what the tables mean (people.py, doors.py, approvals.py, audit.py, and
the queues of work); text: no table holds any of a document.

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
    select,
)

from residency.store.anchor import Anchor, Head
from residency.store.database import Database, Migration

NAME = 64  # characters of the name that a person signs in with
HASH = 64  # hexadecimal digits of a SHA-256

TABLES = MetaData()

# --- people -----------------------------------------------------------------------------------------------------

PEOPLE = Table(
    "people",
    TABLES,
    Column("name", String(NAME), primary_key=True),
    Column("shown", String(128), nullable=False),  # as others read it
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
    Column("when", Double, nullable=False),
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


def _people_and_audit(connection: Connection) -> None:
    tables = (PEOPLE, ROLES, SESSIONS, ATTEMPTS, APPROVALS, BREAK_GLASS, AUDIT, AUDIT_HEAD)
    TABLES.create_all(connection, tables=tables)
    connection.execute(AUDIT_HEAD.insert().values(one=1, number=NO_ENTRY.number, hash=NO_ENTRY.hash))


class Studio(Database):
    """The database of one project's studio."""

    name: ClassVar[str] = "studio"
    lost: ClassVar[str] = "Put back the last good copy; people, audit log and unfinished reviews are in it."
    migrations: ClassVar[tuple[Migration, ...]] = (_people_and_audit,)

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
            self.anchor.move(head)


def audit_head(connection: Connection) -> Head:
    """The last entry of the audit log."""
    number, digest = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash)).one()
    return Head(number, digest)
