"""Demand from files: copies of SUMO's route and additional files that write nothing beside the data.

Vehicle types get the twin's emission classes, detectors write nowhere, and vehicles whose given route
a scenario has closed are turned into trips from their first to their last edge.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from xml.sax import SAXException, SAXParseException, handler, make_parser, xmlreader
from xml.sax.saxutils import XMLFilterBase, XMLGenerator

import ldt_core as ldt

from .network import Network, Program, open_xml, read_program
from .params import Demand, Emissions
from .reach import Reach

_WRITERS = frozenset(
    [
        "e1Detector",
        "inductionLoop",
        "instantInductionLoop",
        "e2Detector",
        "laneAreaDetector",
        "e3Detector",
        "entryExitDetector",
        "edgeData",
        "laneData",
        "vTypeProbe",
        "routeProbe",
        "calibrator",
        "timedEvent",
    ]
)
_STOPS = ("busStop", "trainStop", "containerStop", "parkingArea", "chargingStation")
_CAR = frozenset(["private", "passenger", "hov", "evehicle", "vip", "taxi", "custom1", "custom2", "ignoring"])
_VAN = frozenset(("delivery",))
_TRUCK = frozenset(["truck", "trailer"])
_BUS = frozenset(["bus", "coach"])
# Options of a configuration that say how to simulate; outputs, reports and the window's own are left out.
_KEPT = frozenset(("processing", "routing", "time", "mesoscopic", "traffic_light"))


@dataclass
class Demands:
    """What the files hold: copies to load, vehicle classes of the types, signals, lost vehicles."""

    routes: list[Path] = field(default_factory=list)
    additional: list[Path] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    begin: float = 0.0
    network: Path | None = None
    classes: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    stops: dict[str, str] = field(default_factory=dict)
    unroutable: list[str] = field(default_factory=list)
    rerouted: int = 0


def sources(demand: Demand) -> Demands:
    """The input files that the parameters or the configuration name, not yet copied."""
    if demand.config is None:
        return Demands([f.path for f in demand.routes], [f.path for f in demand.additional])
    return read_config(demand.config.path)


def read_config(path: Path) -> Demands:
    """The input files that a .sumocfg names. Raises ``NotFound`` and ``InputError``."""
    with open_xml(path) as stream:
        try:
            root = ET.parse(stream).getroot()  # noqa: S314 - expat expands no external entity
        except ET.ParseError as error:
            raise ldt.InputError(f"{path.name} is broken: {error}", code="config broken") from error
    found = Demands()
    for section in root:
        for option in section:
            name, value = option.tag, option.get("value") or option.get("v") or ""
            files = [path.parent / part.strip() for part in value.split(",")]
            match name:
                case "net-file" | "net":
                    found.network = files[0]
                case "route-files":
                    found.routes = files
                case "additional-files":
                    found.additional = files
                case "begin":
                    found.begin = float(value)
                case "end" | "seed" | "random" | "step-length" | "scale" | "remote-port":
                    pass
                case "time-to-teleport" | "mesosim" | "ignore-route-errors":
                    pass
                case _ if section.tag in _KEPT:
                    found.options += [f"--{name}", value]
    return found


def copy(found: Demands, net: Network, changed: bool, emissions: Emissions, folder: Path) -> Demands:
    """Copies in ``folder`` for the scenario's network. ``changed``: the scenario closed something.

    Raises ``NotFound`` and ``InputError`` for files that cannot be read.
    """
    folder.mkdir()
    shared: dict[str, list[str]] = {}
    reach: dict[str, Reach] = {}

    def rewrite(path: Path, number: int) -> Path:
        target = folder / f"{number}-{path.name.removesuffix('.gz')}"
        with open_xml(path) as source, target.open("w", encoding="utf-8") as sink:
            reader = _Rewriter(found, net, changed, emissions, path.parent, shared, reach)
            reader.setContentHandler(XMLGenerator(sink, "utf-8", short_empty_elements=True))
            try:
                reader.parse(source)
            except (SAXException, EOFError, OSError) as error:
                place = f" in line {error.getLineNumber()}" if isinstance(error, SAXParseException) else ""
                what = error.getMessage() if isinstance(error, SAXException) else str(error)
                raise ldt.InputError(
                    f"{path.name} is broken{place}: {what}", code="demand broken", fix="write the file again"
                ) from error
        return target

    found.additional = [rewrite(path, i) for i, path in enumerate(found.additional)]
    found.routes = [rewrite(path, len(found.additional) + i) for i, path in enumerate(found.routes)]
    return found


_Attributes = dict[str, str]


class _Rewriter(XMLFilterBase):
    """Passes a file through; vehicles are held back until their route is known."""

    def __init__(
        self,
        found: Demands,
        net: Network,
        changed: bool,
        emissions: Emissions,
        base: Path,
        shared: dict[str, list[str]],
        reach: dict[str, Reach],
    ) -> None:
        parser = make_parser()  # noqa: S317 - external entities are off, below
        parser.setFeature(handler.feature_external_ges, False)
        parser.setFeature(handler.feature_namespaces, False)
        super().__init__(parser)
        self._found, self._net, self._changed = found, net, changed
        self._emissions, self._base, self._shared, self._reach = emissions, base, shared, reach
        self._held: list[tuple[str, _Attributes]] | None = None
        self._depth = 0
        self._program: ET.Element | None = None
        self._distribution: str | None = None

    # Elements are rebuilt as (name, attributes) so that a vehicle can be judged as a whole.
    def startElement(self, name: str, attrs: xmlreader.AttributesImpl) -> None:  # noqa: N802
        values = dict(attrs.items())
        if self._held is not None:
            self._depth += 1
            self._held.append((name, values))
            return
        match name:
            case "vehicle" | "trip" | "flow" if self._changed:
                self._held, self._depth = [(name, values)], 1
                return
            case "route" if "id" in values:
                self._shared[values["id"]] = values.get("edges", "").split()
            case "vTypeDistribution":
                self._distribution = values["id"]
                for kind in values.get("vTypes", "").split()[:1]:
                    self._found.classes[values["id"]] = self._class_of(kind)
            case "vType":
                values = self._typed(values)
                if self._distribution is not None:
                    self._found.classes.setdefault(self._distribution, self._class_of(values["id"]))
            case "tlLogic":
                self._program = ET.Element("tlLogic", values)
            case "phase" if self._program is not None:
                ET.SubElement(self._program, "phase", values)
            case "busStop" | "trainStop" | "containerStop" | "parkingArea" | "chargingStation":
                self._found.stops[values["id"]] = values.get("lane", "")
            case _ if name in _WRITERS:
                for key in ("file", "output", "dest"):
                    if key in values and not (name == "timedEvent" and key == "file"):
                        values[key] = "NUL"
            case _:
                for key in ("file", "imgFile", "href"):
                    if values.get(key):
                        values[key] = str((self._base / values[key]).resolve())
        super().startElement(name, xmlreader.AttributesImpl(values))

    def endElement(self, name: str) -> None:  # noqa: N802
        if self._held is not None:
            self._depth -= 1
            self._held.append(("/", {"name": name}))
            if self._depth == 0:
                held, self._held = self._held, None
                for tag, values in self._judged(held):
                    if tag == "/":
                        super().endElement(values["name"])
                    else:
                        super().startElement(tag, xmlreader.AttributesImpl(values))
            return
        if name == "tlLogic" and self._program is not None:
            self._found.programs.append(read_program(self._program))
            self._program = None
        if name == "vTypeDistribution":
            self._distribution = None
        super().endElement(name)

    def _typed(self, values: _Attributes) -> _Attributes:
        vehicle_class = values.get("vClass", "passenger")
        self._found.classes[values["id"]] = vehicle_class
        if not self._emissions.keep:
            for known, emission in (
                (_CAR, self._emissions.car),
                (_VAN, self._emissions.van),
                (_TRUCK, self._emissions.truck),
                (_BUS, self._emissions.bus),
            ):
                if vehicle_class in known:
                    values["emissionClass"] = emission
        return values

    def _judged(self, held: list[tuple[str, _Attributes]]) -> Iterator[tuple[str, _Attributes]]:
        """The vehicle as it is, or as a trip where its route is closed, or nothing where none is left."""
        tag, values = held[0]
        vehicle_class = self._class_of(values.get("type", "DEFAULT_VEHTYPE"))
        inner = [v for t, v in held if t == "route"]
        edges = inner[0].get("edges", "").split() if inner else self._shared.get(values.get("route", ""), [])
        if edges and self._drivable(edges, vehicle_class):
            yield from held
            return
        source = edges[0] if edges else values.get("from", "")
        target = edges[-1] if edges else values.get("to", "")
        if not source or not target or not (source in self._net.by_id and target in self._net.by_id):
            yield from held  # zones, junctions, route distributions, or an edge that SUMO will name
            return
        if vehicle_class != "ignoring":
            if vehicle_class not in self._reach:
                self._reach[vehicle_class] = Reach(self._net, vehicle_class)
            ways = [source, *self._stops(held), target]
            if not all(self._reach[vehicle_class].connects(a, b) for a, b in pairwise(ways)):
                self._found.unroutable.append(values.get("id", "?"))
                return
        if not edges:
            yield from held
            return
        self._found.rerouted += 1
        values = {k: v for k, v in values.items() if k != "route"} | {"from": source, "to": target}
        name = "flow" if tag == "flow" else "trip"
        yield name, values
        for t, v in held[1:-1]:
            if t != "route" and not (t == "/" and v["name"] == "route"):
                yield t, v
        yield "/", {"name": name}

    def _stops(self, held: list[tuple[str, _Attributes]]) -> Iterator[str]:
        """The edges where a vehicle stops, in order."""
        for tag, values in held:
            if tag == "stop":
                named = (values[k] for k in _STOPS if k in values)
                lane = values.get("lane") or self._found.stops.get(next(named, ""), "")
                edge = values.get("edge") or lane.rpartition("_")[0]
                if edge:
                    yield edge

    def _class_of(self, kind: str) -> str:
        return self._found.classes.get(kind, "passenger")

    def _drivable(self, edges: list[str], vehicle_class: str) -> bool:
        known = self._net.by_id
        return all(known[e].allows(vehicle_class) for e in edges if e in known)
