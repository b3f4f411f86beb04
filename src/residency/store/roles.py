"""Roles: what a person may do, in one table.

In: roles that were given to a person. Out: permissions.

Covers: every permission of the studio, what each role holds, which roles one person may not hold together.
Does not cover: who has which role (people.py).

A person sees what the role needs and nothing else: raw text only the privacy officer, or whoever breaks the glass.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from residency.errors import ProjectError


class Permission(StrEnum):
    """One thing that may be done. Pages and commands ask for these, never for a role."""

    SEE_OVERVIEW = "see-overview"  # numbers and verdicts, no text
    READ_DEIDENTIFIED = "read-deidentified"  # de-identified text: reports, cases, the trace of an answer
    READ_RAW = "read-raw"  # text with identifiers; each look is logged
    FILL_QUEUES = "fill-queues"  # decide what is worked on, write guidelines, import and export work
    ANNOTATE = "annotate"
    ADJUDICATE = "adjudicate"  # decide between two annotators
    VALIDATE = "validate"  # judge the answers of an iteration
    CHECK_DEIDENTIFICATION = "check-deidentification"  # judge spans, read blind, release a set
    ASK_EXPORT = "ask-vault-export"
    APPROVE_EXPORT = "approve-vault-export"
    ASK_PROMOTION = "ask-promotion"
    APPROVE_PROMOTION = "approve-promotion"
    MANAGE_PEOPLE = "manage-people"  # roles and accounts
    READ_AUDIT = "read-audit"  # the log, and taking it away as a file
    BREAK_GLASS = "break-glass"  # raw text in an emergency, for a reason and a limited time
    NOTE_ALERTS = "note-alerts"  # take note that someone broke the glass


class Role(StrEnum):
    """What a person is in a project. One person may be several."""

    ADMIN = "admin"
    DATA_STEWARD = "data-steward"
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    PRIVACY_OFFICER = "privacy-officer"
    DEPLOYER = "deployer"
    AUDITOR = "auditor"
    VIEWER = "viewer"
    BREAK_GLASS = "break-glass"


_P = Permission

MAY: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset({_P.SEE_OVERVIEW, _P.MANAGE_PEOPLE, _P.NOTE_ALERTS}),
    Role.DATA_STEWARD: frozenset({_P.SEE_OVERVIEW, _P.READ_DEIDENTIFIED, _P.FILL_QUEUES, _P.ASK_EXPORT}),
    Role.ANNOTATOR: frozenset({_P.SEE_OVERVIEW, _P.ANNOTATE}),
    Role.REVIEWER: frozenset({
        _P.SEE_OVERVIEW, _P.READ_DEIDENTIFIED, _P.ADJUDICATE, _P.VALIDATE, _P.APPROVE_PROMOTION,
    }),
    Role.PRIVACY_OFFICER: frozenset({
        _P.SEE_OVERVIEW, _P.READ_DEIDENTIFIED, _P.READ_RAW, _P.CHECK_DEIDENTIFICATION, _P.ASK_EXPORT,
        _P.APPROVE_EXPORT, _P.READ_AUDIT, _P.NOTE_ALERTS,
    }),
    Role.DEPLOYER: frozenset({
        _P.SEE_OVERVIEW, _P.READ_DEIDENTIFIED, _P.ASK_PROMOTION, _P.APPROVE_PROMOTION,
    }),
    Role.AUDITOR: frozenset({_P.READ_AUDIT}),
    Role.VIEWER: frozenset({_P.SEE_OVERVIEW}),
    Role.BREAK_GLASS: frozenset({_P.BREAK_GLASS}),
}  # fmt: skip
"""What each role may do."""

WHILE_BROKEN = frozenset({_P.SEE_OVERVIEW, _P.READ_DEIDENTIFIED, _P.READ_RAW})
"""What a person may do besides, while the glass is broken."""

APART: dict[Role, frozenset[Role]] = {
    # An administrator can give roles; with one that reads raw text the administrator would be without a second person.
    Role.ADMIN: frozenset({Role.PRIVACY_OFFICER, Role.BREAK_GLASS}),
    # Who keeps watch does nothing that is watched.
    Role.AUDITOR: frozenset(Role) - {Role.AUDITOR},
}
"""Roles that one person may not hold together."""


def permissions(roles: Iterable[Role]) -> frozenset[Permission]:
    """All that these roles may do together."""
    return frozenset().union(*(MAY[role] for role in roles))


def role_named(name: str) -> Role:
    """The role of this name; a ProjectError lists the names where there is none."""
    try:
        return Role(name)
    except ValueError:
        raise ProjectError(f"{name!r} is no role.", fix=f"Use one of: {', '.join(Role)}.") from None


def refuse_together(held: Iterable[Role], new: Role) -> None:
    """A ProjectError where a person who holds these roles may not get the new one."""
    for role in held:
        if new in APART.get(role, ()) or role in APART.get(new, ()):
            raise ProjectError(
                f"One person may not be both {role} and {new}.", fix="Take the other role first, or name someone else."
            )
