"""Reading a port over any window, against the definition: tick by tick, entity by entity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldt_core.errors import RunError, WiringError
from ldt_core.resample import History, align, collapse, per_entity, reduction, split_by_time, stack, thinned
from ldt_core.tables import Column, Port, Recording, Table, instant, integer, number, text

ORIGIN = np.datetime64("2026-03-02T05:00", "us")
IDS = ["a", "b", "c"]
Rows = dict[str, float | None]
Windows = list[tuple[int, int, Rows]]


def port(cell: Any = "mean", kind: str = "number", **more: Any) -> Port:
    value = Column(kind, "1", "x:value", cell, nulls=True)  # type: ignore[arg-type]
    return Port({"time": instant(), "id": text(), "v": value}, entity="thing", id="id", **more)


def rows(start: int, values: Rows, dtype: Any = float) -> Table:
    stamp = np.full(len(values), ORIGIN + np.timedelta64(start, "us"))
    plain = np.array([0 if v is None else v for v in values.values()], dtype)
    missing = [v is None for v in values.values()]
    ids = np.array([*values, None], object)[:-1]
    return Table({"time": stamp, "id": ids, "v": plain}, {"v": missing} if any(missing) else None)


def history(windows: Windows, method: str, cell: Any = "mean") -> History:
    made = History(port(cell), {"v": method}, ORIGIN)
    for start, end, values in windows:
        made.append(start, end, rows(start, values))
    return made


def as_dict(table: Table) -> Rows:
    missing = table.mask("v")
    return {
        i: None if m else float(v) for i, v, m in zip(table["id"], table["v"].tolist(), missing, strict=True)
    }


def by_definition(windows: Windows, start: int, end: int, method: str) -> Rows:
    """Every tick of [start, end) asks which window it lies in and what each entity had there."""
    seen: dict[str, list[tuple[int, float | None]]] = {}
    for tick in range(start, end):
        for number_, (first, last, values) in enumerate(windows):
            if first <= tick < last:
                for name, value in values.items():
                    seen.setdefault(name, []).append((number_, value))
    found: Rows = {}
    for name, ticks in seen.items():
        known = [(n, v) for n, v in ticks if v is not None]
        once = dict(known)
        values = [v for _, v in known]
        if not values:
            found[name] = None
        elif method == "mean":
            found[name] = math.fsum(values) / len(values)
        elif method == "energetic":
            found[name] = 10 * math.log10(math.fsum(10 ** (v / 10) for v in values) / len(values))
        elif method == "sum":
            found[name] = math.fsum(once.values())
        else:
            found[name] = {"min": min, "max": max, "last": lambda v: v[-1]}[method](values)
    return found


@st.composite
def some_windows(draw: st.DrawFn, *, gaps: bool = False) -> Windows:
    """Windows of any length, one after the other, with entities that come and go and values that miss."""
    at, found = 0, []
    for length in draw(st.lists(st.integers(1, 7), min_size=1, max_size=6)):
        if gaps:
            at += draw(st.integers(0, 2))
        here = draw(st.lists(st.sampled_from(IDS), unique=True))
        value = st.none() | st.floats(-80, 80)
        found.append((at, at + length, {i: draw(value) for i in here}))
        at += length
    return found


@given(some_windows(), st.sampled_from(["mean", "min", "max", "last", "energetic"]), st.data())
def test_any_window_agrees_with_the_definition(windows: Windows, method: str, data: st.DataObject) -> None:
    end = windows[-1][1]
    cuts = sorted(data.draw(st.sets(st.integers(1, end)))) or [end]
    read = history(windows, method)
    for start, stop in zip([0, *cuts[:-1]], cuts, strict=True):
        got, want = as_dict(read.over(start, stop)), by_definition(windows, start, stop, method)
        assert got.keys() == want.keys()
        for name, value in want.items():
            assert got[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9))


@given(some_windows(), st.data())
def test_sums_are_added_over_whole_windows(windows: Windows, data: st.DataObject) -> None:
    ends = [e for _, e, _ in windows]
    cuts = sorted(data.draw(st.sets(st.sampled_from(ends)))) or [ends[-1]]
    read = history(windows, "sum", "sum")
    for start, stop in zip([0, *cuts[:-1]], cuts, strict=True):
        got, want = as_dict(read.over(start, stop)), by_definition(windows, start, stop, "sum")
        assert got == {n: None if v is None else pytest.approx(v, abs=1e-9) for n, v in want.items()}


@given(some_windows(), st.data())
def test_forgetting_what_is_read_changes_nothing(windows: Windows, data: st.DataObject) -> None:
    step = data.draw(st.integers(1, 9))
    keeps, forgets = history(windows, "mean"), history(windows, "mean")
    for start in range(0, windows[-1][1] - step + 1, step):
        assert forgets.over(start, start + step) == keeps.over(start, start + step)
        forgets.forget(start + step)
    assert len(forgets.parts) <= 1 + step


def test_a_sum_is_never_split() -> None:
    read = history([(0, 10, {"a": 4.0})], "sum", "sum")
    for start, end in [(0, 5), (5, 10), (0, 15)]:
        if (start, end) == (0, 15):
            assert as_dict(read.over(start, end)) == {"a": 4.0}
        else:
            with pytest.raises(RunError, match="cannot be read") as caught:
                read.over(start, end)
            assert caught.value.code == "step"


def test_the_same_window_is_handed_on_by_reference() -> None:
    read = history([(0, 5, {"a": 1.0}), (5, 9, {"a": 2.0})], "mean")
    assert read.over(0, 5) is read.parts[0][2]
    assert read.over(5, 9) is read.parts[1][2]


def test_a_point_holds_and_an_amount_does_not() -> None:
    windows: Windows = [(0, 5, {"a": 1.0})]
    assert as_dict(history(windows, "last", "point").over(20, 30)) == {"a": 1.0}
    for method in ("sum", "mean", "max"):
        assert len(history(windows, method).over(20, 30)) == 0
    assert len(history(windows, "last").over(20, 30).names) == 3


def test_before_the_first_window_there_is_nothing() -> None:
    read = history([(10, 20, {"a": 1.0})], "last")
    assert len(read.over(0, 10)) == 0
    assert read.last(19) is None
    assert as_dict(read.last(20) or rows(0, {})) == {"a": 1.0}


def test_rows_over_a_window_carry_its_start() -> None:
    read = history([(0, 4, {"a": 1.0}), (4, 10, {"a": 2.0, "b": 1.0})], "mean")
    assert (read.over(2, 8)["time"] == ORIGIN + np.timedelta64(2, "us")).all()
    held = history([(0, 100, {"a": 1.0})], "mean")
    assert held.over(40, 50)["time"][0] == ORIGIN + np.timedelta64(40, "us")


def test_a_point_keeps_its_instant_inside_the_window() -> None:
    read = history([(0, 4, {"a": 1.0}), (4, 10, {"a": 2.0})], "last", "point")
    assert read.over(0, 10)["time"].tolist() == [(ORIGIN + np.timedelta64(4, "us")).item()]


def test_only_what_is_wanted_is_reduced() -> None:
    wide = Port(
        {"id": text(), "v": number("1", "x:v", cell="mean"), "n": number("1", "x:n", cell="sum")},
        entity="t",
        id="id",
    )
    read = History(wide, {"v": "mean"}, ORIGIN)
    for start in (0, 4):
        read.append(start, start + 4, Table({"id": ["a"], "v": [1.0], "n": [2.0]}))
    assert read.over(2, 6).names == ["id", "v"]  # a sum that nobody reads may be split


def test_whole_numbers_stay_whole_and_their_mean_is_a_number() -> None:
    big = 2**60 + 1
    counts = port("sum", "integer")
    for method, expected, kind in [
        ("sum", big + 2, "i"),
        ("max", big, "i"),
        ("last", 2, "i"),
        ("mean", None, "f"),
    ]:
        read = History(counts, {"v": method}, ORIGIN)
        read.append(0, 1, rows(0, {"a": big}, np.int64))
        read.append(1, 2, rows(1, {"a": 2}, np.int64))
        got = read.over(0, 2)["v"]
        assert got.dtype.kind == kind
        if expected is not None:
            assert got.tolist() == [expected]


def test_what_rows_say_besides_values_is_the_latest() -> None:
    named = Port({"id": text(), "v": number("1", "x:v"), "name": text(nulls=True)}, entity="t", id="id")
    read = History(named, {"v": "last", "name": "last"}, ORIGIN)
    read.append(0, 1, Table({"id": ["a", "b"], "v": [1.0, 2.0], "name": ["x", "y"]}))
    read.append(1, 2, Table({"id": ["c", "a"], "v": [3.0, 4.0], "name": ["z", None]}))
    got = read.over(0, 2)
    assert dict(zip(got["id"], got["name"], strict=True)) == {"a": None, "b": "y", "c": "z"}


# -- events ------------------------------------------------------------------------------------


@given(some_windows(), st.data())
def test_every_event_is_read_once(windows: Windows, data: st.DataObject) -> None:
    end = windows[-1][1]
    cuts = sorted({*data.draw(st.sets(st.integers(1, end))), end})
    read = History(port(events=True), {"v": "last"}, ORIGIN)
    for start, stop, values in windows:
        read.append(start, stop, rows(start, values))
    got = [read.over(a, b) for a, b in zip([0, *cuts[:-1]], cuts, strict=True)]
    assert Table.concat(got) == Table.concat([rows(s, v) for s, _, v in windows])


def test_events_of_a_source_are_read_where_they_happened() -> None:
    times = [3, 3, 14, 29]
    table = Table(
        {"time": [ORIGIN + np.timedelta64(t, "us") for t in times], "id": list("abcd"), "v": [1.0] * 4}
    )
    recording = split_by_time(port(events=True), table, ORIGIN, 30, None)
    read = History.of(recording, {"v": "last"}, ORIGIN)
    assert [list(read.over(t, t + 10)["id"]) for t in (0, 10, 20)] == [["a", "b"], ["c"], ["d"]]


# -- sources -----------------------------------------------------------------------------------


def stamped(*times: int) -> Table:
    return Table(
        {
            "time": [ORIGIN + np.timedelta64(t, "us") for t in times],
            "id": ["a"] * len(times),
            "v": [float(t) for t in times],
        }
    )


def windows_of(recording: Recording) -> list[tuple[int, int]]:
    return [tuple(w) for w in recording.windows.tolist()]


def test_a_row_of_a_source_stands_until_the_next() -> None:
    assert windows_of(split_by_time(port(), stamped(20, 0, 5), ORIGIN, 30, None)) == [
        (0, 5),
        (5, 20),
        (20, 30),
    ]


def test_a_source_with_a_step_leaves_gaps_and_never_overlaps() -> None:
    assert windows_of(split_by_time(port(), stamped(0, 5, 20), ORIGIN, 30, 10)) == [(0, 5), (5, 15), (20, 30)]
    assert windows_of(split_by_time(port(), stamped(25), ORIGIN, 30, 10)) == [(25, 30)]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.none() | st.integers(1, 20))
def test_every_row_of_a_source_is_kept_in_its_window(times: list[int], step: int | None) -> None:
    table = stamped(*times)
    recording = split_by_time(port(), table, ORIGIN, 41, step)
    assert sorted(recording.table["v"].tolist()) == sorted(float(t) for t in times)
    windows = windows_of(recording)
    for i, (start, end) in enumerate(windows):
        assert start < end
        assert set(recording.window(i)["v"].tolist()) == {float(start)}
        assert i == 0 or windows[i - 1][1] <= start


# -- a coarser record ----------------------------------------------------------------------------


def test_a_record_is_thinned_by_cell_method() -> None:
    both = Port(
        {"id": text(), "v": number("1", "x:v", cell="mean"), "n": integer("1", "x:n", cell="sum")},
        entity="t",
        id="id",
    )
    parts = [(i, i + 1, Table({"id": ["a"], "v": [float(i)], "n": [i]})) for i in range(10)]
    got = thinned(Recording.of(both, parts), 4, 10, ORIGIN)
    assert windows_of(got) == [(0, 4), (4, 8), (8, 10)]
    assert got.table["v"].tolist() == [1.5, 5.5, 8.5]
    assert got.table["n"].tolist() == [6, 22, 17]


def test_values_per_entity_over_a_whole_recording() -> None:
    parts = [(0, 10, rows(0, {"a": 1.0, "b": 5.0})), (10, 40, rows(10, {"a": 5.0}))]
    recording = Recording.of(port(), [(0, 0, rows(0, {"a": 99.0})), *parts])
    ids, values, known = per_entity(recording, "v", "mean")
    assert dict(zip(ids, values, strict=True)) == {"a": 4.0, "b": 5.0}
    assert known.all()


# -- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "asked", "method"),
    [
        (number("m/s", "x:v", cell="mean"), None, "mean"),
        (number("m/s", "x:v"), None, "last"),
        (number("m/s", "x:v"), "mean", "mean"),
        (number("1", "x:v", cell="sum"), None, "sum"),
        (number("dB", "x:l", cell="max"), None, "max"),
        (number("dB", "x:l", cell="mean"), "energetic", "energetic"),
        (number("dB", "x:l", cell="mean"), None, "not stated"),
        (text(), None, "last"),
    ],
)
def test_the_reduction_of_a_column(column: Column, asked: str | None, method: str) -> None:
    assert reduction(column, asked, "here") == method


@pytest.mark.parametrize(
    ("column", "asked"),
    [
        (number("dB", "x:l", cell="mean"), "mean"),
        (number("dB", "x:l"), "sum"),
        (number("m/s", "x:v"), "energetic"),
        (number("m/s", "x:v", cell="mean"), "sum"),
        (number("m/s", "x:v"), "median"),
    ],
)
def test_a_reduction_without_meaning(column: Column, asked: str) -> None:
    with pytest.raises(WiringError) as caught:
        reduction(column, asked, "here")
    assert (caught.value.code, caught.value.where) == ("cell method", "here")
    assert caught.value.fix


def test_a_level_without_a_method_may_hold_but_is_never_averaged() -> None:
    read = history([(0, 10, {"a": 50.0}), (10, 20, {"a": 60.0})], "not stated")
    assert as_dict(read.over(0, 5)) == {"a": 50.0}
    with pytest.raises(WiringError, match="level in dB"):
        read.over(5, 20)


def test_one_id_twice_in_a_window_is_refused() -> None:
    twice = Table({"time": [ORIGIN] * 2, "id": ["a", "a"], "v": [1.0, 2.0]})
    with pytest.raises(RunError, match="'a' stands twice in one window") as caught:
        align([twice, rows(0, {"a": 1.0})], port())
    assert caught.value.code == "contract broken"


def test_rows_without_an_id_cannot_come_and_go() -> None:
    plain = Port({"v": number("1", "x:v")})
    tables = [Table({"v": [1.0]}), Table({"v": [1.0, 2.0]})]
    with pytest.raises(RunError, match="without an id"):
        align(tables, plain)


def test_an_empty_axis_collapses_to_nothing_known() -> None:
    block, present = stack([rows(0, {"a": 1.0})], "v", None, 1)
    for method in ("mean", "sum", "min", "max", "last"):
        values, known = collapse(block[:0], present[:0], method, np.zeros(0))
        assert values.shape == known.shape == (1,)
        assert not known.any()
    with pytest.raises(RunError, match="median"):
        collapse(block, present, "median", np.ones(1))
