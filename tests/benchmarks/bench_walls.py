"""What the walls of the conformance suite cost: a command inside against the same command alone, and against bubblewrap alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ldt_conformance.sandbox import Limits, Sandbox, unavailable

from ldt_core.environments import Environment

HERE = Environment(sys.prefix, "", sys.executable, ())
WORDS = [sys.executable, "-c", "pass"]
BARE = ["bwrap", "--unshare-all", "--dev-bind", "/", "/", "--", *WORDS]


def measure(action: Callable[[], Any], times: int = 15) -> float:
    """The median in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


def main() -> list[dict[str, Any]]:
    if problem := unavailable():
        print(problem, file=sys.stderr)
        return []
    with Sandbox(HERE, limits=Limits(seconds=60)) as walls:
        alone = measure(lambda: subprocess.run(WORDS, check=True))
        bare = measure(lambda: subprocess.run(BARE, check=True))
        inside = measure(lambda: walls.run(WORDS))
    return [
        {"what": "a Python that does nothing, alone", "ms": alone, "ratio": 1.0, "aim": None},
        {"what": "the same in bubblewrap, nothing watched", "ms": bare, "ratio": bare / alone, "aim": None},
        {"what": "the same inside the suite's walls", "ms": inside, "ratio": inside / bare, "aim": None},
    ]


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<45} {row['ms']:8.1f} ms  x{row['ratio']:.2f}")
