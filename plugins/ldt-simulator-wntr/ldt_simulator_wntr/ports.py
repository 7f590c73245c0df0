"""The ports of the water network; names and units are shared with other plugins."""

from __future__ import annotations

import ldt_core as ldt

NODE, PIPE, PUMP = "water-node", "water-pipe", "water-pump"
_TIME = ldt.instant()


def _flow(description: str = "", range: tuple[float, float] | None = None) -> ldt.Column:
    return ldt.number("m3/h", "x:water_flow", cell="mean", range=range, description=description)


def _volume(description: str) -> ldt.Column:
    return ldt.number("m3", "x:water_volume", cell="sum", description=description)


def _per(entity: str, id: str, description: str, **columns: ldt.Column) -> ldt.Port:
    return ldt.Port({id: ldt.text(), **columns}, entity=entity, id=id, optional=True, description=description)


INPUTS: dict[str, ldt.Port] = {
    "demand": _per(
        NODE,
        "node",
        "What these junctions ask for, instead of the file's demand; others keep theirs.",
        demand=_flow(),
    ),
    "factors": _per(
        NODE,
        "node",
        "Factors on the file's demand of these junctions; others keep theirs.",
        factor=ldt.number("1", "x:demand_factor", cell="mean", range=(0, 1e6)),
    ),
    "supply": _per(
        PUMP,
        "pump",
        "Voltage at each pump, of the rated one: below undervoltage it stops, from restart on it may run.",
        voltage=ldt.number("1", "x:voltage_magnitude", cell="mean", range=(0, 3)),
    ),
    "available": _per(PUMP, "pump", "Pumps that may run at all.", available=ldt.boolean()),
    "open": _per(PIPE, "pipe", "Pipes and valves that may be open at all.", open=ldt.boolean()),
}

START: dict[str, ldt.Port] = {
    "nodes": ldt.Port(
        {
            "node": ldt.text(),
            "kind": ldt.text(description="junction, tank or reservoir"),
            "elevation": ldt.number("m", "x:elevation", description="of a reservoir its head"),
            "geometry": ldt.geometry("Point"),
        },
        at="start",
        entity=NODE,
        id="node",
    ),
    "pipes": ldt.Port(
        {
            "pipe": ldt.text(),
            "kind": ldt.text(description="pipe, or the sort of valve"),
            "from_node": ldt.text(),
            "to_node": ldt.text(),
            "length": ldt.number("m", "x:length", range=(0, 1e7), description="of a valve 0"),
            "diameter": ldt.number("m", "x:diameter", range=(0, 100)),
            "geometry": ldt.geometry("LineString"),
        },
        at="start",
        entity=PIPE,
        id="pipe",
    ),
    "stations": ldt.Port(
        {
            "pump": ldt.text(),
            "from_node": ldt.text(),
            "to_node": ldt.text(),
            "geometry": ldt.geometry("Point"),
        },
        at="start",
        entity=PUMP,
        id="pump",
        description="Each pump, halfway between its two nodes.",
    ),
}

STEP: dict[str, ldt.Port] = {
    "pressure": ldt.Port(
        {
            "time": _TIME,
            "node": ldt.text(),
            "pressure": ldt.number(
                "m", "x:pressure_head", cell="mean", description="pressure, in metres of water"
            ),
            "demand": _flow("water delivered"),
            "unmet": _flow("water not delivered, because the pressure is too low", (0, 1e9)),
        },
        entity=NODE,
        id="node",
        description="Junctions, averaged over the window.",
    ),
    "flow": ldt.Port(
        {
            "time": _TIME,
            "pipe": ldt.text(),
            "flow": _flow("flow from the first node to the second"),
            "velocity": ldt.number("m/s", "x:water_velocity", cell="mean", range=(0, 1000)),
        },
        entity=PIPE,
        id="pipe",
    ),
    "pumps": ldt.Port(
        {
            "time": _TIME,
            "pump": ldt.text(),
            "power": ldt.number(
                "kW",
                "x:electric_power",
                cell="mean",
                range=(0, 1e9),
                description="electric power of the pump",
            ),
            "flow": _flow(),
            "head": ldt.number("m", "x:head_gain", cell="mean", description="head gained while the pump ran"),
            "running": ldt.number("%", "x:running_share", cell="mean", range=(0, 100)),
        },
        entity=PUMP,
        id="pump",
    ),
    "tanks": ldt.Port(
        {
            "time": _TIME,
            "node": ldt.text(),
            "level": ldt.number("m", "x:tank_level", description="level above the tank's bottom"),
            "volume": ldt.number("m3", "x:water_volume"),
        },
        entity=NODE,
        id="node",
        description="At the window's end.",
    ),
    "balance": ldt.Port(
        {
            "time": _TIME,
            "from_sources": _volume("water out of reservoirs, less what flowed back"),
            "into_tanks": _volume("water into tanks, less what flowed out"),
            "delivered": _volume("water delivered, with leaks that the file has as emitters"),
            "unmet": _volume("water not delivered"),
            "pump_energy": ldt.number("kW.h", "x:electric_energy", cell="sum", range=(0, 1e12)),
        },
        description="from_sources = delivered + into_tanks, within the solver's accuracy.",
    ),
}
OUTPUTS: dict[str, ldt.Port] = {**START, **STEP}
