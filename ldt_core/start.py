"""Before the clock starts: sources are read, simulators initialized, what needs no window is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from .actor import Actor
from .adapters import within
from .errors import LdtError, ScheduleError
from .faults import broken, guarded, placed, span
from .group import Group
from .interfaces import DataSource, Model, Query, Simulator
from .resample import split_by_time
from .tables import Port, Recording, Table, check, empty
from .wires import Wire, merge_tables


def start_all(group: Group, given: Mapping[str, Table]) -> None:
    """Start every member after those whose tables of the start it reads.

    ``given`` is what ``component.port`` gave at the start, whatever ``initialize`` returns now.
    """
    waiting = list(group.actors.values())
    while waiting:
        names = {a.name for a in waiting}
        ready = [a for a in waiting if not any(w.source in names for w in a.start_wires)]
        if not ready:
            raise ScheduleError(
                f"{', '.join(sorted(names))} wait for each other's values at the start",
                code="cycle",
                where=waiting[0].start_wires[0].place,
                fix="remove one of the links between them that are read at the start",
            )
        for actor in ready:
            _start(group, actor, given)
            waiting.remove(actor)


def _start(group: Group, actor: Actor, known: Mapping[str, Table]) -> None:
    given: dict[str, list[Table]] = {}
    merges = {w.input: w.merge for w in actor.start_wires}
    for wire in actor.start_wires:
        given.setdefault(wire.input, []).append(_start_table(group, wire))
    for name, tables in given.items():
        port = cast(Port, actor.member.inputs[name])
        actor.start_inputs[name] = merge_tables(tables, merges[name], port)
    component = actor.component
    if isinstance(component, DataSource):
        _read(group, actor, component)
    elif isinstance(component, Simulator):
        _initialize(actor, component, known)
    elif actor.member.step is None and not actor.wires:
        compute_once(group, actor)


def _start_table(group: Group, wire: Wire) -> Table:
    source = group.actors.get(wire.source)
    if source is None:
        return wire.read(group.inputs[wire.origin].table)
    return wire.read(source.start_outputs[wire.port])


def _initialize(actor: Actor, component: Simulator, known: Mapping[str, Table]) -> None:
    answer = guarded(actor.name, "initialize", lambda: component.initialize(actor.start_inputs))
    given = {} if answer is None else answer
    if not isinstance(given, Mapping):
        raise broken(actor.name, f"initialize returned a {type(given).__name__}, not tables by port")
    for name in given:
        port = actor.member.outputs.get(name)
        if port is None:
            raise broken(actor.name, f"initialize returned '{name}', which is no output port")
        table = actor.checked(given, name, port, "initialize")
        actor.start_outputs[name] = known.get(f"{actor.name}.{name}", table)
    for name, port in actor.member.outputs.items():
        if port.at == "start" and name not in actor.start_outputs:
            raise broken(actor.name, f"initialize did not return the start port '{name}'")


def compute_once(group: Group, actor: Actor) -> None:
    """A model without windows runs once, over the whole run."""
    component, end = cast(Model, actor.component), group.setting.end
    given = dict(actor.start_inputs)
    for name, read in actor.readers:
        try:
            given[name] = read(0, end)
        except LdtError as exc:
            exc.where = placed(actor.name, span(0, end), exc.where)
            raise
    out = guarded(actor.name, "compute", lambda: component.compute(given))
    for name, port in actor.member.outputs.items():
        table = actor.checked(out, name, port, "compute")
        actor.start_outputs[name] = table
        actor.parts[name] = [(0, end, table)]
    actor.time = end
    group.progress.moved(end)


# -- sources ------------------------------------------------------------------------------------


def _read(group: Group, actor: Actor, component: DataSource) -> None:
    s = group.setting
    query = Query(
        outputs=tuple(actor.member.outputs),
        bbox=s.bbox,
        start=s.start,
        end=s.start + np.timedelta64(s.end, "us"),
    )
    batches = guarded(actor.name, "read", lambda: _batches(component.read(query)))
    odd = next((b for b in batches if not isinstance(b, Mapping)), None)
    if odd is not None:
        raise broken(actor.name, f"read returned a {type(odd).__name__}, not tables by port")
    for name, port in actor.member.outputs.items():
        given = [b[name] for b in batches if name in b]
        if not given and batches:
            raise broken(actor.name, f"the output port '{name}' was not returned")
        checked = [check(data, port, f"{actor.name}.{name}") for data in given]
        if isinstance(port, Port):
            tables = cast("list[Table]", checked)
            recording = _asked(group, port, Table.concat(tables) if tables else empty(port), actor)
            actor.start_outputs[name] = recording.table
            group.read[f"{actor.name}.{name}"] = recording
    actor.time = s.end
    group.progress.moved(s.end)


def _batches(answer: Any) -> list[Any]:
    return [answer] if isinstance(answer, Mapping) else list(answer)


def _asked(group: Group, port: Port, table: Table, actor: Actor) -> Recording:
    """Only what the query asked for, whatever the source gave."""
    s = group.setting
    if s.bbox is not None:
        table = within(table, port, s.crs, s.bbox)
    name = port.time_column
    if name is not None and port.at == "step":
        end = s.start + np.timedelta64(s.end, "us")
        table = table.take((table[name] >= s.start) & (table[name] < end))
    return split_by_time(port, table, s.start, s.end, actor.member.step)
