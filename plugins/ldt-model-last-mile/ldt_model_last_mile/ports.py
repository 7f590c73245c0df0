"""What comes in and what goes out."""

from __future__ import annotations

import ldt_core as ldt

SYNTHETIC = (
    "The addresses with a delivery are drawn at random (by seed, the same in every scenario) among all addresses; "
    "parcels per stop, fleet and depot are assumptions."
)

INPUTS = {
    "network": ldt.Port(
        {
            "edge": ldt.text(),
            "from_node": ldt.text(),
            "to_node": ldt.text(),
            "length": ldt.number("m", "x:length", range=(0.0, 1e6)),
            "cars": ldt.boolean(),
            "geometry": ldt.geometry("LineString"),
        },
        at="start",
        entity="street-edge",
        id="edge",
        description="Directed streets; cars says whether vans may use them in this scenario.",
    ),
    "times": ldt.Port(
        {
            "time": ldt.instant(),
            "edge": ldt.text(),
            "travel_time": ldt.number("s", "x:travel_time", cell="mean", range=(0.0, 1e7)),
        },
        entity="street-edge",
        id="edge",
        description="Mean time to drive each edge in the window; every edge open to cars has a row.",
    ),
    "addresses": ldt.Port(
        {"building": ldt.text(), "geometry": ldt.geometry("Geometry")},
        at="start",
        entity="building",
        id="building",
        description="Where parcels may go: buildings or points.",
    ),
}

OUTPUTS = {
    "tours": ldt.Port(
        {
            "time": ldt.instant(),
            "tour": ldt.text(),
            "duration": ldt.number("min", "x:tour_duration", cell="mean", range=(0.0, 1e5)),
            "driving": ldt.number("min", "x:tour_driving_time", cell="mean", range=(0.0, 1e5)),
            "service": ldt.number("min", "x:tour_service_time", cell="mean", range=(0.0, 1e5)),
            "distance": ldt.number("km", "x:tour_distance", cell="mean", range=(0.0, 1e5)),
            "stops": ldt.integer("1", "x:tour_stops", cell="mean", range=(0, 100_000)),
        },
        entity="tour",
        id="tour",
        dynamic=True,
        synthetic=SYNTHETIC,
        description="One row per van that drives; service holds the way on foot. Durations from depot to depot.",
    ),
    "legs": ldt.Port(
        {
            "time": ldt.instant(),
            "leg": ldt.text(),
            "tour": ldt.text(),
            "sequence": ldt.integer("1", "x:tour_sequence", cell="mean"),
            "building": ldt.text(nulls=True, description="where the leg ends; none at the depot"),
            "driving": ldt.number("min", "x:leg_driving_time", cell="mean", range=(0.0, 1e5)),
            "geometry": ldt.geometry("LineString"),
        },
        entity="tour-leg",
        id="leg",
        dynamic=True,
        synthetic=SYNTHETIC,
        description="The way from stop to stop; legs of no length are left out.",
    ),
}
