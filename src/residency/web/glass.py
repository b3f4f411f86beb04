"""The page of the glass: raw text in an emergency.

In: a reason and a number of minutes. Out: a permission for so long, an alert to others.

Covers: breaking it, mending it early, taking note of an alert. Does not cover: reading (the pages of raw text).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from residency.store.break_glass import MOST_MINUTES, SHORTEST_REASON
from residency.store.roles import Permission
from residency.web.desk import Desk
from residency.web.doors import Allowed, Visit
from residency.web.pages import Link, Page, render

router = APIRouter()
LINK = Link("Emergency", "/glass", (Permission.BREAK_GLASS,))
Holder = Annotated[Visit, Allowed.to(*LINK.permissions)]


@dataclass(frozen=True)
class GlassPage(Page):
    """The form, or the time that is left."""

    template: ClassVar[str] = "glass.html.jinja"
    title: ClassVar[str] = "Emergency"

    until: float | None
    most_minutes: int = MOST_MINUTES
    shortest_reason: int = SHORTEST_REASON


@router.get("/glass")
def show(request: Request, visit: Holder) -> Response:
    return render(request, GlassPage(visit.person.broken_until), visit)


@router.post("/glass")
def break_it(
    request: Request, visit: Holder, reason: Annotated[str, Form(max_length=2_000)], minutes: Annotated[int, Form()]
) -> Response:
    import sys

    desk: Desk = request.app.state.desk
    alert = desk.glass.open(reason, minutes, by=visit.person)
    print(f"ALERT: {alert.person} broke the glass for {minutes} minutes.", file=sys.stderr, flush=True)
    return RedirectResponse(LINK.url, 303)


@router.post("/glass/mend")
def mend(request: Request, visit: Holder) -> Response:
    desk: Desk = request.app.state.desk
    desk.glass.close(by=visit.person)
    return RedirectResponse(LINK.url, 303)


@router.post("/alerts/{alert}")
def note(request: Request, visit: Annotated[Visit, Allowed.to(Permission.NOTE_ALERTS)], alert: str) -> Response:
    desk: Desk = request.app.state.desk
    desk.glass.note(alert, by=visit.person)
    return RedirectResponse("/", 303)
