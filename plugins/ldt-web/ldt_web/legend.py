"""The legend of a layer: a swatch, a label and a count for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from markupsafe import Markup

from .hatch import hatch
from .layers import Places
from .marks import hatching, marker, marker_size, style_of
from .paths import UNITS
from .svg import short, tag
from .words import write_number, write_unit


@dataclass(frozen=True)
class Entry:
    """One line of a legend."""

    swatch: Markup
    label: str
    count: str


@dataclass(frozen=True)
class Legend:
    title: str
    unit: str
    noun: str
    entries: list[Entry]


def make_legend(places: Places) -> Legend:
    layer = places.layer
    entries = []
    for index, look in enumerate(places.looks):
        style = style_of(places, index)
        if layer.geometry == "line":
            style = {k: v for k, v in style.items() if k != "stroke_linecap"}
            mark = tag("path", d="M1 9h32", fill="none", **unscaled(style))
        elif layer.geometry == "polygon":
            mark = tag("path", d="M2 2h30v14h-30z", **unscaled(style)) + _swatch_lines(places, index)
        else:
            shape = index if not places.measured and layer.scale else 0
            mark = tag("path", d=marker(shape, marker_size(look)), transform="translate(17 9)", **style)
        swatch = tag("svg", mark, class_="swatch", viewBox="0 0 34 18", aria_hidden="true", focusable="false")
        arrow = {"less": "▼ ", "more": "▲ "}.get(look.sign, "")
        entries.append(Entry(swatch, arrow + look.label, write_number(places.counts[index], 0)))
    return Legend(layer.title, write_unit(layer.unit), places.noun, entries)


def unscaled(style: dict[str, object]) -> dict[str, object]:
    plain = dict(style)
    if style.get("stroke_width"):
        plain["stroke_width"] = float(str(style["stroke_width"])) / UNITS
    if style.get("stroke_dasharray"):
        plain["stroke_dasharray"] = " ".join(
            short(float(d) / UNITS) for d in str(style["stroke_dasharray"]).split()
        )
    return plain


def _swatch_lines(places: Places, index: int) -> Markup:
    angle = hatching(places, index)
    if angle is None:
        return Markup("")
    box = np.array([shapely.box(2 * UNITS, 2 * UNITS, 32 * UNITS, 16 * UNITS)])
    return tag("path", d=hatch(box, angle), class_="hatch", transform=f"scale({short(1 / UNITS)})")
