"""The page of approvals: deeds that need two people.

In: requests. Out: new ones, and a second person's answers.

Covers: what this person may ask for and may answer. Does not cover: the deeds (store/approvals.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from residency.errors import ProjectError
from residency.store.approvals import APPROVES, ASKS, OPEN, Approval, Deed
from residency.web.desk import Desk
from residency.web.doors import Allowed, Refused, Visit
from residency.web.pages import Link, Page, render

router = APIRouter()
CONCERNED = tuple(dict.fromkeys([*ASKS.values(), *APPROVES.values()]))
LINK = Link("Approvals", "/approvals", CONCERNED)
Concerned = Annotated[Visit, Allowed.to(*CONCERNED)]
Asker = Annotated[Visit, Allowed.to(*ASKS.values())]
Approver = Annotated[Visit, Allowed.to(*APPROVES.values())]


@dataclass(frozen=True, slots=True)
class Request_:
    """One request as this person sees it."""

    approval: Approval
    state: str
    mine_to_answer: bool


@dataclass(frozen=True)
class ApprovalsPage(Page):
    """The newest requests."""

    template: ClassVar[str] = "approvals.html.jinja"
    title: ClassVar[str] = "Approvals"

    requests: list[Request_]
    may_ask: list[Deed]


@router.get("/approvals")
def show(request: Request, visit: Concerned) -> Response:
    desk: Desk = request.app.state.desk
    seen = [deed for deed in Deed if visit.may(ASKS[deed], APPROVES[deed])]
    found = [_as_seen(one, visit, desk.clock()) for one in desk.approvals.listed(seen)]
    return render(request, ApprovalsPage(found, [deed for deed in Deed if visit.may(ASKS[deed])]), visit)


@router.post("/approvals")
def ask(
    request: Request,
    visit: Asker,
    deed: Annotated[Deed, Form()],
    subject: Annotated[str, Form(max_length=128)],
    reason: Annotated[str, Form(max_length=2_000)],
) -> Response:
    desk: Desk = request.app.state.desk
    if not visit.may(ASKS[deed]):
        raise Refused(403, visit)
    if not subject.strip() or not subject.isascii() or any(c.isspace() for c in subject.strip()):
        raise ProjectError("What it is about is one word: the id or hash.", fix="Copy it from the report.")
    desk.approvals.ask(deed, subject.strip(), reason, by=visit.person)
    return RedirectResponse(LINK.url, 303)


@router.post("/approvals/{request_id}")
def decide(request: Request, visit: Approver, request_id: str, approve: Annotated[bool, Form()]) -> Response:
    desk: Desk = request.app.state.desk
    seen = {one.id: one.deed for one in desk.approvals.listed(list(Deed))}
    if request_id not in seen or not visit.may(APPROVES[seen[request_id]]):
        raise Refused(404, visit)  # one answer for what is not there and what is not theirs
    desk.approvals.decide(request_id, approve=approve, by=visit.person)
    return RedirectResponse(LINK.url, 303)


def _as_seen(one: Approval, visit: Visit, now: float) -> Request_:
    if one.approved is None:
        state = "closed: nobody answered in time" if one.asked <= now - OPEN else "waits for a second person"
    elif not one.approved:
        state = "refused"
    else:
        state = "approved and used" if one.used else "approved"
    mine = state.startswith("waits") and one.asked_by != visit.person.name and visit.may(APPROVES[one.deed])
    return Request_(one, state, mine)
