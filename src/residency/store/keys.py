"""The project's secret key: 32 random bytes, kept outside the project folder.

In: the project's identity. Out: the key.

Covers: a key file with mode 0600 in the user's configuration folder, a key given in the environment,
the clear refusal when the key of an existing workspace is lost.
Does not cover: encryption of raw text (the vault comes with the de-identification stage's review), key services.

Surrogates, date shifts and patient pseudonyms are keyed with it: with another key they cannot be linked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from residency.errors import StoreError
from residency.places import key_folder
from residency.store.files import disk_errors

KEY_BYTES = 32
ENVIRONMENT = "RESIDENCY_KEY"


def key_path(project_id: str) -> Path:
    """Where the key of a project lies."""
    return key_folder() / f"{project_id}.key"


def project_key(project_id: str, *, known_fingerprint: str | None) -> bytes:
    """The key of a project; a new one only if no earlier run used one (``known_fingerprint`` is None)."""
    place, key = _find(project_id)
    if key is None:
        if known_fingerprint is not None:
            raise StoreError(
                f"{place}: the key of this workspace is missing.",
                fix=f"Put the key file back, or set {ENVIRONMENT} to its content.",
            )
        key = secrets.token_bytes(KEY_BYTES)
        keep_key(project_id, key)
    if known_fingerprint is not None and not hmac.compare_digest(key_fingerprint(key), known_fingerprint):
        raise StoreError(
            f"{place}: this is not the key that the workspace was made with.",
            fix="Put the right key back; or start a new project folder, if the old surrogates may be given up.",
        )
    return key


def keep_key(project_id: str, key: bytes) -> None:
    """Writes a new project's key file; an equal one may be there already."""
    path = key_path(project_id)
    if path.exists() and _find(project_id)[1] == key:
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


def _find(project_id: str) -> tuple[str, bytes | None]:
    given = os.environ.get(ENVIRONMENT)
    if given is not None:
        return f"environment variable {ENVIRONMENT}", _parse(given, f"environment variable {ENVIRONMENT}")
    path = key_path(project_id)
    if not path.exists():
        return str(path), None
    if path.stat().st_mode & 0o077:
        raise StoreError(f"{path}: others than its owner may read the key.", fix=f"Run: chmod 600 {path}")
    return str(path), _parse(path.read_text(encoding="ascii", errors="replace"), str(path))


def _parse(text: str, place: str) -> bytes:
    digits = text.strip()
    if not re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", digits):
        raise StoreError(
            f"{place}: not a key; expected {2 * KEY_BYTES} hexadecimal digits.",
            fix="Put the key's content back as it was written.",
        )
    return bytes.fromhex(digits)
