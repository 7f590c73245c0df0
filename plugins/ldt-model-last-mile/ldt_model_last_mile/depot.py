"""Where the vans start: a place in the twin's CRS, in degrees, or a named corner of the network."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pyproj
import shapely

import ldt_core as ldt


class LonLat(ldt.Params):
    """WGS 84, in degrees."""

    lon: Annotated[float, ldt.unit("deg"), ldt.Field(ge=-180, le=180)]
    lat: Annotated[float, ldt.unit("deg"), ldt.Field(ge=-90, le=90)]


class XY(ldt.Params):
    """Coordinates in the twin's CRS, in m."""

    x: Annotated[float, ldt.unit("m")]
    y: Annotated[float, ldt.unit("m")]


class Corner(ldt.Params):
    """A corner of the box around the whole network, closed streets included."""

    corner: Literal["south-west", "south-east", "north-west", "north-east"] = "south-west"


Depot = LonLat | XY | Corner


def locate(depot: Depot, lines: np.ndarray, crs: str) -> shapely.Point:
    """The depot's point in ``crs``; ``lines`` are all streets."""
    if isinstance(depot, LonLat):
        transformer = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        return shapely.Point(*transformer.transform(depot.lon, depot.lat))
    if isinstance(depot, XY):
        return shapely.Point(depot.x, depot.y)
    west, south, east, north = shapely.total_bounds(lines)
    side, end = depot.corner.split("-")
    return shapely.Point(west if end == "west" else east, south if side == "south" else north)
