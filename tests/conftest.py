"""What all tests share: no deadlines (machines are shared and slow at times), an empty home."""

import os

import pytest
from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def _own_configuration(tmp_path_factory):
    """Keys of test projects go to a folder of their own, never into the home of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.delenv("RESIDENCY_KEY", raising=False)
        yield
