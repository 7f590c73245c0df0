"""The pages in a real browser: nothing of a stranger acts, nothing is asked of others, axe finds nothing, no script is needed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import shelves
from ldt_registry.registry import Registry
from servers import Served
from test_pages import describe
from test_readme import PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database", ["sqlite"])]
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATHS = ["/", "/?q=noise&kind=model", "/?q=zzzzqqqq", "/components/flood-depth", "/components/hostile",
         "/compare?id=rain-radar&id=rain-gauge&id=flood-depth", "/fits?components=road-noise", "/components/none", "/login"]  # fmt: skip


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


@pytest.fixture
def address(registry: Registry, serve: Any) -> str:
    """Synthetic components; one is by an attacker, who fills every field with what would act."""
    shelves.fill(registry)
    text = (
        "# Flood depth\n\nHow *high*.\n\n| Case | Error |\n|---|---|\n| dam | 2 % |\n\n#### Deep\n\n```\n"
        + "x" * 300
        + "\n```\n"
    )
    describe(registry, "ldt-simulator-flood-depth", text)
    attack = "\"'></title><script>canary()</script><img src=x onerror=canary()>"
    hostile = shelves.manifest(
        "hostile", attack, description=attack, needs={attack: (attack, attack)}, capabilities=[attack]
    )
    shelves.put(registry, hostile, project="hostile", summary=attack, requires=(attack,), standards=[attack],
                manufacturer=attack, security_contact="javascript:canary()", support_until=attack)  # fmt: skip
    describe(
        registry,
        "hostile",
        "\n\n".join(PAYLOADS),
        project_urls={attack: "javascript:canary()", "Good": "https://example.org"},
    )
    served: Served = serve(registry)
    public = registry.settings.model_copy(update={"public_url": served.address})
    object.__setattr__(registry, "settings", public)  # a browser says from where a form comes
    return served.address


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_axe_finds_nothing_and_nothing_acts(chromium: Any, address: str, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, acted, asked, complaints = context.new_page(), [], [], []
    page.expose_function("canary", lambda: acted.append(page.url))
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: acted.append(dialog.message))
    for path in PATHS:
        status = page.goto(f"{address}{path}").status
        assert status == (404 if path.endswith("none") else 200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than {width}"
        found = Axe().run(page, options={"runOnly": WCAG})
        assert found.violations_count == 0, f"{path} at {width}: {found.generate_report()}"
    assert acted == []
    assert all(url.startswith(address) for url in asked)
    assert [c for c in complaints if "404" not in c] == []
    page.goto("about:blank")  # where the policy ends, the canary sings
    page.set_content("<script>canary()</script>")
    page.evaluate("() => canary()")  # comes after the script's
    assert len(acted) == 2
    context.close()


def test_a_person_searches_compares_and_asks_without_scripts(chromium: Any, address: str) -> None:
    page = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800}).new_page()
    page.goto(address)
    page.get_by_label("Name, or what it does").fill("rain")
    page.get_by_role("button", name="Search").click()
    page.get_by_label("Compare Rain from radar").check()
    page.get_by_label("Compare Rain gauges").check()
    page.get_by_role("button", name="Compare the ticked ones").click()
    assert "rainfall_rate [mm/h]" in page.content()
    page.get_by_role("link", name="rain-gauge").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Rain gauges"
    page.get_by_role("link", name="Does it fit my twin?").click()
    page.get_by_label("twin.yaml").fill("components: {rain: {use: csv}}")
    page.get_by_role("button", name="Tell me").click()
    assert re.search(r"rain-gauge 1.0: fits", page.inner_text("main"))


def test_the_keyboard_reaches_the_content_first(chromium: Any, address: str) -> None:
    page = chromium.new_context(viewport={"width": 390, "height": 800}).new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
