"""Error pages: a clear answer and a way on, and nothing of what lies behind.

In: a refusal, a mistake in a form, a bug. Out: a page.

Covers: nobody signed in (a page that was asked for comes after signing in; a form that was sent is said to be not
saved), 403, forged forms, 404, what a person typed wrong, bugs (their traceback goes to the terminal, not to the
browser), the same for htmx. Does not cover: what is refused (doors.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from residency.errors import ResidencyError
from residency.web.doors import SAFE, Forged, Refused, Visit
from residency.web.pages import Page, render

SIGN_IN = "/sign-in"


@dataclass(frozen=True)
class ErrorPage(Page):
    """What did not happen, and what to do."""

    template: ClassVar[str] = "error.html.jinja"
    title: ClassVar[str] = "Not done"

    heading: str
    text: str
    way_on: str = "/"
    way_on_title: str = "Go to your first page"


NOT_SIGNED_IN = ErrorPage(
    "You are not signed in", "Your session has ended, and what you sent was not saved.", SIGN_IN, "Sign in again"
)
UNKNOWN_HERE = ErrorPage(
    "You have no account here", "Your company's sign-on names you, but this project has no such account, or it is "
    "closed. An administrator can add one.",
)  # fmt: skip
NOT_ALLOWED = ErrorPage(
    "This is not open to you", "Your roles in this project do not include it. The attempt is logged."
)
FORGED = ErrorPage(
    "Nothing was saved",
    "The form came from another page or an older session. Open the page again, and send it from there.",
)
NOT_FOUND = ErrorPage("There is nothing here", "The address is wrong, or what was here is gone.")
MISTAKE = "Nothing was saved"
BROKEN = ErrorPage(
    "Something broke", "It is a bug, and the terminal of the studio shows where. Nothing was half saved."
)


def answer_errors(app: FastAPI) -> None:
    """Makes every error of the app a page."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(ResidencyError, _mistake)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.status == 401:
        return _not_signed_in(request)
    page = FORGED if isinstance(error, Forged) else NOT_FOUND if error.status == 404 else NOT_ALLOWED
    return render(request, page, error.visit, status=error.status)


def _not_signed_in(request: Request) -> Response:
    if request.app.state.desk.proxy is not None:
        return render(request, UNKNOWN_HERE, status=403)
    if "HX-Request" in request.headers:  # a part of a page cannot be the sign-in form
        return Response(status_code=401, headers={"HX-Redirect": SIGN_IN})
    if request.method in SAFE:
        return RedirectResponse(f"{SIGN_IN}?next={quote(request.url.path, safe='/')}", 303)
    return render(request, NOT_SIGNED_IN, status=401)


def _mistake(request: Request, error: Exception) -> Response:
    assert isinstance(error, ResidencyError)
    page = ErrorPage(MISTAKE, str(error), request.url.path if request.method in SAFE else "/")
    return render(request, page, _visit(request), status=400)


def _unreadable(request: Request, _error: Exception) -> Response:
    page = ErrorPage(MISTAKE, "A field of the form is missing or has a value that it cannot have.")
    return render(request, page, _visit(request), status=400)


def _http(request: Request, error: Exception) -> Response:
    """Of the framework itself: no such address, or not with this method."""
    assert isinstance(error, HTTPException)
    return render(request, NOT_FOUND, status=404 if error.status_code < 500 else error.status_code)


def _bug(request: Request, _error: Exception) -> Response:
    return render(request, BROKEN, _visit(request), status=500)


def _visit(request: Request) -> Visit | None:
    """The visitor, where the door had let one in before the error."""
    visit: Visit | None = getattr(request.state, "visit", None)
    return visit
