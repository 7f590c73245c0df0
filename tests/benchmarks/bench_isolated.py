"""What a step costs where the simulator runs in a process of its own: wall time of one call and its answer.

The floor is the raw round trip: the same bytes, sent to another Python over a Unix socket and sent back; without a
pause between two of them, where both processors stay awake, and after two milliseconds of rest, as when a twin
computes something else in between. The peer is
mosaik with the same chain, each simulator a sub-process of its own (TCP, JSON). The environment is made by uv from
wheels in a folder. Run: ``python tests/benchmarks/bench_isolated.py``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core import process
from ldt_core.environments import Environment, solve
from ldt_core.ipc import Packer
from ldt_core.isolation import Place, load_isolated
from ldt_core.runner import Member, Setting, run_stage
from ldt_core.tables import Table
from ldt_core.wires import Wire

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import apart

STEP = 60_000_000
START = np.datetime64("2026-03-02T05:00", "us")
SIZES = {1: 2000, 100: 2000, 10_000: 300}
ROUNDS = 5

PLUGIN = '''
import numpy as np
import ldt_core as ldt

PORT = ldt.Port(
    {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("1", "x:value", cell="mean")}, entity="thing", id="id"
)


class Adder(ldt.Simulator):
    """Adds 1 to what it reads."""

    id = "adder"
    inputs = {"in": PORT}
    outputs = {"out": PORT}

    def step(self, inputs, until):
        table = inputs["in"]
        return {"out": table.with_columns(value=table["value"] + 1.0)}


class Origin(ldt.Simulator):
    """Gives zeros under the same ids in every window."""

    id = "origin"
    outputs = {"out": PORT}

    class Params(ldt.Params):
        entities: int = 10

    def initialize(self, inputs):
        self.ids = ldt.Table({"id": [f"e{i}" for i in range(self.params.entities)]})["id"]

    def step(self, inputs, until):
        n = self.params.entities
        stamp = self.context.instant(self.context.window.start)
        return {"out": ldt.Table({"time": np.full(n, stamp), "id": self.ids, "value": np.zeros(n)})}


@ldt.hookimpl
def ldt_simulators():
    return [Adder, Origin]
'''

ECHO = """
import socket, sys
connection, size = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
while True:
    have = connection.recv(1 << 16)
    if not have:
        break
    while len(have) < size:
        have += connection.recv(1 << 20)
    connection.sendall(have)
"""

MOSAIK = """
import mosaik_api_v3

class Sim(mosaik_api_v3.Simulator):
    def __init__(self):
        models = {"M": {"public": True, "params": [], "attrs": ["value", "seen"]}}
        super().__init__({"api_version": "3.0", "type": "time-based", "models": models})
        self.values = {}

    def init(self, sid, time_resolution=1.0, **_):
        return self.meta

    def create(self, num, model, **_):
        self.values = {f"e{i}": 0.0 for i in range(num)}
        return [{"eid": e, "type": model} for e in self.values]

    def step(self, time, inputs, max_advance):
        for eid, attrs in inputs.items():
            for value in attrs["seen"].values():
                self.values[eid] = value + 1.0
        return time + 1

    def get_data(self, outputs):
        return {e: {"value": self.values[e]} for e in outputs}

if __name__ == "__main__":
    mosaik_api_v3.start_simulation(Sim())
"""


def make_environment(folder: Path) -> Environment:
    apart.put_stand_ins(folder)
    apart.put_plugin(folder, "ldt-bench", PLUGIN, {"adder": "simulator", "origin": "simulator"})
    os.environ.update(apart.only_links(folder))
    os.environ.pop("UV_CONSTRAINT", None)
    return solve(["ldt-bench"], folder / "envs")[0]


def classes(environment: Environment) -> tuple[Any, Any]:
    found = environment.offers()
    adder, origin = (load_isolated(found.find(i), Place(environment)) for i in ("adder", "origin"))
    return adder, origin


def rows_of(entities: int) -> Table:
    ids = [f"e{i}" for i in range(entities)]
    return ldt.Table({"time": np.full(entities, START), "id": ids, "value": np.zeros(entities)})


def message_size(entities: int) -> int:
    """Bytes of a step's message after the first: the ids are known then."""
    packer, table = Packer(), rows_of(entities)
    packer.pack({"in": table}, {}, [])
    packer.pack({"in": table}, {}, [])
    blocks: list[Any] = []
    head = packer.pack({"in": table}, {}, blocks)
    return 16 + len(str(head)) + 64 + sum(len(b) for b in blocks)


def timed(call: Callable[[], Any], times: int, rest: float) -> float:
    """Median seconds of one call, each after so many seconds of rest."""
    took = []
    for _ in range(times):
        if rest:
            time.sleep(rest)
        begun = time.perf_counter()
        call()
        took.append(time.perf_counter() - begun)
    return sorted(took)[len(took) // 2]


def raw_trip(size: int, times: int, rest: float) -> float:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-c", ECHO, str(theirs.fileno()), str(size)]
    with subprocess.Popen(words, pass_fds=[theirs.fileno()]):
        theirs.close()
        message = b"x" * size

        def call() -> None:
            ours.sendall(message)
            have = len(ours.recv(1 << 16))
            while have < size:
                have += len(ours.recv(1 << 20))

        call()
        took = timed(call, times, rest)
        ours.close()
    return took


def isolated_step(adder: Any, entities: int, times: int, rest: float) -> float:
    component, table = adder({}), rows_of(entities)
    value = component.step({"in": table}, STEP)["out"]["value"]
    assert (value == 1.0).all()
    took = timed(lambda: component.step({"in": table}, STEP), times, rest)
    component.finalize()
    return took


def run_engine(adder: Any, origin: Any, entities: int, steps: int) -> float:
    """Wall seconds per simulator step of a stage of two, each in a process of its own."""
    port = adder.inputs["in"]
    given = origin.Params.model_validate({"entities": entities})
    members = [
        Member("s0", origin, given, {}, origin.outputs, STEP, 0),
        Member("s1", adder, adder.Params.model_validate({}), {"in": port}, adder.outputs, STEP, 0),
    ]
    wires = [Wire("s0", "out", "s1", "in", methods={"value": "mean"})]
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(START, steps * STEP, "EPSG:25832", None, Path(folder), Path(folder))
        begun = time.perf_counter()
        outcome = run_stage(members, wires, {}, {"s1.out": None}, setting)
        took = time.perf_counter() - begun
    assert (outcome.recordings["s1.out"].table["value"] == 1.0).all()
    return took / (steps * 2)


def run_mosaik(folder: Path, entities: int, steps: int) -> float:
    """Wall seconds per simulator step of mosaik, two sub-processes."""
    import mosaik
    from loguru import logger

    logger.remove()
    program = folder / "sim.py"
    program.write_text(MOSAIK, encoding="utf-8")
    command = f"{sys.executable} {program} %(addr)s"
    world = mosaik.World({"S": {"cmd": command}}, skip_greetings=True)
    try:
        layers = [world.start("S").M.create(entities) for _ in range(2)]
        for a, b in pairwise(layers):
            for one, other in zip(a, b, strict=True):
                world.connect(one, other, ("value", "seen"))
        begun = time.perf_counter()
        world.run(until=steps, print_progress=False)
        took = time.perf_counter() - begun
    finally:
        world.shutdown()
    return took / (steps * 2)


def main(*, quick: bool = False) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        adder, origin = classes(make_environment(folder))
        for entities, count in SIZES.items():
            times = max(100, count // 10) if quick else count
            for rest, how in ((0.0, "without a pause"), (0.002, "after 2 ms")):
                many = times if not rest else times // 8
                pairs = [
                    (
                        raw_trip(message_size(entities), many, rest),
                        isolated_step(adder, entities, many, rest),
                    )
                    for _ in range(2 if quick else ROUNDS)
                ]
                raw, step = (sorted(side)[len(side) // 2] for side in zip(*pairs, strict=True))
                what = f"{entities} entities, {how}"
                rows += [
                    {"what": f"raw round trip, {what}", "ms": raw * 1e3, "ratio": 1.0, "aim": None},
                    {"what": f"isolated step, {what}", "ms": step * 1e3, "ratio": step / raw, "aim": 1.5},
                ]
            if entities <= 100:
                what = f"{entities} entities"
                engine = min(run_engine(adder, origin, entities, 200) for _ in range(3 if quick else 10))
                peer = min(run_mosaik(folder, entities, 100) for _ in range(2 if quick else 4))
                rows += [
                    {
                        "what": f"two isolated simulators, {what}",
                        "ms": engine * 1e3,
                        "ratio": 1.0,
                        "aim": None,
                    },
                    {
                        "what": f"mosaik's sub-processes over that, {what}",
                        "ms": peer * 1e3,
                        "ratio": peer / engine,
                        "aim": 3.0 if entities == 1 else 7.0,
                    },
                ]
        process.end_idle()
    return rows


if __name__ == "__main__":
    for row in main(quick="--quick" in sys.argv):
        print(f"{row['what']:<50} {row['ms']:>9.4f} ms  x{row['ratio']:<7.3g} aim {row['aim'] or '-'}")
