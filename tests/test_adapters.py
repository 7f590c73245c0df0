"""Rename, unit and CRS: what stands between two ports loses nothing, or is refused."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ldt_core.adapters import Adapter, CrsStep, crs_step, degrees, reproject, same_crs, within
from ldt_core.errors import InputError, WiringError
from ldt_core.tables import Port, Table, geometry, text

UTM32 = "EPSG:25832"
BOLOGNA = (680_000.0, 4_920_000.0, 695_000.0, 4_935_000.0)


def places(*points: tuple[float, float] | None) -> Table:
    shapes = np.empty(len(points), object)
    shapes[:] = [None if p is None else shapely.Point(p) for p in points]
    return Table({"id": [f"p{i}" for i in range(len(points))], "g": shapes})


def test_an_adapter_with_nothing_to_do_hands_on_the_table() -> None:
    table = places((1, 2))
    assert Adapter().identity
    assert Adapter().apply(table) is table


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1),
    st.sampled_from([(3.6, 0.0), (1.0, 273.15), (5 / 9, -160 / 9)]),
)
def test_units_change_by_gain_and_offset_and_gaps_stay(
    values: list[float], step: tuple[float, float]
) -> None:
    mask = np.arange(len(values)) % 2 == 1
    table = Table({"speed": values, "other": np.zeros(len(values))}, {"speed": mask})
    got = Adapter({"speed": "v"}, {"v": step}).apply(table)
    assert got.names == ["v", "other"]
    assert got["v"][~mask].tolist() == [v * step[0] + step[1] for v in np.array(values)[~mask]]
    assert (got.mask("v") == mask).all()


def test_a_place_comes_out_where_proj_puts_it() -> None:
    step = crs_step("EPSG:4258", UTM32, BOLOGNA, "here")
    assert step is not None
    assert (step.accuracy, "UTM zone 32N" in step.operation) == (0.0, True)
    got = Adapter(crs=step, geometry="g").apply(places((11.34, 44.49), (11.35, 44.5)))["g"]
    # IOGP: on the central meridian of zone 32 the easting is 500 km; scale 0.9996 on the northing.
    centre = reproject(places((9.0, 0.0)), "g", step)["g"][0]
    assert (centre.x, centre.y) == (pytest.approx(500_000.0, abs=1e-6), pytest.approx(0.0, abs=1e-6))
    back = pyproj.Transformer.from_crs(UTM32, "EPSG:4258", always_xy=True)
    assert back.transform(got[0].x, got[0].y) == (
        pytest.approx(11.34, abs=1e-9),
        pytest.approx(44.49, abs=1e-9),
    )


def test_missing_places_stay_missing() -> None:
    step = crs_step("EPSG:4258", UTM32, BOLOGNA, "here")
    table = places((11.3, 44.5), None).with_mask("g", [False, True])
    got = Adapter(crs=step, geometry="g").apply(table)
    assert got["g"][1] is None
    assert got.mask("g").tolist() == [False, True]


def test_the_same_crs_under_another_name_needs_no_step() -> None:
    assert crs_step(UTM32, UTM32, BOLOGNA, "here") is None
    assert crs_step("EPSG:4326", "OGC:CRS84", None, "here") is None
    assert same_crs("EPSG:4326", "OGC:CRS84")
    assert crs_step(pyproj.CRS(UTM32).to_json(), UTM32, BOLOGNA, "here") is None


def test_an_operation_that_leaves_the_datum_out_is_refused() -> None:
    """PROJ would shift DHDN to ETRS89 by nothing at all, some hundred metres off, and call it -1."""
    with pytest.raises(WiringError) as caught:
        crs_step("EPSG:4314", UTM32, BOLOGNA, "twin.yaml:3:1")
    assert (caught.value.code, caught.value.where) == ("CRS accuracy", "twin.yaml:3:1")
    assert "grid" in caught.value.fix


def test_an_operation_that_is_metres_off_is_refused() -> None:
    with pytest.raises(WiringError, match=r"accurate to [0-9.]+ m only") as caught:
        crs_step("EPSG:4230", "EPSG:4326", (9.0, 45.0, 12.0, 46.0), "here")
    assert caught.value.code == "CRS accuracy"


def test_a_crs_that_nobody_knows() -> None:
    for source, target in [("EPSG:999999", UTM32), (UTM32, "nonsense")]:
        with pytest.raises(WiringError, match="no CRS that PROJ knows") as caught:
            crs_step(source, target, None, "here")
        assert (caught.value.code, caught.value.where) == ("CRS missing", "here")


def test_the_area_is_given_in_degrees_whatever_the_target() -> None:
    area = degrees(BOLOGNA, UTM32)
    assert area is not None
    assert area == (
        pytest.approx(11.26, abs=0.01),
        pytest.approx(44.41, abs=0.01),
        pytest.approx(11.45, abs=0.01),
        pytest.approx(44.55, abs=0.01),
    )
    step = crs_step(UTM32, "EPSG:4258", BOLOGNA, "here", bbox_crs=UTM32)
    assert step is not None
    assert step.area == area


def test_a_place_that_the_target_cannot_show_is_refused() -> None:
    step = CrsStep("EPSG:4258", UTM32, None)
    with pytest.raises(InputError, match="row 1 lies outside") as caught:
        reproject(places((9, 45), (200, 99)), "g", step)
    assert caught.value.code == "coverage gap"


PORT = Port(
    {"id": text(), "g": geometry("Point", crs="EPSG:4258", nulls=True)}, entity="place", id="id", at="start"
)


def test_only_what_meets_the_box_is_kept() -> None:
    table = places((11.34, 44.49), (12.5, 41.9), (200, 99), None)
    got = within(table, PORT, UTM32, BOLOGNA)
    assert list(got["id"]) == ["p0"]
    own = Port({"id": text(), "g": geometry("Point")}, entity="place", id="id", at="start")
    inside = places((685_000.0, 4_925_000.0), (680_000.0, 4_920_000.0), (679_999.0, 4_920_000.0))
    assert list(within(inside, own, UTM32, BOLOGNA)["id"]) == ["p0", "p1"]
    plain = Table({"id": ["a"]})
    assert within(plain, Port({"id": text()}), UTM32, BOLOGNA) is plain
