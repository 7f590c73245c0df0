"""64 scenarios run again with one input changed: what is computed, and what it costs beyond that.

A twin of three components: a source, a model of 0.6 s, a model that takes no time and reads the
first. One scenario's parameter changes; then one parameter of the last model, which all scenarios share.
The whole command is timed, with the start of the interpreter and of the workers. Overhead is the wall time
beyond the changed task's own; what a single stored scenario takes is the part of it that no number of
scenarios changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from workshop import environment, install

TAKES = 0.6
PLUGIN = f'''
TAKES = {TAKES}
import time
import numpy as np
import ldt_core as ldt

PORT = ldt.Port({{"time": ldt.instant(), "water": ldt.number("mm", "x:water", cell="sum")}}, step="1h")

class Rain(ldt.DataSource):
    """24 rows."""
    id = "rain"
    outputs = {{"water": PORT}}
    def version(self, query):
        return "1"
    def read(self, query):
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {{"water": ldt.Table({{"time": times, "water": np.arange(24.0)}})}}

class Slow(ldt.Model):
    """Takes its time."""
    id = "slow"
    inputs = {{"water": PORT}}
    outputs = {{"water": PORT}}
    class Params(ldt.Params):
        share: float = 1.0
    def compute(self, inputs):
        time.sleep(TAKES / 24)
        return {{"water": inputs["water"].with_columns(water=inputs["water"]["water"] * self.params.share)}}

class Quick(Slow):
    """Takes no time."""
    id = "quick"
    def compute(self, inputs):
        return {{"water": inputs["water"].with_columns(water=inputs["water"]["water"] * self.params.share)}}

@ldt.hookimpl
def ldt_data_sources():
    return [Rain]
@ldt.hookimpl
def ldt_models():
    return [Slow, Quick]
'''

HEAD = """
ldt: 1
twin: {id: wet, title: Wet, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-02T00:00Z}
components:
  rain: {use: rain}
  slow: {use: slow}
  quick: {use: quick, params: {share: QUICK}}
connect:
  - {from: rain.water, to: slow.water}
  - {from: slow.water, to: quick.water}
kpis:
  wet: {of: quick.water.water, reduce: {time: sum, space: sum}, unit: mm}
scenarios:
  base: {}
"""


def write_twin(folder: Path, *, first: float = 1.0, quick: float = 1.0) -> None:
    shares = [first + 1.0, *(2.0 + i for i in range(1, 63))]
    lines = [f"  s{i}: {{set: {{slow.params.share: {share}}}}}" for i, share in enumerate(shares)]
    (folder / "twin.yaml").write_text(HEAD.replace("QUICK", str(quick)) + "\n".join(lines) + "\n")


def run(folder: Path, site: Path, *words: str) -> tuple[float, dict[str, Any], dict[str, int]]:
    """Seconds of `ldt run`, its record, and how many tasks of each stage were computed."""
    command = [sys.executable, "-m", "ldt_core.cli", "run", "--json", str(folder), *words]
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment(site), capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begun
    record = json.loads(done.stdout)
    computed: dict[str, int] = {}
    for task in record["tasks"]:
        computed[task["stage"]] = computed.get(task["stage"], 0) + (task["state"] == "done")
    return seconds, record, computed


def main() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        site, folder = Path(name) / "site", Path(name) / "twin"
        install(site, "ldt-model-slow", PLUGIN)
        folder.mkdir()
        write_twin(folder)
        full, record, computed = run(folder, site)
        assert computed == {"rain": 1, "slow": 64, "quick": 64}
        work = sum(t.get("seconds", 0.0) for t in record["tasks"]) / (os.cpu_count() or 1)
        again, _, computed = run(folder, site)
        assert computed == {"rain": 0, "slow": 0, "quick": 0}
        start, _, _ = run(folder, site, "-s", "base")
        write_twin(folder, first=1.5)
        one, _, computed = run(folder, site)
        assert computed == {"rain": 0, "slow": 1, "quick": 1}
        write_twin(folder, first=1.5, quick=3.0)
        last, _, computed = run(folder, site)
        assert computed == {"rain": 0, "slow": 0, "quick": 64}
    return [
        {"what": "64 scenarios, first run; over its tasks on all cores", "ms": full * 1e3, "ratio": full / work, "aim": None},
        {"what": "one scenario, stored; share of the first run", "ms": start * 1e3, "ratio": start / full, "aim": None},
        {"what": "nothing changed, 0 computed; overhead's share", "ms": again * 1e3, "ratio": again / full, "aim": 0.05},
        {"what": "one scenario changed, 1 + 1 computed; overhead's share", "ms": one * 1e3, "ratio": (one - TAKES) / full, "aim": 0.05},
        {"what": "the last model changed, 64 computed, no slow one; share", "ms": last * 1e3, "ratio": last / full, "aim": None},
    ]  # fmt: skip


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<60} {row['ms']:8.0f} ms  x{row['ratio']:.3f}")
