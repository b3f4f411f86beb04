"""A real browser walks in, works, and walks out; its console stays quiet. Only where chromium and playwright are."""

import shutil
import threading
import time

import pytest

from residency.store.roles import Role
from residency.web.app import create_app

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
PASSWORD = "seven storks over Basel"


@pytest.fixture
def address(desk):
    """The studio on a free port of this machine."""
    import uvicorn

    desk.people.set_password("the-admin", PASSWORD, by="console:root")
    server = uvicorn.Server(uvicorn.Config(create_app(desk), port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def page():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 740})
        page.set_default_timeout(10_000)
        yield page
        browser.close()


def test_an_administrator_signs_in_with_the_keyboard_gives_a_role_and_leaves(desk, address, page):
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/people")
    page.keyboard.type("the-admin")  # the cursor is in the first field
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/people")
    page.select_option("#role-the-viewer", "reviewer")
    with page.expect_navigation():
        page.locator("form", has=page.locator("#role-the-viewer")).get_by_role("button").click()
    assert Role.REVIEWER in desk.people.named("the-viewer").roles
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no scrolling sideways on a phone"
    assert page.evaluate("typeof htmx") != "undefined"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{address}/sign-in")
    page.go_back(wait_until="load")
    assert page.locator("h1").inner_text() == "Sign in", "nothing is left in the browser's cache"
    assert said == []
    assert all(url.startswith(address) for url in asked)
