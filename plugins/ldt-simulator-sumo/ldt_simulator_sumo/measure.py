"""What stepping through the component costs against SUMO alone on the same case."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ldt_core as ldt

from .component import Sumo
from .process import last_words, start


class Cost(NamedTuple):
    """Seconds on the wall, and of CPU in this process and its children."""

    wall: float
    cpu: float


class Comparison(NamedTuple):
    alone: Cost
    stepped: Cost
    trips: int

    @property
    def ratio(self) -> float:
        return self.stepped.cpu / self.alone.cpu


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def compare(params: Mapping[str, Any], step: int, end: int, cache: Path, seed: int = 0) -> Comparison:
    """Run a case both ways: ``step`` and ``end`` in microseconds.

    Both read the same network and demand and write the same edge data; only the run is measured, from
    the start of the process to the last window, not the conversion or the making of demand.
    """
    scratch = Path(tempfile.mkdtemp(prefix="measure-"))
    simulator = Sumo(params, ldt.Context(seed=seed, scratch=scratch, cache=cache))
    try:
        simulator.initialize({})
        alone = _alone(simulator, step, end, scratch)
        before, began = _cpu(), time.perf_counter()
        for until in range(step, end + 1, step):
            simulator.step({}, until)
        simulator.finalize()  # the child's CPU time is known once it has ended
        stepped = Cost(time.perf_counter() - began, _cpu() - before)
        return Comparison(alone, stepped, simulator.arrived)
    finally:
        simulator.finalize()
        shutil.rmtree(scratch, ignore_errors=True)


def _alone(simulator: Sumo, step: int, end: int, scratch: Path) -> Cost:
    work = simulator.work
    words = [*simulator.command(step), "--end", f"{simulator.begin + end / ldt.SECOND:g}"]
    before, began = _cpu(), time.perf_counter()
    child: subprocess.Popen[bytes] = start("sumo", words, work, scratch / "alone.log")
    if child.wait() != 0:
        raise ldt.InputError(f"SUMO alone failed: {last_words(scratch / 'alone.log')}", code="sumo failed")
    return Cost(time.perf_counter() - began, _cpu() - before)
