"""Small files with known answers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_source_osm import Osm, ldt_data_sources

import ldt_core as ldt

PORTS = ("streets", "buildings", "trees", "places")


class Drawing:
    """An OSM document: nodes get numbers as they come, ways and relations name them."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[float, float], int] = {}
        self.body: list[str] = []
        self.node_tags: dict[int, str] = {}
        self.last = 0

    def node(self, lon: float, lat: float, **tags: str) -> int:
        number = self.nodes.setdefault((lon, lat), len(self.nodes) + 1)
        self.node_tags[number] = self.node_tags.get(number, "") + _tags(tags)
        return number

    def way(self, points: list[tuple[float, float]], missing: int = 0, **tags: str) -> int:
        """A way; ``missing`` more nodes at its end are named that the file does not hold."""
        self.last += 1
        refs = [self.node(*p) for p in points] + [900_000 + i for i in range(missing)]
        inside = "".join(f'<nd ref="{r}"/>' for r in refs)
        self.body.append(f'<way id="{self.last}">{inside}{_tags(tags)}</way>')
        return self.last

    def relation(self, members: list[tuple[int, str]], **tags: str) -> int:
        self.last += 1
        inside = "".join(f'<member type="way" ref="{w}" role="{r}"/>' for w, r in members)
        self.body.append(f'<relation id="{self.last}">{inside}{_tags(tags)}</relation>')
        return self.last

    def write(self, path: Path) -> Path:
        nodes = "".join(
            f'<node id="{n}" lon="{x}" lat="{y}">{self.node_tags[n]}</node>'
            for (x, y), n in self.nodes.items()
        )
        text = f'<?xml version="1.0"?><osm version="0.6">{nodes}{"".join(self.body)}</osm>'
        path.write_text(text, encoding="utf-8")
        return path


def _tags(tags: dict[str, str]) -> str:
    return "".join(f'<tag k="{k.replace("__", ":")}" v="{v}"/>' for k, v in tags.items())


def _box(x: float, y: float, size: float = 0.001) -> list[tuple[float, float]]:
    return [(x, y), (x + size, y), (x + size, y + size), (x, y + size), (x, y)]


def _read(path: Path, **params: Any) -> tuple[dict[str, ldt.Table], dict[str, float]]:
    source = Osm({"file": str(path), **params})
    tables = dict(source.read(ldt.Query()))
    for name, table in tables.items():
        ldt.check(table, source.outputs[name], name)
    return tables, {flag.name: flag.value for flag in source.context.flags}


@pytest.fixture
def draw() -> Drawing:
    return Drawing()


def test_the_plugin_offers_the_source_with_licence_and_credit() -> None:
    (offered,) = ldt_data_sources()
    assert offered is Osm
    assert set(Osm.outputs) == set(PORTS)
    for port in Osm.outputs.values():
        assert (port.licence, port.attribution, port.at) == (
            "ODbL-1.0",
            "© OpenStreetMap contributors",
            "start",
        )
    assert "assumed" in (Osm.outputs["buildings"].synthetic or "")


def test_streets_carry_their_tags(draw: Drawing, tmp_path: Path) -> None:
    line = [(10.0, 50.0), (10.01, 50.0), (10.02, 50.01)]
    one = draw.way(
        line,
        highway="primary",
        name="Straße &amp; Co",
        lanes="2",
        maxspeed="30 mph",
        surface="asphalt",
        oneway="yes",
    )
    back = draw.way(line, highway="residential", oneway="-1", lanes="two", maxspeed="none")
    round_ = draw.way(_box(10.1, 50.0), highway="tertiary", junction="roundabout")
    draw.way(_box(10.2, 50.0), highway="pedestrian", area="yes")
    draw.way(line, railway="tram")
    tables, flags = _read(draw.write(tmp_path / "a.osm"))
    streets = tables["streets"]
    assert list(streets["way"]) == [f"way/{i}" for i in (one, back, round_)]
    assert streets["name"][0] == "Straße & Co"
    assert streets["lanes"][0] == 2
    assert streets["max_speed"][0] == pytest.approx(48.28032)
    assert streets["oneway"].tolist() == [True, True, True]
    for column in ("name", "lanes", "max_speed", "surface"):
        assert streets.mask(column).tolist() == [False, True, True]
    assert list(streets["geometry"][0].coords) == line
    assert list(streets["geometry"][1].coords) == line[::-1], "drawn in the direction of travel"
    assert not flags


def test_a_height_comes_from_the_tag_then_the_levels_then_the_median(draw: Drawing, tmp_path: Path) -> None:
    tags: list[dict[str, str]] = [
        {"height": "12 m", "building__levels": "9"},
        {"building__levels": "2"},
        {"height": "10,5"},
        {},
        {"height": "tall", "building__levels": "many"},
        {"height": "99999"},
    ]
    for i, extra in enumerate(tags):
        draw.way(_box(10 + i * 0.01, 50), building="yes" if i else "school", **extra)
    path = draw.write(tmp_path / "a.osm")
    tables, flags = _read(path, level_height=3.5)
    buildings = tables["buildings"]
    assert buildings["height"].tolist() == [12, 7, 10.5, 10.5, 10.5, 10.5]
    assert list(buildings["height_source"]) == ["height", "levels", "height"] + ["assumed"] * 3
    assert buildings.mask("levels").tolist() == [False, False, True, True, True, True]
    assert flags == {"heights_assumed": 3}
    footprint = [abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(g)[0]) for g in buildings["geometry"]]
    assert buildings["floor_area"] == pytest.approx(np.array(footprint) * [9, 2, 3, 3, 3, 3])
    assert buildings["use"][0] == "school"
    assert buildings.mask("use").tolist() == [False] + [True] * 5
    declared, _ = _read(path, default_height="4 m")
    assert declared["buildings"]["height"].tolist() == [12, 6, 10.5, 4, 4, 4]


def test_where_no_height_is_known_at_all_two_levels_are_assumed(draw: Drawing, tmp_path: Path) -> None:
    draw.way(_box(10, 50), building="yes")
    tables, flags = _read(draw.write(tmp_path / "a.osm"), level_height=2.5)
    assert tables["buildings"]["height"].tolist() == [5.0]
    assert flags == {"heights_assumed": 1}


def test_a_relation_is_one_building_with_its_courtyard(draw: Drawing, tmp_path: Path) -> None:
    outer = _box(10, 50, 0.004)
    parts = [draw.way(outer[:3], building="yes"), draw.way(outer[2:])]
    hole = draw.way(_box(10.001, 50.001, 0.001))
    kiosk = draw.way(_box(10.0012, 50.0012, 0.0002), building="kiosk")
    whole = draw.relation(
        [(parts[0], ""), (parts[1], "outer"), (hole, "outer")], type="multipolygon", building="yes"
    )
    tables, flags = _read(draw.write(tmp_path / "a.osm"), default_height=3.0)
    buildings = tables["buildings"]
    assert list(buildings["building"]) == [f"way/{kiosk}", f"relation/{whole}"]
    shape = buildings["geometry"][1]
    assert shape.geom_type == "Polygon"
    assert len(shape.interiors) == 1, "rings are told apart by where they lie, whatever their roles"
    assert shape.area == pytest.approx(15e-6)
    assert flags["buildings_without_area"] == 1, "the open outer way is no building of its own"


def test_a_building_mapped_twice_counts_once(draw: Drawing, tmp_path: Path) -> None:
    first = draw.way(_box(10, 50), building="yes")
    draw.way(_box(10, 50)[::-1], building="house")
    outer = draw.way(_box(11, 50, 0.004), building="yes")
    inner = draw.way(_box(11.001, 50.001), building="shed")
    whole = draw.relation([(outer, "outer"), (inner, "inner")], type="multipolygon", building="yes")
    tables, flags = _read(draw.write(tmp_path / "a.osm"))
    assert list(tables["buildings"]["building"]) == [f"way/{first}", f"way/{inner}", f"relation/{whole}"]
    assert flags["buildings_repeated"] == 2
    shapes = tables["buildings"]["geometry"]
    assert shapely.intersection(shapes[1], shapes[2]).area == 0, "the shed fills the courtyard"


def test_bow_ties_are_mended_and_degenerate_outlines_left_out(draw: Drawing, tmp_path: Path) -> None:
    draw.way([(10, 50), (10.001, 50.001), (10.001, 50), (10, 50.001), (10, 50)], building="yes")
    draw.way([(11, 50), (11.001, 50), (11.002, 50), (11, 50)], building="yes")
    draw.way([(12, 50), (12.001, 50), (12, 50)], building="yes")
    draw.way(_box(13, 50)[:4], building="yes")
    draw.way(_box(14, 50)[:4], missing=1, building="yes")
    draw.way(_box(15, 50), building="no")
    tables, flags = _read(draw.write(tmp_path / "a.osm"))
    (shape,) = tables["buildings"]["geometry"]
    assert shapely.is_valid(shape)
    assert shape.area == pytest.approx(0.5e-6)
    assert flags["buildings_mended"] == 1
    assert flags["buildings_without_area"] == 4


def test_streets_cut_by_the_edge_of_the_file_keep_what_is_known(draw: Drawing, tmp_path: Path) -> None:
    draw.way([(10, 50), (10.1, 50)], missing=2, highway="service")
    draw.way([(11, 50)], missing=1, highway="service")
    tables, flags = _read(draw.write(tmp_path / "a.osm"))
    assert [g.length for g in tables["streets"]["geometry"]] == [pytest.approx(0.1)]
    assert flags == {"streets_without_nodes": 1, "streets_cut": 1}


def test_trees_and_places(draw: Drawing, tmp_path: Path) -> None:
    draw.node(10, 50, natural="tree", height="40'")
    draw.node(10, 51, natural="tree")
    draw.node(10, 52, natural="peak")
    draw.node(11, 50, shop="bakery", name="Brot", amenity="cafe")
    area = draw.way(_box(12, 50), amenity="school", building="school")
    draw.way([(13, 50), (13.2, 50)], tourism="attraction")
    draw.node(14, 50, craft="potter")
    path = draw.write(tmp_path / "a.osm")
    tables, _ = _read(path)
    assert tables["trees"]["height"][0] == pytest.approx(12.192)
    assert tables["trees"].mask("height").tolist() == [False, True]
    places = tables["places"]
    assert list(places["category"]) == ["amenity=cafe", "amenity=school", "tourism=attraction"]
    assert places["name"][0] == "Brot"
    assert places["poi"][1] == f"way/{area}"
    assert shapely.Polygon(_box(12, 50)).contains(places["geometry"][1])
    assert list(places["geometry"][2].coords) == [(pytest.approx(13.1), 50.0)]
    crafts, _ = _read(path, place_keys=["craft"])
    assert list(crafts["places"]["category"]) == ["craft=potter"]


def test_every_file_format_gives_the_same_rows(draw: Drawing, tmp_path: Path) -> None:
    draw.node(10, 50, natural="tree", amenity="bench")
    draw.way([(10.5, 50.25), (10.75, 50.5)], highway="path")
    draw.way(_box(11, 50), building="yes")
    path = draw.write(tmp_path / "a.osm")
    (tmp_path / "b.osm.gz").write_bytes(gzip.compress(path.read_bytes()))
    with osmium.SimpleWriter(str(tmp_path / "c.osm.pbf")) as writer:
        for item in osmium.FileProcessor(str(path)):
            writer.add(item)
    expected, _ = _read(path)
    for name in ("b.osm.gz", "c.osm.pbf"):
        other, _ = _read(tmp_path / name)
        assert {n: t.digest for n, t in other.items()} == {n: t.digest for n, t in expected.items()}


def test_only_what_is_asked_for_is_read(draw: Drawing, tmp_path: Path) -> None:
    draw.way([(10, 50), (10.1, 50)], highway="path")
    draw.node(10, 50, natural="tree")
    source = Osm({"file": str(draw.write(tmp_path / "a.osm"))})
    assert {n: len(t) for n, t in dict(source.read(ldt.Query(outputs=("trees",)))).items()} == {"trees": 1}


def test_a_port_that_is_not_there_is_refused_and_none_asked_for_is_nothing(
    draw: Drawing, tmp_path: Path
) -> None:
    draw.node(10, 50, natural="tree")
    source = Osm({"file": str(draw.write(tmp_path / "a.osm"))})
    with pytest.raises(ldt.InputError, match="no port 'roofs'"):
        source.read(ldt.Query(outputs=("trees", "roofs")))
    assert source.read(ldt.Query(outputs=())) == {}


def test_a_file_without_any_of_it_gives_empty_tables(draw: Drawing, tmp_path: Path) -> None:
    draw.way([(10, 50), (10.1, 50)], railway="rail")
    tables, flags = _read(draw.write(tmp_path / "a.osm"))
    assert {name: len(table) for name, table in tables.items()} == dict.fromkeys(PORTS, 0)
    assert not flags


DAMAGED = {
    "empty": (b"", "empty"),
    "cut": (
        b'<?xml version="1.0"?><osm version="0.6"><node id="1" lat="1" lon="2"/><node id="2',
        "OpenStreetMap",
    ),
    "page": (b"<html><body>Too many requests</body></html>", "OpenStreetMap"),
    "nothing": (b'<?xml version="1.0"?><osm version="0.6"></osm>', "no OpenStreetMap objects"),
    "words": (b'<?xml version="1.0"?><osm version="0.6"><node id="1" lat="north" lon="2"/></osm>', "north"),
    "globe": (
        b'<?xml version="1.0"?><osm version="0.6"><node id="1" lat="95" lon="2">'
        b'<tag k="natural" v="tree"/></node></osm>',
        "outside the globe",
    ),
    "order": (
        b'<?xml version="1.0"?><osm version="0.6"><way id="5"><nd ref="1"/><nd ref="2"/><tag k="highway" '
        b'v="path"/></way><node id="1" lat="1" lon="2"/><node id="2" lat="1" lon="3"/></osm>',
        "positions of its nodes",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_with_place_and_remedy(case: str, tmp_path: Path) -> None:
    content, word = DAMAGED[case]
    path = tmp_path / "a.osm"
    path.write_bytes(content)
    with pytest.raises(ldt.InputError, match=word) as caught:
        _read(path)
    assert str(path) in caught.value.where
    assert caught.value.fix


def test_a_missing_file_a_table_and_a_cut_pbf_are_refused(draw: Drawing, tmp_path: Path) -> None:
    with pytest.raises(ldt.NotFound, match="no such file"):
        _read(tmp_path / "none.osm")
    table = tmp_path / "a.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ldt.InputError, match="OpenStreetMap"):
        _read(table)
    for i in range(500):
        draw.way(_box(10 + i * 0.01, 50), building="yes", name=f"house {i * 7919 % 1000}")
    whole = tmp_path / "whole.osm.pbf"
    with osmium.SimpleWriter(str(whole)) as writer:
        for item in osmium.FileProcessor(str(draw.write(tmp_path / "a.osm"))):
            writer.add(item)
    cut = tmp_path / "cut.osm.pbf"
    cut.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(ldt.InputError, match="OpenStreetMap"):
        _read(cut)


def test_a_change_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.osc"
    path.write_text(
        '<osmChange version="0.6"><delete><node id="1" version="2" lat="5" lon="2"/></delete></osmChange>'
    )
    with pytest.raises(ldt.InputError, match="history or change"):
        _read(path)


def test_reading_stops_when_the_run_is_cancelled(draw: Drawing, tmp_path: Path) -> None:
    for i in range(20_000):
        draw.node(i / 1000, 50, natural="tree")
    source = Osm({"file": str(draw.write(tmp_path / "a.osm"))}, ldt.Context(cancelled=lambda: True))
    with pytest.raises(ldt.Cancelled):
        source.read(ldt.Query())


@given(
    lon=st.floats(-179, 178).map(lambda v: round(v, 4)),
    lat=st.floats(-80, 80).map(lambda v: round(v, 4)),
    size=st.sampled_from([0.0002, 0.001, 0.005]),
    levels=st.integers(1, 300),
)
@settings(max_examples=25, deadline=None)
def test_floor_area_is_the_footprint_on_the_ellipsoid_times_levels(
    tmp_path_factory: pytest.TempPathFactory, lon: float, lat: float, size: float, levels: int
) -> None:
    """Against another way of measuring: an equal-area projection centred on the building."""
    draw = Drawing()
    draw.way(_box(lon, lat, size), building="yes", building__levels=str(levels))
    tables, _ = _read(draw.write(tmp_path_factory.mktemp("osm") / "a.osm"))
    (shape,) = tables["buildings"]["geometry"]
    flat = pyproj.Transformer.from_crs("EPSG:4326", f"+proj=laea +lon_0={lon} +lat_0={lat}", always_xy=True)
    xy = np.column_stack(flat.transform(*shapely.get_coordinates(shape).T))
    assert tables["buildings"]["floor_area"][0] == pytest.approx(shapely.Polygon(xy).area * levels, rel=1e-5)
