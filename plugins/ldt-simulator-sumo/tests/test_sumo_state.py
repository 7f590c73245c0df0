"""A saved state: split runs, foreign and torn bytes, and the child that dies with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ldt_simulator_sumo.component import Sumo

import ldt_core as ldt

Results = list[dict[str, ldt.Table]]
Make = Callable[..., Sumo]
Play = Callable[[Sumo, list[int]], Results]
GRID = {"demand": {"rate": 1200, "duration": "5min", "heavy_share": 0.3, "min_distance": 0}}
WINDOWS = [120, 240, 360, 480]


def resume(first: Sumo, second: Sumo, until: list[int], at: int) -> tuple[bytes, Results]:
    """Step the first to ``at``, save, end it, load into the second and go on."""
    first.initialize({})
    for end in until:
        if end <= at:
            first.step({}, end * ldt.SECOND)
    state = first.get_state()
    first.finalize()
    second.initialize({})
    second.set_state(state)
    return state, [dict(second.step({}, end * ldt.SECOND)) for end in until if end > at]


@pytest.mark.parametrize(
    "extra",
    [{}, {"mesoscopic": True}, {"rerouting": {"share": 0.6, "period": "30s"}}],
    ids=["micro", "meso", "reroute"],
)
@pytest.mark.parametrize("at", [120, 360])
def test_a_split_run_equals_the_whole(
    grid: Path, sumo: Make, play: Play, extra: dict[str, object], at: int
) -> None:
    params = {"network": str(grid), **GRID, **extra}
    whole = play(sumo(params, folder="whole"), WINDOWS)
    state, rest = resume(sumo(params, folder="a"), sumo(params, folder="b"), WINDOWS, at)
    assert len(state) < 1000
    for tables, same in zip(rest, whole[-len(rest) :], strict=True):
        assert {n: t.digest for n, t in tables.items()} == {n: t.digest for n, t in same.items()}


def test_the_instant_before_the_first_step_is_a_state(grid: Path, sumo: Make, play: Play) -> None:
    params = {"network": str(grid), **GRID}
    whole = play(sumo(params, folder="whole"), [120])
    _, (first,) = resume(sumo(params, folder="a"), sumo(params, folder="b"), [120], 0)
    assert first["flow"].digest == whole[1]["flow"].digest


def test_a_simulator_can_go_back(grid: Path, sumo: Make) -> None:
    simulator = sumo({"network": str(grid), **GRID})
    simulator.initialize({})
    simulator.step({}, 120 * ldt.SECOND)
    state = simulator.get_state()
    once = simulator.step({}, 240 * ldt.SECOND)
    simulator.set_state(state)
    assert simulator.step({}, 240 * ldt.SECOND)["flow"] == once["flow"]


def test_only_what_is_exact_claims_the_capability(grid: Path, sumo: Make) -> None:
    params = {"network": str(grid), **GRID}
    assert sumo(params).capabilities() == {"state"}
    assert sumo({**params, "state": "snapshot"}).capabilities() == frozenset()


def test_a_snapshot_keeps_every_vehicle_and_counts_none_twice(grid: Path, sumo: Make, play: Play) -> None:
    """SUMO's own saved state is not exact to the bit; what it must keep are vehicles and counts."""
    params = {"network": str(grid), **GRID, "state": "snapshot"}
    whole = play(sumo(params, folder="whole"), WINDOWS)
    _, rest = resume(sumo(params, folder="a"), sumo(params, folder="b"), WINDOWS, 240)
    for tables, same in zip(rest, whole[3:], strict=True):
        arrivals, expected = tables["arrivals"], same["arrivals"]
        assert sum(arrivals[c][0] for c in ("running", "waiting_to_enter", "arrived")) == sum(
            expected[c][0] for c in ("running", "waiting_to_enter", "arrived")
        )
    flow, expected_flow = rest[0]["flow"]["flow"].sum(), whole[3]["flow"]["flow"].sum()
    assert flow == pytest.approx(expected_flow, rel=0.05)
    co2, expected_co2 = (r["emissions"]["co2"].sum() for r in (rest[0], whole[3]))
    assert co2 == pytest.approx(expected_co2, rel=0.05)


def test_torn_and_foreign_states_are_refused(grid: Path, sumo: Make) -> None:
    params = {"network": str(grid), **GRID}
    first = sumo(params)
    first.initialize({})
    first.step({}, 120 * ldt.SECOND)
    state = first.get_state()
    generator = np.random.default_rng(0)
    for cut in generator.integers(0, len(state), 20):
        with pytest.raises(ldt.InputError, match="no complete SUMO state"):
            first.set_state(state[:cut])
        torn = bytearray(state)
        torn[cut] ^= 0x55
        with pytest.raises(ldt.InputError, match="state"):
            first.set_state(bytes(torn))
    first.set_state(state)
    others = [
        sumo(params, seed=8),
        sumo({**params, "speed_limit": [{"to": 30}]}),
        sumo({**params, "scale": 2}),
    ]
    for other in others:
        with pytest.raises(ldt.InputError, match="other parameters"):
            other.set_state(state)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_finalize_ends_sumo_and_leaves_nothing(grid: Path, sumo: Make) -> None:
    simulator = sumo({"network": str(grid), **GRID})
    simulator.initialize({})
    simulator.step({}, 60 * ldt.SECOND)
    assert simulator._process is not None
    pid = simulator._process.child.pid
    assert alive(pid)
    simulator.finalize()
    simulator.finalize()
    assert not alive(pid)
    assert not list(simulator.context.scratch.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_sumo_dies_with_its_parent_in_the_middle_of_a_step(grid: Path, tmp_path: Path) -> None:
    """The parent starts SUMO from a thread that ends, goes on stepping a day, and is killed."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, threading
            from pathlib import Path
            import ldt_core as ldt
            from ldt_simulator_sumo.component import Sumo
            demand = {"rate": 3000, "duration": "24h", "min_distance": 0}
            simulator = Sumo({"network": sys.argv[1], "demand": demand}, ldt.Context(scratch=Path(sys.argv[2])))
            def start():
                simulator.initialize({})
                simulator.step({}, ldt.SECOND)
            thread = threading.Thread(target=start)
            thread.start()
            thread.join()
            simulator.step({}, 2 * ldt.SECOND)
            print(simulator._process.child.pid, flush=True)
            simulator.step({}, 86400 * ldt.SECOND)
            """
        )
    )
    command = [sys.executable, str(script), str(grid), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not alive(pid)
