"""Doors: who is it, may they come in here, and did they mean to send this form.

In: a request. Out: a ``Visit``, or a ``Refused`` that says what to answer.

Covers: the session's cookie, the header of a company's sign-on proxy, permissions of a page, forms that carry the
session's token (a hidden field, or a header of htmx), the origin that a browser states. Does not cover: passwords
(sign_in.py), what a page does.

A permission is asked before anything is looked up, so that a refusal tells nothing of what there is.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from residency.store.audit import Event, append
from residency.store.people import Person
from residency.store.roles import Permission
from residency.store.sessions import form_token, is_form_token
from residency.web.desk import Desk, Proxy

SECRET_HEADER = "X-Residency-Proxy"
FORM_FIELD = "form_token"
FORM_HEADER = "X-Form-Token"
SAFE = frozenset({"GET", "HEAD"})
SAME_ORIGIN = frozenset({"same-origin", "none"})  # none: typed by the person


@dataclass(frozen=True, slots=True)
class Visit:
    """A person at a page, known and let in."""

    person: Person
    token: str  # of the session; never shown
    new: bool = False  # the session began with this request, behind a proxy

    @property
    def form_token(self) -> str:
        return form_token(self.token)

    def may(self, *any_of: Permission) -> bool:
        return any(self.person.may(permission) for permission in any_of)


class Refused(Exception):
    """A request that is not answered as asked."""

    def __init__(self, status: int, visit: Visit | None = None) -> None:
        super().__init__(status)
        self.status = status  # 401: nobody is signed in; 403; 404
        self.visit = visit


class Forged(Refused):
    """A form without the token of its session."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A page's door: opened by any one of these permissions."""

    permissions: tuple[Permission, ...]

    @classmethod
    def to(cls, *any_of: Permission) -> Any:
        """For ``Annotated[Visit, Allowed.to(...)]``."""
        return Depends(cls(any_of))

    async def __call__(self, request: Request) -> Visit:
        desk: Desk = request.app.state.desk
        visit = await run_in_threadpool(visitor, desk, request)
        if visit is None:
            raise Refused(401)
        if not visit.may(*self.permissions):
            await run_in_threadpool(_log_refusal, desk, visit, request)
            raise Refused(403, visit)
        if request.method not in SAFE:
            await refuse_forged(request, visit.token, visit)
        request.state.visit = visit
        return visit


def visitor(desk: Desk, request: Request) -> Visit | None:
    """Who sent this request, if anybody who may sign in did."""
    token = request.cookies.get(desk.cookie, "")
    person = desk.sessions.person(token) if token else None
    if desk.proxy is None:
        return None if person is None else Visit(person, token)
    named = named_by_proxy(desk.proxy, request)
    if named is None:
        return None
    if person is not None and person.name == named:
        return Visit(person, token)
    known = next((one for one in [_find(desk, named)] if one is not None and one.enabled), None)
    return None if known is None else Visit(known, desk.sessions.begin(named, address=address(request)), new=True)


def named_by_proxy(proxy: Proxy, request: Request) -> str | None:
    """The name that the proxy gives; None where the request does not come from the proxy, or names not exactly one."""
    if proxy.addresses and (request.client is None or request.client.host not in proxy.addresses):
        return None
    if proxy.secret is not None:
        secrets = request.headers.getlist(SECRET_HEADER)
        if len(secrets) != 1 or not hmac.compare_digest(secrets[0].encode(), proxy.secret.encode()):
            return None
    names = request.headers.getlist(proxy.header)
    return names[0].strip() if len(names) == 1 and names[0].strip() else None


async def refuse_forged(request: Request, token: str, visit: Visit | None = None) -> None:
    """A ``Forged`` unless the form was made for the holder of this token, and sent from the studio's own page."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    if elsewhere or (site is not None and site not in SAME_ORIGIN):
        raise Forged(403, visit)
    given = request.headers.get(FORM_HEADER) or (await request.form()).get(FORM_FIELD)
    # Without a cookie there is no session that a form could belong to: the token of "" is known to everybody.
    if not token or not isinstance(given, str) or not is_form_token(given, token):
        raise Forged(403, visit)


def keep_cookie(response: Response, desk: Desk, value: str, name: str | None = None) -> None:
    """Sets the session's cookie: no script reads it, no other site sends it, it ends with the browser."""
    response.set_cookie(name or desk.cookie, value, httponly=True, samesite="strict", secure=desk.secure, path="/")


def address(request: Request) -> str:
    """Where a request comes from, as one word for the audit log."""
    host = request.client.host if request.client else ""
    return "".join(c for c in host if c.isascii() and (c.isalnum() or c in ".:"))[:64] or "-"


def _find(desk: Desk, name: str) -> Person | None:
    from residency.store.people import find

    with desk.studio.reading() as connection:
        return find(connection, name, desk.clock())


def _log_refusal(desk: Desk, visit: Visit, request: Request) -> None:
    page = getattr(request.scope.get("endpoint"), "__module__", "-").rpartition(".")[2]
    with desk.studio.writing() as connection:
        append(connection, Event.FORBIDDEN, who=visit.person.name, subject=page, facts={"method": request.method})
