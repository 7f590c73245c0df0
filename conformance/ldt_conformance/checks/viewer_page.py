"""Checks of the catalogue's part ``viewer``: what a page does, and for whom it works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ldt_core import scene as sc

from ..browser import Look
from ..keyboard import MOST_STOPS, Walk, walk
from ..pages import Rendered, render
from ..sight import is_written, look, numbers_in, see, squeeze, violations
from ..trial import Trial
from ..views import HOSTILE, MARK
from . import check


@check("LDT-VIE-NET-01")
def asks_for_nothing_that_was_not_declared(trial: Trial) -> None:
    """On the page, in each picture opened alone, and as the address of a client module."""
    rendered = render(trial)
    declared = set(trial.manifest.get("hosts", ()))
    found = see(rendered.file, again=trial.attempt > 0)
    trial.expect(
        "default-src" in found.answer.policy or "script-src" in found.answer.policy,
        "the page sets no content security policy",
        got=found.answer.policy,
    )
    _expect_quiet(trial, found, "the page", declared)
    for name, file in rendered.pictures.items():
        alone = _alone(trial, file)
        _expect_quiet(trial, alone, f"the picture '{name}', opened alone", declared)
    for block in rendered.scene.blocks:
        if isinstance(block, sc.CustomBlock):
            host = urlsplit(block.module).hostname
            trial.expect(
                host is None or host in declared,
                "a client module is fetched from a host that was not declared",
                given=block.title,
                expected=sorted(declared),
                got=block.module,
            )


def _expect_quiet(trial: Trial, found: Look[Any], what: str, declared: set[str]) -> None:
    asked = [a for a in found.asked if urlsplit(a).hostname not in declared]
    trial.expect(not asked, f"{what} asks for what it does not bring along", expected=[], got=asked)
    trial.expect(not found.refused, f"{what} wants what its policy forbids", expected=[], got=found.refused)


def _alone(trial: Trial, file: Path) -> Look[dict[str, Any]]:
    return look(file, _inside, again=trial.attempt > 0)


def _inside(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        f"""() => ({{
          text: document.documentElement.textContent,
          hostile: [...document.querySelectorAll("[{MARK}]")].map((e) => e.outerHTML.slice(0, 200)),
          scripts: document.querySelectorAll("script").length
            + [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name)
              || /^\\s*javascript:/i.test(a.value))).length,
          broken: document.querySelectorAll("parsererror").length,
        }})"""
    )
    return found


@check("LDT-VIE-XSS-01")
def hostile_text_stays_text(trial: Trial) -> None:
    rendered = render(trial, "hostile")
    found = see(rendered.file, again=trial.attempt > 0)
    trial.expect(not found.called, "text from the data ran as a script", expected=[], got=found.called)
    trial.expect(
        not found.answer.hostile, "text from the data became elements", expected=[], got=found.answer.hostile
    )
    words = squeeze(_shown(found.answer.text))
    kept = [t for t in HOSTILE if squeeze(_shown(t)) in words]
    trial.expect(
        len(kept) >= 3,
        "text from the data is not shown as it is",
        given="names, titles and credits with markup in them",
        expected=list(HOSTILE),
        got=kept,
    )
    for name, file in rendered.pictures.items():
        alone = _alone(trial, file)
        inside = alone.answer
        trial.expect(
            not alone.called and not inside["hostile"] and not inside["scripts"],
            "text from the data became a part of a picture",
            given=name,
            expected="text",
            got={"ran": alone.called, "elements": inside["hostile"], "scripts": inside["scripts"]},
        )
        trial.expect(not inside["broken"], "text from the data broke a picture", given=name)


def _shown(text: str) -> str:
    """Without what no page can show: signs that turn the direction of reading, and what stands for them."""
    return re.sub("[\u202a-\u202e\u2066-\u2069\ufffd]", "", text)


@check("LDT-VIE-A11Y-01")
def axe_finds_nothing(trial: Trial) -> None:
    for kind in ("usual", "none"):
        rendered = render(trial, kind)
        found = violations(rendered.file, again=trial.attempt > 0)
        trial.expect(
            not found, "the page breaks a rule of WCAG 2.2 A or AA", given=kind, expected=[], got=found[:3]
        )


@check("LDT-VIE-A11Y-03")
def every_picture_has_a_name_and_figures(trial: Trial) -> None:
    rendered = render(trial)
    for graphic in see(rendered.file, again=trial.attempt > 0).answer.graphics:
        trial.expect(
            bool(re.search(r"\w", re.sub(r"^(map|chart|image|picture)\b", "", graphic.name, flags=re.I))),
            "a picture has no name that a screen reader could say",
            given=graphic.tag,
            got=graphic.name,
        )
    for block in rendered.scene.blocks:
        if isinstance(block, sc.TextBlock):
            continue
        table = block.alternative
        trial.expect(
            bool(table.columns) and bool(table.rows) and bool(table.caption.strip()),
            "a block has no table of the figures that it shows",
            given=block.title,
            expected="a caption, columns and rows",
            got={"caption": table.caption, "columns": len(table.columns), "rows": len(table.rows)},
        )
        _expect_equal(trial, block, rendered)


def _expect_equal(trial: Trial, block: sc.AnyBlock, rendered: Rendered) -> None:
    """What a chart draws stands in its table, unless the table says that it leaves rows out."""
    if not isinstance(block, sc.ChartBlock) or block.alternative.more:
        return
    written = [
        n
        for row in block.alternative.rows
        for cell in row
        for n in ([(float(cell), 6)] if isinstance(cell, int | float) else numbers_in(str(cell)))
    ]
    lost = [y for s in block.series for y in s.y if y is not None and not is_written(y, written)]
    trial.expect(
        not lost,
        "a chart draws figures that its table does not hold",
        given=block.title,
        expected=lost[:5],
        got=[list(r) for r in block.alternative.rows[:5]],
    )


@check("LDT-VIE-A11Y-02")
def all_is_done_by_the_keyboard(trial: Trial) -> None:
    found: Walk = look(render(trial).file, walk, again=trial.attempt > 0).answer
    trial.expect(bool(found.stops), "nothing on the page can be reached by the Tab key")
    trial.expect(not found.trapped, "the keyboard does not leave an element again", got=found.trapped)
    trial.expect(
        not found.unmarked, "where the keyboard stands is not to be seen", expected=[], got=found.unmarked
    )
    trial.expect(
        not found.unreached, "what the mouse can press, the keyboard cannot", expected=[], got=found.unreached
    )
    for block, count in found.in_block.items():
        trial.expect(
            count <= MOST_STOPS,
            "a block takes too many presses of Tab to get past",
            given=block,
            expected=MOST_STOPS,
            got=count,
        )
