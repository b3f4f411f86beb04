"""A lock is held by one process, and a place that cannot hold one is told."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from residency.errors import StoreError
from residency.store.files import locked
from residency.store.keys import LocalWrapper
from residency.store.runs import Workspace
from residency.store.vault import Vault

NOBODY = 65534
KEY = b"k" * 32


@pytest.fixture
def read_only():
    """A folder in which a workspace was opened and a vault was made, and which this process may now only read."""
    folder = Path(tempfile.mkdtemp())
    workspace = Workspace(folder / "workspace")
    Vault.open(folder / "vault", LocalWrapper(KEY)).close()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:  # may write anywhere
        os.seteuid(NOBODY)
    yield SimpleNamespace(folder=folder, workspace=workspace)
    if root:
        os.seteuid(0)
    for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_lock_excludes_a_second_holder_and_is_free_again_after_an_error(tmp_path):
    lock = tmp_path / "lock"
    with pytest.raises(KeyError), locked(lock, seconds=0, busy="busy here."):
        with pytest.raises(StoreError, match="busy here"), locked(lock, seconds=0, busy="busy here."):
            pass
        raise KeyError
    with locked(lock, seconds=0, busy="busy here."):
        assert lock.stat().st_mode & 0o777 == 0o600


def test_a_lock_in_a_folder_that_may_only_be_read_is_told(read_only):
    with pytest.raises(StoreError, match="cannot be written"), locked(read_only.folder / "lock", seconds=0, busy=""):
        pass


def test_a_workspace_that_may_only_be_read_is_told(read_only):
    with pytest.raises(StoreError, match="cannot be written"), read_only.workspace.alone():
        pass
    with pytest.raises(StoreError, match="cannot be written"):
        Workspace(read_only.folder / "workspace")


def test_a_vault_that_may_only_be_read_is_told(read_only):
    with pytest.raises(StoreError, match="cannot be written"):
        Vault.open(read_only.folder / "vault", LocalWrapper(KEY))
    with pytest.raises(StoreError, match="cannot be written"):
        Vault.fingerprint_at(read_only.folder / "vault")


@pytest.mark.parametrize("kind", ["folder", "loop"])
def test_something_else_in_the_place_of_a_lock_is_told(tmp_path, kind):
    lock = tmp_path / "lock"
    lock.mkdir() if kind == "folder" else lock.symlink_to(lock)
    with pytest.raises(StoreError, match="in the way"), locked(lock, seconds=1, busy=""):
        pass
