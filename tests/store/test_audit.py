"""Every later change of the audit log is found, wherever it is, and no text gets into it."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from residency.errors import RecordError, StoreError
from residency.store.anchor import Anchor, Head
from residency.store.audit import (
    Entry,
    Event,
    append,
    entries,
    export,
    latest,
    read_exported,
    verify,
    verify_entries,
)
from residency.store.studio import AUDIT, AUDIT_HEAD, NO_ENTRY, Studio


@pytest.fixture
def studio(tmp_path):
    return Studio.beside(tmp_path / "studio.sqlite", Anchor(tmp_path / "keys" / "p.audit"))


def write(studio, count, who="ann"):
    for number in range(count):
        with studio.writing() as connection:
            append(connection, Event.DECIDED, who=who, subject=f"v{number}", facts={"verdict": "correct"})


def change(studio, statement):
    with studio.engine.execution_options(writes=True).begin() as connection:  # past the anchor, as an intruder would
        connection.execute(statement)


def test_an_empty_log_and_a_grown_one_are_whole(studio):
    assert verify(studio).whole
    write(studio, 5)
    found = verify(studio)
    assert (found.whole, found.entries, found.anchored) == (True, 5, 5)
    assert [entry.number for entry in latest(studio, most=2)] == [5, 4]
    assert [entry.number for entry in latest(studio, most=2, before=4)] == [3, 2]


def test_a_deed_that_fails_leaves_no_entry(studio):
    write(studio, 1)
    with pytest.raises(ZeroDivisionError), studio.writing() as connection:
        append(connection, Event.DECIDED, who="ann")
        1 / 0  # noqa: B018
    assert verify(studio).entries == 1


CHAIN: list[Entry] = []
last = NO_ENTRY
for number in range(1, 9):
    unsigned = Entry(number, f"2026-01-0{number}T00:00:00", "ann", "decided", f"v{number}", '{"n":1}', last.hash, "")
    CHAIN.append(Entry(*[getattr(unsigned, name) for name in Entry.__slots__[:-1]], unsigned.digest()))
    last = Head(number, CHAIN[-1].hash)
END = last


@given(
    place=st.integers(0, len(CHAIN) - 1),
    name=st.sampled_from(Entry.__slots__),
    text=st.text(max_size=70),
    number=st.integers(-5, 20),
)
def test_any_single_edit_is_found_and_its_place_is_named(place, name, text, number):
    old = CHAIN[place]
    new = Entry(**{n: getattr(old, n) for n in Entry.__slots__} | {name: number if name == "number" else text})
    edited = [*CHAIN[:place], new, *CHAIN[place + 1 :]]
    found = verify_entries(edited, END)
    assert found.whole == (new == old)
    assert found.whole or found.broken == place + 1


@given(order=st.permutations(CHAIN))
def test_any_other_order_is_found(order):
    assert verify_entries(order, END).whole == (order == CHAIN)


@given(gone=st.sets(st.integers(0, len(CHAIN) - 1), min_size=1))
def test_any_missing_entries_are_found_at_the_first(gone):
    found = verify_entries([entry for place, entry in enumerate(CHAIN) if place not in gone], END)
    assert found.broken == min(gone) + 1


@given(place=st.integers(0, len(CHAIN) - 1))
def test_a_log_written_anew_from_some_entry_on_is_found_by_its_anchor(place):
    chain, last = CHAIN[:place], Head(place, CHAIN[place - 1].hash) if place else NO_ENTRY
    for old in CHAIN[place:]:
        values = {n: getattr(old, n) for n in Entry.__slots__} | {"who": "eve", "previous": last.hash, "hash": ""}
        chain.append(Entry(**values | {"hash": Entry(**values).digest()}))
        last = Head(old.number, chain[-1].hash)
    assert verify_entries(chain).whole
    assert not verify_entries(chain, END).whole


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (AUDIT.update().where(AUDIT.c.number == 3).values(who="eve"), 3),
        (AUDIT.update().where(AUDIT.c.number == 3).values(facts='{"verdict": "correct"}'), 3),
        (AUDIT.delete().where(AUDIT.c.number == 1), 1),
        (AUDIT.delete().where(AUDIT.c.number == 4), 4),
        (AUDIT.delete().where(AUDIT.c.number > 4), 5),
        (AUDIT.delete(), 1),
        (AUDIT_HEAD.update().values(hash="f" * 64), 7),
    ],
)
def test_changes_in_the_database_are_found(studio, statement, broken):
    write(studio, 6)
    change(studio, statement)
    assert verify(studio).broken == broken


def test_a_tail_that_was_cut_off_with_the_head_moved_back_is_found_by_the_anchor(studio):
    write(studio, 6)
    change(studio, AUDIT.delete().where(AUDIT.c.number > 4))
    fourth = latest(studio, most=1)[0]
    change(studio, AUDIT_HEAD.update().values(number=4, hash=fourth.hash))
    found = verify(studio)
    assert found.broken == 5 and "2 entries are gone" in found.why
    write(studio, 1)  # going on does not cover it up
    assert not verify(studio).whole


def test_an_anchor_that_is_behind_after_a_kill_is_no_break_and_a_lost_one_is_said(studio):
    write(studio, 3)
    anchored = studio.anchor.path.read_text()
    write(studio, 2)
    studio.anchor.path.write_text(anchored)
    found = verify(studio)
    assert found.whole and (found.entries, found.anchored) == (5, 3)
    studio.anchor.path.unlink()
    assert verify(studio).anchored is None
    studio.anchor.path.write_text("12 nonsense\n")
    with pytest.raises(StoreError, match="anchor"):
        verify(studio)
    with pytest.raises(StoreError, match="anchor"):
        write(studio, 1)
    studio.anchor.path.write_text("")
    assert verify(studio).entries == 5, "what cannot be anchored is not done"


@pytest.mark.parametrize("bad", ["Mr Jones", "a\nb", "", "x" * 129, "näme with space", "<b>"])
def test_text_is_refused_and_not_repeated(studio, bad):
    for values in ({"who": bad}, {"who": "ann", "subject": bad}, {"who": "ann", "facts": {"why": bad}}):
        with pytest.raises(ValueError, match="single words") as caught, studio.writing() as connection:
            append(connection, Event.DECIDED, **values)
        assert not bad or bad not in str(caught.value)
    assert verify(studio).entries == 0


def test_an_exported_log_is_checked_without_the_database(studio, tmp_path):
    write(studio, 3)
    assert export(studio, tmp_path / "AUDIT.jsonl", who="officer") == 4
    lines = (tmp_path / "AUDIT.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["what"] == "exported"
    assert verify_entries(read_exported(tmp_path / "AUDIT.jsonl")).whole
    (tmp_path / "cut.jsonl").write_text("\n".join(lines[1:]) + "\n")
    assert verify_entries(read_exported(tmp_path / "cut.jsonl")).broken == 1
    (tmp_path / "other.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(RecordError, match="line 1"):
        read_exported(tmp_path / "other.jsonl")


def _write_many(place, who):
    write(Studio.beside(place / "studio.sqlite", Anchor(place / "keys" / "p.audit")), 25, who)


def test_several_processes_write_one_chain(studio, tmp_path):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(_write_many, [tmp_path] * 3, ["ann", "bea", "cem"]))
    found = verify(studio)
    assert found.whole and found.entries == found.anchored == 75
    with studio.reading() as connection:
        counts = connection.execute(select(AUDIT.c.who, func.count()).group_by(AUDIT.c.who)).all()
    assert sorted(map(tuple, counts)) == [("ann", 25), ("bea", 25), ("cem", 25)]
    assert len(list(entries(studio))) == 75
