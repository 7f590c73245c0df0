"""The clock, the hand-over and the end of a stage: properties, closed forms, and whose fault an error is."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core import errors as e
from ldt_core.interfaces import Step
from ldt_core.runner import Member, Outcome, Setting, run_stage
from ldt_core.tables import Port, Recording, Table, boolean, geometry, instant, integer, number, text
from ldt_core.wires import Wire

SECOND = 1_000_000
START = np.datetime64("2026-03-02T05:00", "us")
PLAIN = Port({"v": number("1", "x:v", cell="mean")})
POINT = Port({"v": number("1", "x:v")})
THINGS = Port(
    {"time": instant(), "id": text(), "v": number("1", "x:v", cell="mean")}, entity="thing", id="id"
)
ONCE = Port({"id": text(), "w": number("1", "x:w")}, entity="thing", id="id", at="start")

Answer = Callable[..., Any]


def row(value: float) -> dict[str, Table]:
    return {"out": Table({"v": [value]})}


def simulator(step: Answer, *, outputs: Any = None, inputs: Any = None, start: Answer | None = None) -> Any:
    """A simulator whose step is ``step(self, inputs, until)``."""

    class Made(ldt.Simulator):
        id = "made"

        def initialize(self, inputs: Any) -> Any:
            self.log: list[Any] = []
            return start(self, inputs) if start else None

        def step(self, inputs: Any, until: int) -> Any:
            return step(self, inputs, until)

    Made.inputs, Made.outputs = inputs or {}, outputs or {"out": PLAIN}
    return Made


def model(compute: Answer, *, outputs: Any = None, inputs: Any = None) -> Any:
    class Made(ldt.Model):
        id = "made-model"

        def compute(self, inputs: Any) -> Any:
            return compute(self, inputs)

    Made.inputs, Made.outputs = inputs or {}, outputs or {"out": PLAIN}
    return Made


def source(read: Answer, port: Port) -> Any:
    class Made(ldt.DataSource):
        id = "made-source"

        def read(self, query: ldt.Query) -> Any:
            return read(self, query)

    Made.outputs = {"out": port}
    return Made


def member(name: str, kind: Any, step: int | None = None, seed: int = 0) -> Member:
    return Member(name, kind, kind.Params(), kind.inputs, kind.outputs, step, seed)


class Stage:
    """Members and wires on the way to ``run_stage``."""

    def __init__(self, folder: Path, end: int = 60) -> None:
        self.setting = Setting(START, end, "EPSG:25832", None, folder / "scratch", folder / "cache")
        self.members: list[Member] = []
        self.wires: list[Wire] = []
        self.told: list[float] = []

    def add(self, name: str, kind: Any, step: int | None = None) -> Stage:
        self.members.append(member(name, kind, step))
        return self

    def wire(self, origin: str, target: str, **words: Any) -> Stage:
        (a, out), (b, into) = origin.split("."), target.split(".")
        words.setdefault("methods", {"v": "mean"})
        self.wires.append(Wire(a, out, b, into, **words))
        return self

    def run(self, *record: str, **more: Any) -> Outcome:
        inputs = more.pop("inputs", {})
        every = more.pop("every", None)
        more.setdefault("progress", self.told.append)
        return run_stage(self.members, self.wires, inputs, dict.fromkeys(record, every), self.setting, **more)

    def values(self, ref: str, **more: Any) -> list[float]:
        found: list[float] = self.run(ref, **more).recordings[ref].table["v"].tolist()
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


# -- the clock -------------------------------------------------------------------------------------


def test_windows_follow_one_another_and_the_last_is_cut(stage: Stage) -> None:
    seen: list[Any] = []

    def step(self: Any, inputs: Any, until: int) -> Any:
        seen.append((*self.context.window, until))
        return row(0)

    recording = stage.add("s", simulator(step), 25).run("s.out").recordings["s.out"]
    assert seen == [(0, 25, 25), (25, 50, 50), (50, 60, 60)]
    assert recording.windows.tolist() == [[0, 25], [25, 50], [50, 60]]


@st.composite
def pulses(draw: st.DrawFn) -> tuple[int, int, list[dict[str, float]], list[int]]:
    """(source's step, reader's step, rows per source window, how far each step comes)."""
    a, b = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rows = st.dictionaries(st.sampled_from("abc"), st.floats(-1e3, 1e3), max_size=3)
    return (
        a,
        b,
        draw(st.lists(rows, min_size=60, max_size=60)),
        draw(st.lists(st.integers(1, 12), min_size=60, max_size=60)),
    )


@given(pulses(), st.booleans())
def test_a_now_reader_sees_means_over_its_own_window(
    tmp_path_factory: pytest.TempPathFactory, drawn: Any, early: bool
) -> None:
    """Any two steps, entities that come and go, steps that stop early: as tick by tick."""
    a, b, rows, reach = drawn
    ticks: dict[int, dict[str, float]] = {}

    def give(self: Any, inputs: Any, until: int) -> Any:
        n, start = len(self.log), self.context.window.start
        self.log.append(n)
        reached = min(until, start + reach[n]) if early else until
        values = rows[n]
        ticks.update(dict.fromkeys(range(start, reached), values))
        ids = np.array([*values, None], object)[:-1]
        table = Table(
            {"time": np.full(len(ids), START), "id": ids, "v": list(values.values()) or np.zeros(0)}
        )
        return Step({"out": table}, reached)

    seen: list[tuple[int, int, Any]] = []

    def take(self: Any, inputs: Any) -> Any:
        table = inputs["in"]
        got = dict(zip(table["id"], table["v"].tolist(), strict=True))
        seen.append((*self.context.window, got))
        return row(0)

    stage = Stage(tmp_path_factory.mktemp("run"))
    stage.add("s", simulator(give, outputs={"out": THINGS}), a).add(
        "m", model(take, inputs={"in": THINGS}), b
    )
    stage.wire("s.out", "m.in").run()
    assert [s for s, _, _ in seen] == list(range(0, 60, b))
    for start, end, got in seen:
        want: dict[str, list[float]] = {}
        for tick in range(start, end):
            for name, value in ticks[tick].items():
                want.setdefault(name, []).append(value)
        assert got == {n: pytest.approx(math.fsum(v) / len(v), rel=1e-9, abs=1e-9) for n, v in want.items()}


def test_a_simulator_that_stops_early_reads_again_from_there(stage: Stage) -> None:
    """The reader stops in the middle of its source's window, and still finds that window."""
    seen: list[Any] = []

    def give(self: Any, inputs: Any, until: int) -> Any:
        return row(float(self.context.window.start))

    def take(self: Any, inputs: Any, until: int) -> Any:
        seen.append((*self.context.window, inputs["in"]["v"].tolist()))
        return Step(row(0), min(until, self.context.window.start + 20))

    stage.add("a", simulator(give), 30).add("b", simulator(take, inputs={"in": PLAIN}), 30).wire(
        "a.out", "b.in"
    ).run()
    assert seen == [(0, 30, [0.0]), (20, 50, [20.0]), (40, 60, [30.0])]


def test_events_are_joined_never_reduced(stage: Stage) -> None:
    port = Port({"time": instant(), "v": number("1", "x:v")}, events=True)
    seen: list[Any] = []

    def give(self: Any, inputs: Any, until: int) -> Any:
        start = self.context.window.start
        times = [t for t in (3, 4, 17, 33, 59) if start <= t < until]
        stamps = np.array([START + np.timedelta64(t, "us") for t in times], "M8[us]")
        return {"out": Table({"time": stamps, "v": np.array(times, float)})}

    def take(self: Any, inputs: Any) -> Any:
        seen.append(inputs["in"]["v"].tolist())
        return row(0)

    stage.add("s", simulator(give, outputs={"out": port}), 5).add("m", model(take, inputs={"in": port}), 15)
    stage.wire("s.out", "m.in").run()
    assert seen == [[3, 4], [17], [33], [59]]


def test_a_lag_reader_starts_with_init_in_its_own_unit(stage: Stage) -> None:
    seen: list[float] = []

    def both(self: Any, inputs: Any, until: int) -> Any:
        seen.append(inputs["in"]["v"].tolist()[0])
        return row(float(until))

    stage.add("s", simulator(both, inputs={"in": PLAIN}), 20).wire(
        "s.out", "s.in", when="lag", init=-1.0
    ).run()
    assert seen == [-1.0, 20.0, 40.0]


def test_init_fills_every_entity_that_is_known_at_the_start(stage: Stage) -> None:
    port = Port(
        {"time": instant(), "id": text(), "v": number("1", "x:v"), "on": boolean()}, entity="thing", id="id"
    )
    first: list[Table] = []

    def step(self: Any, inputs: Any, until: int) -> Any:
        first.append(inputs["in"])
        return {"out": inputs["in"], "net": None}

    def start(self: Any, inputs: Any) -> Any:
        return {"net": Table({"id": ["x", "y"], "w": [1.0, 2.0]})}

    both = Port({"time": instant(), "id": text(), "v": number("1", "x:v")}, entity="thing", id="id")
    kind = simulator(step, outputs={"out": both, "net": ONCE}, inputs={"in": both}, start=start)
    stage.add("s", kind, 30).wire("s.out", "s.in", when="lag", init=7.0).run()
    assert list(first[0]["id"]) == ["x", "y"]
    assert first[0]["v"].tolist() == [7.0, 7.0]
    assert (first[0]["time"] == START).all()
    assert port.columns["on"].kind == "boolean"


def test_values_of_initialize_serve_as_the_first_of_a_lag(stage: Stage) -> None:
    seen: list[float] = []

    def step(self: Any, inputs: Any, until: int) -> Any:
        seen.append(inputs["in"]["v"].tolist()[0])
        return row(float(until))

    kind = simulator(step, inputs={"in": PLAIN}, start=lambda self, inputs: row(5.0))
    found = stage.add("s", kind, 30).wire("s.out", "s.in", when="lag").run("s.out").recordings["s.out"]
    assert seen == [5.0, 30.0]
    assert found.windows.tolist() == [[0, 0], [0, 30], [30, 60]]


def test_a_lag_between_stages_finds_the_value_of_initialize_too(tmp_path: Path) -> None:
    first = Stage(tmp_path).add("s", simulator(lambda self, i, u: row(u), start=lambda self, i: row(5.0)), 30)
    stored = first.run("s.out").recordings
    seen: list[float] = []

    def take(self: Any, inputs: Any) -> Any:
        seen.append(inputs["in"]["v"].tolist()[0])
        return row(0)

    second = Stage(tmp_path).add("m", model(take, inputs={"in": PLAIN}), 30)
    second.wire("s.out", "m.in", when="lag").run(inputs=stored)
    assert seen == [5.0, 30.0]


def test_a_lag_without_a_first_value_says_how_to_mend_it(stage: Stage) -> None:
    kind = simulator(lambda self, i, u: row(0), inputs={"in": PLAIN})
    stage.add("s", kind, 20).wire("s.out", "s.in", when="lag", place="twin.yaml:9:3")
    with pytest.raises(e.ScheduleError, match="no value yet") as caught:
        stage.run()
    assert caught.value.code == "init missing"
    assert caught.value.where.startswith("twin.yaml:9:3")


def test_a_stall_is_an_error_not_a_hang(stage: Stage) -> None:
    kind = simulator(lambda self, i, u: row(0), inputs={"in": PLAIN})
    stage.add("a", kind, 10).add("b", kind, 7).add("c", kind, 10)
    stage.wire("a.out", "b.in").wire("b.out", "c.in").wire("c.out", "a.in", when="lag", init=0.0)
    with pytest.raises(e.ScheduleError, match=r"stall: a at 1e-05 s \(waits for c\)") as caught:
        stage.run()
    assert (caught.value.code, bool(caught.value.fix)) == ("stall", True)


def test_a_model_whose_inputs_are_given_once_runs_once(stage: Stage) -> None:
    calls: list[Any] = []

    def compute(self: Any, inputs: Any) -> Any:
        calls.append((*self.context.window, inputs["net"]["w"].tolist()))
        return row(inputs["net"]["w"].sum())

    stored = {"x.net": Recording.of(ONCE, [(0, 0, Table({"id": ["a", "b"], "w": [1.0, 2.0]}))])}
    stage.add("m", model(compute, inputs={"net": ONCE})).wire("x.net", "m.net")
    found = stage.run("m.out", inputs=stored).recordings["m.out"]
    assert calls == [(0, 60, [1.0, 2.0])]
    assert found.windows.tolist() == [[0, 60]]
    assert found.table["v"].tolist() == [3.0]


def test_a_table_of_the_start_is_handed_on_inside_a_loop(stage: Stage) -> None:
    """sim -> model (once) -> other sim (start); the sims are joined in a loop."""

    def index(self: Any, inputs: Any) -> Any:
        return {"index": inputs["net"].with_columns(w=inputs["net"]["w"] * 10)}

    seen: list[Any] = []

    def last(self: Any, inputs: Any, until: int) -> Any:
        seen.append(self.weights)
        return row(0)

    def keep(self: Any, inputs: Any) -> None:
        self.weights = inputs["index"]["w"].tolist()

    stage.add("c", simulator(last, inputs={"index": ONCE, "in": PLAIN}, start=keep), 30)
    stage.add("m", model(index, inputs={"net": ONCE}, outputs={"index": ONCE}))
    give = simulator(
        lambda self, i, u: row(1),
        inputs={"in": PLAIN},
        outputs={"out": PLAIN, "net": ONCE},
        start=lambda self, i: {"net": Table({"id": ["a"], "w": [2.0]})},
    )
    stage.add("s", give, 30)
    stage.wire("s.net", "m.net").wire("m.index", "c.index").wire("s.out", "c.in")
    found = stage.wire("c.out", "s.in", when="lag", init=0.0).run("m.index")
    assert seen == [[20.0], [20.0]]
    assert found.recordings["m.index"].table["w"].tolist() == [20.0]


def test_start_tables_that_wait_for_each_other_are_an_error(stage: Stage) -> None:
    kind = simulator(lambda self, i, u: row(0), inputs={"in": ONCE}, outputs={"out": PLAIN, "net": ONCE})
    stage.add("a", kind, 30).add("b", kind, 30).wire("a.net", "b.in").wire("b.net", "a.in")
    with pytest.raises(e.ScheduleError, match="a, b wait for each other") as caught:
        stage.run()
    assert caught.value.code == "cycle"


# -- coupled systems ---------------------------------------------------------------------------------


def tank(level: float, step: float) -> Any:
    """h' = other - h, solved exactly for the other's level held over the step."""

    def start(self: Any, inputs: Any) -> Any:
        self.level = level
        return row(level)

    def advance(self: Any, inputs: Any, until: int) -> Any:
        other = inputs["in"]["v"].tolist()[0]
        self.level = other + (self.level - other) * math.exp(-step)
        return row(self.level)

    return simulator(advance, inputs={"in": POINT}, outputs={"out": POINT}, start=start)


def tanks(folder: Path, n: int) -> float:
    """Error of the levels' difference at t = 1, coupled by lag in n steps. Exact: 2 exp(-2 t)."""
    stage = Stage(folder, end=n)
    stage.add("a", tank(3.0, 1 / n), 1).add("b", tank(1.0, 1 / n), 1)
    for one, other in ("ab", "ba"):
        stage.wire(f"{one}.out", f"{other}.in", when="lag", methods={"v": "last"})
    found = stage.run("a.out", "b.out").recordings
    return float(found["a.out"].table["v"][-1] - found["b.out"].table["v"][-1]) - 2 * math.exp(-2)


def test_two_tanks_coupled_by_lag_converge_with_order_one(tmp_path: Path) -> None:
    errors = [abs(tanks(tmp_path, n)) for n in (16, 32, 64, 128)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(0.9 < order < 1.1 for order in orders), orders
    assert errors[-1] < 0.005


def predator_prey(stage: Stage, *, now: bool) -> tuple[list[float], list[float]]:
    """Explicit Euler of Lotka and Volterra, one species per simulator."""
    h = 0.05

    def prey(self: Any, inputs: Any, until: int) -> Any:
        other = inputs["in"]["v"].tolist()[0]
        self.n += h * self.n * (1.0 - 0.5 * other)
        return row(self.n)

    def predator(self: Any, inputs: Any, until: int) -> Any:
        other = inputs["in"]["v"].tolist()[0]
        self.n += h * self.n * (0.25 * other - 0.75)
        return row(self.n)

    def start(self: Any, inputs: Any) -> Any:
        self.n = 2.0
        return row(2.0)

    for name, step in (("prey", prey), ("predator", predator)):
        stage.add(name, simulator(step, inputs={"in": POINT}, outputs={"out": POINT}, start=start), 1)
    stage.wire("predator.out", "prey.in", when="lag", methods={"v": "last"})
    stage.wire("prey.out", "predator.in", when="now" if now else "lag", methods={"v": "last"})
    found = stage.run("prey.out", "predator.out").recordings
    return found["prey.out"].table["v"].tolist(), found["predator.out"].table["v"].tolist()


@pytest.mark.parametrize("now", [True, False])
def test_predator_and_prey_are_bit_for_bit_the_loop_by_hand(stage: Stage, now: bool) -> None:
    x = y = 2.0
    xs, ys = [x], [y]
    for _ in range(60):
        new = x + 0.05 * x * (1.0 - 0.5 * y)
        y = y + 0.05 * y * (0.25 * (new if now else x) - 0.75)
        x = new
        xs.append(x)
        ys.append(y)
    assert predator_prey(stage, now=now) == (xs, ys)


def test_the_change_of_a_lag_link_is_noted(stage: Stage) -> None:
    values = [1.0, 3.0, -1.0, -1.0]
    kind = simulator(lambda self, i, u: row(values[u // 15 - 1]), inputs={"in": PLAIN})
    outcome = stage.add("s", kind, 15).wire("s.out", "s.in", when="lag", init=1.0).run()
    assert outcome.notes == {"lag change s.out": 2.0}  # from 1 to 3; the last window is read by nobody


@given(st.data())
def test_any_order_of_members_and_links_gives_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Four simulators in a ring at three rates, with a sum of three links whose floats do not commute."""

    def add(self: Any, inputs: Any, until: int) -> Any:
        self.log.append(until)
        total = sum(float(t["v"][0]) for t in inputs.values())
        return row(math.sin(total + len(self.log)) * 0.1 + 1e16 * (self.context.seed == 0) / 3)

    ring = {"in": POINT}
    steps = {"a": 2, "b": 3, "c": 6, "d": 6}
    kinds = {n: simulator(add, inputs=ring, outputs={"out": POINT}) for n in steps}
    links = [
        ("a.out", "b.in", {}),
        ("b.out", "c.in", {}),
        ("c.out", "a.in", {"when": "lag", "init": 0.25}),
        ("a.out", "d.in", {"merge": "sum"}),
        ("b.out", "d.in", {"merge": "sum"}),
        ("c.out", "d.in", {"merge": "sum"}),
    ]

    def run(names: Sequence[str], order: Sequence[Any]) -> dict[str, str]:
        stage = Stage(tmp_path_factory.mktemp("run"), end=24)
        for name in names:
            stage.add(name, kinds[name], steps[name])
        for origin, target, words in order:
            stage.wire(origin, target, methods={"v": "last"}, **words)
        found = stage.run(*(f"{n}.out" for n in steps)).recordings
        return {n: r.digest for n, r in found.items()}

    assert run(data.draw(st.permutations(list(steps))), data.draw(st.permutations(links))) == run(
        list(steps), links
    )


# -- merging -----------------------------------------------------------------------------------------


def things(values: Mapping[str, float], time: int = 0) -> Table:
    ids = np.array([*values, None], object)[:-1]
    return Table({"time": np.full(len(ids), START), "id": ids, "v": np.array(list(values.values()), float)})


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("sum", [("x", 1.0), ("y", 12.0), ("z", 20.0)]),
        ("concat", [("x", 1.0), ("y", 2.0), ("y", 10.0), ("z", 20.0)]),
    ],
)
def test_links_into_one_input_are_merged(stage: Stage, merge: str, expected: Any) -> None:
    seen: list[Any] = []

    def take(self: Any, inputs: Any) -> Any:
        table = inputs["in"]
        seen.append(sorted(zip(table["id"], table["v"].tolist(), strict=True)))
        return row(0)

    for name, values in (("a", {"x": 1.0, "y": 2.0}), ("b", {"y": 10.0, "z": 20.0})):
        kind = simulator(lambda self, i, u, values=values: {"out": things(values)}, outputs={"out": THINGS})
        stage.add(name, kind, 30).wire(f"{name}.out", "m.in", merge=merge)
    stage.add("m", model(take, inputs={"in": THINGS}), 30).run()
    assert seen == [expected, expected]


@pytest.mark.parametrize(("merge", "expected"), [("sum", [4.0]), ("concat", [1.0, 3.0])])
def test_tables_of_the_start_are_merged_too(stage: Stage, merge: str, expected: list[float]) -> None:
    seen: list[Any] = []
    wide = Port({**ONCE.columns, "more": text()}, entity="thing", id="id", at="start")
    tables = [Table({"id": ["a"], "w": [w], "more": ["x"]}) for w in (1.0, 3.0)]
    stored = {f"s{i}.net": Recording.of(wide, [(0, 0, t)]) for i, t in enumerate(tables)}
    kind = simulator(
        lambda self, i, u: row(0),
        inputs={"net": ONCE},
        start=lambda self, i: seen.append(i["net"]["w"].tolist()),
    )
    stage.add("s", kind, 30)
    for name in stored:
        stage.wire(name, "s.net", merge=merge, select=("id", "w"))
    stage.run(inputs=stored)
    assert seen == [expected]


def test_a_reader_gets_the_columns_that_it_wants_and_no_more(stage: Stage) -> None:
    wide = Port({**THINGS.columns, "secret": text()}, entity="thing", id="id")
    seen: list[Any] = []

    def take(self: Any, inputs: Any) -> Any:
        seen.append(inputs["in"].names)
        return row(0)

    give = simulator(
        lambda self, i, u: {"out": things({"a": 1.0}).with_columns(secret=["s"])}, outputs={"out": wide}
    )
    stage.add("s", give, 20).add("m", model(take, inputs={"in": THINGS}), 30)
    stage.wire("s.out", "m.in", select=tuple(THINGS.columns)).run()
    assert seen == [["time", "id", "v"]] * 2


# -- whose fault it is ---------------------------------------------------------------------------------

TYPED = Port(
    {
        "time": instant(),
        "id": text(),
        "v": number("1", "x:v", cell="mean", range=(0, 10)),
        "n": integer(range=(0, 5)),
        "g": geometry("Point"),
    },
    entity="thing",
    id="id",
)


def typed(**changed: Any) -> Table:
    columns = {"time": [START], "id": ["a"], "v": [1.0], "n": [1], "g": [shapely.Point(0, 0)]}
    return Table(columns | changed)


BAD_OUTPUTS: dict[str, tuple[Any, str, str]] = {
    "not a number": ({"out": typed(v=[math.nan])}, "s.out.v", "row 0 is nan"),
    "infinite": ({"out": typed(v=[math.inf])}, "s.out.v", "row 0 is inf"),
    "out of range": ({"out": typed(v=[11.0])}, "s.out.v", "11.0 1 lies outside 0 to 10"),
    "a count out of range": ({"out": typed(n=[6])}, "s.out.n", "lies outside 0 to 5"),
    "missing": ({"out": typed().with_mask("v", [True])}, "s.out.v", "row 0 is missing"),
    "no name": ({"out": typed(id=np.array([None], object))}, "s.out.id", "row 0 is missing"),
    "no time": ({"out": typed(time=np.array(["NaT"], "M8[us]"))}, "s.out.time", "row 0 is missing"),
    "a naive time as text": (
        {"out": typed(time=["2026-03-02T05:00"])},
        "s.out.time",
        "object came where instant",
    ),
    "a number for a name": (
        {"out": typed(id=np.array([7], object))},
        "s.out.id",
        "row 0 is 7, text is declared",
    ),
    "another geometry": (
        {"out": typed(g=[shapely.LineString([(0, 0), (1, 1)])])},
        "s.out.g",
        "LINESTRING came",
    ),
    "a number for a count": ({"out": typed(n=[0.5])}, "s.out.n", "float64 came where integer"),
    "a column too few": ({"out": typed().drop("v")}, "s.out", "column 'v' is missing"),
    "a dict": ({"out": {"v": [1.0]}}, "s.out", "a dict came where a Table is declared"),
    "another port": ({"outt": typed()}, "s in", "the output port 'out' was not returned"),
    "nothing": (None, "s in", "the output port 'out' was not returned"),
    "a table": (typed(), "s in", "the output port 'out' was not returned"),
    "a column": (Table({"out": [1.0]}), "s.out", "a ndarray came where a Table is declared"),
    "beyond": (Step({"out": typed()}, 41), "s in", "step reached 41 us, asked were 20 < t <= 40 us"),
    "not moved": (Step({"out": typed()}, 20), "s in", "step reached 20 us"),
    "half a microsecond": (Step({"out": typed()}, 30.5), "s in", "step reached 30.5 us"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_an_output_that_breaks_its_port_names_column_and_window(stage: Stage, case: str) -> None:
    """In the second window, so that what was seen to be good before is no excuse."""
    answer, where, what = BAD_OUTPUTS[case]

    def step(self: Any, inputs: Any, until: int) -> Any:
        return {"out": typed()} if until == 20 else answer

    stage.add("s", simulator(step, outputs={"out": TYPED}), 20)
    with pytest.raises(e.RunError) as caught:
        stage.run()
    error = caught.value
    assert (error.group, error.code, error.exit_code) == ("E6", "contract broken", 13), error
    assert what in error.what
    assert error.where.startswith(where)
    assert "[2e-05 s, 4e-05 s)" in error.where
    assert error.fix


def test_a_model_may_not_stop_early(stage: Stage) -> None:
    stage.add("m", model(lambda self, i: Step(row(0), 10)), 20)
    with pytest.raises(e.RunError, match="step reached 10") as caught:
        stage.run()
    assert caught.value.code == "contract broken"


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (lambda self, i: {"net": Table({"id": ["a"], "w": [math.nan]})}, "row 0 is nan"),
        (lambda self, i: {"nett": Table({"id": ["a"], "w": [1.0]})}, "'nett', which is no output port"),
        (lambda self, i: None, "did not return the start port 'net'"),
        (lambda self, i: [1], "returned a list"),
    ],
)
def test_what_initialize_gives_is_checked(stage: Stage, start: Answer, what: str) -> None:
    stage.add("s", simulator(lambda self, i, u: row(0), outputs={"out": PLAIN, "net": ONCE}, start=start), 20)
    with pytest.raises(e.RunError, match=what) as caught:
        stage.run()
    assert caught.value.code == "contract broken"
    assert caught.value.where.startswith("s")


def test_a_reader_that_accepts_less_says_which_link_and_window(stage: Stage) -> None:
    nulls = Port({"v": number("1", "x:v", cell="mean", nulls=True)})
    give = simulator(lambda self, i, u: {"out": Table({"v": [1.0]}, {"v": [u > 20]})}, outputs={"out": nulls})
    stage.add("s", give, 20).add("m", model(lambda self, i: row(0), inputs={"in": PLAIN}), 20)
    with pytest.raises(e.InputError, match="row 0 is missing") as caught:
        stage.wire("s.out", "m.in", verify=PLAIN).run()
    assert caught.value.exit_code == 12
    assert caught.value.where == "s.out -> m.in.v (m, [2e-05 s, 4e-05 s))"


def _raise(exc: BaseException) -> Answer:
    def call(self: Any, *arguments: Any) -> Any:
        raise exc

    return call


@pytest.mark.parametrize(
    "kind", [e.ParamError, e.InputError, e.NotFound, e.Unavailable, e.Unsupported, e.Cancelled]
)
def test_what_a_component_may_raise_comes_through_with_its_place(
    stage: Stage, kind: type[e.LdtError]
) -> None:
    given = kind("no such edge", code="edge", where="net.xml:3", fix="add it")
    stage.add("s", simulator(_raise(given)), 20)
    with pytest.raises(kind) as caught:
        stage.run()
    assert (caught.value.what, caught.value.code, caught.value.fix) == ("no such edge", "edge", "add it")
    assert caught.value.where == "net.xml:3 (s, [0 s, 2e-05 s))"


@pytest.mark.parametrize(
    "exc",
    [ValueError("bad luck"), ZeroDivisionError("bad luck"), e.StoreError("bad luck"), SystemExit("bad luck")],
)
@pytest.mark.parametrize("place", ["step", "compute", "initialize", "read", "iterate", "construction"])
def test_anything_else_is_the_components_own_fault_with_its_last_words(
    stage: Stage, exc: BaseException, place: str
) -> None:
    fails = _raise(exc)
    if place in ("read", "iterate"):

        def batches(self: Any, query: Any) -> Any:
            yield fails(self)

        stage.add("s", source(fails if place == "read" else batches, PLAIN))
    elif place == "compute":
        stage.add("s", model(fails), 20)
    elif place == "initialize":
        stage.add("s", simulator(lambda self, i, u: row(0), start=fails), 20)
    else:
        kind = simulator(fails if place == "step" else lambda self, i, u: row(0))
        if place == "construction":
            kind.__init__ = fails
        stage.add("s", kind, 20)
    with pytest.raises(e.RunError) as caught:
        stage.run()
    error = caught.value
    assert (error.code, error.exit_code) == ("component raised", 13)
    assert f"{type(exc).__name__}: bad luck at test_runner.py:" in error.what
    assert error.where.startswith("s, ")
    assert error.__cause__ is exc


def test_no_memory_is_said_as_such(stage: Stage) -> None:
    with pytest.raises(e.RunError) as caught:
        stage.add("s", simulator(_raise(MemoryError())), 20).run()
    assert caught.value.code == "out of memory"


# -- the end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["nothing", "construction", "initialize", "step", "cancel"])
def test_everybody_is_finalized_whatever_happens(
    stage: Stage, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    def made(name: str, bad: str) -> Any:
        kind = simulator(
            _raise(ValueError("no")) if bad == "step" else lambda self, i, u: row(0),
            start=_raise(ValueError("no")) if bad == "initialize" else None,
        )
        if bad == "construction":
            kind.__init__ = _raise(ValueError("no"))

        def finalize(self: Any) -> None:
            ended.append(name)
            raise RuntimeError("finalize fails as well")

        kind.finalize = finalize
        return kind

    stage.add("a", made("a", "")).add("b", made("b", fails)).add("c", made("c", ""))
    stage.members = [member(m.name, m.component, 20) for m in stage.members]
    with caplog.at_level(logging.CRITICAL):
        if fails == "nothing":
            stage.run()
        elif fails == "cancel":
            with pytest.raises(e.Cancelled):
                stage.run(cancelled=lambda: True)
        else:
            with pytest.raises(e.RunError):
                stage.run()
    assert ended == (["a"] if fails == "construction" else ["a", "b", "c"])


def test_progress_only_grows_and_ends_at_one(stage: Stage) -> None:
    def step(self: Any, inputs: Any, until: int) -> Any:
        for share in (0.5, 0.2, math.nan, -1.0, 7.0, 0.9):
            self.context.progress(share)
        return Step(row(0), min(until, self.context.window.start + 13))

    stage.add("a", simulator(step), 20).add("b", simulator(lambda self, i, u: row(0)), 5).run()
    assert stage.told[-1] == 1.0
    assert all(a <= b for a, b in itertools.pairwise(stage.told))
    assert all(0 < share <= 1 for share in stage.told)
    assert len(stage.told) > 5


def test_a_long_run_tells_a_thousand_times_at_most(tmp_path: Path) -> None:
    stage = Stage(tmp_path, end=20_000).add("s", simulator(lambda self, i, u: row(0)), 1)
    stage.run()
    assert 500 < len(stage.told) <= 1002


def test_flags_come_back_by_component(stage: Stage) -> None:
    def step(self: Any, inputs: Any, until: int) -> Any:
        self.context.flag("late", until, "vehicles that were late", "1")
        return row(0)

    flags = stage.add("s", simulator(step), 30).run().flags
    assert [(f.name, f.value, f.text) for f in flags["s"]] == [("late", 60.0, "vehicles that were late")]


def test_a_coarser_record_is_reduced_by_cell_method(stage: Stage) -> None:
    stage.add("s", simulator(lambda self, i, u: row(float(u))), 10)
    found = stage.run("s.out", every=40).recordings["s.out"]
    assert found.windows.tolist() == [[0, 40], [40, 60]]
    assert found.table["v"].tolist() == [25.0, 55.0]


def test_only_what_is_asked_for_is_recorded(stage: Stage) -> None:
    stage.add("s", simulator(lambda self, i, u: row(0)), 30)
    assert stage.run().recordings == {}


# -- sources -------------------------------------------------------------------------------------------

SITES = Port(
    {"time": instant(), "id": text(), "v": number("1", "x:v"), "g": geometry("Point")}, entity="site", id="id"
)


def sites(*rows: tuple[int, str, float, float]) -> Table:
    times = np.array([START + np.timedelta64(t, "us") for t, *_ in rows], "M8[us]")
    shapes = np.array([shapely.Point(x, 0) for _, _, _, x in rows] + [None], object)[:-1]
    ids = np.array([i for _, i, _, _ in rows] + [None], object)[:-1]
    return Table({"time": times, "id": ids, "v": [v for _, _, v, _ in rows], "g": shapes})


def test_a_source_that_gives_too_much_is_filtered_by_time_and_place(tmp_path: Path) -> None:
    table = sites(
        (-1, "early", 0, 5), (0, "a", 1, 5), (0, "far", 2, 50), (59, "b", 3, 10), (60, "late", 4, 5)
    )
    stage = Stage(tmp_path)
    stage.setting = Setting(START, 60, "EPSG:25832", (0, -1, 10, 1), tmp_path, tmp_path)
    asked: list[ldt.Query] = []

    def read(self: Any, query: ldt.Query) -> Any:
        asked.append(query)
        return {"out": table}

    found = stage.add("s", source(read, SITES)).run("s.out").recordings["s.out"]
    assert list(found.table["id"]) == ["a", "b"]
    assert found.windows.tolist() == [[0, 59], [59, 60]]
    assert (asked[0].start, asked[0].end, asked[0].bbox) == (
        START,
        START + np.timedelta64(60, "us"),
        (0, -1, 10, 1),
    )


def test_a_source_may_answer_in_batches(stage: Stage) -> None:
    def read(self: Any, query: Any) -> Any:
        for t in (30, 0, 10):
            yield {"out": sites((t, f"i{t}", float(t), 0))}

    found = stage.add("s", source(read, SITES)).run("s.out").recordings["s.out"]
    assert list(found.table["id"]) == ["i0", "i10", "i30"]
    assert Stage.run(stage, "s.out").recordings["s.out"].digest == found.digest


def test_a_source_without_a_row_is_an_empty_recording(stage: Stage) -> None:
    for read in (lambda self, q: {"out": sites()}, lambda self, q: iter(())):
        stage.members = []
        found = stage.add("s", source(read, SITES)).run("s.out").recordings["s.out"]
        assert len(found) == len(found.table) == 0
        assert found.table.names == list(SITES.columns)


def test_a_coarser_record_of_a_source(stage: Stage) -> None:
    port = Port({"time": instant(), "v": number("1", "x:v", cell="mean")})
    times = [START + np.timedelta64(t, "us") for t in (0, 10, 30)]
    read: Answer = lambda self, q: {"out": Table({"time": times, "v": [1.0, 4.0, 9.0]})}  # noqa: E731
    found = stage.add("s", source(read, port)).run("s.out", every=30).recordings["s.out"]
    assert found.windows.tolist() == [[0, 30], [30, 60]]
    assert found.table["v"].tolist() == [3.0, 9.0]


@pytest.mark.parametrize(
    ("answer", "group", "what"),
    [
        ({"out": Table({"v": [math.nan]})}, "E5", "row 0 is nan"),
        ({"out": Table({"w": [1.0]})}, "E5", "column 'v' is missing"),
        ({"outt": Table({"v": [1.0]})}, "E6", "'out' was not returned"),
        ([Table({"v": [1.0]})], "E6", "a Table, not tables by port"),
        (7, "E6", "TypeError"),
        (None, "E6", "TypeError"),
    ],
)
def test_what_a_source_gives_is_the_data_owners_or_the_authors(
    stage: Stage, answer: Any, group: str, what: str
) -> None:
    stage.add("s", source(lambda self, q: answer, PLAIN))
    with pytest.raises(e.LdtError, match=what) as caught:
        stage.run()
    assert caught.value.group == group
    assert caught.value.where.startswith("s")


def test_seeds_and_folders_are_the_members_own(stage: Stage) -> None:
    seen: dict[str, Any] = {}

    def step(self: Any, inputs: Any, until: int) -> Any:
        context = self.context
        seen.setdefault(context.scratch.name, (context.seed, context.rng.random(), context.scratch.is_dir()))
        return row(0)

    stage.members = [member(n, simulator(step), 30, seed=s) for n, s in (("a", 1), ("b", 2))]
    stage.run()
    assert seen == {n: (s, np.random.default_rng(s).random(), True) for n, s in (("a", 1), ("b", 2))}


def test_an_error_that_cannot_even_say_its_own_message_is_still_the_components(stage: Stage) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("not even this")

    def fails(self: Any, inputs: Any) -> Any:
        raise Mute

    stage.add("s", model(fails), 20)
    with pytest.raises(e.RunError) as caught:
        stage.run()
    assert caught.value.code == "component raised"
    assert "Mute: (its own message cannot be read)" in caught.value.what
