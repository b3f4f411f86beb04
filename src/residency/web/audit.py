"""The page of the audit log.

In: the log. Out: its newest entries, whether it is whole, all of it as a file.

Covers: reading on, taking the log away (which is logged). Does not cover: the log itself (store/audit.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from residency.store.audit import Entry, Event, Verification, append, exported_lines, latest, verify
from residency.store.roles import Permission
from residency.web.desk import Desk
from residency.web.doors import Allowed, Visit
from residency.web.pages import Link, Page, render

router = APIRouter()
LINK = Link("Audit", "/audit", (Permission.READ_AUDIT,))
Reader = Annotated[Visit, Allowed.to(*LINK.permissions)]
SHOWN = 100  # entries on one page


@dataclass(frozen=True)
class AuditPage(Page):
    """Some entries, newest first. ``verified`` is None where nobody asked to verify."""

    template: ClassVar[str] = "audit.html.jinja"
    title: ClassVar[str] = "Audit log"

    entries: list[Entry]
    older: int | None  # show those before this number
    verified: Verification | None


@router.get("/audit")
def show(request: Request, visit: Reader, before: int | None = None) -> Response:
    return render(request, _page(request.app.state.desk, before, None), visit)


@router.post("/audit/verify")
def check(request: Request, visit: Reader) -> Response:
    desk: Desk = request.app.state.desk
    return render(request, _page(desk, None, verify(desk.studio)), visit)


@router.post("/audit/export")
def take_away(request: Request, visit: Reader) -> Response:
    desk: Desk = request.app.state.desk
    with desk.studio.writing() as connection:
        append(connection, Event.EXPORTED, who=visit.person.name, subject="audit")
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(exported_lines(desk.studio), media_type="application/jsonl", headers=headers)


def _page(desk: Desk, before: int | None, verified: Verification | None) -> AuditPage:
    entries = latest(desk.studio, most=SHOWN, before=before)
    older = entries[-1].number if entries and entries[-1].number > 1 else None
    return AuditPage(entries, older, verified)
