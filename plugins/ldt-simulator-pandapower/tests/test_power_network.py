"""Where a network is, and what is said of it."""

from __future__ import annotations

import numpy as np
import pandapower
import pytest
import shapely
from ldt_simulator_pandapower.source import PowerNetwork

import ldt_core as ldt

pytestmark = pytest.mark.filterwarnings("ignore:.*tap_dependency_table:DeprecationWarning")


def read(source: PowerNetwork) -> ldt.Tables:
    _, outputs = source.ports()
    return {n: ldt.check(t, outputs[n], n) for n, t in source.read(ldt.Query()).items()}


def test_oberrhein_lies_where_it_is() -> None:
    source = PowerNetwork({"network": "mv_oberrhein"})
    tables = read(source)
    assert (len(tables["buses"]), len(tables["lines"]), len(tables["transformers"])) == (179, 181, 2)
    west, south, east, north = shapely.total_bounds(tables["lines"]["geometry"])
    assert 7.7 < west < east < 8.0
    assert 48.3 < south < north < 48.5
    port = source.ports()[1]["lines"]
    assert port.columns["geometry"].crs == "OGC:CRS84"
    assert port.synthetic is None
    assert port.licence == "BSD-3-Clause"


def test_a_moved_grid_fits_its_square_and_is_called_synthetic() -> None:
    place = {"x": 385950.0, "y": 6672300.0, "width": "2 km"}
    source = PowerNetwork({"network": "mv_oberrhein", "place": place})
    shapes = np.concatenate([t["geometry"] for t in read(source).values()])
    west, south, east, north = shapely.total_bounds(shapes)
    assert max(east - west, north - south) == pytest.approx(2000)
    assert ((west + east) / 2, (south + north) / 2) == pytest.approx((385950, 6672300))
    port = source.ports()[1]["buses"]
    assert port.columns["geometry"].crs == "twin"
    assert "not the city's own" in (port.synthetic or "")


def test_a_scheme_has_no_crs_and_a_network_without_places_has_no_geometry() -> None:
    scheme = PowerNetwork({"network": "create_cigre_network_mv"})
    assert scheme.ports()[1]["buses"].columns["geometry"].crs is None
    assert "scheme" in (scheme.ports()[1]["buses"].synthetic or "")
    assert not read(scheme)["lines"].mask("geometry").any()
    bare = read(PowerNetwork({"network": "example_multivoltage"}))
    assert bare["buses"].mask("geometry").all()
    assert bare["transformers"]["transformer"].tolist()[-1] == "3w-0"


def test_lines_end_at_their_buses() -> None:
    tables = read(PowerNetwork({"network": "create_cigre_network_mv"}))
    at = dict(zip(tables["buses"]["bus"], tables["buses"]["geometry"], strict=True))
    for a, b, line in zip(*(tables["lines"][c] for c in ("from_bus", "to_bus", "geometry")), strict=True):
        assert line.coords[0] == at[a].coords[0]
        assert line.coords[-1] == at[b].coords[0]


def test_the_kerber_networks_are_drawn_alike_each_time() -> None:
    one, two = (read(PowerNetwork({"network": "create_kerber_dorfnetz"})) for _ in range(2))
    assert {n: t.digest for n, t in one.items()} == {n: t.digest for n, t in two.items()}


def test_its_version_is_pandapowers() -> None:
    assert PowerNetwork({"network": "case9"}).version(ldt.Query()) == f"pandapower {pandapower.__version__}"
