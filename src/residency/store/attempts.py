"""Attempts to sign in: how many failed lately, for an account and from an address.

In: a name as it was typed, and an address. Out: whether one more try is allowed.

Covers: counting in the database, so that it holds over restarts and processes; an attempt counts from before the
password is looked at. Does not cover: a person who is locked out for a while because somebody else tries their name
(the price of every such limit; a company's sign-on proxy has none).

What was typed as the name is kept as a hash: it may be a password in the wrong field.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from residency.store.audit import Event, append
from residency.store.people import Clock, find
from residency.store.studio import ATTEMPTS, Studio

WINDOW = 15 * 60.0  # seconds in which failures count; chosen by us
FOR_ACCOUNT = 5  # failures within them; chosen by us: 480 guesses a day against 15 characters
FROM_ADDRESS = 30  # the same; several people may share an address
ADDRESS = 64  # characters kept of an address


@dataclass(frozen=True)
class Attempts:
    """Failed attempts at one studio."""

    studio: Studio
    clock: Clock = time.time
    window: float = WINDOW

    def begin(self, name: str, address: str) -> float:
        """Counts an attempt as failed until ``succeeded`` says otherwise, and gives 0; or the seconds to wait."""
        now, account, address = self.clock(), _digest(name), address[:ADDRESS]
        with self.studio.writing() as connection:
            connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.when <= now - self.window))
            limits: tuple[tuple[ColumnElement[bool], int], ...] = (
                (ATTEMPTS.c.account_hash == account, FOR_ACCOUNT),
                (ATTEMPTS.c.address == address, FROM_ADDRESS),
            )
            for mine, limit in limits:
                count, newest = connection.execute(select(func.count(), func.max(ATTEMPTS.c.when)).where(mine)).one()
                if count >= limit:
                    return max(1.0, newest + self.window - now)
            connection.execute(ATTEMPTS.insert().values(account_hash=account, address=address, when=now))
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """Forgets what the person mistyped before, at this address."""
        mine = (ATTEMPTS.c.account_hash == _digest(name)) & (ATTEMPTS.c.address == address[:ADDRESS])
        with self.studio.writing() as connection:
            connection.execute(ATTEMPTS.delete().where(mine))

    def failed(self, name: str, address: str) -> None:
        """Logs the failure, under the name only if somebody has it."""
        with self.studio.writing() as connection:
            who = name if find(connection, name, self.clock()) is not None else "unknown"
            append(connection, Event.SIGN_IN_FAILED, who=who, facts={"address": address[:ADDRESS] or "-"})


def _digest(name: str) -> str:
    return hashlib.sha256(name.strip().casefold().encode("utf-8", "replace")).hexdigest()
