"""The project's key lies outside the project, and its loss is said instead of papered over."""

import pytest

from residency.errors import StoreError
from residency.store.keys import KEY_BYTES, key_fingerprint, key_path, project_key


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("RESIDENCY_KEY", raising=False)


def test_a_key_is_made_once_for_its_owner_only_and_found_again():
    key = project_key("abc", known_fingerprint=None)
    assert len(key) == KEY_BYTES
    assert key_path("abc").stat().st_mode & 0o777 == 0o600
    assert project_key("abc", known_fingerprint=key_fingerprint(key)) == key
    assert project_key("other", known_fingerprint=None) != key


def test_a_lost_key_is_refused_not_replaced():
    fingerprint = key_fingerprint(project_key("abc", known_fingerprint=None))
    key_path("abc").unlink()
    with pytest.raises(StoreError, match="is missing"):
        project_key("abc", known_fingerprint=fingerprint)
    assert not key_path("abc").exists()


def test_a_wrong_key_and_a_readable_key_file_are_refused(monkeypatch):
    fingerprint = key_fingerprint(project_key("abc", known_fingerprint=None))
    key_path("abc").chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        project_key("abc", known_fingerprint=fingerprint)
    monkeypatch.setenv("RESIDENCY_KEY", "ab" * KEY_BYTES)
    with pytest.raises(StoreError, match="not the key"):
        project_key("abc", known_fingerprint=fingerprint)


@pytest.mark.parametrize("content", ["", "short", "zz" * KEY_BYTES])
def test_a_key_that_is_none_is_refused_without_printing_it(monkeypatch, content):
    monkeypatch.setenv("RESIDENCY_KEY", content)
    with pytest.raises(StoreError, match="hexadecimal") as caught:
        project_key("abc", known_fingerprint=None)
    assert not content or content not in str(caught.value)
