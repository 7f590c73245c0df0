"""Runs one stage: a source, a model, a simulator, or a group of them on one integer clock.

A member's window runs when every ``now`` source is done to its end and no ``lag`` source has a
window pending that ends by its start; so any order gives the same bits. Inputs from other stages
come from the store; what is recorded goes back to it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from .adapters import within
from .checkpoint import Checkpoint, Refused, Saved, Saver
from .errors import (
    Cancelled,
    InputError,
    LdtError,
    NotFound,
    ParamError,
    RunError,
    ScheduleError,
    Unavailable,
    Unsupported,
)
from .interfaces import AnyPort, Component, Context, DataSource, Flag, Model, Query, Simulator, Step, Window
from .resample import History, split_by_time, thinned
from .tables import Checker, Port, Recording, Seen, Table, check, empty
from .wires import LagReader, Read, Wire, fill, in_order, merge_tables, merged

__all__ = ["Member", "Outcome", "Setting", "Wire", "guarded", "run_stage"]

log = logging.getLogger("ldt.runner")
Part = tuple[int, int, Table]
MAY_RAISE = (ParamError, InputError, NotFound, Unavailable, Unsupported, Cancelled)


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
    resume: Checkpoint | None = None,
    saver: Saver | None = None,
) -> Outcome:
    """Run the members to the end and return what ``record`` names (value: thin to this many us).

    ``inputs`` holds the recordings of ports outside the stage by ``component.port``. Any error leaves
    the members finalized. ``progress`` is told shares that only grow. With ``resume`` they go on from
    there: raises ``Refused`` where they cannot. ``saver`` takes checkpoints, and may end it early.
    """
    loop = _Loop(in_order(wires), inputs, record, setting, progress, cancelled)
    try:
        for member in members:
            loop.add(member)
        loop.initialize({} if resume is None else resume.start)
        if resume is not None:
            loop.restore(resume)
        loop.run(saver)
        return loop.outcome()
    finally:
        loop.close()


class _Actor:
    """A member at work: its instance, clock, readers and outputs."""

    def __init__(self, member: Member, component: Component, wires: list[Wire]) -> None:
        self.member = member
        self.name = member.name
        self.component = component
        self.context = component.context
        self.time = 0
        self.step = member.step or 0
        self.start_wires = [w for w in wires if member.inputs[w.input].at == "start"]
        self.wires = [w for w in wires if member.inputs[w.input].at == "step"]
        self.start_inputs: dict[str, Any] = {}
        self.start_outputs: dict[str, Table] = {}
        self.readers: list[tuple[str, Read]] = []
        self.now: list[_Actor] = []
        self.lag: list[_Actor] = []
        self.histories: dict[str, list[History]] = {}
        self.forget: list[Callable[[int], None]] = []
        self.parts: dict[str, list[Part]] = {}
        self.outs: list[tuple[str, Checker, list[History], list[Part] | None]] = []

    def clock(self, seen: Seen) -> None:
        """Bind once what every window needs: the output checks and the call into the component."""
        self.outs = [
            (n, Checker(p, f"{self.name}.{n}", seen), self.histories.get(n, []), self.parts.get(n))
            for n, p in self.member.outputs.items()
            if p.at == "step"
        ]
        component = self.component
        self.call: Callable[[Any, int], Any]
        if isinstance(component, Simulator):
            self.call = component.step
        elif self.start_inputs:
            self.call = lambda inputs, until: component.compute({**self.start_inputs, **inputs})  # type: ignore[attr-defined]
        else:
            self.call = lambda inputs, until: component.compute(inputs)  # type: ignore[attr-defined]


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
        self.read: dict[str, Recording] = {}
        self.given: Mapping[str, Table] = {}
        self.buffers: dict[str, History] = {}
        self.lagged: dict[str, LagReader] = {}
        self.seen = Seen()
        self.done, self.told, self.next = 0, 0.0, 0.0

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
        context.progress = lambda share: self._tell(actor, share)
        self.actors[member.name] = actor

    # -- before the clock starts ------------------------------------------------------------

    def initialize(self, given: Mapping[str, Table]) -> None:
        """Start every member; ``given`` is what a port gave at the start, whatever ``initialize`` returns."""
        self.given = given
        waiting = list(self.actors.values())
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
                self._start(actor)
                waiting.remove(actor)
        for actor in self.actors.values():
            self._connect(actor)

    def _start(self, actor: _Actor) -> None:
        given: dict[str, list[Table]] = {}
        merges = {w.input: w.merge for w in actor.start_wires}
        for wire in actor.start_wires:
            given.setdefault(wire.input, []).append(self._start_table(wire))
        for name, tables in given.items():
            port = cast(Port, actor.member.inputs[name])
            actor.start_inputs[name] = merge_tables(tables, merges[name], port)
        component = actor.component
        if isinstance(component, DataSource):
            self._read(actor, component)
        elif isinstance(component, Simulator):
            self._initialize(actor, component)
        elif actor.member.step is None and not actor.wires:
            self._compute_once(actor)

    def _initialize(self, actor: _Actor, component: Simulator) -> None:
        answer = guarded(actor.name, "initialize", lambda: component.initialize(actor.start_inputs))
        given = {} if answer is None else answer
        if not isinstance(given, Mapping):
            raise broken(actor.name, f"initialize returned a {type(given).__name__}, not tables by port")
        for name in given:
            port = actor.member.outputs.get(name)
            if port is None:
                raise broken(actor.name, f"initialize returned '{name}', which is no output port")
            table = self._checked(actor, given, name, port, "initialize")
            actor.start_outputs[name] = self.given.get(f"{actor.name}.{name}", table)
        for name, port in actor.member.outputs.items():
            if port.at == "start" and name not in actor.start_outputs:
                raise broken(actor.name, f"initialize did not return the start port '{name}'")

    def _start_table(self, wire: Wire) -> Table:
        source = self.actors.get(wire.source)
        if source is None:
            return wire.read(self.inputs[wire.origin].table)
        return wire.read(source.start_outputs[wire.port])

    def _connect(self, actor: _Actor) -> None:
        grouped: dict[str, list[Read]] = {}
        for wire in actor.wires:
            grouped.setdefault(wire.input, []).append(self._reader(actor, wire))
        merges = {w.input: w.merge for w in actor.wires}
        for name, reads in grouped.items():
            port = cast(Port, actor.member.inputs[name])
            actor.readers.append((name, reads[0] if len(reads) == 1 else merged(reads, merges[name], port)))

    def _reader(self, actor: _Actor, wire: Wire) -> Read:
        source = self.actors.get(wire.source)
        if source is None:
            recording = self.inputs[wire.origin]
            if recording.port.at == "start":
                return _always(wire.read(recording.table))
            history = History.of(recording, wire.methods, self.setting.start)
        else:
            port = cast(Port, source.member.outputs[wire.port])
            if port.at == "start":
                return _always(wire.read(source.start_outputs[wire.port]))
            history = self.buffers[_name(wire, self.buffers)] = History(
                port, wire.methods, self.setting.start
            )
            source.histories.setdefault(wire.port, []).append(history)
            if wire.port in source.start_outputs:
                history.append(0, 0, source.start_outputs[wire.port])
        if wire.when == "lag":
            if source is not None:
                actor.lag.append(source)
                actor.forget.append(history.forget_all_but_last)
            return self._lag_reader(actor, wire, history)
        if source is not None:
            actor.now.append(source)
            actor.forget.append(history.forget)
        adapt = wire.adapt()
        return history.over if adapt is None else lambda start, end: adapt(history.over(start, end))

    def _lag_reader(self, actor: _Actor, wire: Wire, history: History) -> LagReader:
        def missing() -> Exception:
            return ScheduleError(
                f"{wire.origin} has no value yet at the start",
                code="init missing",
                where=wire.place,
                fix="write init: with a value on the link, or let initialize return the port",
            )

        reader = LagReader(wire, history, self._initial(actor, wire), missing)
        self.lagged[_name(wire, self.lagged)] = reader
        return reader

    def _initial(self, actor: _Actor, wire: Wire) -> Table | None:
        """The scalar ``init`` for every entity that the receiver (or the source) knows at the start."""
        if wire.init is None:
            return None
        port = cast(Port, actor.member.inputs[wire.input])
        ids = None
        if port.id is not None:
            ids = _entities(port.entity, actor, self.actors.get(wire.source))
            if ids is None:
                raise ScheduleError(
                    f"no table at the start lists the entities '{port.entity}' that init: fills",
                    code="init missing",
                    where=wire.place,
                    fix="let the source's initialize return the port",
                )
        return fill(port, wire.init, ids, self.setting.start)

    # -- the clock --------------------------------------------------------------------------

    def run(self, saver: Saver | None = None) -> None:
        end = stop = self.setting.end
        for actor in self.actors.values():
            self._prepare(actor)
        running = [a for a in self.actors.values() if a.step and a.time < end]
        longest = max((a.step for a in running), default=0)
        while running:
            if saver is not None and stop == end:
                stop = min(end, saver.stop_after(max(a.time for a in running)) or end)
            # Nobody runs far ahead of the slowest, so that few windows wait for their readers.
            moved = self._pass(running, min(stop, min(a.time for a in running) + longest))
            if not moved and not self._pass(running, stop):
                if (
                    saver is not None and stop < end
                ):  # all have come there, or one of them has a window across it
                    if len({a.time for a in running}) == 1 and not saver.stand(running[0].time, self.capture):
                        return
                    stop = end
                    continue
                stuck = ", ".join(f"{a.name} at {a.time / 1e6:g} s" for a in running)
                raise ScheduleError(
                    f"no member can go on: {stuck}",
                    code="stall",
                    fix="choose steps that divide one another, or make another link of the loop when: lag",
                )
            running = [a for a in running if a.time < end]
        self.progress(1.0)

    def _pass(self, running: Iterable[_Actor], horizon: int) -> bool:
        """Run every window that may run and starts before the horizon; see the module's docstring."""
        moved, end, advance = False, self.setting.end, self._advance
        for actor in running:
            while actor.time < horizon:
                start = actor.time
                until = start + actor.step
                if until > end:
                    until = end
                for other in actor.now:
                    if other.time < until:
                        break
                else:
                    for other in actor.lag:
                        if other.time < end and min(other.time + other.step, end) <= start:
                            break
                    else:
                        advance(actor, start, until)
                        moved = True
                        continue
                break
        return moved

    def _prepare(self, actor: _Actor) -> None:
        if isinstance(actor.component, DataSource) or (actor.time and not actor.step):
            return
        for name, port in actor.member.outputs.items():
            if port.at == "step" and f"{actor.name}.{name}" in self.record:
                first = actor.start_outputs.get(name)
                actor.parts.setdefault(name, [] if first is None else [(0, 0, first)])
        if actor.member.step is None:
            self._compute_once(actor)
        else:
            actor.clock(self.seen)

    def _compute_once(self, actor: _Actor) -> None:
        """A model without windows runs once, over the whole run."""
        component, end = cast(Model, actor.component), self.setting.end
        given = dict(actor.start_inputs)
        given.update({n: self._given(actor, read, 0, end) for n, read in actor.readers})
        out = guarded(actor.name, "compute", lambda: component.compute(given))
        for name, port in actor.member.outputs.items():
            table = self._checked(actor, out, name, port, "compute")
            actor.start_outputs[name] = table
            actor.parts[name] = [(0, end, table)]
        actor.time = end
        self._moved(end)

    def _given(self, actor: _Actor, read: Read, start: int, end: int) -> Table:
        try:
            return read(start, end)
        except LdtError as exc:
            exc.where = _place(actor.name, _span(start, end), exc.where)
            raise

    def _advance(self, actor: _Actor, start: int, until: int) -> None:
        if self.cancelled():
            raise Cancelled("the run was cancelled", code="cancelled", where=actor.name)
        actor.context.window = Window(start, until)
        try:
            inputs = {}
            for name, read in actor.readers:
                inputs[name] = read(start, until)
        except LdtError as exc:
            exc.where = _place(actor.name, _span(start, until), exc.where)
            raise
        out: Any
        try:
            out = actor.call(inputs, until)
        except (Exception, SystemExit) as exc:
            _raise_told(actor.name, _span(start, until), exc)
        reached = until
        if type(out) is Step:
            reached = self._reached(actor, out.reached, start, until)
            out = out.tables
        for name, checker, histories, parts in actor.outs:
            try:
                data = out[name]
            except (KeyError, TypeError, IndexError):
                raise _absent(actor.name, name, _span(start, until)) from None
            try:
                table = cast(Table, checker(data))
            except InputError as exc:
                raise broken(f"{exc.where} in {_span(start, until)}", exc.what) from exc
            for history in histories:
                history.append(start, reached, table)
            if parts is not None:
                parts.append((start, reached, table))
        actor.time = reached
        for forget in actor.forget:
            forget(reached)
        self.done += reached - start
        if self.done >= self.next:
            self._tell(None, 0.0)

    def _reached(self, actor: _Actor, reached: Any, start: int, until: int) -> int:
        whole = isinstance(actor.component, Simulator) and isinstance(reached, (int, np.integer))
        if whole and start < reached <= until:
            return int(reached)
        raise broken(
            f"{actor.name} in {_span(start, until)}",
            f"step reached {reached!r} us, asked were {start} < t <= {until} us",
        )

    def _checked(self, actor: _Actor, out: Any, name: str, port: AnyPort, what: str) -> Table:
        try:
            data = out[name]
        except (KeyError, TypeError, IndexError):
            raise _absent(actor.name, name, what) from None
        try:
            return cast(Table, check(data, port, f"{actor.name}.{name}"))
        except InputError as exc:
            raise broken(f"{exc.where} in {what}", exc.what) from exc

    # -- sources ----------------------------------------------------------------------------

    def _read(self, actor: _Actor, component: DataSource) -> None:
        s = self.setting
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
                recording = self._asked(port, Table.concat(tables) if tables else empty(port), actor)
                actor.start_outputs[name] = recording.table
                self.read[f"{actor.name}.{name}"] = recording
        actor.time = s.end
        self._moved(s.end)

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

    # -- checkpoints ------------------------------------------------------------------------

    def capture(self) -> Checkpoint:
        """Everything that is needed to go on from where all clocks stand."""
        actors = self.actors.values()
        lagged = self.lagged.items()
        return Checkpoint(
            next(a.time for a in actors),
            {a.name: self._saved(a) for a in actors},
            {n: list(h.parts) for n, h in self.buffers.items()},
            {n: [] if r.found is None else [(0, 0, r.found)] for n, r in lagged},
            {n: r.worst for n, r in lagged},
            {f"{a.name}.{n}": list(parts) for a in actors for n, parts in a.parts.items()},
        )

    def _saved(self, actor: _Actor) -> Saved:
        component, context, state = actor.component, actor.context, None
        if isinstance(component, Simulator):
            state = guarded(actor.name, "get_state", component.get_state)
            if not isinstance(state, (bytes, bytearray, memoryview)):
                raise broken(actor.name, f"get_state returned a {type(state).__name__}, not bytes")
        return Saved(None if state is None else bytes(state), context.rng_state, tuple(context.flags))

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint. Raises ``Refused``."""
        self.done = saved.at * len(self.actors)
        for actor in self.actors.values():
            actor.time = saved.at
            member = saved.members.get(actor.name, Saved())
            actor.context.flags[:] = member.flags
            actor.context.rng_state = member.rng
            if member.state is not None:
                self._set_state(actor, member.state)
            for name, port in actor.member.outputs.items():
                ref = f"{actor.name}.{name}"
                if ref in self.record and port.at == "step":
                    actor.parts[name] = list(saved.recorded[ref])
        for name, history in self.buffers.items():
            history.parts[:] = saved.links[name]
        for name, reader in self.lagged.items():
            reader.found = next((table for _, _, table in saved.read[name]), None)
            reader.worst = saved.worst[name]

    def _set_state(self, actor: _Actor, state: bytes) -> None:
        try:
            guarded(actor.name, "set_state", lambda: cast(Simulator, actor.component).set_state(state))
        except LdtError as exc:
            raise Refused(f"{actor.name} refuses its state: {exc.what}") from exc

    # -- the end ----------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        recordings: dict[str, Recording] = {}
        for ref, every in self.record.items():
            name, _, port_name = ref.partition(".")
            actor = self.actors.get(name)
            if actor is None:
                continue
            port = cast(Port, actor.member.outputs[port_name])
            if ref in self.read:
                recording = self.read[ref]
            elif port.at == "start":
                recording = Recording.of(port, [(0, 0, actor.start_outputs[port_name])])
            else:
                recording = Recording.of(port, actor.parts[port_name])
            if every is not None and port.at == "step":
                recording = thinned(recording, every, self.setting.end, self.setting.start)
            recordings[ref] = recording
        flags = {a.name: a.context.flags for a in self.actors.values() if a.context.flags}
        # Large means that the loop oscillates from window to window.
        notes: dict[str, Any] = {f"lag change {r.wire.origin}": r.worst for r in self.lagged.values()}
        return Outcome(recordings, flags, notes)

    # -- progress ---------------------------------------------------------------------------

    def _moved(self, by: int) -> None:
        self.done += by
        self._tell(None, 0.0)

    def _tell(self, actor: _Actor | None, share: float) -> None:
        """Pass on the share of the whole that is done, if it grew; a member tells its share of a window."""
        whole = (self.setting.end or 1) * max(1, len(self.actors))
        inside = 0.0
        if actor is not None and 0.0 < share <= 1.0 and actor.time < self.setting.end:
            inside = share * min(actor.step or self.setting.end, self.setting.end - actor.time)
        self.next = self.done + whole / 1000
        now = min(1.0, (self.done + inside) / whole)
        if now > self.told:
            self.told = now
            self.progress(now)

    def close(self) -> None:
        for actor in self.actors.values():
            try:
                actor.component.finalize()
            except (Exception, SystemExit):
                log.exception("%s failed in finalize", actor.name)


def _name(wire: Wire, taken: Mapping[str, object]) -> str:
    """A name for a link's buffer; the wires come in one order, and two may join the same ports."""
    name = f"{wire.origin} -> {wire.target}.{wire.input}"
    return next(n for i in range(len(taken) + 1) if (n := f"{name} {i}" if i else name) not in taken)


def _always(table: Table) -> Read:
    return lambda start, end: table


def _batches(answer: Any) -> list[Any]:
    return [answer] if isinstance(answer, Mapping) else list(answer)


def _entities(entity: str | None, *actors: _Actor | None) -> Any:
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


# -- what went wrong, and whose it is ------------------------------------------------------------


def _span(start: int, end: int) -> str:
    return f"[{start / 1e6:g} s, {end / 1e6:g} s)"


def _place(name: str, what: str, where: str) -> str:
    return f"{where} ({name}, {what})" if where else f"{name}, {what}"


def guarded(name: str, what: str, call: Callable[[], Any]) -> Any:
    """Call into a component; what it raises says where it came from."""
    try:
        return call()
    except (Exception, SystemExit) as exc:
        _raise_told(name, what, exc)


def _raise_told(name: str, what: str, exc: BaseException) -> NoReturn:
    """Raise what a component may raise, with its place; anything else as the component's own fault."""
    if isinstance(exc, MAY_RAISE):
        exc.where = _place(name, what, exc.where)
        raise exc
    if isinstance(exc, MemoryError):
        raise RunError(
            "out of memory", code="out of memory", where=f"{name}, {what}", fix="run with fewer workers"
        ) from exc
    frames = traceback.extract_tb(exc.__traceback__)
    last = frames[-1] if frames else None
    at = f" at {Path(last.filename).name}:{last.lineno} in {last.name}" if last else ""
    words = exc.what if isinstance(exc, LdtError) else _said(exc)
    raise RunError(
        f"{type(exc).__name__}: {words}{at}",
        code="component raised",
        where=f"{name}, {what}",
        fix="report this to the component's author; the log holds the whole traceback",
    ) from exc


def _said(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return "(its own message cannot be read)"


def _absent(name: str, port: str, what: str) -> RunError:
    return broken(f"{name} in {what}", f"the output port '{port}' was not returned")


def broken(where: str, what: str) -> RunError:
    return RunError(what, code="contract broken", where=where, fix="report this to the component's author")
