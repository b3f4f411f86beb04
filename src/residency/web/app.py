"""The studio's app: every page and what surrounds them.

In: a ``Desk``. Out: an ASGI app; or a running server.

Covers: which pages there are, in the order of the navigation. Does not cover: any of them.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from residency.web import approvals, audit, glass, overview, people, sign_in
from residency.web.desk import Desk
from residency.web.errors import answer_errors
from residency.web.pages import Link
from residency.web.shell import STATIC, Shell

PAGES: tuple[ModuleType, ...] = (overview, approvals, people, audit, glass)


def create_app(desk: Desk) -> FastAPI:
    """The app of one project."""
    app = FastAPI(title="Residency", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    desk.studio.engine.connect().close()  # what cannot be opened is said now, not to the first visitor
    app.state.links = tuple(_link(page) for page in PAGES)
    app.include_router(sign_in.router)
    for page in PAGES:
        app.include_router(page.router)
    app.mount(STATIC.rstrip("/"), StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    answer_errors(app)
    app.add_middleware(Shell, hosts=desk.hosts)
    return app


def serve(desk: Desk, host: str, port: int) -> None:
    """Serves until it is stopped. Nothing of a request is written to the terminal."""
    import uvicorn

    uvicorn.run(
        create_app(desk), host=host, port=port, access_log=False, proxy_headers=False, server_header=False,
        log_level="warning",
    )  # fmt: skip


def _link(page: ModuleType) -> Link:
    link: Link = page.LINK
    return link
