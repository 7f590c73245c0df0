"""Demand drawn at random: seeded, from the unchanged network, so that it is the same in every scenario."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

import ldt_core as ldt

from .network import Network
from .params import Demand, Emissions
from .reach import Reach

_TRIES = 50
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

    Number: rate times duration. Departures: uniform. Ends: pairs of edges weighted by length,
    ``min_distance`` apart, between which there is a way without the streets of ``avoid``: so all trips
    stay possible when just these are closed. Raises ``InputError`` where no pair is to be found.
    """
    assert demand.rate is not None
    count = round(demand.rate * demand.duration / (3600 * ldt.SECOND))
    avoided = [edge.id for edge in net.find(demand.avoid, "demand.avoid")]
    depart = np.sort(rng.uniform(0.0, demand.duration / ldt.SECOND, count))
    kind = np.where(rng.uniform(size=count) < demand.heavy_share, "heavy", "car")
    ends = [np.empty(count, object), np.empty(count, object)]
    for name in sorted(set(kind)):
        chosen = np.flatnonzero(kind == name)
        pairs = _pairs(net, Reach(net, CLASS_OF[name], avoided), len(chosen), demand.min_distance, rng)
        for end, edges in zip(ends, pairs, strict=True):
            end[chosen] = edges
    return [
        Trip(f"t{i}", str(kind[i]), round(float(depart[i]), 2), source, target)
        for i, (source, target) in enumerate(zip(*ends, strict=True))
    ]


def _pairs(
    net: Network, reach: Reach, count: int, min_distance: float, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    usable = [edge for edge in net.edges if edge.id in reach.index and edge.length >= _SHORTEST]
    weight = np.array([edge.length for edge in usable])
    middle = np.array([edge.line(net.offset).interpolate(0.5, normalized=True).coords[0] for edge in usable])
    sources: list[str] = []
    targets: list[str] = []
    for _ in range(_TRIES if len(usable) > 1 else 0):
        source, target = rng.choice(len(usable), (2, 2 * count), p=weight / weight.sum())
        far = np.hypot(*(middle[source] - middle[target]).T) >= min_distance
        for s, t in zip(source[far], target[far], strict=True):
            if s != t and reach.connects(usable[s].id, usable[t].id):
                sources.append(usable[s].id)
                targets.append(usable[t].id)
        if len(sources) >= count:
            return sources[:count], targets[:count]
    raise ldt.InputError(
        f"the network has hardly a route between streets at least {min_distance:g} m apart",
        code="no route",
        fix="check the extract and osm.keep, shorten demand.avoid, or lower demand.min_distance",
    )


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


def _in_words(duration: int) -> str:
    minutes = duration / (60 * ldt.SECOND)
    return f"{minutes:g} minutes" if minutes >= 1 else f"{duration / ldt.SECOND:g} seconds"


def describe(demand: Demand) -> str:
    """What was made up, in one sentence. The seed differs between replicates, so the run record has it."""
    return (
        f"Traffic demand drawn at random, anew for each replicate: {demand.rate:g} vehicles per hour for "
        f"{_in_words(demand.duration)}, {100 * demand.heavy_share:g} % of them lorries, between streets "
        f"chosen by their length and at least {demand.min_distance:g} m apart."
    )
