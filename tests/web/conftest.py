"""A studio with one person of every role, and browsers that have signed in."""

import shutil

import pytest
from starlette.testclient import TestClient

from residency.folder import new_project
from residency.project import Project
from residency.store.roles import Role
from residency.store.sessions import form_token
from residency.web.app import create_app
from residency.web.desk import Desk


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


class Browser:
    """A person at the studio: sends its cookie, and the form token where it should."""

    def __init__(self, desk, name, **options):
        self.client = TestClient(create_app(desk), base_url="http://127.0.0.1", follow_redirects=False, **options)
        self.token = desk.sessions.begin(name, address="127.0.0.1")
        self.client.cookies.set(desk.cookie, self.token, domain="127.0.0.1")

    def get(self, url, **options):
        return self.client.get(url, **options)

    def post(self, url, data=None, **options):
        return self.client.post(url, data={"form_token": form_token(self.token), **(data or {})}, **options)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def peopled(tmp_path_factory):
    """A project folder with one person of every role, to be copied."""
    folder = tmp_path_factory.mktemp("web") / "demo"
    new_project(folder, demo="neurology")
    shutil.rmtree(folder / "inbox")
    desk = Desk(Project.open(folder))
    for role in Role:
        desk.people.add(f"the-{role}", f"The {role}", password=None, by="console:root")
        desk.people.give(f"the-{role}", role, by="console:root")
    desk.studio.engine.dispose()
    return folder


@pytest.fixture
def desk(tmp_path, clock, peopled):
    shutil.copytree(peopled, tmp_path / "demo")
    return Desk(Project.open(tmp_path / "demo"), clock=clock)


@pytest.fixture
def stranger(desk):
    """A browser without a session."""
    return TestClient(create_app(desk), base_url="http://127.0.0.1", follow_redirects=False)


@pytest.fixture
def browse(desk):
    """Makes the browser of a person; ``as_(Role.X)`` or a name."""
    return lambda who: Browser(desk, f"the-{who}" if isinstance(who, Role) else who)
