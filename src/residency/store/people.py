"""People: accounts, their passwords and their roles in a project.

In: names, passwords, roles. Out: a ``Person`` with what they may do.

Covers: argon2id, old hashes made anew at sign-in, the same time and answer for a name that nobody has, roles that one
person may not hold together, a disabled account (its sessions end; its name is given to nobody else). Does not cover:
sign-in over the network (sessions.py, attempts.py), what a role may do (roles.py).
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Semaphore
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from residency.errors import ProjectError
from residency.store.audit import Event, append
from residency.store.roles import WHILE_BROKEN, Permission, Role, permissions, refuse_together
from residency.store.studio import BREAK_GLASS, NAME, PEOPLE, ROLES, SESSIONS, SHOWN, Studio

Clock = Callable[[], float]

SHORTEST = 15  # characters of a password that is the only proof: NIST SP 800-63B-4, 3.1.1.2
LONGEST = 1_000  # hashing more would only cost time
SEVERAL = 5  # different characters a password has at least; chosen by us
AT_ONCE = 2  # passwords hashed at the same time: each takes 64 MiB (RFC 9106, second recommended option)

_SIGN_IN_NAME = re.compile(rf"[a-z][a-z0-9._@-]{{1,{NAME - 1}}}")
_NO_CHARACTER = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are no UTF-8
_hashing = Semaphore(AT_ONCE)


@dataclass(frozen=True, slots=True)
class Person:
    """An account, as it is at this moment."""

    name: str  # signs in with it
    shown: str  # as others read it
    roles: frozenset[Role] = frozenset()
    enabled: bool = True
    broken_until: float | None = None  # the glass is broken until then; seconds since 1970

    @property
    def permissions(self) -> frozenset[Permission]:
        if not self.enabled:
            return frozenset()
        return permissions(self.roles) | (WHILE_BROKEN if self.broken_until is not None else frozenset())

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


@dataclass(frozen=True)
class People:
    """The accounts of one studio."""

    studio: Studio
    clock: Clock = time.time

    def add(self, name: str, shown: str, *, password: str | None, by: str) -> None:
        """A new account without roles; without a password it signs in through the company's proxy only."""
        _check_name(name, shown)
        hashed = None if password is None else _hash(checked_password(password, name))
        try:
            with self.studio.writing() as connection:
                connection.execute(
                    PEOPLE.insert().values(name=name, shown=shown, password=hashed, made=self.clock(), disabled=None)
                )
                append(connection, Event.PERSON_ADDED, who=by, subject=name)
        except IntegrityError:
            raise ProjectError(f"{name}: there is such an account.", fix="Choose another name.") from None

    def all(self) -> list[Person]:
        """Every account, by name."""
        with self.studio.reading() as connection:
            names = connection.execute(select(PEOPLE.c.name).order_by(PEOPLE.c.name)).scalars().all()
            return [person for name in names if (person := find(connection, name, self.clock())) is not None]

    def named(self, name: str) -> Person:
        """The account of this name; a ProjectError where there is none."""
        with self.studio.reading() as connection:
            return _known(connection, name, self.clock())

    def give(self, name: str, role: Role, *, by: str) -> None:
        """Gives a role; nothing changes where the person has it."""
        with self.studio.writing() as connection:
            person = _known(connection, name, self.clock())
            if role in person.roles:
                return
            refuse_together(person.roles, role)
            connection.execute(ROLES.insert().values(person=name, role=role, given_by=by, given=self.clock()))
            append(connection, Event.ROLE_GIVEN, who=by, subject=name, facts={"role": role})

    def take(self, name: str, role: Role, *, by: str) -> None:
        """Takes a role away; nothing changes where the person does not have it."""
        with self.studio.writing() as connection:
            if role not in _known(connection, name, self.clock()).roles:
                return
            connection.execute(ROLES.delete().where(ROLES.c.person == name, ROLES.c.role == role))
            append(connection, Event.ROLE_TAKEN, who=by, subject=name, facts={"role": role})

    def disable(self, name: str, *, by: str) -> None:
        """Ends an account and its sessions. What the person did stays under the name."""
        with self.studio.writing() as connection:
            if _known(connection, name, self.clock()).enabled:
                connection.execute(PEOPLE.update().where(PEOPLE.c.name == name).values(disabled=self.clock()))
                append(connection, Event.PERSON_DISABLED, who=by, subject=name)
            connection.execute(SESSIONS.delete().where(SESSIONS.c.person == name))

    def enable(self, name: str, *, by: str) -> None:
        """Lets a disabled account in again, with the roles that it had."""
        with self.studio.writing() as connection:
            if not _known(connection, name, self.clock()).enabled:
                connection.execute(PEOPLE.update().where(PEOPLE.c.name == name).values(disabled=None))
                append(connection, Event.PERSON_ENABLED, who=by, subject=name)

    def set_password(self, name: str, password: str, *, by: str) -> None:
        """A new password; every session of the person ends."""
        hashed = _hash(checked_password(password, name))
        with self.studio.writing() as connection:
            _known(connection, name, self.clock())
            connection.execute(PEOPLE.update().where(PEOPLE.c.name == name).values(password=hashed))
            connection.execute(SESSIONS.delete().where(SESSIONS.c.person == name))
            append(connection, Event.PASSWORD_CHANGED, who=by, subject=name)

    def check(self, name: str, password: str) -> Person | None:
        """The person whose name and password these are, if the account is enabled.

        A name that nobody has takes as long as one with a wrong password.
        """
        with self.studio.reading() as connection:
            person = find(connection, name, self.clock())
            row = connection.execute(select(PEOPLE.c.password).where(PEOPLE.c.name == name)).first()
        hashed = row.password if row is not None and row.password is not None else _nobody()
        right = _verify(hashed, password) and hashed != _nobody()
        if not right or person is None or not person.enabled:
            return None
        if _hasher().check_needs_rehash(hashed):
            with self.studio.writing() as connection:
                mine = (PEOPLE.c.name == name) & (PEOPLE.c.password == hashed)
                connection.execute(PEOPLE.update().where(mine).values(password=_hash(password)))
        return person


def find(connection: Connection, name: str, now: float) -> Person | None:
    """The account of this name, if there is one."""
    row = connection.execute(select(PEOPLE.c.shown, PEOPLE.c.disabled).where(PEOPLE.c.name == name)).first()
    if row is None:
        return None
    roles = connection.execute(select(ROLES.c.role).where(ROLES.c.person == name)).scalars()
    held = frozenset(Role(role) for role in roles)
    broken = select(BREAK_GLASS.c.ends).where(BREAK_GLASS.c.person == name, BREAK_GLASS.c.ends > now)
    # Who lost the role loses what it opened.
    until = connection.execute(broken).scalars().first() if Role.BREAK_GLASS in held else None
    return Person(name, row.shown, held, row.disabled is None, until)


def checked_password(password: str, name: str) -> str:
    """The password, unless it is too weak; a ProjectError says why and never shows it."""
    plain = _normal(password)
    problem = ""
    if not plain.isascii() and _NO_CHARACTER.search(plain):
        problem = "it holds a byte that is no UTF-8"
    elif len(plain) < SHORTEST:
        problem = f"it has {len(plain)} characters; at least {SHORTEST} are needed"
    elif len(plain) > LONGEST:
        problem = f"it has more than {LONGEST} characters"
    elif len(set(plain)) < SEVERAL:
        problem = f"it is made of fewer than {SEVERAL} different characters"
    elif name.casefold() in plain.casefold():
        problem = "the name of the account is in it"
    if problem:
        raise ProjectError(f"This password is refused: {problem}.", fix="Take a sentence that only you would think of.")
    return password


def _check_name(name: str, shown: str) -> None:
    if not _SIGN_IN_NAME.fullmatch(name):
        raise ProjectError(
            f"{name!r} cannot be the name of an account.",
            fix=f"Use 2 to {NAME} small letters, digits and . _ @ - ; the first is a letter.",
        )
    if not shown.strip() or not shown.isprintable() or len(shown) > SHOWN:
        raise ProjectError(
            f"{name}: the shown name is not one line of text.",
            fix=f"Give 1 to {SHOWN} characters.",
        )


def _known(connection: Connection, name: str, now: float) -> Person:
    person = find(connection, name, now)
    if person is None:
        raise ProjectError(f"{name}: there is no such account.", fix="See: residency people list")
    return person


def _normal(password: str) -> str:
    """The same password, however a keyboard composes its characters (NIST SP 800-63B-4, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@cache
def _hasher() -> Any:
    try:
        from argon2 import PasswordHasher
        from argon2.profiles import RFC_9106_LOW_MEMORY
    except ImportError:
        raise ProjectError("The studio's parts are not installed.", fix="Run: pip install 'residency[web]'") from None
    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


@cache
def _nobody() -> str:
    return _hash("nobody's password, which is never right")


def _hash(password: str) -> str:
    hasher = _hasher()
    with _hashing:
        return str(hasher.hash(_normal(password)))


def _verify(hashed: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    hasher = _hasher()
    if len(password) > LONGEST:
        return False
    try:
        with _hashing:
            return bool(hasher.verify(hashed, _normal(password)))
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
