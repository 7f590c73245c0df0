"""From solutions, each with the seconds that it holds, to the tables of a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import ldt_core as ldt

from .hydraulics import Hydraulics, Solved
from .network import Network

HOUR = 3600.0


class Sums:
    """Integrals over the window: of every value times the seconds that it held."""

    def __init__(self, network: Network) -> None:
        self.net = network
        nodes, pumps = len(network.nodes), len(network.pumps)
        self.seconds = 0
        self.heads, self.demands = np.zeros(nodes), np.zeros(nodes)
        self.unmet = np.zeros(len(network.junctions))
        self.flows, self.speeds = np.zeros(len(network.links)), np.zeros(len(network.pipes))
        self.kilowatts, self.gains, self.ran = np.zeros(pumps), np.zeros(pumps), np.zeros(pumps)
        self._areas = np.pi / 4 * network.diameters**2

    def add(self, solved: Solved) -> None:
        net, dt = self.net, solved.seconds
        pipes = len(net.pipes)
        self.seconds += dt
        self.heads += solved.heads * dt
        self.demands += solved.demands * dt
        self.unmet += solved.unmet * dt
        self.flows += solved.flows * dt
        self.speeds += np.abs(solved.flows[:pipes]) / self._areas * dt
        runs = solved.flows[pipes:] > 0
        first, second = net.ends[pipes:].T
        self.gains += np.where(runs, solved.heads[second] - solved.heads[first], 0.0) * dt
        self.ran += runs * dt
        self.kilowatts += np.where(runs, solved.kilowatts, 0.0) * dt

    def tables(self, start: np.datetime64) -> dict[str, ldt.Table]:
        net, t = self.net, float(self.seconds)
        junctions, tanks, pipes = len(net.junctions), len(net.tanks), len(net.pipes)

        def table(id: str, names: list[str], **columns: NDArray[np.float64]) -> ldt.Table:
            return ldt.Table({"time": np.full(len(names), start), id: np.array(names, object), **columns})

        ran = np.maximum(self.ran, 1.0)
        return {
            "pressure": table(
                "node",
                net.junctions,
                pressure=self.heads[:junctions] / t - net.elevations[:junctions],
                demand=self.demands[:junctions] / t * HOUR,
                unmet=self.unmet / t * HOUR,
            ),
            "flow": table("pipe", net.pipes, flow=self.flows[:pipes] / t * HOUR, velocity=self.speeds / t),
            "pumps": table(
                "pump",
                net.pumps,
                power=self.kilowatts / t,
                flow=self.flows[pipes:] / t * HOUR,
                head=self.gains / ran,
                running=100.0 * self.ran / t,
            ),
            "balance": ldt.Table(
                {
                    "time": [start],
                    "from_sources": [-float(self.demands[junctions + tanks :].sum())],
                    "into_tanks": [float(self.demands[junctions : junctions + tanks].sum())],
                    "delivered": [float(self.demands[:junctions].sum())],
                    "unmet": [float(self.unmet.sum())],
                    "pump_energy": [float(self.kilowatts.sum()) / HOUR],
                }
            ),
        }


def tanks(hydraulics: Hydraulics, at: np.datetime64) -> ldt.Table:
    levels, volumes = hydraulics.tanks()
    names = hydraulics.network.tanks
    return ldt.Table(
        {"time": np.full(len(names), at), "node": np.array(names, object), "level": levels, "volume": volumes}
    )
