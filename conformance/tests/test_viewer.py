"""How pages are looked at: what axe does not see, how numbers are read, and what is said where there is no browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ldt_conformance import browser as browsers
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.judge import judge
from ldt_conformance.keyboard import MOST_STOPS, Walk, walk
from ldt_conformance.outcome import Outcome
from ldt_conformance.sight import is_written, look, numbers_in, see, violations
from ldt_conformance.zoo import Specimen, specimens

VIEWERS = [s for s in specimens() if s.component.kind == "viewer"]
MUTANTS = sorted((s for s in VIEWERS if s.fails), key=lambda s: s.fails or "")
ONE_OF_EACH = list({s.fails: s for s in MUTANTS}.values())
STYLE = "<style>:focus { outline: 3px solid blue }</style>"


def page(folder: Path, body: str, style: str = STYLE) -> Path:
    file = folder / "page.html"
    file.write_text(f'<!doctype html><html lang="en"><title>Page</title>{style}<main>{body}</main></html>')
    return file


def judged(specimen: Specimen, requirement: str) -> Any:
    with HereDriver(specimen.component) as driver:
        results = judge(driver, specimen.example, level=2, only={requirement})
    return next(r for r in results if r.requirement == requirement)


@pytest.mark.browser
@pytest.mark.parametrize("specimen", ONE_OF_EACH, ids=lambda s: s.name)
def test_a_fault_of_a_viewer_is_found(specimen: Specimen) -> None:
    assert specimen.fails is not None
    found = judged(specimen, specimen.fails)
    assert found.outcome is Outcome.FAILED, found.reason
    assert found.evidence is not None


@pytest.mark.browser
@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('<button>Good</button><div onclick="0">Press</div>', "unreached"),
        ('<button>Good</button><div id="d">Press</div><script>d.addEventListener("click", () => 0)</script>', "unreached"),
        ('<button>Good</button><div tabindex="0" id="d">Press</div><script>d.addEventListener("click", () => 0)</script>', "unreached"),
        ('<button style="outline: none">Unseen</button>', "unmarked"),
        ('<a href="#a">One</a><a href="#b" id="b">Two</a><script>b.onkeydown = (e) => e.key === "Tab" && e.preventDefault()</script><a href="#c">Three</a>', "trapped"),
    ],
)  # fmt: skip
def test_the_walk_finds_what_the_keyboard_cannot_do(tmp_path: Path, body: str, what: str) -> None:
    found: Walk = look(page(tmp_path, body), walk).answer
    faults = [n for n in ("trapped", "unmarked", "unreached") if getattr(found, n)]
    assert faults[0] == what  # behind a trap nothing is reached either


@pytest.mark.browser
def test_the_walk_is_content_with_a_page_that_works(tmp_path: Path) -> None:
    keys = 'd.addEventListener("click", () => 0); d.addEventListener("keydown", () => 0)'
    body = f'<a href="#a">One</a><details><summary>More</summary>Text</details><div tabindex="0" role="button" id="d">Press</div><script>{keys}</script>'
    found: Walk = look(page(tmp_path, body), walk).answer
    assert len(found.stops) == 3
    assert (found.trapped, found.unmarked, found.unreached) == ("", [], [])


@pytest.mark.browser
def test_stops_are_counted_by_block(tmp_path: Path) -> None:
    body = f"<article><h3>Wide</h3>{'<button>x</button>' * (MOST_STOPS + 1)}</article>"
    assert look(page(tmp_path, body), walk).answer.in_block == {"Wide": MOST_STOPS + 1}


@pytest.mark.browser
def test_a_canvas_without_a_name_is_seen_which_axe_misses(tmp_path: Path) -> None:
    draw = "<script>const p = c.getContext('2d'); p.fillRect(20, 20, 60, 60)</script>"
    unnamed = page(tmp_path, f'<canvas id="c" width="200" height="200"></canvas>{draw}')
    assert violations(unnamed) == []
    (graphic,) = see(unnamed).answer.graphics
    assert (graphic.name, graphic.marks) == ("", 3600)
    named = page(
        tmp_path, f'<canvas id="c" role="img" aria-label="Noise" width="200" height="200"></canvas>{draw}'
    )
    assert see(named).answer.graphics[0].name == "Noise"


@pytest.mark.browser
def test_decoration_over_a_picture_proves_no_drawing(tmp_path: Path) -> None:
    over = '<div aria-hidden="true" style="position: absolute; top: 20px; left: 20px">N</div>'
    blank = page(tmp_path, f'<svg role="img" aria-label="Map" width="200" height="200"></svg>{over}')
    assert [g.marks for g in see(blank).answer.graphics] == [0]


@pytest.mark.browser
def test_what_a_page_asks_for_is_stopped_and_told(tmp_path: Path) -> None:
    found = see(page(tmp_path, '<img alt="Tile" src="https://tiles.example.org/0/0/0.png">'))
    assert found.asked == ["https://tiles.example.org/0/0/0.png"]


@pytest.mark.browser
def test_a_page_is_looked_at_from_within_a_running_loop(tmp_path: Path) -> None:
    async def inside() -> str:
        return see(page(tmp_path, "Within")).answer.visible

    assert asyncio.run(inside()) == "Within"


@pytest.mark.browser
def test_a_browser_that_was_killed_is_started_again(tmp_path: Path) -> None:
    first = browsers.browser()
    browsers.close_browser()
    assert not first.alive
    assert see(page(tmp_path, "Again, by another"), again=True).answer.visible == "Again, by another"


def test_without_chromium_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    browsers.close_browser()
    monkeypatch.setattr(browsers, "find_chromium", lambda: None)
    good = next(s for s in VIEWERS if s.fails is None)
    found = judged(good, "LDT-VIE-EMPTY-01")
    assert found.outcome is Outcome.UNTESTED
    assert found.blocked_by == "LDT-VIE-HEAD-01"
    told = judged(good, "LDT-VIE-HEAD-01")
    assert told.outcome is Outcome.CANT_TELL
    assert "Chromium is missing" in told.reason


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("1\u202f914.6 vehicles", 1914.55, True),
        ("1,915", 1914.55, True),
        ("\u22126.5 (0)", -6.54, True),
        ("12\t345", 12345.0, False),
        ("2 000", 1914.55, False),
        ("37", 37.3, True),
        ("4", 37.3, False),
        ("38", 37.3, False),
        ("none", 0.0, False),
    ],
)
def test_a_number_is_found_as_a_careful_writer_rounds_it(text: str, value: float, found: bool) -> None:
    assert is_written(value, numbers_in(text)) is found
