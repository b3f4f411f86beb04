"""A folder has an id of its own, whatever it was copied from, and a damaged one is told."""

import json
import shutil
import threading

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from residency.errors import StoreError
from residency.store.identity import own_identity


def opened(folder):
    with own_identity(folder, folder / "project.json") as identity:
        return identity


def test_an_id_is_given_once_and_stays(tmp_path):
    first = opened(tmp_path)
    with own_identity(tmp_path, tmp_path / "project.json") as identity:
        identity.write(tmp_path / "project.json", vault="v", key="k")
    assert opened(tmp_path) == first.model_copy(update={"vault": "v", "key": "k"})


def test_a_copy_gets_an_id_of_its_own_and_keeps_what_it_must_find(tmp_path):
    first, copy = tmp_path / "first", tmp_path / "copy"
    with own_identity(first, first / "project.json") as original:
        original.write(first / "project.json", vault="v", key="k")
    shutil.copytree(first, copy)
    its = opened(copy)
    assert its.id != original.id and (its.vault, its.key) == ("v", "k")
    assert opened(copy) == its
    assert opened(first).id == original.id


def test_two_folders_that_lay_at_the_same_place_have_two_ids(tmp_path):
    first = opened(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert opened(tmp_path / "here").id != first.id


def test_those_who_open_a_folder_at_once_find_one_id(tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(opened(tmp_path).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.parametrize("kind", ["folder", "loop"])
def test_something_else_in_the_place_of_the_file_is_told(tmp_path, kind):
    file = tmp_path / "project.json"
    file.mkdir() if kind == "folder" else file.symlink_to(file)
    with pytest.raises(StoreError, match=r"project\.json"):
        opened(tmp_path)


ANY_JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(ANY_JSON, st.fixed_dictionaries({"id": st.text()})).map(json.dumps).map(str.encode) | st.binary())
@example(b'{"id": "../../etc/passwd"}')
@example(b'{"id": "0123456789abcdef\\n"}')
@example(b'{"id": "0123456789ABCDEF"}')
@example(b'{"id": 123}')
@example(b"[" * 100_000)
def test_a_file_that_names_no_id_is_told_and_left_alone(tmp_path, content):
    (tmp_path / "project.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"project\.json: damaged"):
        opened(tmp_path)
    assert (tmp_path / "project.json").read_bytes() == content
