"""What SUMO wrote since the last look: edge data of whole intervals, and finished trips.

SUMO aggregates per edge by itself and flushes its files at the end of every interval, so a window
costs one TraCI call and one look into four files, however many edges and seconds it has.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

import ldt_core as ldt

TRAFFIC, HEAVY, EMISSIONS, NOISE = "traffic", "heavy", "emissions", "noise"
ATTRIBUTES = {
    TRAFFIC: ("sampledSeconds", "distance", "entered", "departed"),
    HEAVY: ("entered", "departed"),
    EMISSIONS: ("CO2_abs", "NOx_abs", "PMx_abs", "fuel_abs"),
    NOISE: ("noise",),
}
Sums = dict[str, NDArray[np.float64]]
"""Meandata id -> array of shape (edges, attributes): sums over a span of time (of noise: of its energy, by interval)."""

_ELEMENT = {
    "interval": re.compile(rb"<interval\s(?:[^>]*/>|.*?</interval>)", re.S),
    "tripinfo": re.compile(rb"<tripinfo\s(?:[^>]*/>|.*?</tripinfo>)", re.S),
}


def write_definitions(
    target: Path,
    period: float,
    heavy_types: Sequence[str],
    default_emissions: str | None,
    noise: bool = False,
) -> Path:
    """The additional file that asks SUMO for edge data of every ``period`` seconds.

    ``default_emissions`` is the emission class of vehicles that name no type.
    """
    lines = ["<additional>"]
    if default_emissions is not None:
        lines.append(
            f'<vType id="DEFAULT_VEHTYPE" vClass="passenger" emissionClass={quoteattr(default_emissions)}/>'
        )
    for name, attributes in ATTRIBUTES.items():
        extra = ""
        if name == HEAVY:
            if not heavy_types:
                continue
            extra = f" vTypes={quoteattr(' '.join(heavy_types))}"
        elif name == EMISSIONS:
            extra = ' type="emissions"'
        elif name == NOISE:
            if not noise:
                continue
            extra = ' type="harmonoise"'
        lines.append(
            f'<edgeData id="{name}" file="{name}.xml" period="{period:g}" excludeEmpty="true"{extra} '
            f'writeAttributes="{" ".join(attributes)}"/>'
        )
    target.write_text("\n".join([*lines, "</additional>\n"]), "utf-8")
    return target


class Tail:
    """The complete elements that were added to a growing XML file since the last look."""

    def __init__(self, path: Path, tag: str) -> None:
        self.path, self._element = path, _ELEMENT[tag]
        self._read, self._rest = 0, b""

    def new(self) -> Iterator[ET.Element]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._read)
                added = stream.read()
        except FileNotFoundError:
            return
        self._read += len(added)
        text, end = self._rest + added, 0
        for match in self._element.finditer(text):
            end = match.end()
            yield ET.fromstring(match.group())  # noqa: S314 - written by our own child
        self._rest = text[end:]


class EdgeData:
    """Sums per edge of the intervals that ended since the last look."""

    def __init__(
        self, folder: Path, edges: Mapping[str, int], with_heavy: bool, with_noise: bool = False
    ) -> None:
        self._rows = edges
        self._tails = {
            name: Tail(folder / f"{name}.xml", "interval")
            for name in ATTRIBUTES
            if (with_heavy or name != HEAVY) and (with_noise or name != NOISE)
        }

    def new(self, intervals: int) -> Sums:
        """The sums over exactly ``intervals`` new intervals."""
        sums = {n: np.zeros((len(self._rows), len(a))) for n, a in ATTRIBUTES.items()}
        for name, tail in self._tails.items():
            attributes, total, seen = ATTRIBUTES[name], sums[name], 0
            for interval in tail.new():
                seen += 1
                known = [edge for edge in interval if edge.attrib["id"] in self._rows]
                if known:  # an edge stands in an interval at most once, so one indexed sum is exact
                    rows = [self._rows[edge.attrib["id"]] for edge in known]
                    values = [[float(edge.get(a) or 0.0) for a in attributes] for edge in known]
                    # Levels are not added, their energies are; SUMO writes 0 where nothing was heard.
                    total[rows] += (
                        np.where(np.equal(values, 0), 0, 10 ** (np.array(values) / 10))
                        if (name == NOISE)
                        else values
                    )
            if seen != intervals:
                raise ldt.InputError(
                    f"SUMO wrote {seen} intervals of {name} data where {intervals} were due",
                    code="sumo failed",
                )
        return sums


class FinishedTrip(NamedTuple):
    """Times in seconds of SUMO's clock; ``kind`` is the vehicle class."""

    id: str
    type: str
    arrival: float
    duration: float
    time_loss: float
    depart_delay: float
    length: float


def finished(tail: Tail) -> Iterator[FinishedTrip]:
    """Trips that ended since the last look; vehicles that were taken out before their end are none."""
    for element in tail.new():
        get = element.attrib
        if not get.get("vaporized"):
            yield FinishedTrip(
                get["id"],
                get["vType"],
                float(get["arrival"]),
                float(get["duration"]),
                float(get["timeLoss"]),
                float(get["departDelay"]),
                float(get["routeLength"]),
            )
