"""What the vault keeps is unreadable without its key, whole or refused, and gone when it is forgotten."""

import os
import signal
import sqlite3
import subprocess
import sys
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from residency.errors import StoreError
from residency.store import vault as module
from residency.store.keys import KEY_BYTES, LocalWrapper, key_path, key_rotation, project_key
from residency.store.vault import CELL_BYTES, FILE, Forgotten, Vault, _about

KEY, OTHER = b"k" * KEY_BYTES, b"n" * KEY_BYTES
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


class Padded(LocalWrapper):
    """A wrapper whose wrapped keys are longer, as those of key services are."""

    def __init__(self, key, more):
        super().__init__(key)
        self.more = more

    def wrap(self, key, about):
        return super().wrap(key, about) + bytes(self.more)

    def unwrap(self, wrapped, about):
        return super().unwrap(wrapped[: len(wrapped) - self.more], about)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vault"


@pytest.fixture
def vault(folder):
    opened = Vault.open(folder, LocalWrapper(KEY))
    yield opened
    opened.close()


def everything(folder):
    """All bytes of all files below the folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def sql(folder, statement, *values):
    """Somebody at the file, without the key."""
    connection = sqlite3.connect(folder / FILE)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def wrapped_key(folder, pseudonym):
    cell = sql(folder, "SELECT key FROM patients WHERE pseudonym = ?", pseudonym)[0][0]
    return cell[2 : 2 + int.from_bytes(cell[:2], "big")]


def child(code, folder):
    """A second process with the vault open as ``vault``."""
    start = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom residency.store.vault import Vault\n"
        "from residency.store.keys import LocalWrapper\n"
        f"KEY, OTHER = {KEY!r}, {OTHER!r}\nvault = Vault.open(Path(sys.argv[1]), LocalWrapper(KEY))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start + code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


# Keeping and finding


def test_a_vault_is_for_its_owner_only(vault, folder):
    vault.pseudonym("a")
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {FILE, f"{FILE}-wal", f"{FILE}-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_records_come_back_after_reopening_in_the_order_in_which_they_came(vault, folder):
    ann, bob = vault.pseudonyms(["Ann", "Bob"]).values()
    vault.put("text", [(bob, "2", b"two"), (ann, "1", b"one")])
    vault.put("text", [(bob, "0", b""), (bob, "2", b"two, again")])
    vault.close()
    again = Vault.open(folder, LocalWrapper(KEY))
    assert again.read("text", bob) == [("2", b"two, again"), ("0", b"")]
    assert again.get("text", "1") == b"one"
    assert again.ids("text") == ["2", "1", "0"]
    assert again.count("text") == 3
    assert again.patients() == again.patients("text") == [ann, bob]
    assert again.patients("mapping") == again.ids("mapping") == again.read("mapping", ann) == []
    assert (again.id, again.surrogate_key) == (vault.id, vault.surrogate_key)
    again.close()


def test_a_record_may_move_to_another_patient_by_putting_it_again(vault):
    ann, bob = vault.pseudonyms(["Ann", "Bob"]).values()
    vault.put("text", [(ann, "1", b"one")])
    vault.put("text", [(bob, "1", b"uno")])
    assert (vault.read("text", ann), vault.read("text", bob)) == ([], [("1", b"uno")])


def test_what_is_missing_and_who_is_unknown_is_told(vault):
    ann = vault.pseudonym("Ann")
    with pytest.raises(StoreError, match="no text 7"):
        vault.get("text", "7")
    with pytest.raises(StoreError, match="1 of the patients") as caught:
        vault.put("text", [(ann, "1", b"one"), ("Bob Miller", "2", b"two")])
    assert "Bob" not in str(caught.value)
    assert vault.count("text") == 0
    for ask in (vault.forget, vault.identity):
        with pytest.raises(StoreError, match="no such patient") as caught:
            ask("Bob Miller")
        assert "Bob" not in str(caught.value)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_vault_does_what_a_dictionary_does(vault, data):
    """Any sequence of put, remove and forget leaves what the same sequence leaves in a dictionary."""
    names = [vault.pseudonym(os.urandom(8).hex()) for _ in range(3)]
    for kind in ("text", "mapping"):
        vault.remove(kind)
    model: dict[tuple[str, str], tuple[str, bytes]] = {}
    kinds = st.sampled_from(["text", "mapping"])
    for _ in range(data.draw(st.integers(1, 5))):
        match data.draw(st.sampled_from(["put", "put", "put", "remove", "forget"])):
            case "put":
                record = st.tuples(st.sampled_from(names), st.one_of(st.sampled_from("ab"), TEXT), st.binary())
                kind, records = data.draw(kinds), data.draw(st.lists(record, max_size=4))
                vault.put(kind, records)
                for who, record_id, content in records:
                    model[kind, record_id] = (who, content)
            case "remove":
                kind = data.draw(kinds)
                vault.remove(kind)
                model = {place: record for place, record in model.items() if place[0] != kind}
            case "forget" if len(names) > 1:
                gone = names.pop()
                mine = [place for place, (who, _) in model.items() if who == gone]
                assert vault.forget(gone) == Forgotten(gone, len(mine))
                for place in mine:
                    del model[place]
    for kind in ("text", "mapping"):
        assert vault.ids(kind) == [record_id for k, record_id in model if k == kind]
        assert vault.patients(kind) == [
            n for n in names if any(k == kind and w == n for (k, _), (w, _) in model.items())
        ]
        for who in names:
            assert vault.read(kind, who) == [(i, c) for (k, i), (w, c) in model.items() if k == kind and w == who]
    assert all(vault.get(kind, record_id) == content for (kind, record_id), (_, content) in model.items())


@given(st.lists(st.text(max_size=3), max_size=4))
def test_a_place_can_be_read_back_so_that_two_never_look_the_same(parts):
    rest, read = _about(*parts), []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        read.append(rest[4 : 4 + length].decode("utf-8", "surrogatepass"))
        rest = rest[4 + length :]
    assert read == parts


# Pseudonyms


def test_pseudonyms_are_kept_and_tell_nothing(vault, tmp_path):
    ann, bob = vault.pseudonym("Ann"), vault.pseudonym("Bob")
    assert vault.pseudonyms(["Bob", "Ann", "Bob"]) == {"Bob": bob, "Ann": ann}
    assert ann != bob and all(len(p) == 12 and p.startswith("p-") and int(p[2:], 16) >= 0 for p in (ann, bob))
    assert vault.identity(ann) == "Ann"
    same_key = Vault.open(tmp_path / "other", LocalWrapper(KEY))
    assert same_key.pseudonym("Ann") != ann  # drawn, not derived
    assert same_key.surrogate_key != vault.surrogate_key
    same_key.close()


def test_a_pseudonym_that_somebody_has_is_drawn_again(vault, monkeypatch):
    ann = vault.pseudonym("Ann")
    draws = iter([ann[2:], ann[2:], "00000000aa", "00000000aa", "00000000bb"])
    monkeypatch.setattr(module.secrets, "token_hex", lambda size: next(draws))
    assert set(vault.pseudonyms(["Bob", "Eve"]).values()) == {"p-00000000aa", "p-00000000bb"}
    assert vault.pseudonym("Ann") == ann


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_string_may_be_a_patient(vault, patients):
    names = vault.pseudonyms(patients)
    assert len(set(names.values())) == len(set(patients))
    assert all(vault.identity(pseudonym) == patient for patient, pseudonym in names.items())


def test_many_patients_and_records_fit_into_one_call(vault):
    names = vault.pseudonyms(str(number) for number in range(1200))
    assert vault.pseudonyms(names) == names
    vault.put("text", [(who, who, b"x") for who in names.values()])
    vault.put("text", [(who, who, b"y") for who in names.values()])
    assert vault.patients("text") == list(names.values())
    assert vault.count("text") == 1200


# Forgetting


def test_a_forgotten_patient_is_gone_and_stays_out(vault, folder):
    ann, bob = vault.pseudonyms(["Ann", "Bob"]).values()
    vault.put("text", [(ann, "1", b"one"), (ann, "2", b"two"), (bob, "3", b"three")])
    assert not vault.is_forgotten("Ann") and not vault.is_forgotten("nobody")
    assert vault.forget("Ann") == Forgotten(ann, 2)
    assert vault.forget(ann) == vault.forget("Ann") == Forgotten(ann, 0)  # again: it only cleans
    assert vault.is_forgotten("Ann") and vault.forgotten(["Ann", "Bob", "nobody"]) == {"Ann"}
    assert vault.patients() == [bob]
    assert vault.read("text", ann) == [] and vault.ids("text") == ["3"]
    for refused in (
        lambda: vault.pseudonym("Ann"),
        lambda: vault.pseudonyms(["Carl", "Ann"]),
        lambda: vault.put("text", [(bob, "9", b""), (ann, "1", b"one")]),
        lambda: vault.identity(ann),
    ):
        with pytest.raises(StoreError, match=f"{ann} was forgotten") as caught:
            refused()
        assert "Ann" not in str(caught.value)
    with pytest.raises(StoreError, match="no text 1"):
        vault.get("text", "1")
    assert vault.patients() == [bob] and vault.ids("text") == ["3"]  # neither Carl nor 9 came in
    state = vault.state()
    assert (state.patients, state.forgotten, state.records) == (1, 1, {"text": 1})


def test_a_cached_key_of_another_process_does_not_outlive_the_forgetting(vault, folder):
    ann = vault.pseudonym("Ann")
    vault.put("text", [(ann, "1", b"one")])
    other = Vault.open(folder, LocalWrapper(KEY))
    assert other.get("text", "1") == b"one"
    vault.forget("Ann")
    with pytest.raises(StoreError, match="was forgotten"):
        other.put("text", [(ann, "1", b"one")])
    other.close()


def test_no_file_holds_a_key_after_it_was_destroyed(folder):
    """Also not where rows were moved: among thousands of patients, after a rotation to longer wrapped keys."""
    vault = Vault.open(folder, LocalWrapper(KEY))
    names = vault.pseudonyms(f"{'x' * (number % 50)}{number}" for number in range(400))
    vault.put("text", [(who, f"{who}-{i}", os.urandom(300)) for who in names.values() for i in range(2)])
    first = {who: wrapped_key(folder, who) for who in names.values()}
    assert all(key in everything(folder) for key in first.values())
    gone = list(names.values())[::40]
    for who in gone[:5]:
        vault.forget(who)
    held = everything(folder)
    assert not any(first[who] in held for who in gone[:5])
    assert sum(key in held for key in first.values()) == 395
    vault.rotate(Padded(OTHER, 500))
    second = {who: wrapped_key(folder, who)[:60] for who in names.values()}
    held = everything(folder)
    assert not any(key in held for key in first.values())
    for who in gone[5:]:
        vault.forget(who)
    held = everything(folder)
    assert not any(second[who] in held for who in gone[5:])
    assert sum(key in held for who, key in second.items() if who not in gone) == 390
    assert sql(folder, "SELECT DISTINCT length(key) FROM patients") == [(CELL_BYTES,)]  # what all this rests on
    vault.close()


def test_pages_that_a_reader_holds_back_are_told_and_cleaned_later(folder, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    vault = Vault.open(folder, LocalWrapper(KEY))
    ann = vault.pseudonym("Ann")
    old = wrapped_key(folder, ann)
    reader = sqlite3.connect(folder / FILE, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM patients").fetchall()
    with pytest.raises(StoreError, match=f"forget {ann} again"):
        vault.forget("Ann")
    assert vault.is_forgotten("Ann") and old in everything(folder)
    reader.close()
    assert vault.forget(ann).records == 0
    assert old not in everything(folder)
    vault.close()


def test_an_id_that_looks_like_the_pseudonym_of_another_is_not_guessed_at(vault):
    ann = vault.pseudonym("Ann")
    odd = vault.pseudonym(ann)
    with pytest.raises(StoreError, match="one patient and the pseudonym of another"):
        vault.forget(ann)
    assert vault.patients() == [ann, odd]
    assert vault.forget(odd).pseudonym == odd


# Keys and rotation


def test_a_rotation_changes_the_key_and_nothing_else(vault, folder):
    ann, _ = vault.pseudonyms(["Ann", "Bob"]).values()
    vault.put("text", [(ann, "1", b"one")])
    vault.forget("Bob")
    surrogate_key, before = vault.surrogate_key, vault.state()
    assert Vault.fingerprint_at(folder) == before.fingerprint == LocalWrapper(KEY).fingerprint
    assert vault.rotate(LocalWrapper(OTHER)) == 2  # Ann's, and that of surrogates
    assert Vault.fingerprint_at(folder) == vault.state().fingerprint == LocalWrapper(OTHER).fingerprint
    vault.put("text", [(vault.pseudonym("Carl"), "2", b"two")])
    vault.close()
    with pytest.raises(StoreError, match="not the key that the vault was made with"):
        Vault.open(folder, LocalWrapper(KEY))
    again = Vault.open(folder, LocalWrapper(OTHER))
    assert again.surrogate_key == surrogate_key
    assert (again.pseudonym("Ann"), again.get("text", "1"), again.get("text", "2")) == (ann, b"one", b"two")
    assert again.is_forgotten("Bob") and before.rotated is None and again.state().rotated is not None
    again.close()


def test_a_wrong_key_opens_nothing_and_writes_nothing(vault, folder):
    vault.pseudonym("Ann")
    vault.close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StoreError, match="not the key that the vault was made with") as caught:
        Vault.open(folder, LocalWrapper(OTHER))
    assert LocalWrapper(KEY).fingerprint in caught.value.fix
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_process_with_the_old_key_writes_nothing_after_a_rotation(vault, folder):
    ann = vault.pseudonym("Ann")
    vault.put("text", [(ann, "1", b"one")])
    other = Vault.open(folder, LocalWrapper(KEY))
    vault.rotate(LocalWrapper(OTHER))
    for write in (
        lambda: other.put("text", [(ann, "2", b"two")]),
        lambda: other.pseudonym("Bob"),
        lambda: other.rotate(LocalWrapper(KEY)),
        lambda: other.forget("Ann"),
        lambda: other.remove("text"),
    ):
        with pytest.raises(StoreError, match="another process rotated"):
            write()
    with pytest.raises(StoreError, match="belongs to another project key"):
        other.get("text", "1")
    assert vault.ids("text") == ["1"] and vault.patients() == [ann]
    other.close()


def test_a_rotation_killed_in_the_middle_leaves_the_old_state(vault, folder):
    names = vault.pseudonyms(["Ann", "Bob", "Carl"])
    vault.put("text", [(who, who, b"content") for who in names.values()])
    vault.close()
    code = (
        "class Killed(LocalWrapper):\n"
        "    left = 3\n"
        "    def wrap(self, key, about):\n"
        "        self.left -= 1\n"
        "        if self.left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().wrap(key, about)\n"
        "vault.rotate(Killed(OTHER))\n"
    )
    process = child(code, folder)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    again = Vault.open(folder, LocalWrapper(KEY))
    assert again.pseudonyms(names) == names
    assert all(again.get("text", who) == b"content" for who in names.values())
    assert again.rotate(LocalWrapper(OTHER)) == 4
    again.close()


def test_a_wrapper_that_fails_in_the_middle_of_a_rotation_changes_nothing(vault):
    vault.pseudonyms(["Ann", "Bob"])
    before = vault.state()
    with pytest.raises(StoreError, match=f"holds {CELL_BYTES - 2}"):
        vault.rotate(Padded(OTHER, CELL_BYTES))
    assert vault.state() == before
    assert len(vault.pseudonyms(["Ann", "Carl"])) == 2


@pytest.mark.parametrize("after_the_vault", [False, True])
def test_key_file_and_vault_rotate_together_whenever_they_are_cut_off(folder, monkeypatch, tmp_path, after_the_vault):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    vault = Vault.open(folder, LocalWrapper(project_key("abc", known_fingerprint=None)))
    ann = vault.pseudonym("Ann")

    def known():
        return Vault.fingerprint_at(folder)

    with pytest.raises(KeyboardInterrupt), key_rotation("abc", known=known) as rotation:
        if after_the_vault:
            vault.rotate(LocalWrapper(rotation.new))
        raise KeyboardInterrupt
    vault.close()
    for _ in range(2):
        again = Vault.open(folder, LocalWrapper(project_key("abc", known_fingerprint=known())))
        assert again.pseudonym("Ann") == ann
        with key_rotation("abc", known=known) as rotation:
            again.rotate(LocalWrapper(rotation.new))
        again.close()
    assert key_path("abc").read_text().strip() == rotation.new.hex()


def test_a_folder_without_a_vault_has_no_fingerprint(folder):
    assert Vault.fingerprint_at(folder) is None
    folder.mkdir()
    (folder / FILE).touch()
    assert Vault.fingerprint_at(folder) is None  # killed before the vault was made
    Vault.open(folder, LocalWrapper(KEY)).close()
    assert Vault.fingerprint_at(folder) == LocalWrapper(KEY).fingerprint


def test_no_nonce_is_used_twice(vault, folder):
    ann = vault.pseudonym("Ann")
    for _ in range(3):
        vault.put("text", [(ann, str(number), b"the same") for number in range(50)])
    sealed = [row[0] for row in sql(folder, "SELECT content FROM records UNION ALL SELECT identity FROM patients")]
    assert len({content[:12] for content in sealed}) == len(sealed) == 51


# Damage


@pytest.mark.parametrize(
    ("statements", "refused"),
    [
        pytest.param(["UPDATE records SET id = '9' WHERE id = '1'"], ["text 9"], id="moved to another id"),
        pytest.param(["UPDATE records SET kind = 'note' WHERE id = '1'"], ["note 1"], id="moved to another kind"),
        pytest.param(
            ["UPDATE records SET pseudonym = (SELECT pseudonym FROM records WHERE id = '3') WHERE id = '1'"],
            ["text 1"],
            id="moved to another patient",
        ),
        pytest.param(["UPDATE records SET content = x'' WHERE id = '1'"], ["text 1"], id="emptied"),
        pytest.param(["UPDATE records SET content = substr(content, 1, 20) WHERE id = '1'"], ["text 1"], id="cut"),
        pytest.param(
            [f"UPDATE records SET id = '{new}' WHERE id = '{old}'" for old, new in ("1x", "21", "x2")],
            ["text 1", "text 2"],
            id="swapped",
        ),
    ],
)
def test_an_altered_record_is_refused_by_kind_and_id_only(vault, folder, statements, refused):
    ann, bob = vault.pseudonyms(["Ann", "Bob"]).values()
    vault.put("text", [(ann, "1", b"topsecret one"), (ann, "2", b"topsecret two"), (bob, "3", b"topsecret")])
    for statement in statements:
        sql(folder, statement)
    for what in refused:
        with pytest.raises(StoreError, match=f"{what} is damaged") as caught:
            vault.get(*what.split())
        assert "topsecret" not in str(caught.value)
    assert vault.get("text", "3") == b"topsecret"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_is_found(vault, folder, data):
    vault.put("text", [(vault.pseudonym("Ann"), "1", b"some content")])
    ((content,),) = sql(folder, "SELECT content FROM records")
    at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    altered = content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
    sql(folder, "UPDATE records SET content = ?", altered)
    with pytest.raises(StoreError, match="text 1 is damaged"):
        vault.get("text", "1")


def test_keys_of_two_patients_cannot_be_exchanged(vault, folder):
    ann, bob = vault.pseudonyms(["Ann", "Bob"]).values()
    vault.put("text", [(ann, "1", b"one")])
    sql(folder, "UPDATE patients SET key = (SELECT key FROM patients WHERE pseudonym = ?)", bob)
    with pytest.raises(StoreError, match=f"the key of patient {ann}: A wrapped key was altered"):
        vault.get("text", "1")


def test_a_file_that_is_no_vault_is_told(folder):
    content = b"no database at all" * 99
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    with pytest.raises(StoreError, match="not a vault"):
        Vault.open(folder, LocalWrapper(KEY))
    assert (folder / FILE).read_bytes() == content


def test_a_vault_of_a_newer_version_is_left_alone(vault, folder):
    sql(folder, "UPDATE vault SET schema = 99")
    with pytest.raises(StoreError, match="schema 99"):
        Vault.open(folder, LocalWrapper(KEY))


def test_a_full_disk_is_told_and_takes_nothing(vault):
    ann = vault.pseudonym("Ann")
    vault.put("text", [(ann, "1", b"one")])
    vault._engine.dispose()
    event.listen(vault._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 40"))
    with pytest.raises(StoreError, match="full"):
        vault.put("text", [(ann, "1", b"uno"), (ann, "2", os.urandom(500_000))])
    assert vault.read("text", ann) == [("1", b"one")]


# Several processes


def test_a_folder_name_may_hold_any_character(tmp_path):
    folder = tmp_path / "a?b#c%20 d"
    vault = Vault.open(folder, LocalWrapper(KEY))
    vault.put("text", [(vault.pseudonym("Ann"), "1", b"one")])
    vault.close()
    assert Vault.fingerprint_at(folder) is not None


def test_another_process_reads_while_this_one_writes(vault, folder):
    ann = vault.pseudonym("Ann")
    vault.put("text", [(ann, "0", b"0")])
    process = child("for line in sys.stdin: print(len(vault.read('text', line.strip())), flush=True)", folder)
    with process:
        for number in range(1, 6):
            vault.put("text", [(ann, str(number), b"more")])
            process.stdin.write(ann + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{number + 1}\n"
        vault.forget("Ann")  # a reader between two reads does not hinder it
        process.stdin.write(ann + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "0\n"
        process.stdin.close()
    assert process.returncode == 0


def test_a_writer_excludes_other_writers_from_its_first_look(folder):
    tried = []

    class Watched(LocalWrapper):
        def wrap(self, key, about):
            if (folder / FILE).exists():
                other = sqlite3.connect(folder / FILE, timeout=0, isolation_level=None)
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
                other.close()
                tried.append(about)
            return super().wrap(key, about)

    vault = Vault.open(folder, Watched(KEY))
    vault.pseudonym("Ann")  # looked up, drawn and wrapped before anything is written
    vault.rotate(Watched(OTHER))
    assert len(tried) == 4
    vault.close()


def test_processes_that_make_a_vault_at_once_make_one(tmp_path):
    code = (
        "for line in sys.stdin:\n"
        "    made = Vault.open(Path(line.strip()), LocalWrapper(KEY))\n"
        "    print(made.id, made.pseudonym('Ann'), flush=True)\n"
        "    made.close()"
    )
    processes = [child(code, tmp_path / "first") for _ in range(4)]
    for number in range(30):
        for process in processes:
            process.stdin.write(f"{tmp_path / str(number)}\n")
            process.stdin.flush()
        answers = {process.stdout.readline() for process in processes}
        assert len(answers) == 1 and answers != {""}
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4


def test_processes_that_write_at_once_lose_nothing(folder):
    code = (
        "names = vault.pseudonyms(f'patient {n}' for n in range(40))\n"
        "vault.put('text', [(p, os.urandom(8).hex(), b'x') for p in names.values()])\n"
        "print(vault.id, sorted(names.items()))"
    )
    processes = [child(code, folder) for _ in range(3)]
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers[0] and len(set(answers)) == 1
    vault = Vault.open(folder, LocalWrapper(KEY))
    assert (vault.state().patients, vault.count("text")) == (40, 120)
    vault.close()


def test_a_killed_writer_leaves_whole_records_and_no_readable_byte(folder):
    private = os.urandom(400)
    assert private in zlib.compress(private, module.COMPRESSION)  # else the search below could not fail
    code = (
        f"private = bytes.fromhex('{private.hex()}')\n"
        "for batch in range(10 ** 9):\n"
        "    who = vault.pseudonym(f'TOPSECRET patient {batch}')\n"
        "    vault.put('text', [(who, f'{batch}-{n}', private + bytes([n])) for n in range(20)])\n"
        "    print(batch, flush=True)\n"
    )
    process = child(code, folder)
    with process:
        for _ in range(30):
            finished = int(process.stdout.readline())
        process.kill()
    held = everything(folder)
    assert (folder / f"{FILE}-wal").stat().st_size > 0
    vault = Vault.open(folder, LocalWrapper(KEY))
    assert vault.count("text") >= 20 * (finished + 1) and vault.count("text") % 20 == 0
    for who in vault.patients():
        assert vault.identity(who).startswith("TOPSECRET patient")
        assert [content for _, content in vault.read("text", who)] in ([], [private + bytes([n]) for n in range(20)])
    for found in (held, everything(folder)):
        for secret in (private, b"TOPSECRET", KEY, vault.surrogate_key):
            assert secret not in found
    vault.close()


def test_a_vault_is_not_used_across_a_fork(vault, monkeypatch):
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="open it in each process"):
        vault.patients()


def test_a_derived_pseudonym_is_the_same_in_every_vault_with_that_surrogate_key(tmp_path):
    key = b"s" * 32
    first = Vault.open(tmp_path / "a", LocalWrapper(b"a" * 32), first_surrogate_key=key)
    second = Vault.open(tmp_path / "b", LocalWrapper(b"b" * 32), first_surrogate_key=key)
    third = Vault.open(tmp_path / "c", LocalWrapper(b"a" * 32), first_surrogate_key=b"t" * 32)
    patients = [f"patient {n}" for n in range(50)]
    names = first.pseudonyms(patients, derive=True)
    assert names == second.pseudonyms(patients[::-1], derive=True)
    assert not set(names.values()) & set(third.pseudonyms(patients, derive=True).values())
    assert names != Vault.open(tmp_path / "d", LocalWrapper(b"a" * 32)).pseudonyms(patients)
    assert first.surrogate_key == key


def test_a_wanted_pseudonym_that_is_taken_is_drawn_instead(tmp_path, monkeypatch):
    vault = Vault.open(tmp_path, LocalWrapper(b"a" * 32))
    monkeypatch.setattr(Vault, "_derived", lambda self, patient: "p-0123456789")
    names = vault.pseudonyms(["a", "b", "c"], derive=True)
    assert len(set(names.values())) == 3 and names["a"] == "p-0123456789"


def test_a_patient_is_found_by_id_and_by_pseudonym_and_never_made_by_looking(tmp_path):
    vault = Vault.open(tmp_path, LocalWrapper(b"a" * 32))
    name = vault.pseudonym("Hope")
    assert vault.find("Hope") == vault.find(name) == name
    assert vault.find("hope") is None and vault.patients() == [name]
    vault.forget("Hope")
    assert vault.find("Hope") == name


# The vault that must be there


@pytest.mark.parametrize("left", [None, b"", "rows"])
def test_a_vault_that_is_gone_or_empty_is_not_made_anew(vault, folder, left):
    vault.pseudonym("Ann")
    vault.close()
    if left == "rows":
        sql(folder, "DELETE FROM vault")
    else:
        for path in folder.glob(f"{FILE}*"):
            path.unlink()
        if left is not None:
            (folder / FILE).write_bytes(left)
    with pytest.raises(StoreError, match="missing or empty"):
        Vault.open(folder, LocalWrapper(KEY), known=vault.id)
    assert Vault.fingerprint_at(folder) is None


def test_another_vault_in_its_place_is_refused(vault, folder, tmp_path):
    other = Vault.open(tmp_path / "other", LocalWrapper(KEY))
    Vault.open(folder, LocalWrapper(KEY), known=vault.id).close()
    with pytest.raises(StoreError, match=f"not the vault {other.id}"):
        Vault.open(folder, LocalWrapper(KEY), known=other.id)
    other.close()
