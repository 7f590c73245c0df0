"""Values near a place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import pyproj
import pyproj.exceptions
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

MOST = 1e15
"""Beyond stand the marks of missing values of many formats (1e20, 9.97e36), which are no measurements."""

_QUARTER = 180
"""Segments of a quarter of the circle: its area is right to 1 part in 80 000."""


class Nearby(ldt.Model):
    """What streets, areas or points have within a radius of a point, in every window: one row.

    A street counts by the share of its length inside the circle, an area by the share of its area. With
    ``reduce: sum`` (emissions) the value is the sum of value times share; with ``reduce: mean`` (speeds)
    the mean weighted by the length or area inside. ``count`` is how many reach into the circle. Something
    inside without a value in the window counts nothing and is reported by a flag.

    Values lie within 1e15 of nought: a mark that stands for a missing value is refused.
    The radius is in metres on the ground: it is scaled by the projection's own factor at the point.
    Raises ``InputError`` where nothing lies within the radius, ``ParamError`` for a twin CRS in degrees.
    """

    id = "nearby"
    title = "Values near a place"
    dynamic = True
    validity = {
        "words": "A sum of sources near a place is no concentration there: wind and buildings are not in it."
    }

    class Params(ldt.Params):
        x: float = ldt.Field(description="longitude, or easting, of the point in crs")
        y: float = ldt.Field(description="latitude, or northing, of the point in crs")
        crs: str = ldt.Field("EPSG:4326", description="CRS of x and y, or twin")
        radius: Annotated[float, ldt.unit("m"), ldt.Field(gt=0, le=100_000)] = 75.0
        id: str = ldt.Field("edge", description="id column of both inputs")
        entity: str = ldt.Field("street-edge", description="entity set of both inputs")
        value: str = ldt.Field("nox", description="value column")
        unit: str = "g"
        quantity: str = "x:nox_mass"
        cell: Literal["point", "mean", "sum", "min", "max"] = "sum"
        reduce: Literal["sum", "mean"] = "sum"

    inputs = {"values": ldt.Port({}), "places": ldt.Port({}, at="start")}
    outputs = {"nearby": ldt.Port({})}

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        p: Any = self.params
        value = ldt.number(p.unit, p.quantity, cell=p.cell)
        given = ldt.number(p.unit, p.quantity, cell=p.cell, range=(-MOST, MOST))
        inputs = {
            "values": ldt.Port({p.id: ldt.text(), p.value: given}, entity=p.entity, id=p.id),
            "places": ldt.Port(
                {p.id: ldt.text(), "geometry": ldt.geometry(crs="twin")}, at="start", entity=p.entity, id=p.id
            ),
        }
        columns = {"time": ldt.instant(), p.value: value, "count": ldt.integer("1", "x:count")}
        return inputs, {"nearby": ldt.Port(columns)}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        p: Any = self.params
        places, values = inputs["places"], inputs["values"]
        assert isinstance(places, ldt.Table)
        assert isinstance(values, ldt.Table)
        circle = make_circle(p.x, p.y, p.crs, p.radius, self.context.crs)
        sizes, shares = measure_inside(places["geometry"], circle)
        inside = np.flatnonzero(shares > 0)
        if not len(inside):
            raise ldt.InputError(
                f"nothing lies within {p.radius:g} m of ({p.x:g}, {p.y:g}); {_tell_distance(places, circle)}",
                code="nothing near",
                where="nearby.places",
                fix="correct x, y (longitude, latitude with EPSG:4326), crs or radius",
            )
        weights = shares if p.reduce == "sum" else sizes * shares
        by_id = {places[p.id][row]: float(weights[row]) for row in inside}
        weight = np.array([by_id.get(name, 0.0) for name in values[p.id]], np.float64)
        silent = len(by_id.keys() - set(values[p.id]))
        self.context.flag(
            "nearby_without_value", silent, f"{silent} of {len(by_id)} places near have no value"
        )
        total = float(weight @ values[p.value]) if len(values) else 0.0
        if p.reduce == "mean":
            if weight.sum() == 0:
                raise ldt.InputError(
                    "no place near has a value in this window, so there is no mean",
                    code="nothing near",
                    where="nearby.values",
                    fix="link values for every place, or use reduce: sum",
                )
            total /= float(weight.sum())
        row: dict[str, Any] = {
            "time": np.array([self.context.instant(self.context.window.start)], "datetime64[us]"),
            p.value: np.array([total]),
            "count": np.array([len(inside)], np.int64),
        }
        return {"nearby": ldt.Table(row)}


@cache
def make_circle(x: float, y: float, crs: str, radius: float, twin: str) -> shapely.Polygon:
    """The circle of ``radius`` metres on the ground around a point, in the CRS ``twin``."""
    try:
        target = pyproj.CRS(twin)
        origin = target if crs == "twin" else pyproj.CRS(crs)
    except pyproj.exceptions.CRSError as error:
        raise ldt.ParamError(
            str(error), code="crs", where="nearby.crs", fix="write EPSG:4326 or twin"
        ) from error
    if not target.is_projected:
        raise ldt.ParamError(
            f"the twin's CRS {twin} is not in metres",
            code="crs",
            where="nearby",
            fix="give the twin a projected CRS",
        )
    px, py = pyproj.Transformer.from_crs(origin, target, always_xy=True).transform(x, y)
    if not (np.isfinite(px) and np.isfinite(py)):
        raise ldt.ParamError(
            f"({x:g}, {y:g}) is no place in {crs}",
            code="crs",
            where="nearby.x",
            fix="x is longitude, y latitude",
        )
    lon, lat = pyproj.Transformer.from_crs(target, target.geodetic_crs, always_xy=True).transform(px, py)
    factors = pyproj.Proj(target).get_factors(lon, lat)
    scale = (factors.meridional_scale + factors.parallel_scale) / 2
    metres = target.axis_info[0].unit_conversion_factor
    return shapely.Point(px, py).buffer(radius * scale / metres, quad_segs=_QUARTER)


def measure_inside(
    shapes: NDArray[Any], circle: shapely.Polygon
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(length or area of each shape, 1 for points; the share of it inside ``circle``, from 0 to 1)."""
    sizes, shares = np.ones(len(shapes)), np.zeros(len(shapes))
    shapely.prepare(circle)
    near = np.flatnonzero(shapely.intersects(circle, shapes))
    parts = shapely.intersection(shapes[near], circle)
    dimension = shapely.get_dimensions(shapes)
    for wanted, measure in ((1, shapely.length), (2, shapely.area)):
        chosen = dimension == wanted
        sizes[chosen] = measure(shapes[chosen])
        rows = chosen[near]
        shares[near[rows]] = measure(parts[rows])
    shares[near[dimension[near] == 0]] = 1.0
    return sizes, np.divide(shares, sizes, out=shares, where=sizes > 0)


def _tell_distance(places: ldt.Table, circle: shapely.Polygon) -> str:
    if not len(places):
        return "there are no places at all"
    nearest = float(np.min(shapely.distance(places["geometry"], circle.centroid)))
    return f"the nearest is {nearest:.0f} m away"
