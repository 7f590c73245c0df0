"""KPI values against closed forms, and whether a change is told from noise as Student would."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldt_core import kpi as k
from ldt_core.errors import DataError, RunError, WiringError
from ldt_core.tables import Port, Recording, Table, boolean, instant, integer, number, text
from ldt_core.twin import Condition, KpiDefinition, Ref

MINUTE = 60_000_000
START = np.datetime64("2026-03-02T05:00", "us")


def edges(**columns: Any) -> Port:
    return Port({"time": instant(), "edge": text(), **columns}, entity="street-edge", id="edge")


SPEED = edges(v=number("m/s", "x:speed", cell="mean"))
LENGTHS = Port(
    {"edge": text(), "n": number("1", "x:residents", nulls=True), "name": text(nulls=True)},
    entity="street-edge",
    id="edge",
    at="start",
)


def recorded(port: Port, *windows: tuple[int, int, dict[str, Any]]) -> Recording:
    """Windows as (start, end, columns) in minutes; the time column is filled in."""
    parts = []
    for start, end, columns in windows:
        n = len(next(iter(columns.values())))
        stamp = START + np.timedelta64(start * MINUTE, "us")
        filled = {
            name: columns.get(name, np.full(n, stamp) if c.kind == "instant" else None)
            for name, c in port.columns.items()
        }
        masks = {
            name: [v is None for v in values]
            for name, values in filled.items()
            if isinstance(values, list) and any(v is None for v in values)
        }
        plain = {
            name: np.array([0.0 if v is None else v for v in values], port.columns[name].dtype)
            if name in masks and port.columns[name].kind != "text"
            else np.asarray(values, port.columns[name].dtype)
            for name, values in filled.items()
        }
        parts.append((start * MINUTE, end * MINUTE, Table(plain, masks)))
    return Recording.of(port, parts)


def definition(reduce: dict[str, str], of: str = "a.out.v", **more: Any) -> KpiDefinition:
    where = tuple(Condition(*c) for c in more.pop("where", ()))
    weight = more.pop("weight", None)
    return KpiDefinition(
        of=Ref(*of.split(".")), reduce=reduce, where=where, weight=weight and Ref(*weight.split(".")), **more
    )  # type: ignore[arg-type]


def value(recording: Recording, reduce: dict[str, str], column: str = "v", **more: Any) -> float | None:
    given = {n: more.pop(n) for n in ("weight_of", "baseline", "attributes") if n in more}
    weight = given.pop("weight_of", None)
    if weight is not None:
        more.setdefault("weight", "a.net.n")
    kpi = definition(reduce, **more)
    return k.evaluate(kpi, column, recording, weight=weight, weight_column="n" if weight else None, **given)


# Two edges, a window of 10 minutes and one of 20.
TWO = recorded(
    SPEED, (0, 10, {"edge": ["a", "b"], "v": [1.0, 3.0]}), (10, 30, {"edge": ["a", "b"], "v": [4.0, 8.0]})
)


# -- reductions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ({"space": "mean", "time": "mean"}, (2 * 10 + 6 * 20) / 30),
        ({"time": "mean", "space": "mean"}, (3 + 19 / 3) / 2),
        ({"time": "mean", "space": "max"}, 19 / 3),
        ({"time": "max", "space": "mean"}, 6.0),
        ({"space": "max", "time": "min"}, 3.0),
        ({"space": "min", "time": "max"}, 4.0),
        ({"space": "sum", "time": "mean"}, (4 * 10 + 12 * 20) / 30),
        ({"space": "sum", "time": "last"}, 12.0),
        ({"time": "last", "space": "last"}, 8.0),
        ({"time": "min", "space": "sum"}, 4.0),
    ],
)
def test_reductions_apply_in_the_order_written(reduce: dict[str, str], expected: float) -> None:
    assert value(TWO, reduce) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ({"time": "share", "space": "mean"}, (20 / 30 + 20 / 30) / 2),
        ({"space": "share", "time": "mean"}, (0 * 10 + 1 * 20) / 30),
        ({"time": "duration", "space": "mean"}, 1200.0),
        ({"time": "duration", "space": "sum"}, 2400.0),
        ({"space": "max", "time": "duration"}, 1200.0),
        ({"space": "min", "time": "share"}, 2 / 3),
        ({"time": "max", "space": "share"}, 1.0),
        ({"time": "mean", "space": "share"}, 0.5),
    ],
)
def test_share_and_duration_count_where_the_condition_holds(reduce: dict[str, str], expected: float) -> None:
    assert value(TWO, reduce, where=[("v", ">", 3.5)]) == pytest.approx(expected, rel=1e-15)


def test_where_selects_rows_before_anything_else() -> None:
    assert value(TWO, {"space": "mean", "time": "mean"}, where=[("v", ">", 2)]) == pytest.approx(
        (3 * 10 + 6 * 20) / 30
    )
    assert value(TWO, {"space": "sum", "time": "mean"}, where=[("v", ">", 3)]) == pytest.approx(
        (0 * 10 + 12 * 20) / 30
    )
    both = [("v", ">=", 3), ("edge", "==", "b")]
    assert value(TWO, {"time": "mean", "space": "mean"}, where=both) == pytest.approx(19 / 3)
    assert value(TWO, {"time": "mean", "space": "mean"}, where=[("edge", "!=", "b")]) == pytest.approx(3.0)


def test_what_where_leaves_out_is_no_zero_in_a_mean_of_sums() -> None:
    counts = edges(v=number("1", "x:count", cell="sum"))
    two = recorded(
        counts,
        (0, 10, {"edge": ["a", "b"], "v": [1.0, 5.0]}),
        (10, 20, {"edge": ["a", "b"], "v": [2.0, 6.0]}),
    )
    assert value(two, {"time": "sum", "space": "mean"}, where=[("edge", "==", "b")]) == 11.0


@pytest.mark.parametrize(
    ("sign", "expected"), [("<", 0), ("<=", 1), (">", 1), (">=", 2), ("==", 1), ("!=", 1)]
)
def test_every_sign(sign: str, expected: int) -> None:
    one = recorded(SPEED, (0, 10, {"edge": ["a", "b"], "v": [2.0, 3.0]}))
    assert value(one, {"space": "share", "time": "mean"}, where=[("v", sign, 2.0)]) == expected / 2


def test_truth_and_whole_numbers_are_judged_too() -> None:
    port = edges(v=boolean(), lanes=integer())
    one = recorded(port, (0, 10, {"edge": ["a", "b", "c"], "v": [True, False, True], "lanes": [1, 2, 3]}))
    assert value(one, {"space": "share", "time": "mean"}, where=[("v", "==", True)]) == pytest.approx(2 / 3)
    assert value(one, {"space": "sum", "time": "mean"}, "lanes", where=[("v", "==", True)]) == 4.0


# -- entities that come and go -----------------------------------------------------------------------


def test_a_mean_over_time_runs_over_presence() -> None:
    cars = recorded(
        SPEED,
        (0, 10, {"edge": ["x"], "v": [2.0]}),
        (10, 20, {"edge": ["y", "x"], "v": [10.0, 4.0]}),
        (20, 30, {"edge": ["y"], "v": [30.0]}),
    )
    assert value(cars, {"time": "mean", "space": "mean"}) == pytest.approx((3 + 20) / 2)
    assert value(cars, {"space": "mean", "time": "mean"}) == pytest.approx((2 + 7 + 30) / 3)
    assert value(cars, {"time": "mean", "space": "sum"}) == pytest.approx(23.0)


def test_a_condition_on_another_column_holds_its_last_known_value() -> None:
    """x is gone in the last window: its kind is not forgotten, nor taken for zero."""
    port = edges(v=number("m/s", "x:speed", cell="mean"), lanes=integer())
    cars = recorded(
        port,
        (0, 10, {"edge": ["x", "y"], "v": [2.0, 2.0], "lanes": [3, 1]}),
        (10, 20, {"edge": ["y"], "v": [2.0], "lanes": [1]}),
    )
    assert value(cars, {"time": "mean", "space": "share"}, where=[("lanes", ">=", 2)]) == 0.5


def test_missing_values_are_not_counted() -> None:
    port = edges(v=number("m/s", "x:speed", cell="mean", nulls=True))
    gaps = recorded(
        port,
        (0, 10, {"edge": ["a", "b"], "v": [1.0, None]}),
        (10, 20, {"edge": ["a", "b"], "v": [3.0, None]}),
    )
    assert value(gaps, {"time": "mean", "space": "mean"}) == 2.0
    assert value(gaps, {"time": "mean", "space": "share"}, where=[("v", ">", 0)]) == 1.0


@pytest.mark.parametrize("how", ["mean", "max", "min", "last"])
def test_nothing_to_reduce_gives_none(how: str) -> None:
    empty = recorded(SPEED, (0, 10, {"edge": [], "v": []}))
    assert value(empty, {"space": how, "time": how}) is None
    assert value(empty, {"time": how, "space": how}) is None
    assert value(TWO, {"space": how, "time": how}, where=[("v", ">", 99)]) is None
    assert value(Recording.of(SPEED, []), {"space": how, "time": how}) is None


def test_a_sum_of_nothing_is_zero_only_where_somebody_looked() -> None:
    empty = recorded(SPEED, (0, 10, {"edge": [], "v": []}))
    assert value(empty, {"space": "sum", "time": "mean"}) == 0.0
    assert value(Recording.of(SPEED, []), {"space": "sum", "time": "mean"}) is None


def test_values_at_the_start_of_the_run_belong_to_no_window() -> None:
    first = (0, 0, Table({"time": [START, START], "edge": ["a", "b"], "v": [99.0, 99.0]}))
    parts = [(int(s), int(e), TWO.window(i)) for i, (s, e) in enumerate(TWO.windows)]
    whole = Recording.of(SPEED, [first, *parts])
    reduce = {"time": "max", "space": "max"}
    assert value(whole, reduce) == value(TWO, reduce) == 8.0


# -- events ------------------------------------------------------------------------------------------

TRIPS = Port({"time": instant(), "kind": text(), "v": number("s", "x:trip_duration")}, events=True)


def trips(*durations: float) -> Recording:
    return recorded(
        TRIPS,
        (0, 10, {"kind": ["car"] * len(durations), "v": list(durations)}),
        (10, 20, {"kind": ["bus"], "v": [100.0]}),
    )


def test_events_are_reduced_one_by_one() -> None:
    assert value(trips(10.0, 40.0), {"space": "mean"}) == 50.0
    assert value(trips(10.0, 40.0), {"space": "sum"}) == 150.0
    assert value(trips(10.0, 40.0), {"space": "mean"}, where=[("kind", "==", "car")]) == 25.0
    assert value(trips(10.0, 40.0), {"space": "share"}, where=[("v", ">", 20)]) == pytest.approx(2 / 3)
    none = recorded(TRIPS, (0, 10, {"kind": [], "v": []}))
    assert value(none, {"space": "sum"}) == 0.0
    assert value(none, {"space": "mean"}) is None


# -- units -------------------------------------------------------------------------------------------


def test_values_come_in_the_unit_asked_for() -> None:
    mean = {"space": "mean", "time": "mean"}
    assert value(TWO, mean, unit="km/h") == pytest.approx(3.6 * (2 * 10 + 6 * 20) / 30)
    late = {"time": "duration", "space": "mean"}
    assert value(TWO, late, where=[("v", ">", 3.5)], unit="min") == pytest.approx(20.0)
    assert value(TWO, {"time": "share", "space": "mean"}, where=[("v", ">", 3.5)], unit="%") == pytest.approx(
        200 / 3
    )
    assert value(trips(20.0, 60.0), {"space": "mean"}, unit="min") == pytest.approx(1.0)
    warm = recorded(edges(v=number("Cel", "air_temperature")), (0, 10, {"edge": ["a"], "v": [20.0]}))
    assert value(warm, mean, unit="K") == pytest.approx(293.15)


@pytest.mark.parametrize(
    ("reduce", "unit"), [({"time": "share"}, "1"), ({"time": "duration"}, "s"), ({"time": "mean"}, "m/s")]
)
def test_the_unit_before_conversion(reduce: dict[str, str], unit: str) -> None:
    assert k.result_unit(definition(reduce, where=[("v", ">", 1)]), SPEED.columns["v"]) == unit


def test_levels_are_averaged_by_energy_alone() -> None:
    level = number("dB", "x:sound_level_a", cell="mean")
    port = edges(v=level)
    loud = recorded(
        port,
        (0, 10, {"edge": ["a", "b"], "v": [60.0, 70.0]}),
        (10, 20, {"edge": ["a", "b"], "v": [60.0, 60.0]}),
    )
    energy = 10 * math.log10((10**6 + 10**7) / 2)
    assert value(loud, {"space": "energetic", "time": "max"}) == pytest.approx(energy)
    whole = 10 * math.log10((10**6 * 3 + 10**7) / 4)
    assert value(loud, {"time": "energetic", "space": "energetic"}) == pytest.approx(whole)
    for reduce in ({"space": "mean", "time": "max"}, {"time": "sum", "space": "max"}):
        with pytest.raises(WiringError, match="levels in dB have no"):
            k.check_reductions(definition(reduce), level, False, "here")


# -- weights -----------------------------------------------------------------------------------------


def weights(*pairs: tuple[str, float | None]) -> Recording:
    columns = {"edge": [i for i, _ in pairs], "n": [n for _, n in pairs], "name": ["x"] * len(pairs)}
    return recorded(LENGTHS, (0, 0, columns))


def test_a_weight_is_joined_by_id() -> None:
    mean = {"time": "mean", "space": "mean"}
    assert value(TWO, mean, weight_of=weights(("b", 3.0), ("a", 1.0))) == pytest.approx((3 + 3 * 19 / 3) / 4)
    assert value(TWO, {"space": "sum", "time": "last"}, weight_of=weights(("a", 2.0), ("b", 10.0))) == 88.0
    share = {"time": "mean", "space": "share"}
    assert value(TWO, share, where=[("v", ">", 5)], weight_of=weights(("a", 1.0), ("b", 3.0))) == 0.75


def test_entities_without_a_weight_do_not_count() -> None:
    mean = {"time": "mean", "space": "mean"}
    for known in (weights(("b", 3.0)), weights(("b", 3.0), ("a", None)), weights(("b", 3.0), ("a", 0.0))):
        assert value(TWO, mean, weight_of=known) == pytest.approx(19 / 3)
    assert value(TWO, mean, weight_of=weights(("a", 0.0), ("b", 0.0))) is None
    with pytest.raises(DataError, match="none of 2 ids") as caught:
        value(TWO, mean, weight_of=weights(("elsewhere", 1.0)))
    assert caught.value.code == "ids do not pair"
    assert caught.value.exit_code == 12


def test_a_weight_of_each_window_weighs_that_window() -> None:
    """The mean speed weighed by the flow of the same window."""
    flows = recorded(
        edges(n=number("1", "x:flow")),
        (0, 10, {"edge": ["b", "a"], "n": [9.0, 1.0]}),
        (10, 30, {"edge": ["a", "b"], "n": [3.0, 1.0]}),
    )
    first, second = (1 * 1 + 9 * 3) / 10, (3 * 4 + 1 * 8) / 4
    got = value(TWO, {"space": "mean", "time": "mean"}, weight_of=flows)
    assert got == pytest.approx((first * 10 + second * 20) / 30)
    mean_a, mean_b = (1 * 10 + 3 * 20) / 30, (9 * 10 + 1 * 20) / 30
    got = value(TWO, {"time": "mean", "space": "mean"}, weight_of=flows)
    assert got == pytest.approx((3 * mean_a + 19 / 3 * mean_b) / (mean_a + mean_b))
    other = recorded(edges(n=number("1", "x:flow")), (0, 30, {"edge": ["a"], "n": [1.0]}))
    with pytest.raises(DataError, match="other windows"):
        value(TWO, {"space": "mean", "time": "mean"}, weight_of=other)


def test_attributes_said_at_the_start_select() -> None:
    names = recorded(LENGTHS, (0, 0, {"edge": ["a", "b"], "n": [1.0, 1.0], "name": ["Main", None]}))
    mean = {"time": "mean", "space": "mean"}
    assert value(TWO, mean, where=[("name", "==", "Main")], attributes={"name": names}) == 3.0


# -- against the baseline ------------------------------------------------------------------------------


def levels(**by_edge: tuple[float, float]) -> Recording:
    port = edges(v=number("dB", "x:sound_level_a", cell="mean"))
    windows = [
        (10 * i, 10 * i + 10, {"edge": list(by_edge), "v": [v[i] for v in by_edge.values()]}) for i in (0, 1)
    ]
    return recorded(port, *windows)


def test_buildings_a_decibel_quieter_than_in_the_baseline() -> None:
    base = levels(a=(60.0, 60.0), b=(60.0, 60.0), c=(60.0, 60.0))
    mine = levels(b=(60.0, 58.0), a=(58.0, 58.0), d=(0.0, 0.0), c=(61.0, 60.0))
    found = value(
        mine,
        {"time": "energetic", "space": "share"},
        where=[("v", "<=", -1.0)],
        against="base",
        baseline=base,
    )
    b = 10 * math.log10((10**6 + 10**5.8) / 2) - 60
    assert -1 < b < 0
    assert found == pytest.approx(1 / 3)  # a alone of a, b, c; d has no baseline
    same = value(
        base, {"time": "max", "space": "share"}, where=[("v", "<=", -1.0)], against="base", baseline=base
    )
    assert same == 0.0
    worst = value(mine, {"time": "max", "space": "min"}, against="base", baseline=base)
    assert worst == -2.0


def test_a_difference_of_temperatures_has_no_zero_point() -> None:
    port = edges(v=number("Cel", "air_temperature"))
    cool, warm = (recorded(port, (0, 10, {"edge": ["a"], "v": [v]})) for v in (10.0, 13.0))
    for reduce in ({"time": "mean", "space": "mean"}, {"space": "mean", "time": "mean"}):
        got = value(warm, reduce, unit="K", against="base", baseline=cool)
        assert got == pytest.approx(3.0)


def test_events_are_paired_by_their_id() -> None:
    port = Port(
        {"time": instant(), "trip": text(), "v": number("s", "x:d")}, events=True, entity="trip", id="trip"
    )
    base = recorded(port, (0, 10, {"trip": ["t1", "t2", "t3"], "v": [10.0, 20.0, 30.0]}))
    mine = recorded(port, (0, 10, {"trip": ["t3", "t1"], "v": [31.0, 14.0]}))
    assert value(mine, {"space": "mean"}, against="base", baseline=base) == pytest.approx(2.5)


def test_runs_in_other_windows_are_not_compared_window_by_window() -> None:
    base = recorded(SPEED, (0, 30, {"edge": ["a", "b"], "v": [1.0, 1.0]}))
    with pytest.raises(DataError, match="2 windows cannot be compared with 1"):
        value(TWO, {"space": "mean", "time": "mean"}, against="base", baseline=base)
    got = value(TWO, {"time": "mean", "space": "mean"}, against="base", baseline=base)
    assert got == pytest.approx((3 + 19 / 3) / 2 - 1)


def test_a_kpi_that_leaves_more_than_one_number_is_refused() -> None:
    with pytest.raises(DataError, match="leaves 1 windows and 2 entities"):
        value(TWO, {"time": "mean"})


def test_one_id_twice_in_a_window_is_refused() -> None:
    twice = recorded(
        SPEED, (0, 10, {"edge": ["a", "a"], "v": [1.0, 2.0]}), (10, 20, {"edge": ["a"], "v": [1.0]})
    )
    with pytest.raises(RunError, match="'a' stands twice"):
        value(twice, {"time": "mean", "space": "mean"})


# -- any data: the same as plain loops ------------------------------------------------------------------


@given(st.data())
def test_means_and_sums_agree_with_plain_loops(data: st.DataObject) -> None:
    ids = ["a", "b", "c"]
    lengths = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=4))
    windows, at = [], 0
    for length in lengths:
        here = data.draw(st.lists(st.sampled_from(ids), unique=True))
        speeds = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(here), max_size=len(here)))
        windows.append((at, at + length, {"edge": here, "v": speeds}))
        at += length
    recording = recorded(SPEED, *windows)
    table = {(i, w): v for w, (_, _, c) in enumerate(windows) for i, v in zip(c["edge"], c["v"], strict=True)}
    per_id = []
    for i in ids:
        seen = [(lengths[w], v) for (j, w), v in table.items() if j == i]
        if seen:
            per_id.append(sum(n * v for n, v in seen) / sum(n for n, _ in seen))
    got = value(recording, {"time": "mean", "space": "mean"})
    expected = sum(per_id) / len(per_id) if per_id else None
    assert got == (None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9))
    totals = [sum(v for (_, w), v in table.items() if w == n) for n in range(len(lengths))]
    got = value(recording, {"space": "sum", "time": "mean"})
    assert got == pytest.approx(
        sum(t * n for t, n in zip(totals, lengths, strict=True)) / at, rel=1e-9, abs=1e-9
    )


# -- comparison ------------------------------------------------------------------------------------------


@given(
    st.integers(3, 40).flatmap(
        lambda n: st.tuples(*[st.lists(st.floats(-1e3, 1e3, width=32), min_size=n, max_size=n)] * 2)
    )
)
def test_the_interval_is_students(pair: tuple[list[float], list[float]]) -> None:
    from scipy import stats

    mine, base = (np.array(v) for v in pair)
    spread = (mine - base).std(ddof=1)
    found = k.change(mine.tolist(), base.tolist())
    assert found is not None
    assert found.mean == pytest.approx((mine - base).mean(), rel=1e-12, abs=1e-12)
    if spread <= 1e-9:
        return
    low, high = stats.t.interval(0.95, len(mine) - 1, (mine - base).mean(), spread / math.sqrt(len(mine)))
    assert (found.low, found.high) == (
        pytest.approx(low, rel=1e-6, abs=1e-6),
        pytest.approx(high, rel=1e-6, abs=1e-6),
    )
    p = stats.ttest_rel(mine, base).pvalue
    if abs(p - 0.05) > 1e-6:
        assert found.verdict == (k.DISTINGUISHABLE if p < 0.05 else k.NOT_DISTINGUISHABLE)
        assert found.certain == (p < 0.05)


@given(st.integers(1, 300))
def test_quantiles_of_student(freedom: int) -> None:
    from scipy import stats

    assert k.student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


@pytest.mark.parametrize("n", [1, 2])
def test_two_replicates_are_too_few_to_tell(n: int) -> None:
    found = k.change([2.0, 5.0][:n], [1.0, 1.0][:n])
    assert found is not None
    assert (found.verdict, found.low, found.high, found.certain, found.n) == (
        "too few to tell",
        None,
        None,
        False,
        n,
    )


def test_no_spread_is_the_same_in_every_replicate() -> None:
    found = k.change([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])
    assert found is not None
    assert found.verdict == "same in every replicate"
    assert found.low == found.high == found.mean == pytest.approx(0.1)
    assert found.certain
    nothing = k.change([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert nothing is not None
    assert (nothing.mean, nothing.verdict, nothing.certain) == (0.0, "same in every replicate", False)


def test_replicates_without_a_value_are_left_out_in_pairs() -> None:
    found = k.change([1.0, None, 3.0, 9.0], [0.0, 1.0, None, 7.0])
    assert found is not None
    assert (found.n, found.mean) == (2, 1.5)
    assert k.change([None], [1.0]) is None
    assert k.change([], []) is None


def test_the_percentage_is_of_the_baseline() -> None:
    for base, percent in [([4.0] * 3, 50.0), ([-4.0] * 3, 50.0), ([0.0] * 3, None)]:
        found = k.change([v + 2 for v in base], base)
        assert found is not None
        assert found.percent == percent


def test_pairing_takes_the_shared_noise_away_or_adds_some() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(size=400)
    own = rng.normal(scale=0.1, size=(2, 400))
    paired = k.change(list(shared + own[0]), list(shared + own[1]))
    assert paired is not None
    assert paired.gain == pytest.approx(1 - 0.01 / 1.01, abs=0.01)
    against = k.change(list(shared + own[0]), list(-shared + own[1]))
    assert against is not None
    assert against.gain == pytest.approx(-1 / 1.01, abs=0.02)


def test_without_chance_one_replicate_tells_it_all() -> None:
    found = k.change([3.0], [2.0], chance=False)
    assert found is not None
    assert (found.verdict, found.mean, found.low, found.certain) == (k.SAME, 1.0, 1.0, True)
    few = k.change([3.0], [2.0])
    assert few is not None
    assert few.verdict == k.TOO_FEW
