"""Accounts, roles, sessions, limits, two-person approvals, the broken glass."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from residency.errors import GateRefused, ProjectError
from residency.store.approvals import OPEN, Approvals, Deed
from residency.store.attempts import FOR_ACCOUNT, FROM_ADDRESS, WINDOW, Attempts
from residency.store.audit import latest, verify
from residency.store.break_glass import BreakGlass
from residency.store.people import SHORTEST, People, checked_password
from residency.store.roles import APART, MAY, WHILE_BROKEN, Permission, Role, permissions, refuse_together, role_named
from residency.store.sessions import IDLE, LONGEST, SEEN_EVERY, Sessions, form_token, is_form_token
from residency.store.studio import ATTEMPTS, PEOPLE, SESSIONS, Studio

GOOD = "seven storks over Basel"
LATE = "nine herons over Ghent"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def studio(tmp_path):
    return Studio.at(tmp_path / "studio.sqlite")


@pytest.fixture
def people(studio, clock):
    found = People(studio, clock)
    for name in ("ann", "bea", "cem"):
        found.add(name, name.title(), password=None, by="console:root")
    return found


def with_role(people, name, role):
    people.give(name, role, by="console:root")
    return people.named(name)


# --- roles ------------------------------------------------------------------------------------------------------


def test_every_role_is_in_the_table_and_every_permission_is_given_to_some_role():
    assert set(MAY) == set(Role)
    assert set().union(*MAY.values()) == set(Permission)


def test_private_text_is_for_those_who_need_it():
    raw = {role for role in Role if Permission.READ_RAW in MAY[role]}
    assert raw == {Role.PRIVACY_OFFICER}
    text = {Permission.READ_RAW, Permission.READ_DEIDENTIFIED}
    assert not text & (MAY[Role.ADMIN] | MAY[Role.AUDITOR] | MAY[Role.VIEWER])
    assert MAY[Role.AUDITOR] == {Permission.READ_AUDIT}


@given(st.sets(st.sampled_from(Role)))
def test_no_one_gets_roles_that_together_give_administration_and_raw_text(wanted):
    held: set[Role] = set()
    for role in wanted:
        try:
            refuse_together(held, role)
        except ProjectError:
            continue
        held.add(role)
    may = permissions(held)
    assert not {Permission.MANAGE_PEOPLE, Permission.READ_RAW} <= may
    assert not {Permission.MANAGE_PEOPLE, Permission.BREAK_GLASS} <= may


def test_roles_that_stay_apart_are_refused_in_either_order(people):
    pairs = {frozenset({one, other}) for one, others in APART.items() for other in others}
    for one, other in itertools.permutations(Role, 2):
        if frozenset({one, other}) in pairs:
            with pytest.raises(ProjectError, match="both"):
                refuse_together([one], other)
        else:
            refuse_together([one], other)
    with pytest.raises(ProjectError, match="annotator"):
        role_named("boss")


# --- accounts ---------------------------------------------------------------------------------------------------


def test_a_password_is_known_again_and_nothing_of_it_is_kept(people, studio):
    people.add("dee", "Dee", password=GOOD, by="console:root")
    person = people.check("dee", GOOD)
    assert person is not None and person.name == "dee"
    assert people.check("dee", GOOD + "!") is None
    assert people.check("nobody", GOOD) is None
    assert people.check("ann", GOOD) is None  # has no password
    assert people.check("ann", "nobody's password, which is never right") is None
    with studio.reading() as connection:
        kept = connection.execute(select(PEOPLE.c.password).where(PEOPLE.c.name == "dee")).scalar_one()
    assert kept.startswith("$argon2id$") and GOOD not in kept
    people.disable("dee", by="console:root")
    assert people.check("dee", GOOD) is None
    people.enable("dee", by="console:root")
    people.set_password("dee", LATE, by="dee")
    assert people.check("dee", GOOD) is None
    assert people.check("dee", LATE)
    assert verify(studio).whole


def test_the_same_password_typed_with_other_code_points_is_the_same(people):
    people.add("eve", "Eve", password="caf\N{LATIN SMALL LETTER E WITH ACUTE} at the corner", by="console:root")
    assert people.check("eve", "cafe\N{COMBINING ACUTE ACCENT} at the corner")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "characters"),
        ("x" * (SHORTEST - 1), str(SHORTEST)),
        ("ab" * SHORTEST, "different"),
        ("x" * 2_000, "more"),
        ("my name is Ann-Marie", "name of the account"),
    ],
)
def test_weak_passwords_are_refused_and_not_shown(password, why):
    with pytest.raises(ProjectError, match=why) as caught:
        checked_password(password, "ann")
    assert password not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a", "Ann", "1ann", "an n", "a" * 65, "ann\n", "<b>", "console:root"])
def test_names_that_could_be_something_else_are_refused(people, name):
    with pytest.raises(ProjectError, match="cannot be the name"):
        people.add(name, "Someone", password=None, by="console:root")


def test_an_account_is_made_once_and_its_shown_name_is_one_line(people):
    with pytest.raises(ProjectError, match="there is such"):
        people.add("ann", "Another", password=None, by="console:root")
    for shown in ("", " ", "a\nb", "x" * 129):
        with pytest.raises(ProjectError, match="one line"):
            people.add("fay", shown, password=None, by="console:root")
    with pytest.raises(ProjectError, match="no such account"):
        people.give("gus", Role.VIEWER, by="console:root")


def test_roles_are_given_and_taken_and_both_are_logged_once(people, studio):
    before = verify(studio).entries
    for _ in range(2):
        people.give("ann", Role.REVIEWER, by="bea")
    assert people.named("ann").may(Permission.VALIDATE)
    for _ in range(2):
        people.take("ann", Role.REVIEWER, by="bea")
    assert not people.named("ann").permissions
    assert [entry.what for entry in latest(studio, most=2)] == ["role-taken", "role-given"]
    assert verify(studio).entries == before + 2


# --- sessions ---------------------------------------------------------------------------------------------------


def test_a_session_ends_after_idleness_and_after_its_longest_time(people, studio, clock):
    sessions = Sessions(studio, clock)
    token = sessions.begin("ann", address="127.0.0.1")
    assert sessions.person(token).name == "ann"
    clock.now += IDLE - 1
    assert sessions.person(token)
    clock.now += IDLE - 1
    assert sessions.person(token)
    clock.now += IDLE
    assert sessions.person(token) is None

    token = sessions.begin("ann", address="127.0.0.1")
    began = clock.now
    while clock.now < began + LONGEST - SEEN_EVERY:
        assert sessions.person(token)
        clock.now += IDLE / 2
    clock.now = began + LONGEST
    assert sessions.person(token) is None


def test_sessions_end_with_sign_out_disabling_and_a_new_password(people, studio, clock):
    sessions = Sessions(studio, clock)
    for end in (
        lambda token: sessions.end(token),
        lambda _: people.set_password("ann", GOOD, by="ann"),
        lambda _: people.disable("ann", by="bea"),
    ):
        token = sessions.begin("ann", address="127.0.0.1")
        assert sessions.person(token)
        end(token)
        assert sessions.person(token) is None
    sessions.end("never was")


def test_the_database_opens_no_session(people, studio, clock):
    token = Sessions(studio, clock).begin("ann", address="127.0.0.1")
    with studio.reading() as connection:
        kept = connection.execute(select(SESSIONS.c.token_hash)).scalar_one()
    assert kept != token and Sessions(studio, clock).person(kept) is None


@given(st.text(max_size=70))
def test_only_the_form_token_of_the_session_is_taken(given_token):
    assert is_form_token(form_token("token"), "token")
    assert not is_form_token(form_token("other"), "token")
    if given_token != form_token("token"):
        assert not is_form_token(given_token, "token")


# --- limits -----------------------------------------------------------------------------------------------------


def test_an_account_is_closed_for_a_while_after_failures_wherever_they_come_from(studio, clock):
    attempts = Attempts(studio, clock)
    for number in range(FOR_ACCOUNT):
        assert attempts.begin("ann", f"10.0.0.{number}") == 0
    wait = attempts.begin(" ANN", "10.0.0.99")
    assert 0 < wait <= WINDOW
    assert attempts.begin("bea", "10.0.0.99") == 0
    clock.now += wait
    assert attempts.begin("ann", "10.0.0.1") == 0


def test_an_address_is_closed_for_a_while_whatever_names_it_tries(studio, clock):
    attempts = Attempts(studio, clock)
    for number in range(FROM_ADDRESS):
        assert attempts.begin(f"name{number}", "10.0.0.1") == 0
    assert attempts.begin("ann", "10.0.0.1") > 0
    assert attempts.begin("ann", "10.0.0.2") == 0


def test_success_forgets_what_was_mistyped_and_names_are_kept_as_hashes(people, studio, clock):
    attempts = Attempts(studio, clock)
    for _ in range(FOR_ACCOUNT - 1):
        attempts.begin("ann", "10.0.0.1")
        attempts.failed("ann", "10.0.0.1")
    attempts.begin("my password by mistake", "10.0.0.1")
    attempts.failed("my password by mistake", "10.0.0.1")
    assert latest(studio, most=2)[0].who == "unknown"
    assert latest(studio, most=2)[1].who == "ann"
    with studio.reading() as connection:
        rows = connection.execute(select(ATTEMPTS)).all()
    assert "password" not in repr(rows)
    attempts.succeeded("ann", "10.0.0.1")
    for _ in range(FOR_ACCOUNT):
        assert attempts.begin("ann", "10.0.0.1") == 0


# --- two people -------------------------------------------------------------------------------------------------


def test_a_vault_export_needs_two_people_and_an_approval_serves_once(people, studio, clock):
    approvals = Approvals(studio, clock)
    ann, bea = with_role(people, "ann", Role.PRIVACY_OFFICER), with_role(people, "bea", Role.PRIVACY_OFFICER)
    request = approvals.ask(Deed.VAULT_EXPORT, "vault-1", "a court order", by=ann)
    with pytest.raises(ProjectError, match="Who asked"):
        approvals.decide(request, approve=True, by=ann)
    with studio.writing() as connection, pytest.raises(GateRefused, match="second person"):
        approvals.use(connection, Deed.VAULT_EXPORT, "vault-1", by="ann")
    approvals.decide(request, approve=True, by=bea)
    with pytest.raises(ProjectError, match="closed"):
        approvals.decide(request, approve=False, by=bea)
    for deed, subject in ((Deed.PROMOTION, "vault-1"), (Deed.VAULT_EXPORT, "vault-2")):
        with studio.writing() as connection, pytest.raises(GateRefused):
            approvals.use(connection, deed, subject, by="ann")
    with studio.writing() as connection:
        assert approvals.use(connection, Deed.VAULT_EXPORT, "vault-1", by="ann").decided_by == "bea"
    with studio.writing() as connection, pytest.raises(GateRefused):
        approvals.use(connection, Deed.VAULT_EXPORT, "vault-1", by="ann")
    assert "court" not in "".join(entry.facts + entry.subject for entry in latest(studio, most=50))


def test_a_refusal_an_old_request_and_an_old_approval_approve_nothing(people, studio, clock):
    approvals = Approvals(studio, clock)
    ann, bea = with_role(people, "ann", Role.DEPLOYER), with_role(people, "bea", Role.REVIEWER)
    refused, late, old = (approvals.ask(Deed.PROMOTION, f"adapter-{n}", "better", by=ann) for n in range(3))
    approvals.decide(refused, approve=False, by=bea)
    approvals.decide(old, approve=True, by=bea)
    clock.now += OPEN
    with pytest.raises(ProjectError, match="closed"):
        approvals.decide(late, approve=True, by=bea)
    for number in range(3):
        with studio.writing() as connection, pytest.raises(GateRefused):
            approvals.use(connection, Deed.PROMOTION, f"adapter-{number}", by="ann")
    with pytest.raises(ProjectError, match="may not"):
        approvals.ask(Deed.PROMOTION, "adapter", "better", by=bea)
    with pytest.raises(ProjectError, match="may not"):
        approvals.ask(Deed.VAULT_EXPORT, "vault", "please", by=ann)
    with pytest.raises(ProjectError, match="reason"):
        approvals.ask(Deed.PROMOTION, "adapter", " ", by=ann)
    with pytest.raises(ProjectError, match="no such"):
        approvals.decide("forged", approve=True, by=bea)
    assert len(approvals.listed([Deed.PROMOTION])) == 3 and not approvals.listed([Deed.VAULT_EXPORT])


# --- the broken glass -------------------------------------------------------------------------------------------

WHY = "The patient of bed nine is unconscious."


def test_the_glass_gives_raw_text_for_a_while_and_an_alert_until_another_person_notes_it(people, studio, clock):
    glass = BreakGlass(studio, clock)
    ann, bea = with_role(people, "ann", Role.BREAK_GLASS), with_role(people, "bea", Role.PRIVACY_OFFICER)
    assert not ann.may(Permission.READ_RAW)
    alert = glass.open(WHY, 15, by=ann)
    assert people.named("ann").permissions >= WHILE_BROKEN
    assert [one.id for one in glass.alerts()] == [alert.id]
    with pytest.raises(ProjectError, match="may not"):
        glass.note(alert.id, by=people.named("ann"))
    clock.now += 15 * 60
    assert not people.named("ann").may(Permission.READ_RAW)
    assert glass.alerts(), "an alert does not end with its time"
    glass.note(alert.id, by=bea)
    glass.note(alert.id, by=bea)
    assert not glass.alerts()
    assert [e.what for e in latest(studio, most=2)] == ["alert-noted", "glass-broken"]
    assert "unconscious" not in "".join(e.facts + e.subject for e in latest(studio, most=50))


def test_it_is_mended_early_by_hand_and_with_the_role(people, studio, clock):
    glass = BreakGlass(studio, clock)
    ann = with_role(people, "ann", Role.BREAK_GLASS)
    glass.open(WHY, 15, by=ann)
    glass.close(by=ann)
    assert not people.named("ann").may(Permission.READ_RAW)
    glass.open(WHY, 15, by=ann)
    people.take("ann", Role.BREAK_GLASS, by="bea")
    assert not people.named("ann").may(Permission.READ_RAW)


def test_it_needs_the_role_a_reason_and_a_limit(people, studio, clock):
    glass = BreakGlass(studio, clock)
    with pytest.raises(ProjectError, match="may not"):
        glass.open(WHY, 15, by=people.named("bea"))
    ann = with_role(people, "ann", Role.BREAK_GLASS)
    for reason, minutes in ((" ", 15), ("because", 15), (WHY, 0), (WHY, 61), ("x" * 1_001, 15)):
        with pytest.raises(ProjectError):
            glass.open(reason, minutes, by=ann)
    assert not glass.alerts()
