"""All figures in one table: every ratio against a peer or a floor of the same run.

`python tests/benchmarks/table.py [NAME...]` runs the benchmarks named, or all: startup, step_loop,
second_run, store, rerun, sweep, engines, isolated, remote, services, conformance, checkpoints, walls, registry, registry_search,
sumo. The machine matters, the ratios
less so; nothing here is asserted.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BENCHMARKS = {
    "startup": HERE / "bench_startup.py",
    "step_loop": HERE / "bench_step_loop.py",
    "second_run": HERE / "bench_second_run.py",
    "store": HERE / "bench_store.py",
    "rerun": HERE / "bench_rerun.py",
    "sweep": HERE / "bench_sweep.py",
    "engines": HERE / "bench_engines.py",
    "isolated": HERE / "bench_isolated.py",
    "remote": HERE / "bench_remote.py",
    "services": HERE / "bench_services.py",
    "conformance": HERE / "bench_conformance.py",
    "checkpoints": HERE / "bench_checkpoints.py",
    "walls": HERE / "bench_walls.py",
    "registry": HERE / "bench_registry.py",
    "registry_search": HERE / "bench_registry_search.py",
    "sumo": HERE / "bench_sumo.py",
}


def load(path: Path) -> Any:
    """The script as a module under its own name: what it hands to other processes is found there again."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def main(words: list[str]) -> int:
    names = [w for w in words if not w.startswith("-")] or list(BENCHMARKS)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}", file=sys.stderr
    )
    rows = []
    for name in names:
        found = load(BENCHMARKS[name]).main()
        rows += [{"benchmark": name, **r} for r in found]
    if "--json" in words:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        aim = f"{row['aim']:g}" if row.get("aim") else "-"
        print(
            f"{row['benchmark']:<11} {row['what']:<58} {row['ms']:>12.3f} ms  x{row['ratio']:<9.3g} aim {aim}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
