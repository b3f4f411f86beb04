"""The desk: what every page of the studio has at hand.

In: a project, and how people come in. Out: a ``Desk``.

Covers: one set of accounts, sessions and requests, one clock. Does not cover: requests (doors.py), pages.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property

from residency.project import Project
from residency.store.approvals import Approvals
from residency.store.attempts import Attempts
from residency.store.break_glass import BreakGlass
from residency.store.people import Clock, People
from residency.store.sessions import Sessions
from residency.store.studio import Studio

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Proxy:
    """A company's sign-on proxy, which names the person in a header.

    A request is believed if it comes from one of ``addresses`` (where they are given) and carries ``secret`` in
    ``SECRET_HEADER`` (where it is given). At least one of the two must be given.
    """

    header: str
    addresses: frozenset[str] = frozenset()
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.addresses and not self.secret:
            raise ValueError("a proxy is known by its address, a shared secret, or both")


@dataclass(frozen=True)
class Desk:
    """The studio of one project, as pages use it."""

    project: Project
    proxy: Proxy | None = None
    hosts: frozenset[str] = LOOPBACK  # names under which a browser may ask for it: others are a rebound name server
    clock: Clock = time.time

    @property
    def studio(self) -> Studio:
        return self.project.studio

    @property
    def secure(self) -> bool:
        """Whether browsers come over HTTPS, which the proxy speaks."""
        return self.proxy is not None

    @cached_property
    def cookie(self) -> str:
        """The session's cookie. Cookies do not know ports: two projects on one machine must not share a name."""
        project = hashlib.sha256(str(self.project.root).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return ("__Host-" if self.secure else "") + f"residency-{project}"

    @cached_property
    def people(self) -> People:
        return People(self.studio, self.clock)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.studio, self.clock)

    @cached_property
    def attempts(self) -> Attempts:
        return Attempts(self.studio, self.clock)

    @cached_property
    def approvals(self) -> Approvals:
        return Approvals(self.studio, self.clock)

    @cached_property
    def glass(self) -> BreakGlass:
        return BreakGlass(self.studio, self.clock)
