"""What is seen on a page: its words, numbers, tables and graphics, what it asked for, and what axe says.

The same bytes are looked at once; who doubts looks again (``again``).
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .browser import Look, axe_script, browser
from .views import MARK

if TYPE_CHECKING:
    from playwright.sync_api import Page

T = TypeVar("T")
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
LEAST = 60
"""Pixels of side below which a graphic is a sign, such as a swatch of a legend."""


@dataclass(frozen=True)
class Graphic:
    """A drawing on the page. ``name`` is what a screen reader says (by Chromium's own reckoning), ``around`` the visible
    words of the block in which it stands, ``marks`` how many of its pixels are not ground, without what is decoration."""

    tag: str
    name: str
    around: str
    marks: int
    broken: bool


@dataclass(frozen=True)
class Sight:
    """``visible`` is what is read without unfolding anything, ``text`` what is read with everything unfolded, ``blocks``
    the visible words of each block, ``rows`` the words of every row of every table, cells apart by tabs."""

    visible: str
    text: str
    blocks: list[str]
    rows: list[str]
    elements: int
    hostile: list[str]
    policy: str
    graphics: list[Graphic] = field(repr=False)
    picture: bytes = field(repr=False)

    @cached_property
    def numbers(self) -> list[tuple[float, int]]:
        return numbers_in(self.text)


_PAGE = f"""
() => ({{
  visible: document.body.innerText,
  blocks: [...document.querySelectorAll("article.block")].map((b) => b.innerText),
  elements: document.querySelectorAll("*").length,
  hostile: [...document.querySelectorAll("[{MARK}]")].map((e) => e.outerHTML.slice(0, 200)),
  policy: document.querySelector('meta[http-equiv="Content-Security-Policy" i]')?.content || "",
}})
"""
_UNFOLDED = """
() => {
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const rows = [...document.querySelectorAll("tr")];
  return {text: document.body.innerText, rows: rows.map((r) => [...r.cells].map((c) => c.innerText).join("\\t"))};
}
"""
# What is hidden from a screen reader, and lies over or beside a graphic, is decoration: it proves no drawing.
_GRAPHICS = """
(least) => {
  const all = [...document.querySelectorAll("canvas, img, svg, [role=img], object, embed, iframe, video")];
  const large = all.filter((e) => {
    const box = e.getBoundingClientRect();
    return e.checkVisibility({visibilityProperty: true}) && Math.min(box.width, box.height) >= least
      && !e.closest('[aria-hidden="true"]') && !e.parentElement.closest("svg, [role=img]");
  });
  const hidden = [...document.querySelectorAll('[aria-hidden="true"]')].filter((e) => !large.some((g) => e.contains(g)));
  hidden.forEach((e) => e.style.setProperty("visibility", "hidden", "important"));
  window.__ldt_graphics = large;
  return large.map((e) => {
    const box = e.getBoundingClientRect();
    return {tag: e.localName, broken: e.localName === "img" && !e.naturalWidth,
      around: (e.closest("article, section, figure") || e.parentElement).innerText,
      box: [box.left + scrollX, box.top + scrollY, box.width, box.height]};
  });
}
"""


def photograph(page: Page) -> bytes:
    """The whole page as a PNG."""
    return page.screenshot(full_page=True, animations="disabled", caret="hide")


def _see(page: Page) -> Sight:
    plain = page.evaluate(_PAGE)
    found = page.evaluate(_GRAPHICS, LEAST)
    picture = photograph(page)
    names = _names(page, len(found))
    unfolded = page.evaluate(_UNFOLDED)
    boxes = [tuple(g.pop("box")) for g in found]
    graphics = [Graphic(**g, name=name, marks=0) for g, name in zip(found, names, strict=True)]
    return _Seen(**plain, **unfolded, graphics=graphics, picture=picture, boxes=boxes)


@dataclass(frozen=True)
class _Seen(Sight):
    """Before its pictures were judged."""

    boxes: list[Any] = field(default_factory=list, repr=False)


def _names(page: Page, count: int) -> list[str]:
    """Accessible names of the graphics, as Chromium gives them to a screen reader."""
    session = page.context.new_cdp_session(page)
    names = []
    for index in range(count):
        object = session.send("Runtime.evaluate", {"expression": f"window.__ldt_graphics[{index}]"})["result"]
        nodes = session.send(
            "Accessibility.getPartialAXTree", {"objectId": object["objectId"], "fetchRelatives": False}
        )["nodes"]
        names.append(str(nodes[0].get("name", {}).get("value", "")).strip() if nodes else "")
    session.detach()
    return names


def _judge_by_axe(page: Page) -> list[dict[str, Any]]:
    page.evaluate('document.querySelectorAll("details").forEach((d) => { d.open = true; })')
    page.evaluate(axe_script())
    found = page.evaluate(
        "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        list(WCAG),
    )
    return [
        {"rule": v["id"], "help": v["help"], "element": v["nodes"][0]["html"][:300], "count": len(v["nodes"])}
        for v in found["violations"]
    ]


# -- looked at once --------------------------------------------------------------------------------

_KEPT = 64
_looks: OrderedDict[tuple[str, str, int], Look[Any]] = OrderedDict()


def look(file: Path, work: Callable[[Page], T], *, width: int = 1280, again: bool = False) -> Look[T]:
    """What ``work`` found on the page in ``file``. Raises ``CannotTell``."""
    key = (hashlib.sha256(file.read_bytes()).hexdigest(), f"{work.__module__}.{work.__qualname__}", width)
    if again or key not in _looks:
        found = browser().look(file, work, width=width)
        if isinstance(found.answer, _Seen):
            found = cast(Any, _with_marks(cast(Any, found)))
        _looks[key] = found
        while len(_looks) > _KEPT:
            _looks.popitem(last=False)
    _looks.move_to_end(key)
    return _looks[key]


def _with_marks(found: Look[_Seen]) -> Look[Sight]:
    seen = found.answer
    marks = browser().marks(seen.picture, seen.boxes)
    graphics = [
        Graphic(g.tag, g.name, g.around, m, g.broken) for g, m in zip(seen.graphics, marks, strict=True)
    ]
    plain = {n: getattr(seen, n) for n in Sight.__dataclass_fields__} | {"graphics": graphics}
    return Look(Sight(**plain), found.asked, found.refused, found.called, found.errors)


def see(file: Path, *, width: int = 1280, again: bool = False) -> Look[Sight]:
    return look(file, _see, width=width, again=again)


def violations(file: Path, *, width: int = 1280, again: bool = False) -> list[dict[str, Any]]:
    """What axe holds against the page, with everything unfolded, by the rules of WCAG 2.2 A and AA."""
    return look(file, _judge_by_axe, width=width, again=again).answer


# -- words and numbers -----------------------------------------------------------------------------

_GROUPED = re.compile(r"[-\u2212+]?\d{1,3}(?:[\u0020\u00a0\u2009\u202f,']\d{3})+(?:\.(\d+))?")
_PLAIN = re.compile(r"[-\u2212+]?\d+(?:\.(\d+))?(?:e[-+]?\d+)?", re.I)


def numbers_in(text: str) -> list[tuple[float, int]]:
    """Every number that is written in ``text``, with groups of three digits or without, and its decimals."""
    found: dict[tuple[float, int], None] = {}
    for pattern in (_PLAIN, _GROUPED):
        for match in pattern.finditer(text):
            plain = re.sub(r"[\u0020\u00a0\u2009\u202f,']", "", match[0]).replace("\u2212", "-")
            found[float(plain), len(match[1] or "")] = None
    return list(found)


def is_written(value: float, numbers: list[tuple[float, int]]) -> bool:
    """Whether ``value`` is among the written numbers, as a careful writer rounds it: to its last decimal, no coarser
    than 3 %; or, where digits before the point were rounded, within 0.5 %."""
    size = abs(value)
    return any(
        abs(abs(x) - size) <= max(0.005 * size, min(0.03 * size, 0.5001 * 10.0**-decimals))
        for x, decimals in numbers
    )


def squeeze(text: str) -> str:
    """With one blank between words and no difference of case: how a text is looked for on a page."""
    return re.sub(r"\s+", " ", text).strip().casefold()
