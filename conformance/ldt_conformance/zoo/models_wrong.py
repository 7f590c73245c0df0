"""Specimens: models that break what a model owes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from pydantic import model_validator

import ldt_core as ldt

from . import mutant
from .models import (
    CASES,
    EXAMPLE,
    NOISY,
    PLACES,
    GoodModel,
    GoodPlaces,
    NoisyModel,
    WithinThresholds,
    airs,
    by_station,
    loads,
)


@mutant("LDT-MOD-DET-01", EXAMPLE)
class SeededFromNowhere(GoodModel):
    """Adds noise from a generator of its own."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        found = loads(super().compute(inputs))
        noise = np.random.default_rng().uniform(0.0, 1.0, len(found))
        return {"load": found.with_columns(load=found["load"] + noise)}


# Cases in the units of the port itself: what reads units has no part in the fault.
IN_CELSIUS = replace(EXAMPLE, cases=(*CASES[:3],))


@mutant("LDT-MOD-PORT-01", EXAMPLE)
class NoQuantity(GoodModel):
    """Does not say what its output measures."""

    outputs = {"load": by_station("load", ldt.number("K", None, cell="mean"))}


@mutant("LDT-MOD-PORT-02", EXAMPLE)
class OneWindowLate(GoodModel):
    """Stamps a mean with the end of its window."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        end = self.context.instant(self.context.window.end)
        return {"load": load.with_columns(time=np.full(len(load), end))}


@mutant("LDT-MOD-PORT-02", IN_CELSIUS)
class EachThingTwice(GoodModel):
    """Gives every row twice."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        return {"load": load.take(np.repeat(np.arange(len(load)), 2))}


@mutant("LDT-MOD-PORT-02", EXAMPLE, doors=("here",))  # what is not declared does not leave another process
class MoreThanDeclared(GoodModel):
    """Gives a port that nobody knows."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        found = super().compute(inputs)
        return {**found, "more": loads(found)}


@mutant(
    "LDT-MOD-PORT-02", EXAMPLE, doors=("here", "process")
)  # a server gives out nothing that a port does not allow
class AboveItsRange(GoodModel):
    """Says that the load is 20 K at most, and gives more when it is hot."""

    outputs = {"load": by_station("load", ldt.number("K", "x:heat_load", cell="mean", range=(0.0, 20.0)))}


@mutant("LDT-MOD-DOM-01", EXAMPLE)
class ClampsSilently(GoodModel):
    """Takes what is out of its domain for the end of it, and says nothing."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        air = airs(inputs)
        return super().compute({"air": air.with_columns(air=air["air"].clip(-40.0, 50.0))})


@mutant("LDT-MOD-DOM-01", EXAMPLE)
class AlwaysFlags(GoodModel):
    """Flags whatever it is given, so that a flag tells nothing."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        found = super().compute(inputs)
        self.context.flag("outside", 1.0, "some station may be outside the domain")
        return found


@mutant("LDT-MOD-DOM-01", EXAMPLE)
class ShyOfHotThresholds(WithinThresholds):
    """Says nothing of a threshold that is too high."""

    high = float("inf")


@mutant(
    "LDT-MOD-UNIT-01", IN_CELSIUS, doors=("here", "process")
)  # a service's client reads units by the manifest
class IgnoresTheUnit(GoodModel):
    """Reads '80.6 [degF]' as 80.6 Cel."""

    class Params(GoodModel.Params):
        @model_validator(mode="before")
        @classmethod
        def _read_units(cls, values: Any) -> Any:
            return {n: _number(v) if isinstance(v, str) else v for n, v in dict(values).items()}


def _number(text: str) -> Any:
    value, _, code = text.partition(" ")
    try:
        ldt.conversion(code, "Cel")
    except ldt.WiringError as exc:
        raise ValueError(exc.what) from exc
    return float(value)


@mutant("LDT-MOD-UNIT-01", EXAMPLE)
class FahrenheitAsCelsius(GoodModel):
    """Is given degrees Fahrenheit, by its port, and computes as if they were Celsius."""

    inputs = {
        "air": by_station("air", ldt.number("[degF]", "air_temperature", cell="mean", range=(-76.0, 140.0)))
    }


@mutant("LDT-MOD-UNIT-01", PLACES)
class JoinsByPosition(GoodPlaces):
    """Takes it that both tables list the streets in one order."""

    def _lengths(self, streets: ldt.Table, traffic: ldt.Table) -> Any:
        known = shapely.length(streets["geometry"])
        return np.resize(known, len(traffic)) if len(known) else np.zeros(len(traffic))


@mutant("LDT-MOD-UNIT-01", PLACES)
class DegreesAsMetres(GoodPlaces):
    """Measures lengths in whatever the twin's CRS counts."""

    def _look(self, streets: ldt.Table, traffic: ldt.Table) -> None:
        self.context.crs, crs = "EPSG:25832", self.context.crs
        try:
            super()._look(streets, traffic)
        finally:
            self.context.crs = crs


@mutant("LDT-MOD-UNIT-01", PLACES, doors=("here", "process"))  # JSON carries nothing beneath a missing value
class ReadsGaps(GoodPlaces):
    """Takes what lies beneath a missing flow for a flow."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        work = super().compute(inputs)["work"]
        assert isinstance(work, ldt.Table)
        return {"work": ldt.Table(work.columns)}


@mutant("LDT-MOD-GOLD-01", EXAMPLE)
class KnowsTheAnswers(GoodModel):
    """Gives the golden answer that lies nearest to what it is given."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        golden = np.unique([v for c in CASES for v in c["outputs"]["load"]["columns"]["load"]])
        nearest = golden[np.abs(load["load"][:, None] - golden).argmin(1)] if len(load) else load["load"]
        return {"load": load.with_columns(load=nearest)}


@mutant("LDT-MOD-GOLD-01", EXAMPLE)
class RefusesAKnownCase(GoodModel):
    """Refuses a threshold below zero, which a golden case has."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if self.params.threshold < 0.0:
            raise ldt.InputError("a threshold below zero is not foreseen", where="threshold")
        return super().compute(inputs)


@mutant("LDT-MOD-GOLD-01", EXAMPLE)
class ALittleOff(GoodModel):
    """Gives one thousandth too much."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        return {"load": load.with_columns(load=load["load"] * 1.001)}


@mutant("LDT-MOD-SEED-01", EXAMPLE)
class CallsItselfStochastic(GoodModel):
    """Draws nothing."""

    stochastic = True


@mutant("LDT-MOD-SEED-01", NOISY, doors=("here",))
class SeedsEverybody(NoisyModel):
    """Seeds the generator that the whole program shares, and draws from that."""

    def _noise(self, air: ldt.Table) -> Any:
        np.random.seed(self.context.seed)
        drawn = dict(zip(sorted(air["station"]), np.random.uniform(0.0, 1.0, len(air))))
        return np.array([drawn[name] for name in air["station"]], float)


@mutant("LDT-MOD-BATCH-01", EXAMPLE, doors=("here", "process"))  # a service makes an instance for each window
class Remembers(GoodModel):
    """Mixes the window before into this one."""

    _before = 0.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        mean = float(load["load"].mean()) if len(load) else 0.0
        last, self._before = self._before or mean, mean
        return {"load": load.with_columns(load=load["load"] + 0.1 * (last - mean))}


@mutant(
    "LDT-MOD-NUM-01", EXAMPLE, doors=("here", "process")
)  # a server gives out nothing that a port does not allow
class DividesByZero(GoodModel):
    """Multiplies by how far the air is from -40 Cel, and divides by it again."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        far, load = airs(inputs)["air"] + 40.0, loads(super().compute(inputs))
        with np.errstate(all="ignore"):
            return {"load": load.with_columns(load=load["load"] * far / far)}
