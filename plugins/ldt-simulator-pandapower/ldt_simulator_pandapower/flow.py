"""The steady state of an electric grid, window by window: pandapower's power flow as a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

import ldt_core as ldt

from . import network, ports
from .params import Network


class Consumers(ldt.Params):
    """Things of another component that draw power at a bus: pumps, stations, chargers."""

    entity: str = ldt.Field(description="what the other component calls the set, such as water-pump")
    id: str = ldt.Field(description="the column that names each of them, such as pump")
    bus: dict[str, str] = ldt.Field(min_length=1, description="the bus of each, by its id")


class FlowParams(Network):
    load_scale: float | None = ldt.Field(
        None, ge=0, description="the network's loads times this, instead of its own scaling"
    )
    generation_scale: float | None = ldt.Field(
        None, ge=0, description="its static generators times this, instead of their own scaling"
    )
    open_lines: list[str] = ldt.Field([], description="lines that are out of service all the time")
    power_factor: float = ldt.Field(
        0.97, gt=0, le=1, description="of demand that comes from other components"
    )
    consumers: Consumers | None = ldt.Field(
        None, description="adds the input consumers (their power) and the output supply (their voltage)"
    )


class PowerFlow(ldt.Model):
    """Balanced steady-state power flow (Newton-Raphson) by pandapower, for the mean powers of each window.

    Source: Thurner et al., pandapower, IEEE Transactions on Power Systems 33(6), 2018.
    """

    id = "power-flow"
    title = "Power flow (pandapower)"
    inputs = ports.FLOW_INPUTS
    outputs = ports.FLOW_OUTPUTS
    dynamic = True
    validity: ClassVar[Mapping[str, Any]] = {
        "state": "balanced three-phase steady state of the window's mean power; no transients, no protection",
        "demand": "power does not depend on voltage unless the network's own loads say so",
        "control": "controllers in a network file (tap changers) do not act",
    }
    tolerances: ClassVar[Mapping[str, float]] = {
        "voltage": 1e-8,
        "loading": 1e-5,
        "power": 1e-3,
        "losses": 1e-3,
    }

    Params = FlowParams

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._grid: network.Grid | None = None

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        """With ``consumers``: their power as an input, the voltage at their buses as an output."""
        who = self.params.consumers
        if who is None:
            return ports.FLOW_INPUTS, ports.FLOW_OUTPUTS
        given = ldt.Port(
            {who.id: ldt.text(), "power": ports.power(range=(-ports.MOST, ports.MOST))},
            entity=who.entity,
            id=who.id,
            description="What each of them draws; which bus feeds it says the parameter consumers.",
        )
        supply = ldt.Port(
            {"time": ldt.instant(), who.id: ldt.text(), "voltage": ports.voltage()},
            entity=who.entity,
            id=who.id,
            description="Voltage at the bus that feeds each of them.",
        )
        return {**ports.FLOW_INPUTS, "consumers": given}, {**ports.FLOW_OUTPUTS, "supply": supply}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        """Raises ``InputError`` for a bus or line that is not there, and where no solution is found."""
        grid = self._grid = self._grid or self._read()
        grid.carry(inputs)
        who = self.params.consumers
        if who is not None:
            fed = self._fed(grid, who)
            table = inputs["consumers"]
            unknown = [c for c in table[who.id].tolist() if c not in fed]
            if unknown:
                raise ldt.InputError(
                    f"nothing says which bus feeds {who.id} '{unknown[0]}'",
                    code="ids do not pair",
                    where="consumers",
                    fix=f"add it to consumers.bus; there are {', '.join(fed)}",
                )
            grid.add(np.array([fed[c] for c in table[who.id].tolist()], np.int64), table["power"])
        start = self.context.instant(self.context.window.start)
        grid.solve(f"the window from {start}")
        tables = _tables(grid, start)
        if who is not None:
            at = np.array(list(fed.values()))
            tables["supply"] = ldt.Table(
                {
                    "time": np.full(len(fed), start),
                    who.id: np.array(list(fed), object),
                    "voltage": tables["voltage"]["voltage"][at],
                }
            )
        return tables

    def _read(self) -> network.Grid:
        p = self.params
        grid = network.Grid(network.read(p), p.title, p.load_scale, p.generation_scale, p.power_factor)
        grid.open(p.open_lines)
        return grid

    def _fed(self, grid: network.Grid, who: Consumers) -> dict[str, int]:
        return {name: grid.position(bus, "consumers.bus") for name, bus in who.bus.items()}


def _tables(grid: network.Grid, start: np.datetime64) -> dict[str, ldt.Table]:
    net = grid.net
    voltage, loading = grid.result("bus", "vm_pu"), grid.result("line", "loading_percent")
    live = voltage > 0
    in_service = net.line.in_service.to_numpy(bool)
    kinds = [k for k in ("trafo", "trafo3w") if len(net[k])]

    def joined(column: str) -> Any:
        return np.concatenate([np.empty(0)] + [grid.result(k, column) for k in kinds])

    transformers = transformer_ids(net)
    return {
        "voltage": ldt.Table(
            {
                "time": np.full(len(voltage), start),
                "bus": grid.buses,
                "voltage": voltage,
                "angle": grid.result("bus", "va_degree"),
            }
        ),
        "lines": ldt.Table(
            {
                "time": np.full(len(loading), start),
                "line": grid.lines,
                "loading": loading,
                "power": 1000.0 * grid.result("line", "p_from_mw"),
                "losses": 1000.0 * grid.result("line", "pl_mw"),
            }
        ),
        "transformers": ldt.Table(
            {
                "time": np.full(len(transformers), start),
                "transformer": transformers,
                "loading": joined("loading_percent"),
                "losses": 1000.0 * joined("pl_mw"),
            }
        ),
        "balance": ldt.Table(
            {
                "time": [start],
                "imported": [grid.total(("ext_grid",))],
                "generation": [grid.total(network.SOURCES)],
                "load": [grid.total(network.CONSUMERS)],
                "losses": [grid.total(network.BRANCHES, "pl_mw")],
                "unserved": [grid.unserved()],
                "lowest_voltage": [float(voltage[live].min(initial=3.0)) if live.any() else 0.0],
                "overloaded": [100.0 * float((loading > 100).sum()) / max(int(in_service.sum()), 1)],
            }
        ),
    }


def transformer_ids(net: Any) -> Any:
    """``3``, ``7`` for those of two windings; ``3w-0`` for those of three."""
    two, three = network.text(net.trafo.index), network.text(net.trafo3w.index)
    return np.array([*two, *(f"3w-{name}" for name in three)], object)
