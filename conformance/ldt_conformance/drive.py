"""Runs a simulator over windows as the engine's clock does, and keeps what came so that two runs can be compared.

As the engine does: ports at the start go to ``initialize``, ports of the step come window by window, held, averaged
or added up from the example's rows; a window that was left early is followed by a whole one; what comes is checked by
the ports; the generator and the flags stand beside the state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.resample import reduce_parts

from .drivers.base import Subject
from .forcing import Given, methods_of
from .trial import CannotTell, Trial

MOST_WINDOWS = 10_000
"""A simulator that needs more of them for an example hardly moves."""


@dataclass(frozen=True)
class Saved:
    """All that the engine keeps of one simulator: its own bytes, where its generator stands, its flags."""

    state: bytes
    rng: Any
    flags: tuple[ldt.Flag, ...]


@dataclass(frozen=True)
class Trajectory:
    """What a run gave: ``initial`` values by port, the ``windows`` as (start, reached, tables by port), ``flags``.

    ``digests`` are those of the windows' tables when they came, ``inputs`` what each window was given.
    """

    initial: Mapping[str, Any]
    windows: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    flags: tuple[ldt.Flag, ...] = ()
    inputs: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def spans(self) -> list[tuple[int, int]]:
        return [(start, reached) for start, reached, _ in self.windows]

    @property
    def rows(self) -> int:
        """Of all tables together; a grid counts as one."""
        tables = [*self.initial.values(), *(t for _, _, given in self.windows for t in given.values())]
        return sum(len(t) if isinstance(t, ldt.Table) else 1 for t in tables)

    @property
    def tables(self) -> dict[str, Any]:
        """Every table by a name that says when it came, for ``Trial.expect_same``."""
        found = {f"initialize: {n}": t for n, t in self.initial.items()}
        for start, reached, given in self.windows:
            found |= {f"{in_words(start, reached)}: {n}": t for n, t in given.items()}
        return found

    @property
    def digest(self) -> str:
        """Of everything that came and when; the same trajectory has the same digest."""
        parts = [digest_of(self.initial), *map(str, self.spans), *(digest_of(t) for _, _, t in self.windows)]
        return hashlib.sha256("\n".join([*parts, *map(str, self.flags)]).encode()).hexdigest()

    def until(self, end: int) -> Trajectory:
        """The windows that were done by ``end``."""
        kept = [w for w in self.windows if w[1] <= end]
        return Trajectory(self.initial, kept, self.digests[: len(kept)])

    def after(self, start: int) -> Trajectory:
        """The windows from ``start`` on, without the initial values."""
        kept = [w for w in self.windows if w[0] >= start]
        return Trajectory({}, kept, self.digests[len(self.windows) - len(kept) :], self.flags)

    def only(self, names: Collection[str] | None) -> Trajectory:
        """These output ports, or all."""
        if names is None:
            return self
        kept = [(a, b, {n: t for n, t in given.items() if n in names}) for a, b, given in self.windows]
        return Trajectory({n: t for n, t in self.initial.items() if n in names}, kept)

    def over(self, name: str, port: ldt.Port) -> ldt.Table:
        """All windows of one port as one, by the cell methods of its columns; events one after another."""
        parts = [(start, reached, given[name]) for start, reached, given in self.windows]
        return one_window(parts, port)


def in_words(start: int, end: int) -> str:
    return f"{start / 1e6:g} s to {end / 1e6:g} s"


def digest_of(tables: Mapping[str, Any]) -> str:
    """Of the values as they are now: a table keeps the digest that it had when it was first asked."""
    now = {n: ldt.Table(t.columns, t.masks) if isinstance(t, ldt.Table) else t for n, t in tables.items()}
    return "\n".join(f"{n} {now[n].digest}" for n in sorted(now))


def one_window(parts: list[tuple[int, int, ldt.Table]], port: ldt.Port) -> ldt.Table:
    """Rows of several windows as those of one. Raises ``CannotTell`` where they cannot be reduced."""
    if len(parts) == 1:
        return parts[0][2]
    if port.events:
        return ldt.Table.concat([t for _, _, t in parts])
    columns = {n: c for n, c in port.columns.items() if c.kind != "instant"}
    try:
        found = reduce_parts(parts, port, columns, methods_of(port))
    except ldt.RunError as exc:
        raise CannotTell(f"windows cannot be joined: {exc.what}") from exc
    time = port.time_column
    if time is None:
        return found
    last = parts[-1][2] if all(c.cell == "point" for c in columns.values() if c.measured) else parts[0][2]
    stamp = last[time][0] if len(last) else np.datetime64("NaT", "us")
    return found.with_columns(**{time: np.full(len(found), stamp)}).select(*port.columns)


class Run:
    """One instance under way: ``begin``, then ``advance`` as far as wanted, or ``steps`` one by one."""

    def __init__(self, trial: Trial, subject: Subject, given: Given | None = None) -> None:
        self.trial, self.subject = trial, subject
        self.given = given or Given(trial, subject)
        self.time = 0
        self.end = trial.example.step * trial.example.windows
        self.trajectory = Trajectory({})

    def begin(self) -> Run:
        """Initialize: also anew, with the generator and the flags as they were at first, as the engine has them."""
        context = self.subject.context
        context.window = ldt.Window(0, self.end)
        context.rng_state = None
        context.flags.clear()
        initial = self.subject.initialize(self.given.start)
        self.time = 0
        self.trajectory = Trajectory(self._checked(initial, "initialize", whole=False))
        return self

    def steps(
        self, end: int | None = None, step: int | None = None, inputs: Any = None
    ) -> Iterator[tuple[int, int]]:
        """Advance window by window to ``end``; yields each window's (start, reached) when it is done."""
        end, step = end or self.end, step or self.trial.example.step
        while self.time < end:
            start = self.time
            self.step(min(start + step, end), inputs)
            yield start, self.time

    def advance(self, end: int | None = None, step: int | None = None, inputs: Any = None) -> Trajectory:
        for _ in self.steps(end, step, inputs):
            pass
        return self.done()

    def take(self, count: int) -> Run:
        """So many windows of the whole run, or as many as there are left."""
        for _ in islice(self.steps(), count):
            pass
        return self

    def step(self, until: int, inputs: Any = None) -> None:
        """One window; ``inputs(start, until)`` gives its tables, by default those of the example."""
        start, read = self.time, inputs or self.given.over
        given = read(start, until)
        tables, reached = self.ask(given, until)
        if not _whole(reached) or not start < reached <= until:
            self.trial.fail(
                "a step reached an instant outside its window",
                given={"start": start, "until": until},
                expected=f"{start} < reached <= {until}",
                got=reached,
            )
        found = self._checked(tables, in_words(start, int(reached)), whole=True)
        self.time = int(reached)
        self.trajectory.windows.append((start, self.time, found))
        self.trajectory.digests.append(digest_of(found))
        self.trajectory.inputs.append(given)
        if len(self.trajectory.windows) > MOST_WINDOWS:
            raise CannotTell(f"after {MOST_WINDOWS} windows the simulator stands at {self.time} us")

    def ask(self, inputs: Mapping[str, Any], until: int) -> ldt.Step:
        """A step as it is answered, nothing checked and nothing kept; the clock stays."""
        self.subject.context.window = ldt.Window(self.time, until)
        return self.subject.step(inputs, until)

    def done(self) -> Trajectory:
        t = self.trajectory
        return replace(t, flags=tuple(self.subject.context.flags))

    def _checked(self, tables: Any, when: str, *, whole: bool) -> dict[str, Any]:
        """What came, as the ports promise it; with ``whole`` every port of the step must be there."""
        if not isinstance(tables, Mapping):
            self.trial.fail("what came is no tables by port", given=when, got=type(tables).__name__)
        found = {}
        for name, port in self.given.outputs.items():
            due = port.at == "step" if whole else port.at == "start"
            if name not in tables:
                if due:
                    self.trial.fail(f"the output '{name}' did not come", given=when, got=sorted(tables))
            elif due or not whole:
                try:
                    found[name] = ldt.check(tables[name], port, name)
                except ldt.InputError as exc:
                    self.trial.fail(f"the output does not fit its port: {exc}", given=when, got=tables[name])
        if odd := set(tables) - set(self.given.outputs):
            self.trial.fail(f"'{min(odd)}' is no output port", given=when, got=sorted(tables))
        return found

    # -- its state, as the engine keeps it --

    def save(self) -> Saved:
        context = self.subject.context
        state = self.subject.get_state()
        if not isinstance(state, bytes | bytearray | memoryview):
            self.trial.fail("get_state gave no bytes", got=type(state).__name__)
        return Saved(bytes(state), context.rng_state, tuple(context.flags))

    def restore(self, saved: Saved, at: int) -> Run:
        """Go on from a state: of an instance that has begun."""
        context = self.subject.context
        context.flags[:] = saved.flags
        context.rng_state = saved.rng
        self.subject.set_state(saved.state)
        self.time = at
        self.trajectory = Trajectory({})
        return self


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def start_run(trial: Trial, *, driver: Any = None, **context: Any) -> Run:
    """A new instance that has begun."""
    whole = ldt.Window(0, trial.example.step * trial.example.windows)
    return Run(trial, trial.open(driver=driver, **{"window": whole, **context})).begin()


def drive(trial: Trial, *, driver: Any = None, **context: Any) -> Trajectory:
    """A whole run of the example by a new instance."""
    return start_run(trial, driver=driver, **context).advance()


def expect_same_run(
    trial: Trial,
    expected: Trajectory,
    got: Trajectory,
    what: str,
    *,
    given: Any = None,
    tolerances: Mapping[str, float] | None = None,
) -> None:
    """Two runs came by the same windows, gave the same tables and raised the same flags.

    Bit for bit, unless the manifest says that the component is not deterministic, or ``tolerances`` are given.
    """
    if tolerances is None and trial.manifest.get("deterministic", True):
        tolerances = {}
    trial.expect_same(expected.spans, got.spans, f"{what}: other windows", given=given)
    trial.expect_same(expected.tables, got.tables, what, given=given, tolerances=tolerances)
    trial.expect_same(list(expected.flags), list(got.flags), f"{what}: other flags", given=given)
