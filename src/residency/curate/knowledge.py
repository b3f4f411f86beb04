"""Knowledge from outside: which findings go with which label, line by line with what each line descends from.

In: a tab-separated table (the HPO annotation file phenotype.hpoa, or a team's own), the groups that are held out.
Out: ``Knowledge``: facts with their groups; none that descends from a held-out group.

Covers: refusing a source that cites held-out groups, in other letter case, blanks or separators too, or leaving these
lines out; counting what belongs to no label.
Does not cover: lines that cite no group (an OMIM or ORPHA entry was written from publications too; nobody can clear
it); how facts are weighed (candidates.py).

Why it is checked: cases simulated from a public annotation file lifted a figure on new publications from 0.62 to 0.73,
and all of it was gone once the annotations that cite those publications were left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from residency.errors import ProjectError, first_of
from residency.records import Document, Split, Status
from residency.settings import Settings

_SHOWN = 5


class HeldOut(StrEnum):
    """What becomes of lines that descend from a held-out group."""

    REFUSE = "refuse"
    LEAVE_OUT = "leave_out"


class KnowledgeSettings(Settings):
    """One table; the defaults of the columns are those of phenotype.hpoa."""

    path: str = Field(description="tab-separated table with a header, in the project folder; # begins a comment")
    label: str = Field(default="disease_name", description="column of the label, spelled as in the label file")
    concept: str = Field(default="hpo_id", description="column of the finding's concept")
    negated: str | None = Field(default="qualifier", description='column that says "NOT" where the finding is absent')
    groups: str = Field(
        default="reference", description='column of the groups a line descends from, separated by ";", "," or "|"'
    )
    held_out: HeldOut = Field(
        default=HeldOut.REFUSE, description="lines that descend from held-out groups: refuse, or leave_out"
    )


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what is known of a label, and the groups (publications, sites) that this descends from."""

    label: str
    concept: str
    status: Status  # present or absent
    groups: frozenset[str]

    def descends_from(self, wall: frozenset[str]) -> bool:
        """Whether one of its groups is behind the ``_wall``."""
        return any(_folded(group) in wall for group in self.groups)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a project adds from outside to what its training patients show."""

    name: str
    facts: tuple[Fact, ...]

    @property
    def groups(self) -> frozenset[str]:
        """Every group that some line descends from."""
        return frozenset().union(*(fact.groups for fact in self.facts))

    def without(self, groups: Iterable[str]) -> Knowledge:
        """The same less every line that descends from one of these groups, be it among others."""
        wall = _wall(groups)
        return replace(self, facts=tuple(fact for fact in self.facts if not fact.descends_from(wall)))

    def about(self, labels: Iterable[str]) -> Knowledge:
        """The lines about these labels, letter case aside, under the labels' own spelling."""
        spelled = {label.casefold(): label for label in labels}
        facts = (replace(f, label=spelled[f.label.casefold()]) for f in self.facts if f.label.casefold() in spelled)
        return replace(self, facts=tuple(facts))


def read_knowledge(settings: KnowledgeSettings, root: Path) -> Knowledge:
    """The table. ProjectError names the file and line where it cannot be read."""
    path = root / settings.path
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return Knowledge(settings.path, tuple(_facts(lines, settings)))
    except OSError as error:
        raise ProjectError(
            f"knowledge: {settings.path} cannot be read: {error.strerror}.", fix="Correct path under knowledge."
        ) from None
    except UnicodeDecodeError as error:
        raise ProjectError(
            f"knowledge: {settings.path} is no text in UTF-8: {error.reason}.",
            fix="Save it as tab-separated text in UTF-8.",
        ) from None


def _facts(lines: Iterable[str], settings: KnowledgeSettings) -> Iterator[Fact]:
    rows = enumerate(lines, 1)
    cells = ((number, line.rstrip("\r\n").split("\t")) for number, line in rows if line.strip() and line[0] != "#")
    _, header = next(cells, (0, []))
    wanted = [settings.label, settings.concept, settings.groups, *([settings.negated] if settings.negated else [])]
    missing = [column for column in wanted if column not in header]
    if missing:
        raise ProjectError(
            f"knowledge: {settings.path} has no column {missing[0]!r}; it has {', '.join(header) or 'no header'}.",
            fix="Name the columns under knowledge in the project file.",
        )
    for number, row in cells:
        if len(row) != len(header):
            raise ProjectError(
                f"knowledge: {settings.path} line {number} has {len(row)} cells, the header has {len(header)}.",
                fix="Correct this line.",
            )
        yield _fact(dict(zip(header, row, strict=True)), settings)


def _fact(row: Mapping[str, str], settings: KnowledgeSettings) -> Fact:
    absent = settings.negated is not None and row[settings.negated].strip().upper() == "NOT"
    label, concept = " ".join(row[settings.label].split()), row[settings.concept].strip()
    return Fact(label, concept, Status.ABSENT if absent else Status.PRESENT, frozenset(_groups(row[settings.groups])))


def _groups(cell: str) -> Iterator[str]:
    """The groups of a cell. A comma may divide groups or belong to the name of one: both readings count."""
    for group in filter(None, map(str.strip, cell.split(";"))):
        yield group
        yield from filter(None, map(str.strip, re.split(r"[,|]", group)))


# --- held out ---------------------------------------------------------------------------------------------------


def held_out_groups(documents: Iterable[Document], side_of: Mapping[str, Split]) -> frozenset[str]:
    """The groups of the documents that do not train. ``side_of`` gives the side of each patient."""
    return frozenset(d.group for d in documents if d.group and side_of[d.patient] is not Split.TRAIN)


def refuse_leaks(sources: Iterable[Knowledge], held_out: Iterable[str]) -> None:
    """ProjectError where a source descends from a held-out group, naming the overlap of every such source."""
    wall = _wall(held_out)
    leaking = (source for source in sources if any(fact.descends_from(wall) for fact in source.facts))
    problems = tuple(_leak(source, wall) for source in leaking)
    if problems:
        raise ProjectError(
            f"knowledge: {'; '.join(problems)}.",
            fix="Set held_out: leave_out under knowledge, which uses the source without these lines.",
            problems=problems,
        )


def _leak(source: Knowledge, wall: frozenset[str]) -> str:
    overlap = sorted(group for group in source.groups if _folded(group) in wall)
    count = sum(fact.descends_from(wall) for fact in source.facts)
    shown = first_of(overlap, _SHOWN)
    return f"{source.name}: {count} of {len(source.facts)} lines descend from held-out groups: {shown}"


def _wall(groups: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_folded, groups)) - {""}


def _folded(group: str) -> str:
    """How groups are compared: "pmid: 12" is PMID:12. One that is missed would train on what it is tested with."""
    return "".join(group.casefold().split())
