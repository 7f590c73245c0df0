"""Checkpoints: whatever the group and wherever it is stopped, what goes on in new objects ends in the same bits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core.checkpoint import Checkpoint, Refused, Saved, common_step, pack, unpack
from ldt_core.interfaces import Flag, Step
from ldt_core.runner import Member, Outcome, Setting, run_stage
from ldt_core.tables import Port, Table
from ldt_core.wires import Wire

START = np.datetime64("2026-03-02T05:00", "us")
OF = "0" * 64
THINGS = Port(
    {"time": ldt.instant(), "id": ldt.text(), "v": ldt.number("1", "x:v", cell="mean", nulls=True)},
    entity="thing",
    id="id",
)
PLACES = Port({"id": ldt.text(), "w": ldt.number("1", "x:w")}, entity="thing", id="id", at="start")


class Cell(ldt.Simulator):
    """State, chance, things that come and go, missing values, flags; sometimes it stops early."""

    id = "cell"
    stochastic = True
    inputs = {
        "a": THINGS.replace(optional=True),
        "b": THINGS.replace(optional=True),
        "places": PLACES.replace(optional=True),
    }
    outputs = {"out": THINGS, "places": PLACES}

    class Params(ldt.Params):
        early: bool = False

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.time, self.sum = 0, float(self.context.rng.random())
        self.luck = self.context.rng  # an author may keep it
        places = Table({"id": ["p", "q"], "w": [1.0, self.sum]})
        return {"places": places, "out": self._rows(0)}

    def _rows(self, start: int) -> Table:
        ids = ["p", "q", "r"][: 1 + int(self.luck.integers(3))]
        values = self.sum + self.luck.random(len(ids))
        gone = self.luck.random(len(ids)) < 0.2
        time = np.full(len(ids), self.context.instant(start))
        return Table({"time": time, "id": ids, "v": values}, {"v": gone} if gone.any() else None)

    def step(self, inputs: ldt.Tables, until: int) -> Any:
        for table in inputs.values():
            assert isinstance(table, Table)
            self.sum += float(np.where(table.mask("v"), 0.0, table["v"]).sum()) * 1e-3
        start = self.time
        if self.params.early and until - start > 1 and self.luck.random() < 0.3:
            until = start + int(self.luck.integers(1, until - start))
        self.time, self.sum = (
            until,
            math.fmod(self.sum, 7.0) + float(self.context.rng_for(["x"], str(start))[0]),
        )
        if start == 0:
            self.context.flag("first", self.sum, "the sum of the first window")
        rows = {"out": self._rows(start)}
        return Step(rows, until) if self.params.early else rows

    def get_state(self) -> bytes:
        return json.dumps([self.time, self.sum]).encode()

    def set_state(self, state: bytes) -> None:
        self.time, self.sum = json.loads(state)


class Glass(ldt.Model):
    """Draws by chance, which makes the place of its generator part of a checkpoint."""

    id = "glass"
    stochastic = True
    inputs = {"a": THINGS.replace(optional=True), "b": THINGS.replace(optional=True)}
    outputs = {"out": THINGS}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        total = sum(float(np.where(t.mask("v"), 0.0, t["v"]).sum()) for t in inputs.values())  # type: ignore[union-attr,index]
        stamp = self.context.instant(self.context.window.start)
        return {"out": Table({"time": [stamp], "id": ["p"], "v": [total + self.context.rng.random()]})}


class Every:
    """Saves wherever all clocks can stand together."""

    def __init__(self, common: int, last: int = 0, end_at: int | None = None) -> None:
        self.common, self.last, self.end_at = common, last, end_at
        self.taken: dict[int, bytes] = {}

    def stop_after(self, latest: int) -> int | None:
        self.last = max(self.last + self.common, -(-latest // self.common) * self.common)
        return self.last

    def stand(self, at: int, capture: Callable[[], Checkpoint]) -> bool:
        assert at not in self.taken
        self.taken[at] = pack(capture(), OF)
        return at != self.end_at


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Member], list[Wire], dict[str, int | None]]:
    """One to four members in one group: steps that divide or not, ``now`` from lower to higher, else ``lag``."""
    count = draw(st.integers(1, 4))
    early = draw(st.booleans()) if count == 1 else False
    members = []
    for n in range(count):
        kind: Any = draw(st.sampled_from([Cell, Cell, Glass])) if n else Cell
        params = kind.Params(early=early) if kind is Cell else kind.Params()
        ports = {k: p for k, p in kind.inputs.items() if k != "places"}
        step = draw(st.sampled_from([1, 2, 3, 4, 6]))
        members.append(Member(f"m{n}", kind, params, ports, kind.outputs, step, n))
    wires = []
    for n, port in [(n, p) for n in range(count) for p in "ab"]:
        source = draw(st.integers(-1, count - 1))
        if source < 0:
            continue
        now = source < n and members[n].step % members[source].step == 0  # type: ignore[operator]
        when = draw(st.sampled_from(["now", "lag"])) if now else "lag"
        init = None if members[source].component is Cell else 0.5
        if init is not None and members[n].component is Glass:
            continue  # nobody could say which entities the init fills
        wires.append(Wire(f"m{source}", "out", f"m{n}", port, when, {"v": "mean"}, init=init))
    every = draw(st.sampled_from([None, None, 12]))
    return members, wires, {f"m{n}.out": every for n in range(count)} | {"m0.places": None}


def run(group: Any, folder: Path, end: int, **more: Any) -> Outcome:
    members, wires, record = group
    setting = Setting(START, end, "EPSG:25832", None, folder / "scratch", folder / "cache")
    return run_stage(members, wires, {}, record, setting, **more)


def bits(outcome: Outcome) -> Any:
    return {n: r.digest for n, r in outcome.recordings.items()}, outcome.flags, outcome.notes


@settings(max_examples=60, deadline=None)
@given(groups(), st.integers(13, 40), st.data())
def test_a_group_that_goes_on_from_any_checkpoint_ends_in_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, group: Any, end: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("group")
    whole = run(group, folder, end)
    every = Every(common_step(m.step for m in group[0]))
    assert bits(run(group, folder, end, saver=every)) == bits(whole), "saving changes nothing"
    if every.taken:
        at = data.draw(st.sampled_from(sorted(every.taken)))
        again = Every(every.common, at)
        resumed = run(group, folder, end, resume=unpack(every.taken[at], OF), saver=again)
        assert bits(resumed) == bits(whole)
        later = {t: b for t, b in every.taken.items() if t > at}
        early = group[0][0].params.early  # it stops where it likes, so others may not meet it there again
        assert early or again.taken.keys() == later.keys()
        assert all(again.taken[t] == later[t] for t in again.taken.keys() & later.keys()), "the same bytes"


class Tank(ldt.Simulator):
    """Exchanges heat with its neighbour, implicitly: solved by repeating the window."""

    id = "tank"
    inputs = {"other": Port({"v": ldt.number("K", "x:heat", cell="mean")})}
    outputs = {"heat": Port({"v": ldt.number("K", "x:heat", cell="mean")})}

    class Params(ldt.Params):
        first: float = 1.0

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.value = self.params.first
        return {"heat": Table({"v": [self.value]})}

    def step(self, inputs: Any, until: int) -> ldt.Tables:
        share = 0.1 * (until - self.context.window.start)
        self.value = (self.value + share * inputs["other"]["v"][0]) / (1 + share)
        self.value += 1e-3 * self.context.rng.random()
        return {"heat": Table({"v": [self.value]})}

    def get_state(self) -> bytes:
        return self.value.hex().encode()

    def set_state(self, state: bytes) -> None:
        self.value = float.fromhex(state.decode())


def test_members_that_repeat_their_windows_go_on_alike(tmp_path: Path) -> None:
    members = [
        Member(n, Tank, Tank.Params(first=f), Tank.inputs, Tank.outputs, s, i)
        for i, (n, f, s) in enumerate([("hot", 9.0, 4), ("cold", 1.0, 2)])
    ]
    wires = [
        Wire("hot", "heat", "cold", "other", "iterate", {"v": "mean"}),
        Wire("cold", "heat", "hot", "other", "now", {"v": "mean"}),
    ]
    group = members, wires, {"hot.heat": None, "cold.heat": None}
    every = Every(4)
    whole = bits(run(group, tmp_path, 30, saver=every))
    assert whole[2]["passes cold+hot"] > 1
    assert sorted(every.taken) == [4, 8, 12, 16, 20, 24, 28]
    for at, data in every.taken.items():
        assert bits(run(group, tmp_path, 30, resume=unpack(data, OF))) == whole, at


# -- bytes ---------------------------------------------------------------------------------------


def some() -> Checkpoint:
    """One of everything, among it what is hard to write down."""
    shapes = shapely.from_wkt(["POINT (1 2)", "LINESTRING Z (0 0 1, 1 1 2)", None])
    table = Table(
        {
            "time": np.array(["2026-01-01", "1969-12-31T23:59:59.999999", "2026-01-02"], "datetime64[us]"),
            "text": ["", "Größe ☃", "x"],
            "number": [0.1, -0.0, 1e-320],
            "whole": np.array([2**62, -1, 0]),
            "truth": np.array([True, False, True]),
            "shape": shapes,
        },
        {"number": [False, False, True], "shape": [False, False, True]},
    )
    bare = Table({n: table[n][:0] for n in ("time", "text", "number")})
    rng = np.random.default_rng(7)
    rng.random(3)
    return Checkpoint(
        6,
        {
            "a": Saved(b"\x00\xff state", rng.bit_generator.state, (Flag("odd", 0.1 + 0.2, "1", "☃"),)),
            "b": Saved(b"", None, ()),
            "c": Saved(None, np.random.MT19937(3).state, ()),
        },
        {"a.out -> b.in": [(0, 0, table), (0, 2, table.slice(0, 0)), (2, 6, table)], "b.out -> a.in": []},
        {"b.out -> a.in": [(0, 0, bare)]},
        {"b.out -> a.in": math.inf},
        {"a.out": [(0, 6, table)]},
    )


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, Saved):
        return same(vars(one), vars(other))
    if isinstance(one, (list, tuple)) and not isinstance(one, Flag):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and (one == other).all())
    return bool(one == other)


def test_a_checkpoint_comes_back_as_it_was() -> None:
    first = some()
    back = unpack(pack(first, OF), OF)
    for name, value in vars(first).items():
        assert same(value, getattr(back, name)), name
    assert pack(back, OF) == pack(first, OF), "the same content, the same bytes"
    again = np.random.Generator(np.random.PCG64())
    again.bit_generator.state = back.members["a"].rng
    expected = np.random.default_rng(7).random(4)[3]
    assert again.random() == expected


@given(st.data())
def test_torn_bytes_are_refused_and_never_half_read(data: st.DataObject) -> None:
    whole = pack(some(), OF)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Refused):
        unpack(whole[:cut], OF)
    with pytest.raises(Refused):
        unpack(whole + b"x", OF)


def test_foreign_and_older_bytes_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="foreign: that of 000000000000, not of 111111111111"):
        unpack(pack(some(), OF), "1" * 64)
    data = pack(some(), OF)
    monkeypatch.setattr("ldt_core.checkpoint.LAYOUT", 2)
    with pytest.raises(Refused, match="another version"):
        unpack(data, OF)
    monkeypatch.undo()
    with pytest.raises(Refused, match="does not begin as a checkpoint does"):
        unpack(b"PK\x03\x04" + data, OF)


def test_what_all_windows_share_is_written_once_and_comes_back_in_place() -> None:
    ids = [f"street {n}" for n in range(500)]
    shapes = shapely.points(np.arange(500.0), 1.0)
    parts = [
        (n, n + 1, Table({"id": list(ids), "v": np.full(500, n * 0.1), "shape": shapes})) for n in range(40)
    ]
    only = [(n, n + 1, Table({"id": list(ids), "more": list(ids)})) for n in range(3)]
    first = Checkpoint(40, links={"a.out -> b.in": parts}, recorded={"a.only": only})
    data = pack(first, OF)
    back = unpack(data, OF)
    assert same(back.links, first.links)
    assert same(back.recorded, first.recorded)
    assert back.links["a.out -> b.in"][7][2].names == ["id", "v", "shape"]
    assert len(data) < 40 * 500 * 8 + 100_000, "the numbers, and the ids and shapes once"
    assert pack(back, OF) == data
