"""The demonstration as a person meets it: one command, real simulators, a page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

REPLICATES = 5
KPIS = {
    "mean_trip",
    "kaivokatu",
    "co2",
    "nox",
    "loud_floor_area",
    "quieter",
    "louder",
    "delivery",
    "not_arrived",
}


def demo(folder: Path, *words: str) -> dict[str, Any]:
    env = {k: v for k, v in os.environ.items() if k != "LDT_STORE"}
    done = subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", "demo", "--json", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert str(Path("ldt-demo") / "page.html") in done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo(folder)


def test_every_kpi_is_judged_over_five_replicates(first: tuple[Path, dict[str, Any]]) -> None:
    _, record = first
    assert set(record["kpis"]) == KPIS
    for kpi in record["kpis"].values():
        assert all(len(v) == REPLICATES and None not in v for v in kpi["values"].values())
        assert kpi["changes"]["car-free"]["n"] == REPLICATES
    # Chance plays a part: each replicate is another morning.
    assert len(set(record["kpis"]["mean_trip"]["values"]["base"])) == REPLICATES


def test_the_street_is_relieved_and_somebody_pays(first: tuple[Path, dict[str, Any]]) -> None:
    _, record = first
    street = record["kpis"]["kaivokatu"]
    assert street["changes"]["car-free"]["verdict"] == "distinguishable"
    for before, after in zip(street["values"]["base"], street["values"]["car-free"], strict=True):
        assert after < 0.1 * before
    louder, quieter = (record["kpis"][k]["values"]["car-free"] for k in ("louder", "quieter"))
    assert min(louder) > 0
    assert min(quieter) > 0
    assert record["kpis"]["louder"]["values"]["base"] == [0.0] * REPLICATES


def test_all_scenarios_share_the_trips_and_all_arrive(first: tuple[Path, dict[str, Any]]) -> None:
    from ldt_core.runs import find_run, open_run

    folder, record = first
    assert record["kpis"]["not_arrived"]["values"] == {
        "base": [0.0] * REPLICATES,
        "car-free": [0.0] * REPLICATES,
    }
    run = open_run(find_run(str(folder / "ldt-demo")))
    for replicate in range(REPLICATES):
        made = []
        for scenario in ("base", "car-free"):
            key = record["scenarios"][scenario]["stages"]["traffic"][replicate]
            entry = run.ensemble.store.find(key)
            assert entry is not None
            made.append(set(entry.recording("traffic.trips").table["trip"]))
        assert made[0] == made[1]
        assert len(made[0]) > 1000


def test_second_call_computes_nothing_and_writes_the_same_page(first: tuple[Path, dict[str, Any]]) -> None:
    folder, record = first
    page = (folder / "ldt-demo" / "page.html").read_text(encoding="utf-8")
    again = demo(folder)
    assert {t["state"] for t in again["tasks"]} == {"stored"}
    assert again["kpis"] == record["kpis"]
    fresh = (folder / "ldt-demo" / "page.html").read_text(encoding="utf-8")
    assert _timeless(fresh) == _timeless(page)


def _timeless(page: str) -> str:
    """Without the run's name, its date and how long it took."""
    page = re.sub(r"20\d{6}T\d{6}Z-[0-9a-f]{8}(-\d+)?", "RUN", page)
    return re.sub(r"<(dd|time|td|p)[^>]*>[^<]*(?:\d\d:\d\d|second|minute|\d\s?s)[^<]*</\1>", "", page)


def test_a_fresh_folder_gives_the_same_numbers(first: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, record = first
    fresh = demo(tmp_path, "--replicates", "1")
    for name, kpi in fresh["kpis"].items():
        for scenario, values in kpi["values"].items():
            assert values[0] == record["kpis"][name]["values"][scenario][0], (name, scenario)


def test_the_page_says_what_is_made_up_and_fetches_nothing(first: tuple[Path, dict[str, Any]]) -> None:
    page = (first[0] / "ldt-demo" / "page.html").read_text(encoding="utf-8")
    assert "drawn at random" in page
    assert "OpenStreetMap contributors" in page
    assert "screening estimate" in page
    assert not re.findall(r"""<(?:script|img|link|iframe)[^>]*(?:src|href)=["']?https?:""", page)
    assert len(page) < 2_000_000
    assert page.count("<svg") >= 8


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 320])
def test_the_page_opens_from_disk_in_a_browser_without_scripts_and_is_accessible(
    first: tuple[Path, dict[str, Any]], width: int
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    address = (first[0] / "ldt-demo" / "page.html").resolve().as_uri()
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        try:
            context = browser.new_context(
                viewport={"width": width, "height": 800}, offline=True, bypass_csp=True
            )
            page, asked = context.new_page(), []
            page.on("request", lambda r: asked.append(r.url))
            page.goto(address)
            assert asked == [address]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("svg.map").count() >= 6
            page.evaluate(axe)
            found = page.evaluate(
                "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
            )
            assert [v["id"] for v in found["violations"]] == []
            plain = browser.new_context(java_script_enabled=False, offline=True).new_page()
            plain.goto(address)
            text = plain.inner_text("body")
            for word in ("Kaivokatu", "Mean trip", "distinguishable", "drawn at random"):
                assert word in text
        finally:
            browser.close()
