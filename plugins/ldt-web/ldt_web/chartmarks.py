"""What charts are made of: marks with their spread, symbols, colours, the words of an axis."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from ldt_core.scene import Axis, Series

from .colours import CATEGORIES
from .marks import marker
from .svg import short, tag
from .words import is_number, parse_instant, write_unit

BASE = "#3f4852"  # the first series, the baseline, stands back in grey


@dataclass(frozen=True)
class Mark:
    """A value with its spread at a place on the x axis: a position, or the index of a category."""

    x: float
    y: float
    low: float | None
    high: float | None


def colour_of(index: int, count: int) -> str:
    return BASE if index == 0 and count > 1 else CATEGORIES[(index - (count > 1)) % len(CATEGORIES)]


def position(x: float | str, axis: Axis) -> float | None:
    if axis.kind == "instant":
        moment = parse_instant(x)
        return moment.timestamp() if moment else None
    return float(x) if is_number(x) else None


def is_drawable(value: object) -> bool:
    """Whether an axis can hold ``value``: a number whose distance to others is still a number."""
    return is_number(value) and (value == 0 or 1e-200 < abs(value) < 1e200)  # type: ignore[arg-type]


def marks_of(series: Series, places: dict[str, float] | None, axis: Axis | None = None) -> list[Mark | None]:
    """Marks in the order of x; None where a value is missing, so that lines break there."""
    nothing = [None] * len(series.y)
    found: list[Mark | None] = []
    for x, y, low, high in zip(
        series.x, series.y, series.low or nothing, series.high or nothing, strict=False
    ):
        at = places[str(x)] if places is not None else position(x, axis) if axis else None
        if at is None or y is None or not is_drawable(y):
            found.append(None)
            continue
        found.append(Mark(at, y, low if is_drawable(low) else None, high if is_drawable(high) else None))
    return found


def reach(marks: list[list[Mark | None]], *, zero: bool) -> tuple[float, float]:
    values = [v for s in marks for m in s if m for v in (m.y, m.low, m.high) if v is not None]
    low, high = min(values), max(values)
    return (min(low, 0.0), max(high, 0.0)) if zero else (low, high)


def axis_title(axis: Axis) -> str:
    unit = write_unit(axis.unit)
    return f"{axis.title} ({unit})" if unit else axis.title


def symbol(index: int, size: float, x: float, y: float, colour: str) -> Markup:
    place = f"translate({short(x, 1)} {short(y, 1)}) scale(.1)"
    return tag("path", d=marker(index, size * 10), transform=place, fill=colour, class_="dot")


def spread(x1: float, y1: float, x2: float, y2: float) -> Markup:
    cap_x, cap_y = (4, 0) if x1 == x2 else (0, 4)
    return tag(
        "path",
        d=f"M{short(x1, 1)} {short(y1, 1)}L{short(x2, 1)} {short(y2, 1)}"
        f"M{short(x1 - cap_x, 1)} {short(y1 - cap_y, 1)}l{2 * cap_x} {2 * cap_y}"
        f"M{short(x2 - cap_x, 1)} {short(y2 - cap_y, 1)}l{2 * cap_x} {2 * cap_y}",
        class_="spread",
    )
