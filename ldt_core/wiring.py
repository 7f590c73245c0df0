"""Proves that a twin can run before anything runs: every link, every step, the order of work.

``prove(twin, catalog)`` returns a ``Plan`` or raises all that is wrong at once. Lossless adapters are
inserted and listed; a lossy step is taken only where the twin file asks for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from . import errors as e
from .adapters import Adapter, crs_step
from .catalog import Catalog, Offer, load
from .interfaces import (
    AnyPort,
    Component,
    Context,
    DataSource,
    Simulator,
    Viewer,
    format_duration,
    parse_duration,
)
from .resample import reduction
from .runner import Wire
from .tables import Column, GridPort, Port
from .twin import ComponentEntry, Link, Ref, Twin
from .units import conversion
from .wanted import wanted_records


@dataclass(frozen=True)
class Node:
    """One component of the twin, resolved: its class, parameters, ports and step (us)."""

    name: str
    offer: Offer
    component: type[Component]
    params: Any
    raw_params: Mapping[str, Any]
    inputs: Mapping[str, AnyPort]
    outputs: Mapping[str, AnyPort]
    step: int | None = None

    def seed(self, twin_seed: int, replicate: int) -> int:
        """Depends on the twin's seed, the component's name and the replicate, never on the scenario."""
        text = f"{twin_seed}\0{self.name}\0{replicate}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Stage:
    """What is cached as one: a single component, or a group joined in a loop."""

    members: tuple[str, ...]
    replicated: bool

    @property
    def name(self) -> str:
        return "+".join(self.members)


@dataclass(frozen=True)
class Plan:
    """The proof: nodes, wires and stages in the order of work, and what should be said of them."""

    nodes: Mapping[str, Node]
    wires: tuple[Wire, ...]
    stages: tuple[Stage, ...]
    record: Mapping[str, int | None]
    notes: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()

    def wires_into(self, members: Iterable[str]) -> list[Wire]:
        wanted = set(members)
        return [w for w in self.wires if w.target in wanted]


@dataclass
class _Proof:
    twin: Twin
    catalog: Catalog
    cache: Path
    nodes: dict[str, Node] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    errors: list[e.LdtError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)


def prove(twin: Twin, catalog: Catalog, cache: Path) -> Plan:
    """The plan of one scenario (``twin.for_scenario(name)``). Raises every error found, together."""
    proof = _Proof(twin, catalog, cache)
    for name, entry in twin.components.items():
        _collect(proof, lambda name=name, entry=entry: _resolve(proof, name, entry))
    for index, link in enumerate(twin.links):
        if link.source.component in proof.nodes and link.target.component in proof.nodes:
            _collect(proof, lambda link=link, index=index: _join(proof, link, index))
    if len(proof.nodes) == len(twin.components):
        _find_unconnected(proof)
    e.raise_all(proof.errors)
    groups = _groups(proof)
    order = _order(proof, groups)
    _settle_steps(proof, order)
    for wire in proof.wires:
        _collect(proof, lambda wire=wire: _check_steps(proof, wire))
    e.raise_all(proof.errors)
    for group in order:
        if len(group) > 1:
            _collect(proof, lambda group=group: _dry_run(proof, group))
    outputs = {name: node.outputs for name, node in proof.nodes.items()}
    owner = {name: group for group in order for name in group}
    leaving = {w.origin for w in proof.wires if owner[w.source] != owner[w.target]}
    record, errors = wanted_records(twin, outputs, leaving, catalog)
    e.raise_all(errors)
    return Plan(
        proof.nodes,
        tuple(proof.wires),
        _stages(proof, order),
        record,
        tuple(proof.notes),
        tuple(proof.unproved),
    )


def _collect(proof: _Proof, call: Any) -> None:
    try:
        call()
    except e.ErrorList as many:
        proof.errors.extend(many.errors)
    except e.LdtError as one:
        proof.errors.append(one)


# -- components -----------------------------------------------------------------------------


def _resolve(proof: _Proof, name: str, entry: ComponentEntry) -> None:
    twin = proof.twin
    place = twin.place("components", name, "use")
    try:
        offer = proof.catalog.find(entry.use)
        component = load(offer)
    except e.PluginError as exc:
        exc.where = exc.where or place
        raise
    if issubclass(component, Viewer):
        raise e.TwinFileError(
            f"'{entry.use}' is a viewer and stands under views:, not components:",
            code="bad value",
            where=place,
        )
    params = read_params(component, entry.params, twin, ("components", name, "params"))
    context = Context(start=twin.period.start, crs=twin.crs, bbox=twin.bbox, cache=proof.cache / component.id)
    try:
        inputs, outputs = component(params, context).ports()
    except e.LdtError as exc:
        exc.where = exc.where or twin.place("components", name)
        raise
    outputs = _fill_gaps(twin, name, entry, outputs)
    proof.nodes[name] = Node(
        name, offer, component, params, entry.params, inputs, outputs, _own_step(entry, component)
    )


def _own_step(entry: ComponentEntry, component: type[Component]) -> int | None:
    if entry.step is not None:
        return entry.step
    return parse_duration(component.step_default) if component.step_default else None


def read_params(component: type[Component], raw: Mapping[str, Any], twin: Twin, path: tuple[str, ...]) -> Any:
    """The component's frozen parameters, or one ``TwinFileError`` per key that is wrong."""
    try:
        return component.Params.model_validate(dict(raw), context={"base": twin.folder})
    except ValidationError as exc:
        found: list[e.LdtError] = []
        for item in exc.errors():
            keys = [str(k) for k in item["loc"]]
            unknown = item["type"] == "extra_forbidden"
            known = component.Params.model_fields
            found.append(
                e.TwinFileError(
                    f"{component.id} has no parameter '{'.'.join(keys)}'"
                    if unknown
                    else f"{'.'.join(keys) or 'params'}: {item['msg']} (got {item['input']!r:.80})",
                    code="unknown key" if unknown else "bad value",
                    where=twin.place(*path, *keys),
                    fix=e.nearest(keys[-1], known)
                    if unknown
                    else f"`ldt show {component.id}` lists the parameters",
                )
            )
        e.raise_all(found)
        raise


def _fill_gaps(
    twin: Twin, component: str, entry: ComponentEntry, outputs: Mapping[str, AnyPort]
) -> dict[str, AnyPort]:
    """The output ports with what ``columns:`` says of their open columns; it may contradict nothing."""
    filled = dict(outputs)
    for name, given in entry.columns.items():
        place = twin.place("components", component, "columns", name)
        owners = [p for p, port in outputs.items() if name in port.columns]
        if not owners:
            known = {c for port in outputs.values() for c in port.columns}
            raise e.TwinFileError(
                f"no output of '{component}' has a column '{name}'",
                code="unresolved reference",
                where=place,
                fix=e.nearest(name, known),
            )
        for owner in owners:
            column = filled[owner].columns[name]
            for key, value in vars(given).items():
                if value is None:
                    continue
                own = getattr(column, key)
                gap = own in (None, "") or (key == "cell" and own == "point")
                if not gap and own != value:
                    raise e.TwinFileError(
                        f"the column says {key} '{own}', the twin file says '{value}'",
                        code="contradiction",
                        where=place,
                        fix=f"columns: fills gaps only; remove {key} here",
                    )
                column = replace(column, **{key: value})
            filled[owner] = filled[owner].replace(columns={**filled[owner].columns, name: column})
    return filled


# -- links ----------------------------------------------------------------------------------


def _join(proof: _Proof, link: Link, index: int) -> None:
    twin = proof.twin
    place = twin.place("connect", index)
    source = _port(proof, link.source, "outputs", twin.place("connect", index, "from"))
    target = _port(proof, link.target, "inputs", twin.place("connect", index, "to"))
    if isinstance(source, GridPort) or isinstance(target, GridPort):
        if type(source) is not type(target):
            raise e.WiringError("a grid and a table do not join", code="shape", where=place)
        raise e.WiringError("links of grids are not in this version", code="not in this version", where=place)
    for word in ("map", "over_space"):
        if getattr(link, word) is not None:
            raise e.WiringError(
                f"{word}: on a link is not in this version",
                code="not in this version",
                where=twin.place("connect", index, word),
                fix="put a model between that joins the two entity sets",
            )
    _check_shape(link, source, target, place)
    methods = {
        n: reduction(c, link.over_time if c.measured else None, place)
        if target.at == "step" and source.at == "step"
        else "last"
        for n, c in source.columns.items()
        if n != source.id
    }
    adapter = _adapter(proof, link, source, target, methods, place)
    if (
        link.when == "lag"
        and link.init is None
        and not issubclass(_node(proof, link.source).component, Simulator)
    ):
        raise e.ScheduleError(
            f"the lag link from {link.source} has no value for the first window",
            code="init missing",
            where=place,
            fix="add init: with a value to the link",
        )
    proof.wires.append(
        Wire(
            link.source.component,
            link.source.port,
            link.target.component,
            link.target.port,
            link.when,
            methods,
            adapter,
            link.init,
            link.merge,
            place,
            target if _needs_check(source, target, adapter) else None,
        )
    )


def _node(proof: _Proof, ref: Ref) -> Node:
    return proof.nodes[ref.component]


def _port(proof: _Proof, ref: Ref, side: str, place: str) -> AnyPort:
    ports: Mapping[str, AnyPort] = getattr(_node(proof, ref), side)
    if ref.port not in ports:
        raise e.WiringError(
            f"'{ref.component}' ({_node(proof, ref).offer.id}) has no {side[:-1]} port '{ref.port}'",
            code="unresolved reference",
            where=place,
            fix=e.nearest(ref.port, ports),
        )
    return ports[ref.port]


def _check_shape(link: Link, source: Port, target: Port, place: str) -> None:
    if source.at == "step" and target.at == "start":
        raise e.WiringError(
            f"{link.target} is read once at the start, {link.source} comes in every window",
            code="step",
            where=place,
            fix="link a port that is given at the start",
        )
    if target.entity and source.entity != target.entity:
        raise e.WiringError(
            f"{link.source} speaks of '{source.entity}', {link.target} of '{target.entity}'",
            code="entities",
            where=place,
            fix="link ports of one entity set",
        )
    if target.events != source.events and target.at == "step":
        raise e.WiringError(
            f"{link.source} {'gives' if source.events else 'gives no'} events, {link.target} "
            f"{'wants' if target.events else 'wants no'} events",
            code="shape",
            where=place,
        )


def _adapter(
    proof: _Proof, link: Link, source: Port, target: Port, methods: Mapping[str, str], place: str
) -> Adapter:
    rename, convert, crs = dict(link.rename), {}, None
    inverse = {new: old for old, new in rename.items()}
    for old in rename:
        if old not in source.columns:
            raise e.WiringError(
                f"rename: {link.source} has no column '{old}'",
                code="shape",
                where=place,
                fix=e.nearest(old, source.columns),
            )
    for name, wanted in target.columns.items():
        own = inverse.get(name, name)
        offered = source.columns.get(own) if own == name or own in rename else None
        where = f"{place} ({link.source}.{own} -> {link.target}.{name})"
        if offered is None:
            raise e.WiringError(
                f"{link.target} needs the column '{name}', {link.source} has {', '.join(source.columns)}",
                code="shape",
                where=place,
                fix=f"{e.nearest(name, source.columns)} If one of them is meant, write rename: {{its name: {name}}}",
            )
        step = _match(proof, offered, wanted, where)
        if isinstance(step, tuple):
            convert[name] = step
            proof.notes.append(f"{where}: {offered.unit} -> {wanted.unit}, x {step[0]:.15g} + {step[1]:.15g}")
        elif step is not None:
            crs = step
            proof.notes.append(
                f"{where}: {step.source:.40} -> {step.target}, {step.operation}, accurate to {step.accuracy:g} m"
            )
        if wanted.measured and target.at == "step" and source.at == "step" and not source.events:
            _match_cell(offered, wanted, link.over_time, where)
    return Adapter(rename, convert, crs, target.geometry_column)


def _match(proof: _Proof, offered: Column, wanted: Column, where: str) -> Any:
    """None, (gain, offset) or a ``CrsStep``; ``WiringError`` where the columns do not fit."""
    if offered.kind != wanted.kind and (offered.kind, wanted.kind) != ("integer", "number"):
        raise e.WiringError(f"{offered.kind} does not fit {wanted.kind}", code="dtype", where=where)
    if wanted.kind == "geometry":
        return _match_geometry(proof, offered, wanted, where)
    if not wanted.measured:
        return None
    if offered.unit is None or (offered.quantity is None and wanted.quantity is not None):
        missing = "unit" if offered.unit is None else "quantity"
        raise e.WiringError(
            f"the source does not say its {missing}",
            code=missing,
            where=where,
            fix=f"write columns: {{...: {{{missing}: ...}}}} under the source in the twin file",
        )
    if wanted.quantity is not None and offered.quantity != wanted.quantity:
        raise e.WiringError(
            f"{offered.quantity} does not fit {wanted.quantity}",
            code="quantity",
            where=where,
            fix="link a port that measures the same, or put a model between",
        )
    try:
        gain, offset = conversion(offered.unit, wanted.unit or "1")
    except e.WiringError as exc:
        exc.where = where
        raise
    return None if (gain, offset) == (1.0, 0.0) else (gain, offset)


def _match_geometry(proof: _Proof, offered: Column, wanted: Column, where: str) -> Any:
    fits = wanted.geometry in (None, "Geometry", offered.geometry) or (
        wanted.geometry == "MultiPolygon" and offered.geometry == "Polygon"
    )
    if not fits:
        raise e.WiringError(
            f"{offered.geometry} does not fit {wanted.geometry}", code="geometry", where=where
        )
    if offered.crs is None:
        raise e.WiringError(
            "the source does not say its CRS",
            code="CRS missing",
            where=where,
            fix="write columns: {...: {crs: EPSG:...}} under the source in the twin file",
        )
    twin = proof.twin
    source = twin.crs if offered.crs == "twin" else offered.crs
    target = twin.crs if wanted.crs == "twin" else wanted.crs
    if target is None:
        return None
    bbox = twin.bbox if target == twin.crs else None
    return crs_step(source, target, bbox, where)


def _match_cell(offered: Column, wanted: Column, asked: str | None, where: str) -> None:
    given = offered.cell if asked is None else {"last": "point", "energetic": "mean"}.get(asked, asked)
    if given != wanted.cell:
        raise e.WiringError(
            f"the source gives a {given} over its window, the receiver wants a {wanted.cell}",
            code="cell method",
            where=where,
            fix=f"write over_time: {wanted.cell if wanted.cell != 'point' else 'last'} on the link if that is meant",
        )


def _needs_check(source: Port, target: Port, adapter: Adapter) -> bool:
    """Whether what the source promises is wider than what the target accepts."""
    inverse = {new: old for old, new in adapter.rename.items()}
    for name, wanted in target.columns.items():
        offered = source.columns[inverse.get(name, name)]
        if (offered.nulls and not wanted.nulls) or (
            wanted.range is not None and wanted.range != offered.range
        ):
            return True
        if offered.kind != wanted.kind:
            return True
    return False


def _find_unconnected(proof: _Proof) -> None:
    for node in proof.nodes.values():
        for name, port in node.inputs.items():
            links = [k for k in proof.twin.links if k.target.component == node.name and k.target.port == name]
            if not links and not port.optional:
                proof.errors.append(
                    e.WiringError(
                        f"the input '{node.name}.{name}' is not connected",
                        code="unconnected",
                        where=proof.twin.place("components", node.name),
                        fix=_offers_for(proof, node.name, port) or "connect a port that offers these columns",
                    )
                )
            if len(links) > 1 and any(k.merge is None for k in links):
                proof.errors.append(
                    e.WiringError(
                        f"{len(links)} links lead into '{node.name}.{name}'",
                        code="ambiguous",
                        where=proof.twin.place("connect", proof.twin.links.index(links[1])),
                        fix="write merge: sum or merge: concat on each of them, or remove all but one",
                    )
                )


def _offers_for(proof: _Proof, name: str, wanted: AnyPort) -> str:
    for other in proof.nodes.values():
        for port_name, port in other.outputs.items():
            if other.name != name and set(wanted.columns) <= set(port.columns):
                return f"{other.name}.{port_name} offers these columns"
    return ""


# -- order, steps, schedule -----------------------------------------------------------------


def _groups(proof: _Proof) -> list[tuple[str, ...]]:
    """The strongly connected components of the link graph, lag links included."""
    names = list(proof.nodes)
    reach: dict[str, set[str]] = {n: {w.target for w in proof.wires if w.source == n} for n in names}
    for middle in names:
        for name in names:
            if middle in reach[name]:
                reach[name] |= reach[middle]
    groups: list[tuple[str, ...]] = []
    for name in names:
        group = tuple(sorted({name} | {o for o in names if o in reach[name] and name in reach[o]}))
        if group not in groups:
            groups.append(group)
    return groups


def _order(proof: _Proof, groups: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    owner = {name: group for group in groups for name in group}
    sorter: TopologicalSorter[tuple[str, ...]] = TopologicalSorter({g: set() for g in sorted(groups)})
    for wire in proof.wires:
        if owner[wire.source] != owner[wire.target]:
            sorter.add(owner[wire.target], owner[wire.source])
    order = list(sorter.static_order())
    for group in order:
        _refuse_now_cycle(proof, group)
    e.raise_all(proof.errors)
    return order


def _refuse_now_cycle(proof: _Proof, group: tuple[str, ...]) -> None:
    inside = [w for w in proof.wires if w.source in group and w.target in group and w.when == "now"]
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for wire in inside:
        sorter.add(wire.target, wire.source)
    try:
        sorter.prepare()
    except CycleError as exc:
        circle = list(reversed(exc.args[1]))
        links = [
            f"{w.origin} -> {w.target}.{w.input} ({w.place})"
            for a, b in pairwise(circle)
            for w in inside
            if (w.source, w.target) == (a, b)
        ]
        proof.errors.append(
            e.ScheduleError(
                "these links wait for each other in the same window: " + "; ".join(links),
                code="cycle",
                where=next(w.place for w in inside),
                fix="make one of them when: lag with an init:, so that it reads the window before",
            )
        )


def _settle_steps(proof: _Proof, order: list[tuple[str, ...]]) -> None:
    """A model without a step of its own runs at the finest step among its ``now`` inputs."""
    for group in order:
        for name in group:
            node = proof.nodes[name]
            clocked = any(p.at == "step" for p in node.outputs.values())
            if issubclass(node.component, Simulator) and node.step is None:
                proof.errors.append(
                    e.WiringError(
                        f"the simulator '{name}' has no step",
                        code="step",
                        where=proof.twin.place("components", name),
                        fix="add step: 5min (or another length) to it",
                    )
                )
            elif node.step is None and clocked and not issubclass(node.component, DataSource):
                steps = [
                    proof.nodes[w.source].step
                    for w in proof.wires
                    if w.target == name and w.when == "now" and node.inputs[w.input].at == "step"
                ]
                known = [s for s in steps if s is not None]
                if known:
                    proof.nodes[name] = replace(node, step=min(known))
    e.raise_all(proof.errors)


def _check_steps(proof: _Proof, wire: Wire) -> None:
    source, target = proof.nodes[wire.source], proof.nodes[wire.target]
    port, wanted = source.outputs[wire.port], target.inputs[wire.input]
    if wire.when != "now" or port.at == "start" or wanted.at == "start" or port.events:
        return
    if source.step is None or target.step is None:
        return
    inverse = {new: old for old, new in wire.adapter.rename.items()}
    used = {inverse.get(n, n) for n in wanted.columns}
    sums = [n for n in used if wire.methods.get(n) == "sum"]
    if sums and target.step % source.step:
        raise e.WiringError(
            f"{wire.origin} adds up {', '.join(sums)} over {format_duration(source.step)}, which cannot be read "
            f"over {format_duration(target.step)}",
            code="step",
            where=wire.place,
            fix="give the receiver a step that is a multiple of the source's",
        )
    if source.step < target.step:
        how = ", ".join(
            f"{n}: {wire.methods[n]}" for n in sorted(used) if n in wire.methods and _is_value(port, n)
        )
        proof.notes.append(
            f"{wire.place} ({wire.origin} -> {wire.target}.{wire.input}): "
            f"{format_duration(source.step)} to {format_duration(target.step)}, {how}"
        )


def _is_value(port: AnyPort, name: str) -> bool:
    return port.columns[name].measured


def _dry_run(proof: _Proof, group: tuple[str, ...]) -> None:
    """The group's schedule with integers: an acyclic wiring can still come to a stall."""
    end = proof.twin.duration
    steps = {n: proof.nodes[n].step or end for n in group}
    clock = dict.fromkeys(group, 0)
    wires = [
        w
        for w in proof.wires
        if w.source in group and w.target in group and proof.nodes[w.target].inputs[w.input].at == "step"
    ]

    def ready(name: str) -> bool:
        if clock[name] >= end:
            return False
        until = min(clock[name] + steps[name], end)
        for w in wires:
            if w.target != name:
                continue
            ahead = clock[w.source]
            if w.when == "now" and ahead < until:
                return False
            if w.when == "lag" and ahead < end and min(ahead + steps[w.source], end) <= clock[name]:
                return False
        return True

    while any(t < end for t in clock.values()):
        able = [n for n in group if ready(n)]
        if not able:
            where = ", ".join(f"{n} at {clock[n] / 1e6:g} s" for n in group if clock[n] < end)
            raise e.ScheduleError(
                f"the schedule comes to a stall: {where}",
                code="stall",
                where=wires[0].place,
                fix="choose steps that divide one another, or make another link of the loop when: lag",
            )
        for name in able:
            clock[name] = min(clock[name] + steps[name], end)


def _stages(proof: _Proof, order: list[tuple[str, ...]]) -> tuple[Stage, ...]:
    """Replicates fan out from the first stochastic component onwards."""
    stages: list[Stage] = []
    fanned: set[str] = set()
    for group in order:
        above = {w.source for w in proof.wires if w.target in group and w.source not in group}
        replicated = bool(above & fanned) or any(proof.nodes[n].component.stochastic for n in group)
        if replicated:
            fanned.update(group)
        stages.append(Stage(group, replicated))
    return tuple(stages)


def canonical(value: Any) -> str:
    """JSON in one form only: what keys and digests are made from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
