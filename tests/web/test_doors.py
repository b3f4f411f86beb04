"""Who gets in where: every role at every address, forged and old forms, other hosts, the company's proxy."""

import re

import pytest
from starlette.testclient import TestClient

from residency.store.approvals import Deed
from residency.store.attempts import FOR_ACCOUNT, WINDOW
from residency.store.audit import latest, verify
from residency.store.roles import Role
from residency.store.sessions import IDLE, form_token
from residency.web import sign_in
from residency.web.app import PAGES, create_app
from residency.web.desk import Desk, Proxy
from residency.web.doors import SECRET_HEADER, Allowed
from residency.web.shell import HEADERS, LARGEST

PASSWORD = "seven storks over Basel"
R = Role
PROMOTERS = {R.DEPLOYER, R.REVIEWER}
EXPORTERS = {R.DATA_STEWARD, R.PRIVACY_OFFICER}
ROLES_AT = {
    "GET /": set(Role),
    "GET /overview": set(Role) - {R.AUDITOR, R.BREAK_GLASS},
    "GET /people": {R.ADMIN},
    "POST /people/role": {R.ADMIN},
    "POST /people/account": {R.ADMIN},
    "GET /audit": {R.AUDITOR, R.PRIVACY_OFFICER},
    "POST /audit/verify": {R.AUDITOR, R.PRIVACY_OFFICER},
    "POST /audit/export": {R.AUDITOR, R.PRIVACY_OFFICER},
    "GET /approvals": PROMOTERS | EXPORTERS,
    "POST /approvals": {R.DEPLOYER} | EXPORTERS,
    "POST /approvals/{request_id}": PROMOTERS | {R.PRIVACY_OFFICER},
    "GET /glass": {R.BREAK_GLASS},
    "POST /glass": {R.BREAK_GLASS},
    "POST /glass/mend": {R.BREAK_GLASS},
    "POST /alerts/{alert}": {R.ADMIN, R.PRIVACY_OFFICER},
}
"""Written by hand, beside the table of the code: a change of either must be meant."""
OPEN = {"GET /sign-in", "POST /sign-in", "POST /sign-out"}


def addresses():
    for module in (sign_in, *PAGES):
        for route in module.router.routes:
            yield from ((f"{method} {route.path}", route) for method in route.methods)


def test_every_address_has_a_door_but_the_way_in_and_out():
    doors = {
        name: any(isinstance(part.call, Allowed) for part in route.dependant.dependencies)
        for name, route in addresses()
    }
    assert {name for name, guarded in doors.items() if not guarded} == OPEN
    assert set(doors) == OPEN | set(ROLES_AT)


@pytest.mark.parametrize("role", Role)
def test_each_role_is_let_in_where_it_should_be_and_nowhere_else(browse, desk, role):
    browser = browse(role)
    for address, allowed in ROLES_AT.items():
        method, url = address.split()
        answer = browser.get(url) if method == "GET" else browser.post(re.sub(r"{\w+}", "0" * 32, url))
        if role in allowed:
            assert answer.status_code in {200, 303, 400, 404}, address  # 400, 404: let in, but the form says nothing
        else:
            assert answer.status_code == 403, address
            assert "not open to you" in answer.text
            assert latest(desk.studio, most=1)[0].what == "forbidden"
            assert latest(desk.studio, most=1)[0].who == f"the-{role}"


@pytest.mark.parametrize("address", ROLES_AT)
def test_whoever_has_not_signed_in_is_let_in_nowhere(stranger, address):
    method, url = address.split()
    answer = stranger.request(method, url)
    if method == "GET":
        assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
    else:
        assert answer.status_code == 401 and "not saved" in answer.text


def test_a_person_without_a_role_is_told_so_and_can_leave(desk, browse):
    desk.people.add("new", "New Person", password=None, by="console:root")
    browser = browse("new")
    for address in ROLES_AT:
        method, url = address.split()
        assert (browser.get(url) if method == "GET" else browser.post(url)).status_code == 403
    assert "no role in this project" in browser.get("/sign-in").text
    assert browser.post("/sign-out").status_code == 303
    assert browser.get("/").status_code == 303


def test_a_role_that_is_taken_ends_at_the_next_request(desk, browse):
    browser = browse(R.ADMIN)
    assert browser.get("/people").status_code == 200
    desk.people.take("the-admin", R.ADMIN, by="console:root")
    assert browser.get("/people").status_code == 403


# --- forms ------------------------------------------------------------------------------------------------------

POSTS = [address.split()[1] for address in [*ROLES_AT, "POST /sign-out"] if address.startswith("POST")]


@pytest.mark.parametrize("url", POSTS)
def test_a_form_without_its_sessions_token_changes_nothing(desk, browse, url):
    browser = browse(min(ROLES_AT.get(f"POST {url}", {R.VIEWER})))
    other = form_token(desk.sessions.begin("the-viewer", address="127.0.0.1"))
    before = verify(desk.studio).entries
    data = {
        "name": "the-viewer", "role": "reviewer", "change": "give", "deed": "promotion", "subject": "a",
        "reason": "a reason that is long enough", "minutes": "5", "approve": "true",
    }  # fmt: skip
    for token in (None, "", "0" * 64, other, "\N{SNOWMAN}"):
        form = data if token is None else data | {"form_token": token}
        answer = browser.client.post(url.replace("{request_id}", "x").replace("{alert}", "x"), data=form)
        assert answer.status_code == 403 and "Nothing was saved" in answer.text
    assert verify(desk.studio).entries == before
    assert browser.get("/sign-in").status_code == 303, "the session goes on"


def test_htmx_sends_the_token_as_a_header(browse):
    browser = browse(R.AUDITOR)
    headers = {"X-Form-Token": form_token(browser.token), "HX-Request": "true"}
    assert browser.client.post("/audit/verify", headers=headers).status_code == 200
    headers["X-Form-Token"] = "0" * 64
    assert browser.client.post("/audit/verify", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_from_another_site_is_refused_even_with_its_token(browse, headers):
    assert browse(R.AUDITOR).post("/audit/verify", headers=headers).status_code == 403


def test_a_form_from_the_studio_itself_is_taken(browse):
    headers = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert browse(R.AUDITOR).post("/audit/verify", headers=headers).status_code == 200


def test_a_replayed_form_does_nothing_twice(desk, browse):
    browser = browse(R.ADMIN)
    data = {"name": "the-viewer", "role": "annotator", "change": "give"}
    before = verify(desk.studio).entries
    for _ in range(3):
        assert browser.post("/people/role", data).status_code == 303
    assert verify(desk.studio).entries == before + 1
    browser.post("/sign-out")
    browser.client.cookies.set(desk.cookie, browser.token, domain="127.0.0.1")
    assert browser.post("/people/role", data).status_code == 401


def test_an_expired_session_is_said_and_nothing_is_saved(desk, browse, clock):
    browser = browse(R.ADMIN)
    clock.now += IDLE
    answer = browser.post("/people/role", {"name": "the-viewer", "role": "annotator", "change": "give"})
    assert answer.status_code == 401 and "was not saved" in answer.text
    assert browser.get("/people").headers["location"] == "/sign-in?next=/people"
    assert browser.get("/people", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/sign-in"
    assert R.ANNOTATOR not in desk.people.named("the-viewer").roles


@pytest.mark.parametrize("url", ["/approvals/forged", "/approvals/" + "0" * 32, "/alerts/forged"])
def test_forged_ids_lead_nowhere(browse, url):
    answer = browse(R.PRIVACY_OFFICER).post(url, {"approve": "true"})
    assert answer.status_code in {400, 404}


def test_another_persons_request_cannot_be_told_from_none(desk, browse):
    officer = desk.people.named("the-privacy-officer")
    request = desk.approvals.ask(Deed.VAULT_EXPORT, "vault-1", "a court order", by=officer)
    reviewer = browse(R.REVIEWER)
    there, nowhere = (reviewer.post(f"/approvals/{one}", {"approve": "true"}) for one in (request, "0" * 32))
    assert (there.status_code, nowhere.status_code) == (404, 404)
    assert re.sub(r"\w{64}", "", there.text) == re.sub(r"\w{64}", "", nowhere.text)
    assert "court order" not in reviewer.get("/approvals").text


@pytest.mark.parametrize(
    "url", ["/nothing", "/people/the-viewer", "/static/nothing.css", "/static/../app.py", "/docs", "/openapi.json"]
)
def test_addresses_that_are_none(stranger, browse, url):
    assert stranger.get(url).status_code == 404
    assert browse(R.ADMIN).get(url).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_none(browse, method):
    assert browse(R.ADMIN).client.request(method, "/people").status_code == 404


# --- signing in -------------------------------------------------------------------------------------------------


def sign_in_with(client, name, password, after="/"):
    token = re.search(r'name="form_token" value="(\w+)"', client.get("/sign-in").text)[1]
    return client.post("/sign-in", data={"form_token": token, "name": name, "password": password, "next": after})


def test_signing_in_and_out(desk, stranger):
    desk.people.set_password("the-reviewer", PASSWORD, by="console:root")
    answer = sign_in_with(stranger, "the-reviewer", PASSWORD, "/approvals")
    assert (answer.status_code, answer.headers["location"]) == (303, "/approvals")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(f"{desk.cookie}="))
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Max-Age" not in cookie
    assert "The reviewer" in stranger.get("/overview").text
    token = stranger.cookies[desk.cookie]
    assert stranger.get("/sign-in").headers["location"] == "/"
    out = stranger.post("/sign-out", data={"form_token": form_token(token)})
    assert out.status_code == 303 and desk.sessions.person(token) is None
    kinds = [entry.what for entry in latest(desk.studio, most=2)]
    assert kinds == ["signed-out", "signed-in"]


def test_every_wrong_try_gets_the_same_answer(desk, stranger):
    desk.people.set_password("the-reviewer", PASSWORD, by="console:root")
    desk.people.add("closed", "Closed", password=PASSWORD, by="console:root")
    desk.people.disable("closed", by="console:root")
    tries = [("the-reviewer", "wrong"), ("nobody", PASSWORD), ("closed", PASSWORD), ("the-viewer", PASSWORD)]
    answers = [sign_in_with(stranger, *one) for one in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({re.sub(r'value="[\w-]*"', "", answer.text) for answer in answers}) == 1
    assert PASSWORD not in "".join(answer.text for answer in answers)


def test_too_many_tries_close_the_account_for_a_while_even_with_the_right_password(desk, stranger, clock):
    desk.people.set_password("the-reviewer", PASSWORD, by="console:root")
    for _ in range(FOR_ACCOUNT):
        assert sign_in_with(stranger, "the-reviewer", "wrong").status_code == 401
    answer = sign_in_with(stranger, "the-reviewer", PASSWORD)
    assert answer.status_code == 429 and 0 < int(answer.headers["Retry-After"]) <= WINDOW
    clock.now += WINDOW
    assert sign_in_with(stranger, "the-reviewer", PASSWORD).status_code == 303


def test_a_sign_in_that_another_site_sends_is_refused(desk, stranger):
    desk.people.set_password("the-reviewer", PASSWORD, by="console:root")
    data = {"name": "the-reviewer", "password": PASSWORD}
    assert stranger.post("/sign-in", data=data).status_code == 403
    assert stranger.post("/sign-in", data=data | {"form_token": form_token("")}).status_code == 403


@pytest.mark.parametrize("after", ["https://evil.example", "//evil.example", "/\\evil.example", "/\n/evil", "evil", ""])
def test_after_signing_in_one_stays_on_this_host(desk, stranger, after):
    desk.people.set_password("the-reviewer", PASSWORD, by="console:root")
    assert sign_in_with(stranger, "the-reviewer", PASSWORD, after).headers["location"] == "/"


# --- the shell --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["/sign-in", "/overview", "/nothing", "/static/studio.css"])
def test_every_answer_has_the_headers_and_only_static_files_are_kept(stranger, url):
    answer = stranger.get(url)
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert ("no-store" in answer.headers["Cache-Control"]) != url.startswith("/static")
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[::1"])
def test_another_host_is_not_served(stranger, host):
    assert stranger.get("/sign-in", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "LOCALHOST:1"])
def test_this_machine_is_served_under_its_names(stranger, host):
    assert stranger.get("/sign-in", headers={"Host": host}).status_code == 200


def test_requests_that_are_too_large_are_refused_said_or_not(browse):
    browser = browse(R.AUDITOR)
    assert browser.post("/audit/verify", {"much": "x" * LARGEST}).status_code == 413
    pieces = (b"x" * (1 << 20) for _ in range(LARGEST // (1 << 20) + 2))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/audit/verify", content=pieces, headers=headers).status_code in {400, 413}


def test_a_bug_is_said_without_its_traceback(desk, browse, monkeypatch):
    browser = browse(R.AUDITOR)
    browser.client = TestClient(browser.client.app, base_url="http://127.0.0.1", cookies=browser.client.cookies,
                                raise_server_exceptions=False)  # fmt: skip
    monkeypatch.setattr("residency.web.audit.latest", lambda *_, **__: 1 / 0)
    answer = browser.get("/audit")
    assert answer.status_code == 500 and "division" not in answer.text and "Something broke" in answer.text


# --- behind a proxy ---------------------------------------------------------------------------------------------


def behind(desk, **proxy):
    guarded = Desk(
        desk.project, proxy=Proxy("X-Remote-User", **proxy), hosts=frozenset({"studio.example"}), clock=desk.clock
    )
    return guarded, TestClient(create_app(guarded), base_url="https://studio.example", follow_redirects=False)


def test_the_proxy_names_the_person_and_there_is_no_password(desk):
    guarded, client = behind(desk, secret="between us")
    headers = {"X-Remote-User": "the-auditor", SECRET_HEADER: "between us"}
    answer = client.get("/audit", headers=headers)
    assert answer.status_code == 200 and "The auditor" in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-") and "Secure" in cookie and "HttpOnly" in cookie
    token = client.cookies[guarded.cookie]
    assert client.post("/audit/verify", data={"form_token": form_token(token)}, headers=headers).status_code == 200
    assert client.post("/audit/verify", headers=headers).status_code == 403
    assert client.post("/sign-in", headers=headers).status_code == 404
    assert "Sign out" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Remote-User", "the-auditor")],
        [("X-Remote-User", "the-auditor"), (SECRET_HEADER, "guess")],
        [("X-Remote-User", "the-auditor"), (SECRET_HEADER, "between us"), (SECRET_HEADER, "guess")],
        [("X-Remote-User", "the-auditor"), ("X-Remote-User", "the-admin"), (SECRET_HEADER, "between us")],
        [("X-Remote-User", "nobody"), (SECRET_HEADER, "between us")],
        [("X-Remote-User", ""), (SECRET_HEADER, "between us")],
        [(SECRET_HEADER, "between us")],
    ],
)
def test_headers_that_the_proxy_did_not_write_let_nobody_in(desk, headers):
    _, client = behind(desk, secret="between us")
    answer = client.get("/audit", headers=headers)
    assert answer.status_code == 403 and "no account here" in answer.text and "set-cookie" not in answer.headers


def test_a_session_serves_only_the_person_whom_the_proxy_names(desk):
    _, client = behind(desk, secret="between us")
    client.get("/audit", headers={"X-Remote-User": "the-auditor", SECRET_HEADER: "between us"})
    admin = {"X-Remote-User": "the-admin", SECRET_HEADER: "between us"}
    assert client.get("/audit", headers=admin).status_code == 403
    assert client.get("/people", headers=admin).status_code == 200
    assert client.get("/audit").status_code == 403  # past the proxy, with the cookie alone


def test_the_address_of_the_proxy_is_asked_where_it_is_given(desk):
    _, client = behind(desk, addresses=frozenset({"testclient"}))
    assert client.get("/audit", headers={"X-Remote-User": "the-auditor"}).status_code == 200
    _, client = behind(desk, addresses=frozenset({"10.0.0.1"}))
    assert client.get("/audit", headers={"X-Remote-User": "the-auditor"}).status_code == 403
    with pytest.raises(ValueError, match="address"):
        Proxy("X-Remote-User")


def test_without_a_proxy_its_header_means_nothing(stranger):
    assert stranger.get("/audit", headers={"X-Remote-User": "the-auditor"}).status_code == 303
