"""The ledger: which runs there were, with what, and what people decided.

In: facts about runs, decisions and forgotten patients. Out: the same, found again by their identity.

Covers: runs (settings, inputs, code version, seed, outputs, time, memory), decisions with the answers that they are
about, who was forgotten, migrations.
Does not cover: the records that runs produce; those are artifacts, named here by their hash.

SQLAlchemy Core over SQLite in WAL mode; nothing here is SQLite only but the connection pragmas.
Migrations are plain functions, applied in order; the number applied is kept in the database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError, OperationalError

from residency.errors import StoreError
from residency.records import Decision, Failure, Judged
from residency.store.sqlite import begin_explicitly

TABLES = MetaData()

VERSION = Table("schema_version", TABLES, Column("number", Integer, primary_key=True))

RUNS = Table(
    "runs",
    TABLES,
    Column("key", String(64), primary_key=True),  # identity: stage, settings, inputs, code, seed
    Column("stage", String(64), nullable=False, index=True),
    Column("state", String(16), nullable=False),  # running | done | failed
    Column("identity", Text, nullable=False),  # JSON: what the key is the hash of
    Column("outputs", Text, nullable=False),  # JSON: name -> artifact
    Column("facts", Text, nullable=False),  # JSON: small numbers that the report shows
    Column("started", String(32), nullable=False),  # ISO 8601, UTC
    Column("finished", String(32)),
    Column("seconds", Float),  # of work, over all attempts
    Column("peak_bytes", Integer),  # largest resident memory of the process during the run
    Column("error", Text),
)

DECISIONS = Table(
    "decisions",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("who", String(128), nullable=False),
    Column("when", String(32), nullable=False),
    Column("verdict", String(64), nullable=False),
    Column("why", Text, nullable=False),
    Column("failure", String(32)),
    Column("judged", Text),  # JSON: the answer that was judged, and the corrected one
)


FORGOTTEN = Table(
    "forgotten",
    TABLES,
    Column("pseudonym", String(12), primary_key=True),
    Column("when", String(32), nullable=False),
    Column("saw", Text, nullable=False),  # JSON: what was made with the patient's text
)


def _first_tables(connection: Connection) -> None:
    TABLES.create_all(connection, tables=(VERSION, RUNS, DECISIONS))


def _table_of_forgotten(connection: Connection) -> None:
    FORGOTTEN.create(connection)


def _answers_of_decisions(connection: Connection) -> None:
    known = {column["name"] for column in inspect(connection).get_columns(DECISIONS.name)}
    for name, kind in (("failure", "VARCHAR(32)"), ("judged", "TEXT")):
        if name not in known:  # a new ledger's table has them from the start
            connection.execute(text(f"ALTER TABLE {DECISIONS.name} ADD COLUMN {name} {kind}"))


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first_tables, _table_of_forgotten, _answers_of_decisions)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as the ledger knows it."""

    key: str
    stage: str
    state: str
    identity: dict[str, Any]
    started: str
    outputs: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    finished: str | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ForgottenRow:
    """That a patient was to be forgotten. It outlives the runs and an older copy of the vault."""

    pseudonym: str
    when: str  # first asked for; ISO 8601, UTC
    saw: dict[str, Any]


class Ledger:
    """The ledger of one workspace."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        begin_explicitly(self.engine)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _sqlite_pragmas)
        _migrate(self.engine)

    @classmethod
    def at(cls, path: Path) -> Ledger:
        """The ledger in the SQLite file ``path``, made if absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(f"sqlite:///{path}")
        except OperationalError as error:
            raise _not_writable(error) from None
        except DatabaseError as error:
            raise StoreError(
                f"{path}: not a ledger that can be opened ({type(error.orig).__name__}).",
                fix="Put back the last good copy, or move the file away: the next run begins anew.",
            ) from None

    def run(self, key: str) -> RunRow | None:
        with self.engine.connect() as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.key == key)).mappings().first()
        return None if row is None else _run(row)

    def runs(self, stage: str | None = None) -> list[RunRow]:
        """All runs, oldest first."""
        query = select(RUNS).order_by(RUNS.c.started)
        if stage is not None:
            query = query.where(RUNS.c.stage == stage)
        with self.engine.connect() as connection:
            return [_run(row) for row in connection.execute(query).mappings()]

    def save(self, run: RunRow) -> None:
        """Inserts the run, or replaces what was known of it."""
        values = {name: getattr(run, name) for name in RunRow.__dataclass_fields__}
        for name in ("identity", "outputs", "facts"):
            values[name] = json.dumps(values[name], sort_keys=True)
        with self._writing() as connection:
            connection.execute(RUNS.delete().where(RUNS.c.key == run.key))
            connection.execute(RUNS.insert().values(**values))

    def forget_runs(self, *, keep: Sequence[str] = ()) -> None:
        """Removes all runs but those of the stages ``keep``; decisions stay."""
        with self._writing() as connection:
            connection.execute(RUNS.delete().where(RUNS.c.stage.not_in(keep)))

    def used(self) -> bool:
        """Whether anything is known; a ledger that was just made knows nothing."""
        with self.engine.connect() as connection:
            first = (connection.execute(select(table).limit(1)).first() for table in (RUNS, DECISIONS, FORGOTTEN))
            return any(row is not None for row in first)

    def note_forgotten(self, row: ForgottenRow) -> None:
        """Inserts what is known of a forgotten patient, or replaces it."""
        with self._writing() as connection:
            connection.execute(FORGOTTEN.delete().where(FORGOTTEN.c.pseudonym == row.pseudonym))
            values = {"pseudonym": row.pseudonym, "when": row.when, "saw": json.dumps(row.saw, sort_keys=True)}
            connection.execute(FORGOTTEN.insert().values(**values))

    def forgotten_patient(self, pseudonym: str) -> ForgottenRow | None:
        with self.engine.connect() as connection:
            row = connection.execute(select(FORGOTTEN).where(FORGOTTEN.c.pseudonym == pseudonym)).first()
        return None if row is None else ForgottenRow(row.pseudonym, row.when, json.loads(row.saw))

    def forgotten(self) -> set[str]:
        """Pseudonyms of all patients that were to be forgotten."""
        with self.engine.connect() as connection:
            return set(connection.execute(select(FORGOTTEN.c.pseudonym)).scalars())

    def decide(self, decision: Decision) -> None:
        """Appends a person's decision."""
        values = {name: getattr(decision, name) for name in Decision.__dataclass_fields__}
        values["judged"] = json.dumps(asdict(decision.judged)) if decision.judged else None
        with self._writing() as connection:
            connection.execute(DECISIONS.insert().values(**values))

    def decisions(self) -> list[Decision]:
        """All decisions, oldest first."""
        query = select(*(DECISIONS.c[name] for name in Decision.__dataclass_fields__)).order_by(DECISIONS.c.number)
        with self.engine.connect() as connection:
            return [_decision(row) for row in connection.execute(query).mappings()]

    def forget_judged(self, patient: str) -> int:
        """Takes answers, corrections and comments about this patient out of the decisions; how many. The verdicts stay:
        they count answers, and say nothing about anyone."""
        theirs = [d.id for d in self.decisions() if d.judged is not None and d.judged.patient == patient]
        with self._writing() as connection:
            for name in theirs:
                connection.execute(DECISIONS.update().where(DECISIONS.c.id == name).values(judged=None, why=""))
        return len(theirs)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self.engine.execution_options(writes=True).begin() as connection:
                yield connection
        except OperationalError as error:
            raise _not_writable(error) from None


def _not_writable(error: OperationalError) -> StoreError:
    return StoreError(
        f"The ledger cannot be written: {error.orig}.",
        fix="Free some space, check that the folder may be written, and run the same command again.",
    )


def _run(row: Any) -> RunRow:
    values = dict(row)
    for name in ("identity", "outputs", "facts"):
        values[name] = json.loads(values[name])
    return RunRow(**values)


def _decision(row: Any) -> Decision:
    values = dict(row)
    values["failure"] = Failure(values["failure"]) if values["failure"] else None
    values["judged"] = Judged(**json.loads(values["judged"])) if values["judged"] else None
    return Decision(**values)


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        if _applied(connection) == len(MIGRATIONS):
            return
    with engine.execution_options(writes=True).begin() as connection:
        applied = _applied(connection)
        if applied > len(MIGRATIONS):
            raise StoreError(
                f"The ledger has schema {applied}; this version of residency knows up to {len(MIGRATIONS)}.",
                fix="Use the newer version of residency that wrote it.",
            )
        for migration in MIGRATIONS[applied:]:
            migration(connection)
        connection.execute(VERSION.delete())
        connection.execute(VERSION.insert().values(number=len(MIGRATIONS)))


def _applied(connection: Connection) -> int:
    known = inspect(connection).has_table(VERSION.name)
    return connection.execute(select(VERSION.c.number)).scalar_one() if known else 0


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
