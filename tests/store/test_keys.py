"""The project's key lies outside the project, its loss is said instead of papered over, a new one replaces it whole."""

import hmac
import os
import select

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from residency.errors import StoreError
from residency.store import keys
from residency.store.keys import (
    KEY_BYTES,
    LocalWrapper,
    key_fingerprint,
    key_path,
    key_rotation,
    new_key_path,
    project_key,
)

OLD, NEW = "ab" * KEY_BYTES, "cd" * KEY_BYTES


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("RESIDENCY_KEY", "RESIDENCY_KEY_COMMAND", "RESIDENCY_NEW_KEY"):
        monkeypatch.delenv(name, raising=False)


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


def test_a_command_gives_the_key_and_nothing_is_written(monkeypatch):
    monkeypatch.setenv("RESIDENCY_KEY_COMMAND", f"echo {OLD}")
    assert project_key("abc", known_fingerprint=None) == bytes.fromhex(OLD)
    assert not key_path("abc").exists()
    monkeypatch.setenv("RESIDENCY_KEY", NEW)
    assert project_key("abc", known_fingerprint=None) == bytes.fromhex(NEW)  # a key given outright wins


def test_a_command_is_run_without_a_shell(monkeypatch, tmp_path):
    monkeypatch.setenv("RESIDENCY_KEY_COMMAND", f"echo {OLD}; touch {tmp_path}/made")
    with pytest.raises(StoreError, match="hexadecimal"):
        project_key("abc", known_fingerprint=None)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "empty"),
        ("echo 'topsecret", "quote"),
        ("/nowhere/topsecret", "cannot be started"),
        ("sh -c 'echo topsecret; echo topsecret >&2; exit 3'", "exit status 3"),
        ("echo topsecret", "hexadecimal"),
        ("sh -c 'sleep 600 & echo topsecret; wait'", "no answer"),
        ("sh -c 'sleep 600 & echo topsecret'", "no answer"),  # what it left behind holds its output open
    ],
)
def test_a_command_that_fails_is_told_without_its_words_and_its_output(monkeypatch, capfd, command, said):
    monkeypatch.setattr(keys, "COMMAND_SECONDS", 0.3)
    monkeypatch.setenv("RESIDENCY_KEY_COMMAND", command)
    with pytest.raises(StoreError, match=said) as caught:
        project_key("abc", known_fingerprint=None)
    assert "RESIDENCY_KEY_COMMAND" in str(caught.value)
    assert "topsecret" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_command_that_gives_no_answer_is_ended_with_all_that_it_started(monkeypatch, tmp_path):
    monkeypatch.setattr(keys, "COMMAND_SECONDS", 0.3)
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setenv(
        "RESIDENCY_KEY_COMMAND", f"sh -c 'sh -c \"echo begun; exec sleep 600\" > {tmp_path}/held & wait'"
    )
    with pytest.raises(StoreError, match="no answer"):
        project_key("abc", known_fingerprint=None)
    said = b""
    while select.select([held], [], [], 10)[0] and (read := os.read(held, 100)):
        said += read
    assert said == b"begun\n"
    assert select.select([held], [], [], 0)[0], "the end of the file: nobody holds it open any more"
    os.close(held)


def test_a_rotation_keeps_both_keys_until_the_vault_has_the_new_one():
    old = project_key("abc", known_fingerprint=None)
    vault = [key_fingerprint(old)]
    with key_rotation("abc", known=lambda: vault[0]) as rotation:
        assert (rotation.old, rotation.next_step) == (old, "")
        assert key_path("abc").read_text().strip() == old.hex()
        assert new_key_path("abc").read_text().strip() == rotation.new.hex()
        assert new_key_path("abc").stat().st_mode & 0o777 == 0o600
        vault[0] = key_fingerprint(rotation.new)
    assert rotation.new != old
    assert not new_key_path("abc").exists()
    assert key_path("abc").stat().st_mode & 0o777 == 0o600
    assert project_key("abc", known_fingerprint=vault[0]) == rotation.new
    assert rotation.new.hex() not in repr(rotation) and repr(rotation.new) not in repr(rotation)


@pytest.mark.parametrize("come_so_far", [False, True], ids=["before the vault", "after the vault"])
def test_a_rotation_that_is_cut_off_leaves_the_key_that_the_vault_needs(come_so_far):
    old = project_key("abc", known_fingerprint=None)
    vault = [key_fingerprint(old)]
    with pytest.raises(KeyboardInterrupt), key_rotation("abc", known=lambda: vault[0]) as rotation:
        if come_so_far:
            vault[0] = key_fingerprint(rotation.new)
        raise KeyboardInterrupt
    assert {key_path("abc").read_text(), new_key_path("abc").read_text()} == {
        old.hex() + "\n",
        rotation.new.hex() + "\n",
    }
    needed = rotation.new if come_so_far else old
    assert project_key("abc", known_fingerprint=vault[0]) == needed
    assert key_path("abc").read_text().strip() == needed.hex()
    assert new_key_path("abc").exists() != come_so_far
    with key_rotation("abc", known=lambda: vault[0]) as second:  # the next one begins from what is true
        assert second.old == needed
        vault[0] = key_fingerprint(second.new)
    assert project_key("abc", known_fingerprint=vault[0]) == second.new
    assert not new_key_path("abc").exists()


def test_a_process_that_opens_during_a_rotation_takes_nothing_away():
    old = project_key("abc", known_fingerprint=None)
    vault = [key_fingerprint(old)]
    with key_rotation("abc", known=lambda: vault[0]) as rotation:
        assert project_key("abc", known_fingerprint=vault[0]) == old
        assert new_key_path("abc").exists()
        with pytest.raises(StoreError, match="another process"), key_rotation("abc", known=lambda: vault[0]):
            pass
        vault[0] = key_fingerprint(rotation.new)
        assert project_key("abc", known_fingerprint=vault[0]) == rotation.new
        assert key_path("abc").read_text().strip() == old.hex()  # moved by the one that rotates, under its lock
    assert key_path("abc").read_text().strip() == rotation.new.hex()


def test_a_block_that_rotated_nothing_is_told_and_no_key_is_lost():
    old = project_key("abc", known_fingerprint=None)
    with pytest.raises(StoreError, match="was not rotated"), key_rotation("abc", known=lambda: key_fingerprint(old)):
        pass
    assert project_key("abc", known_fingerprint=key_fingerprint(old)) == old
    assert new_key_path("abc").exists()


def test_a_third_key_in_place_of_the_old_one_is_refused_and_both_files_stay():
    old = project_key("abc", known_fingerprint=None)
    with pytest.raises(KeyboardInterrupt), key_rotation("abc", known=lambda: key_fingerprint(old)):
        raise KeyboardInterrupt
    key_path("abc").write_text(NEW)
    with pytest.raises(StoreError, match="not the key"):
        project_key("abc", known_fingerprint=key_fingerprint(old))
    with pytest.raises(StoreError, match="not the key"), key_rotation("abc", known=lambda: key_fingerprint(old)):
        pass
    assert key_path("abc").read_text() == NEW and new_key_path("abc").exists()


def test_a_new_key_that_protects_nothing_is_thrown_away_by_the_next_rotation(monkeypatch):
    old = project_key("abc", known_fingerprint=None)
    with pytest.raises(KeyboardInterrupt), key_rotation("abc", known=lambda: key_fingerprint(old)):
        raise KeyboardInterrupt
    assert new_key_path("abc").exists()
    monkeypatch.setenv("RESIDENCY_NEW_KEY", old.hex())
    with pytest.raises(StoreError, match="the old key"), key_rotation("abc", known=lambda: key_fingerprint(old)):
        pass
    assert not new_key_path("abc").exists()
    assert key_path("abc").read_text().strip() == old.hex()


@pytest.mark.parametrize("source", ["RESIDENCY_KEY", "RESIDENCY_KEY_COMMAND"])
def test_a_key_from_elsewhere_is_rotated_to_one_from_elsewhere(monkeypatch, source):
    monkeypatch.setenv(source, OLD if source == "RESIDENCY_KEY" else f"echo {OLD}")
    vault = [key_fingerprint(bytes.fromhex(OLD))]
    with pytest.raises(StoreError, match="RESIDENCY_NEW_KEY"), key_rotation("abc", known=lambda: vault[0]):
        pass
    monkeypatch.setenv("RESIDENCY_NEW_KEY", OLD)
    with pytest.raises(StoreError, match="the old key"), key_rotation("abc", known=lambda: vault[0]):
        pass
    monkeypatch.setenv("RESIDENCY_NEW_KEY", NEW)
    with key_rotation("abc", known=lambda: vault[0]) as rotation:
        assert (rotation.old.hex(), rotation.new.hex()) == (OLD, NEW)
        assert source in rotation.next_step
        vault[0] = key_fingerprint(rotation.new)
    assert not key_path("abc").exists() and not new_key_path("abc").exists()
    with pytest.raises(StoreError, match="after a rotation: the new one"):
        project_key("abc", known_fingerprint=vault[0])


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=40), st.data())
def test_a_wrapped_key_opens_only_whole_about_the_same_and_with_its_key(key, about, data):
    wrapper = LocalWrapper(b"k" * KEY_BYTES)
    wrapped = wrapper.wrap(key, about)
    assert LocalWrapper(b"k" * KEY_BYTES).unwrap(wrapped, about) == key
    assert wrapper.wrap(key, about) != wrapped
    at = data.draw(st.integers(0, len(wrapped) - 1))
    altered = wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
    for other, bad, what in (
        (wrapper, altered, about),
        (wrapper, wrapped[:at], about),
        (wrapper, wrapped, about + b"x"),
        (LocalWrapper(b"j" * KEY_BYTES), wrapped, about),
    ):
        with pytest.raises(StoreError, match="altered"):
            other.unwrap(bad, what)


def test_a_wrapper_has_the_fingerprint_of_its_project_key():
    assert LocalWrapper(bytes.fromhex(OLD)).fingerprint == key_fingerprint(bytes.fromhex(OLD))


def test_what_was_wrapped_opens_by_the_published_formula():
    """HKDF-SHA256 (RFC 5869, no salt, one block), then AES-256-GCM: what is wrapped today opens in ten years."""
    wrapped = LocalWrapper(bytes.fromhex(OLD)).wrap(b"some key", b"about")
    extracted = hmac.digest(bytes(32), bytes.fromhex(OLD), "sha256")
    derived = hmac.digest(extracted, b"residency vault key wrapping 1" + b"\1", "sha256")
    assert AESGCM(derived).decrypt(wrapped[:12], wrapped[12:], b"about") == b"some key"


# Several folders with one key


def test_a_project_without_a_key_file_finds_its_key_in_that_of_another_and_has_its_own_from_then_on():
    key = project_key("abc", known_fingerprint=None)
    (key_path("abc").parent / "damaged.key").write_text("no key")
    assert project_key("copy", known_fingerprint=key_fingerprint(key)) == key
    assert key_path("copy").stat().st_mode & 0o777 == 0o600
    key_path("abc").unlink()
    assert project_key("copy", known_fingerprint=key_fingerprint(key)) == key


def test_a_rotation_leaves_the_key_of_a_copy_and_says_where_it_still_is():
    old = project_key("abc", known_fingerprint=None)
    project_key("copy", known_fingerprint=key_fingerprint(old))
    vault = [key_fingerprint(old)]
    with key_rotation("copy", known=lambda: vault[0]) as rotation:
        vault[0] = key_fingerprint(rotation.new)
    assert str(key_path("abc")) in rotation.next_step and str(key_path("copy")) not in rotation.next_step
    assert project_key("abc", known_fingerprint=key_fingerprint(old)) == old
    assert project_key("copy", known_fingerprint=vault[0]) == rotation.new


def test_a_copy_finds_the_key_of_a_rotation_that_was_killed_before_it_was_moved_to_its_place():
    old = project_key("abc", known_fingerprint=None)
    vault = [key_fingerprint(old)]
    with pytest.raises(KeyboardInterrupt), key_rotation("abc", known=lambda: vault[0]) as rotation:
        vault[0] = key_fingerprint(rotation.new)
        raise KeyboardInterrupt
    assert project_key("copy", known_fingerprint=vault[0]) == rotation.new


# Odd places and odd commands


@pytest.mark.parametrize("kind", ["folder", "loop", "pipe", "device"])
def test_a_key_file_that_is_no_file_is_told(kind):
    fingerprint = key_fingerprint(project_key("abc", known_fingerprint=None))
    path = key_path("abc")
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path, 0o600)
        case "device":
            path.symlink_to("/dev/zero")
    for known in (None, fingerprint):
        with pytest.raises(StoreError, match=r"abc\.key"):
            project_key("abc", known_fingerprint=known)


def test_a_file_in_the_place_of_the_configuration_folder_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    for known in (None, "0" * 16):
        with pytest.raises(StoreError, match="XDG_CONFIG_HOME"):
            project_key("abc", known_fingerprint=known)


def test_a_key_file_is_not_read_without_end():
    project_key("abc", known_fingerprint=None)
    with key_path("abc").open("ab") as file:
        file.truncate(10**11)  # sparse
    with pytest.raises(StoreError, match="not a key"):
        project_key("abc", known_fingerprint=None)


@pytest.mark.parametrize("command", ["yes topsecret", "sh -c 'yes topsecret & wait'", "cat /dev/zero"])
def test_a_command_that_prints_without_end_is_ended_at_once(monkeypatch, command):
    monkeypatch.setattr(keys, "COMMAND_SECONDS", 600.0)
    monkeypatch.setenv("RESIDENCY_KEY_COMMAND", command)
    with pytest.raises(StoreError, match=f"more than {keys.MOST_BYTES} bytes") as caught:
        project_key("abc", known_fingerprint=None)
    assert "topsecret" not in str(caught.value)


def test_a_command_that_prints_a_key_and_then_never_ends_gives_none(monkeypatch):
    monkeypatch.setattr(keys, "COMMAND_SECONDS", 0.3)
    monkeypatch.setenv("RESIDENCY_KEY_COMMAND", f"sh -c 'echo {OLD}; exec >&-; sleep 600'")
    with pytest.raises(StoreError, match="no answer"):
        project_key("abc", known_fingerprint=None)


def test_a_command_may_print_its_key_in_pieces(monkeypatch):
    monkeypatch.setenv("RESIDENCY_KEY_COMMAND", f"sh -c 'printf {OLD[:9]}; sleep 0.2; echo {OLD[9:]}'")
    assert project_key("abc", known_fingerprint=None) == bytes.fromhex(OLD)
