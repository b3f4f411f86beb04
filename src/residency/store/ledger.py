"""The ledger: which runs there were, with what, and what people decided.

In: facts about runs, decisions and forgotten patients. Out: the same, found again by their identity.

Covers: runs (settings, inputs, code version, seed, outputs, time, memory), decisions with the answers that they are
about, who was forgotten, migrations.
Does not cover: the records that runs produce; those are artifacts, named here by their hash.

SQLAlchemy Core over SQLite in WAL mode; nothing here is SQLite only. Opening and migrating: database.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from sqlalchemy import Column, Connection, Float, Integer, MetaData, String, Table, Text, inspect, select, text

from residency.records import Decision, Failure, Judged
from residency.store.database import Database, Migration

TAKEN_BACK = "taken back"  # verdict on an earlier decision, named as the subject, by whoever made that

TABLES = MetaData()

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
    TABLES.create_all(connection, tables=(RUNS, DECISIONS))


def _table_of_forgotten(connection: Connection) -> None:
    FORGOTTEN.create(connection)


def _answers_of_decisions(connection: Connection) -> None:
    known = {column["name"] for column in inspect(connection).get_columns(DECISIONS.name)}
    for name, kind in (("failure", "VARCHAR(32)"), ("judged", "TEXT")):
        if name not in known:  # a new ledger's table has them from the start
            connection.execute(text(f"ALTER TABLE {DECISIONS.name} ADD COLUMN {name} {kind}"))


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


class Ledger(Database):
    """The ledger of one workspace."""

    name: ClassVar[str] = "ledger"
    lost: ClassVar[str] = "Put back the last good copy, or move the file away: the next run begins anew."
    migrations: ClassVar[tuple[Migration, ...]] = (_first_tables, _table_of_forgotten, _answers_of_decisions)

    def run(self, key: str) -> RunRow | None:
        with self.reading() as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.key == key)).mappings().first()
        return None if row is None else _run(row)

    def runs(self, stage: str | None = None) -> list[RunRow]:
        """All runs, oldest first."""
        query = select(RUNS).order_by(RUNS.c.started)
        if stage is not None:
            query = query.where(RUNS.c.stage == stage)
        with self.reading() as connection:
            return [_run(row) for row in connection.execute(query).mappings()]

    def save(self, run: RunRow) -> None:
        """Inserts the run, or replaces what was known of it."""
        values = {name: getattr(run, name) for name in RunRow.__dataclass_fields__}
        for name in ("identity", "outputs", "facts"):
            values[name] = json.dumps(values[name], sort_keys=True)
        with self.writing() as connection:
            connection.execute(RUNS.delete().where(RUNS.c.key == run.key))
            connection.execute(RUNS.insert().values(**values))

    def forget_runs(self, *, keep: Sequence[str] = ()) -> None:
        """Removes all runs but those of the stages ``keep``; decisions stay."""
        with self.writing() as connection:
            connection.execute(RUNS.delete().where(RUNS.c.stage.not_in(keep)))

    def used(self) -> bool:
        """Whether anything is known; a ledger that was just made knows nothing."""
        with self.reading() as connection:
            first = (connection.execute(select(table).limit(1)).first() for table in (RUNS, DECISIONS, FORGOTTEN))
            return any(row is not None for row in first)

    def note_forgotten(self, row: ForgottenRow) -> None:
        """Inserts what is known of a forgotten patient, or replaces it."""
        with self.writing() as connection:
            connection.execute(FORGOTTEN.delete().where(FORGOTTEN.c.pseudonym == row.pseudonym))
            values = {"pseudonym": row.pseudonym, "when": row.when, "saw": json.dumps(row.saw, sort_keys=True)}
            connection.execute(FORGOTTEN.insert().values(**values))

    def forgotten_patient(self, pseudonym: str) -> ForgottenRow | None:
        with self.reading() as connection:
            row = connection.execute(select(FORGOTTEN).where(FORGOTTEN.c.pseudonym == pseudonym)).first()
        return None if row is None else ForgottenRow(row.pseudonym, row.when, json.loads(row.saw))

    def forgotten(self) -> set[str]:
        """Pseudonyms of all patients that were to be forgotten."""
        with self.reading() as connection:
            return set(connection.execute(select(FORGOTTEN.c.pseudonym)).scalars())

    def decide(self, decision: Decision) -> None:
        """Appends a person's decision; one that is known by its id is not appended again."""
        values = {name: getattr(decision, name) for name in Decision.__dataclass_fields__}
        values["judged"] = json.dumps(asdict(decision.judged)) if decision.judged else None
        with self.writing() as connection:
            if connection.execute(select(DECISIONS.c.id).where(DECISIONS.c.id == decision.id)).first() is None:
                connection.execute(DECISIONS.insert().values(**values))

    def decisions(self) -> list[Decision]:
        """The decisions that hold, oldest first: all but those that their author has taken back."""
        said = self.all_decisions()
        gone = {one.subject for one in said if one.verdict == TAKEN_BACK}
        return [one for one in said if one.id not in gone and one.verdict != TAKEN_BACK]

    def all_decisions(self) -> list[Decision]:
        """All decisions, oldest first."""
        query = select(*(DECISIONS.c[name] for name in Decision.__dataclass_fields__)).order_by(DECISIONS.c.number)
        with self.reading() as connection:
            return [_decision(row) for row in connection.execute(query).mappings()]

    def forget_judged(self, patient: str) -> int:
        """Takes answers, corrections and comments about this patient out of the decisions; how many. The verdicts stay:
        they count answers, and say nothing about anyone."""
        theirs = [d.id for d in self.all_decisions() if d.judged is not None and d.judged.patient == patient]
        with self.writing() as connection:
            for name in theirs:
                connection.execute(DECISIONS.update().where(DECISIONS.c.id == name).values(judged=None, why=""))
        return len(theirs)


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
