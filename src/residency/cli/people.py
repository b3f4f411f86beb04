"""People on the command line: accounts, roles, passwords.

In: a project and names. Out: what changed; a list.

Covers: passwords from a prompt or from standard input, never from an argument, which other users of the machine could
read. Does not cover: what a role may do (store/roles.py).

Whoever may run commands in the project's folder owns its database: the log names the user of this machine.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from residency.cli.terminal import terminal
from residency.errors import ProjectError
from residency.project import Project
from residency.store.audit import console_user
from residency.store.people import People, checked_password
from residency.store.roles import role_named

out = terminal()


def add(project: Path, name: str, shown: str, roles: Sequence[str], *, no_password: bool) -> None:
    """Makes an account. Everything is checked before the password is asked for."""
    wanted = [role_named(role) for role in roles]
    people = _people(project)
    people.add(name, shown, password=None if no_password else _new_password(name), by=console_user())
    for role in wanted:
        people.give(name, role, by=console_user())
    out.print(f"{name}: added, {_words(roles) or 'without a role'}.")
    if not roles:
        out.print(f"Next: residency people role {name} ROLE --project {project}")


def show_all(project: Path) -> None:
    """A table of everyone."""
    table = Table("name", "shown", "roles", "state", box=None, pad_edge=False)
    for person in _people(project).all():
        table.add_row(person.name, person.shown, _words(sorted(person.roles)), "" if person.enabled else "closed")
    out.print(table if table.row_count else "There are no accounts yet: residency people add NAME --role admin")


def change(project: Path, name: str, role: str, *, take: bool) -> None:
    people = _people(project)
    (people.take if take else people.give)(name, role_named(role), by=console_user())
    out.print(f"{name}: {_words(sorted(people.named(name).roles)) or 'no role'}.")


def close(project: Path, name: str, *, undo: bool) -> None:
    people = _people(project)
    (people.enable if undo else people.disable)(name, by=console_user())
    out.print(f"{name}: {'open again' if undo else 'closed; every session has ended'}.")


def set_password(project: Path, name: str) -> None:
    people = _people(project)
    people.named(name)
    people.set_password(name, _new_password(name), by=console_user())
    out.print(f"{name}: the password was changed; every session has ended.")


def _people(project: Path) -> People:
    return People(Project.open(project).studio)


def _new_password(name: str) -> str:
    """Asked for twice without showing it; or the first line of standard input."""
    if not sys.stdin.isatty():
        return checked_password(sys.stdin.readline().rstrip("\r\n"), name)
    password = checked_password(getpass.getpass("New password: "), name)
    if getpass.getpass("The same again: ") != password:
        raise ProjectError("These were two different passwords.", fix="Run the same command again.")
    return password


def _words(roles: Sequence[str]) -> str:
    return ", ".join(roles)
