"""What a claim is read and checked with.

In: a pack, and what reads findings in a text. Out: ``Means``.

Covers: the terminology with every name of a concept, the pack's own names included; units. Does not cover: reading
findings; that is curation's, and is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from residency.evaluate.metrics.facts import Find
from residency.packs import Pack
from residency.packs.terminology import Terminology, load_terminology
from residency.packs.units import Units, load_units
from residency.packs.words import STOP_WORDS, WORD, join_prefixes, light
from residency.records import Status


@dataclass(frozen=True, slots=True)
class Name:
    """One name of a concept as light forms; ``status`` where the name itself says it ("swallows normally")."""

    words: tuple[str, ...]
    status: Status | None = None
    short: str = ""  # an abbreviation as it is written; it keeps its letter case


@dataclass(frozen=True, slots=True)
class Means:
    """Everything that is needed to check claims in one field."""

    find: Find
    terminology: Terminology
    units: Units
    own_names: Mapping[str, tuple[Name, ...]] = field(default_factory=dict)  # concept -> the pack's names of it

    def names(self, concept: str) -> tuple[Name, ...]:
        """The names of a concept that are words: those of the terminology, then the pack's own."""
        if concept not in self.terminology:
            return ()
        known = tuple(Name(words_of(name)) for name in self.terminology.names(concept))
        return tuple(name for name in (*known, *self.own_names.get(concept, ())) if name.words)


def means_of(pack: Pack, find: Find) -> Means:
    """The means of a pack that has a terminology."""
    return Means(find, load_terminology(pack), load_units(pack), _own_names(pack))


@lru_cache(maxsize=4)
def _own_names(pack: Pack) -> Mapping[str, tuple[Name, ...]]:
    found: dict[str, list[Name]] = {}
    for row in pack.rows(pack.settings.synonyms):
        status = Status(row["status"]) if row.get("status") else None
        found.setdefault(row["hpo_id"], []).append(Name(words_of(row["name"]), status))
    for row in pack.rows(pack.settings.abbreviations):
        if row["hpo_id"]:
            short = "" if " " in row["abbreviation"] else row["abbreviation"]
            found.setdefault(row["hpo_id"], []).append(Name(words_of(row["abbreviation"]), short=short))
    return {concept: tuple(names) for concept, names in found.items()}


@lru_cache(maxsize=100_000)
def words_of(text: str) -> tuple[str, ...]:
    """The light forms of the words that carry meaning, in order; a number keeps its sign ("3+")."""
    forms = (light(match.group()) for match in WORD.finditer(join_prefixes(text)))
    return tuple(form for form in forms if form not in STOP_WORDS)
