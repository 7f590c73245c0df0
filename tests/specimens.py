"""Components whose ports are written in their parameters, so that a twin file can join anything to anything.

The test suite installs this file as the package ``ldt_specimens``: see ``conftest.specimens``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

import ldt_core as ldt
from ldt_core import scene, tables


class PortParams(ldt.Params):
    """Ports as ``tables.port_as_dict`` writes them."""

    inputs: dict[str, dict[str, Any]] = {}
    outputs: dict[str, dict[str, Any]] = {}
    rows: int = 2
    level: float = 1.0
    speed: Annotated[float, ldt.unit("m/s")] = 1.0
    stops: list[int] = []
    either: int | list[int] = 0
    token: ldt.Secret | None = None


class _Specimen(ldt.Component):
    dynamic = True
    Params = PortParams

    def ports(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        made = [
            {n: tables.port_from_dict(p) for n, p in side.items()}
            for side in (self.params.inputs, self.params.outputs)
        ]
        return made[0], made[1]

    def rows(self, at: str, window: ldt.Window | None = None) -> dict[str, ldt.Table]:
        """Rows that fit every output port: ids e0, e1, ..., the level in every number."""
        found = {}
        for name, port in self.ports()[1].items():
            if port.at == at:
                stamp = self.context.instant(0 if window is None else window.start)
                found[name] = ldt.Table({n: self._values(c, stamp) for n, c in port.columns.items()})
        return found

    def _values(self, column: ldt.Column, stamp: np.datetime64) -> Any:
        import shapely

        n = self.params.rows
        if column.kind == "instant":
            return np.full(n, stamp)
        if column.kind == "text":
            return [f"e{i}" for i in range(n)]
        if column.kind == "geometry":
            return [shapely.Point(600_000 + i, 5_700_000 + i) for i in range(n)]
        return np.full(n, self.params.level, column.dtype)


class Well(_Specimen, ldt.DataSource):
    """A source: every port once at the start of the run."""

    id = "well"

    def read(self, query: ldt.Query) -> dict[str, ldt.Table]:
        return self.rows("start") | self.rows("step")


class Mill(_Specimen, ldt.Simulator):
    """A simulator."""

    id = "mill"

    def initialize(self, inputs: ldt.Tables) -> dict[str, ldt.Table]:
        return self.rows("start")

    def step(self, inputs: ldt.Tables, until: int) -> dict[str, ldt.Table]:
        return self.rows("step", self.context.window)


class Dice(Mill):
    """A simulator with chance."""

    id = "dice"
    stochastic = True


class Keeper(Mill):
    """A simulator that can save its state where its level is not above 1, and claims too much above 2."""

    id = "keeper"

    def capabilities(self) -> frozenset[str]:
        if self.params.level > 2:
            return frozenset({"state", "levitation"})
        return super().capabilities() if self.params.level <= 1 else frozenset()

    def get_state(self) -> bytes:
        return b""

    def set_state(self, state: bytes) -> None:
        assert state == b""


class Sieve(_Specimen, ldt.Model):
    """A model."""

    id = "sieve"

    def compute(self, inputs: ldt.Tables) -> dict[str, ldt.Table]:
        return self.rows("step", self.context.window) | self.rows("start")


class Fussy(_Specimen, ldt.Model):
    """A model whose ports cannot be found out."""

    id = "fussy"

    def ports(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if self.params.level > 1:
            raise ldt.ParamError("level is above 1", code="bad value", fix="write 1 or less")
        raise KeyError("no such header")

    def compute(self, inputs: ldt.Tables) -> dict[str, ldt.Table]:
        return {}


class Glass(ldt.Viewer):
    """A viewer with nothing in it."""

    id = "glass"

    class Params(ldt.Params):
        colour: str = "blue"

    def render(self, view: ldt.View) -> scene.Scene:
        raise ldt.Unsupported("nothing to see")


@ldt.hookimpl
def ldt_data_sources() -> list[type[ldt.DataSource]]:
    return [Well]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    return [Mill, Dice, Keeper]


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Sieve, Fussy]


@ldt.hookimpl
def ldt_viewers() -> list[type[ldt.Viewer]]:
    return [Glass]
