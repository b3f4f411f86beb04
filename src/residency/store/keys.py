"""The project's secret key: 32 random bytes, kept outside the project folder.

In: the project's identity. Out: the key; the wrapper that seals the vault's keys with it; a new key in its place.

Covers: a key file with mode 0600 in the user's configuration folder, a key given in the environment, a key that
a command prints (password manager, command line of a key service), the clear refusal when the key of an existing
workspace is lost, rotation that may be killed at any moment, the interface behind which a key service fits.
Does not cover: copies of a key file in backups (rotate, then destroy them), memory of a running process, commands
that ask a person (they run without a terminal), losing the key: what it protects is then lost as well.

Surrogates and date shifts are keyed with it, or with a key of the vault that it protects: with another key they
cannot be linked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import selectors
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from residency.errors import StoreError, first_of
from residency.places import key_folder
from residency.store.files import disk_errors, locked, sync_folder, write_text

KEY_BYTES = 32
NONCE_BYTES = 12  # 96 bits, what AES-GCM is made for (NIST SP 800-38D, 8.2.2)
ENVIRONMENT = "RESIDENCY_KEY"  # wins over the command, which wins over the file
COMMAND = "RESIDENCY_KEY_COMMAND"
NEW_ENVIRONMENT = "RESIDENCY_NEW_KEY"  # read by a rotation only
COMMAND_SECONDS = 30.0  # chosen by us: a key service answers in one or two
MOST_BYTES = 1024  # that a key file or command is read: far more than a key and the white space around it
NAMED = 3  # key files in a message


class KeyWrapper(Protocol):
    """Seals keys with a key that it does not give away: the project key here, or a key service."""

    @property
    def fingerprint(self) -> str:
        """Tells two wrapping keys apart without telling anything about them."""

    def wrap(self, key: bytes, about: bytes) -> bytes:
        """Seals ``key``; only ``unwrap`` with the same ``about`` opens it."""

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Opens what ``wrap`` sealed; StoreError if it was altered, is about something else, or has another key."""


class LocalWrapper:
    """AES-256-GCM under a key derived (HKDF-SHA256) from the project key, which so serves no two purposes."""

    def __init__(self, project_key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"residency vault key wrapping 1")
        self._cipher = AESGCM(derive.derive(project_key))
        self._fingerprint = key_fingerprint(project_key)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def wrap(self, key: bytes, about: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise StoreError(
                "A wrapped key was altered, or belongs to another project key.",
                fix="Run the same command again; if it stays so, put back the last good copy of the vault.",
            ) from None


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation under way. ``next_step`` is what the user must do after it, empty where nothing is left to do."""

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)
    next_step: str = ""


def key_path(project_id: str) -> Path:
    """Where the key of a project lies."""
    return key_folder() / f"{project_id}.key"


def new_key_path(project_id: str) -> Path:
    """Where a rotation keeps the new key until everything is sealed with it."""
    return key_folder() / f"{project_id}.key.new"


def project_key(project_id: str, *, known_fingerprint: str | None) -> bytes:
    """The key of a project; a new one only if no earlier run used one (``known_fingerprint`` is None).

    ``known_fingerprint`` comes from the vault where there is one (``Vault.fingerprint_at``): it changes in the same
    transaction as the keys in the vault, so that it says after a kill whether a rotation took place. If the new key
    of an interrupted rotation is the known one, it becomes the project's key file here. A project that has no key
    file yet, as a copied folder with an id of its own, gets one from the key file with that fingerprint.
    """
    place, key = _find(project_id)
    if known_fingerprint is not None and _source() is None and not _is(key, known_fingerprint):
        key = _finish_rotation(project_id, known_fingerprint) or key
        if key is None and (others := _files_with(known_fingerprint)):
            key = _read(others[0])
            if key is not None:
                keep_key(project_id, key)
    if key is None:
        if known_fingerprint is not None:
            raise StoreError(
                f"{place}: the key of this workspace is missing.",
                fix=f"Put the key file back, or set {ENVIRONMENT} to its content.",
            )
        key = secrets.token_bytes(KEY_BYTES)
        keep_key(project_id, key)
    if known_fingerprint is not None and not _is(key, known_fingerprint):
        raise StoreError(
            f"{place}: this is not the key that the workspace was made with.",
            fix="Put the right key back (after a rotation: the new one); or start a new project folder, "
            "if the old surrogates may be given up.",
        )
    return key


def keep_key(project_id: str, key: bytes) -> None:
    """Writes a new project's key file; an equal one may be there already."""
    path = key_path(project_id)
    if _read(path) == key:
        return
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())


def key_fingerprint(key: bytes) -> str:
    """Tells two keys apart without telling anything about them (hex, 16 digits)."""
    return hmac.new(key, b"residency key fingerprint", hashlib.sha256).hexdigest()[:16]


@contextmanager
def key_rotation(project_id: str, *, known: Callable[[], str | None]) -> Iterator[Rotation]:
    """Gives the old and a new key; the block seals everything with the new one, and then the new one stays.

        with key_rotation(project_id, known=lambda: Vault.fingerprint_at(folder)) as keys:
            vault.rotate(LocalWrapper(keys.new))

    ``known`` reads the fingerprint that the vault has at that moment. The new key is on disk before the block
    begins and replaces the old one only after ``known`` tells of it: after a kill at any moment, the key that the
    vault needs is in one of the two files, and ``project_key`` finds it. The new key of a rotation that did not
    come that far protects nothing; the next rotation throws it away. (Not ``project_key``: a process that looked
    at the vault a moment ago would throw away the key of a rotation that was just finished.)
    """
    with _rotating_alone(project_id):
        _settle(project_id, known())
        old = project_key(project_id, known_fingerprint=known())
        rotation = _begin(project_id, old)
        yield rotation
        if known() != key_fingerprint(rotation.new):
            raise StoreError(
                f"{key_folder()}: the key of project {project_id} was not rotated; the old one stays.",
                fix="Run the same command again.",
            )
        _settle(project_id, known())


def _begin(project_id: str, old: bytes) -> Rotation:
    given = os.environ.get(NEW_ENVIRONMENT)
    if given is None and _source() is not None:
        raise StoreError(
            f"The project key is given by {_source()}; a new one cannot be put there from here.",
            fix=f"Set {NEW_ENVIRONMENT} to the new key ({2 * KEY_BYTES} random hexadecimal digits) and run the same "
            "command again.",
        )
    new = secrets.token_bytes(KEY_BYTES) if given is None else _parse(given, f"environment variable {NEW_ENVIRONMENT}")
    if hmac.compare_digest(new, old):
        raise StoreError(
            f"Environment variable {NEW_ENVIRONMENT}: this is the old key.",
            fix=f"Set it to {2 * KEY_BYTES} new random hexadecimal digits.",
        )
    if _source() is not None:
        return Rotation(old, new, f"Let {_source()} give the new key from now on, then destroy the old one.")
    write_text(new_key_path(project_id), new.hex() + "\n")
    others = [str(path) for path in _files_with(key_fingerprint(old)) if path != key_path(project_id)]
    return Rotation(old, new, _still_held(others) if others else "")


def _still_held(others: list[str]) -> str:
    return (
        f"The old key is also in {first_of(others, NAMED)}: a copy of this project may need it. Where none does, "
        "destroy it and its backups, and old copies of the vault are unreadable."
    )


def _files_with(fingerprint: str) -> list[Path]:
    """Key files, of whatever project, that hold the key with this fingerprint."""
    found = []
    for path in sorted(key_folder().glob("*.key*")):
        with suppress(StoreError):  # not readable, or no key: a lock, something of the user's
            if _is(_read(path), fingerprint):
                found.append(path)
    return found


def _finish_rotation(project_id: str, known: str) -> bytes | None:
    """The new key of a rotation, if everything is sealed with it already."""
    new = _read(new_key_path(project_id))
    if new is None:  # the rotating process may have moved it a moment ago
        new = _read(key_path(project_id))
    if not _is(new, known):
        return None
    with suppress(StoreError), _rotating_alone(project_id):  # held: the rotating process lives and does it itself
        _settle(project_id, known)
    return new


def _settle(project_id: str, known: str | None) -> None:
    """One key file out of two: the known one. Call under the lock."""
    path, beside = key_path(project_id), new_key_path(project_id)
    new = _read(beside)
    if new is None or known is None:
        return
    with disk_errors(path):
        if _is(_read(path), known):
            beside.unlink()
        elif _is(new, known):
            os.replace(beside, path)
            sync_folder(path.parent)


@contextmanager
def _rotating_alone(project_id: str) -> Iterator[None]:
    path = key_path(project_id)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_name(f"{path.name}.lock")
    with locked(lock, seconds=0, busy=f"{lock}: another process is rotating this key."):
        yield


def _is(key: bytes | None, fingerprint: str) -> bool:
    return key is not None and hmac.compare_digest(key_fingerprint(key), fingerprint)


def _source() -> str | None:
    """What gives the key instead of the key file, if anything does."""
    return next((f"environment variable {name}" for name in (ENVIRONMENT, COMMAND) if name in os.environ), None)


def _find(project_id: str) -> tuple[str, bytes | None]:
    place = _source()
    if place is None:
        path = key_path(project_id)
        return str(path), _read(path)
    if ENVIRONMENT in os.environ:
        return place, _parse(os.environ[ENVIRONMENT], place)
    return place, _parse(_printed_by(os.environ[COMMAND], place), f"{place}: what the command printed")


def _read(path: Path) -> bytes | None:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # before it is opened: a pipe would wait for its writer
            raise StoreError(f"{path}: not a file; the key should be one.", fix="Move it away; put the key file back.")
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except PermissionError:
        raise StoreError(f"{path}: the key cannot be read.", fix="Give this user, and no other, read access.") from None
    except OSError as error:  # a link to itself, a file in place of the folder
        raise StoreError(
            f"{path}: the key cannot be read ({error.strerror}).", fix="Correct the path, or XDG_CONFIG_HOME."
        ) from None
    if mode & 0o077:
        raise StoreError(f"{path}: others than its owner may read the key.", fix=f"Run: chmod 600 {path}")
    return _parse(text, str(path))


def _printed_by(command: str, place: str) -> str:
    """What the command writes to its standard output. No error names a part of the command: it may hold a secret."""
    fix = f"Run the command by hand: it must print {2 * KEY_BYTES} hexadecimal digits, and ask nothing."
    try:
        words = shlex.split(command)
    except ValueError:
        raise StoreError(f"{place}: not a command line; a quote is not closed.", fix=fix) from None
    if not words:
        raise StoreError(f"{place}: empty.", fix=fix)
    try:
        # A session of its own: what the command itself started can be ended with it.
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except (OSError, ValueError):
        raise StoreError(f"{place}: the program cannot be started.", fix=fix) from None
    end = time.monotonic() + COMMAND_SECONDS
    with process:
        try:
            printed = _output(process, end)
            if len(printed) <= MOST_BYTES:
                process.wait(timeout=max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise StoreError(f"{place}: no answer within {COMMAND_SECONDS:g} seconds.", fix=fix) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    if len(printed) > MOST_BYTES:
        raise StoreError(f"{place}: the command printed more than {MOST_BYTES} bytes; not a key.", fix=fix)
    if process.returncode != 0:
        raise StoreError(f"{place}: the command failed with exit status {process.returncode}.", fix=fix)
    return printed.decode("ascii", errors="replace")


def _output(process: subprocess.Popen[bytes], end: float) -> bytes:
    """What the command prints to its end, or a little more than ``MOST_BYTES`` of it.

    Not ``communicate``, which gathers whatever comes until the time is over.
    """
    assert process.stdout is not None
    printed = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(printed) <= MOST_BYTES:
            if not selector.select(timeout=max(0.0, end - time.monotonic())):
                raise subprocess.TimeoutExpired(process.args, COMMAND_SECONDS)
            piece = os.read(process.stdout.fileno(), MOST_BYTES)
            if not piece:
                break
            printed += piece
    return printed


def _parse(text: str, place: str) -> bytes:
    digits = text.strip()
    if not re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", digits):
        raise StoreError(
            f"{place}: not a key; expected {2 * KEY_BYTES} hexadecimal digits.",
            fix="Put the key's content back as it was written.",
        )
    return bytes.fromhex(digits)
