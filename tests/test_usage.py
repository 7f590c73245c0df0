"""What a task takes is its own: memory of the task before it does not count, programs that it starts do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ldt_core.commands.keeping import usage_line
from ldt_core.usage import EnergyCounter, RunMeter, watt_per_core

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def apart(code: str) -> Any:
    """What a script prints as JSON, in an interpreter of its own with nothing in it."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@linux
def test_the_peak_is_that_of_the_task_and_not_of_the_one_before() -> None:
    first, second = apart("""
import json
from ldt_core.usage import Meter
meter = Meter(); block = bytearray(200 * 2**20); del block; first = meter.read()
meter = Meter(); block = bytearray(20 * 2**20); del block; second = meter.read()
print(json.dumps([first, second]))
""")
    assert 200 * MIB < first["peak_memory"] < 300 * MIB
    assert 20 * MIB < second["peak_memory"] < 100 * MIB


@linux
@pytest.mark.parametrize("lasting", [True, False])
def test_the_memory_and_time_of_a_program_that_it_starts_count(lasting: bool) -> None:
    """One that lasts is looked at while it runs; a short one is in the kernel's word on ended children."""
    program = "import time; b = bytearray(150 * 2**20)\nt = time.process_time()\nwhile time.process_time() < t + 0.2: pass"
    if lasting:
        program += "\nprint(flush=True); input()"
    found, without = apart(f"""
import json, subprocess, sys, time
from ldt_core.usage import Meter, EVERY
meter = Meter()
child = subprocess.Popen([sys.executable, "-c", {program!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
if {lasting}:
    child.stdout.readline()
    while meter._children < 150 * 2**20:
        time.sleep(0.01)
child.communicate(b"\\n")
found = meter.read()
print(json.dumps([found, Meter().read()]))
""")
    assert 150 * MIB < found["peak_memory"] < 300 * MIB
    assert 0.2 <= found["cpu_seconds"] < 5
    assert without["peak_memory"] < 100 * MIB


@linux
def test_the_time_of_a_program_that_is_still_at_work_counts() -> None:
    program = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True); input()"
    found, idle = apart(f"""
import json, subprocess, sys
from ldt_core.usage import Meter
meter = Meter()
child = subprocess.Popen([sys.executable, "-c", {program!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
found, after = meter.read(), Meter()
child.communicate(b"\\n")
print(json.dumps([found, after.read()]))
""")
    assert 0.35 <= found["cpu_seconds"] < 5  # the kernel counts in hundredths, per process
    assert idle["cpu_seconds"] < 0.3


def task(started: str, seconds: float, cpu: float, memory: int) -> dict[str, Any]:
    return {"started": started, "seconds": seconds, "cpu_seconds": cpu, "peak_memory": memory}


def test_a_run_adds_up_its_tasks_and_those_that_ran_at_once() -> None:
    tasks = [
        task("2026-01-01T00:00:00.000Z", 10.0, 9.0, 100),
        task("2026-01-01T00:00:05.000Z", 10.0, 9.0, 50),
        task("2026-01-01T00:00:15.000Z", 1.0, 1.0, 120),  # begins as the second ends
        {},  # from the store
    ]
    total = RunMeter().read(tasks, here=False)
    assert total["peak_memory"] == {"largest": 120, "together": 150}
    assert total["task_seconds"] == 21.0
    assert 19.0 <= total["cpu_seconds"] < 20.0
    nothing = RunMeter().read([], here=False)
    assert nothing["peak_memory"] == {"largest": 0, "together": 0}


def test_energy_is_an_estimate_that_says_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    hour = [task("2026-01-01T00:00:00.000Z", 3600.0, 3600.0, 10**9)]
    found = RunMeter().read(hour, here=False)["energy"]
    assert found["estimate"] is True
    assert found["kwh"] == pytest.approx((12 + 0.3725) / 1000, rel=0.01)
    assert "12 W per busy core" in found["method"]
    assert "doi:10.1002" in found["method"]
    monkeypatch.setenv("LDT_WATT_PER_CORE", "5")
    assert RunMeter().read(hour, here=False)["energy"]["kwh"] == pytest.approx(0.00537, rel=0.01)
    for wrong in ("", "many", "-1", "nan"):
        monkeypatch.setenv("LDT_WATT_PER_CORE", wrong)
        assert watt_per_core() == 12.0


def zone(root: Path, name: str, micro: int) -> Path:
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(f"{micro}\n")
    (folder / "max_energy_range_uj").write_text("1000000000\n")
    return folder


def test_the_machines_counters_are_read_where_there_are_some(tmp_path: Path) -> None:
    """Two packages, one of which begins anew; the core within a package is not counted twice."""
    zone(tmp_path, "intel-rapl:0", 5_000_000)
    zone(tmp_path, "intel-rapl:1", 999_000_000)
    zone(tmp_path, "intel-rapl:0:0", 1)
    counter = EnergyCounter(tmp_path)
    zone(tmp_path, "intel-rapl:0", 8_000_000)
    zone(tmp_path, "intel-rapl:1", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", 900_000_000)
    assert counter.read() == pytest.approx(3.0 + 2.0)
    assert EnergyCounter(tmp_path / "none").read() is None


def test_the_line_for_people() -> None:
    tasks = [task("2026-01-01T00:00:00.000Z", 10.0, 9.0, 3 * 2**30)]
    line = usage_line(RunMeter().read(tasks, here=False))
    assert line.startswith("9.0 s of processor time, at most 3.0 GiB in a task, 3.0 GiB at once, 0.03")
    assert line.endswith(" Wh estimated")
