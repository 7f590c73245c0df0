"""What a certificate costs: whole and quick runs over real plugins of every kind, a check over a bare call, the matrix;
and how much of the catalogue stands on somebody else's words.

A ratio of a run is its time over the aim (60 s whole, 30 s quick, 240 s for the matrix on two cores): 1 is the aim.
Run: ``python tests/benchmarks/bench_conformance.py``.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ldt_conformance.certification import run
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.job import exercise
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome
from ldt_conformance.progress import Progress
from ldt_conformance.requirements import catalogue, released
from ldt_conformance.trial import Trial
from ldt_conformance.zoo import Specimen, specimens

ROOT = Path(__file__).resolve().parents[2]
REAL = {
    "source": "ldt-source-csv",
    "model": "ldt-model-road-noise",
    "simulator": "ldt-simulator-wntr",
    "viewer": "ldt-viewer-kpi",
}
"""A plugin of each kind, as a vendor would hand it in."""

WHOLE, QUICK, MATRIX = 60.0, 30.0, 240.0
CALLS = 20


def certified(folder: Path, quick: bool) -> float:
    """Seconds of one run of level 1, which must find nothing wrong."""
    begun = time.perf_counter()
    report = run(str(folder), level=1, quick=quick, progress=Progress(io.StringIO()))
    assert not report.of(Outcome.FAILED), [r.reason for r in report.of(Outcome.FAILED)]
    return time.perf_counter() - begun


def bare_call(specimen: Specimen) -> float:
    """Seconds that a specimen needs to be made and to do its main job once, in this process; the best of some."""
    some = next(r for r in released().values() if r.area == "COR")

    def once() -> float:
        with HereDriver(specimen.component) as driver:
            trial = Trial(some, driver, specimen.example)
            begun = time.perf_counter()
            exercise(trial, trial.open())
            took = time.perf_counter() - begun
            trial.close()
            return took

    return min(once() for _ in range(CALLS))


def checked(specimen: Specimen) -> tuple[float, int]:
    """Seconds of all its checks of level 1 in this process, and how many there were."""
    with HereDriver(specimen.component) as driver:
        results = judge(driver, specimen.example, level=1)
    done = [r for r in results if r.outcome is Outcome.PASSED]
    return sum(r.seconds for r in done), len(done)


def matrix() -> float:
    """Seconds of every specimen by every door, as the gate runs it."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    begun = time.perf_counter()
    subprocess.run([*words, "conformance/tests/test_zoo.py"], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def say(what: str, seconds: float, ratio: float, aim: float | None) -> None:
        rows.append({"what": what, "ms": seconds * 1000, "ratio": ratio, "aim": aim})

    for kind, name in REAL.items():
        folder = ROOT / "plugins" / name
        seconds = certified(folder, quick=False)
        say(f"level 1 of {name} ({kind}), over {WHOLE:g} s", seconds, seconds / WHOLE, 1.0)
        seconds = certified(folder, quick=True)
        say(f"the same, quick, over {QUICK:g} s", seconds, seconds / QUICK, 1.0)
    kinds = {s.component.kind: s for s in reversed(specimens()) if s.fails is None}
    for kind in [k for k in kinds if k != "viewer"]:
        bare = bare_call(kinds[kind])
        seconds, number = checked(kinds[kind])
        say(f"a {kind} of the zoo made and asked once (floor)", bare, 1.0, None)
        say(f"a check of it, mean of {number}", seconds / number, seconds / number / bare, None)
    seconds = matrix()
    say(f"the matrix, as in the gate, over {MATRIX:g} s", seconds, seconds / MATRIX, 1.0)
    mapped = sum(bool(r.maps_to) for r in released().values())
    say(
        f"ids released that map to an outside clause: {mapped} of {len(released())}",
        0.0,
        mapped / len(released()),
        None,
    )
    say(
        f"ids released of all: {len(released())} of {len(catalogue())}",
        0.0,
        len(released()) / len(catalogue()),
        None,
    )
    return rows


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<70} {row['ms']:>12.1f} ms  x{row['ratio']:.3g}")
