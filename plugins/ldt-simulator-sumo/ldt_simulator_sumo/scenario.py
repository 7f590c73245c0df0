"""The changes of a scenario, written into a copy of the network before SUMO starts.

Only the permissions and speeds of lanes are edited, so junctions, connections and ids stay as they
are, routing honours the change from the first second, and a change of nothing changes nothing.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import shapely
from shapely.geometry import shape

import ldt_core as ldt

from .classes import classes
from .network import Edge, Lane, Network, Program, open_xml
from .params import Close, LaneUse, Params, Signal, SpeedLimit

Edits = dict[str, dict[str, str | None]]
"""Lane id -> attributes to set, or to remove where None."""
KMH = 3.6


def plan(net: Network, params: Params) -> Edits:
    """What the scenario changes, lane by lane. Raises ``ParamError`` for streets that do not exist."""
    state = {lane.id: lane for edge in net.edges for lane in edge.lanes}
    for i, close in enumerate(params.close):
        _close(net, state, close, f"close[{i}]")
    for i, use in enumerate(params.lanes):
        _give_lane(net, state, use, f"lanes[{i}]")
    changed_speed: dict[str, float] = {}
    for i, limit in enumerate(params.speed_limit):
        _limit(net, state, limit, f"speed_limit[{i}]", changed_speed)
    edits: Edits = {}
    for edge in net.edges:
        for lane in edge.lanes:
            now, edit = state[lane.id], {}
            if (now.allow, now.disallow) != (lane.allow, lane.disallow):
                edit["allow"] = None if now.allow is None else " ".join(sorted(now.allow))
                edit["disallow"] = " ".join(sorted(now.disallow)) or None
            if now.speed != lane.speed:
                edit["speed"] = f"{now.speed:.6g}"
            if edit:
                edits[lane.id] = edit
    return edits


def _change(lane: Lane, **values: object) -> Lane:
    fields = {name: getattr(lane, name) for name in Lane.__slots__}
    return Lane(**(fields | values))


def _close(net: Network, state: dict[str, Lane], close: Close, where: str) -> None:
    shut = classes(close.to, f"{where}.to")
    edges = net.find(close.streets, f"{where}.streets") if close.streets else []
    if close.area is not None:
        edges = [*edges, *_inside(net, close.area, f"{where}.area")]
    for edge in edges:
        for lane in edge.lanes:
            now = state[lane.id]
            if now.allow is None:
                state[lane.id] = _change(now, disallow=now.disallow | shut)
            elif rest := now.allow - shut:
                state[lane.id] = _change(now, allow=rest)
            else:
                state[lane.id] = _change(now, allow=None, disallow=frozenset(("all",)))


def _inside(net: Network, file: ldt.File, where: str) -> list[Edge]:
    """Edges whose middle lies in the polygons of a GeoJSON file (longitude, latitude)."""
    import pyproj

    from .network import crs_of

    try:
        document = json.loads(file.path.read_text("utf-8"))
        parts = (
            [f["geometry"] for f in document["features"]]
            if "features" in document
            else [document.get("geometry", document)]
        )
        area = shapely.union_all([shape(part) for part in parts])
    except OSError as error:
        raise ldt.NotFound(
            f"cannot read {file}: {error.strerror}", code="file missing", where=where
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        raise ldt.InputError(
            f"{file} holds no GeoJSON polygons: {error!r}", code="not geojson", where=where
        ) from error
    crs = crs_of(net.projection)
    if crs == "twin":
        raise ldt.ParamError(
            "this network has no projection, so an area in longitude and latitude cannot be placed on it",
            code="no projection",
            where=where,
            fix="name the streets instead",
        )
    to_degrees = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    found = []
    for edge in net.edges:
        middle = edge.line(net.offset).interpolate(0.5, normalized=True)
        if area.contains(shapely.Point(*to_degrees.transform(middle.x, middle.y))):
            found.append(edge)
    if not found:
        raise ldt.ParamError("no street lies in this area", code="no such street", where=where)
    return found


def _give_lane(net: Network, state: dict[str, Lane], use: LaneUse, where: str) -> None:
    allowed = classes(use.to, f"{where}.to")
    changed = 0
    for edge in net.find(use.streets, f"{where}.streets"):
        for_cars = [lane for lane in edge.lanes if state[lane.id].allows("passenger")]
        if len(for_cars) > max(1, use.lane):
            lane = for_cars[use.lane]
            state[lane.id] = _change(state[lane.id], allow=allowed, disallow=frozenset())
            changed += 1
    if not changed:
        raise ldt.ParamError(
            f"no edge of {', '.join(use.streets)} has a lane {use.lane} for cars and another one beside it",
            code="no such lane",
            where=where,
            fix="choose wider streets or a smaller lane number",
        )


def _limit(
    net: Network, state: dict[str, Lane], limit: SpeedLimit, where: str, changed: dict[str, float]
) -> None:
    everywhere = limit.streets == ["all"]
    for edge in net.edges if everywhere else net.find(limit.streets, f"{where}.streets"):
        for lane in edge.lanes:
            now = state[lane.id]
            # Networks round m/s to two digits: 30 km/h is written 8.33.
            same = abs(now.speed - limit.to / KMH) < 0.005
            if not same and (limit.over is None or now.speed * KMH > limit.over + 0.02):
                state[lane.id] = _change(now, speed=round(limit.to / KMH, 2))


def apply(net: Network, edits: Edits, target: Path) -> Network:
    """The network with the edits, written to ``target`` and returned; without edits the network itself.

    Lanes inside junctions are slowed to the fastest of the changed lanes that they join.
    """
    if not edits:
        return net
    from .network import read_network

    with open_xml(net.path) as stream:
        tree = ET.parse(stream)  # noqa: S314 - read without complaint before
    inside = _inner_limits(net, edits)
    for lane in tree.iter("lane"):
        for name, value in edits.get(lane.attrib["id"], {}).items():
            if value is None:
                lane.attrib.pop(name, None)
            else:
                lane.set(name, value)
        if (limit := inside.get(lane.attrib["id"])) is not None and float(lane.attrib["speed"]) > limit:
            lane.set("speed", f"{limit:.6g}")
    tree.write(target, "utf-8", xml_declaration=True)
    return read_network(target)


def _inner_limits(net: Network, edits: Edits) -> dict[str, float]:
    limits: dict[str, float] = {}
    for c in net.connections:
        if c.via is None or c.source not in net.by_id or c.target not in net.by_id:
            continue
        ends = net.by_id[c.source].lanes[c.source_lane], net.by_id[c.target].lanes[c.target_lane]
        new = [edits.get(lane.id, {}).get("speed") for lane in ends]
        if None not in new:
            limits[c.via] = max(float(speed) for speed in new if speed is not None)
    return limits


def write_signals(net: Network, known: Iterable[Program], signals: list[Signal], target: Path) -> Path | None:
    """An additional file with the changed signal programs; loaded last, so it is the one that runs.

    ``known`` are the programs of the network and the additional files, in the order of loading.
    """
    if not signals:
        return None
    root = ET.Element("additional")
    programs = list(known)
    for i, signal in enumerate(signals):
        where = f"signals[{i}]"
        own = [p for p in programs if p.id == signal.id]
        if not own:
            raise ldt.ParamError(
                f"the network has no signal '{signal.id}'",
                code="no such signal",
                where=where,
                fix="signals here: " + ", ".join(sorted({p.id for p in programs})[:20]),
            )
        base = own[-1]
        if signal.program is not None:
            named = [p for p in own if p.program == signal.program]
            if not named:
                raise ldt.ParamError(
                    f"signal '{signal.id}' has no program '{signal.program}'",
                    code="no such program",
                    where=where,
                    fix="programs here: " + ", ".join(sorted(p.program for p in own)),
                )
            base = named[-1]
        root.append(_program(base, signal, where))
    ET.ElementTree(root).write(target, "utf-8", xml_declaration=True)
    return target


def _program(base: Program, signal: Signal, where: str) -> ET.Element:
    offset = base.offset if signal.offset is None else signal.offset
    element = ET.Element("tlLogic", id=base.id, type=base.type, programID="scenario", offset=f"{offset:g}")
    durations = signal.phases
    if durations is not None and len(durations) != len(base.phases):
        raise ldt.ParamError(
            f"signal '{signal.id}' has {len(base.phases)} phases, {len(durations)} durations were given",
            code="phases",
            where=where,
            fix="phases here: " + ", ".join(f"{p.get('duration')} s {p.get('state')}" for p in base.phases),
        )
    for i, phase in enumerate(base.phases):
        values = dict(phase)
        if durations is not None:
            if durations[i] <= 0:
                raise ldt.ParamError("a phase lasts longer than zero seconds", code="phases", where=where)
            values["duration"] = f"{durations[i]:g}"
            for bound in ("minDur", "maxDur"):
                values.pop(bound, None)
        ET.SubElement(element, "phase", values)
    return element
