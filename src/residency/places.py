"""Where on this machine things lie that belong to the user and not to a project.

In: the environment. Out: folders.

Covers: the cache of derived files (converted models, indexes of terminologies), the folder of keys.
Does not cover: project folders.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE = "RESIDENCY_CACHE"


def cache_folder() -> Path:
    """Files that can be made again: $RESIDENCY_CACHE, else the user's cache folder."""
    chosen = os.environ.get(CACHE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("residency", appauthor=False)


def key_folder() -> Path:
    """Secret keys of projects, in the user's configuration folder."""
    return platformdirs.user_config_path("residency", appauthor=False) / "keys"
