"""What the engine costs per step: a chain of simulators, each adding 1 to a column.

The floor is a hand-written loop that calls the same objects with the same tables and checks nothing;
mosaik runs the same chain in its own way, one dictionary per entity. All read back that the last
simulator saw the sum. Run: ``python tests/benchmarks/bench_step_loop.py [--quick]``.
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
from ldt_core.runner import Member, Setting, run_stage
from ldt_core.tables import Table
from ldt_core.wires import Wire

CHAIN = 10
STEP = 60_000_000
START = np.datetime64("2026-03-02T05:00", "us")
PORT = ldt.Port(
    {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("1", "x:value", cell="mean")},
    entity="thing",
    id="id",
)
SIZES = {10: 4000, 1_000: 2000, 100_000: 60}


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

    class Params(ldt.Params):
        entities: int = 10

    def initialize(self, inputs: ldt.Tables) -> None:
        names = np.empty(self.params.entities, object)
        names[:] = [f"e{i}" for i in range(self.params.entities)]
        self.ids = Table({"id": names})["id"]

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        n = self.params.entities
        stamp = self.context.instant(self.context.window.start)
        return {"out": Table({"time": np.full(n, stamp), "id": self.ids, "value": np.zeros(n)})}


def run_engine(entities: int, steps: int) -> float:
    """Processor seconds per simulator step of ``run_stage``."""
    origin = Origin.Params(entities=entities)
    members = [Member("s0", Origin, origin, {}, Origin.outputs, STEP, 0)]
    kinds = [Adder] * (CHAIN - 2) + [Last]
    members += [
        Member(f"s{i}", kind, kind.Params(), kind.inputs, kind.outputs, STEP, 0)
        for i, kind in enumerate(kinds, 1)
    ]
    wires = [Wire(f"s{i - 1}", "out", f"s{i}", "in", methods={"value": "mean"}) for i in range(1, CHAIN)]
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(START, steps * STEP, "EPSG:25832", None, Path(folder), Path(folder))
        begun = time.process_time()
        run_stage(members, wires, {}, {}, setting)
        took = time.process_time() - begun
    _check_answer()
    return took / (steps * CHAIN)


def _check_answer() -> None:
    assert len(Last.given)
    assert (Last.given["value"] == CHAIN - 1).all()


def run_floor(entities: int, steps: int) -> float:
    """Processor seconds per simulator step of a loop written by hand, which proves nothing."""
    start = ldt.Context(start=START)
    first = Origin({"entities": entities}, start)
    rest = [*(Adder({}, start) for _ in range(CHAIN - 2)), Last({}, start)]
    first.initialize({})
    begun = time.process_time()
    for n in range(steps):
        until = (n + 1) * STEP
        first.context.window = ldt.Window(n * STEP, until)
        table = first.step({}, until)["out"]  # type: ignore[index]
        for adder in rest:
            table = adder.step({"in": table}, until)["out"]  # type: ignore[index]
    took = time.process_time() - begun
    _check_answer()
    return took / (steps * CHAIN)


def run_mosaik(entities: int, steps: int) -> float:
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
        layers = [world.start("S").M.create(entities) for _ in range(CHAIN)]
        for a, b in pairwise(layers):
            for one, other in zip(a, b, strict=True):
                world.connect(one, other, ("value", "seen"))
        begun = time.process_time()
        world.run(until=steps, print_progress=False)
        took = time.process_time() - begun
    finally:
        world.shutdown()
    assert set(created[-1].values.values()) == {float(CHAIN - 1)}
    return took / (steps * CHAIN)


def _least(call: Callable[[int, int], float], entities: int, steps: int, rounds: int) -> float:
    gc.collect()
    return min(call(entities, steps) for _ in range(rounds))


def main(*, quick: bool = False) -> list[dict[str, Any]]:
    """One row per number of entities: microseconds of processor time per simulator step, and the ratios."""
    rows = []
    for entities, count in SIZES.items():
        steps = max(40, count // 10) if quick else count
        rounds = 3 if quick else 5
        floor = _least(run_floor, entities, steps, rounds)
        engine = _least(run_engine, entities, steps, rounds)
        small = max(2, min(steps // 10, 20_000 // entities))
        peer = _least(run_mosaik, entities, small, 1) if entities <= 1_000 or not quick else None
        rows.append(
            {
                "entities": entities,
                "floor us": floor * 1e6,
                "engine us": engine * 1e6,
                "mosaik us": None if peer is None else peer * 1e6,
                "engine / floor": engine / floor,
                "mosaik / engine": None if peer is None else peer / engine,
            }
        )
    return rows


if __name__ == "__main__":
    table = main(quick="--quick" in sys.argv)
    print(f"Chain of {CHAIN} simulators, microseconds of processor time per simulator step")
    print("  ".join(f"{name:>15}" for name in table[0]))
    for row in table:
        print(
            "  ".join(
                f"{'-' if v is None else f'{v:.3g}' if isinstance(v, float) else v:>15}" for v in row.values()
            )
        )
