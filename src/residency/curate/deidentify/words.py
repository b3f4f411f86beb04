"""The word lists of words.toml.

Covers: reading the file once. Does not cover: names and medical words, which come from installed packages and
the pack (lexicon.py).
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files


def words(key: str) -> frozenset[str]:
    """One list, in small letters."""
    return frozenset(_lists()[key].split())


@lru_cache(maxsize=1)
def _lists() -> dict[str, str]:
    return tomllib.loads(files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))
