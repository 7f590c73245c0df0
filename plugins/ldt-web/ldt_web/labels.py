"""Labels of the strongest places, so that a map can be read without its colours."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import shapely
from markupsafe import Markup

from .layers import Places
from .paths import UNITS, Frame
from .svg import short, tag
from .words import digits_for, rough_digits, shorten, write_number

LETTER, LINE = 7.4, 15.0  # pixels: mean width of a bold letter in a wide font, height of a line
LONGEST = 22  # letters of a line


@dataclass(frozen=True)
class _Label:
    lines: tuple[str, ...]
    x: float
    y: float  # both as shares of the picture
    lift: int  # pixels from there to the foot of the last line, negative upwards


def place_labels(layers: list[Places], frame: Frame) -> list[Markup]:
    """Names and values of the strongest places: more on a wide picture, few on a phone.

    They are fitted for the least width at which a picture is shown, so that they never collide.
    """
    wanted = [label for places in layers for label in _candidates(places, frame)]
    ratio = frame.height / frame.width
    wide = _fitting(wanted, *((510.0, ratio, 10) if frame.width > 800 else (350.0, ratio, 6)))
    narrow = _fitting(wanted, 280.0, ratio, 4)
    marks = []
    for label in wanted:
        if label not in wide and label not in narrow:
            continue
        shown = None if label in wide and label in narrow else "wide" if label in wide else "narrow"
        first = label.lift - LINE * (len(label.lines) - 1)
        x = f"{short(100 * label.x)}%"
        rest = [tag("tspan", text, x=x, dy=LINE) for text in label.lines[1:]]
        marks.append(
            tag(
                "text",
                label.lines[0],
                *rest,
                x=x,
                y=f"{short(100 * label.y)}%",
                dy=first,
                text_anchor="start" if label.x < 0.2 else "end" if label.x > 0.8 else "middle",
                class_=" ".join(filter(None, ("label", shown))),
            )
        )
    return marks


def _candidates(places: Places, frame: Frame) -> list[_Label]:
    """The strongest first, one for each name; of changes, increases and decreases in turn."""
    if not places.measured or not len(places.shapes):
        return []
    found: dict[str, _Label] = {}
    for row in _rank(places):
        look, name = places.looks[int(places.classes[row])], places.names[row]
        if look.sign == "same" or name in found:
            continue
        shape = places.shapes[row]
        point = (
            shapely.line_interpolate_point(shape, 0.5, normalized=True)
            if shape.geom_type == "LineString"
            else shapely.point_on_surface(shape)
        )
        x, y = point.x / (frame.width * UNITS), point.y / (frame.height * UNITS)
        if not (0.02 < x < 0.98 and 0.08 < y < 0.92):
            continue
        number = float(places.values[row])
        value = write_number(number, min(digits_for(number), rough_digits(number)), sign=places.signed)
        lines = _wrap(name, value)
        lift = 4 + round(LINE * (len(lines) - 1) / 2) if places.layer.geometry == "polygon" else -7
        found[name] = _Label(lines, x, y, lift)
        if len(found) == 24:
            break
    return list(found.values())


def _rank(places: Places) -> list[int]:
    values = places.values
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(-values[known], kind="stable")].tolist()
    if not places.signed:
        return list(order)
    up, down = [r for r in order if values[r] > 0], [r for r in reversed(order) if values[r] < 0]
    return [r for pair in zip_longest(up, down) for r in pair if r is not None]


def _wrap(name: str, value: str) -> tuple[str, ...]:
    """The name in at most two lines, with the value behind it or below."""
    lines = textwrap.wrap(name, LONGEST) or [""]
    if len(lines) > 2:
        lines = [lines[0], shorten(lines[1] + lines[2], LONGEST)]
    if len(lines[-1]) + len(value) > LONGEST + 2:
        return (*lines, value)
    return (*lines[:-1], f"{lines[-1]} {value}".strip())


def _fitting(wanted: list[_Label], width: float, ratio: float, most: int) -> list[_Label]:
    """Labels that lie inside the picture and on no other, the strongest first."""
    taken: list[tuple[float, float, float, float]] = [
        (0, width * ratio - 36, width * 0.3 + 24, width * ratio),
        (width - 36, 0, width, 44),
    ]
    chosen: list[_Label] = []
    for label in wanted:
        length = max(map(len, label.lines), default=0) * LETTER + 6
        x, y = label.x * width, label.y * width * ratio + label.lift
        left = x if label.x < 0.2 else x - length if label.x > 0.8 else x - length / 2
        box = (left, y - LINE * len(label.lines) - 2, left + length, y + 5)
        if left < 2 or left + length > width - 2 or box[1] < 2:
            continue
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            continue
        taken.append(box)
        chosen.append(label)
        if len(chosen) == most:
            break
    return chosen
