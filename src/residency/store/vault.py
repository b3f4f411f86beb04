"""The vault: raw text, and what links it to people, encrypted at rest.

In: records of patients (kind, id, bytes), the wrapper of the project key. Out: the same bytes; pseudonyms; the key of
surrogates.

Covers: AES-256-GCM with one random key per patient, all of them wrapped by the project key; random pseudonyms (a code
derived from an identity is no de-identification: HIPAA Safe Harbor, 45 CFR 164.514(c)); forgetting a patient by
destroying the key; rotation of the project key in one transaction; damaged, altered, swapped or moved records are
refused; several processes at once (each opens the vault itself; one writes at a time).
Does not cover: copies of the file in backups and snapshots, or on the cells of a flash disk (rotate, destroy the old
project key, and they are worthless); memory and swap of a running process; somebody who may write the file and puts an
old copy of a record back, removes one, or exchanges who has which pseudonym; how many records a patient has and how
long they are compressed (contents are compressed with zlib before they are encrypted); record kinds and record ids,
which are not encrypted: never build them from private text.

SQLAlchemy Core over SQLite in WAL mode; nothing here is SQLite only but the pragmas. One key per patient, and not one
per record, was chosen: forgetting needs no more, and a key service is asked once a patient.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    create_engine,
    event,
    func,
    inspect,
    select,
)
from sqlalchemy.exc import DatabaseError, OperationalError

from residency.errors import StoreError, first_of
from residency.store.files import disk_errors, locked
from residency.store.keys import KEY_BYTES, NONCE_BYTES, KeyWrapper
from residency.store.sqlite import begin_explicitly

FILE = "vault.sqlite"
SCHEMA = 1
BUSY_SECONDS = 10.0  # how long a writer waits for another one
KEYS_KEPT = 4096  # unwrapped patient keys in memory, at most; about 1 kB each
VALUES_A_QUERY = 500  # SQLite allows 999 in old builds
COMPRESSION = 1  # zlib level; level 6 makes 1,500 bytes of the demo's reports 1 % smaller (measured by us, 2026)
CELL_BYTES = 640  # a wrapped key as it is stored; RSA-4096, the longest that key services give, has 512

TABLES = MetaData()

VAULT = Table(
    "vault",  # one row
    TABLES,
    Column("id", String(32), primary_key=True),
    Column("schema", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),  # of the key that wraps all others
    Column("surrogate_key", LargeBinary, nullable=False),  # wrapped; CELL_BYTES
    Column("made", String(32), nullable=False),  # ISO 8601, UTC
    Column("rotated", String(32)),
)

# Rows are never deleted and never change their size, whatever the wrapper: SQLite then overwrites a key where it
# lies. Rows that grow are moved between pages, and that left copies behind in spite of secure_delete (3 of 3,000 keys
# after a rotation from 60 to 1,560 bytes, SQLite 3.40): nothing would ever overwrite those.
PATIENTS = Table(
    "patients",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("pseudonym", String(12), nullable=False, unique=True),
    Column("lookup", String(64), nullable=False, unique=True),  # keyed hash of the patient's id
    Column("intact", Boolean, nullable=False),  # False: forgotten; key and identity are zeros
    Column("key", LargeBinary, nullable=False),  # wrapped; CELL_BYTES
    Column("identity", LargeBinary, nullable=False),  # the patient's id, encrypted under the patient's key
)

RECORDS = Table(
    "records",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(64), nullable=False),
    Column("id", String(256), nullable=False),
    Column("pseudonym", String(12), ForeignKey(PATIENTS.c.pseudonym), nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),  # nonce, then ciphertext and tag
    UniqueConstraint("kind", "id"),
    Index("ix_records_kind_pseudonym", "kind", "pseudonym"),
)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Whom the vault forgot, and how many records went with the key."""

    pseudonym: str
    records: int


@dataclass(frozen=True, slots=True)
class VaultState:
    """What may be told of a vault in a report."""

    id: str
    patients: int  # with an intact key
    forgotten: int
    records: dict[str, int]  # kind -> number
    fingerprint: str  # of the wrapping key
    made: str  # ISO 8601, UTC
    rotated: str | None


class Vault:
    """The vault of one project. Each process opens its own; threads may share one."""

    def __init__(self, path: Path, engine: Engine, wrapper: KeyWrapper) -> None:
        """Use ``Vault.open``."""
        self.path = path
        self._engine = engine
        self._wrapper = wrapper
        self._process = os.getpid()
        self._cipher = lru_cache(maxsize=KEYS_KEPT)(self._unwrap_patient)
        with self._transaction() as connection:
            row = connection.execute(select(VAULT)).first()
        if row is None:
            raise lost_vault(path.parent)
        _check(path, row, wrapper)
        self.id: str = row.id
        self._surrogate_key = self._unwrap(row.surrogate_key, _about(self.id, "surrogate"), "the key of surrogates")
        self._lookup_key = hmac.digest(self._surrogate_key, b"residency vault patient lookup 1", "sha256")

    @classmethod
    def open(
        cls, folder: Path, wrapper: KeyWrapper, *, known: str | None = None, first_surrogate_key: bytes | None = None
    ) -> Vault:
        """The vault in ``folder``; StoreError, and nothing written, if the key is another one.

        ``known``: the id of the vault that must be there; where none is known, one is made if absent.
        ``first_surrogate_key``: 32 bytes that a new vault takes for its surrogates; drawn at random if not given.
        """
        if known is not None and cls.fingerprint_at(folder) is None:
            raise lost_vault(folder)
        path = folder / FILE
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            with _making_alone(folder):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                path.chmod(0o600)  # SQLite gives its two side files the same mode
                engine = _engine(path)
                with _transaction(path, engine, writes=not _made(path, engine)) as connection:
                    if not inspect(connection).has_table(VAULT.name):
                        _make(connection, wrapper, first_surrogate_key or secrets.token_bytes(KEY_BYTES))
        try:
            vault = cls(path, engine, wrapper)
            if known not in (None, vault.id):
                raise StoreError(
                    f"{path}: this is not the vault {known} that belongs here.", fix="Put back its last good copy."
                )
            return vault
        except BaseException:
            engine.dispose()
            raise

    @staticmethod
    def fingerprint_at(folder: Path) -> str | None:
        """The fingerprint of the key that the vault in ``folder`` is sealed with; None if there is no vault."""
        path = folder / FILE
        if not path.is_file():
            return None
        with disk_errors(folder), _making_alone(folder):
            engine = _engine(path)
            try:
                if not _made(path, engine):
                    return None
                with _transaction(path, engine) as connection:
                    fingerprint: str | None = connection.execute(select(VAULT.c.fingerprint)).scalar()
                return fingerprint
            finally:
                engine.dispose()

    def close(self) -> None:
        """Lets go of the file and of the keys in memory."""
        self._cipher.cache_clear()
        self._engine.dispose()

    @property
    def surrogate_key(self) -> bytes:
        """32 bytes that key surrogates; they outlive every rotation of the project key."""
        return self._surrogate_key

    def pseudonym(self, patient: str) -> str:
        """The patient's pseudonym, drawn at random when first asked for; StoreError for a forgotten patient."""
        return self.pseudonyms((patient,))[patient]

    def pseudonyms(self, patients: Iterable[str], *, derive: bool = False) -> dict[str, str]:
        """Pseudonyms of many patients, in one transaction; ids are compared byte by byte, not normalized.

        ``derive``: a new one is computed from the id with the key of surrogates instead of drawn, and so the same in
        every vault with that key; for policies that permit a derived code.
        """
        hashes = {patient: self._lookup(patient) for patient in patients}
        with self._transaction() as connection:
            known = _by_lookup(connection, hashes.values())
        if not known.keys() >= set(hashes.values()):
            with self._writing() as connection:
                known = _by_lookup(connection, hashes.values())
                self._enroll(connection, [p for p, hashed in hashes.items() if hashed not in known], derive=derive)
                known = _by_lookup(connection, hashes.values())
                self._refuse_forgotten(known.values())
        self._refuse_forgotten(known.values())
        return {patient: known[hashed].pseudonym for patient, hashed in hashes.items()}

    def identity(self, pseudonym: str) -> str:
        """The patient behind a pseudonym; StoreError if unknown or forgotten."""
        with self._transaction() as connection:
            row = connection.execute(select(PATIENTS).where(PATIENTS.c.pseudonym == pseudonym)).first()
        if row is None:
            raise self._unknown_patient()
        self._refuse_forgotten((row,))
        about = _about(self.id, "identity", pseudonym)
        identity = self._open(row.key, pseudonym, row.identity, about, f"the identity of patient {pseudonym}")
        return identity.decode("utf-8", "surrogatepass")

    def is_forgotten(self, patient: str) -> bool:
        return bool(self.forgotten((patient,)))

    def forgotten(self, patients: Iterable[str]) -> set[str]:
        """Those of the patients that were forgotten."""
        hashes = {patient: self._lookup(patient) for patient in patients}
        with self._transaction() as connection:
            known = _by_lookup(connection, hashes.values())
        return {patient for patient, hashed in hashes.items() if hashed in known and not known[hashed].intact}

    def put(self, kind: str, records: Iterable[tuple[str, str, bytes]]) -> None:
        """Keeps records (pseudonym, record id, content) in one transaction.

        One with the same kind and id is replaced and keeps its place in the order. The records are held in memory
        at once: give batches of some thousands.
        """
        given = {record_id: (pseudonym, content) for pseudonym, record_id, content in records}
        if not given:
            return
        with self._writing() as connection:
            keys = self._keys(connection, {pseudonym for pseudonym, _ in given.values()})
            there = _ids_there(connection, kind, given)
            rows = [
                {
                    "kind": kind,
                    "id": record_id,
                    "pseudonym": pseudonym,
                    "content": self._seal(keys[pseudonym], pseudonym, content, self._place(kind, pseudonym, record_id)),
                }
                for record_id, (pseudonym, content) in given.items()
            ]
            _replace(connection, [row for row in rows if row["id"] in there])
            _insert(connection, RECORDS, [row for row in rows if row["id"] not in there])

    def get(self, kind: str, record_id: str) -> bytes:
        """The content of one record; StoreError if there is none, or if it was altered."""
        query = _records(kind).where(RECORDS.c.id == record_id)
        with self._transaction() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise StoreError(
                f"{self.path}: there is no {kind} {record_id}.",
                fix="It was never kept, was removed, or its patient was forgotten; read the sources again if they may.",
            )
        return self._content(kind, row)

    def read(self, kind: str, pseudonym: str) -> list[tuple[str, bytes]]:
        """One patient's records (id, content), in the order in which they came; none for a forgotten patient."""
        query = _records(kind).where(RECORDS.c.pseudonym == pseudonym).order_by(RECORDS.c.number)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [(row.id, self._content(kind, row)) for row in rows]

    def patients(self, kind: str | None = None) -> list[str]:
        """Pseudonyms of all patients that are not forgotten, in order of first appearance.

        With ``kind``, only of those that have records of it.
        """
        query = select(PATIENTS.c.pseudonym).where(PATIENTS.c.intact).order_by(PATIENTS.c.number)
        if kind is not None:
            query = query.where(PATIENTS.c.pseudonym.in_(select(RECORDS.c.pseudonym).where(RECORDS.c.kind == kind)))
        with self._transaction() as connection:
            return list(connection.execute(query).scalars())

    def ids(self, kind: str) -> list[str]:
        """Ids of all records of a kind, in the order in which they came."""
        query = select(RECORDS.c.id).where(RECORDS.c.kind == kind).order_by(RECORDS.c.number)
        with self._transaction() as connection:
            return list(connection.execute(query).scalars())

    def owners(self, kind: str) -> dict[str, str]:
        """The pseudonym of the patient of every record of a kind, by the record's id."""
        query = select(RECORDS.c.id, RECORDS.c.pseudonym).where(RECORDS.c.kind == kind)
        with self._transaction() as connection:
            return {row.id: row.pseudonym for row in connection.execute(query)}

    def count(self, kind: str) -> int:
        query = select(func.count()).select_from(RECORDS).where(RECORDS.c.kind == kind)
        with self._transaction() as connection:
            number: int = connection.execute(query).scalar_one()
        return number

    def remove(self, kind: str) -> None:
        """Deletes all records of a kind; the patients and their keys stay."""
        with self._writing() as connection:
            connection.execute(RECORDS.delete().where(RECORDS.c.kind == kind))

    def forget(self, patient: str) -> Forgotten:
        """Destroys a patient's key and records; ``patient`` is the patient's id or pseudonym.

        What stays: the pseudonym and the keyed hash of the id, by which the patient is refused from now on. For a
        patient who is forgotten already it only cleans again.
        """
        with self._writing() as connection:
            row = self._one_patient(connection, patient)
            mine = RECORDS.c.pseudonym == row.pseudonym
            records: int = connection.execute(select(func.count()).select_from(RECORDS).where(mine)).scalar_one()
            connection.execute(RECORDS.delete().where(mine))
            zeros = {"intact": False, "key": bytes(CELL_BYTES), "identity": bytes(len(row.identity))}
            connection.execute(PATIENTS.update().where(PATIENTS.c.number == row.number).values(**zeros))
        self._cipher.cache_clear()
        if not self._clean():
            raise StoreError(
                f"{self.path}: patient {row.pseudonym} is forgotten, but old pages are still in the file beside it: "
                "another process reads in the vault, or the disk is full.",
                fix=f"End the other process or free some space, then forget {row.pseudonym} again.",
            )
        return Forgotten(row.pseudonym, records)

    def rotate(self, new: KeyWrapper) -> int:
        """Wraps every key anew in one transaction; returns how many. Contents and surrogates stay as they are."""
        with self._writing() as connection:
            intact = select(PATIENTS.c.pseudonym, PATIENTS.c.key).where(PATIENTS.c.intact)
            changes = [
                {"whose": row.pseudonym, "key": self._rewrap(row.key, row.pseudonym, new)}
                for row in connection.execute(intact).all()
            ]
            if changes:
                connection.execute(PATIENTS.update().where(PATIENTS.c.pseudonym == bindparam("whose")), changes)
            surrogate_key = _wrap(new, self._surrogate_key, _about(self.id, "surrogate"))
            values = {"fingerprint": new.fingerprint, "surrogate_key": surrogate_key, "rotated": _now()}
            connection.execute(VAULT.update().values(**values))
        self._wrapper = new
        self._cipher.cache_clear()
        self._clean()  # where another process reads just now, the last one to close the vault does it
        return len(changes) + 1

    def state(self) -> VaultState:
        with self._transaction() as connection:
            row = connection.execute(select(VAULT)).one()
            intact = dict(_pairs(connection, select(PATIENTS.c.intact, func.count()).group_by(PATIENTS.c.intact)))
            kinds = select(RECORDS.c.kind, func.count()).group_by(RECORDS.c.kind).order_by(RECORDS.c.kind)
            records = dict(_pairs(connection, kinds))
        return VaultState(
            id=row.id, patients=intact.get(True, 0), forgotten=intact.get(False, 0), records=records,
            fingerprint=row.fingerprint, made=row.made, rotated=row.rotated,
        )  # fmt: skip

    def _transaction(self, *, writes: bool = False) -> AbstractContextManager[Connection]:
        if os.getpid() != self._process:  # SQLite's connections do not survive a fork; they can break the file
            raise RuntimeError("a vault that was opened before a fork is used after it; open it in each process")
        return _transaction(self.path, self._engine, writes=writes)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that excludes other writers from its beginning, under the key that this process has."""
        with self._transaction(writes=True) as connection:
            # FOR UPDATE excludes the other writers where BEGIN IMMEDIATE does not exist.
            row = connection.execute(select(VAULT).with_for_update()).one()
            if row.fingerprint != self._wrapper.fingerprint:
                raise StoreError(
                    f"{self.path}: another process rotated the project key; nothing was written.",
                    fix="Run the same command again: it uses the new key.",
                )
            yield connection

    def _lookup(self, patient: str) -> str:
        return hmac.new(self._lookup_key, patient.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def find(self, patient: str) -> str | None:
        """The pseudonym of a patient, given by id or by the pseudonym itself, forgotten or not; None if unknown."""
        with self._transaction() as connection:
            either = (PATIENTS.c.lookup == self._lookup(patient)) | (PATIENTS.c.pseudonym == patient)
            names = connection.execute(select(PATIENTS.c.pseudonym).where(either)).scalars().all()
        return names[0] if len(names) == 1 else None

    def _enroll(self, connection: Connection, patients: list[str], *, derive: bool) -> None:
        wanted = [self._derived(patient) for patient in patients] if derive else []
        rows = []
        for patient, pseudonym in zip(patients, _draw(connection, len(patients), wanted), strict=True):
            key = AESGCM.generate_key(8 * KEY_BYTES)
            rows.append(
                {
                    "pseudonym": pseudonym,
                    "lookup": self._lookup(patient),
                    "intact": True,
                    "key": _wrap(self._wrapper, key, _about(self.id, "patient", pseudonym)),
                    "identity": _encrypt(
                        AESGCM(key), patient.encode("utf-8", "surrogatepass"), _about(self.id, "identity", pseudonym)
                    ),
                }
            )
        _insert(connection, PATIENTS, rows)

    def _derived(self, patient: str) -> str:
        digest = hmac.digest(
            self._surrogate_key, b"residency vault pseudonym 1" + patient.encode("utf-8", "surrogatepass"), "sha256"
        )
        return f"p-{digest.hex()[:10]}"

    def _one_patient(self, connection: Connection, patient: str) -> Row[Any]:
        either = (PATIENTS.c.lookup == self._lookup(patient)) | (PATIENTS.c.pseudonym == patient)
        rows = connection.execute(select(PATIENTS).where(either)).all()
        if len(rows) == 2:
            raise StoreError(
                f"{self.path}: this is the id of one patient and the pseudonym of another.",
                fix="Give the pseudonym of the patient that is meant by the id, or the id of the other one.",
            )
        if not rows:
            raise self._unknown_patient()
        return rows[0]

    def _unknown_patient(self) -> StoreError:
        return StoreError(
            f"{self.path}: there is no such patient.",
            fix="Give the id as it is written in the sources, or the pseudonym (p- and 10 hexadecimal digits).",
        )

    def _refuse_forgotten(self, rows: Iterable[Row[Any]]) -> None:
        gone = [row.pseudonym for row in rows if not row.intact]
        if gone:
            raise StoreError(
                f"{self.path}: {_some(gone)} forgotten; a forgotten patient is not taken in again.",
                fix="Remove this patient's texts from the sources.",
            )

    def _keys(self, connection: Connection, pseudonyms: set[str]) -> dict[str, bytes]:
        """The wrapped keys of patients who must all be there and intact."""
        rows = {row.pseudonym: row for row in _matching(connection, PATIENTS.c.pseudonym, pseudonyms)}
        unknown = sorted(pseudonyms - rows.keys())
        if unknown:
            # Not named: what is no pseudonym of the vault may be a patient's id, given by mistake.
            raise StoreError(
                f"{self.path}: {len(unknown)} of the patients of these records have no pseudonym here.",
                fix="Ask the vault for the pseudonyms first, and give them with the records.",
            )
        self._refuse_forgotten(rows.values())
        return {pseudonym: row.key for pseudonym, row in rows.items()}

    def _place(self, kind: str, pseudonym: str, record_id: str) -> bytes:
        """What a record's ciphertext is bound to: moved anywhere else, it does not open."""
        return _about(self.id, kind, pseudonym, record_id)

    def _content(self, kind: str, row: Row[Any]) -> bytes:
        about = self._place(kind, row.pseudonym, row.id)
        return zlib.decompress(self._open(row.key, row.pseudonym, row.content, about, f"{kind} {row.id}"))

    def _seal(self, cell: bytes, pseudonym: str, content: bytes, about: bytes) -> bytes:
        return _encrypt(self._cipher(pseudonym, cell), zlib.compress(content, COMPRESSION), about)

    def _open(self, cell: bytes, pseudonym: str, sealed: bytes, about: bytes, what: str) -> bytes:
        try:
            return self._cipher(pseudonym, cell).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise StoreError(
                f"{self.path}: {what} is damaged, or was altered.",
                fix="Put back the last good copy of the vault, or read the sources again.",
            ) from None

    def _unwrap_patient(self, pseudonym: str, cell: bytes) -> AESGCM:
        about = _about(self.id, "patient", pseudonym)
        return AESGCM(self._unwrap(cell, about, f"the key of patient {pseudonym}"))

    def _rewrap(self, cell: bytes, pseudonym: str, new: KeyWrapper) -> bytes:
        about = _about(self.id, "patient", pseudonym)
        return _wrap(new, self._unwrap(cell, about, f"the key of patient {pseudonym}"), about)

    def _unwrap(self, cell: bytes, about: bytes, what: str) -> bytes:
        length = int.from_bytes(cell[:2], "big")
        try:
            return self._wrapper.unwrap(cell[2 : 2 + length], about)
        except StoreError as error:
            raise StoreError(f"{self.path}: {what}: {error.message}", fix=error.fix) from None

    def _clean(self) -> bool:
        """Moves all pages into the database and empties the log beside it; False if that could not be done."""
        if self._engine.dialect.name != "sqlite":
            return True
        connection = self._engine.raw_connection()  # a transaction would hinder itself
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, *_ = cursor.fetchone() or (0,)
            cursor.close()
            return not busy
        except sqlite3.OperationalError:  # the disk is full
            return False
        finally:
            connection.close()


def lost_vault(folder: Path) -> StoreError:
    """A new vault in its place would take in again whom it had forgotten."""
    return StoreError(
        f"{folder / FILE}: the vault of this project is missing or empty; only it knows who was forgotten.",
        fix=f"Put back its last good copy. If there is none: take the texts of forgotten patients out of the inbox, "
        f"delete {folder.parent}, and run anew.",
    )


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True)
    begin_explicitly(engine)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_pragmas)
    return engine


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(1000 * BUSY_SECONDS)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten with zeros
    cursor.execute("PRAGMA temp_store=MEMORY")  # no copies of pages in files outside the folder
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@contextmanager
def _transaction(path: Path, engine: Engine, *, writes: bool = False) -> Iterator[Connection]:
    try:
        with engine.execution_options(writes=writes).begin() as connection:
            yield connection
    except OperationalError as error:
        raise StoreError(
            f"{path}: cannot be {'written' if writes else 'read'}: {error.orig}.",
            fix="Free some space, check that the folder may be written, end what else writes in the vault, and run "
            "the same command again.",
        ) from None
    except DatabaseError as error:
        raise StoreError(
            f"{path}: not a vault that can be opened ({type(error.orig).__name__}).",
            fix="Put back the last good copy of the vault.",
        ) from None


@contextmanager
def _making_alone(folder: Path) -> Iterator[None]:
    """One process at a time makes or opens the vault: changing a new file to WAL mode does not wait for others.

    Without this lock, 34 of 300 vaults that 8 processes made at once were refused as locked (measured by us, 2026).
    """
    busy = f"{folder}: another process has been opening the vault for a minute."
    with locked(folder / "vault.lock", seconds=60, busy=busy):
        yield


def _made(path: Path, engine: Engine) -> bool:
    with _transaction(path, engine) as connection:
        return inspect(connection).has_table(VAULT.name)


def _make(connection: Connection, wrapper: KeyWrapper, surrogate_key: bytes) -> None:
    vault_id = secrets.token_hex(16)
    wrapped = _wrap(wrapper, surrogate_key, _about(vault_id, "surrogate"))
    TABLES.create_all(connection)
    row = {"id": vault_id, "schema": SCHEMA, "fingerprint": wrapper.fingerprint, "surrogate_key": wrapped}
    connection.execute(VAULT.insert().values(**row, made=_now()))


def _check(path: Path, row: Row[Any], wrapper: KeyWrapper) -> None:
    if row.schema > SCHEMA:
        raise StoreError(
            f"{path}: the vault has schema {row.schema}; this version of residency knows up to {SCHEMA}.",
            fix="Use the newer version of residency that wrote it.",
        )
    if not hmac.compare_digest(row.fingerprint, wrapper.fingerprint):
        raise StoreError(
            f"{path}: the project key is not the key that the vault was made with, or was last rotated to.",
            fix=f"Give the key with the fingerprint {row.fingerprint}.",
        )


def _about(*parts: str) -> bytes:
    """What a ciphertext is about, as its associated data: each part with its length, so that no two lists agree."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _wrap(wrapper: KeyWrapper, key: bytes, about: bytes) -> bytes:
    """A key, wrapped, in a cell of constant size: its length in 2 bytes, the wrapped key, zeros."""
    wrapped = wrapper.wrap(key, about)
    if len(wrapped) > CELL_BYTES - 2:
        raise StoreError(
            f"A key wrapped by {wrapper.fingerprint} has {len(wrapped)} bytes; the vault holds {CELL_BYTES - 2}.",
            fix="Use a wrapping key of the key service that gives shorter ones.",
        )
    return (len(wrapped).to_bytes(2, "big") + wrapped).ljust(CELL_BYTES, b"\0")


def _encrypt(cipher: AESGCM, content: bytes, about: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, about)


def _draw(connection: Connection, number: int, wanted: list[str]) -> list[str]:
    """New pseudonyms that nobody has: the wanted ones where they are free, else random ones."""
    taken = {row.pseudonym for row in _matching(connection, PATIENTS.c.pseudonym, wanted)}
    free = dict.fromkeys(name for name in wanted if name not in taken)
    if len(free) == number:
        return list(free)
    drawn: dict[str, None] = {}
    while len(drawn) < number:
        fresh = {f"p-{secrets.token_hex(5)}" for _ in range(number - len(drawn))}
        taken = {row.pseudonym for row in _matching(connection, PATIENTS.c.pseudonym, fresh)}
        drawn |= dict.fromkeys(fresh - taken)
    spare = iter(drawn)
    names: list[str] = []
    for name in wanted or [""] * number:
        names.append(name if name in free and name not in names else next(spare))
    return names


def _by_lookup(connection: Connection, hashes: Iterable[str]) -> dict[str, Row[Any]]:
    return {row.lookup: row for row in _matching(connection, PATIENTS.c.lookup, hashes)}


def _matching(connection: Connection, column: Column[str], values: Iterable[str]) -> Iterator[Row[Any]]:
    """The patients whose ``column`` has one of the values."""
    for some in _batches(values):
        yield from connection.execute(select(PATIENTS).where(column.in_(some)))


def _ids_there(connection: Connection, kind: str, ids: Iterable[str]) -> set[str]:
    """Those of the ids under which there is a record of the kind."""
    there: set[str] = set()
    for some in _batches(ids):
        query = select(RECORDS.c.id).where(RECORDS.c.kind == kind, RECORDS.c.id.in_(some))
        there.update(connection.execute(query).scalars())
    return there


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), VALUES_A_QUERY):
        yield distinct[start : start + VALUES_A_QUERY]


def _records(kind: str) -> Any:
    """Records of a kind, with the wrapped keys of their patients."""
    columns = (RECORDS.c.id, RECORDS.c.pseudonym, RECORDS.c.content, PATIENTS.c.key)
    return select(*columns).join_from(RECORDS, PATIENTS).where(RECORDS.c.kind == kind)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _replace(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        same = (RECORDS.c.kind == bindparam("old_kind")) & (RECORDS.c.id == bindparam("old_id"))
        update = RECORDS.update().where(same).values(pseudonym=bindparam("whose"), content=bindparam("new_content"))
        connection.execute(
            update,
            [
                {"old_kind": row["kind"], "old_id": row["id"], "whose": row["pseudonym"], "new_content": row["content"]}
                for row in rows
            ],
        )


def _pairs(connection: Connection, query: Any) -> list[tuple[Any, int]]:
    return [(row[0], row[1]) for row in connection.execute(query)]


def _some(names: list[str]) -> str:
    shown = first_of(names, 3)
    return f"patient {shown} was" if len(names) == 1 else f"patients {shown} were"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
