"""Files that are either whole or absent.

In: a path and what to write. Out: the file, on disk, in one move.

Covers: atomic replacement of a file, also of one behind a link; what can never be replaced (devices, folders); a full
disk as a clear error; what a killed process left half written; locks between processes; content hashes of files and
folders.
Does not cover: what the files mean.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from residency.errors import ProjectError, StoreError

IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NAMED_BY = 40  # characters of a file's name in that of its temporary one, which may be no longer than a name can be
WHY_NO_FILE = {
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "a folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.ELOOP: "a link that leads back to itself",
    errno.ENAMETOOLONG: "a name that is longer than this disk allows",
    errno.EACCES: "this user may not read it",
}


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


def why_no_file(path: Path) -> str:
    """Why there is no regular file at ``path`` that could be read; empty where there is one. Links are followed."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return WHY_NO_FILE.get(error.errno or 0, "cannot be read")
    if stat.S_ISDIR(mode):
        return WHY_NO_FILE[errno.EISDIR]
    return "" if stat.S_ISREG(mode) else "a pipe or a device, not a file"


def writable_file(path: Path) -> Path:
    """The regular file that writing to ``path`` makes or replaces, links followed; a StoreError where there can be
    none. Tries it out and leaves nothing behind, so that a long run does not end at its last line."""
    problem = why_no_file(path)
    if problem not in ("", WHY_NO_FILE[errno.ENOENT], WHY_NO_FILE[errno.EACCES]):
        raise StoreError(f"{path}: cannot be written: {problem}.", fix="Name another file.")
    with disk_errors(path):
        target = path.resolve()
        folder = next(parent for parent in target.parents if parent.exists())
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except FileNotFoundError:
            raise StoreError(f"{path}: cannot be written: no files can be made there.", fix="Name another.") from None
    return target


def refuse_input(target: Path, inputs: Iterable[Path | None]) -> None:
    """A ProjectError where writing to ``target`` would replace a file that is read; a StoreError where it cannot be."""
    place = writable_file(target)
    if place.exists() and any(not why_no_file(one) and place.samefile(one) for one in inputs if one is not None):
        raise ProjectError(f"{target}: the output would replace the input.", fix="Name another file with -o.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; moved onto it, synced, when the block ends without an error."""
    target = writable_file(path)
    with disk_errors(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:NAMED_BY]}.", suffix=".part")
        temporary = Path(name)
        try:
            with suppress(OSError):  # some disks know no locks; nothing is taken for stale on them
                fcntl.flock(
                    handle, fcntl.LOCK_EX
                )  # says that it is not stale, until this process ends, however it does
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o600)
            os.replace(temporary, target)
            sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def _remove_stale(target: Path) -> None:
    """Deletes what a killed process left of ``target``: temporary files that no living process has locked."""
    for stale in target.parent.glob(f".{glob.escape(target.name[:NAMED_BY])}.????????.part"):
        try:
            handle = os.open(stale, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or another user's
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stale.unlink(missing_ok=True)
        except OSError:
            pass  # a living process is at work on it
        finally:
            os.close(handle)


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
        digest.update(
            f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()
