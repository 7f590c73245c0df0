"""The ports of the electric grid; names, units and entity sets are shared by the plugin's components."""

from __future__ import annotations

import ldt_core as ldt

BUS, LINE, TRANSFORMER = "grid-bus", "grid-line", "grid-transformer"


MOST = 1e7
"""kW, 10 GW: more than any bus takes. What is beyond was written in another unit."""


def power(description: str = "", range: tuple[float, float] | None = None) -> ldt.Column:
    return ldt.number("kW", "x:electric_power", cell="mean", range=range, description=description)


def per_bus(description: str, least: float = 0.0) -> ldt.Port:
    """An input of power by bus; buses without a row keep what they have."""
    columns = {"bus": ldt.text(), "power": power(range=(least, MOST))}
    return ldt.Port(columns, entity=BUS, id="bus", optional=True, description=description)


def voltage() -> ldt.Column:
    return ldt.number(
        "1",
        "x:voltage_magnitude",
        cell="mean",
        range=(0, 3),
        description="voltage, of the rated one",
    )


NETWORK: dict[str, ldt.Port] = {
    "buses": ldt.Port(
        {
            "bus": ldt.text(),
            "name": ldt.text(nulls=True),
            "rated_voltage": ldt.number("kV", "x:rated_voltage", range=(0, 2000)),
            "load": ldt.number(
                "kW", "x:rated_electric_power", description="rated power of the network's own loads"
            ),
            "geometry": ldt.geometry("Point", nulls=True),
        },
        at="start",
        entity=BUS,
        id="bus",
    ),
    "lines": ldt.Port(
        {
            "line": ldt.text(),
            "name": ldt.text(nulls=True),
            "from_bus": ldt.text(),
            "to_bus": ldt.text(),
            "length": ldt.number("km", "x:length", range=(0, 1e5)),
            "rated_current": ldt.number("kA", "x:rated_current", range=(0, 1e9)),
            "in_service": ldt.boolean(),
            "geometry": ldt.geometry("LineString", nulls=True),
        },
        at="start",
        entity=LINE,
        id="line",
    ),
    "transformers": ldt.Port(
        {
            "transformer": ldt.text(),
            "name": ldt.text(nulls=True),
            "bus": ldt.text(description="the bus at its lower voltage"),
            "rated_power": ldt.number("kV.A", "x:rated_apparent_power", range=(0, 1e9)),
            "geometry": ldt.geometry("Point", nulls=True),
        },
        at="start",
        entity=TRANSFORMER,
        id="transformer",
        description="Of two and of three windings; each is drawn at its lower bus.",
    ),
}

FLOW_INPUTS: dict[str, ldt.Port] = {
    "demand": per_bus("Demand on top of the network's own loads; less than zero feeds in.", -MOST),
    "load": per_bus("All that the loads of a bus draw, instead of the network's own figures."),
    "generation": per_bus("All that the static generators of a bus feed in, instead of the network's own."),
    "switching": ldt.Port(
        {"line": ldt.text(), "closed": ldt.boolean()},
        entity=LINE,
        id="line",
        optional=True,
        description="Lines in or out of service in the window; the others are as the network has them.",
    ),
}

_TIME = ldt.instant()
FLOW_OUTPUTS: dict[str, ldt.Port] = {
    "voltage": ldt.Port(
        {
            "time": _TIME,
            "bus": ldt.text(),
            "voltage": voltage(),
            "angle": ldt.number("deg", "x:voltage_angle", cell="mean"),
        },
        entity=BUS,
        id="bus",
        description="0 where nothing supplies the bus.",
    ),
    "lines": ldt.Port(
        {
            "time": _TIME,
            "line": ldt.text(),
            "loading": ldt.number("%", "x:line_loading", cell="mean", range=(0, 1e6)),
            "power": power("power from the first bus into the line"),
            "losses": power(),
        },
        entity=LINE,
        id="line",
    ),
    "transformers": ldt.Port(
        {
            "time": _TIME,
            "transformer": ldt.text(),
            "loading": ldt.number("%", "x:transformer_loading", cell="mean", range=(0, 1e6)),
            "losses": power(),
        },
        entity=TRANSFORMER,
        id="transformer",
    ),
    "balance": ldt.Port(
        {
            "time": _TIME,
            "imported": power("power from the grid above, less than zero when it is fed"),
            "generation": power("power of generators in this grid"),
            "load": power("power drawn at buses, with shunts and storage"),
            "losses": power("losses in lines, transformers and impedances"),
            "unserved": power("power asked for at buses that nothing supplies"),
            "lowest_voltage": ldt.number("1", "x:voltage_magnitude", cell="min", range=(0, 3)),
            "overloaded": ldt.number(
                "%",
                "x:overloaded_lines",
                cell="mean",
                range=(0, 100),
                description="lines in service that are loaded beyond 100 %",
            ),
        },
        description="imported + generation = load + losses, in every window. The lowest voltage is that of supplied buses.",
    ),
}
