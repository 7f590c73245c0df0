"""Gives every member its readers: what it reads in a window, over which link, and whom it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .actor import Actor
from .errors import ScheduleError
from .group import Group
from .iterate import Block, IterateReader, find_blocks
from .resample import History
from .tables import Port, Table
from .wires import LagReader, Read, Wire, fill, merged


def connect_all(group: Group) -> None:
    """Bind the readers of every member, once the tables of the start are there."""
    for actor in group.actors.values():
        grouped: dict[str, list[Read]] = {}
        for wire in actor.wires:
            grouped.setdefault(wire.input, []).append(_reader(group, actor, wire))
        merges = {w.input: w.merge for w in actor.wires}
        for name, reads in grouped.items():
            port = cast(Port, actor.member.inputs[name])
            actor.readers.append((name, reads[0] if len(reads) == 1 else merged(reads, merges[name], port)))
    _join(group)


def _join(group: Group) -> None:
    """Make one block of each set of members that an iterate link joins in a loop."""
    clocked = {n: a for n, a in group.actors.items() if a.step}
    links = [(w.source, w.target, w.when) for a in clocked.values() for w in a.wires]
    for names in find_blocks(clocked, links):
        members = [clocked[n] for n in names]
        readers = [
            group.implicit[n] for n in sorted(group.implicit) if group.implicit[n].wire.target in names
        ]
        lagged = [r for r in group.lagged.values() if r.wire.target in names]
        group.blocks.append(Block(members, readers, lagged))


def _reader(group: Group, actor: Actor, wire: Wire) -> Read:
    source = group.actors.get(wire.source)
    if source is None:
        recording = group.inputs[wire.origin]
        if recording.port.at == "start":
            return _always(wire.read(recording.table))
        history = History.of(recording, wire.methods, group.setting.start)
    else:
        port = cast(Port, source.member.outputs[wire.port])
        if port.at == "start":
            return _always(wire.read(source.start_outputs[wire.port]))
        history = History(port, wire.methods, group.setting.start)
        group.buffers[_name(wire, group.buffers)] = history
        source.histories.setdefault(wire.port, []).append(history)
        if wire.port in source.start_outputs:
            history.append(0, 0, source.start_outputs[wire.port])
    if wire.when != "now":
        if source is not None:
            if wire.when == "lag":
                actor.lag.append(source)
                history.planned = True
            actor.forget.append(history.forget_all_but_last)
        return _earlier_reader(group, actor, wire, history)
    if source is not None:
        actor.now.append(source)
        actor.forget.append(history.forget)
    adapt = wire.adapt()
    return history.over if adapt is None else lambda start, end: adapt(history.over(start, end))


def _name(wire: Wire, taken: Mapping[str, object]) -> str:
    """A name for a link's buffer; the wires come in one order, and two may join the same ports."""
    name = f"{wire.origin} -> {wire.target}.{wire.input}"
    return next(n for i in range(len(taken) + 1) if (n := f"{name} {i}" if i else name) not in taken)


def _always(table: Table) -> Read:
    return lambda start, end: table


def _earlier_reader(group: Group, actor: Actor, wire: Wire, history: History) -> Read:
    def missing() -> Exception:
        return ScheduleError(
            f"{wire.origin} has no value yet at the start",
            code="init missing",
            where=wire.place,
            fix="write init: with a value on the link, or let initialize return the port",
        )

    if wire.when == "iterate":
        implicit = IterateReader(wire, history, _initial(group, actor, wire), missing)
        group.implicit[_name(wire, group.implicit)] = implicit
        return implicit
    reader = LagReader(wire, history, _initial(group, actor, wire), missing)
    group.lagged[_name(wire, group.lagged)] = reader
    return reader


def _initial(group: Group, actor: Actor, wire: Wire) -> Table | None:
    """The scalar ``init`` for every entity that the receiver (or the source) knows at the start."""
    if wire.init is None:
        return None
    port = cast(Port, actor.member.inputs[wire.input])
    ids = None
    if port.id is not None:
        ids = _entities(port.entity, actor, group.actors.get(wire.source))
        if ids is None:
            raise ScheduleError(
                f"no table at the start lists the entities '{port.entity}' that init: fills",
                code="init missing",
                where=wire.place,
                fix="let the source's initialize return the port",
            )
    return fill(port, wire.init, ids, group.setting.start)


def _entities(entity: str | None, *actors: Actor | None) -> Any:
    for actor in actors:
        if actor is None:
            continue
        for tables, ports in (
            (actor.start_inputs, actor.member.inputs),
            (actor.start_outputs, actor.member.outputs),
        ):
            for name, table in tables.items():
                if ports[name].entity == entity and ports[name].id is not None:
                    return table[cast(str, ports[name].id)]
    return None
