"""How the places of a class are drawn: shapes, widths, dashes, hatching."""

from __future__ import annotations

from .colours import Look
from .hatch import ANGLES
from .layers import Places
from .paths import UNITS
from .svg import short


def marker_size(look: Look) -> float:
    """Pixels from its middle to its edge: larger for more."""
    return 3 + 6 * look.weight


def marker(shape: int, size: float, at: tuple[int, int] = (0, 0)) -> str:
    """Path data of a circle, square, triangle, diamond, or cross of about one area, with its middle ``at`` a point."""
    r = round(size)
    q, s = round(size * 0.88), round(size * 1.25)
    x, y = at
    return [
        f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0-{2 * r} 0z",
        f"M{x - q} {y - q}h{2 * q}v{2 * q}h-{2 * q}z",
        f"M{x} {y - s}l{s} {2 * q}h-{2 * s}z",
        f"M{x} {y - s}l{s} {s}-{s} {s}-{s}-{s}z",
        f"M{x - s} {y - s // 3}h{s - s // 3}v-{s - s // 3}h{2 * (s // 3)}v{s - s // 3}h{s - s // 3}v{2 * (s // 3)}"
        f"h-{s - s // 3}v{s - s // 3}h-{2 * (s // 3)}v-{s - s // 3}h-{s - s // 3}z",
    ][shape % 5]


def line_width(look: Look) -> float:
    """Pixels: wider for more, so that flows can be read without colour."""
    return 1.3 if look.sign == "same" else 1.5 + 4.0 * look.weight


def style_of(places: Places, index: int) -> dict[str, object]:
    look = places.looks[index]
    if places.layer.geometry == "line":
        wide = line_width(look)
        dash = look.dash or (
            f"{short(3 + 2 * wide)} {short(1.6 + 0.5 * wide)}" if look.sign == "less" else None
        )
        return {
            "stroke": look.colour,
            "stroke_width": line_width(look) * UNITS,
            "stroke_dasharray": " ".join(short(float(d) * UNITS) for d in dash.split()) if dash else None,
            "stroke_linecap": "butt" if dash else None,
        }
    if is_missing(places, index):
        return {
            "fill": "#fff",
            "stroke": look.colour,
            "stroke_width": 1.0 * UNITS,
            "stroke_dasharray": f"{2 * UNITS}",
        }
    return {"fill": look.colour}


def hatching(places: Places, index: int) -> float | None:
    """The angle of the hatching of a class of areas: decreases and all categories but the first have one."""
    if places.layer.geometry != "polygon" or is_missing(places, index):
        return None
    if places.looks[index].sign == "less":
        return 45
    return None if places.measured or places.layer.scale is None else ANGLES[index % len(ANGLES)]


def is_missing(places: Places, index: int) -> bool:
    return places.layer.scale is not None and places.looks[index].dash == "1 3"
