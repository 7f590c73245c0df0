"""What a simulator is given when it is judged: at the start, and in any window, as the engine would read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.interfaces import AnyPort
from ldt_core.resample import History, reduction, split_by_time
from ldt_core.tables import Recording

from .drivers.base import Subject
from .generate import example_inputs
from .trial import CannotTell, Trial


def methods_of(port: ldt.Port) -> dict[str, str]:
    """How each column is read over a longer window: by its cell method; levels in dB by their energy."""
    measured = {n: c for n, c in port.columns.items() if n != port.id and c.kind != "instant"}
    levels = [n for n, c in measured.items() if c.unit == "dB" and c.cell in ("mean", "sum")]
    return {n: reduction(c, "energetic" if n in levels else None, n) for n, c in measured.items()}


class Given:
    """A simulator's inputs: ``start`` for ``initialize``, ``over`` for any window. What the example does not give is made
    up from its port, unless it is optional.

    A table without a time column, or whose rows are all of one instant, is held: it is given in every window, and
    amounts (``sum``) are shared out by the window's length, the example's step being the whole. The rows of any other
    table hold until the next instant, as those of a source do.
    """

    def __init__(self, trial: Trial, subject: Subject) -> None:
        self.example = trial.example
        self.inputs, self.outputs = subject.ports()
        self.tables: dict[str, ldt.Table] = {}
        made = example_inputs(trial, self.inputs)
        for name in made:
            port = _as_port(self.inputs[name])
            table = self.example.inputs.get(name, made[name])
            try:
                self.tables[name] = _as_table(ldt.check(table, port, f"inputs.{name}"))
            except ldt.InputError as exc:
                raise CannotTell(f"the example's input does not fit its port: {exc}") from exc
        self.start = {n: t for n, t in self.tables.items() if self.inputs[n].at == "start"}
        self._histories = {
            n: History.of(self.recording(n), methods_of(_as_port(self.inputs[n])), self.example.start)
            for n in self.stepped
            if not self._held(n)
        }

    @property
    def stepped(self) -> list[str]:
        """The inputs of every step."""
        return [n for n in self.tables if n not in self.start]

    def _held(self, name: str) -> bool:
        port, table = _as_port(self.inputs[name]), self.tables[name]
        if port.time_column is None or port.events:
            return not port.events
        return len(np.unique(table[port.time_column])) < 2

    def recording(self, name: str) -> Recording:
        """One input as another stage would have left it in the store."""
        e, port, table = self.example, _as_port(self.inputs[name]), self.tables[name]
        sums = any(c.measured and c.cell == "sum" for c in port.columns.values())
        end, step = e.step * e.windows, e.step if sums else None
        if name in self.start:
            return Recording.of(port, [(0, 0, table)])
        if not self._held(name):
            return split_by_time(port, table, e.start, end, step)
        windows = [(t, min(t + (step or end), end)) for t in range(0, end, step or end)]
        return Recording.of(
            port, [(a, b, self.scaled(port, table, (b - a) / e.step if sums else 1.0, a)) for a, b in windows]
        )

    def over(self, start: int, until: int) -> dict[str, ldt.Table]:
        """The tables of one window (us from the start)."""
        found = {}
        for name in self.stepped:
            if name in self._histories:
                try:
                    found[name] = self._histories[name].over(start, until)
                except ldt.RunError as exc:
                    raise CannotTell(f"the example's '{name}' cannot be read: {exc.what}") from exc
            else:
                port, table = _as_port(self.inputs[name]), self.tables[name]
                found[name] = self.scaled(port, table, (until - start) / self.example.step, start)
        return found

    def scaled(self, port: ldt.Port, table: ldt.Table, share: float, start: int) -> ldt.Table:
        """The same forcing over a window of ``share`` of the length that begins at ``start``."""
        changes: dict[str, Any] = {}
        if port.time_column is not None:
            stamp = self.example.start + np.timedelta64(start, "us")
            changes[port.time_column] = np.full(len(table), stamp)
        if share != 1.0:
            sums = [n for n, c in port.columns.items() if c.measured and c.cell == "sum"]
            changes |= {n: _shared(table[n], share) for n in sums}
        masks = {n: m for n, m in table.masks.items() if n in changes}
        table = table.with_columns(**changes) if changes else table
        for name, mask in masks.items():
            table = table.with_mask(name, mask)
        return table

    def steady(self, start: int, until: int) -> Callable[[int, int], dict[str, ldt.Table]]:
        """Inputs that stay what they are from ``start`` to ``until``, over any window; events happen when they do."""
        first = self.over(start, until)

        def over(a: int, b: int) -> dict[str, ldt.Table]:
            share, now = (b - a) / (until - start), self.over(a, b)
            ports = {n: _as_port(self.inputs[n]) for n in first}
            return {n: now[n] if p.events else self.scaled(p, first[n], share, a) for n, p in ports.items()}

        return over


def _shared(values: Any, share: float) -> Any:
    return values * share if values.dtype.kind == "f" else np.rint(values * share).astype(values.dtype)


def _as_port(port: AnyPort) -> ldt.Port:
    if not isinstance(port, ldt.Port):
        raise CannotTell("the suite gives no grids to a simulator yet")
    return port


def _as_table(data: Any) -> ldt.Table:
    assert isinstance(data, ldt.Table)
    return data
