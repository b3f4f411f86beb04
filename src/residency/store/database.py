"""A database: opened, brought to its newest schema, read and written in whole transactions.

In: a URL, and the migrations of what is kept in it. Out: connections; what a block wrote, whole or not at all.

Covers: SQLite in WAL mode (a file that is made if absent), other databases that SQLAlchemy speaks; migrations, plain
functions that are applied in order, their number kept in the database; a full disk and a file that is no database as
clear errors. Does not cover: tables (ledger.py, studio.py); the vault, whose file is opened in its own way.

Nothing here is SQLite only but the connection pragmas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from sqlalchemy import Column, Connection, Integer, MetaData, Table, create_engine, event, inspect, select
from sqlalchemy.exc import DatabaseError, OperationalError

from residency.errors import StoreError
from residency.store.sqlite import begin_explicitly

Migration = Callable[[Connection], None]

VERSION = Table("schema_version", MetaData(), Column("number", Integer, primary_key=True))


class Database:
    """One database; a subclass says what is kept in it."""

    name: ClassVar[str]  # as a person reads it: "ledger"
    lost: ClassVar[str]  # what to do where the file is no database
    migrations: ClassVar[tuple[Migration, ...]]

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        begin_explicitly(self.engine)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _sqlite_pragmas)
        self._migrate()

    @classmethod
    def at(cls, path: Path) -> Self:
        """The database in the SQLite file ``path``, made if absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(f"sqlite:///{path}")
        except OperationalError as error:
            raise cls._not_writable(error) from None
        except DatabaseError as error:
            raise StoreError(
                f"{path}: not a {cls.name} that can be opened ({type(error.orig).__name__}).", fix=cls.lost
            ) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of the block, or nothing.

        On SQLite nobody else writes meanwhile. Elsewhere others may: what is read to be written again is read
        ``with_for_update()``, which SQLite does not need and SQLAlchemy leaves out for it.
        """
        try:
            with self.engine.execution_options(writes=True).begin() as connection:
                yield connection
        except OperationalError as error:
            raise self._not_writable(error) from None

    def _migrate(self) -> None:
        with self.engine.begin() as connection:
            if _applied(connection) == len(self.migrations):
                return
        with self.engine.execution_options(writes=True).begin() as connection:
            applied = _applied(connection)
            if applied > len(self.migrations):
                raise StoreError(
                    f"The {self.name} has schema {applied}; this version of residency knows up to "
                    f"{len(self.migrations)}.",
                    fix="Use the newer version of residency that wrote it.",
                )
            VERSION.create(connection, checkfirst=True)
            for migration in self.migrations[applied:]:
                migration(connection)
            connection.execute(VERSION.delete())
            connection.execute(VERSION.insert().values(number=len(self.migrations)))

    @classmethod
    def _not_writable(cls, error: OperationalError) -> StoreError:
        return StoreError(
            f"The {cls.name} cannot be written: {error.orig}.",
            fix="Free some space, check that the folder may be written, and run the same command again.",
        )


def _applied(connection: Connection) -> int:
    known = inspect(connection).has_table(VERSION.name)
    return connection.execute(select(VERSION.c.number)).scalar_one() if known else 0


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
