"""A small twin in memory that a viewer can be asked to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

import ldt_core as ldt
from ldt_core.scene import DataField, DataRef, Kpi, RunRef

REDUCE = {
    "mean": np.nanmean,
    "sum": np.nansum,
    "min": np.nanmin,
    "max": np.nanmax,
    "last": lambda values, axis: np.take(values, -1, axis=axis),
}


@dataclass
class Variable:
    """``values[run]`` has the shape (replicates, windows, places); NaN where there is no value."""

    info: ldt.Info
    places: ldt.Table
    id: str
    values: Mapping[str, Any]
    credits: list[str] = field(default_factory=lambda: ["Example town, CC BY 4.0"])
    synthetic: list[str] = field(default_factory=list)


class MemoryView(ldt.View):
    def __init__(
        self,
        runs: Sequence[RunRef],
        variables: Mapping[str, Variable],
        kpis: Sequence[Kpi] = (),
        *,
        show: Sequence[str] | None = None,
        flags: Mapping[str, list[ldt.Flag]] | None = None,
        zone: str = "Europe/Rome",
        medium: Literal["app", "notebook", "html", "print", "png"] = "html",
        budget: int = 50_000_000,
        step: str = "15min",
    ) -> None:
        self.title, self.runs, self.kpis = "Old town", list(runs), list(kpis)
        self.variables = dict(variables)
        self.show = list(variables) if show is None else list(show)
        self.crs, self.bounds, self.zone, self.locale = "EPSG:25832", None, zone, "en"
        self.start, self.end = "2026-03-02T05:00:00Z", "2026-03-02T10:00:00Z"
        self.audience, self.medium, self.budget = "planner", medium, budget
        self.step = ldt.parse_duration(step)
        self.published: dict[str, ldt.Table] = {}
        self._flags = flags or {}

    def _variable(self, ref: str) -> Variable:
        if ref not in self.variables:
            raise ldt.NotFound(f"there is no '{ref}'", where=ref)
        return self.variables[ref]

    def info(self, ref: str) -> ldt.Info:
        return self._variable(ref).info

    def _reduced(self, ref: str, run: str, time: str) -> Any:
        """(replicates, places)."""
        values = np.asarray(self._variable(ref).values[run], float)
        if values.shape[1] == 0:
            return np.full((values.shape[0], values.shape[2]), np.nan)
        return _quietly(REDUCE[time], values, axis=1)

    def values(self, ref: str, run: str, time: str = "mean") -> ldt.Table:
        return self._by_place(ref, self._reduced(ref, run, time))

    def paired(self, ref: str, run: str, time: str = "mean") -> ldt.Table:
        return self._by_place(
            ref, self._reduced(ref, run, time) - self._reduced(ref, self.runs[0].name, time)
        )

    def _by_place(self, ref: str, values: Any) -> ldt.Table:
        variable = self._variable(ref)
        return _spread({variable.id: variable.places[variable.id]}, values)

    def series(self, ref: str, run: str, space: str = "mean") -> ldt.Table:
        values = np.asarray(self._variable(ref).values[run], float)
        if values.shape[2] == 0:
            reduced = np.full(values.shape[:2], np.nan)
        else:
            reduced = _quietly(REDUCE[space], values, axis=2)
        start = np.datetime64(self.start.removesuffix("Z"), "us")
        return _spread(
            {"time": start + np.arange(values.shape[1]) * np.timedelta64(self.step, "us")}, reduced
        )

    def places(self, ref: str, run: str | None = None) -> ldt.Table:
        return self._variable(ref).places

    def credits(self, ref: str) -> list[str]:
        return self._variable(ref).credits

    def synthetic(self, ref: str) -> list[str]:
        return self._variable(ref).synthetic

    def flags(self, run: str) -> list[ldt.Flag]:
        return self._flags.get(run, [])

    def publish(
        self, id: str, table: ldt.Table, *, port: ldt.Port, source: Sequence[str] = (), crs: str | None = None
    ) -> DataRef:
        assert id not in self.published, f"{id} was published twice"
        table = ldt.check(table, port, id)
        self.published[id] = table
        return DataRef(
            id=id,
            sha256=table.digest,
            rows=len(table),
            crs=crs,
            fields=[
                DataField(name=n, kind=c.kind, unit=c.unit, quantity=c.quantity, title=c.description)
                for n, c in port.columns.items()
            ],
            synthetic=" ".join(s for ref in source for s in self.synthetic(ref)) or None,
        )


def _quietly(reduce: Callable[..., Any], values: Any, axis: int) -> Any:
    """Over slices without any value, numpy warns; here they stay without one."""
    empty = np.isnan(values).all(axis=axis)
    reduced = reduce(np.where(np.expand_dims(empty, axis), 0.0, values), axis=axis)
    return np.where(empty, np.nan, reduced)


def _spread(key: dict[str, Any], values: Any) -> ldt.Table:
    columns: dict[str, Any] = dict(key)
    masks = {}
    for name, reduce in (("value", np.nanmean), ("low", np.nanmin), ("high", np.nanmax)):
        reduced = _quietly(reduce, values, axis=0)
        columns[name] = np.nan_to_num(reduced)
        masks[name] = np.isnan(reduced)
    return ldt.Table(columns, masks)


@pytest.fixture(scope="session")
def make_view() -> type[MemoryView]:
    return MemoryView


@pytest.fixture(scope="session")
def make_variable() -> Callable[..., Variable]:
    """A variable of street edges: ``make(values, **changes of Info)``."""

    def make(
        values: Mapping[str, Any], places: ldt.Table | None = None, id: str = "edge", **changes: Any
    ) -> Variable:
        ref = changes.pop("ref", "traffic.flow.flow")
        component, port, column = ref.split(".")
        count = np.asarray(next(iter(values.values()))).shape[2]
        info = ldt.Info(
            ref=ref,
            component=component,
            port=port,
            column=column,
            unit="{veh}/h",
            quantity="x:traffic_flow",
            cell="mean",
            title="Traffic flow",
            geometry="line",
        )._replace(**{k: v for k, v in changes.items() if k in ldt.Info._fields})
        rest = {k: v for k, v in changes.items() if k not in ldt.Info._fields}
        if places is None:
            places = ldt.Table({id: np.array([f"e{i}" for i in range(count)], object)})
        return Variable(info, places, id, values, **rest)

    return make
