"""Demand drawn at random: seeded, from the unchanged network, so that it is the same in every scenario."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

import ldt_core as ldt

from .network import Edge, Network, Reach
from .params import Demand, Emissions

_SHORTEST = 15.0  # metres: on a shorter edge a lorry cannot set out


@dataclass(frozen=True, slots=True)
class Trip:
    id: str
    kind: str
    depart: float
    source: str
    target: str


CLASS_OF = {"car": "passenger", "heavy": "truck"}


def generate(net: Network, demand: Demand, rng: np.random.Generator) -> list[Trip]:
    """Trips of a uniform flow, by departure.

    Number: rate times duration. Departures: uniform. Ends: edges of the largest part of the network in
    which every edge reaches every other, weighted by length, outside ``avoid``, ``min_distance`` apart.
    """
    assert demand.rate is not None
    hours = demand.duration / (3600 * ldt.SECOND)
    count = round(demand.rate * hours)
    ends = _ends(net, demand)
    weight = np.array([edge.length for edge in ends])
    weight /= weight.sum()
    middle = np.array([edge.line(net.offset).interpolate(0.5, normalized=True).coords[0] for edge in ends])
    depart = np.sort(rng.uniform(0.0, demand.duration / ldt.SECOND, count))
    heavy = rng.uniform(size=count) < demand.heavy_share
    source, target = np.empty(count, np.int64), np.empty(count, np.int64)
    open_ = np.arange(count)
    for _ in range(200):
        source[open_] = rng.choice(len(ends), len(open_), p=weight)
        target[open_] = rng.choice(len(ends), len(open_), p=weight)
        apart = np.hypot(*(middle[source[open_]] - middle[target[open_]]).T)
        open_ = open_[(apart < demand.min_distance) | (source[open_] == target[open_])]
        if not len(open_):
            break
    else:
        raise ldt.ParamError(
            f"hardly any two streets lie {demand.min_distance:g} m apart",
            code="min_distance",
            where="demand.min_distance",
            fix="lower it",
        )
    return [
        Trip(f"t{i}", "heavy" if heavy[i] else "car", round(float(depart[i]), 2), ends[s].id, ends[t].id)
        for i, (s, t) in enumerate(zip(source, target, strict=True))
    ]


def _ends(net: Network, demand: Demand) -> list[Edge]:
    avoided = {edge.id for edge in net.find(demand.avoid, "demand.avoid")}
    usable = Reach(net, "passenger").largest()
    if demand.heavy_share > 0:
        usable &= Reach(net, "truck").largest()
    ends = [e for e in net.edges if e.id in usable and e.id not in avoided and e.length >= _SHORTEST]
    if len(ends) < 2:
        raise ldt.InputError(
            "the network has no two streets for cars between which trips could run",
            code="no route",
            fix="check the extract and osm.keep, or shorten demand.avoid",
        )
    return ends


def routable(net: Network, trips: list[Trip]) -> list[Trip]:
    """The trips that can be made in this network."""
    reach = {kind: Reach(net, CLASS_OF[kind]) for kind in {trip.kind for trip in trips}}
    return [trip for trip in trips if reach[trip.kind].connects(trip.source, trip.target)]


def write_trips(trips: list[Trip], emissions: Emissions, target: Path) -> Path:
    lines = [
        "<routes>",
        f'<vType id="car" vClass="passenger" emissionClass={quoteattr(emissions.car)}/>',
        f'<vType id="heavy" vClass="truck" emissionClass={quoteattr(emissions.truck)}/>',
    ]
    lines += [
        f'<trip id="{t.id}" type="{t.kind}" depart="{t.depart:.2f}" from={quoteattr(t.source)} '
        f'to={quoteattr(t.target)} departLane="best" departSpeed="max"/>'
        for t in trips
    ]
    target.write_text("\n".join([*lines, "</routes>\n"]), "utf-8")
    return target


def describe(demand: Demand, seed: int) -> str:
    """What was made up, in one sentence."""
    return (
        f"Traffic demand drawn at random (seed {seed}): {demand.rate:g} vehicles per hour for "
        f"{ldt.format_duration(demand.duration)}, {demand.heavy_share:.0%} of them heavy, between streets "
        f"chosen by their length and at least {demand.min_distance:g} m apart."
    )
