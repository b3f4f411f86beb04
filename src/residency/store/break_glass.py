"""Breaking the glass: raw text in an emergency, for a reason, for a limited time, with an alert.

In: a person with the role, and a reason. Out: the permission for a while; an alert until somebody takes note of it.

Covers: the time limit, ending it early, alerts that stay until another person has noted them. Does not cover: what is
read meanwhile, which is logged look by look as always; sending alerts elsewhere (the studio shows them on every page of
who may note them, and ``residency web`` prints them).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import select

from residency.errors import ProjectError
from residency.store.audit import Event, append
from residency.store.people import Clock, Person
from residency.store.roles import Permission
from residency.store.studio import BREAK_GLASS, Studio

MOST_MINUTES = 60  # chosen by us: long enough for one emergency, short enough not to be a way of working
SHORTEST_REASON = 20  # characters: "because" is no reason
LONGEST_REASON = 1_000


@dataclass(frozen=True, slots=True)
class Alert:
    """That somebody broke the glass."""

    id: str
    person: str
    reason: str
    began: float
    ends: float


@dataclass(frozen=True)
class BreakGlass:
    """The broken glass of one studio."""

    studio: Studio
    clock: Clock = time.time

    def open(self, reason: str, minutes: int, *, by: Person) -> Alert:
        """Lets the person read raw text for some minutes; everyone who may note alerts is told."""
        if not by.may(Permission.BREAK_GLASS):
            raise ProjectError(f"{by.name} may not break the glass.", fix="An administrator gives that role.")
        if not SHORTEST_REASON <= len(reason.strip()) <= LONGEST_REASON:
            raise ProjectError(
                "Breaking the glass needs a reason.",
                fix=f"Say in {SHORTEST_REASON} to {LONGEST_REASON} characters what the emergency is.",
            )
        if not 1 <= minutes <= MOST_MINUTES:
            raise ProjectError(f"{minutes} minutes cannot be given.", fix=f"Choose 1 to {MOST_MINUTES} minutes.")
        now = self.clock()
        alert = Alert(secrets.token_hex(16), by.name, reason.strip(), now, now + 60.0 * minutes)
        with self.studio.writing() as connection:
            connection.execute(
                BREAK_GLASS.insert().values(
                    id=alert.id, person=by.name, reason=alert.reason, began=alert.began, ends=alert.ends
                )
            )
            append(connection, Event.GLASS_BROKEN, who=by.name, subject=alert.id, facts={"minutes": minutes})
        return alert

    def close(self, *, by: Person) -> None:
        """Ends it before its time."""
        now = self.clock()
        mine = (BREAK_GLASS.c.person == by.name) & (BREAK_GLASS.c.ends > now)
        with self.studio.writing() as connection:
            for alert in connection.execute(select(BREAK_GLASS.c.id).where(mine)).scalars().all():
                append(connection, Event.GLASS_MENDED, who=by.name, subject=alert)
            connection.execute(BREAK_GLASS.update().where(mine).values(ends=now))

    def alerts(self) -> list[Alert]:
        """Those that nobody has noted yet, oldest first."""
        columns = (BREAK_GLASS.c[name] for name in Alert.__dataclass_fields__)
        query = select(*columns).where(BREAK_GLASS.c.seen.is_(None)).order_by(BREAK_GLASS.c.began)
        with self.studio.reading() as connection:
            return [Alert(*row) for row in connection.execute(query)]

    def note(self, alert: str, *, by: Person) -> None:
        """Takes note of an alert, which is then shown no more; not by the person who caused it."""
        if not by.may(Permission.NOTE_ALERTS):
            raise ProjectError(f"{by.name} may not take note of alerts.", fix="Ask someone whose role it is.")
        with self.studio.writing() as connection:
            mine = BREAK_GLASS.c.id == alert
            row = connection.execute(select(BREAK_GLASS).where(mine).with_for_update()).first()
            if row is None:
                raise ProjectError("There is no such alert.", fix="See the list of alerts.")
            if row.person == by.name:
                raise ProjectError("Who broke the glass cannot note the alert.", fix="Let another person do it.")
            if row.seen is None:
                connection.execute(BREAK_GLASS.update().where(mine).values(seen_by=by.name, seen=self.clock()))
                append(connection, Event.ALERT_NOTED, who=by.name, subject=alert)
