"""Ingest: from the files of the inbox to documents with the experts' labels.

In: the sources and the label file of a project. Out: a ``Document`` for every text, ``Dropped`` for every file or
part that gives none.

Covers: finding the files, ids, keys, labels; characters that no text file can hold, in texts and names; problems that
only a person can solve (missing columns, labels for unknown documents, two documents of one name) as one ProjectError.
Does not cover: how a format is read (formats/), what is wrong with a text (cleanse), who the patient of an unlabeled
document is: each is its own patient.

Nothing is held but keys and labels: texts pass one file, in tables one row, at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from residency.curate.formats import (
    Part,
    SourceFile,
    SourceSettings,
    Unreadable,
    check_columns,
    format_of,
    read,
    whole_characters,
)
from residency.curate.labels import Label, LabelSettings, read_labels, unknown_ids
from residency.errors import ProjectError
from residency.records import Document, Dropped, Source, record_id

__all__ = ["SourceSettings", "count_files", "ingest"]

STEP = "ingest"
MENDED = "mended"  # in the meta of a document that is not quite what its file holds


def ingest(sources: Sequence[SourceSettings], labels: LabelSettings | None, root: Path) -> Iterator[Document | Dropped]:
    """Every document of the sources, in the order of sources and paths, with its label.

    A mistake in the settings is a ProjectError before the first document; labels for unknown documents and
    documents of one name are one after the last, because only then all of them are known.
    """
    files = find_files(sources, root, without=() if labels is None else (labels.path,))
    _check_tables(files)
    label_of = {} if labels is None else read_labels(labels, root)
    seen: dict[str, str] = {}  # key -> the place where it was read
    problems: list[str] = []
    for file in files:
        for record in _records(file, label_of):
            if isinstance(record, Document) and record.key in seen:
                problems.append(
                    f"{_place(record.source)} and {seen[record.key]}: two documents with the id {record.key!r}"
                )
            if isinstance(record, Document) or record.key not in seen:
                seen[record.key] = _place(record.source)
            yield record
    if labels is not None:
        problems += unknown_ids(label_of, seen, labels)
    if problems:
        raise ProjectError(
            f"The documents and their labels do not fit together: {'; '.join(problems[:5])}.",
            fix="Give every document its own id; the id of a whole file is its name without the extension.",
            problems=tuple(problems),
        )


def count_files(sources: Sequence[SourceSettings], root: Path) -> int:
    """How many files ``ingest`` will read; for progress."""
    return len(find_files(sources, root))


def find_files(sources: Sequence[SourceSettings], root: Path, *, without: Sequence[str] = ()) -> list[SourceFile]:
    """The files of all sources, each once (the first source that names it reads it). Hidden files are left out.

    ProjectError where a source lies outside the project folder or has no files.
    """
    files: dict[str, SourceFile] = {}
    problems: list[str] = []
    for number, source in enumerate(sources):
        found = _files(source.path, root)
        if isinstance(found, str):
            problems.append(f"sources[{number}].path ({source.path!r}): {found}")
            continue
        for path in found:
            name = path.relative_to(root).as_posix()
            if name not in without:
                files.setdefault(name, SourceFile(path, name, source))
    if problems:
        raise ProjectError(
            f"{'; '.join(problems)}.", fix="Put the documents there, or correct the path.", problems=tuple(problems)
        )
    return list(files.values())


def _files(path: str, root: Path) -> list[Path] | str:
    """The files of one source in the order of their names, or what is wrong with it."""
    if "://" in path:
        return "a URI; nothing is fetched: copy the files into the project folder first"
    pure = PurePath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return "a source lies below the project folder"
    place = root / path
    if place.is_file():
        return [place] if _inside(place, root) else "a link that leads out of the project folder"
    is_glob = any(mark in path for mark in "*?[")
    if not place.is_dir() and not is_glob:
        return "there is no such file or folder"
    candidates = root.glob(path) if is_glob and not place.is_dir() else place.rglob("*")
    found = [file for file in candidates if not file.is_dir() and not _hidden(file.relative_to(root))]
    astray = [file.relative_to(root).as_posix() for file in found if not _inside(file, root)]
    if astray:
        return f"links that lead out of the project folder: {', '.join(map(repr, astray[:5]))}"
    return sorted(found) or "there are no files"


def _inside(file: Path, root: Path) -> bool:
    """Whether a file is in the project folder once links are followed; a link to nothing is dropped later."""
    return not file.exists() or file.resolve().is_relative_to(root.resolve())


def _hidden(path: PurePath) -> bool:
    """What begins with a dot (.residency among it), and the lock files of an open Word document."""
    return any(part.startswith(".") for part in path.parts) or path.name.startswith("~$")


def _check_tables(files: Sequence[SourceFile]) -> None:
    """All missing columns of all tables as one ProjectError, before anything is read."""
    errors: list[ProjectError] = []
    for file in files:
        try:
            check_columns(file)
        except ProjectError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = tuple(error.message for error in errors)
        raise ProjectError(
            f"{len(errors)} tables lack columns: {' '.join(problems[:5])}",
            fix="Set id_column and text_column of their sources; a source of its own for each kind of table.",
            problems=problems,
        )


def _records(file: SourceFile, label_of: dict[str, Label]) -> Iterator[Document | Dropped]:
    kind = format_of(file)
    for part in read(file):
        source = Source(path=whole_characters(file.name), locator=part.locator, sha256=_sha256(file))
        key = part.key or whole_characters(_key_in(file, part))
        if isinstance(part, Unreadable):
            yield _dropped(part, key, source)
            continue
        meta = {"format": str(kind), **({MENDED: "halves of characters replaced"} if part.mended else {})}
        document = Document(
            id=record_id("d", path=source.path, locator=source.locator, text=part.text),
            key=key,
            text=part.text,
            source=source,
            patient=key,
            meta=meta,
        )
        yield label_of[key].attach(document) if key in label_of else document


def _dropped(part: Unreadable, key: str, source: Source) -> Dropped:
    identity = record_id("d", path=source.path, locator=source.locator, reason=part.reason)
    return Dropped(id=identity, key=key, source=source, step=STEP, reason=part.reason, detail=part.detail)


def _key_in(file: SourceFile, part: Part | Unreadable) -> str:
    """The key of a part that has no id of its own: the file's name, and its number among several."""
    number = part.locator.rpartition(" ")[2]
    return f"{file.path.stem}-{number}" if number else file.path.stem


def _sha256(file: SourceFile) -> str:
    try:
        return file.facts.sha256
    except OSError:
        return ""  # the file cannot be opened; its one record says so


def _place(source: Source) -> str:
    return f"{source.path} {source.locator}".rstrip()
