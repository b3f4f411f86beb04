"""Signing in and out, and the first page of a person.

In: a name and a password. Out: a session in a cookie.

Covers: one answer for every wrong try, a wait after too many, a form that another site cannot send (which would sign a
person in as somebody else), the way back to the page that was asked for, on this host only. Does not cover: accounts,
which are made on the command line.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from math import ceil
from typing import Annotated, ClassVar

from fastapi import APIRouter, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from residency.store.roles import Permission
from residency.store.sessions import form_token
from residency.web.desk import Desk
from residency.web.doors import Allowed, Refused, Visit, address, keep_cookie, refuse_forged, visitor
from residency.web.pages import Page, links_of, render

router = APIRouter()
WRONG = "The name or the password is wrong, or the account is closed."


@dataclass(frozen=True)
class SignInPage(Page):
    """The form. ``problem``: why the last try failed."""

    template: ClassVar[str] = "sign_in.html.jinja"
    title: ClassVar[str] = "Sign in"

    door_token: str
    after: str
    problem: str = ""
    name: str = ""


@dataclass(frozen=True)
class NoRolePage(Page):
    """For a person who may do nothing yet."""

    template: ClassVar[str] = "no_role.html.jinja"
    title: ClassVar[str] = "Welcome"


@router.get("/")
def first_page(request: Request, visit: Annotated[Visit, Allowed.to(*Permission)]) -> Response:
    """The first page that the person may open."""
    return RedirectResponse(links_of(request.app.state.links, visit)[0].url, 303)


@router.get("/sign-in")
def form(request: Request, next: str = "/") -> Response:
    """The form; a person who has signed in goes on."""
    desk: Desk = request.app.state.desk
    visit = visitor(desk, request)
    if visit is not None and visit.person.permissions:
        return RedirectResponse(_here(next), 303)
    if visit is not None:
        return render(request, NoRolePage(), visit)
    if desk.proxy is not None:
        raise Refused(401)
    return _form(request, _here(next), 200)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=2_000)] = "",
    next: Annotated[str, Form(max_length=2_000)] = "/",
) -> Response:
    """Begins a session."""
    desk: Desk = request.app.state.desk
    if desk.proxy is not None:
        raise Refused(404)
    await refuse_forged(request, request.cookies.get(_door(desk), ""))
    return await run_in_threadpool(_sign_in, request, desk, name.strip(), password, _here(next))


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Ends the session; whoever may do nothing else may do this."""
    desk: Desk = request.app.state.desk
    visit = await run_in_threadpool(visitor, desk, request)
    if visit is not None:
        await refuse_forged(request, visit.token, visit)
        await run_in_threadpool(desk.sessions.end, visit.token)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(desk.cookie, path="/", secure=desk.secure, httponly=True, samesite="strict")
    return response


def _sign_in(request: Request, desk: Desk, name: str, password: str, after: str) -> Response:
    where = address(request)
    wait = desk.attempts.begin(name, where)
    if wait:
        minutes = ceil(wait / 60)
        response = _form(request, after, 429, f"Too many tries. Try again in {minutes} minutes.", name)
        response.headers["Retry-After"] = str(ceil(wait))
        return response
    person = desk.people.check(name, password)
    if person is None:
        desk.attempts.failed(name, where)
        return _form(request, after, 401, WRONG, name)
    desk.attempts.succeeded(name, where)
    old = request.cookies.get(desk.cookie)
    if old:
        desk.sessions.end(old)
    response = RedirectResponse(after if person.permissions else "/sign-in", 303)
    keep_cookie(response, desk, desk.sessions.begin(person.name, address=where))
    response.delete_cookie(_door(desk), path="/", secure=desk.secure, httponly=True, samesite="strict")
    return response


def _form(request: Request, after: str, status: int, problem: str = "", name: str = "") -> Response:
    desk: Desk = request.app.state.desk
    door = request.cookies.get(_door(desk)) or secrets.token_urlsafe()
    response = render(request, SignInPage(form_token(door), after, problem, name), status=status)
    keep_cookie(response, desk, door, _door(desk))
    return response


def _door(desk: Desk) -> str:
    """The cookie of whoever stands before the door."""
    return f"{desk.cookie}-door"


def _here(after: str) -> str:
    """Where to go on: a path of this host, or the first page."""
    plain = after.startswith("/") and not after.startswith("//") and after.isprintable() and "\\" not in after
    return after if plain else "/"
