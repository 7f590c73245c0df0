"""Writes the golden cases: the published formulas and coefficients, worked out once more without the model.

Emission: Annex II of Directive 2002/49/EC, 2.2 (Table F-1 of Delegated Directive 2021/1226). Air: Table 2 of ISO 9613-2 at
20 degrees and 70 %. Divergence: a straight line of 20 m at most (one piece), seen from the point before a wall.
Run it in this folder: ``python worked.py``.
"""

from __future__ import annotations

import json
from math import atan, hypot, log10, pi
from pathlib import Path
from typing import Any

Numbers = list[float]

# Table F-1: A_R, B_R, A_P, B_P from 63 Hz to 8 kHz.
LIGHT = (
    [83.1, 89.2, 87.7, 93.1, 100.1, 96.7, 86.8, 76.2],
    [30.0, 41.5, 38.9, 25.7, 32.5, 37.2, 39.0, 40.0],
    [97.9, 92.5, 90.7, 87.2, 84.7, 88.0, 84.4, 77.1],
    [-1.3, 7.2, 7.7, 8.0, 8.0, 8.0, 8.0, 8.0],
)
MEDIUM = (
    [88.7, 93.2, 95.7, 100.9, 101.7, 95.1, 87.8, 83.6],
    [30.0, 35.8, 32.6, 23.8, 30.1, 36.2, 38.3, 40.1],
    [105.5, 100.2, 100.5, 98.7, 101.0, 97.8, 91.2, 85.0],
    [-1.9, 4.7, 6.4, 6.5, 6.5, 6.5, 6.5, 6.5],
)
HEAVY = (
    [91.7, 96.2, 98.2, 104.9, 105.1, 98.5, 91.1, 85.6],
    [30.0, 33.5, 31.3, 25.4, 31.8, 37.1, 38.6, 40.6],
    [108.8, 104.2, 103.5, 102.9, 102.6, 98.5, 93.8, 87.5],
    [0.0, 3.0, 4.6, 5.0, 5.0, 5.0, 5.0, 5.0],
)
A_WEIGHTING = [-26.2, -16.1, -8.6, -3.2, 0.0, 1.2, 1.0, -1.1]
AIR = [0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6]
"""dB/km, Table 2 of ISO 9613-2 for 20 degrees and 70 %."""
UP = 4.0 - 0.05
"""m between the source and a receiver in height."""


def energy(level: float) -> float:
    return 10.0 ** (level / 10.0)


def level(energy: float) -> float:
    return 10.0 * log10(energy)


def per_metre(vehicles: list[tuple[tuple[Numbers, ...], float]], speed: float) -> Numbers:
    """A-weighted power per metre and band, pW/m: formulas 2.2.1 to 2.2.11 on the reference surface at 20 degrees."""
    found = [0.0] * 8
    v = max(speed, 20.0)
    for (rolling, by_decade, engine, by_speed), flow in vehicles:
        for band in range(8):
            rolls = rolling[band] + by_decade[band] * log10(v / 70.0)
            drives = engine[band] + by_speed[band] * (v - 70.0) / 70.0
            power = energy(rolls) + energy(drives)
            found[band] += power * energy(A_WEIGHTING[band]) * flow / (1000.0 * max(speed, 5.0))
    return found


def heard(power: Numbers, length: float, aside: float, screened: float = 0.0) -> float:
    """p2/p02 on the axis of a straight line, ``aside`` metres from it on the ground."""
    apart = hypot(aside, UP)
    spread = 2.0 * atan(length / 2.0 / apart) / (2.0 * pi * apart)
    return sum(p * spread * energy(-a * apart / 1000.0 - screened) for p, a in zip(power, AIR))


def box(x: float, y: float, width: float, depth: float) -> dict[str, Any]:
    ring = [[x, y], [x + width, y], [x + width, y + depth], [x, y + depth], [x, y]]
    return {"type": "MultiPolygon", "coordinates": [[ring]]}


def street(y: float) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [[-10.0, y], [10.0, y]]}


TIME = "2026-03-02T05:00:00Z"


def case(
    about: str,
    streets: dict[str, float],
    traffic: dict[str, tuple[float, float, float]],
    houses: dict[str, tuple[dict[str, Any], float]],
    levels: dict[str, float],
    powers: dict[str, float],
    **params: Any,
) -> dict[str, Any]:
    flow, heavy, speed = (list(c) for c in zip(*traffic.values())) if traffic else ([], [], [])
    return {
        "component": "road-noise",
        "about": about,
        "params": params,
        "inputs": {
            "network": {
                "columns": {"edge": list(streets), "geometry": [street(y) for y in streets.values()]}
            },
            "traffic": {
                "columns": {
                    "time": [TIME] * len(traffic),
                    "edge": list(traffic),
                    "flow": flow,
                    "heavy": heavy,
                    "speed": speed,
                }
            },
            "buildings": {
                "columns": {
                    "building": list(houses),
                    "geometry": [g for g, _ in houses.values()],
                    "height": [h for _, h in houses.values()],
                }
            },
        },
        "outputs": {
            "levels": {
                "columns": {"building": list(levels), "level": [round(v, 4) for v in levels.values()]}
            },
            "emission": {"columns": {"edge": list(powers), "power": [round(v, 4) for v in powers.values()]}},
        },
        # Table 2 gives its coefficients with two digits: of no weight over these few metres.
        "tolerances": {"level": 0.01, "power": 0.0005},
    }


def write() -> None:
    house = {"h": (box(-5.0, 10.5, 10.0, 10.0), 9.0)}  # its wall stands 10 m behind the point that hears
    quiet = energy(35.0)

    cars = per_metre([(LIGHT, 1000.0)], 70.0)
    found = {
        "cars-at-70": case(
            "1000 cars an hour at 70 km/h, the speed at which the formulas give the coefficients of Table F-1 themselves; "
            "20 m of street, 10 m before the point that hears",
            {"s": 0.0},
            {"s": (1000.0, 0.0, 70.0)},
            house,
            {"h": level(heard(cars, 20.0, 10.0) + quiet)},
            {"s": level(sum(cars))},
        )
    }

    lorries = per_metre([(LIGHT, 300.0), (MEDIUM, 25.0), (HEAVY, 75.0)], 50.0)
    found["lorries-behind-a-screen"] = case(
        "400 vehicles an hour at 50 km/h, 100 of them heavy, a quarter of those with two axles; a house 10 m away, and one "
        "40 m away behind it, from where 20 dB are lost",
        {"s": 0.0},
        {"s": (400.0, 100.0, 50.0)},
        {"front": (box(-40.0, 10.5, 80.0, 10.0), 9.0), "back": (box(-5.0, 40.5, 10.0, 10.0), 9.0)},
        {
            "front": level(heard(lorries, 20.0, 10.0) + quiet),
            "back": level(heard(lorries, 20.0, 40.0, 20.0) + quiet),
        },
        {"s": level(sum(lorries))},
        medium_share=0.25,
        spacing=100.0,
    )

    slow, brisk = per_metre([(LIGHT, 600.0)], 3.0), per_metre([(LIGHT, 450.0)], 100.0)
    found["a-queue-and-a-road"] = case(
        "A queue of 600 cars an hour at 3 km/h (as loud as at 20, as dense as at 5), and a road with 450 at 100 km/h, 30 m "
        "behind it; a third street is empty",
        {"queue": 0.0, "road": -30.0, "empty": -40.0},
        {"queue": (600.0, 0.0, 3.0), "road": (450.0, 0.0, 100.0)},
        house,
        {"h": level(heard(slow, 20.0, 10.0) + heard(brisk, 20.0, 40.0) + energy(40.0))},
        {"queue": level(sum(slow)), "road": level(sum(brisk)), "empty": 0.0},
        background=40.0,
    )

    found["far-away"] = case(
        "The same street 200 m away, farther than max_distance: only the background is heard",
        {"s": 0.0},
        {"s": (1000.0, 0.0, 70.0)},
        {"h": (box(-5.0, 200.5, 10.0, 10.0), 9.0)},
        {"h": 35.0},
        {"s": level(sum(cars))},
    )
    for name, content in found.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        Path(f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
