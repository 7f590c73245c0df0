"""What comes out of a CSV file, and what is refused with its place."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_source_csv import Csv, ldt_data_sources
from pydantic import ValidationError

import ldt_core as ldt

Reader = Callable[..., ldt.Table]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Writes the text to data.csv and reads it; the port must hold what comes out."""

    def read_it(content: str | bytes, **params: Any) -> ldt.Table:
        path = tmp_path / "data.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return _read(path, **params)

    return read_it


def _read(path: Path, **params: Any) -> ldt.Table:
    source = Csv({"file": ldt.File(path.name, path.parent), **params})
    _, outputs = source.ports()
    tables = source.read(ldt.Query())
    assert isinstance(tables, dict)
    table = tables["rows"]
    checked = ldt.check(table, outputs["rows"], "csv.rows")
    assert isinstance(checked, ldt.Table)
    return checked


def _utc(*stamps: str) -> list[np.datetime64]:
    return [np.datetime64(s, "us") for s in stamps]


NUMBER = {"kind": "number"}


def test_the_plugin_offers_the_source() -> None:
    assert ldt_data_sources() == [Csv]
    assert Csv.dynamic


def test_the_port_says_what_the_twin_file_stated(tmp_path: Path) -> None:
    source = Csv(
        {
            "file": str(tmp_path / "not-yet-there.csv"),
            "time": {"column": "when", "zone": "Europe/Rome"},
            "columns": {
                "count": {
                    "from": "n",
                    "unit": "{veh}",
                    "quantity": "x:vehicle_count",
                    "cell": "sum",
                    "range": [0, 9999],
                },
                "lane": {"kind": "integer"},
                "loop": {},
                "open": {"kind": "number"},
            },
            "point": {"x": "lon", "y": "lat"},
            "entity": "loop",
            "id": "loop",
            "step": "1h",
            "licence": "CC-BY-4.0",
        }
    )
    port = source.ports()[1]["rows"]
    assert list(port.columns) == ["time", "count", "lane", "loop", "open", "geometry"]
    assert port.columns["time"] == ldt.instant(zone="Europe/Rome")
    assert port.columns["count"] == ldt.number("{veh}", "x:vehicle_count", cell="sum", range=(0, 9999))
    assert port.columns["lane"] == ldt.integer()
    assert port.columns["open"].unit is None, "what is not said stays open, for columns: in the twin file"
    assert port.columns["geometry"] == ldt.geometry("Point", crs="EPSG:4326")
    assert (port.entity, port.id, port.step, port.licence) == ("loop", "loop", "1h", "CC-BY-4.0")


def test_without_columns_every_column_is_text(read: Reader) -> None:
    table = read("a;b\n1;\n007;x y\n")
    assert table["a"].tolist() == ["1", "007"]
    assert table.mask("b").tolist() == [True, False]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_byte_order_mark_and_separator_are_found(read: Reader, separator: str) -> None:
    text = separator.join(["name", '"x,;|\ty"', "z"]) + "\n" + separator.join(["è", "1", "2"]) + "\n"
    table = read(b"\xef\xbb\xbf" + text.encode())
    assert table.names == ["name", "x,;|\ty", "z"]
    assert table["name"].tolist() == ["è"]


def test_other_encodings_are_stated(read: Reader) -> None:
    content = "città;n\nCefalù;1\n".encode("cp1252")
    with pytest.raises(ldt.InputError, match="utf-8") as caught:
        read(content)
    assert "encoding" in caught.value.fix
    assert read(content, encoding="cp1252")["città"].tolist() == ["Cefalù"]
    assert read("a,b\nü,1\n".encode("utf-16"), encoding="utf-16")["a"].tolist() == ["ü"]
    late = b"a,b\n" + b"x,1\n" * 200_000 + "é,1\n".encode("latin-1")
    with pytest.raises(ldt.InputError, match="utf-8"):
        read(late)
    with pytest.raises(ldt.InputError, match="ascii"):
        read("a,b\n" + "x,1\n" * 100_000 + "é,1\n", encoding="ascii")


def test_files_without_header_and_with_lines_around_it(read: Reader) -> None:
    assert read("1;2\n3;4\n", names=["a", "b"])["b"].tolist() == ["2", "4"]
    text = "exported by a tool\n\na;b\n[m];[s]\n1;2\n"
    table = read(text, skip_rows=2, skip_after_header=1, columns={"a": NUMBER})
    assert table["a"].tolist() == [1.0]
    with pytest.raises(ldt.ParamError, match="names lists 1 columns and the first line has 2"):
        read("1;2\n", names=["a"])


def test_decimal_and_thousands_signs(read: Reader) -> None:
    table = read(
        "a;b\n1.234,5;-0,25\n12;1e3\n", decimal=",", thousands=".", columns={"a": NUMBER, "b": NUMBER}
    )
    assert table["a"].tolist() == [1234.5, 12]
    assert table["b"].tolist() == [-0.25, 1000]
    assert read("a;b\n1 234;+7\n", thousands=" ", columns={"a": {"kind": "integer"}})["a"].tolist() == [1234]
    assert (
        read("a;b\n1'234.5;+7\n", thousands="'", columns={"a": NUMBER, "b": {"kind": "integer"}})["b"][0] == 7
    )


@pytest.mark.parametrize(
    "cell", ["113.160.312", "1,5", "n.d.", "nan!", "0x10", "1_000", "inf", "--", "1e999"]
)
def test_what_is_no_number_is_refused_with_line_and_column(read: Reader, cell: str) -> None:
    with pytest.raises(ldt.InputError) as caught:
        read(f'note;a\n"two\nlines";1\n\n;{cell}\n', columns={"a": NUMBER})
    assert caught.value.where == "data.csv:5:a"
    assert caught.value.fix


def test_text_codes_among_numbers_become_missing_where_stated(read: Reader) -> None:
    text = "a,b\n1,x\nn.d.,x\n,x\nNA,x\n"
    table = read(text, missing=["n.d.", "NA"], columns={"a": {"kind": "number", "nulls": True}})
    assert table.mask("a").tolist() == [False, True, True, True]
    with pytest.raises(ldt.InputError, match="empty, and 3 of 4") as caught:
        read(text, missing=["n.d.", "NA"], columns={"a": NUMBER})
    assert caught.value.where == "data.csv:3:a"
    assert "nulls: true" in caught.value.fix


def test_whole_numbers_truth_and_ranges(read: Reader) -> None:
    table = read("n,t\n-3,Yes\n4,0\n", columns={"n": {"kind": "integer"}, "t": {"kind": "boolean"}})
    assert table["n"].tolist() == [-3, 4]
    assert table["t"].tolist() == [True, False]
    for spec, cell in [("integer", "1.5"), ("integer", "9" * 30), ("boolean", "maybe")]:
        with pytest.raises(ldt.InputError):
            read(f"n,t\n{cell},1\n", columns={"n": {"kind": spec}})
    with pytest.raises(ldt.InputError, match="-3 lies outside 0 to 9") as caught:
        read("n,t\n1,1\n-3,1\n", columns={"n": {"kind": "number", "range": [0, 9]}})
    assert caught.value.where == "data.csv:3:n"


def test_empty_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1;2\n;\n\n3;\n;0\n")
    source = Csv({"file": str(path), "columns": {"a": NUMBER}, "drop_missing": ["a"]})
    table = dict(source.read(ldt.Query()))["rows"]  # type: ignore[arg-type]
    assert table["a"].tolist() == [1, 3]
    assert {f.name: f.value for f in source.context.flags} == {"empty_rows": 1, "dropped_rows": 1}


def test_rows_are_chosen_by_text(read: Reader) -> None:
    text = "v,flag,kind\n1,S,a\n2,M,a\n3,S,b\n4,S,c\n"
    assert read(text, where={"flag": "S", "kind": ["a", "b"]}, columns={"v": NUMBER})["v"].tolist() == [1, 3]
    with pytest.raises(ldt.ParamError, match="no column 'flags'"):
        read(text, where={"flags": "S"})


def test_rows_of_another_length_are_refused_with_their_line(read: Reader) -> None:
    with pytest.raises(ldt.InputError, match="3 cells and the header 2") as caught:
        read("a;b\n1;2\n1;2;3\n1\n")
    assert caught.value.where == "data.csv:3"


def test_a_wide_table_becomes_a_long_one(read: Reader) -> None:
    text = "day;loop;00:00-01:00;01:00-02:00;total\n2024-02-01;A;1;2;3\n2024-02-02;B;;4;4\n"
    how: dict[str, Any] = {
        "melt": {"columns": r"(\d\d:\d\d)-\d\d:\d\d", "key": "hour", "value": "n"},
        "time": {"column": ["day", "hour"], "zone": "Europe/Rome"},
    }
    table = read(text, **how, columns={"loop": {}, "count": {"from": "n", "kind": "number", "nulls": True}})
    assert table["loop"].tolist() == ["A", "A", "B", "B"]
    assert (
        table["time"].tolist()
        == np.array(
            _utc("2024-01-31T23:00", "2024-02-01T00:00", "2024-02-01T23:00", "2024-02-02T00:00")
        ).tolist()
    )
    assert table["count"][~table.mask("count")].tolist() == [1, 2, 4]
    with pytest.raises(ldt.InputError) as caught:
        read(text, **how, columns={"count": {"from": "n", "kind": "number"}})
    assert caught.value.where == "data.csv:3:00:00-01:00", (
        "the header of the file is named, not the new column"
    )
    with pytest.raises(ldt.ParamError, match="no column matches"):
        read(text, melt={"columns": "x", "key": "k", "value": "v"}, columns={"v": {}})


def test_a_time_needs_a_zone(read: Reader) -> None:
    text = "t,v\n2024-07-01 10:00,1\n"
    with pytest.raises(ldt.InputError, match="no time zone") as caught:
        read(text, time={"column": "t"}, columns={"v": NUMBER})
    assert caught.value.where == "data.csv:2:t"
    assert "Europe/Rome" in caught.value.fix
    for zone, hour in [("Europe/Rome", 8), ("UTC", 10), ("+01:00", 9), ("-05:30", 15.5)]:
        table = read(text, time={"column": "t", "zone": zone}, columns={"v": NUMBER})
        assert table["time"][0] == np.datetime64("2024-07-01T00:00", "us") + np.timedelta64(
            int(hour * 60), "m"
        )
    own = "t,v\n2024-07-01T10:00:00+02:00,1\n2024-07-01T08:00:00Z,1\n"
    assert set(read(own, time={"column": "t"}, columns={"v": NUMBER})["time"]) == set(
        _utc("2024-07-01T08:00")
    )


def test_hours_that_the_change_of_clocks_makes_doubtful_are_refused(read: Reader) -> None:
    twice, never = "t,v\n2024-10-27 02:30,1\n", "t,v\n2024-03-31 02:30,1\n"
    rome = {"column": "t", "zone": "Europe/Rome"}
    with pytest.raises(ldt.InputError, match="occurs twice") as caught:
        read(twice, time=rome)
    assert "fold" in caught.value.fix
    assert (
        read(twice, time={**rome, "fold": "earlier"})["time"].tolist()
        == np.array(_utc("2024-10-27T00:30")).tolist()
    )
    assert (
        read(twice, time={**rome, "fold": "later"})["time"].tolist()
        == np.array(_utc("2024-10-27T01:30")).tolist()
    )
    for fold in ({}, {"fold": "later"}):
        with pytest.raises(ldt.InputError, match="does not exist") as caught:
            read(never, time={**rome, **fold})
        assert "+01:00" in caught.value.fix
    assert len(read(never, time={"column": "t", "zone": "+01:00"})) == 1


def test_formats_ends_of_spans_and_other_times(read: Reader) -> None:
    text = "d,h,seen\n1/2/2024,8.30,2024-02-01\n1/2/2024,9.00,\n"
    table = read(
        text,
        time={"column": ["d", "h"], "format": "%d/%m/%Y %H.%M", "zone": "UTC", "end_of": "30min"},
        columns={"seen": {"kind": "instant", "time": {"zone": "UTC"}, "nulls": True}},
    )
    assert table["time"].tolist() == np.array(_utc("2024-02-01T08:00", "2024-02-01T08:30")).tolist()
    assert table["seen"][0] == np.datetime64("2024-02-01", "us")
    assert table.mask("seen").tolist() == [False, True]
    with pytest.raises(ldt.InputError, match="is no time written as %Y") as caught:
        read(text, time={"column": "d", "format": "%Y", "zone": "UTC"})
    assert caught.value.where == "data.csv:2:d"


def test_places_from_columns_text_and_wkt(read: Reader) -> None:
    def places(content: str, **spec: Any) -> list[tuple[float, float]]:
        return [(g.x, g.y) for g in read(content, point=spec, columns={"v": {}})["geometry"]]

    assert places("v;x;y\n1;11.3;44.5\n", x="x", y="y") == [(11.3, 44.5)]
    assert places("v;p\n1;44.5, 11.3\n", text="p", order="lat, lon") == [(11.3, 44.5)]
    assert places('v,p\n1,"11.3 44.5"\n', text="p", order="lon, lat") == [(11.3, 44.5)]
    assert places("v;p\n1;POINT (11.3 44.5)\n", wkt="p") == [(11.3, 44.5)]
    assert places("v;x;y\n1;2600000;1200000\n", x="x", y="y", crs="EPSG:2056") == [(2600000, 1200000)]


def test_wkt_may_state_its_type_which_is_then_checked(tmp_path: Path) -> None:
    def source(**spec: Any) -> Csv:
        return Csv({"file": str(tmp_path / "lines.csv"), "point": {"wkt": "p"} | spec, "columns": {"v": {}}})

    (tmp_path / "lines.csv").write_text("v;p\n1;LINESTRING (0 0, 1 1)\n2;POINT (0 0)\n", encoding="utf-8")
    for said, declared in (({}, "Geometry"), ({"type": "LineString"}, "LineString")):
        port = source(**said).ports()[1]["rows"]
        assert isinstance(port, ldt.Port)
        assert port.columns["geometry"].geometry == declared
    rows = source().read(ldt.Query())["rows"]
    assert isinstance(rows, ldt.Table)
    assert len(ldt.check(rows.take([0]), port, "rows")) == 1
    with pytest.raises(ldt.InputError, match="POINT came, LineString is declared"):
        ldt.check(rows, port, "rows")
    with pytest.raises(ValueError, match="type goes with wkt"):
        source(wkt=None, x="v", y="v", type="LineString")


@pytest.mark.parametrize(
    ("text", "spec", "word"),
    [
        ("v;x;y\n1;113.160.312;44\n", {"x": "x", "y": "y"}, "no number"),
        ("v;x;y\n1;113160312;44\n", {"x": "x", "y": "y"}, "113160312 is no degree of longitude"),
        ("v;x;y\n1;11;144\n", {"x": "x", "y": "y"}, "no degree of latitude"),
        ("v;x\n1;44.5\n", {"text": "x", "order": "lat, lon"}, "no pair of coordinates"),
        ("v;x\n1;POINT 44\n", {"wkt": "x"}, "no WKT"),
        ("v;x;y\n1;;44\n", {"x": "x", "y": "y"}, "place is missing"),
    ],
)
def test_damaged_places_are_refused(read: Reader, text: str, spec: dict[str, Any], word: str) -> None:
    with pytest.raises(ldt.InputError, match=word) as caught:
        read(text, point=spec, columns={"v": {}})
    assert caught.value.where.startswith("data.csv:2:")


def test_a_missing_place_is_kept_where_stated(read: Reader) -> None:
    table = read("v;x;y\n1;;44\n2;11;44\n", point={"x": "x", "y": "y", "nulls": True}, columns={"v": {}})
    assert table.mask("geometry").tolist() == [True, False]


def test_compressed_files_and_archives(tmp_path: Path) -> None:
    text = b"a,b\n1,2\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    assert _read(tmp_path / "a.csv.gz")["b"].tolist() == ["2"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.csv", text)
    assert _read(tmp_path / "a.zip")["b"].tolist() == ["2"]
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("b.csv", b"c\n3\n")
    with pytest.raises(ldt.ParamError, match="holds 2 files") as caught:
        _read(tmp_path / "a.zip")
    assert "in/a.csv, b.csv" in caught.value.fix
    assert _read(tmp_path / "a.zip", member="b.csv")["c"].tolist() == ["3"]
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:40])
    (tmp_path / "bad.zip").write_bytes(b"PK no archive")
    for name in ("cut.csv.gz", "bad.zip"):
        with pytest.raises(ldt.InputError, match="damaged"):
            _read(tmp_path / name)


def test_missing_empty_and_headless_files(read: Reader, tmp_path: Path) -> None:
    with pytest.raises(ldt.NotFound, match="no such file"):
        _read(tmp_path / "none.csv")
    for content in ("", "\n\n"):
        with pytest.raises(ldt.InputError, match="header"):
            read(content)
    assert len(read("a,b\n", columns={"a": NUMBER}, time={"column": "b", "zone": "UTC"})) == 0
    with pytest.raises(ldt.ParamError, match="no column 'c'") as caught:
        read("a,b\n1,2\n", columns={"c": NUMBER})
    assert "a, b" in caught.value.fix


def test_a_table_at_the_start_has_each_thing_once(read: Reader) -> None:
    how = {"at": "start", "entity": "loop", "id": "loop", "columns": {"loop": {}}}
    assert len(read("loop,x\nA,1\nB,1\n", **how)) == 2
    with pytest.raises(ldt.InputError, match="'A' occurs twice") as caught:
        read("loop,x\nA,1\nB,1\nA,1\n", **how)
    assert caught.value.where == "data.csv:4:loop"


@pytest.mark.parametrize(
    "params",
    [
        {"time": {"column": "t", "zone": "Mars/Base"}},
        {"decimal": ",", "separator": ","},
        {"encoding": "morse"},
        {"melt": {"columns": "(", "key": "k", "value": "v"}},
        {"point": {"x": "x"}},
        {"point": {"text": "x"}},
        {"entity": "loop"},
        {"columns": {"a": {"kind": "text", "unit": "m"}}},
        {"columns": {"a": {"kind": "instant"}}},
        {"time": {"column": "t"}, "columns": {"time": {}}},
        {"columns": {"a": {}}, "entity": "e", "id": "b"},
        {"step": "1m"},
        {"unknown": 1},
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Csv({"file": "a.csv", **params})


_CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


@given(
    rows=st.lists(
        st.tuples(_CELLS, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=20
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(
    rows: list[tuple[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=";")
    writer.writerows([("word", "value"), *((word, repr(value)) for word, value in rows)])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(stream.getvalue().encode())
    table = _read(path, columns={"word": {"nulls": True}, "value": NUMBER})
    assert table["value"].tolist() == [value for _, value in rows]
    assert table["word"].tolist() == [word for word, _ in rows]
    assert table.mask("word").tolist() == [word == "" for word, _ in rows]
