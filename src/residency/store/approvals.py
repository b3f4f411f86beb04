"""Approvals: deeds that need two different people.

In: a person who asks for a deed, and another who approves. Out: an approval, which serves for one deed, once.

Covers: a vault export, a promotion; who may ask and who may approve; that they are two; an approval that was not used
in time. Does not cover: the deeds themselves, which call ``use`` in their own transaction.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, select

from residency.errors import GateRefused, ProjectError
from residency.store.audit import Event, append
from residency.store.people import Clock, Person
from residency.store.roles import Permission
from residency.store.studio import APPROVALS, Studio

OPEN = 7 * 24 * 3600.0  # seconds in which a request is decided, and an approval used; chosen by us
LONGEST_REASON = 1_000


class Deed(StrEnum):
    """What one person alone may not do."""

    VAULT_EXPORT = "vault-export"
    PROMOTION = "promotion"


ASKS = {Deed.VAULT_EXPORT: Permission.ASK_EXPORT, Deed.PROMOTION: Permission.ASK_PROMOTION}
APPROVES = {Deed.VAULT_EXPORT: Permission.APPROVE_EXPORT, Deed.PROMOTION: Permission.APPROVE_PROMOTION}


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and what became of it."""

    id: str
    deed: Deed
    subject: str
    reason: str
    asked_by: str
    asked: float
    decided_by: str | None
    decided: float | None
    approved: bool | None
    used: float | None


@dataclass(frozen=True)
class Approvals:
    """The requests of one studio."""

    studio: Studio
    clock: Clock = time.time

    def ask(self, deed: Deed, subject: str, reason: str, *, by: Person) -> str:
        """Asks for a deed; gives the request's id."""
        _needs(by, ASKS[deed])
        if not reason.strip() or len(reason) > LONGEST_REASON:
            raise ProjectError(
                "A request needs a reason.", fix=f"Say in 1 to {LONGEST_REASON} characters what it is for."
            )
        request = secrets.token_hex(16)
        with self.studio.writing() as connection:
            append(
                connection, Event.APPROVAL_ASKED, who=by.name, subject=subject, facts={"deed": deed, "request": request}
            )
            connection.execute(
                APPROVALS.insert().values(
                    id=request, deed=deed, subject=subject, reason=reason.strip(), asked_by=by.name, asked=self.clock()
                )
            )
        return request

    def decide(self, request: str, *, approve: bool, by: Person) -> None:
        """Another person's answer. A request is answered once."""
        with self.studio.writing() as connection:
            row = connection.execute(select(APPROVALS).where(APPROVALS.c.id == request).with_for_update()).first()
            if row is None:
                raise ProjectError("There is no such request.", fix="See the list of requests.")
            _needs(by, APPROVES[Deed(row.deed)])
            if row.asked_by == by.name:
                raise ProjectError("Who asked cannot approve.", fix="Let another person decide.")
            if row.decided is not None or row.asked <= self.clock() - OPEN:
                raise ProjectError("This request is closed.", fix="Let it be asked again.")
            connection.execute(
                APPROVALS.update()
                .where(APPROVALS.c.id == request)
                .values(decided_by=by.name, decided=self.clock(), approved=approve)
            )
            event = Event.APPROVAL_GIVEN if approve else Event.APPROVAL_REFUSED
            facts = {"deed": row.deed, "request": request}
            append(connection, event, who=by.name, subject=row.subject, facts=facts)

    def use(self, connection: Connection, deed: Deed, subject: str, *, by: str) -> Approval:
        """Spends an approval on its deed, in the deed's transaction; GateRefused where there is none."""
        row = connection.execute(
            select(APPROVALS)
            .where(
                APPROVALS.c.deed == deed,
                APPROVALS.c.subject == subject,
                APPROVALS.c.approved.is_(True),
                APPROVALS.c.used.is_(None),
                APPROVALS.c.decided > self.clock() - OPEN,
            )
            .order_by(APPROVALS.c.decided)
            .limit(1)
            .with_for_update()
        ).first()
        if row is None:
            raise GateRefused(
                f"{deed} of {subject}: no approval by a second person.",
                fix="One person asks for it in the studio, another approves it.",
                verdict="NO-GO",
            )
        connection.execute(APPROVALS.update().where(APPROVALS.c.id == row.id).values(used=self.clock()))
        append(connection, Event.APPROVAL_USED, who=by, subject=subject, facts={"deed": deed, "request": row.id})
        return _approval(row)

    def listed(self, deeds: Sequence[Deed], *, most: int = 100) -> list[Approval]:
        """The newest requests for these deeds, newest first."""
        query = select(APPROVALS).where(APPROVALS.c.deed.in_(deeds)).order_by(APPROVALS.c.asked.desc()).limit(most)
        with self.studio.reading() as connection:
            return [_approval(row) for row in connection.execute(query)]


def _needs(person: Person, permission: Permission) -> None:
    if not person.may(permission):
        raise ProjectError(f"{person.name} may not do this.", fix="Ask someone whose role it is.")


def _approval(row: Row) -> Approval:
    values = row._asdict()
    return Approval(**values | {"deed": Deed(values["deed"])})
