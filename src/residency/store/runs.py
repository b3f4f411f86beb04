"""Runs: work that is done once, found again by what it depends on, and resumed after a kill.

In: a stage's name, its settings, the hashes of its inputs, the code version, a seed, and the work as a function.
Out: the outputs, from this run or an earlier equal one.

Covers: identity, resuming through journals and scratch folders, time and peak memory, failure kept as a fact.
Does not cover: what the work is; story.py hands it in.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from residency.settings import fingerprint, plain_data
from residency.store.artifacts import Artifacts, Ref, Writer
from residency.store.files import disk_errors, folder_sha256, locked, sync_folder
from residency.store.journal import Journal
from residency.store.ledger import Ledger, RunRow

Record = TypeVar("Record")
EVALUATIONS = "evaluations"  # reports of adapters that are not the project's own; they hold text of cases


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind. ``reused`` is True where an earlier equal run had done the work."""

    row: RunRow
    reused: bool
    workspace: Workspace

    @property
    def facts(self) -> dict[str, Any]:
        return self.row.facts

    def ref(self, name: str) -> Ref:
        return Ref(**self.row.outputs[name])

    def read(self, name: str, kind: type[Record]) -> list[Record]:
        """The records of one output."""
        return list(self.stream(name, kind))

    def stream(self, name: str, kind: type[Record]) -> Iterator[Record]:
        """The same one by one, none of them held."""
        return self.workspace.artifacts.read(self.ref(name), kind)

    def folder(self, name: str) -> Path:
        """The folder of one output that is not records, such as an adapter."""
        return self.workspace.folder / self.row.outputs[name]["folder"]

    def hash(self, name: str) -> str:
        content_hash: str = self.row.outputs[name]["hash"]
        return content_hash


@dataclass(slots=True)
class ActiveRun:
    """A run while it works."""

    workspace: Workspace
    scratch: Path  # survives a kill; an equal run finds it again
    outputs: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def writer(self, name: str, kind: type[Any]) -> Iterator[Writer]:
        """Streams records into the output ``name``."""
        with self.workspace.artifacts.writer(kind) as writer:
            yield writer
        self.outputs[name] = writer.ref.plain()

    def write(self, name: str, kind: type[Record], records: Iterable[Record]) -> None:
        self.outputs[name] = self.workspace.artifacts.write(kind, records).plain()

    def journal(self, name: str, kind: type[Record]) -> Journal[Record]:
        return Journal(self.scratch / f"{name}.jsonl", kind)

    def keep_folder(self, name: str, made: Path, content_hash: str | None = None) -> None:
        """Moves a finished folder to its place, named by ``content_hash`` or else by the hash of all it holds."""
        content_hash = content_hash or folder_sha256(made)
        place = Path(f"{name}s") / content_hash[:16]
        target = self.workspace.folder / place
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                shutil.rmtree(target)
            made.rename(target)
            sync_folder(target.parent)
        self.outputs[name] = {"folder": place.as_posix(), "hash": content_hash}


class Workspace:
    """The folder ``.residency`` of a project: ledger, artifacts, adapters, scratch of unfinished runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # whoever made it first: nobody else on this machine may look
            self.ledger = Ledger.at(folder / "ledger.sqlite")
        self.artifacts = Artifacts(folder / "artifacts")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the workspace for one process; a second one is told so at once."""
        with locked(self.folder / "lock", seconds=0, busy=f"{self.folder}: another residency process is working here."):
            with disk_errors(self.artifacts.folder):
                for torn in self.artifacts.folder.glob(".*.part.*"):
                    torn.unlink()  # left by a run that was killed while it wrote
            yield

    def clear(self, *, keep: Sequence[str] = ()) -> None:
        """Deletes what all runs made, and that they were; people's decisions stay, and adapters if ``keep`` names the
        stage that makes them."""
        self.ledger.forget_runs(keep=keep)
        kept = {
            row.outputs[name]["folder"]
            for row in self.ledger.runs()
            for name in row.outputs
            if "folder" in row.outputs[name]
        }
        for name in ("artifacts", "runs", EVALUATIONS):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for folder in self.folder.glob("adapters/*"):
            if folder.relative_to(self.folder).as_posix() not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def find(self, stage: str, identity: Mapping[str, Any]) -> Outcome | None:
        """The finished run with this identity, if all of its outputs are still there."""
        row = self.ledger.run(_key(stage, identity))
        if row is None or row.state != "done" or not all(self._there(output) for output in row.outputs.values()):
            return None
        return Outcome(row, reused=True, workspace=self)

    def latest(self, stage: str, identity: Mapping[str, Any], *, whatever: Sequence[str]) -> Outcome | None:
        """The last finished run whose identity differs at most in the entries ``whatever``, e.g. the code version."""
        open_entries = dict.fromkeys(name for name in whatever if name in identity)
        for row in reversed(self.ledger.runs(stage)):
            same = {**row.identity, **open_entries} == plain_data({**identity, **open_entries})
            if same and row.state == "done" and all(self._there(output) for output in row.outputs.values()):
                return Outcome(row, reused=True, workspace=self)
        return None

    def once(self, stage: str, identity: Mapping[str, Any], work: Callable[[ActiveRun], None]) -> Outcome:
        """Does the work, unless an equal run has done it. ``identity`` is plain data: settings, inputs, code, seed."""
        key = _key(stage, identity)
        found = self.find(stage, identity)
        if found is not None:
            return found
        earlier = self.ledger.run(key)
        row = RunRow(key=key, stage=stage, state="running", identity=dict(identity), started=_now())
        if earlier is not None and earlier.state != "done":
            row = replace(row, started=earlier.started, seconds=earlier.seconds)
        self.ledger.save(row)
        active = ActiveRun(workspace=self, scratch=self.folder / "runs" / key[:24])
        with disk_errors(active.scratch):
            active.scratch.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        try:
            with disk_errors(self.folder):
                work(active)
        except BaseException as error:
            self.ledger.save(replace(row, state="failed", seconds=_total(row, begun), error=type(error).__name__))
            raise
        row = replace(
            row, state="done", outputs=active.outputs, facts=active.facts, finished=_now(),
            seconds=_total(row, begun), peak_bytes=peak_bytes(),
        )  # fmt: skip
        self.ledger.save(row)
        shutil.rmtree(active.scratch, ignore_errors=True)
        return Outcome(row, reused=False, workspace=self)

    def _there(self, output: dict[str, Any]) -> bool:
        if "folder" in output:
            return (self.folder / output["folder"]).is_dir()
        return self.artifacts.holds(Ref(**output))


def peak_bytes() -> int:
    """Largest resident memory of this process and its finished children so far, in bytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit


def _key(stage: str, identity: Mapping[str, Any]) -> str:
    return f"{stage}-{fingerprint(identity)}"


def _total(row: RunRow, begun: float) -> float:
    return (row.seconds or 0.0) + time.monotonic() - begun


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
