"""Geometry of streets, buildings and places; footprint areas on the ellipsoid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from .scan import Feature, Point

_GEOD = pyproj.Geod(ellps="WGS84")


def make_polygon(feature: Feature) -> tuple[shapely.Geometry | None, bool]:
    """(polygon or multipolygon, whether it had to be mended), None where no area can be made.

    Rings are told apart by the even-odd rule, not by the roles of a relation, which are often
    absent or wrong (OpenStreetMap wiki, "Relation:multipolygon").
    """
    if not feature.complete:
        return None, False
    if len(feature.lines) == 1:
        line = feature.lines[0]
        if len(line) < 4 or line[0] != line[-1]:
            return None, False
        polygon = shapely.Polygon(line)
        if shapely.is_valid(polygon):
            return (polygon, False) if polygon.area > 0 else (None, False)
        return _areas_of(shapely.make_valid(polygon)), True
    built = shapely.build_area(shapely.MultiLineString([line for line in feature.lines if len(line) > 1]))
    if built.is_empty:
        return None, False
    closed = _ends_meet(feature.lines)
    if shapely.is_valid(built):
        return built, not closed
    return _areas_of(shapely.make_valid(built)), True


def _areas_of(shape: shapely.Geometry) -> shapely.Geometry | None:
    """The polygons of a mended shape; lines and points that mending left over are no area."""
    pieces = shapely.get_parts(shapely.get_parts(shape))
    parts = [p for p in pieces if p.geom_type == "Polygon" and p.area > 0]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _ends_meet(lines: list[list[Point]]) -> bool:
    ends: dict[Point, int] = {}
    for line in lines:
        for end in (line[0], line[-1]):
            ends[end] = ends.get(end, 0) + 1
    return all(count % 2 == 0 for count in ends.values())


def make_line(feature: Feature) -> shapely.LineString | None:
    """The known part of a way; None where fewer than two different nodes are in the file."""
    line = feature.lines[0]
    return shapely.LineString(line) if len(set(line)) > 1 else None


def make_point(feature: Feature) -> shapely.Point | None:
    """A node's place, a point inside an area, or the middle of a line."""
    if feature.id.startswith("node/"):
        return shapely.Point(feature.lines[0][0])
    area, _ = make_polygon(feature)
    if area is not None:
        return shapely.point_on_surface(area)
    lines = [line for line in feature.lines if len(set(line)) > 1]
    if not lines:
        return None
    longest = max((shapely.LineString(line) for line in lines), key=lambda line: line.length)
    return shapely.line_interpolate_point(longest, 0.5, normalized=True)


def measure_areas(shapes: NDArray[Any]) -> NDArray[np.float64]:
    """Square metres of each polygon on the WGS 84 ellipsoid, holes left out."""
    areas = np.zeros(len(shapes))
    for row, shape in enumerate(shapes):
        for part in shapely.get_parts(shape):
            rings = [part.exterior, *part.interiors]
            sizes = [_ring_area(ring) for ring in rings]
            areas[row] += sizes[0] - sum(sizes[1:])
    return areas


def _ring_area(ring: shapely.LinearRing) -> float:
    lon, lat = shapely.get_coordinates(ring).T
    area, _ = _GEOD.polygon_area_perimeter(lon, lat)
    return abs(float(area))
