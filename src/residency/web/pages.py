"""Pages: one dataclass, one template.

In: a page's data and who visits it. Out: HTML, every text of it escaped.

Covers: the frame that all pages share (navigation by permission, alerts, the time that is left while the glass is
broken), times as people read them. Does not cover: any page's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

from fastapi import Request
from fastapi.responses import HTMLResponse

from residency.store.roles import Permission
from residency.web.desk import Desk
from residency.web.doors import FORM_FIELD, FORM_HEADER, Visit, keep_cookie


@dataclass(frozen=True, slots=True)
class Link:
    """A page in the navigation, for whoever has any of the permissions."""

    title: str
    url: str
    permissions: tuple[Permission, ...]


@dataclass(frozen=True)
class Page:
    """What a page shows. A subclass names its template and adds the data."""

    template: ClassVar[str]
    title: ClassVar[str]


def render(request: Request, page: Page, visit: Visit | None = None, *, status: int = 200) -> HTMLResponse:
    """The page in its frame. ``visit`` is None where nobody has signed in."""
    desk: Desk = request.app.state.desk
    alerts = desk.glass.alerts() if visit is not None and visit.may(Permission.NOTE_ALERTS) else []
    html = _templates().get_template(page.template).render(
        page=page,
        project=desk.project.settings.name,
        person=None if visit is None else visit.person,
        links=[] if visit is None else links_of(request.app.state.links, visit),
        here=request.url.path,
        alerts=[alert for alert in alerts if visit is not None and alert.person != visit.person.name],
        form_field=FORM_FIELD,
        form_header=FORM_HEADER,
        form_token="" if visit is None else visit.form_token,
        signs_out=desk.proxy is None,
    )  # fmt: skip
    response = HTMLResponse(html, status)
    if visit is not None and visit.new:
        keep_cookie(response, desk, visit.token)
    return response


def links_of(links: Sequence[Link], visit: Visit) -> list[Link]:
    """The pages that this person may open."""
    return [link for link in links if visit.may(*link.permissions)]


def moment(seconds: float) -> str:
    """A point in time, UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@cache
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("residency.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = moment
    return environment
