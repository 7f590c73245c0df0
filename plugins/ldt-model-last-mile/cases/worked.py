"""Writes the golden cases: streets so simple that the best tours follow from them, worked out without the model.

Driving is 10 m/s where nothing else is said, walking 1 m/s, a door takes 60 s. Run it in this folder: ``python worked.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

TIME = "2026-03-02T05:00:00Z"


class Street(NamedTuple):
    edge: str
    start: str
    end: str
    line: list[list[float]]
    seconds: float
    cars: bool = True


def case(
    about: str,
    streets: list[Street],
    houses: dict[str, list[float]],
    tours: list[tuple[float, float, float, int]],
    legs: list[tuple[str, str | None, float]],
    **params: Any,
) -> dict[str, Any]:
    """``tours`` say driving (s), service (s), distance (m) and stops; ``legs`` their tour, house, and driving (s)."""
    names = [f"tour-{n:02d}" for n in range(1, len(tours) + 1)]
    open_ = [s for s in streets if s.cars]
    lengths = [abs(s.line[1][0] - s.line[0][0]) + abs(s.line[1][1] - s.line[0][1]) for s in streets]
    within = [n for i, (tour, _, _) in enumerate(legs) for n in [sum(t == tour for t, _, _ in legs[: i + 1])]]
    return {
        "component": "last-mile",
        "about": about,
        "params": {
            "stops": len(houses),
            "walking_speed": 3.6,
            "service_time": "60s",
            "iterations": 50,
            "depot": {"x": 0.0, "y": 0.0},
            **params,
        },
        "inputs": {
            "network": {
                "columns": {
                    "edge": [s.edge for s in streets],
                    "from_node": [s.start for s in streets],
                    "to_node": [s.end for s in streets],
                    "length": lengths,
                    "cars": [s.cars for s in streets],
                    "geometry": [{"type": "LineString", "coordinates": s.line} for s in streets],
                }
            },
            "times": {
                "columns": {
                    "time": [TIME] * len(open_),
                    "edge": [s.edge for s in open_],
                    "travel_time": [s.seconds for s in open_],
                }
            },
            "addresses": {
                "columns": {
                    "building": list(houses),
                    "geometry": [{"type": "Point", "coordinates": p} for p in houses.values()],
                }
            },
        },
        "outputs": {
            "tours": {
                "columns": {
                    "tour": names,
                    "duration": [(d + s) / 60.0 for d, s, _, _ in tours],
                    "driving": [d / 60.0 for d, _, _, _ in tours],
                    "service": [s / 60.0 for _, s, _, _ in tours],
                    "distance": [m / 1000.0 for _, _, m, _ in tours],
                    "stops": [n for _, _, _, n in tours],
                }
            },
            "legs": {
                "columns": {
                    "leg": [f"{t}/{n}" for (t, _, _), n in zip(legs, within)],
                    "tour": [t for t, _, _ in legs],
                    "sequence": within,
                    "building": [b for _, b, _ in legs],
                    "driving": [s / 60.0 for _, _, s in legs],
                }
            },
        },
    }


def there_and_back() -> dict[str, Any]:
    """300 m out and 300 m back; doors at 50, 150 and 290 m, 8 m from the street: 5, 10 and 14 s apart, then 1 + 30 s."""
    streets = [
        Street("out", "w", "e", [[0.0, 0.0], [300.0, 0.0]], 30.0),
        Street("back", "e", "w", [[300.0, 4.0], [0.0, 4.0]], 30.0),
    ]
    return case(
        "One street out and one back: three doors on the way out, whatever their order in the table",
        streets,
        {"a": [50.0, -8.0], "c": [290.0, -8.0], "b": [150.0, -8.0]},
        [(60.0, 3 * (60.0 + 16.0), 600.0, 3)],
        [("tour-01", "a", 5.0), ("tour-01", "b", 10.0), ("tour-01", "c", 14.0), ("tour-01", None, 31.0)],
    )


def ring() -> list[Street]:
    """One way round a square of 100 m, slow on the side where two doors are, and slower on the last."""
    corners = [[0.0, 0.0], [100.0, 0.0], [100.0, 100.0], [0.0, 100.0], [0.0, 0.0]]
    return [
        Street(f"side-{n + 1}", f"n{n}", f"n{(n + 1) % 4}", [corners[n], corners[n + 1]], seconds)
        for n, seconds in enumerate((10.0, 20.0, 10.0, 40.0))
    ]


def one_way_ring() -> dict[str, Any]:
    return case(
        "One way round a square: a tour is the whole ring once, 80 s, whoever is served first",
        ring(),
        {"second": [110.0, 75.0], "first": [110.0, 25.0]},
        [(80.0, 2 * (60.0 + 20.0), 400.0, 2)],
        [("tour-01", "first", 15.0), ("tour-01", "second", 10.0), ("tour-01", None, 55.0)],
    )


def closed_street() -> dict[str, Any]:
    """A lane off the ring is closed to cars: its house, 40 m down the lane, is reached on foot from the corner."""
    lane = Street("lane", "n2", "n5", [[100.0, 100.0], [180.0, 100.0]], 0.0, cars=False)
    return case(
        "The house in a lane that is closed to cars: the van stops at the corner, 40 m are walked to and fro",
        [*ring(), lane],
        {"in the lane": [140.0, 100.0]},
        [(80.0, 60.0 + 80.0, 400.0, 1)],
        [("tour-01", "in the lane", 30.0), ("tour-01", None, 50.0)],
    )


def full_vans() -> dict[str, Any]:
    """Crossings every 100 m, doors at 50 and 150 m, room for one stop in a van: 200 m for one, 400 m for the other."""
    streets = []
    for n in range(2):
        west, east = 100.0 * n, 100.0 * (n + 1)
        streets.append(Street(f"out-{n}", f"n{n}", f"n{n + 1}", [[west, 0.0], [east, 0.0]], 10.0))
        streets.append(Street(f"back-{n}", f"n{n + 1}", f"n{n}", [[east, 4.0], [west, 4.0]], 12.0))
    return case(
        "Two stops that one van has no room for: two vans, each out and back; back is slower",
        streets,
        {"far": [150.0, -5.0], "at hand": [50.0, -5.0]},
        [(22.0, 70.0, 200.0, 1), (44.0, 70.0, 400.0, 1)],
        [
            ("tour-01", "at hand", 5.0),
            ("tour-01", None, 17.0),
            ("tour-02", "far", 15.0),
            ("tour-02", None, 29.0),
        ],
        vehicles=2,
        capacity=3,
        parcels=2,
    )


def write() -> None:
    found = {
        "there-and-back": there_and_back(),
        "one-way-ring": one_way_ring(),
        "closed-street": closed_street(),
        "full-vans": full_vans(),
    }
    for name, content in found.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        Path(f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
