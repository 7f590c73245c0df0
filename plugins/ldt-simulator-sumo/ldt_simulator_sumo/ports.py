"""The ports of the SUMO simulator; names and units are shared with other plugins."""

from __future__ import annotations

import ldt_core as ldt

from . import detectors

_TIME, _EDGE = ldt.instant(), ldt.text()
_ENTITY = "street-edge"

OUTPUTS: dict[str, ldt.Port] = {
    "network": ldt.Port(
        {
            "edge": ldt.text(),
            "name": ldt.text(nulls=True),
            "from_node": ldt.text(),
            "to_node": ldt.text(),
            "length": ldt.number("m", "x:length", range=(0, 1e6)),
            "speed_limit": ldt.number("m/s", "x:speed_limit", range=(0, 200)),
            "lanes": ldt.integer("1", "x:lanes", range=(1, 100)),
            "cars": ldt.boolean(description="open to passenger cars in this scenario"),
            "geometry": ldt.geometry("LineString"),
        },
        at="start",
        entity=_ENTITY,
        id="edge",
        description="One-way edges from junction to junction, along the middle of their lanes.",
    ),
    "detectors": detectors.PORT,
    "flow": ldt.Port(
        {
            "time": _TIME,
            "edge": _EDGE,
            "flow": ldt.number("{veh}/h", "x:traffic_flow", cell="mean", range=(0, 1e6)),
            "heavy": ldt.number("{veh}/h", "x:heavy_traffic_flow", cell="mean", range=(0, 1e6)),
            "speed": ldt.number("m/s", "x:vehicle_speed", cell="mean", range=(0, 200)),
            "travel_time": ldt.number("s", "x:travel_time", cell="mean", range=(0, 1e7)),
        },
        entity=_ENTITY,
        id="edge",
        description="Vehicles that entered an edge or set out on it; free-flow values where none was.",
    ),
    "emissions": ldt.Port(
        {
            "time": _TIME,
            "edge": _EDGE,
            "co2": ldt.number("g", "x:co2_mass", cell="sum", range=(0, 1e12)),
            "nox": ldt.number("g", "x:nox_mass", cell="sum", range=(0, 1e12)),
            "pmx": ldt.number("g", "x:pmx_mass", cell="sum", range=(0, 1e12)),
            "fuel": ldt.number("g", "x:fuel_mass", cell="sum", range=(0, 1e12)),
        },
        entity=_ENTITY,
        id="edge",
        description="Mass emitted on each edge during the window.",
    ),
    "noise": ldt.Port(
        {
            "time": _TIME,
            "edge": _EDGE,
            "noise": ldt.number("dB", "x:sound_level_harmonoise", cell="mean", range=(0, 200)),
        },
        entity=_ENTITY,
        id="edge",
        description="Level by the Harmonoise source model beside each edge, energetic mean; 0 where nothing drove.",
    ),
    "trips": ldt.Port(
        {
            "time": ldt.instant(description="arrival"),
            "trip": ldt.text(),
            "kind": ldt.text(description="vehicle class"),
            "duration": ldt.number("s", "x:trip_duration", range=(0, 1e7)),
            "time_loss": ldt.number("s", "x:time_loss", range=(-1e4, 1e7)),
            "depart_delay": ldt.number("s", "x:depart_delay", range=(0, 1e7)),
            "length": ldt.number("m", "x:length", range=(0, 1e7)),
        },
        events=True,
        description="One row per trip that ended in the window.",
    ),
    "arrivals": ldt.Port(
        {
            "time": ldt.instant(),
            "waiting_to_enter": ldt.integer("1", "x:vehicles_waiting", range=(0, 1e9)),
            "running": ldt.integer("1", "x:vehicles_running", range=(0, 1e9)),
            "arrived": ldt.integer("1", "x:vehicles_arrived", range=(0, 1e9)),
        },
        description="Vehicles at the window's end: waiting to set out, under way, arrived since the start.",
    ),
}
