"""Tables, grids, ports: what they promise, and what ``check`` refuses."""

from __future__ import annotations

import json
import math
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ldt_core import tables
from ldt_core.errors import InputError
from ldt_core.tables import (
    Column,
    Grid,
    GridPort,
    Port,
    Recording,
    Table,
    boolean,
    check,
    empty,
    geometry,
    instant,
    integer,
    number,
    port_as_dict,
    port_from_dict,
    text,
)

FLOW = Port(
    {
        "time": instant(),
        "edge": text(),
        "flow": number("{veh}/h", "x:traffic_flow", cell="mean", range=(0, 1e5)),
    },
    entity="street-edge",
    id="edge",
)


def flow_table(rows: int = 4) -> Table:
    return Table(
        {
            "time": np.arange(rows).astype("M8[s]"),
            "edge": [f"e{i}" for i in range(rows)],
            "flow": np.linspace(0, 900, rows),
        }
    )


@st.composite
def any_table(draw: st.DrawFn, rows: int | None = None) -> Table:
    """Tables of every kind of column, with and without missing values."""
    n = draw(st.integers(0, 12)) if rows is None else rows
    ticks = st.integers(-(2**52), 2**52)
    places = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
    values: dict[str, Any] = {
        "number": draw(hnp.arrays(np.float64, n)),
        "integer": draw(hnp.arrays(np.int64, n)),
        "boolean": draw(hnp.arrays(np.bool_, n)),
        "instant": np.array(draw(st.lists(ticks, min_size=n, max_size=n)), np.int64).view("M8[us]"),
        "text": _objects(draw(st.lists(st.text(), min_size=n, max_size=n))),
        "geometry": _objects([shapely.Point(p) for p in draw(st.lists(places, min_size=n, max_size=n))]),
    }
    names = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, unique=True))
    masked = draw(st.lists(st.sampled_from(names), unique=True))
    return Table({k: values[k] for k in names}, {k: draw(hnp.arrays(np.bool_, n)) for k in masked})


def _objects(items: list[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


# -- Table -------------------------------------------------------------------------------------


def test_a_column_is_held_by_reference_and_cannot_be_written_to() -> None:
    values = np.arange(3.0)
    table = Table({"v": values}, {"v": np.zeros(3, bool)})
    assert np.shares_memory(table["v"], values)
    with pytest.raises(ValueError, match="read-only"):
        table["v"][0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        table.mask("v")[0] = True
    values[0] = 7.0  # the owner's array stays the owner's
    table.columns["other"] = values
    assert "other" not in table


def test_choosing_renaming_adding_and_slicing_copy_no_column() -> None:
    table = flow_table(6)
    for other, name in [
        (table.select("flow", "edge"), "flow"),
        (table.drop("edge"), "flow"),
        (table.rename({"flow": "count"}), "count"),
        (table.with_columns(more=np.arange(6)), "flow"),
        (table.with_mask("flow", np.arange(6) == 2), "flow"),
        (table.slice(1, 5), "flow"),
        (Table.concat([table]), "flow"),
        (Table.concat([table.slice(0, 0), table]), "flow"),
        (check(table, FLOW, "here"), "flow"),
    ]:
        assert isinstance(other, Table)
        assert np.shares_memory(other[name], table["flow"])
    assert table.select("flow", "edge").names == ["flow", "edge"]
    assert table.names == ["time", "edge", "flow"]


def test_a_replaced_column_loses_its_mask_and_the_others_keep_theirs() -> None:
    table = Table({"a": [1.0, 2.0], "b": [3.0, 4.0]}, {"a": [True, False], "b": [False, True]})
    other = table.with_columns(a=np.array([5.0, 6.0]))
    assert other.mask("a").tolist() == [False, False]
    assert other.mask("b").tolist() == [False, True]
    assert table.mask("a").tolist() == [True, False]
    assert other.rename({"b": "c"}).mask("c").tolist() == [False, True]
    assert set(other.select("a").masks) == set()


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ([2, 0], [2, 0]),
        ([True, False, True, False], [0, 2]),
        ([], []),
        (np.array([], np.int64), []),
        ([1, 1, 1], [1, 1, 1]),
    ],
)
def test_taking_rows_takes_their_marks_along(index: Any, expected: list[int]) -> None:
    table = flow_table().with_mask("flow", [False, False, True, False])
    for taken in (table.take(index), table.where(index)):
        assert len(taken) == len(expected)
        assert taken["edge"].tolist() == [f"e{i}" for i in expected]
        assert taken.mask("flow").tolist() == [i == 2 for i in expected]


@given(any_table(), st.data())
def test_a_table_cut_into_pieces_and_joined_is_the_same(table: Table, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=4)))
    edges = [0, *cuts, len(table)]
    pieces = [table.slice(a, b) for a, b in pairwise(edges)]
    assert Table.concat(pieces) == table


def test_joining_tables_of_other_columns_is_refused() -> None:
    with pytest.raises(InputError, match="do not join"):
        Table.concat([Table({"a": [1]}), Table({"b": [1]})])


def test_a_table_without_rows_does_not_spoil_the_types_of_the_others() -> None:
    nothing = Table({"time": [], "edge": [], "flow": []})
    for parts in ([nothing, flow_table()], [flow_table(), nothing]):
        joined = Table.concat(parts)
        assert joined["time"].dtype == tables.TIME_DTYPE
        assert joined == flow_table()
    assert len(Table.concat([])) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Table({"a": [1, 2], "b": [1]}),
        lambda: Table({"a": np.zeros((2, 2))}),
        lambda: Table({"a": [1, 2]}, {"a": [True]}),
        lambda: Table({"a": [1, 2]}, {"b": [True, False]}),
        lambda: Table({"a": [1, 2]}).with_columns(b=[1, 2, 3]),
        lambda: Table({"a": [1, 2], "b": [1, 2]}).rename({"a": "b"}),
        lambda: Table({"a": np.ma.masked_array([1, 2], [True, False])}),
    ],
)
def test_columns_that_do_not_fit_are_refused(make: Any) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.code == "shape"


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="no column 'speed'; there are time, edge, flow"):
        flow_table()["speed"]


@pytest.mark.parametrize(
    ("given_values", "dtype"),
    [
        (["a", "b"], object),
        ([None, "b"], object),
        (np.array(["a", "b"]), object),
        (np.array([b"a", b"b"]), object),
        ([shapely.Point(0, 0), None], object),
        ([np.datetime64("2026-03-02T05:00"), np.datetime64("2026-03-02T05:00:01")], "M8[us]"),
        (np.array([1, 2], "M8[ns]"), "M8[us]"),
        ((1, 2), np.int64),
        (range(2), np.int64),
        ([1.5, 2], np.float64),
    ],
)
def test_values_become_the_types_of_columns(given_values: Any, dtype: Any) -> None:
    assert Table({"v": given_values})["v"].dtype == np.dtype(dtype)


@given(any_table())
def test_a_pickled_table_is_the_same_and_still_read_only(table: Table) -> None:
    again = pickle.loads(pickle.dumps(table))  # noqa: S301
    assert again == table
    assert not any(again[n].flags.writeable for n in again)


# -- digest ------------------------------------------------------------------------------------


@given(any_table(), st.randoms())
def test_the_digest_does_not_know_the_order_of_columns(table: Table, random: Any) -> None:
    names = table.names
    random.shuffle(names)
    assert table.select(*names).digest == table.digest


@given(any_table(), st.data())
def test_the_digest_knows_the_order_of_rows(table: Table, data: st.DataObject) -> None:
    numbered = table.with_columns(row=np.arange(len(table)))
    order = data.draw(st.permutations(range(len(table))))
    same = order == list(range(len(table)))
    assert (numbered.take(np.array(order, np.int64)).digest == numbered.digest) is same


@given(any_table(), st.data())
def test_what_a_missing_value_holds_does_not_matter(table: Table, data: st.DataObject) -> None:
    other = data.draw(any_table(rows=len(table)))
    for name in table.masks:
        if name in other:
            values = np.where(table.mask(name), other[name], table[name])
            assert (
                table.with_columns(**{name: values}).with_mask(name, table.mask(name)).digest == table.digest
            )


@given(any_table(), st.data())
def test_a_changed_value_changes_the_digest(table: Table, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(table.names))
    present = np.flatnonzero(~table.mask(name))
    other = data.draw(any_table(rows=len(table)))
    if not len(present) or name not in other:
        return
    row = data.draw(st.sampled_from(present.tolist()))
    old, new = table[name][row], other[name][row]
    values = table[name].copy()
    values[row] = new
    alike = old == new or (isinstance(old, float) and math.isnan(old) and math.isnan(new))
    changed = table.with_columns(**{name: values})
    if name in table.masks:
        changed = changed.with_mask(name, table.mask(name))
    assert (changed.digest == table.digest) is bool(alike)


def test_one_nan_and_one_zero() -> None:
    other_nan = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    assert Table({"v": other_nan}).digest == Table({"v": [math.nan]}).digest
    assert Table({"v": [-0.0]}).digest == Table({"v": [0.0]}).digest


def test_none_and_nat_count_as_missing() -> None:
    assert Table({"v": ["a", None]}).digest == Table({"v": ["a", "b"]}, {"v": [False, True]}).digest
    assert Table({"v": ["a", None]}).digest != Table({"v": ["a", ""]}).digest
    when = np.array(["2026-03-02", "NaT"], "M8[us]")
    assert (
        Table({"v": when}).digest
        == Table({"v": when.astype("i8").view("M8[us]")}, {"v": [False, True]}).digest
    )


def test_a_mark_that_marks_nothing_and_other_memory_do_not_matter() -> None:
    table = Table({"v": np.arange(4.0)})
    assert table.with_mask("v", np.zeros(4, bool)).digest == table.digest
    assert Table({"v": np.arange(8.0).reshape(4, 2)[:, 0] / 2}).digest == table.digest
    assert Table({"v": np.arange(4.0).astype(">f8")}).digest == table.digest


def test_text_does_not_run_together() -> None:
    assert Table({"v": ["ab", "c"]}).digest != Table({"v": ["a", "bc"]}).digest
    assert Table({"a": [1], "b": [2]}).digest != Table({"a": [2], "b": [1]}).digest
    assert Table({"v": [1]}).digest != Table({"v": [1.0]}).digest
    assert Table({"v": ["\ud800"]}).digest != Table({"v": ["?"]}).digest


def test_the_digest_is_kept_from_version_to_version() -> None:
    """Stores outlive releases: a changed digest must be a decision, not an accident."""
    assert flow_table(2).digest == "3d64bbbe81ca20825e69ca845b102d285884285f9c4d7bcd293de6d09683c5b7"
    assert (
        Recording.of(FLOW, [(0, 1, flow_table(2))]).digest
        == "7ea1a9db86f1de05866e6212570d14ccf309105ebd632b976ebe72b239784d5c"
    )


# -- Grid --------------------------------------------------------------------------------------

AFFINE = (10.0, 0.0, 600000.0, 0.0, -10.0, 5700000.0)


def grid(values: Any = None, **changes: Any) -> Grid:
    block = np.arange(6.0).reshape(2, 3) if values is None else values
    return Grid({"no2": block}, **{"dims": ("y", "x"), "affine": AFFINE, "crs": "EPSG:25832"} | changes)


def test_a_grid_is_told_by_its_content_alone() -> None:
    assert grid().digest == grid(np.arange(6.0).reshape(3, 2).T.copy().T.reshape(2, 3)).digest
    assert grid().digest == grid(np.asfortranarray(np.arange(6.0).reshape(2, 3))).digest
    assert grid().digest == grid(affine=(10, 0, 600000, 0, -10, np.float64(5700000))).digest
    assert grid(np.full((1, 1), -0.0)).digest == grid(np.zeros((1, 1))).digest
    other = [
        grid(np.arange(6.0).reshape(2, 3) + 1),
        grid(np.arange(6.0).reshape(3, 2)),
        grid(affine=(10.0, 0.0, 600001.0, 0.0, -10.0, 5700000.0)),
        grid(crs="EPSG:25833"),
        grid(np.arange(6).reshape(2, 3)),
        grid(coords={"no2": np.arange(2)}),
    ]
    assert len({g.digest for g in [grid(), *other]}) == len(other) + 1


def test_a_grid_with_text_coordinates_has_the_same_digest_in_every_run() -> None:
    def layers() -> Grid:
        names = ["".join(["roof", str(i)]) for i in range(2)]  # new objects each time
        return grid(np.zeros((2, 1, 1)), dims=("layer", "y", "x"), coords={"layer": names})

    assert layers().digest == layers().digest
    assert not layers()["no2"].flags.writeable


def test_a_grid_of_another_shape_than_its_dims_is_refused() -> None:
    with pytest.raises(InputError, match="shapes"):
        grid(np.zeros(3))
    with pytest.raises(InputError, match="shapes"):
        Grid({"a": np.zeros((1, 2)), "b": np.zeros((2, 1))}, ("y", "x"), AFFINE, "EPSG:25832")


# -- Port --------------------------------------------------------------------------------------


def test_a_port_says_what_it_holds() -> None:
    port = Port(
        {"edge": text(), "when": instant(), "at": geometry("Point"), "n": integer(), "open": boolean()},
        entity="street-edge",
        id="edge",
    )
    assert (port.geometry_column, port.time_column, port.value_columns) == ("at", "when", ["n", "open"])
    assert port.replace(at="start").at == "start"
    assert port.at == "step"
    assert not text().measured
    assert number("m", "x:length").measured
    assert not number(None, None).measured


@pytest.mark.parametrize("wrong", [{"entity": "e", "id": "b"}, {"entity": "e"}, {"id": "a"}])
def test_entity_and_id_go_together_and_name_a_column(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="id"):
        Port({"a": text()}, **wrong)  # type: ignore[arg-type]


columns = st.builds(
    Column,
    st.sampled_from(["number", "integer"]),
    unit=st.none() | st.sampled_from(["m", "{veh}/h"]),
    quantity=st.none() | st.text(max_size=5),
    cell=st.sampled_from(["point", "mean", "sum", "min", "max"]),
    nulls=st.booleans(),
    range=st.none() | st.just((0.0, 1.5)),
    description=st.text(max_size=5),
) | st.builds(geometry, st.sampled_from(["Point", "MultiPolygon"]), crs=st.none() | st.just("EPSG:4326"))


@given(
    st.dictionaries(st.text(max_size=5), columns, max_size=3), st.booleans(), st.none() | st.text(max_size=5)
)
def test_a_port_comes_back_from_json(held: dict[str, Column], flag: bool, note: str | None) -> None:
    ports: list[Port | GridPort] = [
        Port(held, optional=flag, licence=note, at="start" if flag else "step"),
        Port({"id": text(), **held}, entity="thing", id="id", dynamic=flag, synthetic=note),
        GridPort(held, dims=("time", "y", "x") if flag else ("y", "x"), attribution=note),
    ]
    for port in ports:
        assert port_from_dict(json.loads(json.dumps(port_as_dict(port)))) == port


def test_what_is_at_its_default_is_left_out_of_the_json() -> None:
    assert port_as_dict(Port({"n": integer()})) == {
        "shape": "table",
        "columns": {"n": {"kind": "integer", "unit": "1"}},
    }


# -- check -------------------------------------------------------------------------------------


def refusal(values: Any, column: Column, mask: Any = None) -> InputError:
    table = Table({"v": values}, {} if mask is None else {"v": mask})
    with pytest.raises(InputError) as caught:
        check(table, Port({"v": column}), "traffic.flow")
    return caught.value


NAN, INF = math.nan, math.inf
POINT, LINE = shapely.Point(0, 0), shapely.LineString([(0, 0), (1, 1)])
SPEED = number("m/s", "x:vehicle_speed", range=(0, 50))


@pytest.mark.parametrize(
    ("values", "column", "code", "says"),
    [
        (["a"], SPEED, "dtype", "number"),
        ([True], SPEED, "dtype", "number"),
        ([1.5], integer(), "dtype", "integer"),
        ([1], text(), "dtype", "text"),
        (["a"], boolean(), "dtype", "boolean"),
        ([1], instant(), "dtype", "instant"),
        (["a"], geometry(), "dtype", "row 0 is 'a'"),
        ([POINT], text(), "dtype", "row 0"),
        ([1.0, NAN], SPEED, "nulls or range refused", "row 1 is nan"),
        ([1.0, INF], number("m", "x:length"), "nulls or range refused", "row 1 is inf"),
        ([1.0, 50.1], SPEED, "nulls or range refused", "50.1 m/s lies outside 0 to 50"),
        ([-1, 3], integer(range=(0, 9)), "nulls or range refused", "-1 1 lies outside 0 to 9"),
        (["a", None], text(), "nulls refused", "row 1 is missing"),
        ([POINT, None], geometry("Point"), "nulls refused", "row 1 is missing"),
        (np.array(["2026-01-01", "NaT"], "M8[us]"), instant(), "nulls refused", "row 1 is missing"),
        ([POINT, LINE], geometry("Point"), "geometry", "LINESTRING came, Point is declared"),
        ([LINE], geometry("MultiPolygon"), "geometry", "LINESTRING"),
    ],
)
def test_data_that_breaks_its_promise_is_refused(values: Any, column: Column, code: str, says: str) -> None:
    error = refusal(values, column)
    assert error.code == code
    assert says in error.what
    assert error.where == "traffic.flow.v"


def test_a_missing_value_where_none_is_allowed_is_refused_with_a_remedy() -> None:
    error = refusal([1.0, 2.0, 3.0], SPEED, [False, True, True])
    assert error.code == "nulls refused"
    assert "row 1 is missing, and 2 of 3 rows are" in error.what
    assert "fill the gaps" in error.fix


@pytest.mark.parametrize("hidden", [NAN, INF, 1e9])
def test_what_a_missing_number_holds_is_not_checked(hidden: float) -> None:
    column = number("m/s", "x:vehicle_speed", range=(0, 50), nulls=True)
    table = Table({"v": [1.0, hidden]}, {"v": [False, True]})
    assert check(table, Port({"v": column}), "here") == table


def test_none_and_nat_become_missing_where_that_is_allowed() -> None:
    port = Port({"name": text(nulls=True), "at": geometry("Point", nulls=True), "seen": instant(nulls=True)})
    table = Table(
        {"name": ["a", None], "at": [None, POINT], "seen": np.array(["2026-01-01", "NaT"], "M8[us]")}
    )
    checked = check(table, port, "here")
    assert isinstance(checked, Table)
    assert [checked.mask(n).tolist() for n in port.columns] == [[False, True], [True, False], [False, True]]


def test_extra_columns_are_dropped_and_numbers_widened() -> None:
    table = Table({"v": np.array([1, 2], np.int32), "n": np.array([3, 4], np.uint8), "x": [0, 0]})
    checked = check(table, Port({"v": number("m", "x:length"), "n": integer()}), "here")
    assert isinstance(checked, Table)
    assert checked.names == ["v", "n"]
    assert checked["v"].dtype == np.float64
    assert checked["n"].dtype == np.int64


def test_an_empty_table_fits_whatever_its_types() -> None:
    nothing = check(Table({"time": [], "edge": [], "flow": []}), FLOW, "here")
    assert isinstance(nothing, Table)
    assert [nothing[n].dtype for n in nothing] == [c.dtype for c in FLOW.columns.values()]
    assert nothing == empty(FLOW)


@pytest.mark.parametrize(
    ("declared", "came"),
    [("MultiPolygon", shapely.box(0, 0, 1, 1)), ("LineString", shapely.LinearRing([(0, 0), (1, 0), (1, 1)]))],
)
def test_a_geometry_that_is_a_case_of_the_declared_one_fits(declared: Any, came: shapely.Geometry) -> None:
    table = Table({"v": [came]})
    assert check(table, Port({"v": geometry(declared)}), "here") == table
    assert check(table, Port({"v": geometry()}), "here") == table


def test_a_column_that_is_missing_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="column 'flow' is missing; there are time, edge") as caught:
        check(flow_table().drop("flow"), FLOW, "traffic.flow")
    assert caught.value.code == "schema drift"


NO2 = GridPort({"no2": number("ug/m3", "x:no2", range=(0, 500))})


@pytest.mark.parametrize(
    ("data", "port", "code"),
    [
        (flow_table(), NO2, "shape"),
        (grid(), FLOW, "shape"),
        (grid(dims=("lat", "lon")), NO2, "shape"),
        (grid(), GridPort({"pm10": number("ug/m3", "x:pm10")}), "schema drift"),
        (grid(np.full((1, 1), NAN)), NO2, "nulls or range refused"),
        (grid(np.full((1, 1), 501.0)), NO2, "nulls or range refused"),
    ],
)
def test_a_grid_that_breaks_its_promise_is_refused(data: Any, port: Any, code: str) -> None:
    with pytest.raises(InputError) as caught:
        check(data, port, "air.no2")
    assert caught.value.code == code


def test_a_grid_may_hold_gaps_where_its_port_says_so() -> None:
    port = GridPort({"no2": number("ug/m3", "x:no2", range=(0, 500), nulls=True)})
    data = grid(np.array([[1.0, NAN]]))
    assert check(data, port, "air.no2") is data
    assert check(grid(), NO2, "air.no2") is not None


# -- Recording ---------------------------------------------------------------------------------


def test_a_recording_gives_the_rows_of_each_window() -> None:
    parts = [(0, 60, flow_table(3)), (60, 120, flow_table(1).slice(0, 0)), (120, 180, flow_table(2))]
    recording = Recording.of(FLOW, parts)
    assert len(recording) == 3
    assert [len(recording.window(i)) for i in range(3)] == [3, 0, 2]
    assert recording.windows.tolist() == [[0, 60], [60, 120], [120, 180]]
    assert all(recording.window(i) == rows for i, (_, _, rows) in enumerate(parts))
    assert np.shares_memory(recording.window(2)["flow"], recording.table["flow"])


def test_a_recording_without_windows_is_empty() -> None:
    recording = Recording.of(FLOW, [])
    assert (len(recording), len(recording.table)) == (0, 0)
    assert recording.table.names == list(FLOW.columns)


def test_the_digest_of_a_recording_knows_rows_and_windows() -> None:
    whole = flow_table(4)

    def cut(at: int, end: int = 120) -> str:
        return Recording.of(FLOW, [(0, 60, whole.slice(0, at)), (60, end, whole.slice(at, 4))]).digest

    assert cut(2) == cut(2)
    assert len({cut(2), cut(3), cut(2, 180)}) == 3


# -- Checker: check, window after window ---------------------------------------------------------


@given(any_table(), st.data())
def test_a_checker_decides_as_check_does(table: Table, data: st.DataObject) -> None:
    """The same table, or the same error, for any table and any port; also the second time."""
    kinds = ["number", "integer", "boolean", "instant", "text", "geometry"]
    names = data.draw(st.lists(st.sampled_from(kinds), min_size=1, unique=True))
    bounds = st.none() | st.sampled_from([(0.0, 1.0), (-1e9, math.inf), (-math.inf, math.inf)])
    columns: dict[str, Column] = {}
    for name in names:
        kind: Any = data.draw(st.sampled_from([name, name, name, "number", "text"]))
        range = data.draw(bounds) if kind in ("number", "integer") else None
        columns[name] = Column(kind, nulls=data.draw(st.booleans()), range=range)
    port = Port(columns)
    checker = tables.Checker(port, "here")
    for _ in "twice":
        try:
            want = check(table, port, "here")
        except InputError as exc:
            with pytest.raises(InputError) as caught:
                checker(table)
            assert str(caught.value) == str(exc)
        else:
            got = checker(table)
            assert isinstance(got, Table)
            assert isinstance(want, Table)
            assert got.digest == want.digest
            assert got.names == want.names or set(got.names) == set(want.names)


def test_a_checker_hands_back_a_table_that_fits() -> None:
    checker = tables.Checker(FLOW, "here")
    table = flow_table()
    assert checker(table) is table
    assert checker(flow_table(0)).names == table.names  # type: ignore[union-attr]


def test_a_checker_does_not_trust_another_array_of_ids() -> None:
    checker = tables.Checker(FLOW, "here")
    table = flow_table()
    checker(table)
    with pytest.raises(InputError, match="row 3 is 7, text is declared"):
        checker(table.with_columns(edge=_objects(["e0", "e1", "e2", 7])))
    with pytest.raises(InputError, match="row 1 is nan"):
        checker(table.with_columns(flow=[1.0, math.nan, 1.0, 1.0]))
    with pytest.raises(InputError, match="row 0 is missing"):
        checker(table.with_columns(time=np.array(["NaT"] * 4, "M8[us]")))
    with pytest.raises(InputError, match="a Grid came where a Table is declared"):
        checker(Grid({"flow": np.zeros((1, 1))}, ("y", "x"), (1, 0, 0, 0, 1, 0), "EPSG:3857"))


@pytest.mark.parametrize("rows", [1, 4096, 4097, 20_000])
@pytest.mark.parametrize("range", [None, (-1e308, 1e308)])
def test_a_checker_finds_one_bad_value_among_many(rows: int, range: tuple[float, float] | None) -> None:
    port = Port({"v": number("1", "x:v", range=range)})
    checker = tables.Checker(port, "here")
    good = np.full(rows, 1e307)  # their sum is beyond the largest float, which is no fault of theirs
    assert checker(Table({"v": good}))["v"] is not None  # type: ignore[index]
    for bad in (math.nan, math.inf, -math.inf):
        values = good.copy()
        values[rows // 2] = bad
        with pytest.raises(InputError, match=f"row {rows // 2} is"):
            checker(Table({"v": values}))
