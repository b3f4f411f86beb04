"""Domain packs: what is special about one field, as data.

In: the name of a pack that ships with the package, or a folder.
Out: a ``Pack``: its description and the paths of its data files.

Covers: reading pack.yaml; the rows of its tables, each whole or an error with file and line. Does not cover: what the
files mean; terminology.py reads the concepts, units.py the units, curate/ the word lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from residency.errors import ProjectError
from residency.settings import Settings, explain, fingerprint, read_yaml


class TerminologySource(Settings):
    """Where the concepts of a pack come from."""

    package: str = Field(description="Python package that carries the file")
    file: str = Field(description="path of the OBO file inside that package")
    root: str = Field(description="concept below which everything counts as a finding")
    licence: str = Field(description="licence of the terminology, and the credit it asks for")


class PackSettings(Settings):
    """pack.yaml."""

    name: str = Field(description="name of the pack")
    title: str = Field(description="one line for people")
    about: str = Field(description="what the data is and is not")
    terminology: TerminologySource | None = Field(default=None, description="concepts of the field")
    abbreviations: str | None = Field(default=None, description="TSV: abbreviation, expansion, context, hpo_id, uses")
    synonyms: str | None = Field(default=None, description="TSV: name, hpo_id, status (where the name says it), origin")
    lay_words: str | None = Field(default=None, description="TSV: name, hpo_id; what patients say, for the search only")
    word_classes: str | None = Field(default=None, description="TSV: word, stands_for; equal in a loose comparison")
    status_cues: str | None = Field(default=None, description="TSV: cue, kind, direction; what negates, doubts, ...")
    units: str | None = Field(default=None, description="TSV: written, standard, base, factor; units of measurement")
    critical: str | None = Field(
        default=None,
        description="TSV: error, what, than, severity, agreed_by, why; errors that could change a decision",
    )
    safe_terms: str | None = Field(
        default=None, description="one term a line that is never an identifier (eponyms, drugs)"
    )
    demo: str | None = Field(default=None, description="folder of the demo project")


@dataclass(frozen=True, slots=True)
class Pack:
    """One domain pack. Paths are absolute."""

    folder: Path
    settings: PackSettings

    @property
    def name(self) -> str:
        return self.settings.name

    def fingerprint(self) -> str:
        """Content hash of the pack's own data files, the demo left out (hex, 16 digits)."""
        data = (path for path in sorted(self.folder.iterdir()) if path.is_file() and path.suffix != ".py")
        return fingerprint([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in data])

    def path(self, name: str | None) -> Path | None:
        """The absolute path of one of the pack's files; None where the pack has none."""
        return None if name is None else self.folder / name

    def rows(
        self, name: str | None, *columns: str, words: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[dict[str, str]]:
        """The rows of one of the pack's tab-separated tables; lines that start with # are remarks. No name, no rows.

        ``columns`` must be there; ``words`` are the values that a column may have. ProjectError names file and line.
        """
        path = self.path(name)
        if path is None:
            return
        if not path.is_file():
            raise ProjectError(f"pack: its table {path.name} is missing.", fix="Correct the file's name in pack.yaml.")
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield from _rows(path.name, lines, columns, words or {})
        except UnicodeDecodeError:
            raise ProjectError(
                f"pack: its table {path.name} is no text in UTF-8.", fix="Save it as tab-separated text in UTF-8."
            ) from None


def _rows(
    name: str, lines: Iterable[str], columns: Collection[str], words: Mapping[str, Collection[str]]
) -> Iterator[dict[str, str]]:
    numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, 1))
    rows = ((number, line.split("\t")) for number, line in numbered if line.strip() and not line.startswith("#"))
    _, header = next(rows, (0, []))
    missing = [column for column in columns if column not in header]
    if missing:
        raise ProjectError(
            f"pack: its table {name} has no column {missing[0]!r}.", fix=f"It needs {', '.join(columns)}, between tabs."
        )
    for number, cells in rows:
        if len(cells) != len(header):
            problem = f"has {len(cells)} cells, the header has {len(header)}"
            raise ProjectError(f"pack: {name} line {number} {problem}.", fix="Correct this line.")
        row = dict(zip(header, cells, strict=True))
        for column, known in words.items():
            if row[column] not in known:
                said = ", ".join(word or "nothing" for word in known)
                raise ProjectError(
                    f"pack: {name} line {number}: {column} is {row[column]!r}.", fix=f"It may be {said}."
                )
        yield row


def pack_names() -> tuple[str, ...]:
    """The packs that ship with the package."""
    root = Path(str(files("residency.packs")))
    return tuple(sorted(folder.parent.name for folder in root.glob("*/pack.yaml")))


def load_pack(name: str) -> Pack:
    """The pack called ``name``, or the pack in the folder ``name``."""
    shipped = Path(str(files("residency.packs"))) / name
    folder = shipped if (shipped / "pack.yaml").is_file() else Path(name)
    description = folder / "pack.yaml"
    if not description.is_file():
        raise ProjectError(
            f"pack: {name!r} is neither a shipped pack nor a folder with a pack.yaml.",
            fix=f"Use one of: {', '.join(pack_names())}.",
        )
    try:
        settings = PackSettings.model_validate(read_yaml(description.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProjectError(f"{description}: no YAML in UTF-8: {error}.", fix="Correct pack.yaml.") from None
    except ValidationError as error:
        problems = explain(error)
        raise ProjectError(
            f"{description}: {'; '.join(problems)}.", fix="Correct pack.yaml.", problems=problems
        ) from None
    return Pack(folder=folder.resolve(), settings=settings)
