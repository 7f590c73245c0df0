"""The page in a real browser: drawn, silent, accessible, with and without its script."""

from __future__ import annotations

import os
import shutil
from importlib.resources import files

import pytest
from ldt_web import render_page

import ldt_core as ldt

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(made, tmp_path_factory):
    flags = {"base": [ldt.Flag("teleports", 3, "1", "Vehicles were moved on")]}
    record = made.record(flags=flags, not_reproducible=["weather: no version"])
    path = tmp_path_factory.mktemp("page") / "page.html"
    kpis = [k.model_copy(update={"synthetic": [made.SYNTHETIC]}) for k in made.kpis()]
    blocks = [made.kpi_block(kpis=kpis, synthetic=[made.SYNTHETIC]), *made.bundle().scene.blocks[1:]]
    path.write_text(render_page([made.bundle(blocks)], record), encoding="utf-8")
    return path.as_uri()


class Visit:
    """A page that was opened, and what it asked for and complained of."""

    def __init__(self, browser, address, width, **more):
        self.context = browser.new_context(viewport={"width": width, "height": 800}, **more)
        self.page, self.asked, self.errors = self.context.new_page(), [], []
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on(
            "console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(address)


@pytest.fixture
def visit(browser, address):
    made = []

    def open_page(width=1280, **more):
        made.append(Visit(browser, address, width, **more))
        return made[-1]

    yield open_page
    for one in made:
        one.context.close()


@pytest.mark.parametrize("width", [1280, 320])
def test_the_page_is_drawn_asks_for_nothing_and_fits(visit, address, width):
    seen = visit(width)
    page = seen.page
    assert seen.asked == [address]
    assert seen.errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = "svg.chart.wide" if width > 640 else "svg.chart.narrow"
    assert page.locator(shown).first.is_visible()
    assert page.locator("svg.chart:visible").count() == 1
    box = page.locator("svg.map").first.bounding_box()
    assert min(box["width"], box["height"]) > 200
    assert page.locator("g.value-line path").first.evaluate("p => p.getTotalLength()") > 0
    assert page.locator("use").first.evaluate("u => u.getBBox().width") > 1000


@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(visit, width):
    page = visit(width).page
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8") + "\n;0")
    found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", WCAG)
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
    assert len(found["passes"]) > 20


def test_maps_side_by_side_stand_at_one_height(visit):
    page = visit().page
    boxes = [page.locator(".half .canvas").nth(i).bounding_box() for i in (0, 1)]
    titles = [page.locator(".half h3").nth(i).bounding_box()["height"] for i in (0, 1)]
    assert titles[0] < titles[1]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]


def test_on_a_phone_results_are_read_downwards(visit):
    page = visit(390).page
    table = page.locator("table.compare")
    box, around = table.bounding_box(), page.locator(".scroll:has(> table.compare)").bounding_box()
    assert box["width"] <= around["width"], "nothing is hidden to the side"
    tops = (
        table.locator("tbody tr")
        .first.locator("td")
        .evaluate_all("all => all.map(e => e.getBoundingClientRect().top)")
    )
    assert tops == sorted(set(tops))
    labels = table.locator("td").first.evaluate("e => getComputedStyle(e, '::before').content")
    assert labels == '"Today"'
    rows = page.get_by_role("table", name="Results against targets").get_by_role("row")
    assert rows.count() == 1 + 2, "it stays a table for who listens"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_change_is_drawn_large_beside_its_words(visit, width):
    page = visit(width).page
    canvas, words = (
        page.locator(f".block.map.wide {part}").bounding_box() for part in (".canvas", ".finding")
    )
    if width == 1280:
        assert canvas["width"] > 600
        assert words["x"] > canvas["x"] + canvas["width"]
        assert words["y"] < canvas["y"] + canvas["height"]
    else:
        assert canvas["width"] > 340
        assert words["y"] + words["height"] <= canvas["y"]


def test_all_can_be_read_without_a_script(visit):
    page = visit(java_script_enabled=False).page
    text = page.locator("main").inner_text()
    assert "Mean trip duration" in text
    assert "Station street carries most cars." in text
    assert page.locator("svg.map").first.is_visible()
    page.locator("details.behind summary").first.click()
    assert page.locator("details[open] table").first.is_visible()


def test_tables_sort_by_their_exact_values(visit):
    page = visit().page
    table = page.locator("article.table table")
    head = table.locator("thead button").nth(1)
    head.click()
    rising = table.locator("tbody tr").evaluate_all("rows => rows.map(r => r.cells[1].dataset.v || null)")
    assert rising == ["-15.0", "812.4", None]
    head.click()
    assert table.locator("th[aria-sort=descending]").count() == 1
    falling = table.locator("tbody tr").evaluate_all("rows => rows.map(r => r.cells[1].dataset.v || null)")
    assert falling[:2] == ["812.4", "-15.0"]


def test_a_table_can_be_saved(visit, tmp_path):
    page = visit().page
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").last.click()
    saved = tmp_path / "saved.csv"
    download.value.save_as(saved)
    lines = saved.read_text(encoding="utf-8-sig").splitlines()
    assert lines[1:] == ['"Street 0","812.4"', '"Street 1","–"', '"Street 2","-15.0"']


def test_the_keyboard_reaches_everything_and_leaves_again(visit):
    page = visit().page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen, marks = [], []
    for _ in range(80):
        here = page.evaluate(
            "() => { const e = document.activeElement; if (e === document.body) return null;"
            " e.dataset.n ??= String(Math.random()); return [e.dataset.n, getComputedStyle(e).outlineStyle]; }"
        )
        if here is None or here[0] in seen:
            break
        seen.append(here[0])
        marks.append(here[1])
        page.keyboard.press("Tab")
    assert len(seen) > 12
    assert set(marks) == {"solid"}
    assert len(seen) < 80


@pytest.mark.parametrize("scheme", ["active", "none"])
def test_large_text_and_forced_colours_fit(visit, scheme):
    page = visit(forced_colors=scheme).page
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_it_prints_to_a_small_tagged_pdf_with_its_tables(visit):
    page = visit().page
    data = page.pdf(prefer_css_page_size=True, print_background=True, tagged=True)
    assert data.startswith(b"%PDF")
    assert b"/StructTreeRoot" in data
    assert len(data) < 2_000_000
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    hidden = page.locator("details table").evaluate_all(
        "all => all.filter(t => t.getBoundingClientRect().height < 20).length"
    )
    assert hidden == 0
