"""The neurology pack's means to check claims."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from residency.curate.extract import find, load_reader
from residency.evaluate.claims.means import Means, means_of
from residency.packs import load_pack


@pytest.fixture(scope="session")
def means(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Means]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDENCY_CACHE", str(tmp_path_factory.mktemp("cache")))
        pack = load_pack("neurology")
        yield means_of(pack, partial(find, reader=load_reader(pack)))
