"""A map block as an SVG picture, with its legend and a description in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import shapely
from markupsafe import Markup

from ldt_core.scene import MapBlock

from .bundle import SceneBundle
from .hatch import hatch
from .labels import place_labels
from .layers import Places, read_places
from .legend import Legend, make_legend
from .marks import hatching, marker, marker_size, style_of
from .paths import UNITS, Frame, path_data
from .scalebar import scale_bar
from .svg import join, short, tag
from .words import write_amount, write_number

TOOLTIPS = 3000  # above this many places in a layer, each class is one path and no place has a tooltip
APART = (
    16.0  # pixels between points on average below which their marks shrink: the largest would hide the others
)
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
class MapPicture:
    """The picture, what lies over it (labels, scale bar, north), and what stands below it."""

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
    drawn = [_context(p, shared) if p.layer.role == "context" else _values(p, frame) for p in layers]
    svg = tag(
        "svg",
        tag("title", f"Map: {block.title}", id=f"{name}-title"),
        tag("desc", describe(block, values, context), id=f"{name}-desc"),
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
    legends = [make_legend(p) for p in values if p.layer.scale is not None or p.layer.role == "value"]
    titles = ", ".join(dict.fromkeys(p.layer.title for p in context))
    return MapPicture(svg, over, legends, titles, width, height)


def describe(block: MapBlock, values: list[Places], context: list[Places]) -> str:
    """What the map shows, for who does not see it."""
    sentences = [block.finding]
    for places in values:
        layer = places.layer
        numbers = places.values[~np.isnan(places.values)]
        sentence = f"{layer.title}: {write_number(len(places.shapes), 0)} {places.noun}"
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
        points = _points(places)
        if len(points) > TOOLTIPS:
            return tag("path", d=_dots(points), class_="context-dots", stroke_width=3.2 * UNITS)
        dots = [tag("circle", cx=short(x, 0), cy=short(y, 0), r=1.6 * UNITS) for x, y in points]
        return tag("g", *dots, class_="context-point")
    data = "".join(path_data(places.shapes, keep=False))
    return tag("g", shared.use(data), class_=f"context-{kind}") if data else Markup("")


def _points(places: Places) -> list[tuple[float, float]]:
    if not len(places.shapes):
        return []
    return [(x, y) for x, y in shapely.get_coordinates(shapely.centroid(places.shapes)).tolist()]


def _dots(points: list[tuple[float, float]]) -> str:
    """Path data of lines of no length: with round ends they are dots, of ten characters each."""
    return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in points)


def _values(places: Places, frame: Frame) -> Markup:
    """Classes from the faintest to the strongest, so that the strongest lie on top."""
    order = sorted(range(len(places.looks)), key=lambda i: (places.looks[i].order, i))
    kind = places.layer.geometry
    if kind == "point" and len(places.shapes) > TOOLTIPS:
        return tag("g", *_crowd(places, frame, order))
    marks = _markers(places) if kind == "point" else _paths(places)
    groups = []
    for index in (i for i in order if marks.get(i)):
        groups.append(tag("g", *marks[index], class_=f"value-{kind}", **style_of(places, index)))
        angle = hatching(places, index)
        if angle is not None and (lines := hatch(places.shapes[places.classes == index], angle)):
            groups.append(tag("path", d=lines, class_="hatch"))
    return tag("g", *groups)


def _paths(places: Places) -> dict[int, list[Markup]]:
    data = path_data(places.shapes)
    classes = places.classes.tolist()
    rows = sorted((i for i in range(len(data)) if data[i]), key=lambda i: classes[i])
    groups = {k: list(v) for k, v in groupby(rows, key=lambda i: classes[i])}
    if len(data) > TOOLTIPS:
        return {k: [tag("path", d="".join(data[i] for i in v))] for k, v in groups.items()}
    return {k: [tag("path", _tip(places, i), d=data[i]) for i in v] for k, v in groups.items()}


def _crowd(places: Places, frame: Frame, order: list[int]) -> list[Markup]:
    """One path for each class: dots where numbers are shown, marks of its shape where kinds are; smaller, the more there are."""
    points, classes = _points(places), places.classes.tolist()
    apart = math.sqrt(frame.width * frame.height / len(points))
    shrink = min(1.0, apart / APART)
    groups = []
    for index in order:
        mine = [p for p, c in zip(points, classes, strict=True) if c == index]
        size = marker_size(places.looks[index]) * shrink * UNITS
        if not mine:
            continue
        if places.measured or places.layer.scale is None:
            colour = places.looks[index].colour
            groups.append(
                tag("path", d=_dots(mine), class_="value-dots", stroke=colour, stroke_width=2 * size)
            )
        else:
            data = "".join(marker(index, size, at=(round(x), round(y))) for x, y in mine)
            groups.append(tag("path", d=data, **style_of(places, index)))
    return groups


def _tip(places: Places, row: int) -> Markup:
    text = ": ".join(filter(None, (places.names[row], places.words[row])))
    return tag("title", text) if text else Markup("")


def _markers(places: Places) -> dict[int, list[Markup]]:
    groups: dict[int, list[Markup]] = {}
    for row, (x, y) in enumerate(_points(places)):
        index = int(places.classes[row])
        look = places.looks[index]
        data = marker(index if not places.measured and places.layer.scale else 0, marker_size(look) * UNITS)
        groups.setdefault(index, []).append(
            tag("path", _tip(places, row), d=data, transform=f"translate({short(x, 0)} {short(y, 0)})")
        )
    return groups
