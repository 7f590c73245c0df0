"""A SUMO network as read from its file: streets, permissions, signals, place on earth."""

from __future__ import annotations

import difflib
import gzip
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import shapely

import ldt_core as ldt


@dataclass(frozen=True, slots=True)
class Lane:
    """``allow`` None means every class that is not in ``disallow``."""

    id: str
    speed: float
    length: float
    allow: frozenset[str] | None
    disallow: frozenset[str]
    shape: str

    def allows(self, vehicle_class: str) -> bool:
        if vehicle_class == "ignoring":
            return True
        if self.allow is not None:
            return vehicle_class in self.allow
        return vehicle_class not in self.disallow and "all" not in self.disallow


@dataclass(frozen=True, slots=True)
class Edge:
    id: str
    name: str | None
    from_node: str
    to_node: str
    lanes: tuple[Lane, ...]

    @property
    def length(self) -> float:
        return self.lanes[0].length

    @property
    def speed(self) -> float:
        return max(lane.speed for lane in self.lanes)

    def allows(self, vehicle_class: str) -> bool:
        return any(lane.allows(vehicle_class) for lane in self.lanes)

    def line(self, offset: tuple[float, float]) -> shapely.LineString:
        """The middle of the lanes, in the network's CRS."""
        middle = (len(self.lanes) - 1) // 2
        points = _points(self.lanes[middle].shape)
        if len(self.lanes) % 2 == 0:
            other = _points(self.lanes[middle + 1].shape)
            if other.shape == points.shape:
                points = (points + other) / 2
        return shapely.LineString(points - np.asarray(offset))


@dataclass(frozen=True, slots=True)
class Program:
    """A signal program: ``phases`` are the attributes of each, in order."""

    id: str
    program: str
    type: str
    offset: float
    phases: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Connection:
    source: str
    target: str
    source_lane: int
    target_lane: int
    via: str | None


@dataclass
class Network:
    path: Path
    offset: tuple[float, float] = (0.0, 0.0)
    projection: str = "!"
    edges: list[Edge] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    @cached_property
    def by_id(self) -> dict[str, Edge]:
        return {edge.id: edge for edge in self.edges}

    @cached_property
    def by_name(self) -> dict[str, list[Edge]]:
        named: dict[str, list[Edge]] = {}
        for edge in self.edges:
            if edge.name:
                named.setdefault(edge.name.casefold(), []).append(edge)
        return named

    def find(self, names: Iterable[str], where: str) -> list[Edge]:
        """The edges of street names and edge ids, in the network's order.

        Raises ``ParamError`` for a name that no street has, naming the nearest.
        """
        found: set[str] = set()
        for name in names:
            edges = [self.by_id[name]] if name in self.by_id else self.by_name.get(name.casefold(), [])
            if not edges:
                raise ldt.ParamError(
                    f"no street or edge is called '{name}'",
                    code="no such street",
                    where=where,
                    fix=self._nearest(name),
                )
            found.update(edge.id for edge in edges)
        return [edge for edge in self.edges if edge.id in found]

    def _nearest(self, name: str) -> str:
        names = {e.name.casefold(): e.name for e in self.edges if e.name} | {e: e for e in self.by_id}
        close = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.5)
        if close:
            return "did you mean " + " or ".join(f"'{names[c]}'" for c in close) + "?"
        if not self.by_name:
            return "this network has no street names: write edge ids"
        return f"the network knows {len(self.by_name)} street names, such as '{self.by_name_sample()}'"

    def by_name_sample(self) -> str:
        return next(edge.name for edge in self.edges if edge.name)


def open_xml(path: Path) -> IO[bytes]:
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise _missing(path, error) from error


def _missing(path: Path, error: OSError) -> ldt.LdtError:
    reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
    return ldt.NotFound(
        f"cannot read {path.name}: {reason}", code="file missing", fix="correct the path in the twin file"
    )


def _points(shape: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[float(v) for v in point.split(",")[:2]] for point in shape.split()])


def _lane(element: ET.Element) -> Lane:
    allow = element.get("allow")
    return Lane(
        element.attrib["id"],
        float(element.attrib["speed"]),
        float(element.attrib["length"]),
        None if allow in (None, "all") else frozenset(allow.split()),
        frozenset((element.get("disallow") or "").split()),
        element.attrib["shape"],
    )


def read_network(path: Path) -> Network:
    """Read a ``.net.xml`` or ``.net.xml.gz``. Raises ``NotFound``, ``InputError``."""
    net = Network(path)
    seen_root = False
    try:
        with open_xml(path) as stream:
            for event, element in ET.iterparse(stream, events=("start", "end")):  # noqa: S314
                if event == "start":
                    if not seen_root and element.tag != "net":
                        raise ldt.InputError(
                            f"{path.name} is no SUMO network: it begins with <{element.tag}>",
                            code="not a network",
                            fix="give a .net.xml file, or an OpenStreetMap extract (.osm.pbf, .osm)",
                        )
                    seen_root = True
                elif _take(net, element):
                    element.clear()
    except (ET.ParseError, EOFError, OSError, KeyError, ValueError) as error:
        raise ldt.InputError(
            f"{path.name} is broken: {error}", code="network broken", fix="write or download the file again"
        ) from error
    if not net.edges:
        raise ldt.InputError(
            f"{path.name} holds no street", code="network empty", fix="check the extract and what it keeps"
        )
    return net


def _take(net: Network, element: ET.Element) -> bool:
    """Take over one finished element; whether it may be forgotten."""
    get = element.get
    match element.tag:
        case "location":
            x, y = (float(v) for v in (get("netOffset") or "0,0").split(","))
            net.offset, net.projection = (x, y), get("projParameter") or "!"
        case "edge":
            lanes = tuple(_lane(lane) for lane in element.findall("lane"))
            if get("function") is None and lanes:
                net.edges.append(
                    Edge(element.attrib["id"], get("name"), get("from") or "", get("to") or "", lanes)
                )
        case "connection":
            source, target = element.attrib["from"], element.attrib["to"]
            if not source.startswith(":"):
                lanes_of = int(get("fromLane") or 0), int(get("toLane") or 0)
                net.connections.append(Connection(source, target, *lanes_of, get("via")))
        case "tlLogic":
            net.programs.append(read_program(element))
        case "junction":
            pass
        case _:
            return False
    return True


def read_program(element: ET.Element) -> Program:
    phases = tuple(dict(phase.attrib) for phase in element.findall("phase"))
    get = element.get
    return Program(
        element.attrib["id"],
        get("programID") or "0",
        get("type") or "static",
        float(get("offset") or 0),
        phases,
    )


_LOCATION = re.compile(rb"<location\b[^>]*?projParameter=[\"']([^\"']*)", re.S)


def read_crs(path: Path) -> str:
    """The network's CRS from the head of its file: an authority code, PROJJSON, or ``twin`` where the
    file has no projection (its coordinates are then taken for the twin's own)."""
    try:
        with open_xml(path) as stream:
            head = b""
            while (match := _LOCATION.search(head)) is None and (more := stream.read(1 << 16)):
                head += more
    except (EOFError, OSError) as error:
        raise ldt.InputError(f"{path.name} is broken: {error}", code="network broken") from error
    return crs_of("!" if match is None else match[1].decode())


def crs_of(projection: str) -> str:
    if projection in ("!", ""):
        return "twin"
    import pyproj

    try:
        crs = pyproj.CRS.from_user_input(projection)
    except pyproj.exceptions.CRSError as error:
        raise ldt.InputError(
            f"the network's projection '{projection}' is not understood",
            code="crs",
            fix="convert the network again with netconvert --proj",
        ) from error
    code = crs.to_authority(min_confidence=70)
    return ":".join(code) if code else str(crs.to_json())
