"""Artifacts: sequences of records in Parquet files that are named by their content.

In: records of one kind. Out: a ``Ref`` (content hash and count), and the records again.

Covers: streaming writes, atomic appearance, proof on reading that the rows are the rows that were written.
Does not cover: which stage made what; the ledger says that.

A column a field. Text, numbers and booleans are plain columns, so that any Parquet tool can look at them;
nested fields are JSON text. Rejected: native nested columns, which turn mappings with different keys into
structs full of nulls.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

from residency.errors import StoreError
from residency.store.files import disk_errors, whole_file

Record = TypeVar("Record")
PLAIN = {str: "string", int: "int64", float: "float64", bool: "bool_"}
ROWS_A_GROUP = 1_000  # rows held in memory while writing; chosen by us: some MB of text


@dataclass(frozen=True, slots=True)
class Ref:
    """A finished artifact: kind of record, content hash (hex), number of records."""

    kind: str
    hash: str
    count: int

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "hash": self.hash, "count": self.count}


class Artifacts:
    """All artifacts below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, ref: Ref) -> Path:
        return self.folder / ref.hash[:2] / f"{ref.hash}.parquet"

    def holds(self, ref: Ref) -> bool:
        return self.path(ref).is_file()

    def write(self, kind: type[Record], records: Iterable[Record]) -> Ref:
        """Writes all records; the artifact appears whole or not at all."""
        with self.writer(kind) as writer:
            for record in records:
                writer.add(record)
        return writer.ref

    @contextmanager
    def writer(self, kind: type[Any]) -> Iterator[Writer]:
        """Streams records into an artifact that appears, named by its content, when the block ends well."""
        import pyarrow.parquet as pq

        codec = Codec(kind)
        part = self.folder / f"{uuid.uuid4().hex}.part"
        with whole_file(part) as temporary, pq.ParquetWriter(temporary, codec.schema, compression="zstd") as parquet:
            writer = Writer(codec, parquet)
            yield writer
            ref = writer.finish()
        with disk_errors(part):
            self.path(ref).parent.mkdir(parents=True, exist_ok=True)
            part.replace(self.path(ref))

    def read(self, ref: Ref, kind: type[Record]) -> Iterator[Record]:
        """The records in the order written. A torn or altered file is a StoreError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, codec = self.path(ref), Codec(kind)
        digest = hashlib.sha256(kind.__name__.encode())
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROWS_A_GROUP):
                    for row in batch.to_pylist():
                        digest.update(_row_bytes(row))
                        yield codec.decode(row)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _torn(path, type(error).__name__) from None
        if digest.hexdigest() != ref.hash:
            raise _torn(path, "its content does not have the hash in its name")


class Writer:
    """Takes records of one kind, one by one. ``ref`` is there once the artifact is whole."""

    ref: Ref

    def __init__(self, codec: Codec, parquet: Any) -> None:
        self._codec = codec
        self.count = 0
        self._parquet = parquet
        self._digest = hashlib.sha256(codec.kind.__name__.encode())
        self._rows: list[dict[str, Any]] = []

    def add(self, record: Any) -> None:
        row = self._codec.encode(record)
        self._digest.update(_row_bytes(row))
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._parquet.write_table(pa.Table.from_pylist(self._rows, schema=self._codec.schema))
            self._rows = []

    def finish(self) -> Ref:
        self.flush()
        self.ref = Ref(self._codec.kind.__name__, self._digest.hexdigest(), self.count)
        return self.ref


def _torn(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path.name}: this artifact is damaged ({why}).",
        fix=f"Delete {path} and run again: whatever is missing is made anew.",
    )


class Codec:
    """Records of one kind as rows of plain columns and JSON text, and back."""

    def __init__(self, kind: type[Any]) -> None:
        hints = get_type_hints(kind)
        self.kind = kind
        self.plain_types = {field.name: PLAIN.get(hints[field.name]) for field in fields(kind)}  # None: kept as JSON
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    @property
    def schema(self) -> Any:
        import pyarrow as pa

        return pa.schema([(name, getattr(pa, plain or "string")()) for name, plain in self.plain_types.items()])

    def encode(self, record: Any) -> dict[str, Any]:
        whole = self._adapter.dump_python(record, mode="json")
        return {name: whole[name] if plain else _json(whole[name]) for name, plain in self.plain_types.items()}

    def decode(self, row: dict[str, Any]) -> Any:
        return self._adapter.validate_python(
            {name: row[name] if plain else json.loads(row[name]) for name, plain in self.plain_types.items()}
        )


def _row_bytes(row: dict[str, Any]) -> bytes:
    return (_json(row) + "\n").encode("utf-8", errors="surrogatepass")


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
