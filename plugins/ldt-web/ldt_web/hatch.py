"""Hatching of areas as real lines: patterns would make a printed page twenty times as large."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from .paths import UNITS

SPACING = 5.0 * UNITS
ANGLES = (None, 45, 0, 90, 135)  # degrees; the first class of a set stays plain


def hatch(shapes: NDArray[Any], angle: float) -> str:
    """Path data of parallel lines inside ``shapes``, aligned over the whole picture."""
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    sound = np.where(shapely.is_valid(shapes), shapes, shapely.make_valid(shapes))
    turned = shapely.transform(sound, lambda p: p @ np.array([[cos, -sin], [sin, cos]]))
    west, south, east, north = shapely.bounds(turned).T
    first, last = np.ceil(south / SPACING).astype(int), np.floor(north / SPACING).astype(int)
    counts = np.maximum(0, last - first + 1)
    owner = np.repeat(np.arange(len(turned)), counts)
    level = (np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + first[owner]) * SPACING
    ends = np.stack((np.stack((west[owner], level), -1), np.stack((east[owner], level), -1)), axis=1)
    cut = shapely.intersection(turned[owner], shapely.linestrings(ends))
    parts = shapely.get_parts(cut)
    parts = parts[shapely.get_type_id(parts) == 1]
    if not len(parts):
        return ""
    back = shapely.transform(parts, lambda p: p @ np.array([[cos, sin], [-sin, cos]]))
    starts, stops = (
        shapely.get_coordinates(shapely.get_point(back, 0)),
        shapely.get_coordinates(shapely.get_point(back, -1)),
    )
    at = np.rint(starts).astype(np.int64)
    to = np.rint(stops).astype(np.int64) - at
    return "".join(f"M{x} {y}l{dx} {dy}" for (x, y), (dx, dy) in zip(at.tolist(), to.tolist(), strict=True))
