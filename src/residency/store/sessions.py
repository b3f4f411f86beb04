"""Sessions: a person who has signed in, known again by a random token in a cookie.

In: a token, or a person who has just proved who they are. Out: the person, while the session lasts.

Covers: the end after some time without use and after some time at all, a token that forms carry against forged
requests, sign-out, sessions that ended being swept. Does not cover: passwords (people.py), cookies (web/doors.py).

The database holds a hash of the token only: a copy of it opens no session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import or_, select

from residency.store.audit import Event, append
from residency.store.people import Clock, Person, find
from residency.store.studio import SESSIONS, Studio

IDLE = 30 * 60.0  # seconds without use after which a session ends: NIST SP 800-63B, 4.2.3
LONGEST = 12 * 3600.0  # seconds after which it ends anyway: the same place
SEEN_EVERY = 60.0  # seconds between two writes that a session is in use; far less than IDLE
TOKEN_BYTES = 32


@dataclass(frozen=True)
class Sessions:
    """The sessions of one studio."""

    studio: Studio
    clock: Clock = time.time
    idle: float = IDLE
    longest: float = LONGEST

    def begin(self, person: str, *, address: str) -> str:
        """A new session; gives its token, which is kept nowhere here."""
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self.clock()
        with self.studio.writing() as connection:
            ended = or_(SESSIONS.c.seen <= now - self.idle, SESSIONS.c.made <= now - self.longest)
            connection.execute(SESSIONS.delete().where(ended))
            connection.execute(SESSIONS.insert().values(token_hash=_digest(token), person=person, made=now, seen=now))
            append(connection, Event.SIGNED_IN, who=person, facts={"address": address})
        return token

    def person(self, token: str) -> Person | None:
        """Whose session this is, as the person is now; None where it has ended or never was."""
        now, digest = self.clock(), _digest(token)
        with self.studio.reading() as connection:
            row = connection.execute(
                select(SESSIONS.c.person, SESSIONS.c.seen).where(
                    SESSIONS.c.token_hash == digest,
                    SESSIONS.c.seen > now - self.idle,
                    SESSIONS.c.made > now - self.longest,
                )
            ).first()
            person = None if row is None else find(connection, row.person, now)
        if row is None or person is None or not person.enabled:
            return None
        if row.seen <= now - SEEN_EVERY:
            with self.studio.writing() as connection:
                connection.execute(SESSIONS.update().where(SESSIONS.c.token_hash == digest).values(seen=now))
        return person

    def end(self, token: str) -> None:
        """Signs out; nothing happens where the session has ended."""
        with self.studio.writing() as connection:
            mine = SESSIONS.c.token_hash == _digest(token)
            person = connection.execute(select(SESSIONS.c.person).where(mine)).scalar()
            if person is not None:
                connection.execute(SESSIONS.delete().where(mine))
                append(connection, Event.SIGNED_OUT, who=person)


def form_token(token: str) -> str:
    """What every form of a session carries: known to its pages only, and useless as the session's token."""
    return hmac.new(token.encode(), b"residency form token", hashlib.sha256).hexdigest()


def is_form_token(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), form_token(token).encode())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
