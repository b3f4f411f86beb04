"""Project folders: making one, and naming everything that is wrong with one.

In: a path. Out: a new project; or ``Findings``: every problem of the project file, its files and this machine.

Covers: the demo project of a pack, a skeleton for a team's own reports, the check before a long run.
Does not cover: running (story.py).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from residency.curate.ingest import count_files
from residency.curate.knowledge import read_knowledge
from residency.curate.labels import read_labels
from residency.errors import ProjectError, ResidencyError
from residency.packs import load_pack, pack_names
from residency.project import IDENTITY_FILE, PROJECT_FILE, Project
from residency.records import Document
from residency.store.identity import own_identity
from residency.store.keys import keep_key, key_fingerprint
from residency.story import label_problems, raw_documents

NEEDED_BYTES = 2_000_000_000  # of disk for a run of the embedded base: converted weights, artifacts, checkpoints
SKELETON = "skeleton"  # folder of this package with the files of an empty project


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project folder that was made, or found to be there already."""

    folder: Path
    demo: str | None
    existed: bool


def new_project(folder: Path, *, demo: str | None = None) -> NewProject:
    """Makes a project folder; one that is there stays as it is, so that the command can be repeated."""
    if (folder / PROJECT_FILE).exists():
        return NewProject(folder, demo, existed=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder}: not an empty folder.", fix="Name a folder that does not exist yet.")
    source = Path(str(files("residency"))) / SKELETON if demo is None else _demo_folder(demo)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    (folder / "inbox").mkdir(exist_ok=True)
    if demo is not None:
        _give_public_key(folder, demo)
    return NewProject(folder, demo, existed=False)


def _demo_folder(name: str) -> Path:
    if name not in pack_names():
        raise ProjectError(f"--demo {name}: there is no such pack.", fix=f"Use one of: {', '.join(pack_names())}.")
    pack = load_pack(name)
    folder = pack.path(pack.settings.demo)
    if folder is None:
        raise ProjectError(f"--demo {name}: this pack has no demo.", fix="Make a project without --demo.")
    return folder


def _give_public_key(folder: Path, demo: str) -> None:
    """A demo's identifiers are invented: its key is no secret, and so its numbers are the same on every machine."""
    key = hashlib.sha256(f"residency demo {demo}".encode()).digest()
    file = folder / IDENTITY_FILE
    with own_identity(folder, file) as identity:
        keep_key(identity.id, key)
        identity.write(file, key=key_fingerprint(key))


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was looked at. ``problems`` is empty where all is well."""

    title: str
    detail: str
    problems: tuple[str, ...] = ()
    fix: str = ""


def check_project(root: Path) -> list[Checked]:
    """Looks at everything a run needs, and goes on after each problem."""
    found = []
    project, opened = _try("project file", lambda: Project.open(root), lambda p: p.settings.name)
    found.append(opened)
    if project is not None:
        found += list(_check_parts(project))
    found.append(_check_disk(root))
    return found


def _check_parts(project: Project) -> Iterator[Checked]:
    settings = project.settings
    yield _try("inbox", lambda: count_files(settings.sources, project.root), lambda n: f"{n} files")[1]
    yield _try("labels", lambda: read_labels(settings.labels, project.root), lambda rows: f"{len(rows)} labeled")[1]
    yield _try("answers", lambda: _all_well(project), lambda _: "every task has its column; findings can be read")[1]
    yield _try("documents", lambda: _read_all(project), lambda n: f"{n[0]} read, {n[1]} files or rows give no text")[1]
    for known in settings.knowledge:
        look = partial(read_knowledge, known, project.root)
        yield _try(f"knowledge {known.path}", look, lambda table: f"{len(table.facts)} lines")[1]
    for task in settings.tasks:
        yield _try(f"prompt of {task.name}", partial(project.prompt, task), lambda prompt: prompt.path.name)[1]
        if task.name in settings.evaluate.own:
            yield _try(f"own metrics of {task.name}", partial(project.own_metrics, task), ", ".join)[1]
    yield _try("key", lambda: project.key, lambda _: "outside the project folder")[1]
    yield _try("base model", lambda: _identify(settings.base), lambda sha: f"{settings.base} {sha[:12]}")[1]


def _all_well(project: Project) -> None:
    problems = label_problems(project)
    if problems:
        raise ProjectError(f"{len(problems)} problems.", fix="Correct the label file.", problems=problems)


def _read_all(project: Project) -> tuple[int, int]:
    kinds = [isinstance(record, Document) for record in raw_documents(project)]
    return sum(kinds), len(kinds) - sum(kinds)


def _identify(base: str) -> str:
    from residency.models.base import identify

    return identify(base)


def _check_disk(root: Path) -> Checked:
    free = shutil.disk_usage(root if root.exists() else Path.cwd()).free
    if free >= NEEDED_BYTES:
        return Checked("disk", f"{free / 1e9:.0f} GB free")
    problem = f"{free / 1e9:.1f} GB free, {NEEDED_BYTES / 1e9:.0f} GB are needed"
    return Checked("disk", "", (problem,), "Free some space.")


def _try(title: str, look: Callable[[], Any], tell: Callable[[Any], str]) -> tuple[Any, Checked]:
    try:
        value = look()
    except ResidencyError as error:
        problems = getattr(error, "problems", ()) or (error.message,)
        return None, Checked(title, "", tuple(problems), error.fix)
    return value, Checked(title, tell(value))
