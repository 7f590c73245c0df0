"""Runs under fire: workers, their programs, Dask's workers and the driver are killed at random, for rounds.

Whatever is hit, the next run has every result, each computed once but for what was in flight, and nothing
is left running.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install, wait

TASKS, WORKERS = 64, 2

PLUGIN = '''
import os, subprocess
from pathlib import Path
import ldt_core as ldt

NOTES = Path(os.environ.get("LDT_TEST_NOTES", "."))

def note(name, what):
    with (NOTES / name).open("a") as stream:
        stream.write(f"{what}\\n")

def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

def named(pid):
    """A process and when it began: its number will be another's some day."""
    return f"{pid}:{Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[19]}"

class Engine(ldt.Simulator):
    """Has a program of its own, as SUMO is one; falls with it."""
    id = "engine"
    outputs = {"mood": ldt.Port({"time": ldt.instant(), "mood": ldt.number("1", "x:mood", cell="mean")})}
    class Params(ldt.Params):
        number: int = 0
    def step(self, inputs, until):
        note("computed", self.params.number)
        program = subprocess.Popen(["sleep", "0.02"], start_new_session=True)
        pids = os.getpid(), program.pid, os.getppid(), parent_of(os.getppid())
        note("pids", " ".join(map(named, pids)))
        if program.wait():
            os._exit(1)
        start = self.context.instant(self.context.window.start)
        return {"mood": ldt.Table({"time": [start], "mood": [1.0 + self.params.number]})}

@ldt.hookimpl
def ldt_simulators():
    return [Engine]
'''

TWIN = """
ldt: 1
twin: {id: soak, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T01:00Z}
components:
  engine: {use: engine, step: 1h}
kpis:
  mood: {of: engine.mood.mood, reduce: {time: mean}, unit: "1"}
scenarios:
"""


def lives(process: str) -> bool:
    """Whether this process, and no later one with its number, still runs."""
    pid, _, began = process.partition(":")
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z" and fields[19] == began


def _began(process: str) -> int:
    return int(process.partition(":")[2])


BEGUN = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
"""When this process began. What began before is no part of a run: the keeper of a killed driver is handed to one such."""


class Fire:
    """Kills what a run has started, and counts what that may cost."""

    def __init__(self, shop: Workshop, chance: random.Random) -> None:
        self.shop, self.chance = shop, chance
        self.notes = shop.twin.parent / "notes"
        self.notes.mkdir()
        self.allowed = 0

    def pids(self) -> list[list[str]]:
        """Of each computation: its worker, its program, the keeper, and what started the keeper."""
        path = self.notes / "pids"
        lines = path.read_text().splitlines() if path.exists() else []
        return [[p for p in line.split() if _began(p) > BEGUN] for line in lines]

    def computed(self) -> int:
        path = self.notes / "computed"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def run(self, engine: str, shots: int) -> subprocess.Popen[str]:
        """One run, shot at until it ends or has had its shots."""
        driver = self.shop.start(
            *("run", "--json", "--quiet", "--engine", engine, "--workers", str(WORKERS)),
            LDT_TEST_NOTES=str(self.notes),
        )
        before = self.computed()
        while shots and driver.poll() is None:
            time.sleep(self.chance.random() * 0.05)
            targets = self.pids()[-WORKERS:]
            if self.computed() - before < 2 or not targets:
                continue
            if self.chance.random() < 0.15:
                self.allowed += WORKERS
                driver.kill()
                break
            target = self.chance.choice(self.chance.choice(targets))
            pid = int(target.partition(":")[0])
            if pid == driver.pid or not lives(target):
                continue
            # A program, a worker, its keeper or a Dask worker: one task is in flight on each.
            self.allowed += 1
            os.kill(pid, signal.SIGKILL)
            shots, before = shots - 1, self.computed()
        return driver


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "rounds"), [("local", 5), ("dask", 3), ("local", 50)])
def test_nothing_is_lost_nor_computed_twice_whatever_is_killed(
    tmp_path: Path, engine: str, rounds: int
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed")
    install(tmp_path / "site", "ldt-simulator-engine", PLUGIN)
    (tmp_path / "twin").mkdir()
    shop = Workshop(tmp_path / "site", tmp_path / "twin")
    fire = Fire(shop, random.Random(rounds))
    for turn in range(rounds):
        numbers = range(turn * TASKS, (turn + 1) * TASKS)
        lines = [f"  s{n}: {{set: {{engine.params.number: {n}}}}}\n" for n in numbers]
        (shop.twin / "twin.yaml").write_text(TWIN + "".join(lines))
        record: dict[str, Any] = {}
        for shots in (4, 4, 2, 0):  # the last one in peace
            driver = fire.run(engine, shots)
            out, said = driver.communicate(timeout=300)
            assert driver.returncode in (0, 13, -signal.SIGKILL), said
            if driver.returncode == 0:
                record = json.loads(out)
                break
        assert record["status"] == "finished"
        values = record["kpis"]["mood"]["values"]
        assert values == {f"s{n}": [1.0 + n] for n in numbers}
        assert (turn + 1) * TASKS <= fire.computed() <= (turn + 1) * TASKS + fire.allowed
    named = {p for pids in fire.pids() for p in pids}
    assert named
    wait(lambda: not any(map(lives, named)))
    assert fire.allowed >= rounds, "there was hardly any fire"
    verified = shop.ldt("store", "verify")
    assert "no damage" in verified.stdout
    statuses = {r["status"] for r in json.loads(shop.ldt("runs", "--json").stdout)}
    assert statuses <= {"finished", "failed", "interrupted (killed)"}
