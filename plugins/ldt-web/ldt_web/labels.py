"""Labels of the strongest places, so that a map can be read without its colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from markupsafe import Markup

from .layers import Places
from .paths import UNITS, Frame
from .svg import short, tag
from .words import digits_for, rough_digits, shorten, write_number

FONT, LETTER, LINE = 12, 6.6, 17.0  # pixels: size, mean width of a letter, height of a line


@dataclass(frozen=True)
class _Label:
    text: str
    x: float
    y: float  # both as shares of the picture
    lift: int  # pixels from there to the foot of the text, negative upwards


def place_labels(layers: list[Places], frame: Frame) -> list[Markup]:
    """Names and values of the strongest places: more on a wide picture, few on a phone."""
    wanted = [label for places in layers for label in _candidates(places, frame)]
    ratio = frame.height / frame.width
    wide = _fitting(wanted, frame.width * 0.9, ratio, 9 if frame.width > 800 else 5)
    narrow = _fitting(wanted, 300.0, ratio, 3)
    marks = []
    for label in wanted:
        if label not in wide and label not in narrow:
            continue
        shown = None if label in wide and label in narrow else "wide" if label in wide else "narrow"
        marks.append(
            tag(
                "text",
                label.text,
                x=f"{short(100 * label.x)}%",
                y=f"{short(100 * label.y)}%",
                dy=label.lift,
                text_anchor="start" if label.x < 0.2 else "end" if label.x > 0.8 else "middle",
                class_=" ".join(filter(None, ("label", shown))),
            )
        )
    return marks


def _candidates(places: Places, frame: Frame) -> list[_Label]:
    """The strongest first, one for each name."""
    if not places.measured or not len(places.shapes):
        return []
    strength = np.abs(places.values) if places.signed else places.values
    order = np.argsort(-np.nan_to_num(strength, nan=-np.inf), kind="stable")
    found: dict[str, _Label] = {}
    for row in order.tolist():
        if np.isnan(places.values[row]) or len(found) == 24:
            break
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
        lift = 4 if places.layer.geometry == "polygon" else -7
        found[name] = _Label(f"{shorten(name, 22)} {value}".strip(), x, y, lift)
    return list(found.values())


def _fitting(wanted: list[_Label], width: float, ratio: float, most: int) -> list[_Label]:
    """Labels that lie inside the picture and on no other, the strongest first."""
    taken: list[tuple[float, float, float, float]] = [
        (0, width * ratio - 36, width * 0.3 + 24, width * ratio),
        (width - 36, 0, width, 44),
    ]
    chosen: list[_Label] = []
    for label in wanted:
        length, x, y = len(label.text) * LETTER + 6, label.x * width, label.y * width * ratio + label.lift
        left = x if label.x < 0.2 else x - length if label.x > 0.8 else x - length / 2
        box = (left, y - LINE, left + length, y + 4)
        if left < 2 or left + length > width - 2 or y - LINE < 2:
            continue
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            continue
        taken.append(box)
        chosen.append(label)
        if len(chosen) == most:
            break
    return chosen
