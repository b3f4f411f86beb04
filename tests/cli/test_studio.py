"""People, the audit log and the studio's door, on the command line."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from residency.cli import app
from residency.errors import ProjectError, ResidencyError
from residency.folder import new_project
from residency.project import Project
from residency.store.audit import latest
from residency.store.people import People
from residency.store.roles import Role
from residency.store.studio import AUDIT

PASSWORD = "seven storks over Basel"


@pytest.fixture
def project(tmp_path):
    new_project(tmp_path / "p")
    return tmp_path / "p"


def run(*words, typed=None):
    result = CliRunner().invoke(app, [str(word) for word in words], input=typed)
    if isinstance(result.exception, ResidencyError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_what_the_project_is_made_of_is_never_written_over(project):
    run("people", "add", "ann", "-p", project, typed=PASSWORD + "\n")
    for name in (".residency/studio.sqlite", "residency.yaml", ".residency/new", "labels.csv"):
        with pytest.raises(ProjectError, match="part of the project itself"):
            run("audit", "export", "-o", project / name, "-p", project)
    assert run("audit", "verify", "-p", project).exit_code == 0


def test_a_password_that_is_no_text_is_refused(project):
    people = People(Project.open(project).studio)
    with pytest.raises(ProjectError, match="no UTF-8"):
        people.add("ann", "Ann", password=PASSWORD + "\udcff", by="eve")
    people.add("ann", "Ann", password=PASSWORD, by="eve")
    assert people.check("ann", PASSWORD + "\udcff") is None


def test_an_account_is_made_with_a_password_from_standard_input(project):
    run("people", "add", "ann", "--shown", "Ann Example", "--role", "reviewer", "-p", project, typed=PASSWORD + "\n")
    people = People(Project.open(project).studio)
    assert people.check("ann", PASSWORD).roles == {Role.REVIEWER}
    listed = run("people", "list", "-p", project).output
    assert "Ann Example" in listed and "reviewer" in listed and PASSWORD not in listed
    run("people", "password", "ann", "-p", project, typed="nine herons over Ghent\n")
    assert people.check("ann", PASSWORD) is None
    run("people", "role", "ann", "annotator", "-p", project)
    assert "annotator, reviewer" in run("people", "list", "-p", project).output
    run("people", "role", "ann", "reviewer", "--take", "-p", project)
    run("people", "disable", "ann", "-p", project)
    assert "closed" in run("people", "list", "-p", project).output
    run("people", "disable", "ann", "--undo", "-p", project)
    entries = latest(people.studio, most=50)
    assert all(entry.who.startswith("console:") for entry in entries)
    assert PASSWORD not in json.dumps([entry.plain() for entry in entries])


def test_no_command_takes_a_password_as_an_argument():
    for command in ("add", "password"):
        said = run("people", command, "--help").output
        assert "--password" not in said and "PASSWORD" not in said.replace("residency people password", "")


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["add", "ann", "--role", "boss"], PASSWORD, "no role"),
        (["add", "ann"], "short", "characters"),
        (["add", "ann"], "", "characters"),
        (["add", "Ann"], PASSWORD, "cannot be the name"),
        (["role", "nobody", "viewer"], None, "no such account"),
        (["password", "nobody"], PASSWORD, "no such account"),
        (["disable", "nobody"], None, "no such account"),
    ],
)
def test_mistakes_are_said_and_change_nothing(project, words, typed, said):
    with pytest.raises(ProjectError, match=said):
        run("people", *words, "-p", project, typed=typed)
    assert People(Project.open(project).studio).all() == []


def test_the_log_is_verified_and_exported(project, tmp_path):
    run("people", "add", "ann", "--no-password", "-p", project)
    assert run("audit", "verify", "-p", project).exit_code == 0
    run("audit", "export", "-o", tmp_path / "AUDIT.jsonl", "-p", project)
    assert run("audit", "verify", tmp_path / "AUDIT.jsonl").exit_code == 0
    studio = Project.open(project).studio
    with studio.engine.execution_options(writes=True).begin() as connection:
        connection.execute(AUDIT.update().where(AUDIT.c.number == 1).values(subject="eve"))
    result = run("audit", "verify", "-p", project)
    assert result.exit_code == 1 and "BROKEN at entry 1" in result.output
    studio.anchor.path.unlink()
    with studio.engine.execution_options(writes=True).begin() as connection:
        connection.execute(AUDIT.update().where(AUDIT.c.number == 1).values(subject="ann"))
    assert run("audit", "verify", "-p", project).exit_code == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "others could reach"),
        (["--host", "studio.example"], "others could reach"),
        (["--proxy-address", "10.0.0.1"], "only with"),
        (["--behind-proxy", "X-Remote-User", "--public-host", "a.example"], "could name themselves"),
        (["--behind-proxy", "X-Remote-User", "--proxy-address", "10.0.0.1"], "under which name"),
        (["--behind-proxy", "X Remote", "--proxy-address", "10.0.0.1"], "not the name of a header"),
    ],
)
def test_the_studio_does_not_open_to_others_by_mistake(project, monkeypatch, options, said):
    monkeypatch.delenv("RESIDENCY_PROXY_SECRET", raising=False)
    monkeypatch.setattr("residency.web.app.serve", lambda *_: pytest.fail("it was served"))
    with pytest.raises(ProjectError, match=said):
        run("web", "-p", project, *options)


def test_the_studio_opens_on_this_machine_and_behind_a_proxy(project, monkeypatch):
    served = []
    monkeypatch.setattr("residency.web.app.serve", lambda *given: served.append(given))
    assert "residency people add" in run("web", "-p", project).output
    monkeypatch.setenv("RESIDENCY_PROXY_SECRET", "x" * 31)
    proxy = ["--behind-proxy", "X-Remote-User", "--public-host", "Studio.example", "--host", "0.0.0.0"]
    with pytest.raises(ProjectError, match="too short"):
        run("web", "-p", project, *proxy)
    monkeypatch.setenv("RESIDENCY_PROXY_SECRET", "x" * 32)
    run("web", "-p", project, "--port", "9000", *proxy)
    (first, host, port), (second, *where) = served
    assert (host, port, first.proxy, first.secure) == ("127.0.0.1", 8000, None, False)
    assert where == ["0.0.0.0", 9000] and second.proxy.secret == "x" * 32 and second.hosts == {"studio.example"}
    assert "x" * 32 not in repr(second.proxy)


def test_help_needs_none_of_the_studios_parts():
    code = (
        "import sys; from residency.cli import app; assert not {'fastapi', 'argon2', 'sqlalchemy'} & set(sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
