"""Placing tasks: 64 naps of 100 ms, and tasks of nothing, on 2 workers, over the ideal and over bare pools.

A task of ours is a process hand-over, a stage, and a result that is on the disk when it counts as done;
a task of a bare pool is a call. Times are taken between the moment when every worker has done its first
task (imports and all) and the last answer, for ours and for theirs; starting is told on its own.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TASKS, WORKERS, NAP = 64, 2, 0.1

PLUGIN = '''
import time
import ldt_core as ldt

class Nap(ldt.Simulator):
    """Sleeps."""
    id = "nap"
    outputs = {"mood": ldt.Port({"time": ldt.instant(), "mood": ldt.number("1", "x:mood", cell="mean")})}
    class Params(ldt.Params):
        seconds: float = 0.1
        number: int = 0
    def step(self, inputs, until):
        time.sleep(self.params.seconds)
        start = self.context.instant(self.context.window.start)
        return {"mood": ldt.Table({"time": [start], "mood": [1.0 + self.params.number]})}

@ldt.hookimpl
def ldt_simulators():
    return [Nap]
'''

TWIN = """
ldt: 1
twin: {id: naps, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T01:00Z}
components:
  nap: {use: nap, step: 1h, params: {seconds: SECONDS}}
scenarios:
"""


def workshop() -> Any:
    spec = importlib.util.spec_from_file_location("workshop", HERE.parent / "workshop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["workshop"] = module
    spec.loader.exec_module(module)
    return module


def steady(done: list[float]) -> float:
    """Seconds a task, per worker, once every worker has done one. ``done``: instants of all answers."""
    done = sorted(done)
    return (done[-1] - done[WORKERS - 1]) / (len(done) - WORKERS) * WORKERS


def ours(engine: str, seconds: float, place: Path | None = None) -> tuple[float, float]:
    """(seconds a task and worker, seconds until the first answers) of a run by one of our engines.

    ``place``: where everything is written; on the disk that holds temporary files where it is not said.
    """
    from datetime import datetime

    tools = workshop()
    with tempfile.TemporaryDirectory(dir=place) as base:
        folder = Path(base)
        tools.install(folder / "site", "ldt-simulator-nap", PLUGIN)
        (folder / "twin").mkdir()
        lines = [f"  s{n}: {{set: {{nap.params.number: {n}}}}}\n" for n in range(TASKS)]
        (folder / "twin" / "twin.yaml").write_text(TWIN.replace("SECONDS", str(seconds)) + "".join(lines))
        shop = tools.Workshop(folder / "site", folder / "twin")
        begun = time.time()
        shop.ldt("run", "--engine", engine, "--workers", str(WORKERS), "--quiet", TMPDIR=base)
        journal = next((folder / "twin" / "runs").glob("*/progress.jsonl")).read_text()
    events = [json.loads(line) for line in journal.splitlines()]
    done = [datetime.fromisoformat(e["at"]).timestamp() for e in events if e["event"] == "done"]
    assert len(done) == TASKS
    return steady(done), sorted(done)[WORKERS - 1] - begun - seconds


def timed_nap(seconds: float) -> float:
    time.sleep(seconds)
    return time.time()


def pool(seconds: float) -> float:
    with multiprocessing.get_context("forkserver").Pool(WORKERS) as workers:
        return steady(workers.map(timed_nap, [seconds] * TASKS, chunksize=1))


def bare_dask(seconds: float) -> float:
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        futures = [client.submit(timed_nap, seconds, pure=False) for _ in range(TASKS)]
        return steady(client.gather(futures))


def main() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def say(what: str, seconds: float, floor: float, aim: float | None) -> None:
        rows.append({"what": what, "ms": seconds * 1000, "ratio": seconds / floor, "aim": aim})

    def best(measure: Callable[[], Any]) -> Any:
        return min(measure() for _ in range(3))

    say("multiprocessing.Pool, nap of 100 ms (ideal = 100 ms)", best(lambda: pool(NAP)), NAP, None)
    say("Dask alone, nap of 100 ms", best(lambda: bare_dask(NAP)), NAP, None)
    for engine, aim in (("local", 1.03), ("dask", 1.1)):
        seconds, start = best(lambda engine=engine: ours(engine, NAP))  # type: ignore[misc]
        say(f"engine {engine}, nap of 100 ms", seconds, NAP, aim)
        say(f"engine {engine}, until every worker has done its first task", start, NAP, None)
    memory = Path("/dev/shm")  # noqa: S108 - what is left when no disk is waited for
    if memory.is_dir():
        say(
            "engine local, nap of 100 ms, all files in memory",
            best(lambda: ours("local", NAP, memory))[0],
            NAP,
            None,
        )
    floor = best(lambda: pool(0.0))
    say("multiprocessing.Pool, task of nothing (floor)", floor, floor, None)
    say("Dask alone, task of nothing", best(lambda: bare_dask(0.0)), floor, None)
    for engine in ("local", "dask"):
        say(f"engine {engine}, task of nothing, stored", best(lambda e=engine: ours(e, 0.0))[0], floor, None)  # type: ignore[misc]
    if memory.is_dir():
        say(
            "engine local, task of nothing, files in memory",
            best(lambda: ours("local", 0.0, memory))[0],
            floor,
            None,
        )
    return rows


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<60} {row['ms']:10.3f} ms  x{row['ratio']:.3g}")
