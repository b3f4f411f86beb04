"""What the pages show: text as text, the loop as it stands, deeds of two people, alerts; no script of their own."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from residency.store.approvals import Deed
from residency.store.audit import latest, verify
from residency.store.ledger import RunRow
from residency.store.roles import Permission, Role
from residency.store.studio import AUDIT
from residency.web.overview import State, overview

R = Role
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}"
PAGES_OF = {
    R.ADMIN: ["/overview", "/people"],
    R.PRIVACY_OFFICER: ["/overview", "/approvals", "/audit"],
    R.DATA_STEWARD: ["/overview", "/approvals"],
    R.BREAK_GLASS: ["/glass"],
}


class Tags(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


def tags(html):
    return Tags(html).found


def every_page(browse):
    for role, urls in PAGES_OF.items():
        browser = browse(role)
        yield from (browser.get(url).text for url in urls)


def test_no_page_has_script_or_style_of_its_own_or_asks_another_host(browse, stranger):
    for html in [*every_page(browse), stranger.get("/sign-in").text, stranger.get("/nothing").text]:
        found = tags(html)
        assert not [tag for tag, _ in found if tag == "style"]
        assert not [a for _, attrs in found for a in attrs if a.startswith("on") or a == "style"]
        assert [attrs.get("src") for tag, attrs in found if tag == "script"] == ["/static/htmx.min.js"]
        assert re.search(r"<script[^>]*></script>", html)
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", html)


def test_every_form_carries_its_token_and_every_field_has_a_label(browse, stranger):
    for html in [*every_page(browse), stranger.get("/sign-in").text]:
        forms, found = html.split("<form")[1:], tags(html)
        assert all('name="form_token" value="' in form.partition("</form>")[0] for form in forms)
        assert all(attrs.get("method") == "post" for tag, attrs in found if tag == "form")
        labelled = {attrs.get("for") for tag, attrs in found if tag == "label"}
        fields = [a for tag, a in found if tag in {"input", "select", "textarea"} and a.get("type") != "hidden"]
        assert all(field.get("id") in labelled for field in fields)
        ids = [attrs["id"] for _, attrs in found if "id" in attrs]
        assert len(ids) == len(set(ids))


def test_what_people_type_is_shown_as_text(desk, browse):
    desk.people.add("eve", EVIL, password=None, by="console:root")
    desk.people.give("eve", R.PRIVACY_OFFICER, by="console:root")
    desk.approvals.ask(Deed.VAULT_EXPORT, "vault-1", EVIL, by=desk.people.named("eve"))
    desk.glass.open(EVIL, 5, by=desk.people.named("the-break-glass"))
    pages = [browse("eve").get("/approvals").text, *every_page(browse)]
    assert any("&lt;script&gt;" in html for html in pages)
    for html in pages:
        assert "<script>alert" not in html and "<img" not in html and "49" not in re.findall(r"onerror.{30}", html)
        assert not [attrs for _, attrs in tags(html) if "onerror" in attrs]


def test_the_navigation_shows_what_a_role_may_open(browse):
    for role, urls in PAGES_OF.items():
        html = browse(role).get(urls[0]).text
        nav = html.partition("<nav")[2].partition("</nav>")[0]
        assert re.findall(r'href="([^"]+)"', nav) == urls
        assert 'aria-current="page"' in nav


# --- overview ---------------------------------------------------------------------------------------------------


def run(stage, state="done", **outputs):
    return RunRow(f"key-{stage}", stage, state, {}, f"2026-11-24T10:00:{len(stage):02}", outputs, seconds=90.0)


def states(desk):
    return {station.name: station.state for station in overview(desk.project).stations}


def write_report(desk, **changes):
    gate = [
        {"name": "diagnose: tuned better", "verdict": "GO", "reason": "0.9 against 0.2.", "next_step": ""},
        {"name": "diagnose: at least 50 answers judged by an expert", "verdict": "INCONCLUSIVE",
         "reason": "None of 50.", "next_step": "Run: residency review"},
        {"name": "de-identified texts read and released by people", "verdict": "INCONCLUSIVE", "reason": "0 of 631.",
         "next_step": "Read more"},
    ]  # fmt: skip
    report = {"verdict": "INCONCLUSIVE", "iteration": "75a96c85ce1d", "created": "2026-11-24T19:19:45+00:00",
              "gate": gate, "cases": {"best": [{"text": "PRIVATE TEXT"}]}}  # fmt: skip
    (desk.project.root / "report.json").write_text(json.dumps(report | changes))


def test_a_project_that_never_ran_is_shown_as_such(desk, browse):
    assert set(states(desk).values()) == {State.LATER}
    assert "residency run" in browse(R.VIEWER).get("/overview").text


def test_the_stations_follow_the_ledger(desk):
    ledger = desk.project.workspace.ledger
    ledger.save(run("deidentify"))
    assert states(desk)["curate"] is State.NOW
    ledger.save(run("split"))
    assert states(desk)["curate"] is State.DONE
    ledger.save(run("tune", "failed"))
    assert states(desk)["tune"] is State.STOPPED
    ledger.save(run("tune", adapter={"hash": "ab" * 32}))
    ledger.save(run("tuned diagnose"))
    assert (states(desk)["tune"], states(desk)["evaluate"]) == (State.DONE, State.NOW)
    ledger.save(run("score diagnose of tuned"))
    assert states(desk)["evaluate"] is State.DONE
    assert [one.adapter for one in overview(desk.project).passes] == ["ab" * 6]


def test_the_overview_says_what_waits_for_whom_and_shows_no_text(desk, browse):
    write_report(desk)
    html = browse(R.VIEWER).get("/overview").text
    page = overview(desk.project)
    assert [one.who for one in page.waiting] == [(R.REVIEWER,), (R.PRIVACY_OFFICER,)]
    assert (states(desk)["review"], states(desk)["gate"]) == (State.WAITS, State.WAITS)
    assert "INCONCLUSIVE" in html and "75a96c85ce1d" in html and "privacy officer" in html
    assert "PRIVATE" not in html and "PRIVATE" not in repr(page)


def test_the_overview_reads_a_new_report_and_survives_a_damaged_one(desk):
    write_report(desk)
    write_report(desk, verdict="NO-GO", gate=[{"name": "a", "verdict": "NO-GO", "reason": "b", "next_step": ""}])
    assert overview(desk.project).verdict == "NO-GO" and states(desk)["gate"] is State.STOPPED
    (desk.project.root / "report.json").write_text("{")
    assert overview(desk.project).verdict == ""


# --- deeds ------------------------------------------------------------------------------------------------------


def test_two_people_approve_a_promotion(desk, browse):
    deployer, reviewer = browse(R.DEPLOYER), browse(R.REVIEWER)
    form = {"deed": "promotion", "subject": "75a96c85ce1d", "reason": "better on rare findings"}
    assert deployer.post("/approvals", form).status_code == 303
    request = re.search(r'action="/approvals/(\w+)"', reviewer.get("/approvals").text)[1]
    assert f"/approvals/{request}" not in deployer.get("/approvals").text
    answer = deployer.post(f"/approvals/{request}", {"approve": "true"})
    assert answer.status_code == 400 and "Who asked cannot approve" in answer.text
    assert reviewer.post(f"/approvals/{request}", {"approve": "true"}).status_code == 303
    assert reviewer.post(f"/approvals/{request}", {"approve": "false"}).status_code == 400
    with desk.studio.writing() as connection:
        assert desk.approvals.use(connection, Deed.PROMOTION, "75a96c85ce1d", by="the-deployer").approved


@pytest.mark.parametrize(
    "change", [{"deed": "vault-export"}, {"deed": "coup"}, {"subject": "two words"}, {"subject": ""}, {"reason": " "},
               {"reason": "x" * 1_500}, {"subject": "x" * 200}],
)  # fmt: skip
def test_a_request_that_cannot_be_is_refused_and_not_kept(desk, browse, change):
    form = {"deed": "promotion", "subject": "75a96c85ce1d", "reason": "better on rare findings"}
    assert browse(R.DEPLOYER).post("/approvals", form | change).status_code in {400, 403}
    assert not desk.approvals.listed(list(Deed))


def test_the_broken_glass_is_seen_by_others_until_one_has_noted_it(desk, browse, capsys):
    holder, officer, viewer = browse(R.BREAK_GLASS), browse(R.PRIVACY_OFFICER), browse(R.VIEWER)
    reason = "The patient of bed nine is unconscious."
    assert holder.post("/glass", {"reason": "because", "minutes": "5"}).status_code == 400
    assert holder.post("/glass", {"reason": reason, "minutes": "5"}).status_code == 303
    assert "ALERT: the-break-glass" in (told := capsys.readouterr().err) and "bed nine" not in told
    assert desk.people.named("the-break-glass").may(Permission.READ_RAW)
    assert "The glass is broken until" in holder.get("/glass").text
    assert reason in officer.get("/overview").text and reason not in viewer.get("/overview").text
    alert = re.search(r'action="/alerts/(\w+)"', officer.get("/overview").text)[1]
    assert holder.post(f"/alerts/{alert}").status_code == 403
    assert holder.post("/glass/mend").status_code == 303
    assert reason in browse(R.ADMIN).get("/people").text
    assert officer.post(f"/alerts/{alert}").status_code == 303
    assert reason not in officer.get("/overview").text


def test_an_administrator_changes_others_and_never_their_own_account(desk, browse):
    admin = browse(R.ADMIN)
    for url, form in (
        ("/people/role", {"role": "viewer", "change": "give"}),
        ("/people/account", {"change": "close"}),
    ):
        answer = admin.post(url, form | {"name": "the-admin"})
        assert answer.status_code == 400 and "their own" in answer.text
    viewer = browse(R.VIEWER)
    assert admin.post("/people/role", {"name": "the-viewer", "role": "auditor", "change": "give"}).status_code == 400
    assert admin.post("/people/role", {"name": "the-viewer", "role": "annotator", "change": "give"}).status_code == 303
    assert desk.people.named("the-viewer").roles == {R.VIEWER, R.ANNOTATOR}
    assert admin.post("/people/account", {"name": "the-viewer", "change": "close"}).status_code == 303
    assert viewer.get("/overview").status_code == 303
    assert admin.post("/people/account", {"name": "the-viewer", "change": "open"}).status_code == 303
    for form in ({"name": "nobody"}, {"role": "boss"}, {"change": "eat"}, {"name": EVIL}):
        data = {"name": "the-viewer", "role": "viewer", "change": "give"} | form
        assert admin.post("/people/role", data).status_code == 400


def test_the_log_is_read_on_verified_and_taken_away(desk, browse):
    auditor = browse(R.AUDITOR)
    for _ in range(60):
        desk.sessions.end(desk.sessions.begin("the-viewer", address="127.0.0.1"))
    first = auditor.get("/audit").text
    older = re.search(r"/audit\?before=(\d+)", first)[1]
    second = auditor.get(f"/audit?before={older}").text
    numbers = [[int(n) for n in re.findall(r'<td class="right">(\d+)</td>', html)] for html in (first, second)]
    assert numbers[0][-1] == numbers[1][0] + 1 == int(older)
    assert "stand as they were written" in auditor.post("/audit/verify").text
    answer = auditor.post("/audit/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert (lines[-1]["what"], lines[-1]["who"]) == ("exported", "the-auditor")
    with desk.studio.engine.execution_options(writes=True).begin() as connection:
        connection.execute(AUDIT.update().where(AUDIT.c.number == 7).values(who="eve"))
    assert "broken at entry 7" in auditor.post("/audit/verify").text
    assert auditor.get("/audit?before=x").status_code == 400
    assert auditor.get("/audit?before=-1").status_code == 200


def test_nothing_that_pages_do_breaks_the_log(desk, browse):
    for html in every_page(browse):
        assert html
    assert verify(desk.studio).whole and latest(desk.studio, most=1)


def test_what_is_vendored_is_named_with_its_licence():
    script = files("residency.web").joinpath("static", "htmx.min.js").read_text()
    version = re.search(r'version="?([\d.]+)', script) or re.search(r'"(\d+\.\d+\.\d+)"', script)
    notice = (files("residency").joinpath("..", "..", "NOTICE")).read_text()
    assert f"htmx {version[1]}" in notice and "sourceMappingURL" not in script
