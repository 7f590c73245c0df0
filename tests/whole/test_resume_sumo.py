"""Real SUMO, killed in the middle: what it goes on to is what an undisturbed run gives, to the bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from workshop import alive, wait

from ldt_core.store import Store

# A made-up network and demand: four streets by four.
TWIN = """\
ldt: 1
twin: {id: grid, crs: "EPSG:25832"}
time: {start: 2026-03-02T07:00Z, end: 2026-03-02T08:00Z}
run: {seed: 5, checkpoint: {windows: 1}}
components:
  traffic:
    use: sumo
    step: 1min
    params: {network: grid.net.xml, demand: {rate: 3000, duration: 50min, min_distance: 0}, STATE}
kpis:
  trips: {of: traffic.trips.duration, reduce: {space: mean, time: mean}, unit: s}
"""


def start(folder: Path, store: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ldt_core.cli", *words],
        cwd=folder,
        env={**os.environ, "LDT_STORE": str(store)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def saved(store: Path) -> list[int]:
    return [e.meta["at"] for e in Store(store).entries() if e.owner == "checkpoint of traffic"]


def digests(store: Path) -> list[dict[str, str]]:
    return [e.digests for e in Store(store).entries() if e.digests]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sumo = pytest.importorskip("sumo")
    words = ["--grid", "--grid.number", "4", "--grid.length", "150", "-L", "2", "--tls.guess"]
    program = Path(sumo.SUMO_HOME) / "bin" / "netgenerate"
    subprocess.run([program, *words, "-o", tmp_path / "grid.net.xml"], check=True, capture_output=True)
    return tmp_path


@pytest.mark.slow
def test_a_killed_run_with_sumo_goes_on_to_the_same_bits(folder: Path) -> None:
    (folder / "twin.yaml").write_text(TWIN.replace("STATE", "state: replay"))
    whole = finish(start(folder, folder / "whole", "run", "--json"))
    driver = start(folder, folder / "store", "run", "--json")
    wait(lambda: any(at >= 600_000_000 for at in saved(folder / "store")))
    journal = max((folder / "runs").glob("*/progress.jsonl"), key=lambda p: p.stat().st_mtime)
    worker = next(
        e["pid"] for e in map(json.loads, journal.read_text().splitlines()) if e["event"] == "started"
    )
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait(lambda: not alive(worker))
    assert not digests(folder / "store"), "it was killed in the middle"
    again = finish(start(folder, folder / "store", "run", "--json"))
    assert again["tasks"][0]["resumed"] >= "2026-03-02T07:10Z"
    assert digests(folder / "store") == digests(folder / "whole")
    assert again["kpis"]["trips"]["values"] == whole["kpis"]["trips"]["values"]
    assert not saved(folder / "store")


def test_a_snapshot_is_not_exact_so_no_checkpoint_is_made_of_it_and_check_says_so(folder: Path) -> None:
    text = TWIN.replace("STATE", "state: snapshot").replace("T08:00Z", "T07:03Z")
    (folder / "twin.yaml").write_text(text)
    plan = finish(start(folder, folder / "store", "check", "--json"))
    assert "gives no state" in plan["scenarios"]["base"]["unsaved"]["traffic"]
    finish(start(folder, folder / "store", "run", "--json"))
    assert not saved(folder / "store")
