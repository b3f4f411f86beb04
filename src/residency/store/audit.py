"""The audit log: what people did, in a chain of hashes that shows every later change.

In: who did what to what. Out: entries, each of which holds the hash of the one before; whether all of them still stand.

Covers: an entry in the same transaction as the deed; several writers; an entry that was edited, deleted, moved or cut
off; export, and checking an exported file. Does not cover: whoever can rewrite the database and the anchor as well
(anchor.py says what helps).

No text of a document can get in: names and facts are single words, ids, numbers and hashes, and anything else is
refused. A reason that a person types stays in the table of the deed, where it can be deleted.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select

from residency.store.anchor import Head
from residency.store.files import whole_file
from residency.store.jsonl import read_objects
from residency.store.studio import AUDIT, AUDIT_HEAD, NO_ENTRY, Studio, audit_head

Fact = str | int | bool

_WORD = re.compile(r"[\w.:@+/-]{1,128}", re.ASCII)  # no space: a sentence does not fit
_NAME = re.compile(r"[\w.:@+-]{1,64}", re.ASCII)
_NEEDED = ("number", "when", "who", "what", "subject", "facts", "previous", "hash")


class Event(StrEnum):
    """What can be logged."""

    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    SIGNED_OUT = "signed-out"
    PERSON_ADDED = "person-added"
    PERSON_DISABLED = "person-disabled"
    PERSON_ENABLED = "person-enabled"
    PASSWORD_CHANGED = "password-changed"
    ROLE_GIVEN = "role-given"
    ROLE_TAKEN = "role-taken"
    DECIDED = "decided"
    RAW_TEXT_READ = "raw-text-read"
    EXPORTED = "exported"
    IMPORTED = "imported"
    APPROVAL_ASKED = "approval-asked"
    APPROVAL_GIVEN = "approval-given"
    APPROVAL_REFUSED = "approval-refused"
    APPROVAL_USED = "approval-used"
    GLASS_BROKEN = "glass-broken"
    GLASS_MENDED = "glass-mended"
    ALERT_NOTED = "alert-noted"
    FORBIDDEN = "forbidden"  # someone asked for what their roles do not allow


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log."""

    number: int
    when: str  # ISO 8601, UTC
    who: str
    what: str
    subject: str
    facts: str  # canonical JSON
    previous: str
    hash: str

    def digest(self) -> str:
        """What ``hash`` must be: SHA-256 over the hash before and everything else (hex)."""
        plain = [self.previous, self.number, self.when, self.who, self.what, self.subject, self.facts]
        return hashlib.sha256(_canonical(plain).encode()).hexdigest()

    def plain(self) -> dict[str, Any]:
        """The entry as it is exported."""
        return {name: getattr(self, name) for name in _NEEDED} | {"facts": json.loads(self.facts)}


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the log found. ``broken``: the number of the first entry that does not stand."""

    entries: int
    head: Head
    broken: int | None = None
    why: str = ""
    anchored: int | None = None  # up to where an end that was cut off would show; None: nowhere

    @property
    def whole(self) -> bool:
        return self.broken is None


def append(
    connection: Connection, event: Event, *, who: str, subject: str = "-", facts: Mapping[str, Fact] | None = None
) -> Entry:
    """Adds an entry, in the transaction of the deed itself: neither is there without the other.

    ``connection``: of ``Studio.writing()``. ``who``: the name that the person signs in with. A ValueError where a value
    could hold text: one that is no single word of at most 128 characters.
    """
    _refuse_text(who, subject, facts or {})
    head = Head(*connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash).with_for_update()).one())
    unsigned = Entry(
        number=head.number + 1,
        when=datetime.now(UTC).isoformat(timespec="microseconds"),
        who=who, what=event, subject=subject, facts=_canonical(dict(facts or {})), previous=head.hash, hash="",
    )  # fmt: skip
    values = {name: getattr(unsigned, name) for name in _NEEDED} | {"hash": unsigned.digest()}
    connection.execute(AUDIT.insert().values(**values))
    connection.execute(AUDIT_HEAD.update().values(number=unsigned.number, hash=values["hash"]))
    return Entry(**values)


def note(studio: Studio, event: Event, *, subject: str = "-", facts: Mapping[str, Fact] | None = None) -> None:
    """Adds an entry about what somebody does at this machine's terminal, in a transaction of its own."""
    with studio.writing() as connection:
        append(connection, event, who=console_user(), subject=subject, facts=facts)


def console_user() -> str:
    """Who runs this command, as one word for the log: the user of this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        user = ""
    return f"console:{re.sub(r'[^A-Za-z0-9._-]', '', user)[:40] or 'unknown'}"


def latest(studio: Studio, *, most: int, before: int | None = None) -> list[Entry]:
    """The newest entries, newest first; ``before``: those with smaller numbers only."""
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(most)
    if before is not None:
        query = query.where(AUDIT.c.number < before)
    with studio.reading() as connection:
        return [_entry(row) for row in connection.execute(query)]


def entries(studio: Studio) -> Iterator[Entry]:
    """All entries, oldest first, none of them held."""
    with studio.reading() as connection:
        result = connection.execution_options(yield_per=1_000).execute(select(AUDIT).order_by(AUDIT.c.number))
        for row in result:
            yield _entry(row)


def verify(studio: Studio) -> Verification:
    """Whether every entry stands as it was written, from the first to the anchored one and beyond."""
    anchored = studio.anchor.read() if studio.anchor else None
    found = verify_entries(entries(studio), anchored)
    if found.whole:
        with studio.reading() as connection:
            head = audit_head(connection)
            count = connection.execute(select(func.count()).select_from(AUDIT)).scalar_one()
        if count == found.entries and head != found.head:  # else somebody wrote meanwhile
            return _broken(found, found.entries + 1, "the log ends before the entry that was last written")
    return found


def verify_entries(log: Iterable[Entry], anchored: Head | None = None) -> Verification:
    """The same of entries from anywhere, such as an exported file."""
    last, at_anchor = NO_ENTRY, None
    for entry in log:
        why = _problem(entry, last)
        if why:
            return Verification(last.number, last, last.number + 1, why)
        last = Head(entry.number, entry.hash)
        if anchored is not None and entry.number == anchored.number:
            at_anchor = last
    found = Verification(last.number, last, anchored=None if anchored is None else anchored.number)
    if anchored is None or anchored.number == 0:
        return found
    if at_anchor is None:
        gone = anchored.number - last.number
        return _broken(found, last.number + 1, f"{gone} entries are gone from the end; the anchor knows them")
    if at_anchor != anchored:
        return _broken(found, anchored.number, "not the entry that was anchored: the log was written anew")
    return found


def export(studio: Studio, target: Path, *, who: str) -> int:
    """Writes all entries as JSON lines; gives their number. That it was done is the last of them."""
    with studio.writing() as connection:
        append(connection, Event.EXPORTED, who=who, subject="audit")
    count = 0
    with whole_file(target) as temporary, temporary.open("w", encoding="utf-8") as file:
        for count, line in enumerate(exported_lines(studio), 1):  # noqa: B007
            file.write(line)
    return count


def exported_lines(studio: Studio) -> Iterator[str]:
    """Each entry as a line of JSON."""
    return (_canonical({"id": str(entry.number), **entry.plain()}) + "\n" for entry in entries(studio))


def read_exported(path: Path) -> list[Entry]:
    """The entries of an exported file, in the order in which they stand there."""
    return read_objects(path, _exported, shape="a line that residency audit export wrote")


def _exported(record: dict[str, Any]) -> Entry:
    missing = [name for name in _NEEDED if name not in record]
    if missing:
        raise ValueError(f"no {missing[0]}")
    return Entry(**{name: record[name] for name in _NEEDED} | {"facts": _canonical(record["facts"])})


def _problem(entry: Entry, last: Head) -> str:
    """Why this entry cannot follow the last one; empty where it can."""
    if entry.number != last.number + 1:
        return f"the entry is missing; number {entry.number} follows"
    if entry.previous != last.hash:
        return "it does not follow the entry before it"
    return "" if entry.digest() == entry.hash else "it was changed after it was written"


def _broken(found: Verification, number: int, why: str) -> Verification:
    return Verification(found.entries, found.head, number, why, found.anchored)


def _refuse_text(who: str, subject: str, facts: Mapping[str, Fact]) -> None:
    words = [subject, *facts, *(value for value in facts.values() if isinstance(value, str))]
    if not _NAME.fullmatch(who) or not all(_WORD.fullmatch(word) for word in words):
        raise ValueError("the audit log takes single words, ids and numbers only")


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._asdict())


def _canonical(value: Any) -> str:
    """JSON with one way to write everything."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
