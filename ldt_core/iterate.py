"""Implicit links: members that need each other's values of the same window repeat it until these settle.

A block is a set of members joined in a loop of ``now`` and ``iterate`` links. It advances over a window
as one (Gauss-Seidel): each pass starts from the states at the window's start, ``now`` links carry the
values of the pass, ``iterate`` links those of the pass before. The window counts once no value that an
``iterate`` link carried differs from the one that came after it by more than the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .actor import Actor
from .errors import RunError
from .loops import find_loops
from .resample import History, Part, align, stack
from .tables import Port, Table
from .windows import Joint
from .wires import LagReader, Wire


class IterateReader:
    """Reads what the source gave in the pass before; in the first pass the last value known.

    ``history`` takes what the source gives now. ``worst`` is the largest residual that was accepted.
    """

    def __init__(
        self, wire: Wire, history: History, initial: Table | None, missing: Callable[[], Exception]
    ) -> None:
        self.wire, self.history, self.initial, self.missing = wire, history, initial, missing
        self.adapt = wire.adapt()
        self.worst = 0.0
        self._before: History | None = None
        self._first: Table | None = None
        self._used: list[Part] = []

    def __call__(self, start: int, end: int) -> Table:
        if self._before is not None:
            found = self._before.over(start, end)
        elif self._first is not None:
            found = self._first
        else:
            assert self.initial is not None
            return self.initial
        return found if self.adapt is None else self.adapt(found)

    def begin(self, start: int) -> None:
        """A new window: nothing is known of it yet but what was there before."""
        self._before, self._used = None, []
        self._first = self.history.last(start)
        if self._first is None and self.initial is None:
            raise self.missing()

    def turn(self, start: int) -> float:
        """The pass is over: its residual. What it gave is what the next pass reads."""
        new = [p for p in self.history.parts if p[1] > start]
        residual = self._residual(new)
        if self._used and self.wire.relaxation != 1.0:
            pairs = _paired(self._used, new)
            new = [_blended(old, part, self.wire.relaxation, self.history.port) for old, part in pairs]
        self._used = new
        self._before = self.history.like([p for p in self.history.parts if p[1] <= start] + new)
        return residual

    def _residual(self, new: Sequence[Part]) -> float:
        """The largest change from what this pass was given to what it gave, relative to the size of the values."""
        if self._first is None and self._before is None:
            return math.inf  # a number that filled the receiver's table: not the source's own rows
        given: list[tuple[int, int, Table | None]] = [*self._used] or [
            (start, end, self._first) for start, end, _ in new
        ]
        return max(
            (_change(old, part, self._first, self.history.port) for old, part in _paired(given, new)),
            default=0.0,
        )


def _paired(old: Iterable[Any], new: Sequence[Part]) -> list[tuple[Table | None, Part]]:
    """Each part with the table of the pass before over the same span; None where spans differ."""
    known = {(start, end): table for start, end, table in old}
    return [(known.get(part[:2]), part) for part in new]


def _change(old: Table | None, part: Part, known: Table | None, port: Port) -> float:
    """Relative to the largest value of the column before, after, or known at the window's start: values may go
    to zero."""
    new = part[2]
    if old is None or (port.id is None and len(old) != len(new)):
        return math.inf
    tables = [old, new] + ([] if known is None or (port.id is None and len(known) != len(new)) else [known])
    if not len(old) or not len(new):
        return 0.0 if len(old) == len(new) else math.inf
    ids, rows = align(tables, port)
    worst = 0.0
    for name in port.value_columns:
        if all(name in t for t in tables):
            block, present = stack(tables, name, rows, len(ids))
            if (present[0] != present[1]).any():
                return math.inf
            size = float(np.abs(np.where(present, block, 0.0)).max(initial=0.0))
            if size > 0:
                worst = max(worst, float(np.abs(np.where(present[0], block[1] - block[0], 0.0)).max()) / size)
    return worst


def _blended(old: Table | None, new: Part, share: float, port: Port) -> Part:
    """``share`` of the new values and the rest of the old, where both have the same rows."""
    table = new[2]
    if old is None or len(old) != len(table):
        return new
    if port.id is not None and not np.array_equal(old[port.id], table[port.id]):
        return new
    numbers = [n for n in port.value_columns if n in table and n in old and port.columns[n].kind == "number"]
    blended = table.with_columns(**{n: old[n] + share * (table[n] - old[n]) for n in numbers})
    for name in numbers:
        if name in table.masks:
            blended = blended.with_mask(name, table.mask(name))
    return new[0], new[1], blended


@dataclass
class _Saved:
    """A member as it stood at the window's start."""

    time: int
    state: bytes | None
    rng: Any
    flags: list[Any]
    lengths: list[tuple[list[Part], int]]


class Block(Joint):
    """Members that advance as one. ``step`` is that of the slowest, which the others divide.

    ``counts`` says how many windows it ran in how many passes, and the most that one window took.
    """

    def __init__(
        self, members: Sequence[Actor], readers: Sequence[IterateReader], lagged: Sequence[LagReader]
    ) -> None:
        super().__init__(members)
        self.actors, self.readers, self.lagged = members, readers, lagged
        self.counts = {"windows": 0, "passes": 0, "most": 0}
        self._limit = max(r.wire.passes for r in readers)

    def advance(self, start: int, until: int) -> int:
        """Repeat the window until it settles. Raises ``RunError`` (not converged)."""
        saved = {m.name: self._save(m) for m in self.actors}
        lagged = [(r, r.snapshot()) for r in self.lagged]
        forget = {m.name: m.forget for m in self.actors}
        for member in self.actors:
            member.forget = []
        for reader in self.readers:
            reader.begin(start)
        try:
            for count in range(1, self._limit + 1):
                if count > 1:
                    for member in self.actors:
                        self._roll_back(member, saved[member.name])
                    for lag, state in lagged:
                        lag.roll_back(state)
                self.run_once(until)
                residuals = [(r.turn(start), r) for r in self.readers]
                if all(residual <= r.wire.tolerance for residual, r in residuals):
                    break
            else:
                raise _not_converged(residuals, start, until, self._limit)
        finally:
            for member in self.actors:
                member.forget = forget[member.name]
        for residual, reader in residuals:
            reader.worst = max(reader.worst, residual)
        for member in self.actors:
            for drop in member.forget:
                drop(until)
        counts = self.counts
        counts["windows"] += 1
        counts["passes"] += count
        counts["most"] = max(counts["most"], count)
        return until

    def _save(self, member: Actor) -> _Saved:
        lists = [h.parts for found in member.histories.values() for h in found] + list(member.parts.values())
        lengths = [(parts, len(parts)) for parts in lists]
        return _Saved(
            member.time, member.get_state(), member.context.rng_state, list(member.context.flags), lengths
        )

    def _roll_back(self, member: Actor, saved: _Saved) -> None:
        member.time = saved.time
        if saved.state is not None:
            member.set_state(saved.state)
        member.context.rng_state = saved.rng
        member.context.flags[:] = saved.flags
        for parts, length in saved.lengths:
            del parts[length:]

    def notes(self) -> dict[str, Any]:
        """For the run's record: passes per window, and the largest residual that was accepted."""
        found: dict[str, Any] = {f"residual {r.wire.origin}": r.worst for r in self.readers}
        if self.counts["windows"]:
            found[f"passes {self.name}"] = self.counts["passes"] / self.counts["windows"]
            found[f"most passes {self.name}"] = self.counts["most"]
        return found


def _not_converged(
    residuals: Sequence[tuple[float, IterateReader]], start: int, until: int, limit: int
) -> RunError:
    residual, reader = max(residuals, key=lambda found: found[0] / found[1].wire.tolerance)
    wire = reader.wire
    return RunError(
        f"{wire.origin} still changes by {residual:.3g} of its size after {limit} passes, which is more than the "
        f"tolerance {wire.tolerance:g}",
        code="not converged",
        where=f"{wire.place} ({wire.origin} -> {wire.target}.{wire.input}, [{start / 1e6:g} s, {until / 1e6:g} s))",
        fix="write relaxation: 0.5 on the link, allow more passes:, choose a smaller step, or a larger tolerance:",
    )


def find_blocks(names: Iterable[str], links: Iterable[tuple[str, str, str]]) -> list[tuple[str, ...]]:
    """The sets of members joined in a loop by ``now`` and ``iterate`` links, with an ``iterate`` link inside.

    ``links`` holds (source, target, when) of the links that carry rows window after window.
    """
    every = set(names)
    joined = [
        (s, t, when) for s, t, when in links if when in ("now", "iterate") and s in every and t in every
    ]
    inside = [(s, t) for s, t, when in joined if when == "iterate"]
    loops = find_loops(every, [(s, t) for s, t, _ in joined])
    return sorted(b for b in loops if any(s in b and t in b for s, t in inside))
