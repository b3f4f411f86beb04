"""Transactions of SQLite as they are meant: all of a block, tables that it makes among it, or nothing.

In: an engine. Out: the same, whose transactions begin where SQLAlchemy says so.

Covers: ``engine.execution_options(writes=True)``, which excludes other writers from the block's first look; making a
database while the disk is full. Does not cover: other databases, which do so by themselves; pragmas.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event


def begin_explicitly(engine: Engine) -> None:
    """Python's driver begins a transaction too late, after the first reads, and not at all for new tables."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_it_to_us)
        event.listen(engine, "begin", _begin)


def _leave_it_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
