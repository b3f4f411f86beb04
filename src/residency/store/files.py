"""Files that are either whole or absent.

In: a path and what to write. Out: the file, on disk, in one move.

Covers: atomic replacement, a full disk as a clear error, locks between processes, content hashes of files and folders.
Does not cover: what the files mean.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from residency.errors import StoreError

IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns "no space" and "not allowed" into a StoreError that names the place; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(
                f"{place}: the disk is full; nothing that was finished before is lost.",
                fix="Free some space and run the same command again: it goes on from here.",
            ) from None
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StoreError(f"{place}: cannot be written.", fix="Give this user write access to the folder.") from None
        if error.errno in IN_THE_WAY:
            name = error.filename or place
            raise StoreError(f"{name}: a file or folder of another kind is in the way.", fix="Move it away.") from None
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; moved onto it, synced, when the block ends without an error."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o600)
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, seconds: float, busy: str) -> Iterator[None]:
    """Holds the lock file ``path``, which stays; StoreError ``busy`` if another process holds it ``seconds`` long."""
    lock = FileLock(path, timeout=seconds, mode=0o600)
    with disk_errors(path):
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(busy, fix="Wait until it ends, then run the same command again.") from None
    try:
        yield
    finally:
        lock.release()


def sync_folder(folder: Path) -> None:
    """Makes a rename inside ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one move."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below ``folder`` (hex); hidden files are left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()
