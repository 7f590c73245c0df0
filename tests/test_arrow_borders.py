"""Arrow and GeoParquet, read and written by us and by others."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas  # type: ignore[import-untyped]
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio  # type: ignore[import-untyped]
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ldt_core._arrow import read_parquet, table_from_arrow, table_to_arrow, write_geoparquet
from ldt_core.errors import InputError
from ldt_core.tables import Port, Recording, Table, geometry, instant, number, port_from_dict, text

GREEK = ["a", "ä", "", "🚲x", "\x00", "日本", "a"]
SHAPES = [
    shapely.Point(1, 2),
    shapely.LineString([(0, 0), (3, 4)]),
    shapely.box(0, 0, 2, 1),
    shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 7)]),
    shapely.Point(),
    shapely.Point(1, 2, 3),
    shapely.GeometryCollection([shapely.Point(9, 9)]),
]
EVERYTHING = Table(
    {
        "time": np.arange(7).astype("M8[m]"),
        "name": GREEK,
        "flow": [0.0, -0.0, 1.5, np.nan, np.inf, 1e300, -1.0],
        "lanes": np.arange(7),
        "small": np.arange(7, dtype=np.uint8),
        "open": np.arange(7) % 2 == 0,
        "shape": SHAPES,
    }
)
ROADS = Port(
    {
        "time": instant(),
        "name": text(nulls=True, description="What the sign says"),
        "flow": number("{veh}/h", "x:traffic_flow", cell="mean"),
        "shape": geometry(crs="EPSG:25832"),
    }
)


def with_gaps(table: Table) -> Table:
    for shift, name in enumerate(table):
        table = table.with_mask(name, (np.arange(len(table)) + shift) % 3 == 0)
    return table


def through_parquet(table: Table, port: Port | None = None, **options: Any) -> tuple[Table, dict[str, Any]]:
    held = io.BytesIO()
    write_geoparquet(held, table, port, **options)
    held.seek(0)
    return read_parquet(held)


# -- Arrow -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [EVERYTHING, with_gaps(EVERYTHING), EVERYTHING.slice(0, 0)])
@pytest.mark.parametrize("port", [None, ROADS])
def test_a_table_comes_back_from_arrow_and_from_parquet(table: Table, port: Port | None) -> None:
    arrow = table.to_arrow(port)
    arrow.validate(full=True)
    same = table if len(table) else table.drop("shape")  # without rows or port, a shape is any object
    for back in [
        Table.from_arrow(arrow),
        Table.from_arrow(table),
        Table.from_arrow(arrow.to_reader(max_chunksize=2)),
        Table.from_arrow(pa.concat_tables([arrow.slice(0, 3), arrow.slice(3)])),
        through_parquet(table, port)[0],
    ]:
        assert back.names == table.names
        assert back.select(*same.names) == same
        assert [back[n].dtype for n in same] == [same[n].dtype for n in same]
        assert not any(back[n].flags.writeable for n in back)


@given(st.data(), st.integers(0, 20))
def test_any_slice_of_any_text_comes_back(data: st.DataObject, rows: int) -> None:
    words = data.draw(st.lists(st.none() | st.text(), min_size=rows, max_size=rows))
    held = np.empty(rows, object)
    held[:] = words
    mask = data.draw(hnp.arrays(np.bool_, rows))
    table = Table({"w": held, "v": np.arange(rows) / 3}, {"w": mask, "v": ~mask})
    start, stop = sorted(data.draw(st.tuples(st.integers(0, rows), st.integers(0, rows))))
    arrow = table.to_arrow()
    part = arrow.slice(start, stop - start)
    assert Table.from_arrow(part) == table.slice(start, stop)
    coded = part.set_column(0, "w", part.column("w").dictionary_encode())
    assert Table.from_arrow(coded) == table.slice(start, stop)
    assert part.column("w").to_pylist() == [None if m else w for w, m in zip(words, mask)][start:stop]


def test_numbers_and_time_stamps_are_shared_not_copied() -> None:
    arrow = EVERYTHING.to_arrow()
    back = Table.from_arrow(arrow)
    for name in ("time", "flow", "lanes", "small"):
        assert np.shares_memory(back[name], EVERYTHING[name])
        address = arrow.column(name).chunk(0).buffers()[1].address
        assert address == EVERYTHING[name].__array_interface__["data"][0]
    gappy = with_gaps(EVERYTHING).to_arrow()
    assert (
        gappy.column("flow").chunk(0).buffers()[1].address
        == arrow.column("flow").chunk(0).buffers()[1].address
    )
    assert np.shares_memory(Table.from_arrow(arrow.slice(2, 3))["lanes"], EVERYTHING["lanes"])


def test_what_is_missing_reads_as_no_value() -> None:
    back = Table.from_arrow(with_gaps(EVERYTHING).to_arrow())
    for name, blank in [("flow", np.nan), ("time", np.datetime64("NaT")), ("lanes", 0), ("open", False)]:
        assert back.mask(name).any()
        np.testing.assert_array_equal(back[name][back.mask(name)], np.array(blank, back[name].dtype))
    for name in ("name", "shape"):
        assert {type(v) for v in back[name][back.mask(name)]} == {type(None)}


def test_meaning_travels_as_field_metadata() -> None:
    schema = EVERYTHING.to_arrow(ROADS).schema

    def said(name: str) -> dict[bytes, bytes]:
        return schema.field(name).metadata or {}

    assert said("flow") == {b"unit": b"{veh}/h", b"quantity": b"x:traffic_flow", b"cell": b"mean"}
    assert said("name") == {b"description": b"What the sign says"}
    assert said("time") == {}
    assert schema.field("time").type == pa.timestamp("us", "UTC")
    assert said("shape")[b"ARROW:extension:name"] == b"geoarrow.wkb"
    about = json.loads(said("shape")[b"ARROW:extension:metadata"])
    assert about["crs_type"] == "projjson"
    assert pyproj.CRS.from_json_dict(about["crs"]).to_epsg() == 25832


def test_the_twins_crs_is_written_where_it_is_known() -> None:
    port = Port({"shape": geometry(crs="twin")})
    table = EVERYTHING.select("shape")
    for crs, expected in [(None, None), ("EPSG:3857", 3857)]:
        about = json.loads(
            table_to_arrow(table, port, crs=crs).schema.field(0).metadata[b"ARROW:extension:metadata"]
        )
        geo = through_parquet(table, port, crs=crs)[1]["geo"]["columns"]["shape"]
        assert (pyproj.CRS.from_json_dict(about["crs"]).to_epsg() if "crs" in about else None) == expected
        assert (geo["crs"] and pyproj.CRS.from_json_dict(geo["crs"]).to_epsg()) == expected
    with pytest.raises(InputError, match="EPSG:999999"):
        table_to_arrow(table, port, crs="EPSG:999999")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Rome", "+02:00"])
def test_time_stamps_of_any_unit_and_zone_are_instants(unit: str, zone: str) -> None:
    moments = (
        pa.array([0, None, 1_772_427_600], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp(unit, zone))
    )
    table = table_from_arrow(pa.table({"t": moments}))
    assert table["t"].dtype == np.dtype("M8[us]")
    assert table["t"][2] == np.datetime64("2026-03-02T05:00", "us")
    assert table.mask("t").tolist() == [False, True, False]


def test_a_time_stamp_without_a_zone_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError) as caught:
        table_from_arrow(pd.DataFrame({"t": pd.to_datetime(["2026-03-29T02:30"])}))
    assert caught.value.code == "time zone missing"
    assert caught.value.where == "t"
    assert "tz_localize" in caught.value.fix


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (pa.array([1], pa.date32()), "an instant"),
        (pa.array([1], pa.duration("s")), "cast it"),
        (pa.array([[1]]), "cast it"),
        (pa.array([b"x"]), "geoarrow.wkb"),
        (pa.array([1], pa.timestamp("ns", "UTC")), "round them"),
    ],
)
def test_what_no_port_can_carry_is_refused_with_the_remedy(array: pa.Array, says: str) -> None:
    with pytest.raises(InputError) as caught:
        table_from_arrow(pa.table({"v": array}))
    assert caught.value.code == "dtype"
    assert says in caught.value.fix


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Table({"v": np.array([1 + 2j])}).to_arrow(), "dtype"),
        (lambda: Table({"v": ["a", 1]}).to_arrow(), "dtype"),
        (lambda: Table({"v": ["\ud800"]}).to_arrow(), "dtype"),
        (lambda: Table({"v": [shapely.Point(), "a"]}).to_arrow(), "dtype"),
        (lambda: table_from_arrow(42), "shape"),
        (lambda: table_from_arrow(pa.table([pa.array([1]), pa.array([2])], ["a", "a"])), "schema drift"),
        (lambda: table_from_arrow(pd.DataFrame({"v": [1, "a"]})), "dtype"),
        (lambda: read_parquet(io.BytesIO(b"not a parquet file")), "shape"),
        (lambda: read_parquet(io.BytesIO(b"")), "shape"),
    ],
)
def test_what_cannot_pass_the_border_is_refused(make: Any, code: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.code == code


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["x", None], pa.string()),
        pa.array(["x", None], pa.string_view()),
        pa.array(["x", None], pa.dictionary(pa.int8(), pa.string())),
        pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.uint16()), pa.array([None, "x"])),
        pa.DictionaryArray.from_arrays(pa.array([1, None], pa.int32()), pa.array([None, "x"])),
    ],
)
def test_text_in_any_of_arrows_forms_is_text(array: pa.Array) -> None:
    assert table_from_arrow(pa.table({"v": array})) == Table({"v": ["x", None]})
    assert table_from_arrow(pa.record_batch({"v": array})) == Table({"v": ["x", None]})


def test_decimals_and_empty_columns_are_read() -> None:
    table = table_from_arrow(
        pa.table(
            {
                "d": pa.array(["1.5", "2.25"]).cast(pa.decimal128(6, 2)),
                "n": pa.nulls(2),
                "f": np.array([1, 2], np.float32),
            }
        )
    )
    assert table["d"].tolist() == [1.5, 2.25]
    assert table.mask("n").all()
    assert table["f"].dtype == np.float32


# -- other tools, in memory --------------------------------------------------------------------


def test_pandas_and_back() -> None:
    table = EVERYTHING.drop("shape").with_mask("lanes", np.arange(7) == 1)
    frame = pa.table(table).to_pandas(types_mapper=pd.ArrowDtype)
    assert frame["name"].tolist() == GREEK
    assert frame["lanes"].sum() == sum(range(7)) - 1
    assert str(frame["time"].dt.tz) == "UTC"
    assert Table.from_arrow(frame) == table


FRAMES = [
    [shapely.Point(0, 1), None, shapely.Point(2, 3), shapely.Point()],
    [shapely.LineString([(0, 0), (1, 1)]), None, shapely.LineString([(0, 0), (1, 1), (3, 4)])],
    [shapely.box(0, 0, 9, 9).difference(shapely.box(2, 2, 3, 3)), shapely.box(1, 1, 2, 2), None],
    [shapely.MultiPoint([(0, 0), (1, 1)]), shapely.MultiPoint([(4, 4)]), None],
    [shapely.MultiLineString([[(0, 0), (1, 1)], [(2, 2), (3, 3)]]), None],
    [None, shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)])],
]


@pytest.mark.parametrize("shapes", FRAMES)
@pytest.mark.parametrize("layout", ["WKB", "woven", "apart"])
def test_every_layout_of_geometry_that_geopandas_writes_is_read(shapes: list[Any], layout: str) -> None:
    frame = geopandas.GeoDataFrame({"n": range(len(shapes))}, geometry=shapes, crs=25832)
    encoding: Any = "WKB" if layout == "WKB" else "geoarrow"
    arrow = pa.table(frame.to_arrow(geometry_encoding=encoding, interleaved=layout == "woven", index=False))
    expected = Table({"n": range(len(shapes)), "geometry": shapes})
    assert Table.from_arrow(arrow) == expected
    assert Table.from_arrow(arrow.slice(1)) == expected.slice(1, 9)


def test_a_geopandas_frame_as_it_is_names_the_way_in() -> None:
    frame = geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)])
    with pytest.raises(InputError, match="geometry") as caught:
        Table.from_arrow(frame)
    assert "to_arrow()" in caught.value.fix


def test_geopandas_reads_what_we_hand_over() -> None:
    table = with_gaps(EVERYTHING)
    frame = geopandas.GeoDataFrame.from_arrow(table.to_arrow(ROADS))
    assert frame.crs.to_epsg() == 25832
    assert frame.geometry.isna().tolist() == table.mask("shape").tolist()
    assert frame.geometry[1].equals(SHAPES[1])


def test_gdal_writes_what_we_hand_over_and_we_read_what_gdal_hands_over(tmp_path: Path) -> None:
    table = EVERYTHING.select("time", "name", "flow", "shape").take([0, 5, 1])
    table = table.with_mask("name", [False, True, False])
    path = tmp_path / "roads.gpkg"
    pyogrio.write_arrow(
        table.to_arrow(ROADS),
        path,
        driver="GPKG",
        geometry_name="shape",
        geometry_type="Unknown",
        crs="EPSG:25832",
    )
    about, arrow = pyogrio.read_arrow(path)
    back = Table.from_arrow(arrow).rename({about["geometry_name"] or "wkb_geometry": "shape"})
    assert pyproj.CRS(about["crs"]).to_epsg() == 25832
    assert back.select("name", "flow", "shape") == table.select("name", "flow", "shape")


# -- GeoParquet --------------------------------------------------------------------------------


def test_a_geoparquet_file_says_what_the_specification_asks() -> None:
    held = io.BytesIO()
    write_geoparquet(held, with_gaps(EVERYTHING), ROADS, {"made_by": {"run": [1, 2]}})
    file = pq.ParquetFile(held)
    geo = json.loads(file.schema_arrow.metadata[b"geo"])
    column = geo["columns"]["shape"]
    assert geo["version"] == "1.1.0"
    assert geo["primary_column"] == "shape"
    assert column["encoding"] == "WKB"
    assert set(column["geometry_types"]) == {"Point", "LineString", "Polygon", "Point Z"}
    assert pyproj.CRS.from_json_dict(column["crs"]).to_epsg() == 25832
    assert column["covering"]["bbox"]["xmin"] == ["shape_bbox", "xmin"]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    boxes = file.read(["shape_bbox"]).column(0).to_pylist()
    gone = with_gaps(EVERYTHING).mask("shape")
    for shape, box, missing in zip(SHAPES, boxes, gone):
        assert box == (
            None if missing or shape.is_empty else dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds))
        )


def test_the_box_holds_every_shape_and_is_left_out_where_there_is_none() -> None:
    column = through_parquet(EVERYTHING.take([1, 2]), ROADS)[1]["geo"]["columns"]["shape"]
    assert column["bbox"] == [0.0, 0.0, 3.0, 4.0]
    for rows in ([4], []):
        assert "bbox" not in through_parquet(EVERYTHING.take(rows), ROADS)[1]["geo"]["columns"]["shape"]


def test_geopandas_reads_our_file_with_crs_rows_in_order_and_skips_by_box(tmp_path: Path) -> None:
    rows = 1000
    order = np.random.default_rng(1).permutation(rows)
    table = Table({"n": order, "at": shapely.points(order, order)})
    path = tmp_path / "points.parquet"
    write_geoparquet(path, table, Port({"n": number("1", "x:n"), "at": geometry("Point", crs="EPSG:4326")}))
    frame = geopandas.read_parquet(path)
    assert frame["n"].tolist() == order.tolist()
    assert frame.crs.to_epsg() == 4326
    assert list(frame.columns) == ["n", "at"]
    near = geopandas.read_parquet(path, bbox=(10, 10, 20, 20))
    assert sorted(near["n"]) == list(range(10, 21))


@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_we_read_the_file_that_geopandas_writes(encoding: Any, tmp_path: Path) -> None:
    lines = FRAMES[1]
    frame = geopandas.GeoDataFrame({"n": [1, 2, 3]}, geometry=lines, crs=25832)
    path = tmp_path / "lines.parquet"
    frame.to_parquet(path, geometry_encoding=encoding, write_covering_bbox=True, schema_version="1.1.0")
    table, about = read_parquet(path)
    assert table == Table({"n": [1, 2, 3], "geometry": lines})
    assert pyproj.CRS.from_json_dict(about["geo"]["columns"]["geometry"]["crs"]).to_epsg() == 25832


def test_the_port_and_what_else_was_given_stand_in_the_file() -> None:
    table, about = through_parquet(EVERYTHING, ROADS, metadata={"made_by": {"run": [1, 2]}, "note": "ä"})
    assert port_from_dict(about["ldt:port"]) == ROADS
    assert about["made_by"] == {"run": [1, 2]}
    assert about["note"] == "ä"
    assert table == EVERYTHING
    with pytest.raises(ValueError, match="not JSON compliant"):
        through_parquet(EVERYTHING, metadata={"bad": float("nan")})


def test_a_column_named_like_the_box_is_kept() -> None:
    table = EVERYTHING.select("shape").with_columns(shape_bbox=np.arange(7))
    assert through_parquet(table)[0] == table


def test_columns_can_be_read_alone_in_the_order_asked_for() -> None:
    held = io.BytesIO()
    write_geoparquet(held, EVERYTHING)
    held.seek(0)
    assert read_parquet(held, ["open", "flow"])[0] == EVERYTHING.select("open", "flow")
    assert read_parquet(held, ["open", "flow"])[0].names == ["open", "flow"]
    with pytest.raises(InputError, match="'speed' is missing"):
        read_parquet(held, ["speed"])


def test_a_file_in_many_row_groups_is_one_table(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    arrow = with_gaps(EVERYTHING).to_arrow()
    with pq.ParquetWriter(path, arrow.schema) as writer:
        for _ in range(3):
            writer.write_table(arrow, row_group_size=2)
    assert read_parquet(path)[0] == Table.concat([with_gaps(EVERYTHING)] * 3)


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "absent.parquet")


def test_a_recordings_table_and_digest_survive_the_file() -> None:
    recording = Recording.of(ROADS, [(0, 60, EVERYTHING.slice(0, 3)), (60, 120, EVERYTHING.slice(3, 7))])
    again = Recording(ROADS, through_parquet(recording.table, ROADS)[0], recording.windows, recording.offsets)
    assert again.digest == recording.digest


def test_neither_pandas_nor_the_dataset_module_is_imported() -> None:
    """Each costs most of a second, and neither is needed."""
    script = """
import io, os, sys
import numpy as np, shapely
from ldt_core.tables import Table
assert "pyarrow" not in sys.modules
table = Table({"t": np.arange(3).astype("M8[s]"), "w": ["a", None, "b"], "v": [1.0, 2.0, 3.0],
               "b": [True, False, True], "g": [shapely.Point(1, 2)] * 3}, {"v": [True, False, False]})
from ldt_core._arrow import read_parquet, write_geoparquet
held = io.BytesIO()
write_geoparquet(held, table)
held.seek(0)
assert read_parquet(held)[0] == table == Table.from_arrow(table)
heavy = {"pandas", "pyarrow.dataset", "pyarrow.compute", "pyproj"} & set(sys.modules)
assert not heavy, heavy
os._exit(0)  # Arrow's threads may abort an interpreter that winds down
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
