"""Geometry as SVG path data: projected to the picture, clipped, simplified to half a pixel, whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

UNITS = 5  # whole numbers per pixel: a fifth of a pixel is below what is seen
Shapes = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """Where a map lies: bounds in its CRS, and the size of the picture in pixels."""

    bounds: tuple[float, float, float, float]
    width: int
    height: int

    @classmethod
    def of(cls, bounds: tuple[float, float, float, float], width: int) -> Frame:
        """A frame round ``bounds``, never flatter than 2:5 nor taller than 8:5.

        Raises ``InputError`` for bounds that are not finite or stand the wrong way round.
        """
        west, south, east, north = bounds
        if not all(map(math.isfinite, bounds)) or east < west or north < south:
            raise ldt.InputError(
                f"map bounds {bounds} are not min x, min y, max x, max y",
                code="bounds",
                fix="give finite bounds in the map's CRS",
            )
        across, up = max(east - west, 1e-9), max(north - south, 1e-9)
        if max(across, up) <= 1e-9:
            across = up = 100.0
        margin = 0.015 * max(across, up)
        across, up = across + 2 * margin, up + 2 * margin
        across, up = max(across, up / 1.6), max(up, across * 0.4)
        x, y = (west + east) / 2, (south + north) / 2
        box = (x - across / 2, y - up / 2, x + across / 2, y + up / 2)
        return cls(box, width, round(width * up / across))

    def project(self, shapes: Shapes) -> Shapes:
        """Shapes in units of the picture, y downwards."""
        west, _, east, north = self.bounds
        scale = self.width * UNITS / (east - west)
        return np.asarray(
            shapely.transform(
                shapes, lambda xy: np.column_stack(((xy[:, 0] - west) * scale, (north - xy[:, 1]) * scale))
            )
        )

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The picture in its own units, with room for the width of lines at its edge."""
        slack = 20 * UNITS
        return (-slack, -slack, self.width * UNITS + slack, self.height * UNITS + slack)


def usable(shapes: Shapes) -> NDArray[np.bool_]:
    """Which shapes exist, are not empty and have finite coordinates only."""
    present = shapely.is_geometry(shapes) & ~shapely.is_empty(shapes)
    finite = np.isfinite(shapely.bounds(shapes)).all(axis=1) & np.isfinite(shapely.area(shapes))
    return np.asarray(present & finite, bool)


def clipped(shapes: Shapes, frame: Frame) -> Shapes:
    """Projected shapes, cut at the frame where they cross it."""
    drawn = frame.project(shapes)
    left, top, right, bottom = frame.box
    edges = shapely.bounds(drawn)
    across = (edges[:, 0] < left) | (edges[:, 1] < top) | (edges[:, 2] > right) | (edges[:, 3] > bottom)
    if across.any():
        drawn[across] = shapely.clip_by_rect(drawn[across], left, top, right, bottom)
    return drawn


def path_data(drawn: Shapes, *, keep: bool = True) -> list[str]:
    """Path data for each projected shape; empty text where nothing is left to draw.

    ``keep`` holds shapes smaller than half a pixel, as what carries a value must.
    """
    simple = shapely.simplify(drawn, UNITS / 2, preserve_topology=keep)
    return [_path(shape) for shape in simple]


def _path(shape: Any) -> str:
    kind = shape.geom_type
    if kind.startswith("Multi") or kind == "GeometryCollection":
        return "".join(_path(part) for part in shape.geoms)
    if kind == "Polygon":
        return "".join(_run(ring, closed=True) for ring in (shape.exterior, *shape.interiors))
    if kind in ("LineString", "LinearRing"):
        return _run(shape, closed=False)
    return ""


def _run(line: Any, *, closed: bool) -> str:
    points = np.rint(shapely.get_coordinates(line)).astype(np.int64)
    if len(points) < 2:
        return ""
    steps = np.diff(points, axis=0)
    steps = steps[(steps != 0).any(axis=1)]
    if closed:
        steps = steps[:-1]
    x, y = points[0]
    if not len(steps):
        return f"M{x} {y}h1" + ("v1z" if closed else "")
    moves = "".join(f"{dx}{dy}" if dy < 0 else f"{dx} {dy}" for dx, dy in _spaced(steps))
    return f"M{x} {y}l{moves}" + ("z" if closed else "")


def _spaced(steps: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Steps with a blank before each x but the first and the negative ones."""
    pairs = [(str(dx), dy) for dx, dy in steps.tolist()]
    return [(dx if i == 0 or dx[0] == "-" else f" {dx}", dy) for i, (dx, dy) in enumerate(pairs)]
