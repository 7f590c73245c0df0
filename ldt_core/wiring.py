"""Proves that a twin can run before anything runs: every link, every step, the order of work.

``prove(twin, catalog)`` returns a ``Plan`` or raises all that is wrong at once. Lossless adapters are
inserted and listed; a lossy step is taken only where the twin file asks for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from . import errors as e
from .catalog import Catalog, load
from .homes import Home, home_of
from .interfaces import (
    AnyPort,
    Component,
    Context,
    DataSource,
    Model,
    Viewer,
    parse_duration,
    shown_capabilities,
)
from .isolation import Place, load_isolated
from .linking import Linker, Node
from .runner import broken, guarded
from .schedule import (
    Group,
    check_blocks,
    check_steps,
    describe_clock,
    dry_run,
    find_groups,
    refuse_cycles,
    settle_steps,
)
from .twin import ComponentEntry, Twin
from .wanted import Demand, wanted_records
from .wires import Wire

__all__ = ["Node", "Plan", "Stage", "canonical", "prove", "read_params", "resolve_node"]


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
    """The proof: nodes, wires and stages in the order of work, and what should be said of them.

    ``notes`` lists adapters and reductions, ``unproved`` what only the run can show.
    """

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

    def collect(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None with the errors kept."""
        try:
            return call(*arguments)
        except e.ErrorList as many:
            self.errors.extend(many.errors)
        except e.LdtError as one:
            self.errors.append(one)
        return None


def prove(twin: Twin, catalog: Catalog, cache: Path, nodes: Mapping[str, Node] | None = None) -> Plan:
    """The plan of one scenario (``twin.for_scenario(name)``). Raises every error found, together.

    ``nodes`` are its components where they are resolved already.
    """
    proof = _Proof(twin, catalog, cache)
    for name, entry in twin.components.items():
        node = proof.collect(_resolve, proof, name, entry) if nodes is None else nodes[name]
        if node is not None:
            proof.nodes[name] = node
    proof.notes += [f"{n.name}: {n.home.why}" for n in proof.nodes.values() if n.home.why]
    linker = Linker(twin, proof.nodes, proof.notes, proof.unproved)
    for index, link in enumerate(twin.links):
        if link.source.component in proof.nodes and link.target.component in proof.nodes:
            wire = proof.collect(linker.join, link, index)
            if wire is not None:
                proof.wires.append(wire)
    if len(proof.nodes) == len(twin.components):
        _find_unconnected(proof)
    for id, view in twin.views.items():
        proof.collect(_check_view, proof, id, view.use, view.params)
    e.raise_all(proof.errors)
    groups = _schedule(proof)
    owner = {name: group for group in groups for name in group}
    leaving: dict[str, list[str]] = {}
    for wire in proof.wires:
        if owner[wire.source] != owner[wire.target]:
            leaving.setdefault(wire.origin, []).append(f"{wire.target}.{wire.input}")
    outputs = {name: node.outputs for name, node in proof.nodes.items()}
    steps = {name: node.step for name, node in proof.nodes.items()}
    record, errors = wanted_records(Demand(twin, outputs, steps, leaving, catalog))
    e.raise_all(errors)
    return Plan(
        proof.nodes,
        tuple(proof.wires),
        _stages(proof, groups),
        record,
        tuple(proof.notes),
        tuple(proof.unproved),
    )


def _schedule(proof: _Proof) -> list[Group]:
    """The groups in the order of work, proved to come to their end. Raises what is wrong, together."""
    nodes, wires = proof.nodes, proof.wires
    groups = find_groups(nodes, wires)
    for group in groups:
        proof.collect(refuse_cycles, nodes, wires, group)
    e.raise_all(proof.errors)
    proof.errors += settle_steps(proof.twin, nodes, wires, groups)
    e.raise_all(proof.errors)
    proof.notes += [note for wire in wires if (note := proof.collect(check_steps, nodes, wire))]
    for group in groups:
        proof.notes += proof.collect(check_blocks, nodes, wires, group) or []
    e.raise_all(proof.errors)
    for group in groups:
        if len(group) > 1:
            proof.notes.append(describe_clock(nodes, wires, group, proof.twin.duration))
            unproved = proof.collect(dry_run, nodes, wires, group, proof.twin.duration)
            proof.unproved += [unproved] if unproved else []
    e.raise_all(proof.errors)
    return groups


# -- components -----------------------------------------------------------------------------


def resolve_node(twin: Twin, catalog: Catalog, cache: Path, name: str, entry: ComponentEntry) -> Node:
    """One component by itself. Raises what is wrong with it."""
    return _resolve(_Proof(twin, catalog, cache), name, entry)


def _resolve(proof: _Proof, name: str, entry: ComponentEntry) -> Node:
    twin = proof.twin
    try:
        home, component = _at_home(proof, name, entry)
    except e.ChildError as exc:
        exc.where = f"{twin.place('components', name)} ({name}, start)"
        raise
    if issubclass(component, Viewer):
        raise e.TwinFileError(
            f"'{entry.use}' is a viewer and stands under views:, not components:",
            code="bad value",
            where=twin.place("components", name, "use"),
            fix=f"write views: {{{name}: {{use: {entry.use}}}}}",
        )
    params = read_params(component, entry.params, twin, ("components", name, "params"))
    context = Context(start=twin.period.start, crs=twin.crs, bbox=twin.bbox, cache=proof.cache / component.id)
    place = twin.place("components", name)
    try:
        instance = guarded(name, "construction", lambda: component(params, context))
        inputs, outputs = guarded(name, "ports", instance.ports)
        capabilities = frozenset(guarded(name, "capabilities", instance.capabilities))
        if odd := sorted(capabilities - shown_capabilities(component)):
            raise broken(
                f"{place} ({name})", f"capabilities returned {', '.join(odd)}, which the class does not show"
            )
    except e.LdtError as exc:
        exc.where = f"{place} ({exc.where})"
        raise
    times = {p.at for p in outputs.values()}
    if issubclass(component, Model) and len(times) > 1:
        raise broken(
            f"{place} ({name})", "a model gives its outputs at the start or in every window, not both"
        )
    outputs = _fill_gaps(twin, name, entry, outputs)
    step = entry.step
    if step is None and component.step_default:
        step = parse_duration(component.step_default)
    if step is None and issubclass(component, DataSource):
        said = {port.step for port in outputs.values() if port.at == "step" and port.step}
        step = parse_duration(said.pop()) if len(said) == 1 else None
    return Node(name, home, component, params, entry.params, inputs, outputs, step, capabilities)


def _at_home(proof: _Proof, name: str, entry: ComponentEntry) -> tuple[Home, type[Component]]:
    """Where the component lives, and its class: imported, or one that stands for it."""
    twin = proof.twin
    with _placed(twin.place("components", name, "use")):
        home = home_of(twin, proof.catalog, proof.cache, name)
        if home.environment is None:
            if entry.resources.timeout is not None:
                raise e.TwinFileError(
                    f"timeout holds a process of its own, and '{name}' has none",
                    code="bad value",
                    where=twin.place("components", name, "resources", "timeout"),
                    fix="write isolate: venv beside it, or remove it",
                )
            return home, load(home.offer)
        place = Place(home.environment, entry.resources.memory, entry.resources.timeout)
        return home, load_isolated(home.offer, place)


def _load(proof: _Proof, use: str, place: str) -> type[Component]:
    with _placed(place):
        return load(proof.catalog.find(use))


@contextmanager
def _placed(place: str) -> Iterator[None]:
    try:
        yield
    except e.PluginError as exc:
        # A fresh error: what a package's import raised is kept and raised again for the next one.
        raise e.PluginError(exc.what, code=exc.code, where=exc.where or place, fix=exc.fix) from exc


def _check_view(proof: _Proof, id: str, use: str, params: Mapping[str, Any]) -> None:
    place = proof.twin.place("views", id, "use")
    viewer = _load(proof, use, place)
    if not issubclass(viewer, Viewer):
        raise e.TwinFileError(
            f"'{use}' is a {viewer.kind}, no viewer",
            code="bad value",
            where=place,
            fix="name a viewer; `ldt list` shows them",
        )
    read_params(viewer, params, proof.twin, ("views", id, "params"))


def read_params(component: type[Component], raw: Mapping[str, Any], twin: Twin, path: tuple[str, ...]) -> Any:
    """The component's frozen parameters, or one ``TwinFileError`` per key that is wrong."""
    try:
        return component.Params.model_validate(dict(raw), context={"base": twin.folder})
    except ValidationError as exc:
        found: dict[tuple[Any, ...], list[Any]] = {}
        for item in exc.errors(include_url=False):
            found.setdefault(_key_of(item, raw, component), []).append(item)
        e.raise_all([_param_error(component, keys, items, twin, path) for keys, items in found.items()])
        raise


def _key_of(item: Any, raw: Any, component: type[Component]) -> tuple[Any, ...]:
    """The part of pydantic's location that stands in the file; it adds names of types it has tried."""
    keys: list[Any] = []
    here: Any = raw
    for part in item["loc"]:
        inside = isinstance(here, Mapping) or (isinstance(here, (list, tuple)) and isinstance(part, int))
        if inside and (item["type"] == "missing" or part in here or isinstance(part, int)):
            keys.append(part)
            here = here[part] if part in here or isinstance(here, (list, tuple)) else None
    if not keys:  # said of all parameters together: a sentence that begins with a name is about that one
        name = str(item.get("ctx", {}).get("error", "")).partition(" ")[0]
        keys = [name] if name in component.Params.model_fields else []
    return tuple(keys)


def _param_error(
    component: type[Component], keys: tuple[Any, ...], items: list[Any], twin: Twin, path: tuple[str, ...]
) -> e.TwinFileError:
    name, item = ".".join(str(k) for k in keys) or "params", items[0]
    fields = component.Params.model_fields
    where = twin.place(*path, *keys)
    if item["type"] == "extra_forbidden":
        known = fields if len(keys) == 1 else ()
        return e.TwinFileError(
            f"{component.id} has no parameter '{name}'",
            code="override hits nothing" if (*path, *keys) in twin.moved else "unknown key",
            where=twin.place(*path, *keys, key=True),
            fix=e.nearest(str(keys[-1]), known) if known else _see(component),
        )
    if item["type"] == "missing":
        meaning = (fields[keys[0]].description if len(keys) == 1 else None) or _see(component)
        return e.TwinFileError(
            f"{component.id} needs the parameter '{name}'",
            code="missing key",
            where=where,
            fix=f"add {keys[-1]}: {meaning}",
        )
    said = list(dict.fromkeys(re.sub("^Value error, ", "", i["msg"]) for i in items))
    given = item["input"]
    secret = bool(keys) and keys[0] in fields and "Secret" in str(fields[keys[0]].annotation)
    plain = isinstance(given, (str, int, float)) or given is None
    got = f" (got {given!r:.80})" if plain and not secret and keys else ""
    return e.TwinFileError(
        f"{name}: {'; or '.join(said)}{got}", code="bad value", where=where, fix=_see(component)
    )


def _see(component: type[Component]) -> str:
    return f"`ldt show {component.id}` lists the parameters"


def _fill_gaps(
    twin: Twin, component: str, entry: ComponentEntry, outputs: Mapping[str, AnyPort]
) -> dict[str, AnyPort]:
    """The output ports with what ``columns:`` says of their open columns; it may contradict nothing."""
    filled = dict(outputs)
    errors: list[e.LdtError] = []
    for name, given in entry.columns.items():
        owners = [p for p, port in outputs.items() if name in port.columns]
        if not owners:
            known = {c for port in outputs.values() for c in port.columns}
            errors.append(
                e.TwinFileError(
                    f"no output of '{component}' has a column '{name}'",
                    code="unresolved reference",
                    where=twin.place("components", component, "columns", name, key=True),
                    fix=e.nearest(name, known),
                )
            )
        for owner in owners:
            column = filled[owner].columns[name]
            for key, value in vars(given).items():
                if value is None:
                    continue
                own = getattr(column, key)
                gap = own in (None, "") or (key == "cell" and own == "point")
                if gap or own == value:
                    column = replace(column, **{key: value})
                    continue
                errors.append(
                    e.TwinFileError(
                        f"the column '{name}' says {key} '{own}', the twin file says '{value}'",
                        code="contradiction",
                        where=twin.place("components", component, "columns", name, key),
                        fix=f"columns: fills gaps only; remove {key} here",
                    )
                )
            filled[owner] = filled[owner].replace(columns={**filled[owner].columns, name: column})
    e.raise_all(errors)
    return filled


# -- links that are missing or too many ----------------------------------------------------------


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
                        fix=_offers_for(proof, node.name, name, port),
                    )
                )
            merges = {k.merge for k in links}
            if len(links) > 1 and (None in merges or len(merges) > 1):
                how = (
                    f", by merge: {' and '.join(sorted(m for m in merges if m))}"
                    if None not in merges
                    else ""
                )
                proof.errors.append(
                    e.WiringError(
                        f"{len(links)} links lead into '{node.name}.{name}'{how}",
                        code="ambiguous",
                        where=proof.twin.place("connect", proof.twin.links.index(links[1])),
                        fix="write merge: sum or merge: concat on each of them, or remove all but one",
                    )
                )


def _offers_for(proof: _Proof, name: str, input: str, wanted: AnyPort) -> str:
    """The link to add, where a port has the columns, the entities and the time that are wanted."""
    found = [
        f"add {{from: {other.name}.{port_name}, to: {name}.{input}}} under connect:"
        for at in ("start", "step")[:: 1 if wanted.at == "start" else -1]
        for other in proof.nodes.values()
        for port_name, port in other.outputs.items()
        if other.name != name and port.at == at and _offers(port, wanted)
    ]
    return found[0] if found else "add a link from a port with the columns " + ", ".join(wanted.columns)


def _offers(port: AnyPort, wanted: AnyPort) -> bool:
    columns = all(
        n in port.columns and port.columns[n].quantity in (None, c.quantity)
        for n, c in wanted.columns.items()
    )
    in_time = port.at == "start" or wanted.at == "step"
    return type(port) is type(wanted) and columns and in_time and wanted.entity in (None, port.entity)


# -- stages ---------------------------------------------------------------------------------


def _stages(proof: _Proof, order: list[Group]) -> tuple[Stage, ...]:
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
