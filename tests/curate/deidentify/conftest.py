"""One detector for all tests of de-identification: loading it takes seconds."""

from __future__ import annotations

import pytest

from residency.curate.deidentify import Detector
from residency.curate.deidentify.detector import default_detector
from residency.curate.step import Tools
from residency.packs import load_pack


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools(key=b"k" * 32, seed=0, pack=load_pack("neurology"))


@pytest.fixture(scope="session")
def detector(tools: Tools) -> Detector:
    return default_detector(tools.pack)
