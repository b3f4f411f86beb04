"""Queues: no slot has two readers, no answer is lost, and nobody overwrites what they did not see."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from residency.errors import ProjectError
from residency.records import Decision
from residency.store.queues import COPY_AFTER, LEASE_SECONDS, Duty, Item, Queues, StaleAnswer, Suggestion
from residency.store.studio import ANSWERS, LEASES, SLOTS, Studio

QUEUE = "annotate/diagnose"


def item(number: int, **more) -> Item:
    facts = {"id": f"i-{number}", "queue": QUEUE, "kind": "annotate", "subject": f"d-{number}", "patient": "p-1"}
    return Item(**facts | more)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The URL of a PostgreSQL server of our own, where one is installed with its driver."""
    pytest.importorskip("psycopg")
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="residency-postgres-", dir="/tmp"))
    as_whom = {}
    if os.geteuid() == 0:  # it does not run as root
        as_whom = {"user": "nobody"}
        shutil.chown(folder, "nobody")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_whom}
    subprocess.run(["initdb", "-D", folder / "data", "-U", "tester", "-A", "trust"], check=True, **quiet)
    settings = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    with subprocess.Popen(["postgres", "-D", folder / "data", *settings], **quiet) as server:
        url = f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
        try:
            _wait_for(url)
            yield url
        finally:
            server.terminate()
    shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url):
    engine = create_engine(url, poolclass=NullPool)
    for _ in range(200):
        try:
            engine.connect().close()
        except OperationalError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def studio(request, tmp_path):
    """Every test of one queue runs on both databases."""
    if request.param == "sqlite":
        yield Studio.at(tmp_path / "studio.sqlite")
        return
    studio = Studio(request.getfixturevalue("postgres"))
    yield studio
    with studio.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    studio.engine.dispose()


@pytest.fixture
def queues(studio, clock):
    return Queues(studio, clock=clock)


def filled(queues, items=3, readers=2):
    queues.add(((item(n), float(n)) for n in range(items)), readers=readers)
    return queues


def tell(answer, earlier):
    said = json.dumps(answer.content)
    return [Decision(id=answer.id, subject="p-1", who=answer.who, when="now", verdict=said, why=str(earlier))]


def differ(_, contents):
    return len({str(content) for content in contents}) > 1


def test_items_come_in_their_turn_and_adding_them_again_changes_nothing(queues):
    assert queues.add(((item(n), -float(n)) for n in range(3)), readers=1) == 3
    assert queues.add(((item(n), -float(n)) for n in range(3)), readers=1) == 0
    seen = []
    while (lease := queues.next(QUEUE, "ann")) is not None:
        seen.append(lease.item.id)
        queues.answer(lease.token, "ann", {"label": "A"}, saw=lease.version)
    assert seen == ["i-2", "i-1", "i-0"]
    assert (queues.progress(QUEUE).answered, queues.progress(QUEUE).waiting) == (3, 0)


def test_a_person_gets_the_same_item_until_it_is_answered_and_never_again(queues):
    filled(queues)
    first = queues.next(QUEUE, "ann")
    assert queues.next(QUEUE, "ann").token == first.token
    queues.answer(first.token, "ann", "A", saw=0)
    assert queues.next(QUEUE, "ann").item.id != first.item.id


def test_the_readers_of_an_item_are_different_people(queues):
    filled(queues, items=1)
    assert queues.next(QUEUE, "ann").item == queues.next(QUEUE, "ben").item
    assert queues.next(QUEUE, "cyd") is None


def test_half_read_items_are_finished_first(queues):
    filled(queues, items=3)
    taken = queues.next(QUEUE, "ann")
    queues.answer(taken.token, "ann", "A", saw=0)
    queues.answer(queues.next(QUEUE, "ann").token, "ann", "A", saw=0)
    queues.add([(item(9), -1.0)], readers=2)
    assert [queues.next(QUEUE, who).item.id for who in ("ben", "cyd", "dan")] == ["i-0", "i-1", "i-9"]


def test_a_lease_ends_and_the_late_answer_is_kept_all_the_same(queues, clock):
    filled(queues, items=1, readers=1)
    late = queues.next(QUEUE, "ann")
    clock.now += LEASE_SECONDS + 1
    new = queues.next(QUEUE, "ben")
    assert new.item == late.item and new.token != late.token
    kept = queues.answer(late.token, "ann", "late", saw=late.version, seconds=5)
    queues.answer(new.token, "ben", "in time", saw=new.version)
    assert sorted((a.who, a.content) for a in queues.answers(QUEUE)) == [("ann", "late"), ("ben", "in time")]
    assert kept.token != late.token
    assert queues.undo(kept.token, "ann", saw=1).content is None


def test_an_answer_after_its_lease_ended_takes_its_slot_back_where_nobody_has_it(queues, clock):
    filled(queues, items=2, readers=1)
    mine = queues.next(QUEUE, "ann")
    clock.now += LEASE_SECONDS + 1
    assert queues.next(QUEUE, "ben").item == mine.item
    queues.give_back(queues.next(QUEUE, "ben").token, "ben")
    assert queues.renew(mine.token, "ann").until > clock.now
    assert queues.answer(mine.token, "ann", "A", saw=0).token == mine.token
    assert queues.next(QUEUE, "ben").item != mine.item


def test_a_lease_is_renewed_given_back_and_passed(queues, clock):
    filled(queues, items=2, readers=1)
    mine = queues.next(QUEUE, "ann")
    clock.now += LEASE_SECONDS - 1
    queues.renew(mine.token, "ann")
    clock.now += LEASE_SECONDS - 1
    assert queues.next(QUEUE, "ben").item != mine.item
    queues.give_back(mine.token, "ann", passed=True)
    assert queues.next(QUEUE, "ann") is None
    assert queues.next(QUEUE, "cyd").item == mine.item
    with pytest.raises(StaleAnswer, match="somebody else"):
        queues.renew(mine.token, "ann")


def test_an_edit_names_what_it_saw_and_a_stale_one_is_refused(queues):
    filled(queues, items=1)
    token = queues.next(QUEUE, "ann").token
    queues.answer(token, "ann", "one", saw=0)
    queues.answer(token, "ann", "two", saw=1)
    with pytest.raises(StaleAnswer):
        queues.answer(token, "ann", "other window", saw=1)
    assert [a.content for a in queues.history(token, "ann")] == ["one", "two"]
    assert [a.content for a in queues.answers(QUEUE)] == ["two"]


def test_the_same_answer_sent_twice_is_one_answer(queues):
    filled(queues, items=1)
    token = queues.next(QUEUE, "ann").token
    assert queues.answer(token, "ann", "one", saw=0) == queues.answer(token, "ann", "one", saw=0)
    assert len(queues.history(token, "ann")) == 1


def test_undo_is_a_new_version_and_goes_back_step_by_step(queues):
    filled(queues, items=1, readers=1)
    token = queues.next(QUEUE, "ann").token
    for version, content in enumerate(("one", "two", "three")):
        queues.answer(token, "ann", content, saw=version)
    contents = [queues.undo(token, "ann", saw=saw).content for saw in (3, 4, 5)]
    assert contents == ["two", "one", None]
    assert list(queues.answers(QUEUE)) == [] and queues.next(QUEUE, "ann").token == token
    with pytest.raises(ProjectError, match="taken back already"):
        queues.undo(token, "ann", saw=6)
    assert queues.answer(token, "ann", "four", saw=6).version == 7


def test_a_token_of_somebody_else_and_an_invented_one_get_the_same_words(queues):
    filled(queues, items=1)
    token = queues.next(QUEUE, "ann").token
    said = set()
    for wrong in ((token, "ben"), ("0" * 32, "ann")):
        for call in (queues.renew, queues.lease, queues.give_back):
            with pytest.raises(ProjectError) as caught:
                call(*wrong)
            said.add(str(caught.value))
        with pytest.raises(ProjectError) as caught:
            queues.answer(*wrong, "x", saw=0)
        said.add(str(caught.value))
    assert len(said) == 1


def test_seconds_are_never_more_than_passed_since_the_item_was_given(queues, clock):
    filled(queues, items=2)
    token = queues.next(QUEUE, "ann").token
    clock.now += 12
    assert queues.answer(token, "ann", "A", saw=0, seconds=9_999).seconds == 12
    assert queues.answer(queues.next(QUEUE, "ann").token, "ann", "A", saw=0, seconds=-5).seconds == 0


def test_a_third_person_adjudicates_where_two_differ(queues):
    filled(queues, items=2)
    for who, labels in (("ann", "AA"), ("ben", "AB")):
        for label in labels:
            queues.answer(queues.next(QUEUE, who).token, who, label, saw=0, differ=differ)
    assert queues.next(QUEUE, "ann", duty=Duty.ADJUDICATE) is None
    third = queues.next(QUEUE, "cyd", duty=Duty.ADJUDICATE)
    assert third.item.id == "i-1"
    assert [a.content for a in queues.of_item("i-1")] == ["A", "B"]
    queues.answer(third.token, "cyd", "B", saw=0, differ=differ)
    assert [a.content for a in queues.answers(QUEUE, duty=Duty.ADJUDICATE)] == ["B"]


def test_nobody_adjudicates_before_all_readers_have_answered(queues):
    filled(queues, items=1, readers=3)
    for who, label in (("ann", "A"), ("ben", "B")):
        queues.answer(queues.next(QUEUE, who).token, who, label, saw=0, differ=differ)
    assert queues.next(QUEUE, "dan", duty=Duty.ADJUDICATE) is None
    queues.answer(queues.next(QUEUE, "cyd").token, "cyd", "A", saw=0, differ=differ)
    assert queues.next(QUEUE, "dan", duty=Duty.ADJUDICATE) is not None


def test_adjudication_is_dropped_where_the_readers_agree_after_all_and_comes_back(queues):
    filled(queues, items=1)
    for who, label in (("ann", "A"), ("ben", "B")):
        token = queues.next(QUEUE, who).token
        queues.answer(token, who, label, saw=0, differ=differ)
    queues.answer(token, "ben", "A", saw=1, differ=differ)
    assert queues.next(QUEUE, "cyd", duty=Duty.ADJUDICATE) is None
    queues.undo(token, "ben", saw=2, differ=differ)
    assert queues.next(QUEUE, "cyd", duty=Duty.ADJUDICATE) is not None


def test_a_hidden_duplicate_comes_later_to_whoever_read_the_original(queues):
    many = COPY_AFTER + 4
    queues.add([(item(n), float(n)) for n in range(many)] + [(item(99, copy_of="i-0"), -1.0)], readers=1)
    seen = []
    while (lease := queues.next(QUEUE, "ann")) is not None:
        seen.append(lease.item.id)
        queues.answer(lease.token, "ann", "A", saw=0)
    assert len(seen) == many + 1
    assert seen.index("i-99") - seen.index("i-0") > COPY_AFTER
    assert queues.next(QUEUE, "ben") is None


def test_a_hidden_duplicate_that_was_left_stays_with_its_reader(queues, clock):
    queues.add([(item(0), 0.0), (item(1, copy_of="i-0"), 1.0)], readers=1)
    assert queues.progress(QUEUE).waiting == 1
    queues.answer(queues.next(QUEUE, "ann").token, "ann", "A", saw=0)
    copy = queues.next(QUEUE, "ann")
    assert copy.item.id == "i-1"
    clock.now += LEASE_SECONDS + 1
    assert queues.next(QUEUE, "ben") is None
    assert queues.next(QUEUE, "ann").item == copy.item


def test_what_the_ledger_is_to_be_told_waits_until_it_was(queues):
    filled(queues, items=1)
    token = queues.next(QUEUE, "ann").token
    first = queues.answer(token, "ann", "one", saw=0, tell=tell)
    queues.undo(token, "ann", saw=1, tell=tell)
    (number, [one]), (_, [taken_back]) = queues.untold()
    assert (number, one.verdict, one.why) == (first.number, '"one"', "None")
    assert (taken_back.verdict, taken_back.why) == ("null", first.id)
    queues.told([number])
    assert [its for _, its in queues.untold()] == [[taken_back]]


def test_what_is_written_within_an_answer_is_kept_with_it_or_not_at_all(queues):
    filled(queues, items=1)
    token = queues.next(QUEUE, "ann").token

    def fails(connection, answer):
        raise RuntimeError("the audit log is full")

    with pytest.raises(RuntimeError):
        queues.answer(token, "ann", "A", saw=0, within=fails)
    assert queues.lease(token, "ann").version == 0


def test_a_forgotten_patient_leaves_nothing_that_was_said(queues):
    filled(queues, items=2)
    queues.suggest("i-0", [Suggestion(source="m", score=0.5, content="Vandermolen")])
    token = queues.next(QUEUE, "ann").token
    queues.answer(token, "ann", {"comment": "Vandermolen"}, saw=0)
    assert queues.forget("p-1") == 2
    assert queues.next(QUEUE, "ben") is None and queues.suggestions("i-0") == []
    assert [a.content for a in queues.history(token, "ann")] == [None]
    with pytest.raises(ProjectError, match="not asked about"):
        queues.answer(token, "ann", "again", saw=1)


def test_suggestions_lie_apart_from_the_item(queues):
    filled(queues, items=1)
    queues.suggest(
        "i-0", [Suggestion(source="a", score=0.1, content="x"), Suggestion(source="b", score=0.9, content="y")]
    )
    assert [one.source for one in queues.suggestions("i-0")] == ["b", "a"]
    assert "b" not in repr(queues.next(QUEUE, "ann").item.facts)


def test_an_answer_that_is_too_long_is_refused(queues):
    filled(queues, items=1)
    with pytest.raises(ProjectError, match="characters long"):
        queues.answer(queues.next(QUEUE, "ann").token, "ann", "x" * 300_000, saw=0)


# --- any order of what people do ----------------------------------------------------------------------------------

DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["next", "answer", "edit", "undo", "back", "pass", "wait"]),
        st.sampled_from(["ann", "ben", "cyd"]),
        st.sampled_from(["A", "B"]),
    ),
    max_size=40,
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(DEEDS)
def test_whatever_people_do_every_slot_has_one_reader_and_every_answer_is_there(tmp_path_factory, deeds):
    clock = Clock()
    queues = filled(Queues(Studio.at(tmp_path_factory.mktemp("q") / "s.sqlite"), clock=clock), items=3)
    held, kept, last = {}, Counter(), {}
    for deed, who, label in deeds:
        clock.now += 1
        try:
            if deed == "next" and (lease := queues.next(QUEUE, who)) is not None:
                held[who] = lease
            elif deed == "wait":
                clock.now += LEASE_SECONDS
            elif deed == "answer" and who in held:
                answer = queues.answer(held[who].token, who, label, saw=held[who].version, differ=differ)
                last[who], kept[who] = answer, kept[who] + 1
            elif deed == "edit" and who in last:
                last[who] = queues.answer(last[who].token, who, label + "!", saw=last[who].version, differ=differ)
                kept[who] += 1
            elif deed == "undo" and who in last:
                last[who] = queues.undo(last[who].token, who, saw=last[who].version, differ=differ)
                kept[who] += 1
            elif deed in ("back", "pass") and who in held:
                queues.give_back(held.pop(who).token, who, passed=deed == "pass")
        except (StaleAnswer, ProjectError):
            held.pop(who, None)
    with queues.studio.reading() as connection:
        read = connection.execute(select(SLOTS.c.item, SLOTS.c.who).where(SLOTS.c.who.is_not(None))).all()
        assert len(set(read)) == len(read)
        versions = connection.execute(select(ANSWERS.c.slot, ANSWERS.c.version)).all()
    for slot in {slot for slot, _ in versions}:
        numbers = sorted(version for its, version in versions if its == slot)
        assert numbers == list(range(1, len(numbers) + 1))


# --- many at once -------------------------------------------------------------------------------------------------


def hammer(url: str, who: str, seconds: float, results) -> None:
    """One person who works as fast as the machine allows, and loses the connection now and then."""
    queues = Queues(Studio(url))
    chance, answered, problems = random.Random(who), [], []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            lease = queues.next(QUEUE, who)
            if lease is None:
                break
            if chance.random() < 0.1:
                queues.give_back(lease.token, who)
                continue
            saw = lease.version
            answer = queues.answer(lease.token, who, {"label": chance.choice("AB")}, saw=saw, tell=tell, differ=differ)
            answered.append((answer.item.id, answer.number))
            if chance.random() < 0.1:
                queues.answer(lease.token, who, {"label": "C"}, saw=answer.version, tell=tell, differ=differ)
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
    results.put((who, answered, problems))


def crowd(url: str, people: int, seconds: float) -> tuple[dict[str, list], list[str]]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=hammer, args=(url, f"p{n}", seconds, results)) for n in range(people)]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    return {who: answered for who, answered, _ in told}, [one for _, _, problems in told for one in problems]


def check_crowd(queues: Queues, people: int, seconds: float) -> int:
    filled(queues, items=3_000)
    answered, problems = crowd(queues.studio.engine.url.render_as_string(hide_password=False), people, seconds)
    assert problems == []
    said = [(name, who) for who, its in answered.items() for name, _ in its]
    assert len(said) == len(set(said)) > 0, "somebody was given an item twice"
    held = Counter(name for name, _ in said)
    assert max(held.values()) <= 2, "more people than places"
    kept = {(answer.item.id, answer.who) for answer in queues.answers(QUEUE)}
    assert kept == set(said), "a decision was lost"
    with queues.studio.reading() as connection:
        slots = connection.execute(select(SLOTS.c.item, SLOTS.c.who).where(SLOTS.c.state == "answered")).all()
        leases = connection.execute(select(LEASES.c.slot, LEASES.c.who, LEASES.c.since)).all()
        ends = dict(connection.execute(select(ANSWERS.c.slot, ANSWERS.c.when).where(ANSWERS.c.version == 1)).all())
    assert len(slots) == len(said)
    by_slot: dict[int, list] = {}
    for slot, who, since in sorted(leases, key=lambda one: one[2]):
        by_slot.setdefault(slot, []).append((since, who))
    for slot, its in by_slot.items():  # nobody was given a slot that had been answered
        assert all(since <= ends.get(slot, since) for since, _ in its)
    return len(said)


def test_a_crowd_of_processes_loses_nothing_and_never_shares_a_slot(studio):
    check_crowd(Queues(studio), people=5, seconds=2)


@pytest.mark.slow
def test_twenty_five_people_at_once(studio):
    check_crowd(Queues(studio), people=25, seconds=10)


@pytest.mark.slow
def test_a_full_studio_gives_and_takes_an_item_within_ten_milliseconds(tmp_path):
    """50,000 documents and 200,000 answers; the disk's own time is left out, because it is the machine's."""
    spec = importlib.util.spec_from_file_location("bench_studio", Path(__file__).parents[2] / "bench" / "studio.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    studio = bench.without_the_disk(Studio.at(tmp_path / "studio.sqlite"))
    queues = bench.fill(studio, documents=50_000, answers=190_000, people=25)
    spent = bench.measure(queues, people=25, rounds=500)
    assert {name: bench.percentile(values, 0.5) < 10 for name, values in spent.items()} == dict.fromkeys(spent, True)
