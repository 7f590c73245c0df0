"""SUMO's sums as tables of the ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

import ldt_core as ldt

from .network import Network
from .outputs import FinishedTrip, Sums

_STANDING = 0.1  # m/s: below, SUMO counts a vehicle as halted; it bounds the travel time of a standing jam


def of_network(net: Network) -> ldt.Table:
    edges = net.edges
    names = [edge.name for edge in edges]
    return ldt.Table(
        {
            "edge": np.array([edge.id for edge in edges], object),
            "name": np.array([name or "" for name in names], object),
            "from_node": np.array([edge.from_node for edge in edges], object),
            "to_node": np.array([edge.to_node for edge in edges], object),
            "length": [edge.length for edge in edges],
            "speed_limit": [edge.speed for edge in edges],
            "lanes": [len(edge.lanes) for edge in edges],
            "cars": [edge.allows("passenger") for edge in edges],
            "geometry": [edge.line(net.offset) for edge in edges],
        },
        masks={"name": [not name for name in names]},
    )


class Windows:
    """Makes the tables of a window: one row per edge, in the network's order."""

    def __init__(self, net: Network) -> None:
        self._lengths = np.array([edge.length for edge in net.edges])
        self._limits = np.array([edge.speed for edge in net.edges])
        self._ids = np.array([edge.id for edge in net.edges], object)

    def flow(self, sums: Sums, time: np.datetime64, seconds: float) -> ldt.Table:
        """Speed is distance by time of all vehicles; without any, the limit."""
        present, distance, entered, departed = sums["traffic"].T
        driven = present > 0
        speed = np.where(driven, distance / np.where(driven, present, 1.0), self._limits)
        hours = seconds / 3600
        return ldt.Table(
            {
                "time": np.full(len(present), time),
                "edge": self._ids,
                "flow": (entered + departed) / hours,
                "heavy": sums["heavy"].sum(axis=1) / hours,
                "speed": speed,
                "travel_time": self._lengths / np.maximum(speed, _STANDING),
            }
        )

    def noise(self, sums: Sums, time: np.datetime64, intervals: int) -> ldt.Table:
        """The level of the window's mean energy; 0 dB where nothing drove."""
        energy = sums["noise"][:, 0] / intervals
        level = 10 * np.log10(np.maximum(energy, 1.0))
        return ldt.Table({"time": np.full(len(level), time), "edge": self._ids, "noise": level})

    def emissions(self, sums: Sums, time: np.datetime64) -> ldt.Table:
        co2, nox, pmx, fuel = sums["emissions"].T / 1000.0  # SUMO sums milligrams
        times = np.full(len(co2), time)
        return ldt.Table({"time": times, "edge": self._ids, "co2": co2, "nox": nox, "pmx": pmx, "fuel": fuel})


def of_trips(
    finished: Iterable[FinishedTrip], classes: Mapping[str, str], start: np.datetime64, begin: float
) -> ldt.Table:
    """``begin`` is SUMO's time at the run's ``start``."""
    rows = list(finished)
    micros = [round((trip.arrival - begin) * ldt.SECOND) for trip in rows]
    return ldt.Table(
        {
            "time": start + np.array(micros, "timedelta64[us]"),
            "trip": np.array([trip.id for trip in rows], object),
            "kind": np.array([classes.get(trip.type, "passenger") for trip in rows], object),
            "duration": np.array([trip.duration for trip in rows], float),
            "time_loss": np.array([trip.time_loss for trip in rows], float),
            "depart_delay": np.array([trip.depart_delay for trip in rows], float),
            "length": np.array([trip.length for trip in rows], float),
        }
    )
