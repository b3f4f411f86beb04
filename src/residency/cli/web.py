"""The studio on the command line: checks where it would listen, and serves.

In: a project, an address, perhaps a company's sign-on proxy. Out: a running server.

Covers: no address but this machine's own unless a proxy stands before it. Does not cover: HTTPS, which the proxy
speaks; several server processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from residency.cli.terminal import terminal
from residency.errors import ProjectError
from residency.project import Project

SECRET = "RESIDENCY_PROXY_SECRET"  # shared with the proxy; an argument could be read by other users of the machine
NEEDED = ("argon2", "fastapi", "multipart", "uvicorn")

out = terminal()


def serve_studio(
    folder: Path, host: str, port: int, header: str | None, addresses: Sequence[str], hosts: Sequence[str]
) -> None:
    """Serves until it is stopped."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ProjectError(f"The studio needs {missing[0]}.", fix="Run: pip install 'residency[web]'")
    from residency.web.app import serve
    from residency.web.desk import LOOPBACK, Desk, Proxy

    secret = os.environ.get(SECRET)
    if header is None:
        _refuse_open_door(host, LOOPBACK, addresses, hosts)
        desk = Desk(Project.open(folder))
    else:
        _check_proxy(header, addresses, secret, hosts)
        proxy = Proxy(header, frozenset(addresses), secret)
        desk = Desk(Project.open(folder), proxy=proxy, hosts=frozenset(name.lower() for name in hosts))
    if not desk.people.all():
        out.print("There are no accounts yet: residency people add NAME --role admin", style="bold")
    shown = f"[{host}]" if ":" in host else host
    out.print(f"The studio of {desk.project.settings.name}: http://{shown}:{port}  (stop it with Ctrl+C)")
    serve(desk, host, port)


def _refuse_open_door(host: str, loopback: frozenset[str], addresses: Sequence[str], hosts: Sequence[str]) -> None:
    if host not in loopback:
        raise ProjectError(
            f"--host {host}: others could reach the studio there, and passwords would go unencrypted.",
            fix="Leave it at 127.0.0.1; or put a sign-on proxy before it, see --behind-proxy.",
        )
    if addresses or hosts:
        raise ProjectError("--proxy-address and --public-host: only with --behind-proxy.", fix="Leave them out.")


def _check_proxy(header: str, addresses: Sequence[str], secret: str | None, hosts: Sequence[str]) -> None:
    if not re.fullmatch(r"[A-Za-z0-9-]+", header):
        raise ProjectError(f"--behind-proxy {header!r}: not the name of a header.", fix="For example: X-Remote-User")
    if not addresses and not secret:
        raise ProjectError(
            "--behind-proxy: anyone who reaches the port could name themselves in the header.",
            fix=f"Give the proxy's --proxy-address, or a secret in {SECRET} that it sends as X-Residency-Proxy.",
        )
    if secret is not None and len(secret) < 32:
        raise ProjectError(f"{SECRET}: too short to be a secret.", fix="Use 32 random characters or more.")
    if not hosts:
        raise ProjectError(
            "--behind-proxy: under which name do browsers reach it?", fix="Say it with --public-host HOST."
        )
