"""A map block as an SVG picture, with its legend and a description in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

import ldt_core as ldt
import numpy as np
import shapely
from ldt_core.scene import MapBlock
from markupsafe import Markup, escape

from .bundle import SceneBundle
from .colours import Look
from .labels import place_labels
from .layers import Places, read_places
from .paths import UNITS, Frame, path_data
from .scalebar import scale_bar
from .svg import join, short, tag
from .words import write_amount, write_number, write_unit

TOOLTIPS = 3000  # above this many places in a layer, each class is one path and no place has a tooltip
WIDE, HALF = 1040, 640


@dataclass
class Shared:
    """Paths that several maps of a page show: kept once, used by name."""

    names: dict[str, str] = field(default_factory=dict)

    def use(self, data: str) -> Markup:
        name = self.names.setdefault(data, f"shape{len(self.names)}")
        return tag("use", href=f"#{name}")

    def definitions(self) -> Markup:
        return join([tag("path", id=name, d=data) for data, name in self.names.items()])


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
    entries: list[Entry]


@dataclass(frozen=True)
class MapPicture:
    svg: Markup
    over: Markup
    legends: list[Legend]
    context: str
    width: int
    height: int


def draw_map(block: MapBlock, bundle: SceneBundle, shared: Shared, *, name: str, wide: bool) -> MapPicture:
    """The picture of ``block``; ``name`` is unique in the page.

    Raises ``NotFound`` for data that is not there and ``InputError`` for data that cannot be drawn.
    """
    frame = Frame.of(block.bounds, WIDE if wide else HALF)
    layers = [read_places(layer, block, bundle, frame) for layer in block.layers]
    values = [p for p in layers if p.layer.role == "value"]
    context = [p for p in layers if p.layer.role == "context"]
    width, height = frame.width, frame.height
    drawn = [_context(p, shared) if p.layer.role == "context" else _values(p, name) for p in layers]
    svg = tag(
        "svg",
        tag("title", f"Map: {block.title}", id=f"{name}-title"),
        tag("desc", describe(block, values, context), id=f"{name}-desc"),
        _patterns(name, values),
        tag("g", *drawn, transform=f"scale({short(1 / UNITS)})"),
        class_="map",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )
    over = tag(
        "svg",
        *place_labels(values, frame),
        tag("g", tag("path", d="M0 0l4.5 11-4.5-3-4.5 3z"), tag("text", "N", y=25), class_="north"),
        scale_bar(block.crs, frame),
        class_="over",
        aria_hidden="true",
        focusable="false",
    )
    legends = [_legend(p, name) for p in values if p.layer.scale is not None or p.layer.role == "value"]
    titles = ", ".join(dict.fromkeys(p.layer.title for p in context))
    return MapPicture(svg, over, legends, titles, width, height)


def describe(block: MapBlock, values: list[Places], context: list[Places]) -> str:
    """What the map shows, for who does not see it."""
    sentences = [block.finding]
    for places in values:
        layer = places.layer
        numbers = places.values[~np.isnan(places.values)]
        sentence = f"{layer.title}: {write_number(len(places.shapes), 0)} places"
        if len(numbers):
            low, high = (
                write_amount(float(v), layer.unit, sign=places.signed) for v in (numbers.min(), numbers.max())
            )
            sentence += f", from {low} to {high}"
        sentences.append(sentence + ".")
    if context:
        sentences.append(f"Drawn below for orientation: {', '.join(p.layer.title for p in context)}.")
    sentences.append("North is up.")
    return " ".join(sentences)


def _context(places: Places, shared: Shared) -> Markup:
    kind = places.layer.geometry
    if kind == "point":
        dots = [tag("circle", cx=short(x, 0), cy=short(y, 0), r=1.6 * UNITS) for x, y in _points(places)]
        return tag("g", *dots, class_="context-point")
    data = "".join(path_data(places.shapes, keep=False))
    return tag("g", shared.use(data), class_=f"context-{kind}") if data else Markup("")


def _points(places: Places) -> list[tuple[float, float]]:
    if not len(places.shapes):
        return []
    return [(x, y) for x, y in shapely.get_coordinates(shapely.centroid(places.shapes)).tolist()]


def _values(places: Places, name: str) -> Markup:
    """Classes from the faintest to the strongest, so that the strongest lie on top."""
    order = sorted(range(len(places.looks)), key=lambda i: (places.looks[i].order, i))
    kind = places.layer.geometry
    marks = _markers(places) if kind == "point" else _paths(places)
    groups = [
        tag("g", *members, class_=f"value-{kind}", **_style(places, i, name))
        for i in order
        if (members := marks.get(i))
    ]
    return tag("g", *groups)


def _paths(places: Places) -> dict[int, list[Markup]]:
    data = path_data(places.shapes)
    classes = places.classes.tolist()
    rows = sorted((i for i in range(len(data)) if data[i]), key=lambda i: classes[i])
    groups = {k: list(v) for k, v in groupby(rows, key=lambda i: classes[i])}
    if len(data) > TOOLTIPS:
        return {k: [tag("path", d="".join(data[i] for i in v))] for k, v in groups.items()}
    return {k: [tag("path", _tip(places, i), d=data[i]) for i in v] for k, v in groups.items()}


def _tip(places: Places, row: int) -> Markup:
    text = ": ".join(filter(None, (places.names[row], places.words[row])))
    return tag("title", text) if text else Markup("")


def _markers(places: Places) -> dict[int, list[Markup]]:
    groups: dict[int, list[Markup]] = {}
    tips = len(places.shapes) <= TOOLTIPS
    for row, (x, y) in enumerate(_points(places)):
        index = int(places.classes[row])
        look = places.looks[index]
        data = marker(index if not places.measured and places.layer.scale else 0, (3 + 6 * look.weight) * UNITS)
        tip = _tip(places, row) if tips else Markup("")
        groups.setdefault(index, []).append(
            tag("path", tip, d=data, transform=f"translate({short(x, 0)} {short(y, 0)})")
        )
    return groups


def marker(shape: int, size: float) -> str:
    """Path data of a circle, square, triangle, diamond, or cross of about one area."""
    r = round(size)
    q, s = round(size * 0.88), round(size * 1.25)
    return [
        f"M-{r} 0a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0-{2 * r} 0z",
        f"M-{q}-{q}h{2 * q}v{2 * q}h-{2 * q}z",
        f"M0-{s}l{s} {2 * q}h-{2 * s}z",
        f"M0-{s}l{s} {s}-{s} {s}-{s}-{s}z",
        f"M-{s}-{s // 3}h{s - s // 3}v-{s - s // 3}h{2 * (s // 3)}v{s - s // 3}h{s - s // 3}v{2 * (s // 3)}"
        f"h-{s - s // 3}v{s - s // 3}h-{2 * (s // 3)}v-{s - s // 3}h-{s - s // 3}z",
    ][shape % 5]


def line_width(look: Look) -> float:
    """Pixels: wider for more, so that flows can be read without colour."""
    return 1.3 if look.sign == "same" else 1.5 + 4.0 * look.weight


def _style(places: Places, index: int, name: str) -> dict[str, object]:
    look = places.looks[index]
    missing = places.layer.scale is not None and look.dash == "1 3"
    if places.layer.geometry == "line":
        dash = look.dash or ("6 2.4" if look.sign == "less" else None)
        return {
            "stroke": look.colour,
            "stroke_width": line_width(look) * UNITS,
            "stroke_dasharray": " ".join(short(float(d) * UNITS) for d in dash.split()) if dash else None,
            "stroke_linecap": "butt" if dash else None,
        }
    patterned = places.layer.geometry == "polygon" and pattern_of(places, index) and not missing
    return {"fill": f"url(#{name}-{places.layer.id}-{index})" if patterned else look.colour}


def pattern_of(places: Places, index: int) -> str:
    """The hatching of a class of areas: decreases and all categories but the first have one."""
    if places.looks[index].sign == "less":
        return "M-1 1l2-2M0 6l6-6M5 7l2-2"
    if places.layer.scale is not None and places.layer.scale.kind == "categorical":
        return ["", "M-1 1l2-2M0 6l6-6M5 7l2-2", "M0 3h6", "M3 0v6", "M5-1l2 2M0 0l6 6M-1 5l2 2"][index % 5]
    return ""


def _patterns(name: str, layers: list[Places]) -> Markup:
    made = []
    for places in layers:
        if places.layer.geometry != "polygon":
            continue
        for index, look in enumerate(places.looks):
            if lines := pattern_of(places, index):
                made.append(
                    tag(
                        "pattern",
                        tag("path", d="M0 0h6v6h-6z", fill=look.colour),
                        tag("path", d=lines, stroke="#fff", stroke_width=0.9, stroke_opacity=0.75),
                        id=f"{name}-{places.layer.id}-{index}",
                        width=6,
                        height=6,
                        patternUnits="userSpaceOnUse",
                        patternTransform=f"scale({UNITS})",
                    )
                )
    return tag("defs", *made) if made else Markup("")


def _legend(places: Places, name: str) -> Legend:
    layer = places.layer
    entries = []
    for index, look in enumerate(places.looks):
        style = _style(places, index, name)
        if layer.geometry == "line":
            style = {k: v for k, v in style.items() if k != "stroke_linecap"}
            mark = tag("path", d="M1 9h32", fill="none", **_unscaled(style))
        elif layer.geometry == "polygon":
            mark = tag("path", d="M2 2h30v12h-30z", stroke="#5b6470", stroke_width=0.75, **style)
        else:
            shape = index if not places.measured and layer.scale else 0
            mark = tag("path", d=marker(shape, 3 + 6 * look.weight), transform="translate(17 9)", **style)
        swatch = tag("svg", mark, class_="swatch", viewBox="0 0 34 18", aria_hidden="true", focusable="false")
        arrow = {"less": "▼ ", "more": "▲ "}.get(look.sign, "")
        entries.append(Entry(swatch, arrow + look.label, write_number(places.counts[index], 0)))
    return Legend(layer.title, write_unit(layer.unit), entries)


def _unscaled(style: dict[str, object]) -> dict[str, object]:
    plain = dict(style)
    plain["stroke_width"] = float(str(style["stroke_width"])) / UNITS
    if style.get("stroke_dasharray"):
        plain["stroke_dasharray"] = " ".join(short(float(d) / UNITS) for d in str(style["stroke_dasharray"]).split())
    return plain
