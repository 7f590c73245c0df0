"""What goes into a message comes out of it, bit for bit, whatever the shape; what is no message is told."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ldt_core as ldt
from ldt_core.errors import InputError
from ldt_core.ipc import Channel, Garbled, Packer, Unpacker, from_stream, to_stream

NUMBERS = st.sampled_from(["<f8", "<f4", "<i8", "<i4", "<u2", "<u8", "|b1", "|i1", ">f8", ">i4"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
POINTS = st.tuples(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7)).map(shapely.Point)
SHAPES = st.one_of(
    POINTS,
    st.lists(POINTS, min_size=2, max_size=5).map(lambda p: shapely.LineString([(q.x, q.y) for q in p])),
    st.just(shapely.Point()),
    st.tuples(POINTS, st.floats(-9, 9)).map(lambda p: shapely.Point(p[0].x, p[0].y, p[1])),
)


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    kind = draw(st.sampled_from(["number", "instant", "text", "geometry"]))
    if kind == "number":
        return draw(hnp.arrays(np.dtype(draw(NUMBERS)), rows))
    if kind == "instant":
        return draw(hnp.arrays("<i8", rows, elements=st.integers(-(2**62), 2**62))).view("<M8[us]")
    values = np.empty(rows, object)
    values[:] = draw(st.lists(TEXTS if kind == "text" else SHAPES, min_size=rows, max_size=rows))
    return values


@st.composite
def data_tables(draw: st.DrawFn) -> ldt.Table:
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(st.text(min_size=1, max_size=5), max_size=5, unique=True))
    made = {n: draw(columns(rows)) for n in names}
    masks = {n: draw(hnp.arrays(bool, rows)) for n in names if draw(st.booleans())}
    return ldt.Table(made, masks)


def carried(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Said on one end of a socket and heard on the other, as one conversation."""
    ours, theirs = socket.socketpair()
    packer, unpacker, found = Packer(), Unpacker(), []

    def speak() -> None:
        channel = Channel(ours)
        for tables in messages:
            blocks: list[Any] = []
            channel.say({"tables": packer.pack(tables, {}, blocks)}, blocks)

    thread = threading.Thread(target=speak)
    thread.start()
    channel = Channel(theirs)
    for _ in messages:
        head, body = channel.hear()
        found.append(unpacker.unpack(head["tables"], body))
    thread.join()
    ours.close()
    with pytest.raises(EOFError):
        channel.hear()
    theirs.close()
    return found


def bits(table: ldt.Table) -> list[Any]:
    """A table's whole content, to be compared: also what NaN there is, and what stands under a mark."""
    found: list[Any] = [table.names, len(table)]
    for name, values in table.columns.items():
        mask = table.masks.get(name)
        if values.dtype.kind == "O":
            present = values if mask is None else values[~mask]
            plain = [shapely.to_wkb(v) if isinstance(v, shapely.Geometry) else v for v in present]
        else:
            plain = [
                values.dtype.newbyteorder("<").str,
                values.astype(values.dtype.newbyteorder("<")).tobytes(),
            ]
        found += [name, plain, None if mask is None or not mask.any() else mask.tolist()]
    return found


@given(st.lists(data_tables(), min_size=1, max_size=3), st.integers(1, 3))
def test_tables_come_out_as_they_went_in(tables: list[ldt.Table], times: int) -> None:
    messages = [{"a": t, "b": tables[0]} for t in tables for _ in range(times)]
    for sent, heard in zip(messages, carried(messages), strict=True):
        assert list(heard) == ["a", "b"]
        for name, table in sent.items():
            assert bits(heard[name]) == bits(table)
            assert heard[name].digest == table.digest
            assert not any(v.flags.writeable for v in heard[name].columns.values())


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4)))
def test_grids_come_out_as_they_went_in(values: Any) -> None:
    dims = ("time", "y", "x")[-values.ndim :]
    coords = {"time": np.arange(values.shape[0]).astype("M8[us]")} if values.ndim == 3 else {}
    grid = ldt.Grid(
        {"no2": values, "n": values > 0}, dims, (1.0, 0.0, 5.0, 0.0, -1.0, 0.1), "EPSG:25832", coords
    )
    ((heard),) = carried([{"g": grid}])
    assert heard["g"].digest == grid.digest
    assert heard["g"].shape == grid.shape


def test_large_tables_come_in_one_piece() -> None:
    rows = 300_000
    table = ldt.Table(
        {
            "v": np.random.default_rng(1).random(rows),
            "t": np.arange(rows).astype("M8[us]"),
            "id": [f"straße {i}" for i in range(rows)],
        },
        {"v": np.arange(rows) % 7 == 0},
    )
    for heard in carried([{"x": table}] * 3):
        assert heard["x"].digest == table.digest


def test_a_column_of_ids_is_said_once() -> None:
    ids = ldt.Table({"id": [f"sensor {i}" for i in range(1000)]})
    packer = Packer()
    sizes = []
    for value in range(3):
        blocks: list[Any] = []
        packer.pack({"x": ids.with_columns(v=np.full(1000, float(value)))}, {}, blocks)
        sizes.append(sum(len(b) for b in blocks))
    assert sizes[0] > 20_000
    assert sizes[1:] == [8000, 8000]


def test_what_arrow_cannot_hold_is_refused_and_the_conversation_goes_on() -> None:
    packer = Packer()
    with pytest.raises(InputError, match="no port can carry"):
        packer.pack({"x": ldt.Table({"z": np.ones(2, complex)})}, {}, [])
    with pytest.raises(InputError, match="no text"):
        packer.pack({"x": ldt.Table({"z": np.array(["a", 3], object)})}, {}, [])


@given(st.binary(min_size=16, max_size=200))
def test_foreign_bytes_are_no_message(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(data if not data.startswith(b"LDT1") else b"x" + data)
    ours.close()
    with pytest.raises(Garbled):
        Channel(theirs).hear()
    theirs.close()


@given(data_tables())
def test_a_stream_is_read_by_anybody_who_knows_arrow(table: ldt.Table) -> None:
    import pyarrow as pa

    if not table.names:
        return
    stream = to_stream(table)
    assert from_stream(stream).digest == table.digest
    with pa.ipc.open_stream(stream) as reader:
        assert reader.read_all().num_rows == len(table)


def test_what_is_no_stream_is_told() -> None:
    with pytest.raises(InputError, match="no Arrow stream"):
        from_stream(b"GET / HTTP/1.1")
