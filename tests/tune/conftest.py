from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _tiny() -> ModuleType:
    path = Path(__file__).with_name("tiny.py")
    spec = importlib.util.spec_from_file_location("tune_tiny", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tune_tiny"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module tiny.py: a random base, examples, a recipe."""
    return _tiny()
