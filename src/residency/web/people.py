"""The page of people: who is what in this project.

In: accounts. Out: roles given and taken, accounts closed and opened; by an administrator, never their own.

Covers: what each role may do, shown beside. Does not cover: new accounts and passwords, which are made on the command
line, so that no password passes through a second person's browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from residency.errors import ProjectError
from residency.store.people import Person
from residency.store.roles import MAY, Permission, Role
from residency.web.desk import Desk
from residency.web.doors import Allowed, Visit
from residency.web.pages import Link, Page, render

router = APIRouter()
LINK = Link("People", "/people", (Permission.MANAGE_PEOPLE,))
Admin = Annotated[Visit, Allowed.to(*LINK.permissions)]
Name = Annotated[str, Form(max_length=64)]


class Change(StrEnum):
    """What is done to a role, or to an account."""

    GIVE = "give"
    TAKE = "take"
    CLOSE = "close"
    OPEN = "open"


@dataclass(frozen=True)
class PeoplePage(Page):
    """All accounts, and the table of roles."""

    template: ClassVar[str] = "people.html.jinja"
    title: ClassVar[str] = "People"

    people: list[Person]
    me: str
    roles: tuple[Role, ...]
    may: dict[Role, list[str]]


@router.get("/people")
def show(request: Request, visit: Admin) -> Response:
    desk: Desk = request.app.state.desk
    may = {role: sorted(permission.replace("-", " ") for permission in MAY[role]) for role in Role}
    return render(request, PeoplePage(desk.people.all(), visit.person.name, tuple(Role), may), visit)


@router.post("/people/role")
def change_role(
    request: Request, visit: Admin, name: Name, role: Annotated[Role, Form()], change: Annotated[Change, Form()]
) -> Response:
    desk: Desk = request.app.state.desk
    _not_oneself(visit, name)
    (desk.people.take if change is Change.TAKE else desk.people.give)(name, role, by=visit.person.name)
    return RedirectResponse(LINK.url, 303)


@router.post("/people/account")
def change_account(request: Request, visit: Admin, name: Name, change: Annotated[Change, Form()]) -> Response:
    desk: Desk = request.app.state.desk
    _not_oneself(visit, name)
    (desk.people.enable if change is Change.OPEN else desk.people.disable)(name, by=visit.person.name)
    return RedirectResponse(LINK.url, 303)


def _not_oneself(visit: Visit, name: str) -> None:
    if name == visit.person.name:
        raise ProjectError("Nobody changes their own account.", fix="Let another administrator do it.")
