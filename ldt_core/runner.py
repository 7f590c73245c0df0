"""Runs one stage: a source, a model, a simulator, or a group of them on one integer clock.

A member's window runs when every ``now`` source is done to its end and no ``lag`` source has a
window pending that ends by its start; so any order gives the same bits. Inputs from other stages
come from the store; what is recorded goes back to it.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from .adapters import Adapter, within
from .errors import Cancelled, LdtError, RunError, ScheduleError
from .interfaces import AnyPort, Component, Context, DataSource, Flag, Model, Query, Simulator, Step, Window
from .resample import History, split_by_time
from .tables import Port, Recording, Table, check, empty

log = logging.getLogger("ldt.runner")


@dataclass(frozen=True)
class Wire:
    """One link with all that is needed to read over it. ``methods`` reduce the source's columns over time;
    ``verify`` is the target's port where the source promises less than it wants."""

    source: str
    port: str
    target: str
    input: str
    when: str = "now"
    methods: Mapping[str, str] = field(default_factory=dict)
    adapter: Adapter = field(default_factory=Adapter)
    init: float | int | str | None = None
    merge: str | None = None
    place: str = ""
    verify: Port | None = None

    def read(self, table: Table) -> Table:
        """The source's rows as the target wants them; checked where the source promises less."""
        table = self.adapter.apply(table)
        if self.verify is not None:
            table = cast(Table, check(table, self.verify, f"{self.origin} -> {self.target}.{self.input}"))
        return table

    @property
    def origin(self) -> str:
        return f"{self.source}.{self.port}"


@dataclass(frozen=True)
class Member:
    """One component of a stage, ready to be built. ``step`` is None for what runs once."""

    name: str
    component: type[Component]
    params: Any
    inputs: Mapping[str, AnyPort]
    outputs: Mapping[str, AnyPort]
    step: int | None
    seed: int


@dataclass(frozen=True)
class Setting:
    """What all members share: the run's first instant, its length, the twin's place."""

    start: np.datetime64
    end: int
    crs: str
    bbox: tuple[float, float, float, float] | None
    scratch: Path
    cache: Path


@dataclass(frozen=True)
class Outcome:
    """What a stage gave: recordings by ``component.port``, quality flags by component, notes."""

    recordings: dict[str, Recording]
    flags: dict[str, list[Flag]]
    notes: dict[str, Any]


def run_stage(
    members: list[Member],
    wires: list[Wire],
    inputs: Mapping[str, Recording],
    record: Mapping[str, int | None],
    setting: Setting,
    *,
    progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = bool,
) -> Outcome:
    """Run the members to the end and return what ``record`` names (value: thin to this many us).

    ``inputs`` holds the recordings of ports outside the stage by ``component.port``. Any error leaves
    the members finalized.
    """
    loop = _Loop(wires, inputs, record, setting, progress, cancelled)
    try:
        for member in members:
            loop.add(member)
        loop.initialize()
        loop.run()
        return loop.outcome()
    finally:
        loop.close()


class _Actor:
    """A member at work: its instance, clock and wires."""

    def __init__(self, member: Member, component: Component, wires: list[Wire]) -> None:
        self.member = member
        self.name = member.name
        self.component = component
        self.context = component.context
        self.time = 0
        self.start_wires = [w for w in wires if member.inputs[w.input].at == "start"]
        self.wires = [w for w in wires if member.inputs[w.input].at == "step"]
        self.start_inputs: dict[str, Any] = {}
        self.start_outputs: dict[str, Table] = {}
        self.outputs = {n: p for n, p in member.outputs.items() if p.at == "step"}
        self.readers: list[tuple[str, Callable[[int, int], Table]]] = []
        self.now: list[_Actor] = []
        self.lag: list[_Actor] = []
        self.histories: dict[str, list[History]] = {}
        self.parts: dict[str, list[tuple[int, int, Table]]] = {}

    def ready(self, end: int) -> bool:
        """Whether the next window may run; see the module's docstring."""
        if self.time >= end:
            return False
        until = min(self.time + cast(int, self.member.step), end)
        if any(a.time < until for a in self.now):
            return False
        return all(a.time >= end or min(a.time + cast(int, a.member.step), end) > self.time for a in self.lag)


class _Loop:
    def __init__(
        self,
        wires: list[Wire],
        inputs: Mapping[str, Recording],
        record: Mapping[str, int | None],
        setting: Setting,
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.wires, self.inputs, self.record, self.setting = wires, inputs, record, setting
        self.progress, self.cancelled = progress, cancelled
        self.actors: dict[str, _Actor] = {}
        self.start_tables: dict[str, Recording] = {}

    def add(self, member: Member) -> None:
        s = self.setting
        scratch = s.scratch / member.name
        cache = s.cache / member.component.id
        for folder in (scratch, cache):
            folder.mkdir(parents=True, exist_ok=True)
        context = Context(
            start=s.start,
            window=Window(0, s.end),
            seed=member.seed,
            crs=s.crs,
            bbox=s.bbox,
            scratch=scratch,
            cache=cache,
            log=logging.getLogger(f"ldt.component.{member.name}"),
            cancelled=self.cancelled,
        )
        component = guarded(member.name, "construction", lambda: member.component(member.params, context))
        actor = _Actor(member, component, [w for w in self.wires if w.target == member.name])
        context.progress = lambda share: self._report(actor, share)
        self.actors[member.name] = actor

    # -- before the clock starts ------------------------------------------------------------

    def initialize(self) -> None:
        waiting = list(self.actors.values())
        while waiting:
            ready = [
                a
                for a in waiting
                if not any(w.source in {o.name for o in waiting if o is not a} for w in a.start_wires)
            ]
            if not ready:
                raise ScheduleError(
                    f"{', '.join(a.name for a in waiting)} wait for each other's values at the start",
                    code="cycle",
                )
            for actor in ready:
                self._start(actor)
                waiting.remove(actor)
        for actor in self.actors.values():
            self._connect(actor)

    def _start(self, actor: _Actor) -> None:
        for wire in actor.start_wires:
            table = self._start_table(wire)
            previous = actor.start_inputs.get(wire.input)
            actor.start_inputs[wire.input] = table if previous is None else Table.concat([previous, table])
        component = actor.component
        if not isinstance(component, Simulator):
            return
        given = guarded(actor.name, "initialize", lambda: component.initialize(actor.start_inputs)) or {}
        for name, data in given.items():
            if name not in actor.member.outputs:
                raise broken(actor.name, f"initialize returned '{name}', which is no output port")
            port = actor.member.outputs[name]
            actor.start_outputs[name] = cast(Table, check(data, port, f"{actor.name}.{name}"))
        for name, port in actor.member.outputs.items():
            if port.at == "start" and name not in actor.start_outputs:
                raise broken(actor.name, f"initialize did not return the start port '{name}'")

    def _start_table(self, wire: Wire) -> Table:
        source = self.actors.get(wire.source)
        if source is not None:
            return wire.read(source.start_outputs[wire.port])
        return wire.read(self.inputs[wire.origin].table)

    def _connect(self, actor: _Actor) -> None:
        grouped: dict[str, list[Callable[[int, int], Table]]] = {}
        merges: dict[str, str | None] = {}
        for wire in actor.wires:
            grouped.setdefault(wire.input, []).append(self._reader(actor, wire))
            merges[wire.input] = wire.merge
        for name, readers in grouped.items():
            if len(readers) == 1:
                actor.readers.append((name, readers[0]))
            else:
                actor.readers.append((name, _merged(readers, merges[name], actor.member.inputs[name])))

    def _reader(self, actor: _Actor, wire: Wire) -> Callable[[int, int], Table]:
        source = self.actors.get(wire.source)
        if source is None:
            recording = self.inputs[wire.origin]
            if recording.port.at == "start":
                fixed = wire.read(recording.table)
                return lambda start, end: fixed
            history = History.of(recording, wire.methods, self.setting.start)
        else:
            port = cast(Port, source.member.outputs[wire.port])
            history = History(port, wire.methods, self.setting.start)
            source.histories.setdefault(wire.port, []).append(history)
            if wire.port in source.start_outputs:
                history.append(0, 0, source.start_outputs[wire.port])
        adapt = None if wire.adapter.identity and wire.verify is None else wire.read
        if wire.when == "lag":
            if source is not None:
                actor.lag.append(source)
            return self._lagged(actor, wire, history, adapt)
        if source is not None:
            actor.now.append(source)
        if adapt is None:
            return history.over
        return lambda start, end: adapt(history.over(start, end))

    def _lagged(
        self, actor: _Actor, wire: Wire, history: History, adapt: Callable[[Table], Table] | None
    ) -> Callable[[int, int], Table]:
        initial = self._initial(actor, wire) if wire.init is not None else None

        def read(start: int, end: int) -> Table:
            found = history.last(start)
            if found is not None:
                return found if adapt is None else adapt(found)
            if initial is None:
                raise ScheduleError(
                    f"{wire.origin} has no value yet at the start",
                    code="init missing",
                    where=wire.place,
                    fix="write init: with a value on the link, or let initialize return the port",
                )
            return initial

        return read

    def _initial(self, actor: _Actor, wire: Wire) -> Table:
        """The scalar ``init`` for every entity that the receiver (or the source) knows at the start."""
        port = actor.member.inputs[wire.input]
        ids = None
        if port.id is not None:
            ids = self._entities(port.entity, actor, self.actors.get(wire.source))
            if ids is None:
                raise ScheduleError(
                    f"no table at the start lists the entities '{port.entity}' that init: fills",
                    code="init missing",
                    where=wire.place,
                    fix="let the source's initialize return the port",
                )
        rows = 1 if ids is None else len(ids)
        columns: dict[str, Any] = {}
        for name, column in port.columns.items():
            if name == port.id:
                columns[name] = ids
            elif column.kind == "instant":
                columns[name] = np.full(rows, self.setting.start)
            else:
                columns[name] = np.full(rows, wire.init, column.dtype)
        return Table(columns)

    def _entities(self, entity: str | None, *actors: _Actor | None) -> Any:
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

    # -- the clock --------------------------------------------------------------------------

    def run(self) -> None:
        end = self.setting.end
        sources = [a for a in self.actors.values() if isinstance(a.component, DataSource)]
        for actor in sources:
            self._read(actor)
        clocked = [a for a in self.actors.values() if a not in sources]
        for actor in clocked:
            self._prepare(actor)
        running = [a for a in clocked if a.member.step is not None]
        while True:
            moved = False
            for actor in running:
                while actor.ready(end):
                    self._advance(actor, end)
                    moved = True
            if all(a.time >= end for a in running):
                return
            if not moved:
                stuck = ", ".join(f"{a.name} at {a.time / 1e6:g} s" for a in running if a.time < end)
                raise ScheduleError(f"no member can go on: {stuck}", code="stall")

    def _prepare(self, actor: _Actor) -> None:
        for name in actor.outputs:
            if f"{actor.name}.{name}" in self.record:
                actor.parts[name] = []
        if actor.member.step is None:
            self._compute_once(actor)

    def _compute_once(self, actor: _Actor) -> None:
        """A model whose inputs are all given at the start runs once, over the whole run."""
        component = cast(Model, actor.component)
        given = dict(actor.start_inputs)
        given.update({n: read(0, self.setting.end) for n, read in actor.readers})
        out = guarded(actor.name, "compute", lambda: component.compute(given))
        for name, port in actor.member.outputs.items():
            table = self._output(actor, out, name, port)
            window = (0, 0) if port.at == "start" else (0, self.setting.end)
            if port.at == "start":
                actor.start_outputs[name] = table
            elif name in actor.parts:
                actor.parts[name].append((*window, table))
        actor.time = self.setting.end

    def _advance(self, actor: _Actor, end: int) -> None:
        if self.cancelled():
            raise Cancelled("the run was cancelled", code="cancelled")
        start = actor.time
        until = min(start + cast(int, actor.member.step), end)
        inputs = {name: read(start, until) for name, read in actor.readers}
        actor.context.window = Window(start, until)
        component = actor.component
        try:
            if isinstance(component, Simulator):
                out: Any = component.step(inputs, until)
            else:
                out = cast(Model, component).compute({**actor.start_inputs, **inputs})
        except LdtError as exc:
            exc.where = exc.where or f"{actor.name} in [{start / 1e6:g} s, {until / 1e6:g} s)"
            raise
        except Exception as exc:
            raise wrapped(actor.name, f"[{start / 1e6:g} s, {until / 1e6:g} s)", exc) from exc
        reached = until
        if type(out) is Step:
            out, reached = out.tables, out.reached
            if not start < reached <= until:
                raise broken(actor.name, f"step reached {reached} us, asked were {start} < t <= {until} us")
        for name, port in actor.outputs.items():
            table = self._output(actor, out, name, port)
            for history in actor.histories.get(name, ()):
                history.append(start, reached, table)
            parts = actor.parts.get(name)
            if parts is not None:
                parts.append((start, reached, table))
        actor.time = reached
        self._report(actor, 0.0)

    def _output(self, actor: _Actor, out: Any, name: str, port: AnyPort) -> Table:
        try:
            data = out[name]
        except (KeyError, TypeError):
            raise broken(actor.name, f"the output port '{name}' was not returned") from None
        return cast(Table, check(data, port, f"{actor.name}.{name}"))

    def _read(self, actor: _Actor) -> None:
        s = self.setting
        component = cast(DataSource, actor.component)
        query = Query(
            outputs=tuple(actor.member.outputs),
            bbox=s.bbox,
            start=s.start,
            end=s.start + np.timedelta64(s.end, "us"),
        )
        answer = guarded(actor.name, "read", lambda: component.read(query))
        batches = [answer] if isinstance(answer, Mapping) else list(answer)
        for name, port in actor.member.outputs.items():
            tables = [cast(Table, check(b[name], port, f"{actor.name}.{name}")) for b in batches if name in b]
            if not tables and batches:
                raise broken(actor.name, f"the output port '{name}' was not returned")
            table = Table.concat(tables) if tables else empty(cast(Port, port))
            recording = self._asked(cast(Port, port), table, actor)
            if port.at == "start":
                actor.start_outputs[name] = recording.table
            self.start_tables[f"{actor.name}.{name}"] = recording
        actor.time = s.end

    def _asked(self, port: Port, table: Table, actor: _Actor) -> Recording:
        """Only what the query asked for, whatever the source gave."""
        s = self.setting
        if s.bbox is not None:
            table = within(table, port, s.crs, s.bbox)
        name = port.time_column
        if name is not None and port.at == "step":
            end = s.start + np.timedelta64(s.end, "us")
            table = table.take((table[name] >= s.start) & (table[name] < end))
        return split_by_time(port, table, s.start, s.end, actor.member.step)

    # -- the end ----------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        recordings: dict[str, Recording] = {}
        for ref, thin in self.record.items():
            name, _, port_name = ref.partition(".")
            actor = self.actors.get(name)
            if actor is None:
                continue
            port = cast(Port, actor.member.outputs[port_name])
            if ref in self.start_tables:
                recordings[ref] = self.start_tables[ref]
            elif port.at == "start":
                recordings[ref] = Recording.of(port, [(0, 0, actor.start_outputs[port_name])])
            else:
                parts = actor.parts[port_name]
                recordings[ref] = Recording.of(
                    port, parts if thin is None else self._thinned(port, parts, thin)
                )
        flags = {a.name: a.context.flags for a in self.actors.values() if a.context.flags}
        return Outcome(recordings, flags, self._lag_notes())

    def _thinned(
        self, port: Port, parts: list[tuple[int, int, Table]], every: int
    ) -> list[tuple[int, int, Table]]:
        from .resample import reduction

        methods = {n: reduction(c, None, n) for n, c in port.columns.items()}
        history = History(port, methods, self.setting.start)
        for part in parts:
            history.append(*part)
        end = self.setting.end
        return [(t, min(t + every, end), history.over(t, min(t + every, end))) for t in range(0, end, every)]

    def _lag_notes(self) -> dict[str, Any]:
        """The largest relative change per window of each lag link: large means it oscillates."""
        notes: dict[str, Any] = {}
        for wire in self.wires:
            source = self.actors.get(wire.source)
            if wire.when != "lag" or source is None:
                continue
            for history in source.histories.get(wire.port, [])[:1]:
                notes[f"lag change {wire.origin}"] = _largest_change(history)
        return notes

    def _report(self, actor: _Actor, share: float) -> None:
        end = self.setting.end or 1
        clocked = [a for a in self.actors.values() if a.member.step is not None] or [actor]
        done = sum(min(a.time, end) for a in clocked) / (len(clocked) * end)
        step = (actor.member.step or end) / end / len(clocked)
        self.progress(min(1.0, done + share * step))

    def close(self) -> None:
        for actor in self.actors.values():
            try:
                actor.component.finalize()
            except Exception:
                log.exception("%s failed in finalize", actor.name)


def _largest_change(history: History) -> float:
    worst = 0.0
    for before, after in zip(history.tables[:-1], history.tables[1:], strict=True):
        for name in history.port.value_columns:
            if len(before) == len(after) and len(after):
                change = np.abs(after[name].astype(float) - before[name].astype(float)).max()
                worst = max(worst, float(change / max(np.abs(before[name].astype(float)).max(), 1e-12)))
    return worst


def _merged(
    readers: list[Callable[[int, int], Table]], merge: str | None, port: AnyPort
) -> Callable[[int, int], Table]:
    def read(start: int, end: int) -> Table:
        tables = [r(start, end) for r in readers]
        if merge == "concat":
            names = list(port.columns)
            return Table.concat(t.select(*names) for t in tables)
        return _added(tables, cast(Port, port))

    return read


def _added(tables: list[Table], port: Port) -> Table:
    """The sum of all tables, entity by entity."""
    from .resample import align, stack

    ids, rows = align(tables, port)
    columns: dict[str, Any] = {}
    for name, column in port.columns.items():
        if name == port.id:
            columns[name] = ids
        elif column.measured:
            block, present = stack(tables, name, rows, len(ids))
            columns[name] = np.where(present, block, 0.0).sum(axis=0).astype(column.dtype)
        else:
            columns[name] = (
                tables[0][name] if rows is None else np.full(len(ids), tables[0][name][0], column.dtype)
            )
    return Table(columns)


def guarded(name: str, what: str, call: Callable[[], Any]) -> Any:
    """Call into a component; what it raises says where it came from."""
    try:
        return call()
    except LdtError as exc:
        exc.where = exc.where or f"{name}, {what}"
        raise
    except Exception as exc:
        raise wrapped(name, what, exc) from exc


def wrapped(name: str, what: str, exc: Exception) -> RunError:
    if isinstance(exc, MemoryError):
        return RunError("out of memory", code="out of memory", where=f"{name}, {what}")
    frames = traceback.extract_tb(exc.__traceback__)
    last = frames[-1] if frames else None
    at = f" at {Path(last.filename).name}:{last.lineno} in {last.name}" if last else ""
    return RunError(
        f"{type(exc).__name__}: {exc}{at}",
        code="component raised",
        where=f"{name}, {what}",
        fix="report this to the component's author; the log holds the whole traceback",
    )


def broken(name: str, what: str) -> RunError:
    return RunError(what, code="contract broken", where=name, fix="report this to the component's author")


def now() -> float:
    return time.monotonic()
