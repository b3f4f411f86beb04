"""A project's identity: its id, by which its key file is found, and what must still be there.

In: project.json of a workspace. Out: an ``Identity``.

Covers: which folder the id belongs to. A folder that was copied or moved gets an id of its own when it is first
opened, and so a key file of its own: a rotation in one folder never takes the key from another. Does not cover: the
key (keys.py); copies that nobody opened before the original's key was rotated: they are closed by that, as backups
are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from residency.errors import StoreError
from residency.settings import fingerprint
from residency.store.files import disk_errors, locked, write_text

ID_BYTES = 8


class Identity(BaseModel):
    """project.json. The id names a file, and so it is nothing but hexadecimal digits."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str = Field(pattern=f"^[0-9a-f]{{{2 * ID_BYTES}}}$")
    place: str | None = None  # hash of the folder that the id was given to
    key: str | None = None  # fingerprint of the project key
    vault: str | None = None  # id of the vault; once it is known, the vault must be there

    def write(self, file: Path, **changes: str) -> None:
        """Writes it with these changes."""
        write_text(file, self.model_copy(update=changes).model_dump_json(exclude_none=True) + "\n")


@contextmanager
def own_identity(root: Path, file: Path) -> Iterator[Identity]:
    """The identity of the folder ``root``, kept in ``file``, for one process at a time.

    Where the file names another folder, or is not there, it gets a new id first. What else it knows stays: the key's
    fingerprint, by which ``project_key`` finds the key of the folder that this one is a copy of.
    """
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{file}: another process has been at work with it for a minute."
    with locked(file.with_suffix(".lock"), seconds=60, busy=busy):
        known = _read(file)
        place = fingerprint({"root": str(root.resolve())})
        if known is None or known.place != place:
            fresh = {"id": secrets.token_hex(ID_BYTES), "place": place}
            known = Identity(**fresh) if known is None else known.model_copy(update=fresh)
            known.write(file)
        yield known


def _read(file: Path) -> Identity | None:
    try:
        return Identity.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{file}: cannot be read ({error.strerror}).", fix="Give this user read access, or put back a copy."
        ) from None
    except ValidationError:
        raise StoreError(
            f"{file}: damaged; it says which key belongs to this project.",
            fix="Put back a copy; or delete the file, if the vault beside it is whole and its key file is there.",
        ) from None
