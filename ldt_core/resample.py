"""Aggregation over time, the only lossy code of the engine.

A value stands for its window by its cell method. Read over a longer window, means are weighted by
time, sums are added, points give the last value; read over a shorter one, a value holds. Levels in
decibels are averaged only energetically and only where that is asked for by name.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RunError, WiringError
from .tables import Column, Port, Recording, Table, empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDUCTIONS = ("mean", "sum", "min", "max", "last", "energetic")
UNSTATED = "not stated"
"""The reduction of a level in decibels for which no method was asked: it can hold, and no more."""
LEVEL_FIX = "write over_time: energetic (the level of the mean energy), max, min or last"
Part = tuple[int, int, Table]
_START, _END = itemgetter(0), itemgetter(1)


def reduction(column: Column, asked: str | None, where: str) -> str:
    """How a column is reduced over time: what was asked for, else its own cell method."""
    if asked is not None:
        if asked not in REDUCTIONS:
            raise _refused(
                f"'{asked}' is no reduction over time", where, "write one of " + ", ".join(REDUCTIONS)
            )
        if asked in ("mean", "sum") and column.unit == "dB":
            raise _refused(f"levels in dB have no {asked}", where, LEVEL_FIX)
        if asked == "energetic" and column.unit != "dB":
            raise _refused("the energetic mean is one of levels in dB", where, "write over_time: mean")
        if asked == "sum" and column.cell not in ("sum", "point"):
            raise _refused(
                f"a {column.cell} has no sum over time", where, "use a column that is a sum over its window"
            )
        return asked
    if column.cell == "point" or not column.measured:
        return "last"
    return UNSTATED if column.cell in ("mean", "sum") and column.unit == "dB" else column.cell


def refuse_unstated(name: str, where: str) -> WiringError:
    """The error where a level would be averaged though nobody said how."""
    return _refused(
        f"'{name}' is a level in dB, averaged over time only by a stated method", where, LEVEL_FIX
    )


def _refused(what: str, where: str, fix: str) -> WiringError:
    return WiringError(what, code="cell method", where=where, fix=fix)


class History:
    """The windows that a port has given so far, read over any later window.

    Windows follow one another in time and do not overlap. ``methods`` names the reduction per
    column; columns without one are not read, apart from the id and the time.
    """

    def __init__(self, port: Port, methods: Mapping[str, str], origin: np.datetime64) -> None:
        kept = {n: c for n, c in port.columns.items() if n in methods or n in (port.id, port.time_column)}
        self.port = port
        self.kept = kept
        self.methods = methods
        self.origin = origin
        self.parts: list[Part] = []
        # Lag readers see a window when it was due: an early end is known only to who happens to run later.
        self.planned = False
        # A value of an instant holds until the next; an amount or a mean belongs to its window alone.
        self._holds = all(m == "last" for m in methods.values())
        self._next = 0

    @classmethod
    def of(cls, recording: Recording, methods: Mapping[str, str], origin: np.datetime64) -> History:
        self = cls(recording.port, methods, origin)
        bounds, table = recording.offsets.tolist(), recording.table
        self.parts = [
            (start, end, table.slice(a, b))
            for (start, end), (a, b) in zip(recording.windows.tolist(), pairwise(bounds), strict=True)
        ]
        return self

    def like(self, parts: list[Part]) -> History:
        """The same port and methods, with other windows."""
        other = History(self.port, self.methods, self.origin)
        other.parts = parts
        return other

    def append(self, start: int, end: int, table: Table) -> None:
        self.parts.append((start, end, table))

    def forget(self, by: int) -> None:
        """Drop what ended by ``by``: a ``now`` reader has its source's windows up to the end of its own."""
        parts = self.parts
        while parts and parts[0][1] <= by:
            del parts[0]
        self._next = 0

    def forget_all_but_last(self, by: int) -> None:
        """Drop what ended by ``by`` apart from the last: all that a ``lag`` reader may ask for."""
        parts = self.parts
        while len(parts) > 1 and parts[1][1] <= by:
            del parts[0]

    def last(self, by: int) -> Table | None:
        """The last window complete by ``by``: what a lag link reads."""
        found = bisect_right(self.parts, by, key=_END)
        return self.parts[found - 1][2] if found else None

    def over(self, start: int, end: int) -> Table:
        """The rows of the window start <= t < end."""
        parts, at = self.parts, self._next
        # The usual case: the source's next window is exactly this one.
        if at < len(parts):
            part = parts[at]
            if part[1] == end and part[0] == start:
                self._next = at + 1
                return part[2]
        if self.port.events:
            return self._events(start, end)
        first, stop = bisect_right(parts, start, key=_END), bisect_left(parts, end, key=_START)
        self._next = stop
        if stop <= first:
            held = self.last(start) if self._holds else None
            return empty(self.port) if held is None else self._stamped(held, start, end)
        if parts[first][0] < start or parts[stop - 1][1] > end:
            self._refuse_split_sums(parts[first][0], parts[stop - 1][1], start, end)
        if stop - first == 1:
            return self._stamped(parts[first][2], start, end)
        within = [(max(a, start), min(b, end), table) for a, b, table in parts[first:stop]]
        return self._stamped(self._reduced(within), start, end)

    def _events(self, start: int, end: int) -> Table:
        """Events belong to the window in which the source's own window ended."""
        first, stop = (bisect_right(self.parts, t, key=_END) for t in (start, end))
        tables = [table for _, _, table in self.parts[first:stop]]
        return Table.concat(tables) if tables else empty(self.port)

    def _refuse_split_sums(self, first: int, last: int, start: int, end: int) -> None:
        if "sum" in self.methods.values():
            raise RunError(
                f"sums over windows from {first / 1e6:g} s to {last / 1e6:g} s cannot be read from "
                f"{start / 1e6:g} s to {end / 1e6:g} s",
                code="step",
                fix="choose steps that divide one another",
            )

    def _reduced(self, parts: Sequence[Part]) -> Table:
        unstated = next((n for n, m in self.methods.items() if m == UNSTATED), None)
        if unstated is not None:
            raise refuse_unstated(unstated, "")
        return reduce_parts(parts, self.port, self.kept, self.methods)

    def _stamped(self, table: Table, start: int, end: int) -> Table:
        """Rows over a window carry its start; what holds at an instant inside it keeps that instant."""
        name = self.port.time_column
        if name is None or not len(table):
            return table
        stamp, times = self.origin + np.timedelta64(start, "us"), table[name]
        if (times == stamp).all():
            return table
        if self._holds:
            inside = (times >= stamp) & (times <= self.origin + np.timedelta64(end, "us"))
            if inside.all():
                return table
        return table.with_columns(**{name: np.full(len(table), stamp)})


def reduce_parts(
    parts: Sequence[Part], port: Port, columns: Mapping[str, Column], methods: Mapping[str, str]
) -> Table:
    """One row per entity that was there in any part; means run over the time that it was there."""
    tables = [t for _, _, t in parts]
    ids, rows = align(tables, port)
    weights = np.array([e - s for s, e, _ in parts], float)
    newest = parts[-1][2]
    found: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        method = methods.get(name, "last")
        if name == port.id:
            found[name] = ids
        elif column.kind in ("number", "integer", "boolean"):
            whole = column.kind != "number" and method not in ("mean", "energetic")
            block, present = stack(tables, name, rows, len(ids), column.dtype if whole else None)
            values, known = collapse(block, present, method, weights)
            found[name] = values.astype(column.dtype) if whole else values
            if not known.all():
                masks[name] = ~known
        elif rows is None:
            found[name] = newest[name]
            if name in newest.masks:
                masks[name] = newest.mask(name)
        else:
            found[name], missing = _latest(tables, name, rows, len(ids))
            if missing.any():
                masks[name] = missing
    return Table(found, masks)


def align(tables: Sequence[Table], port: Port) -> tuple[NDArray[Any], list[NDArray[np.int64]] | None]:
    """The ids of all tables, and the row of each table's entities in them (None: all alike)."""
    if port.id is None:
        if len({len(t) for t in tables}) == 1:
            return np.arange(len(tables[0])), None
        raise RunError(
            "rows without an id cannot be averaged when their number changes",
            code="contract broken",
            fix="declare entity= and id= on the port, or events=True",
        )
    first = tables[0][port.id]
    if all(t[port.id] is first or np.array_equal(t[port.id], first) for t in tables[1:]):
        return first, None
    known: dict[Any, int] = {}
    rows = []
    for table in tables:
        ids = table[port.id].tolist()
        rows.append(np.fromiter((known.setdefault(i, len(known)) for i in ids), np.int64, len(ids)))
        if len(set(ids)) < len(ids):
            twice = next(i for n, i in enumerate(ids) if i in ids[:n])
            raise RunError(
                f"'{twice}' stands twice in one window, where '{port.id}' names each '{port.entity}' once",
                code="contract broken",
                fix="give one row per entity and window, or declare events=True",
            )
    every = np.empty(len(known), first.dtype)
    every[:] = list(known)
    return every, rows


def stack(
    tables: Sequence[Table],
    name: str,
    rows: list[NDArray[np.int64]] | None,
    count: int,
    dtype: np.dtype[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(values, present), both of shape (windows, entities)."""
    kind = np.dtype(np.float64) if dtype is None else dtype
    block = np.zeros((len(tables), count), kind)
    present = np.zeros((len(tables), count), bool)
    for i, table in enumerate(tables):
        at = slice(None) if rows is None else rows[i]
        block[i, at] = table[name]
        present[i, at] = ~table.mask(name)
    return block, present


def collapse(
    block: NDArray[Any], present: NDArray[np.bool_], method: str, weights: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Reduce over the first axis; (values, known). Means run over what is present.

    ``weights`` has one value per row of ``block``, or one per value. A mean over no weight at all
    is not known.
    """
    known: NDArray[np.bool_] = np.any(present, axis=0)
    if not len(block):
        return np.zeros(block.shape[1]), known
    if method == "sum":
        return np.where(present, block, np.zeros((), block.dtype)).sum(axis=0), known
    if method in ("mean", "energetic"):
        block = np.where(present, block, 0.0)
        weight = np.where(present, weights if weights.ndim == 2 else weights[:, None], 0.0)
        total = weight.sum(axis=0)
        known = known & (total > 0)
        energy = 10.0 ** (block / 10.0) if method == "energetic" else block
        mean = (energy * weight).sum(axis=0) / np.where(known, total, 1.0)
        return (10.0 * np.log10(np.where(known, mean, 1.0)) if method == "energetic" else mean), known
    if method in ("min", "max"):
        fill = _limit(block.dtype, largest=method == "min")
        values = getattr(np.where(present, block, fill), method)(axis=0)
        return np.where(known, values, np.zeros((), block.dtype)), known
    if method == "last":
        at = block.shape[0] - 1 - present[::-1].argmax(axis=0)
        return block[at, np.arange(block.shape[1])], known
    raise RunError(f"'{method}' is no reduction over time", code="cell method")


def _limit(dtype: np.dtype[Any], *, largest: bool) -> Any:
    if dtype.kind == "i":
        return np.iinfo(dtype).max if largest else np.iinfo(dtype).min
    return dtype.type(largest) if dtype.kind == "b" else dtype.type(np.inf if largest else -np.inf)


def _latest(
    tables: Sequence[Table], name: str, rows: list[NDArray[np.int64]], count: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    found = np.empty(count, tables[0][name].dtype)
    missing = np.zeros(count, bool)
    for table, at in zip(tables, rows, strict=True):
        found[at] = table[name]
        missing[at] = table.mask(name)
    return found, missing


def per_entity(
    recording: Recording, column: str, method: str
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """(ids, values, known) of one column reduced over the whole recording."""
    parts = [
        (int(s), int(e), recording.window(i)) for i, (s, e) in enumerate(recording.windows) if e > s
    ] or [(0, 1, recording.table)]
    tables = [t for _, _, t in parts]
    ids, rows = align(tables, recording.port)
    block, present = stack(tables, column, rows, len(ids))
    weights = np.array([e - s for s, e, _ in parts], float)
    values, known = collapse(block, present, method, weights)
    return ids, values, known


def split_by_time(port: Port, table: Table, origin: np.datetime64, end: int, step: int | None) -> Recording:
    """A source's rows as windows: each instant opens one, until the next instant, or for ``step`` at most.

    The window of events is their instant alone (one microsecond), so that each is read where it happened.
    """
    name = port.time_column
    if name is None or port.at == "start":
        return Recording.of(port, [(0, 0, table)])
    micros = (table[name] - origin).astype(np.int64)
    order = np.argsort(micros, kind="stable")
    table, micros = table.take(order), micros[order]
    instants, first = np.unique(micros, return_index=True)
    bounds = np.append(first, len(table))
    longest = 1 if port.events else end if step is None else step
    parts: list[Part] = []
    for i, begin in enumerate(instants.tolist()):
        following = int(instants[i + 1]) if i + 1 < len(instants) else max(end, begin + 1)
        until = min(begin + longest, following)
        parts.append((begin, until, table.slice(int(bounds[i]), int(bounds[i + 1]))))
    return Recording.of(port, parts)


def thinned(recording: Recording, every: int, end: int, origin: np.datetime64) -> Recording:
    """The recording in windows of ``every`` microseconds, each column reduced by its own cell method."""
    port = recording.port
    methods = {n: reduction(c, None, n) for n, c in port.columns.items() if n != port.id}
    history = History.of(recording, methods, origin)
    windows = [(t, min(t + every, end)) for t in range(0, end, every)]
    return Recording.of(port, [(a, b, history.over(a, b)) for a, b in windows])
