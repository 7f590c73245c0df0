"""What flows over the links: one wire per link, several wires into one input, and a lag link's first value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from .adapters import Adapter
from .resample import History, align, stack
from .tables import Checker, Port, Table

Read = Callable[[int, int], Table]
"""The rows of the window start <= t < end."""


@dataclass(frozen=True)
class Wire:
    """One link with all that is needed to read over it.

    ``methods`` reduce the source's columns over time, ``select`` names the columns that the target
    wants where the source has more, ``verify`` is the target's port where the source promises less.
    ``tolerance``, ``relaxation`` and ``passes`` are those of an iterate link.
    """

    source: str
    port: str
    target: str
    input: str
    when: str = "now"
    methods: Mapping[str, str] = field(default_factory=dict)
    adapter: Adapter = field(default_factory=Adapter)
    init: float | int | str | bool | None = None
    merge: str | None = None
    place: str = ""
    verify: Port | None = None
    select: tuple[str, ...] = ()
    tolerance: float = 1e-6
    relaxation: float = 1.0
    passes: int = 50

    @property
    def origin(self) -> str:
        return f"{self.source}.{self.port}"

    def adapt(self) -> Callable[[Table], Table] | None:
        """From the source's rows to those that the target wants; None where they are the same."""
        steps: list[Callable[[Table], Table]] = []
        if not self.adapter.identity:
            steps.append(self.adapter.apply)
        if self.verify is not None:
            checker = Checker(self.verify, f"{self.origin} -> {self.target}.{self.input}")
            steps.append(cast(Callable[[Table], Table], checker))
        elif self.select:
            steps.append(lambda table: table.select(*self.select))
        if len(steps) < 2:
            return steps[0] if steps else None
        first, second = steps
        return lambda table: second(first(table))

    def read(self, table: Table) -> Table:
        adapt = self.adapt()
        return table if adapt is None else adapt(table)


class LagReader:
    """Reads the last window complete by the reader's start, and notes how much it changes.

    ``worst`` is the largest relative change from one window read to the next, ``found`` the last one read.
    """

    def __init__(
        self, wire: Wire, history: History, initial: Table | None, missing: Callable[[], Exception]
    ) -> None:
        self.wire, self.history, self.initial, self.missing = wire, history, initial, missing
        self.adapt = wire.adapt()
        self.worst = 0.0
        self.found: Table | None = None
        self._given: Table | None = None

    def __call__(self, start: int, end: int) -> Table:
        found = self.history.last(start)
        if found is None:
            if self.initial is None:
                raise self.missing()
            return self.initial
        if found is not self.found or self._given is None:
            if self.found is not None:
                self.worst = max(self.worst, largest_change(self.found, found, self.history.port))
            self.found = found
            self._given = found if self.adapt is None else self.adapt(found)
        return self._given

    def snapshot(self) -> tuple[Any, ...]:
        """What ``roll_back`` takes, where a window is repeated."""
        return self.worst, self.found, self._given

    def roll_back(self, snapshot: tuple[Any, ...]) -> None:
        self.worst, self.found, self._given = snapshot


def largest_change(before: Table, after: Table, port: Port) -> float:
    """The largest change of a value, relative to the largest value of its column before."""
    if not len(before) or not len(after) or (port.id is None and len(before) != len(after)):
        return 0.0
    ids, rows = align([before, after], port)
    worst = 0.0
    for name in port.value_columns:
        if name in before and name in after:
            (old, new), present = stack([before, after], name, rows, len(ids))
            both = present.all(axis=0)
            if both.any():
                size = max(float(np.abs(old[both]).max()), 1e-12)
                worst = max(worst, float(np.abs(new[both] - old[both]).max()) / size)
    return worst


def merged(reads: Sequence[Read], merge: str | None, port: Port) -> Read:
    """One reader of several wires into one input."""

    def read(start: int, end: int) -> Table:
        return merge_tables([r(start, end) for r in reads], merge, port)

    return read


def merge_tables(tables: Sequence[Table], merge: str | None, port: Port) -> Table:
    """Rows one after the other, or added up entity by entity."""
    if len(tables) == 1:
        return tables[0]
    if merge == "sum":
        return _added(tables, port)
    return Table.concat(t.select(*port.columns) for t in tables)


def _added(tables: Sequence[Table], port: Port) -> Table:
    """The sum of what is there; missing only where every table misses it."""
    ids, rows = align(tables, port)
    columns: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for name, column in port.columns.items():
        if name == port.id:
            columns[name] = ids
        elif column.measured:
            block, present = stack(tables, name, rows, len(ids), column.dtype)
            columns[name] = np.where(present, block, np.zeros((), column.dtype)).sum(axis=0)
            known = present.any(axis=0)
            if not known.all():
                masks[name] = ~known
        elif rows is None:
            columns[name] = tables[0][name]
        else:
            columns[name], masks[name] = _first(tables, name, rows, len(ids))
    return Table(columns, masks)


def _first(tables: Sequence[Table], name: str, rows: Sequence[Any], count: int) -> tuple[Any, Any]:
    """Each entity's value in the first table that has it."""
    found = np.empty(count, tables[0][name].dtype)
    missing = np.ones(count, bool)
    for table, at in zip(reversed(tables), reversed(rows), strict=True):
        found[at] = table[name]
        missing[at] = table.mask(name)
    return found, missing


def fill(port: Port, value: Any, ids: Any, start: np.datetime64) -> Table:
    """``value`` in every column of every entity: what a lag link gives before its source has run."""
    rows = 1 if ids is None else len(ids)
    columns: dict[str, Any] = {}
    for name, column in port.columns.items():
        if name == port.id:
            columns[name] = ids
        elif column.kind == "instant":
            columns[name] = np.full(rows, start)
        else:
            columns[name] = np.full(rows, value, column.dtype)
    return Table(columns)


def in_order(wires: Iterable[Wire]) -> list[Wire]:
    """One order whatever the order in the twin file: sums of floats depend on it."""
    return sorted(wires, key=lambda w: (w.target, w.input, w.source, w.port, w.place))
