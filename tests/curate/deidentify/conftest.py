"""One detector for all tests of de-identification: loading it takes seconds."""

from __future__ import annotations

from collections.abc import Callable

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


@pytest.fixture(scope="session")
def found(detector: Detector) -> Callable[..., list[list[tuple[str, str]]]]:
    """What is found in each of one patient's texts, as (text of the span, label)."""

    def read(*texts: str) -> list[list[tuple[str, str]]]:
        return [
            [(text[s.start : s.end], str(s.label)) for s in spans]
            for text, spans in zip(texts, detector(texts), strict=True)
        ]

    return read
