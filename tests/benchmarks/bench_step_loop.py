"""What the engine costs per step: a chain of simulators, each adding 1 to a column.

The floor is a hand-written loop that calls the same objects in the same order with the same tables and
checks nothing; mosaik runs the same chain in its own way, one dictionary per entity. All read back that
the last simulator saw the sum. Building and initializing are left out on all sides. Two more rows: what
it costs to hand a table over, and the dry run of a day.
Run: ``python tests/benchmarks/bench_step_loop.py [--quick]``.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.linking import Node
from ldt_core.resample import History
from ldt_core.runner import Member, Setting, run_stage
from ldt_core.schedule import dry_run
from ldt_core.tables import Table
from ldt_core.wires import Wire

STEP = 60_000_000
DAY = 86_400 * ldt.SECOND
START = np.datetime64("2026-03-02T05:00", "us")
PORT = ldt.Port(
    {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("1", "x:value", cell="mean")},
    entity="thing",
    id="id",
)
OVER_FLOOR = {10: 1.3, 1_000: 1.1, 100_000: 1.02}
"""Aim by number of entities, 10 simulators."""
OVER_MOSAIK = {(10, 1): 40, (10, 100): 200, (100, 1): 250, (2, 1_000): 1_000}
"""Aim by (simulators, entities): how many times faster."""
MANY = 1_000
"""Simulators, whose cost per step is held against that of 10."""

Row = dict[str, Any]


class Adder(ldt.Simulator):
    """Adds 1 to what it reads."""

    id = "adder"
    inputs = {"in": PORT}
    outputs = {"out": PORT}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        table = inputs["in"]
        return {"out": table.with_columns(value=table["value"] + 1.0)}  # type: ignore[union-attr]


class Last(Adder):
    """Keeps what it gave last, for the check of the answer."""

    id = "last"
    given: Table

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        out = super().step(inputs, until)
        Last.given = out["out"]  # type: ignore[assignment]
        return out


class Origin(ldt.Simulator):
    """Gives zeros under the same ids in every window."""

    id = "origin"
    outputs = {"out": PORT}
    begun = 0.0

    class Params(ldt.Params):
        entities: int = 10

    def initialize(self, inputs: ldt.Tables) -> None:
        names = np.empty(self.params.entities, object)
        names[:] = [f"e{i}" for i in range(self.params.entities)]
        self.ids = Table({"id": names})["id"]

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        if until == STEP:
            Origin.begun = time.process_time()
        n = self.params.entities
        stamp = self.context.instant(self.context.window.start)
        return {"out": Table({"time": np.full(n, stamp), "id": self.ids, "value": np.zeros(n)})}


def run_engine(simulators: int, entities: int, steps: int) -> float:
    """Processor seconds per simulator step of ``run_stage``."""
    origin = Origin.Params(entities=entities)
    members = [Member("s0", Origin, origin, {}, Origin.outputs, STEP, 0)]
    kinds = [Adder] * (simulators - 2) + [Last]
    members += [
        Member(f"s{i}", kind, kind.Params(), kind.inputs, kind.outputs, STEP, 0)
        for i, kind in enumerate(kinds, 1)
    ]
    wires = [Wire(f"s{i - 1}", "out", f"s{i}", "in", methods={"value": "mean"}) for i in range(1, simulators)]
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(START, steps * STEP, "EPSG:25832", None, Path(folder), Path(folder))
        run_stage(members, wires, {}, {}, setting)
        took = time.process_time() - Origin.begun
    _check_answer(simulators)
    return took / (steps * simulators)


def _check_answer(simulators: int) -> None:
    assert len(Last.given)
    assert (Last.given["value"] == simulators - 1).all()


def run_floor(simulators: int, entities: int, steps: int) -> float:
    """Processor seconds per simulator step of a loop written by hand, which proves nothing."""
    start = ldt.Context(start=START)
    first = Origin({"entities": entities}, start)
    rest = [*(Adder({}, start) for _ in range(simulators - 2)), Last({}, start)]
    first.initialize({})
    begun = time.process_time()
    for n in range(steps):
        until = (n + 1) * STEP
        first.context.window = ldt.Window(n * STEP, until)
        table = first.step({}, until)["out"]  # type: ignore[index]
        for adder in rest:
            table = adder.step({"in": table}, until)["out"]  # type: ignore[index]
    took = time.process_time() - begun
    _check_answer(simulators)
    return took / (steps * simulators)


def run_mosaik(simulators: int, entities: int, steps: int) -> float:
    """Processor seconds per simulator step of mosaik on the same chain."""
    import mosaik
    import mosaik_api_v3
    from loguru import logger

    logger.remove()
    created: list[Any] = []

    class Sim(mosaik_api_v3.Simulator):
        def __init__(self) -> None:
            models = {"M": {"public": True, "params": [], "attrs": ["value", "seen"]}}
            super().__init__({"api_version": "3.0", "type": "time-based", "models": models})
            self.values: dict[str, float] = {}

        def init(self, sid: str, time_resolution: float = 1.0, **_: Any) -> Any:
            created.append(self)
            return self.meta

        def create(self, num: int, model: str, **_: Any) -> Any:
            self.values = {f"e{i}": 0.0 for i in range(num)}
            return [{"eid": e, "type": model} for e in self.values]

        def step(self, time: int, inputs: Any, max_advance: int) -> int:
            for eid, attrs in inputs.items():
                for value in attrs["seen"].values():
                    self.values[eid] = value + 1.0
            return time + 1

        def get_data(self, outputs: Any) -> Any:
            return {e: {"value": self.values[e]} for e in outputs}

    world = mosaik.World({"S": {"python": "bench_mosaik:Sim"}}, skip_greetings=True)
    module = type(sys)("bench_mosaik")
    module.Sim = Sim  # type: ignore[attr-defined]
    sys.modules["bench_mosaik"] = module
    try:
        layers = [world.start("S").M.create(entities) for _ in range(simulators)]
        for a, b in pairwise(layers):
            for one, other in zip(a, b, strict=True):
                world.connect(one, other, ("value", "seen"))
        begun = time.process_time()
        world.run(until=steps, print_progress=False)
        took = time.process_time() - begun
    finally:
        world.shutdown()
    assert set(created[-1].values.values()) == {float(simulators - 1)}
    return took / (steps * simulators)


def _least(calls: list[Callable[[], float]], rounds: int) -> list[float]:
    """The least of each, taken in turns, so that all meet the same machine."""
    found = [[] for _ in calls]  # type: list[list[float]]
    for _ in range(rounds):
        for call, times in zip(calls, found, strict=True):
            gc.collect()
            times.append(call())
    return [min(times) for times in found]


def _against_floor(quick: bool) -> list[Row]:
    rows, rounds = [], 3 if quick else 7
    for entities, aim in OVER_FLOOR.items():
        steps = max(20, (20_000 if quick else 60_000) // (50 + entities))
        floor, engine = _least(
            [lambda: run_floor(10, entities, steps), lambda: run_engine(10, entities, steps)],  # noqa: B023
            rounds,
        )
        rows += [
            _row(f"step, 10 simulators of {entities} entities, by hand", floor, 1.0, None),
            _row(f"step, 10 simulators of {entities} entities", engine, engine / floor, aim),
        ]
    few, many = _least([lambda: run_engine(10, 10, 1_000), lambda: run_engine(MANY, 10, 10)], rounds)
    hand_few, hand_many = _least([lambda: run_floor(10, 10, 1_000), lambda: run_floor(MANY, 10, 10)], rounds)
    rows.append(_row(f"step, {MANY} simulators, over that of 10", many, many / few, 1.3))
    rows.append(
        _row(f"step, {MANY} simulators, over that of 10, by hand", hand_many, hand_many / hand_few, None)
    )
    return rows


def _against_mosaik(quick: bool) -> list[Row]:
    rows = []
    for (simulators, entities), aim in OVER_MOSAIK.items():
        steps = max(20, 20_000 // (simulators * (10 + entities)))
        [engine] = _least([lambda: run_engine(simulators, entities, 20 * steps)], 3)  # noqa: B023
        peer = run_mosaik(simulators, entities, steps if quick else 2 * steps)
        what = f"mosaik over a step, {simulators} simulators of {entities} entities (times faster)"
        rows.append(_row(what, engine, peer / engine, aim))
    return rows


def _hand_over() -> list[Row]:
    """From what a source gave to what its reader gets: the same memory, whatever the size."""
    rows = []
    for entities in (10, 1_000_000):
        n = np.zeros(entities)
        table = Table({"time": np.full(entities, START), "id": np.full(entities, "e", object), "value": n})
        history, times = History(PORT, {"value": "mean"}, START), []
        for number in range(2_000):
            start, until = number * STEP, (number + 1) * STEP
            begun = time.perf_counter()
            history.append(start, until, table)
            got = history.over(start, until)
            history.forget(until)
            times.append(time.perf_counter() - begun)
            assert np.shares_memory(got["value"], n)
        took = sorted(times)[len(times) // 2]
        rows.append(_row(f"hand-over of a table of {entities} rows (over 5 us)", took, took / 5e-6, 1.0))
    return rows


def _dry_runs() -> list[Row]:
    """A day of 4 simulators in a loop, all at 1 s, and at steps that never meet."""
    rows = []
    for what, sizes in (
        ("at 1 s", [ldt.SECOND] * 4),
        ("at 1, 2, 4, 8 s", [ldt.SECOND << i for i in range(4)]),
        ("at 1 s and odd microseconds", [ldt.SECOND, ldt.SECOND, ldt.SECOND + 1, ldt.SECOND + 1]),
    ):
        nodes = {
            f"s{i}": Node(f"s{i}", None, Adder, None, {}, Adder.inputs, Adder.outputs, size)  # type: ignore[arg-type]
            for i, size in enumerate(sizes)
        }
        wires = [Wire(f"s{i}", "out", f"s{(i + 1) % 4}", "in", "lag") for i in range(4)]
        begun = time.process_time()
        dry_run(nodes, wires, tuple(nodes), DAY)
        took = time.process_time() - begun
        rows.append(_row(f"dry run of a day of 4 simulators {what} (over 0.5 s)", took, took / 0.5, 1.0))
    return rows


def _row(what: str, seconds: float, ratio: float, aim: float | None) -> Row:
    return {"what": what, "ms": seconds * 1e3, "ratio": ratio, "aim": aim}


def main(*, quick: bool = False) -> list[Row]:
    """One row per figure: milliseconds, the ratio, and what it aims at."""
    return [*_against_floor(quick), *_against_mosaik(quick), *_hand_over(), *_dry_runs()]


if __name__ == "__main__":
    for row in main(quick="--quick" in sys.argv):
        aim = "" if row["aim"] is None else f"aim {row['aim']:g}"
        print(f"{row['what']:<75} {row['ms'] * 1e3:>12.2f} us  x{row['ratio']:<9.3g} {aim}")
