"""Aggregation over time, the only lossy code of the engine.

A value stands for its window by its cell method. Read over a longer window, means are weighted by
time, sums are added, points give the last value; read over a shorter one, a value holds. Levels in
decibels are averaged only energetically and only where that is asked for by name.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RunError, WiringError
from .tables import Column, Port, Recording, Table, empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDUCTIONS = ("mean", "sum", "min", "max", "last", "energetic")
Part = tuple[int, int, Table]


def reduction(column: Column, asked: str | None, where: str) -> str:
    """How a column is reduced over time: what was asked for, else its own cell method."""
    if asked is not None:
        if asked not in REDUCTIONS:
            raise WiringError(
                f"'{asked}' is no reduction over time",
                code="cell method",
                where=where,
                fix="write one of " + ", ".join(REDUCTIONS),
            )
        if asked in ("mean", "sum") and column.unit == "dB":
            raise WiringError(
                f"levels in dB have no {asked}",
                code="cell method",
                where=where,
                fix="write over_time: energetic (the level of the mean energy), max, min or last",
            )
        return asked
    if column.cell == "mean" and column.unit == "dB":
        raise WiringError(
            "a level in dB is averaged over time only by a stated method",
            code="cell method",
            where=where,
            fix="write over_time: energetic (the level of the mean energy), max, min or last",
        )
    return "last" if column.cell == "point" or not column.measured else column.cell


class History:
    """The windows that a port has given so far, read over any later window.

    ``parts`` are (start, end, rows) in order of time; ``methods`` names the reduction per column.
    """

    def __init__(self, port: Port, methods: Mapping[str, str], origin: np.datetime64) -> None:
        self.port = port
        self.methods = methods
        self.origin = origin
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.tables: list[Table] = []
        self._hit: tuple[int, int, Table] | None = None

    @classmethod
    def of(cls, recording: Recording, methods: Mapping[str, str], origin: np.datetime64) -> History:
        self = cls(recording.port, methods, origin)
        self.starts = recording.windows[:, 0].tolist()
        self.ends = recording.windows[:, 1].tolist()
        bounds = recording.offsets.tolist()
        self.tables = [recording.table.slice(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
        return self

    def append(self, start: int, end: int, table: Table) -> None:
        self.starts.append(start)
        self.ends.append(end)
        self.tables.append(table)

    def forget(self, before: int) -> None:
        """Drop windows that ended before ``before``, keeping the last one for holding."""
        keep = max(0, bisect_left(self.ends, before) - 1)
        if keep:
            del self.starts[:keep], self.ends[:keep], self.tables[:keep]

    def last(self, by: int) -> Table | None:
        """The last window complete by ``by``: what a lag link reads."""
        found = bisect_right(self.ends, by)
        return self.tables[found - 1] if found else None

    def over(self, start: int, end: int) -> Table:
        """The rows of the window start <= t < end."""
        first = bisect_right(self.ends, start)
        # The usual case: the source has a window that is exactly this one.
        if first < len(self.ends) and self.starts[first] == start and self.ends[first] == end:
            return self.tables[first]
        stop = bisect_left(self.starts, end)
        parts = [
            (max(self.starts[i], start), min(self.ends[i], end), self.tables[i]) for i in range(first, stop)
        ]
        if self.port.events:
            return self._events(start, end)
        if not parts:
            held = self.last(start)
            if held is None:
                return empty(self.port)
            parts = [(start, end, held)]
        if len(parts) == 1:
            return self._stamped(parts[0][2], start)
        self._refuse_split_sums(first, stop, start, end)
        return self._stamped(_reduce(parts, self.port, self.methods), start)

    def _events(self, start: int, end: int) -> Table:
        """Events belong to the window in which the source's own window ended."""
        first, stop = bisect_right(self.ends, start), bisect_right(self.ends, end)
        tables = self.tables[first:stop]
        return Table.concat(tables) if tables else empty(self.port)

    def _refuse_split_sums(self, first: int, stop: int, start: int, end: int) -> None:
        cut = self.starts[first] < start or self.ends[stop - 1] > end
        if cut and "sum" in self.methods.values():
            raise RunError(
                f"a sum over [{self.starts[first]}, {self.ends[first]}) us cannot be split at {start} us",
                code="step",
                fix="choose steps that divide one another",
            )

    def _stamped(self, table: Table, start: int) -> Table:
        name = self.port.time_column
        if name is None or not len(table):
            return table
        stamp = self.origin + np.timedelta64(start, "us")
        if table[name][0] == stamp:
            return table
        return table.with_columns(**{name: np.full(len(table), stamp)})


def _reduce(parts: Sequence[Part], port: Port, methods: Mapping[str, str]) -> Table:
    ids, rows = align([t for _, _, t in parts], port)
    weights = np.array([e - s for s, e, _ in parts], float)
    newest = parts[-1][2]
    columns: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    for name, column in port.columns.items():
        if name == port.id:
            columns[name] = ids
        elif column.measured or column.kind == "boolean":
            block, present = stack([t for _, _, t in parts], name, rows, len(ids))
            values, known = collapse(block, present, methods.get(name, "last"), weights)
            columns[name] = values if column.kind == "number" else values.astype(column.dtype)
            if not known.all():
                masks[name] = ~known
        elif rows is None:
            columns[name] = newest[name]
        else:
            columns[name] = _latest([t for _, _, t in parts], name, rows, len(ids))
    return Table(columns, masks)


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
    rows = [
        np.fromiter((known.setdefault(i, len(known)) for i in t[port.id]), np.int64, len(t)) for t in tables
    ]
    ids = np.empty(len(known), first.dtype)
    ids[:] = list(known)
    return ids, rows


def stack(
    tables: Sequence[Table], name: str, rows: list[NDArray[np.int64]] | None, count: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(values, present), both of shape (windows, entities)."""
    if rows is None:
        block = np.stack([t[name].astype(float) for t in tables])
        return block, ~np.stack([t.mask(name) for t in tables])
    block = np.zeros((len(tables), count))
    present = np.zeros((len(tables), count), bool)
    for i, (table, at) in enumerate(zip(tables, rows, strict=True)):
        block[i, at] = table[name]
        present[i, at] = ~table.mask(name)
    return block, present


def collapse(
    block: NDArray[Any], present: NDArray[np.bool_], method: str, weights: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Reduce over the first axis; (values, known). Means run over what is present."""
    known: NDArray[np.bool_] = np.any(present, axis=0)  # type: ignore[assignment]
    if not len(block):
        return np.zeros(block.shape[1]), known
    if method == "sum":
        return np.where(present, block, 0.0).sum(axis=0), known
    if method in ("mean", "energetic"):
        block = np.where(present, block, 0.0)
        weight = np.where(present, weights[:, None], 0.0)
        total = weight.sum(axis=0)
        energy = 10.0 ** (block / 10.0) if method == "energetic" else block
        mean = (energy * weight).sum(axis=0) / np.where(total > 0, total, 1.0)
        return (10.0 * np.log10(np.where(known, mean, 1.0)) if method == "energetic" else mean), known
    if method in ("min", "max"):
        fill = np.inf if method == "min" else -np.inf
        values = getattr(np.where(present, block, fill), method)(axis=0)
        return np.where(known, values, 0.0), known
    if method == "last":
        at = block.shape[0] - 1 - present[::-1].argmax(axis=0)
        return block[at, np.arange(block.shape[1])], known
    raise RunError(f"'{method}' is no reduction over time", code="cell method")


def _latest(tables: Sequence[Table], name: str, rows: list[NDArray[np.int64]], count: int) -> NDArray[Any]:
    found = np.empty(count, tables[0][name].dtype)
    for table, at in zip(tables, rows, strict=True):
        found[at] = table[name]
    return found


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
    """A source's rows as windows: each instant opens one, until the next instant or for ``step``."""
    name = port.time_column
    if name is None or port.at == "start":
        return Recording.of(port, [(0, 0, table)])
    micros = (table[name] - origin).astype(np.int64)
    order = np.argsort(micros, kind="stable")
    table, micros = table.take(order), micros[order]
    instants, first = np.unique(micros, return_index=True)
    bounds = np.append(first, len(table))
    parts: list[Part] = []
    for i, begin in enumerate(instants.tolist()):
        following = int(instants[i + 1]) if i + 1 < len(instants) else end
        until = begin + step if step is not None else max(following, begin)
        parts.append((begin, until, table.slice(int(bounds[i]), int(bounds[i + 1]))))
    return Recording.of(port, parts)
