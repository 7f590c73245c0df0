"""Electric cars that arrive, charge, and wait: the demand that traffic brings to a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

import ldt_core as ldt

from . import ports


class Droop(ldt.Params):
    """Chargers draw less as the voltage falls: all above ``full``, nothing below ``none``, a straight line between."""

    full: float = ldt.Field(0.95, gt=0, le=2, description="of the rated voltage")
    none: float = ldt.Field(0.88, gt=0, le=2)

    @model_validator(mode="after")
    def _in_order(self) -> Droop:
        if self.none >= self.full:
            raise ValueError("none lies below full")
        return self


class ChargingParams(ldt.Params):
    buses: list[str] = ldt.Field(
        [], description="where there are chargers; all buses with loads where none is named"
    )
    share: float = ldt.Field(0.3, ge=0, le=1, description="of arriving vehicles that plug in")
    energy: Annotated[float, ldt.unit("kW.h")] = ldt.Field(8.0, ge=0, description="that each takes")
    power: Annotated[float, ldt.unit("kW")] = ldt.Field(11.0, gt=0, description="of one charger")
    droop: Droop | None = ldt.Field(None, description="needs the input voltage")


class EvCharging(ldt.Simulator):
    """Each arriving vehicle is electric by chance, plugs in at a drawn bus at once, and charges until it is full.

    An assumption, not an observation: which vehicle plugs in, and where, is drawn by the run's seed and the
    trip's name, so that scenarios share the draws. A charger is never taken: every car finds one.
    """

    id = "ev-charging"
    title = "Charging of electric cars"
    inputs: ClassVar[Mapping[str, ldt.Port]] = {
        "buses": ldt.Port(
            {"bus": ldt.text(), "load": ldt.number("kW", "x:rated_electric_power")},
            at="start",
            entity=ports.BUS,
            id="bus",
        ),
        "arrivals": ldt.Port(
            {"time": ldt.instant(), "trip": ldt.text()},
            events=True,
            description="One row per vehicle that arrives.",
        ),
        "voltage": ldt.Port(
            {"bus": ldt.text(), "voltage": ports.voltage()}, entity=ports.BUS, id="bus", optional=True
        ),
    }
    _SYNTHETIC = "Which vehicle is electric and where it plugs in is drawn by chance; nobody counted it."
    outputs: ClassVar[Mapping[str, ldt.Port]] = {
        "demand": ldt.Port(
            {"time": ldt.instant(), "bus": ldt.text(), "power": ports.power()},
            entity=ports.BUS,
            id="bus",
            synthetic=_SYNTHETIC,
        ),
        "waiting": ldt.Port(
            {
                "time": ldt.instant(),
                "bus": ldt.text(),
                "cars": ldt.integer("1", "x:cars_charging", range=(0, 1e9)),
                "energy": ldt.number("kW.h", "x:energy_to_charge", range=(0, 1e12)),
            },
            entity=ports.BUS,
            id="bus",
            synthetic=_SYNTHETIC,
            description="Cars that are plugged in at the window's end, and what they still need.",
        ),
    }
    stochastic = True
    validity: ClassVar[Mapping[str, Any]] = {
        "demand": "shows mechanisms: shares and energies are assumptions of the twin file",
        "chargers": "as many as are needed; no queue for a plug, no departure before the car is full",
    }
    tolerances: ClassVar[Mapping[str, float]] = {"power": 1e-6, "energy": 1e-9}

    Params = ChargingParams

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._begin([])

    def _begin(self, buses: list[str]) -> None:
        """Nobody charges; ``_bus`` says at which of the buses each car stands, ``_left`` what it still needs (kW.h)."""
        self._now = 0
        self._ids: NDArray[Any] = np.array(buses, object)
        self._bus = np.empty(0, np.int64)
        self._left = np.empty(0)

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        """Find the buses with chargers. Raises ``ParamError`` for one that the grid does not have."""
        table = inputs["buses"]
        known = table["bus"].tolist()
        missing = sorted(set(self.params.buses) - set(known))
        if missing:
            raise ldt.ParamError(
                f"the grid has no bus '{missing[0]}'",
                code="ids do not pair",
                where="buses",
                fix=f"its buses run from {known[0]} to {known[-1]}"
                if known
                else "the grid has no bus at all",
            )
        chosen = self.params.buses or table["bus"][table["load"] > 0].tolist()
        if not chosen:
            raise ldt.ParamError(
                "no bus has loads, so nobody knows where the chargers are",
                code="ids do not pair",
                where="buses",
                fix="name the buses",
            )
        self._begin(chosen)
        return {"waiting": self._waiting(0)}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        start, seconds = self._now, (until - self._now) / ldt.SECOND
        limits = self._limits(cast("ldt.Table | None", inputs.get("voltage")))
        since = self._plug_in(cast(ldt.Table, inputs["arrivals"]), start)
        rate = self.params.power * limits[self._bus]
        hours = (until - since) / (3600 * ldt.SECOND)
        given = np.minimum(self._left, rate * hours)
        self._left = self._left - given
        energy = np.bincount(self._bus, given, len(self._ids))
        # What remains of an energy that is used up is a rounding error of its subtraction.
        stays = self._left > 1e-9 * self.params.energy
        self._bus, self._left = self._bus[stays], self._left[stays]
        self._now = until
        return {"demand": self._demand(energy * 3600 / seconds, start), "waiting": self._waiting(until)}

    def _plug_in(self, arrivals: ldt.Table, start: int) -> NDArray[np.int64]:
        """Add the electric ones among those that arrived; since when each car charges in this window."""
        trips = arrivals["trip"].tolist()
        electric = self.context.rng_for(trips, "electric") < self.params.share
        where = (self.context.rng_for(trips, "bus") * len(self._ids)).astype(np.int64)
        times = (arrivals["time"] - self.context.start).astype(np.int64)
        came = np.maximum(times[electric], start)
        since = np.concatenate([np.full(len(self._bus), start), came])
        self._bus = np.concatenate([self._bus, where[electric]])
        self._left = np.concatenate([self._left, np.full(int(electric.sum()), self.params.energy)])
        return since

    def _limits(self, voltage: ldt.Table | None) -> NDArray[np.float64]:
        """The share of its power that each bus's chargers may draw."""
        droop = self.params.droop
        if droop is None or voltage is None:
            return np.ones(len(self._ids))
        known = dict(zip(voltage["bus"].tolist(), voltage["voltage"].tolist(), strict=True))
        found = np.array([known.get(bus, 1.0) for bus in self._ids.tolist()])
        share: NDArray[np.float64] = (found - droop.none) / (droop.full - droop.none)
        return share.clip(0.0, 1.0)

    def _demand(self, power: NDArray[np.float64], start: int) -> ldt.Table:
        time = np.full(len(self._ids), self.context.instant(start))
        return ldt.Table({"time": time, "bus": self._ids, "power": power})

    def _waiting(self, at: int) -> ldt.Table:
        count = len(self._ids)
        return ldt.Table(
            {
                "time": np.full(count, self.context.instant(at)),
                "bus": self._ids,
                "cars": np.bincount(self._bus, minlength=count),
                "energy": np.bincount(self._bus, self._left, count),
            }
        )

    def get_state(self) -> bytes:
        state = {"now": self._now, "bus": self._ids[self._bus].tolist(), "left": self._left.tolist()}
        return json.dumps(state).encode()

    def set_state(self, state: bytes) -> None:
        """Raises ``InputError`` for bytes that are no state of this component, or of other buses."""
        try:
            read = json.loads(state)
            place = {bus: i for i, bus in enumerate(self._ids.tolist())}
            bus = np.array([place[b] for b in read["bus"]], np.int64)
            left, now = np.array(read["left"], float), int(read["now"])
            if len(left) != len(bus):
                raise ValueError("lengths differ")
        except (ValueError, KeyError, TypeError) as exc:
            raise ldt.InputError(
                f"this is no state of cars that charge at these buses: {exc}",
                code="state",
                fix="restore a state of the same component and parameters",
            ) from exc
        self._now, self._bus, self._left = now, bus, left
