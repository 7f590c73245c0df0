"""Writes the golden cases: closed forms and published figures, worked out without the models.

Run it in this folder: ``python worked.py``.
"""

from __future__ import annotations

import json
from math import pi, sqrt
from pathlib import Path
from typing import Any

Columns = dict[str, list[Any]]


def validation(
    about: str,
    params: dict[str, Any],
    inputs: dict[str, Columns],
    fit: dict[str, Any],
    compared: Columns,
    **more: Any,
) -> dict[str, Any]:
    return {
        "component": "validation",
        "about": about,
        "params": params,
        "inputs": {n: {"columns": c} for n, c in inputs.items()},
        "outputs": {"fit": {"columns": {n: [v] for n, v in fit.items()}}, "compared": {"columns": compared}},
        **more,
    }


def by_hand() -> dict[str, Any]:
    """Deviations from the means 200 and 200: -90, -10, 100 and -100, 0, 100."""
    return validation(
        "Three loops by hand: r = 19000 / sqrt(18200 * 20000), GEH = sqrt(2 d^2 / (m + c)); a fourth loop is not simulated, "
        "and counts that are missing are left out",
        {},
        {
            "simulated": {"edge": ["a", "b", "c"], "flow": [110.0, 190.0, 300.0]},
            "observed": {
                "station": ["a", "b", "c", "d", "c"],
                "flow": [100.0, 200.0, 300.0, 50.0, None],
            },
        },
        {
            "pairs": 3,
            "correlation": 19000.0 / sqrt(18200.0 * 20000.0),
            "bias": 0.0,
            "relative_bias": 0.0,
            "rmse": sqrt((100.0 + 100.0 + 0.0) / 3.0),
            "simulated_total": 600.0,
            "observed_total": 600.0,
            "geh_under_5": 100.0,
        },
        {
            "station": ["a", "b", "c"],
            "simulated_id": ["a", "b", "c"],
            "difference": [10.0, -10.0, 0.0],
            "geh": [sqrt(2.0 * 100.0 / 210.0), sqrt(2.0 * 100.0 / 390.0), 0.0],
        },
    )


def anscombe() -> dict[str, Any]:
    """F. J. Anscombe, Graphs in Statistical Analysis, The American Statistician 27 (1973), 17-21: data set 1."""
    x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0]
    y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    ids = [f"point {n}" for n in range(1, 12)]
    return validation(
        "Anscombe's first data set (1973): the means 9.0 and 7.5 and the coefficient of correlation 0.816 are published, "
        "with this many digits",
        {"quantity": "x:example", "unit": "1", "simulated_value": "y", "observed_value": "x"},
        {"simulated": {"edge": ids, "y": y}, "observed": {"station": ids, "x": x}},
        {
            "pairs": 11,
            "correlation": 0.816,
            "bias": 7.5 - 9.0,
            "simulated_total": 82.5,
            "observed_total": 99.0,
        },
        {"station": ids, "simulated": y, "observed": x},
        tolerances={"correlation": 0.0005, "bias": 0.005, "simulated_total": 0.05},
    )


def matched() -> dict[str, Any]:
    """Counts of 500 and 800 against 600 and 650, and 200 against 45: GEH 4.26, 5.57 and 14.0."""
    geh = [sqrt(2.0 * (s - o) ** 2 / (s + o)) for s, o in ((600.0, 500.0), (650.0, 800.0), (45.0, 200.0))]
    return validation(
        "Loops whose lanes are written as in another file pair by a table; two of three exceed GEH 5, as the formula of TAG "
        "unit M3.1 says",
        {"match_rewrite": [{"pattern": r"__l\d+$"}, {"pattern": "_", "by": " "}]},
        {
            "simulated": {
                "edge": ["east", "west", "lane", "not counted"],
                "flow": [600.0, 650.0, 45.0, 7.0],
            },
            "observed": {"station": ["loop 1", "loop 2", "loop 3"], "flow": [500.0, 800.0, 200.0]},
            "match": {
                "station": ["loop_3__l0", "loop_1__l0", "loop_1__l1", "loop_2__l0"],
                "edge": ["lane", "east", "east", "west"],
            },
        },
        {
            "pairs": 3,
            "bias": (100.0 - 150.0 - 155.0) / 3.0,
            "relative_bias": 100.0 * (1295.0 - 1500.0) / 1500.0,
            "rmse": sqrt((100.0**2 + 150.0**2 + 155.0**2) / 3.0),
            "geh_under_5": 100.0 / 3.0,
        },
        {
            "station": ["loop 1", "loop 2", "loop 3"],
            "simulated_id": ["east", "west", "lane"],
            "geh": geh,
        },
    )


def fahrenheit() -> dict[str, Any]:
    """86, 50 and 68 degrees Fahrenheit are 30, 10 and 20 Celsius; a difference of 9 is one of 5 K."""
    return validation(
        "Temperatures in degrees Fahrenheit: differences are intervals, in K, whatever nought the scale has",
        {
            "quantity": "air_temperature",
            "unit": "Cel",
            "simulated_value": "air",
            "observed_value": "air",
        },
        {
            "simulated": {"edge": ["a", "b", "c"], "air": [86.0, 50.0, 68.0]},
            "observed": {"station": ["a", "b", "c"], "air": [77.0, 59.0, 68.0]},
        },
        {"pairs": 3, "correlation": 1.0, "bias": 0.0, "rmse": sqrt(50.0 / 3.0)},
        {"station": ["a", "b", "c"], "simulated": [30.0, 10.0, 20.0], "difference": [5.0, -5.0, 0.0]},
        units={"simulated.air": "[degF]", "observed.air": "[degF]"},
        tolerances={"bias": 1e-9},
    )


# -- nearby ------------------------------------------------------------------------------------------------

EAST, NORTH = 500_000.0, 5_350_000.0
"""On the central meridian of a UTM zone, where lengths on the map are 0.9996 of those on the ground."""
RADIUS = 75.0 * 0.9996


def line(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [[EAST + x, NORTH + y] for x, y in points]}


def square(x: float, y: float, side: float) -> dict[str, Any]:
    ring = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]
    return {"type": "Polygon", "coordinates": [[[EAST + a, NORTH + b] for a, b in ring]]}


def nearby(
    about: str, shapes: list[Any], values: list[float], value: float, count: int, **params: Any
) -> dict[str, Any]:
    names = [f"place {n}" for n in range(1, len(shapes) + 1)]
    return {
        "component": "nearby",
        "about": about,
        "crs": "EPSG:32632",
        "params": {"x": EAST, "y": NORTH, "crs": "twin", **params},
        "inputs": {
            "places": {"columns": {"edge": names, "geometry": shapes}},
            "values": {"columns": {"edge": names, "nox": values}},
        },
        "outputs": {"nearby": {"columns": {"nox": [value], "count": [count]}}},
        # The circle has 720 corners, and the factor of the projection is 0.9996 on one line only.
        "tolerances": {"nox": value * 2e-5},
    }


def places() -> dict[str, Any]:
    crossing = 2.0 * RADIUS / 400.0
    aside = 2.0 * sqrt(RADIUS**2 - 45.0**2) / 400.0
    streets = [
        line((-200.0, 0.0), (200.0, 0.0)),
        line((-200.0, 45.0), (200.0, 45.0)),
        line((10.0, 10.0), (30.0, 10.0)),
        line((-200.0, 90.0), (200.0, 90.0)),
    ]
    quarter, disc = pi * RADIUS**2 / 4.0, pi * RADIUS**2
    return {
        "emission-of-streets": nearby(
            "Of a street through the middle 2 r of 400 m lie inside, of one 45 m aside the chord 2 sqrt(r^2 - 45^2); one lies "
            "inside as a whole, one outside",
            streets,
            [120.0, 80.0, 5.0, 999.0],
            120.0 * crossing + 80.0 * aside + 5.0,
            3,
        ),
        "mean-over-streets": nearby(
            "The mean over the same streets, by the length that lies inside",
            streets,
            [120.0, 80.0, 5.0, 999.0],
            (120.0 * crossing * 400.0 + 80.0 * aside * 400.0 + 5.0 * 20.0)
            / (crossing * 400.0 + aside * 400.0 + 20.0),
            3,
            reduce="mean",
        ),
        "areas": nearby(
            "A quarter of the circle in a square of 100 m, and the whole of it in one of 400 m",
            [square(0.0, 0.0, 100.0), square(-200.0, -200.0, 400.0)],
            [60.0, 200.0],
            60.0 * quarter / 100.0**2 + 200.0 * disc / 400.0**2,
            2,
        ),
    }


def write() -> None:
    found = {
        "three-loops": by_hand(),
        "anscombe": anscombe(),
        "matched-loops": matched(),
        "fahrenheit": fahrenheit(),
        **places(),
    }
    for name, content in found.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        Path(f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
