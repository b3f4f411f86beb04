"""What else a person of a given name is called.

In: a given name in small letters, accents left out. Out: its short and pet forms, and the names it may be short for.

Covers: the pairs of nicknames.tsv, both ways. Does not cover: nicknames that come from nothing in the name.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files


def called(given: str) -> frozenset[str]:
    """Other names that somebody of this name goes by."""
    return _table().get(given, frozenset())


@lru_cache(maxsize=1)
def _table() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for line in files(__package__).joinpath("nicknames.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, _, forms = line.partition("\t")
        for form in forms.split():
            table.setdefault(name, set()).add(form)
            table.setdefault(form, set()).add(name)
    return {name: frozenset(others) for name, others in table.items()}
