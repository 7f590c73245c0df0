"""Values within a radius, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_model_validation import Nearby
from ldt_model_validation.nearby import make_circle

import ldt_core as ldt

UTM = "EPSG:32632"
X, Y = 684_000.0, 4_929_000.0
# Lengths on the map are 0.9996 to 1.001 of those on the ground in this zone.
LON, LAT = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(X, Y)
SCALE = pyproj.Proj(UTM).get_factors(LON, LAT).meridional_scale


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _run(
    shapes: list[Any], values: dict[str, float], twin: str = UTM, **params: Any
) -> tuple[float, int, float]:
    """(value, count, how many near have no value); shapes are named 0, 1, ... and lie around (X, Y) in metres."""
    start = np.datetime64("2024-02-01T07:00", "us")
    place = {"x": X, "y": Y, "crs": UTM} | params
    model = Nearby(place, ldt.Context(start=start, crs=twin))
    names = [str(i) for i in range(len(shapes))]
    tables = model.compute(
        {
            "places": ldt.Table({"edge": _objects(names), "geometry": _objects(shapes)}),
            "values": ldt.Table({"edge": _objects([*values]), "nox": np.array([*values.values()], float)}),
        }
    )
    table = tables["nearby"]
    assert isinstance(table, ldt.Table)
    ldt.check(table, model.ports()[1]["nearby"], "nearby")
    assert table["time"].tolist() == [start.item()]
    (flag,) = model.context.flags
    return float(table["nox"][0]), int(table["count"][0]), flag.value


def _line(*points: tuple[float, float]) -> shapely.LineString:
    return shapely.LineString([(X + x * SCALE, Y + y * SCALE) for x, y in points])


@given(
    radius=st.floats(10, 500),
    distance=st.floats(-600, 600),
    half=st.floats(1, 2000),
)
@settings(max_examples=60, deadline=None)
def test_a_straight_street_counts_by_its_chord(radius: float, distance: float, half: float) -> None:
    """A line at distance d from the centre has a chord of 2 sqrt(r^2 - d^2)."""
    shapes = [_line((-half, distance), (half, distance)), shapely.Point(X, Y)]
    value, count, _ = _run(shapes, {"0": 1000.0, "1": 0.0}, radius=radius)
    chord = 2 * np.sqrt(max(0.0, radius**2 - distance**2))
    assert value == pytest.approx(
        1000 * min(1.0, chord / (2 * half)), rel=1e-3, abs=0.02 * 1000 / half + 1e-6 * radius
    )
    assert count in (1, 2)


def test_streets_areas_and_points_together() -> None:
    radius = 50.0
    shapes = [
        _line((0, 0), (100, 0)),  # half of it
        _line((-10, -10), (10, 10)),  # all of it
        _line((60, 0), (90, 0)),  # none of it
        shapely.box(X - 100 * SCALE, Y - 100 * SCALE, X + 100 * SCALE, Y + 100 * SCALE),
        shapely.Point(X + 49 * SCALE, Y),
        shapely.Point(X + 51 * SCALE, Y),
    ]
    values = {"0": 10.0, "1": 7.0, "2": 1e6, "3": 400.0, "4": 3.0, "5": 1e6}
    value, count, silent = _run(shapes, values, radius=radius)
    assert value == pytest.approx(10 / 2 + 7 + 400 * np.pi * 50**2 / 200**2 + 3, rel=1e-4)
    assert (count, silent) == (4, 0)


def test_a_mean_is_weighted_by_the_length_inside() -> None:
    shapes = [_line((0, 0), (100, 0)), _line((0, 0), (0, 25))]
    value, _, _ = _run(shapes, {"0": 30.0, "1": 60.0}, radius=50, reduce="mean", cell="mean")
    assert value == pytest.approx((30 * 50 + 60 * 25) / 75, rel=1e-5)


def test_a_radius_that_holds_everything_gives_the_plain_sum() -> None:
    shapes = [_line((i, 0), (i, 100)) for i in range(0, 500, 50)]
    value, count, _ = _run(shapes, {str(i): float(i) for i in range(10)}, radius=5000)
    assert value == pytest.approx(45)
    assert count == 10


def test_rows_of_finer_windows_are_added_and_the_silent_reported() -> None:
    shapes = [_line((0, 0), (10, 0)), _line((0, 0), (0, 10))]
    model_rows = {"0": 4.0, "elsewhere": 99.0}
    assert _run(shapes, model_rows, radius=50) == (pytest.approx(4.0), 2, 1)
    with pytest.raises(ldt.InputError, match="no mean"):
        _run(shapes, {"elsewhere": 1.0}, radius=50, reduce="mean")


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3857", "EPSG:3035", "EPSG:2249"])
def test_the_radius_is_metres_on_the_ground_in_any_projection(crs: str) -> None:
    """Web Mercator stretches lengths by 1.4 here, EPSG:2249 counts in feet, EPSG:3035 is not conformal."""
    lon, lat = (11.32724, 44.49924) if crs != "EPSG:2249" else (-71.06, 42.36)
    circle = make_circle(lon, lat, "EPSG:4326", 75.0, crs)
    edge = shapely.get_coordinates(circle)
    back = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*edge.T)
    n = len(edge)
    _, _, distance = pyproj.Geod(ellps="GRS80").inv(np.full(n, lon), np.full(n, lat), *back)
    assert distance == pytest.approx(75.0, rel=5e-3)


def test_a_point_where_nothing_is_is_refused_with_the_distance() -> None:
    with pytest.raises(ldt.InputError, match=r"nothing lies within 75 m.*nearest is 1000 m away"):
        _run([shapely.Point(X, Y + 1000)], {"0": 1.0})
    with pytest.raises(ldt.InputError, match="no places at all"):
        _run([], {"0": 1.0})


def test_wrong_reference_systems_are_refused() -> None:
    for params, twin, word in [
        ({}, "EPSG:4326", "not in metres"),
        ({"crs": "EPSG:999999"}, UTM, "999999"),
        ({"x": 900.0, "y": 900.0, "crs": "EPSG:4326"}, UTM, "no place"),
    ]:
        with pytest.raises(ldt.ParamError, match=word):
            _run([_line((0, 0), (1, 1))], {"0": 1.0}, twin=twin, **params)


def test_ports_follow_the_parameters() -> None:
    params = {
        "x": 1,
        "y": 2,
        "id": "tree",
        "entity": "tree",
        "value": "dust",
        "unit": "kg",
        "quantity": "x:dust",
    }
    inputs, outputs = Nearby(params).ports()
    assert (inputs["places"].at, inputs["places"].id) == ("start", "tree")
    assert inputs["values"].columns["dust"] == ldt.number("kg", "x:dust", cell="sum", range=(-1e15, 1e15))
    assert outputs["nearby"].columns["dust"] == ldt.number("kg", "x:dust", cell="sum")
