"""Attack 32 in a real browser: a page of another site signs nobody in, changes nothing and frames nothing; ours works."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ldt_registry import accounts
from ldt_registry.registry import Registry
from ldt_registry.tokens import operator
from servers import Served

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database", ["sqlite"])]
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


EVIL = """<!doctype html><title>evil</title>
<form id="make" method="post" action="{to}/account/tokens"><input name="title" value="evil"><input name="scopes" value="upload">
<input name="days" value="9"><input name="csrf" value="guess"></form>
<form id="out" method="post" action="{to}/logout"><input name="csrf" value=""></form>
<form id="in" method="post" action="{to}/login"><input name="name" value="eve"><input name="password" value="{password}"></form>
<iframe src="{to}/account"></iframe>"""


@pytest.fixture
def evil(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Another site, on another host name: what it shows is set by the test."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(server.page.encode())  # type: ignore[attr-defined]

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_site_can_do_nothing_with_ones_session(
    registry: Registry, authority: Path, chromium: Any, evil: Any, tmp_path: Path
) -> None:
    for name in ("ann", "eve"):
        accounts.make(registry, operator("test"), name, password=PASSWORD)
    served = Served(registry, certificate=authority / "localhost.pem")
    object.__setattr__(
        registry, "settings", registry.settings.model_copy(update={"public_url": served.address})
    )
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    try:
        page.goto(f"{served.address}/account")
        assert page.url == f"{served.address}/login"
        page.get_by_label("Account").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{served.address}/account")
        (cookie,) = context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["secure"]) == ("__Host-ldt-session", True, True)
        page.get_by_label("What it is for").fill("my job")
        page.get_by_role("button", name="Make it").click()
        page.get_by_text("It is shown this once").wait_for()
        assert [t["title"] for t in accounts.tokens_of(registry)] == ["my job"]

        evil.page = EVIL.format(to=served.address, password=PASSWORD)
        for form in ("make", "out", "in"):
            other = context.new_page()
            with other.expect_response(f"{served.address}/login") as framed:
                other.goto(f"http://127.0.0.1:{evil.server_address[1]}/")
            assert framed.value.headers["x-frame-options"] == "DENY"
            assert not [
                f for f in other.frames if f.url.startswith(served.address) and f.content().count("Tokens")
            ]
            with other.expect_navigation() as done:
                other.evaluate(f"document.getElementById('{form}').submit()")
            assert done.value.status in (401, 403), form
            other.close()
        assert [t["title"] for t in accounts.tokens_of(registry)] == ["my job"]
        page.goto(f"{served.address}/account")
        page.get_by_text("Signed in as ann").wait_for()
        page.get_by_role("button", name="Revoke").click()
        page.wait_for_url(f"{served.address}/account")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{served.address}/login")
        assert context.cookies() == []
    finally:
        context.close()
        served.close()
