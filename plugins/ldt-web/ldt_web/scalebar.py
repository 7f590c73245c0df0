"""A scale bar that is true on the ground, whatever the map's projection does to lengths."""

from __future__ import annotations

import math

from markupsafe import Markup
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

import ldt_core as ldt

from .paths import Frame
from .svg import short, tag
from .words import write_amount


def ground_width(crs: str, frame: Frame) -> float:
    """Metres on the ground from the left to the right edge, through the middle of the map.

    A CRS without a place on the earth (a local grid) counts as true to scale.
    Raises ``InputError`` for a CRS that PROJ does not know.
    """
    west, south, east, north = frame.bounds
    try:
        system = CRS.from_user_input(crs)
    except CRSError as exc:
        raise ldt.InputError(
            f"'{crs}' is not a coordinate reference system",
            code="CRS",
            fix="give an authority code or PROJJSON",
        ) from exc
    plain = (east - west) * (system.axis_info[0].unit_conversion_factor if system.axis_info else 1.0)
    try:
        to_degrees = Transformer.from_crs(system, "OGC:CRS84", always_xy=True)
        middle = (south + north) / 2
        (one, other), (low, high) = to_degrees.transform([west, east], [middle, middle])
        metres = abs(Geod(ellps="WGS84").inv(one, low, other, high)[2])
    except (ProjError, CRSError, ValueError):
        return plain
    return metres if math.isfinite(metres) and metres > 0 else plain


def nice_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(f * power for f in (5.0, 2.0, 1.0) if f * power <= most * (1 + 1e-9))


def scale_bar(crs: str, frame: Frame) -> Markup:
    width = ground_width(crs, frame)
    length = nice_length(width * 0.28)
    text = write_amount(length / 1000, "km") if length >= 1000 else write_amount(length, "m")
    share = f"{short(100 * length / width)}%"
    return tag(
        "svg",
        tag("line", x2=share, y1=-10, y2=-10, class_="halo"),
        tag("line", x2=share, y1=-10, y2=-10),
        tag("line", y1=-14, y2=-6),
        tag("line", x1=share, x2=share, y1=-14, y2=-6),
        tag("text", text, x=0, y=-18),
        class_="bar",
        x=12,
        y="100%",
        overflow="visible",
    )
