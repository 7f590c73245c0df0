"""Tables and grids go through JSON and Arrow messages and come back bit for bit; anything else's bytes are refused."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core.errors import InputError, LdtError
from ldt_core.remote.json_tables import from_json, loads, to_json
from ldt_core.remote.messages import BUNDLE, JSON, Memory, accepted, decode, encode
from ldt_core.tables import Grid, GridPort

PORT = ldt.Port(
    {
        "time": ldt.instant(nulls=True),
        "name": ldt.text(nulls=True),
        "number": ldt.number("m", "x:length", nulls=True),
        "count": ldt.integer(nulls=True),
        "yes": ldt.boolean(nulls=True),
        "place": ldt.geometry(nulls=True),
    }
)
finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
points = st.builds(shapely.Point, finite, finite)
lines = st.lists(st.tuples(finite, finite), min_size=2, max_size=4).map(shapely.LineString)
times = st.datetimes().map(lambda t: np.datetime64(t, "us"))
rows = st.lists(
    st.tuples(
        times | st.none(),
        texts | st.none(),
        finite | st.none(),
        st.integers(-(2**63), 2**63 - 1) | st.none(),
        st.booleans() | st.none(),
        points | lines | st.none(),
    ),
    max_size=8,
)


def make(given_rows: list[tuple[Any, ...]]) -> ldt.Table:
    columns: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for number, (name, column) in enumerate(PORT.columns.items()):
        values = np.zeros(len(given_rows), column.dtype)
        if column.dtype == object:
            values[:] = None
        items = [row[number] for row in given_rows]
        masks[name] = [i is None for i in items]
        for row, item in enumerate(items):
            if item is not None:
                values[row] = item
        columns[name] = values
    return ldt.Table(columns, masks)


@given(st.lists(rows, min_size=1, max_size=3), st.data())
def test_a_conversation_that_remembers_says_what_one_that_forgets_does(
    pool: list[Any], data: st.DataObject
) -> None:
    """Columns are handed on by reference, mixed, come back later and at the other port."""
    tables = [make(r) for r in pool]
    tables += [t.with_columns(count=t["count"]) for t in tables if not t.masks]
    speaker, listener = Memory(), Memory()
    last: dict[str, Any] = {}
    for _ in range(5):
        port = data.draw(st.sampled_from(["a", "b"]))
        table = data.draw(st.sampled_from(tables))
        body = encode({}, "inputs", {port: table}, {port: PORT}, BUNDLE, speaker)
        assert body == encode({}, "inputs", {port: table}, {port: PORT}, BUNDLE)
        heard: Any = decode(body, BUNDLE, "inputs", {port: PORT}, listener)[1][port]
        fresh: Any = decode(body, BUNDLE, "inputs", {port: PORT})[1][port]
        assert heard.digest == fresh.digest
        if port in last and last[port][0] is table and len(table) and not heard.masks:
            assert all(heard[n] is last[port][1][n] for n in ("name", "place"))  # not made anew
        last[port] = (table, heard)


@given(rows)
@pytest.mark.parametrize("media", [JSON, BUNDLE])
def test_a_table_comes_back_bit_for_bit(media: str, given_rows: list[tuple[Any, ...]]) -> None:
    table = make(given_rows)
    body = encode({"seq": 3}, "inputs", {"a": table}, {"a": PORT}, media)
    head, tables = decode(body, media, "inputs", {"a": PORT})
    assert head == {"seq": 3}
    back = ldt.tables.check(tables["a"], PORT, "a")
    assert back.digest == ldt.tables.check(table, PORT, "a").digest
    number = back["number"][~back.mask("number")]
    assert number.tobytes() == table["number"][~table.mask("number")].tobytes()


def test_times_of_any_zone_are_the_same_instant() -> None:
    port = ldt.Port({"time": ldt.instant()})
    said = ["2026-03-02T05:00:00Z", "2026-03-02T06:30:00+01:30", "2026-03-02T00:00:00.000-05:00"]
    table = from_json({"columns": {"time": said}}, port, "x")
    assert isinstance(table, ldt.Table)
    assert set(table["time"].tolist()) == {np.datetime64("2026-03-02T05:00", "us").item()}


def test_a_grid_comes_back() -> None:
    port = GridPort({"no2": ldt.number("ug/m3", "x:no2")}, dims=("time", "y", "x"), crs="EPSG:25832")
    values = np.arange(12.0).reshape(2, 2, 3)
    stamps = np.array(["2026-03-02T05:00", "2026-03-02T06:00"], "datetime64[us]")
    grid = Grid(
        {"no2": values}, port.dims, (10, 0, 600_000, 0, -10, 5_700_000), "EPSG:25832", {"time": stamps}
    )
    for media in (JSON, BUNDLE):
        _, back = decode(encode({}, "inputs", {"g": grid}, {"g": port}, media), media, "inputs", {"g": port})
        assert back["g"].digest == grid.digest
    axes = to_json(grid)["domain"]["axes"]
    assert axes["x"]["values"] == [600_005.0, 600_015.0, 600_025.0]
    assert axes["y"]["values"] == [5_699_995.0, 5_699_985.0]


@pytest.mark.parametrize(
    ("column", "items", "word"),
    [
        (ldt.number("m", "x:m"), ["1"], "'1' came where number"),
        (ldt.number("m", "x:m"), [True], "True came"),
        (ldt.integer(), [1.5], "1.5 came where integer"),
        (ldt.integer(), [2**70], "out of range"),
        (ldt.boolean(), [0], "0 came where boolean"),
        (ldt.text(), [3], "3 came where text"),
        (ldt.instant(), ["2026-03-02T05:00:00"], "with its zone"),
        (ldt.instant(), ["2026-13-02T05:00:00Z"], "no time"),
        (ldt.instant(), ["yesterday"], "no time of RFC 3339"),
        (ldt.geometry(), [{"type": "Pint"}], "no GeoJSON"),
        (ldt.geometry(), ["POINT (1 2)"], "came where geometry"),
        (ldt.text(), "abc", "a column is a list"),
    ],
)
def test_a_wrong_value_is_told_with_its_column(column: ldt.Column, items: Any, word: str) -> None:
    with pytest.raises(InputError, match="(?s)" + word) as told:
        from_json({"columns": {"c": items}}, ldt.Port({"c": column}), "in")
    assert "in.c" in told.value.where


@pytest.mark.parametrize(
    "text",
    ["[NaN]", "[Infinity]", "{", "\x00", "[" * 100_000, b"\xff\xfe\x00", '["\\ud800"]', b'{"\\udC00": 1}'],
)
def test_what_is_no_json_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match="no JSON"):
        loads(text)


def test_an_escaped_character_is_read_whole() -> None:
    """Escapes of halves stand for one character together, and for none, which could not be written again, alone."""
    assert loads(b'["\\ud83d\\udeb2", "\\ud7a3"]') == ["\U0001f6b2", "\ud7a3"]


def test_nan_is_not_written() -> None:
    table = ldt.Table({"number": [1.0, math.nan]})
    with pytest.raises(InputError, match="NaN"):
        to_json(table)


@given(st.binary(max_size=200))
@pytest.mark.parametrize("media", [JSON, BUNDLE])
def test_noise_is_refused_in_the_contracts_words(media: str, noise: bytes) -> None:
    try:
        found = decode(noise, media, "inputs", {"a": PORT})
    except LdtError as exc:
        assert exc.what
    else:
        assert found[1] == {}  # noise may be a message without tables


@pytest.mark.parametrize("size", [-1, 10**9, "8", 1.5, True, None])
def test_a_stream_is_as_long_as_said_or_refused(size: Any) -> None:
    line = json.dumps({"inputs": {"a": {"arrow": size}}}).encode()
    with pytest.raises(LdtError):
        decode(line + b"\n" + struct.pack("<8x"), BUNDLE, "inputs", {"a": PORT})


@pytest.mark.parametrize(
    ("header", "media"),
    [
        (None, "a/x"),
        ("*/*", "a/x"),
        ("a/*", "a/x"),
        ("b/y", "b/y"),
        ("b/y;q=0.9, a/x;q=0.1", "b/y"),
        ("a/x;q=0, b/y;q=0.1", "b/y"),
        ("c/z", None),
        ("a/x;q=zero", None),
    ],
)
def test_the_accept_header_is_heeded(header: str | None, media: str | None) -> None:
    assert accepted(header, ("a/x", "b/y")) == media
