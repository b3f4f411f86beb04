"""The neurology pack with all its tables, and a cache that no other test or user shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from residency.curate.extract import Reader, load_reader
from residency.packs import Pack, load_pack


@pytest.fixture(scope="session")
def pack() -> Pack:
    shipped = load_pack("neurology")
    tables = {"synonyms": "synonyms.tsv", "word_classes": "word_classes.tsv", "status_cues": "status_cues.tsv"}
    return replace(shipped, settings=shipped.settings.model_copy(update=tables))


@pytest.fixture(scope="session")
def reader(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDENCY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_reader(pack)
