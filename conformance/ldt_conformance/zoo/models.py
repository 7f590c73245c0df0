"""Specimens: models."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import shapely

import ldt_core as ldt
from ldt_core.adapters import parse_crs
from ldt_core.tables import Column

from ..example import Example
from . import good

HOURS = np.datetime64("2026-03-02T05:00", "us")
AIR = ldt.Table(
    {
        "time": [HOURS] * 3,
        "station": ["harbour", "market", "Zo\u00eb's park"],
        "air": [21.5, 27.0, 31.25],
    }
)


def case(threshold: Any, air: list[float], load: list[float], **more: Any) -> dict[str, Any]:
    """A golden case: degrees above the threshold, worked out by hand."""
    head = {"time": [f"{HOURS}Z"] * len(air), "station": [f"s{i}" for i in range(len(air))]}
    return {
        "about": f"{len(air)} stations and a threshold of {threshold}",
        "params": {"threshold": threshold},
        "inputs": {"air": {"columns": {**head, "air": air}}},
        "outputs": {"load": {"columns": {**head, "load": load}}},
        **more,
    }


CASES = (
    case(27.0, [21.5, 27.0, 31.25], [0.0, 0.0, 4.25]),
    case(20.0, [19.0, 24.5], [0.0, 4.5]),
    case(-5.0, [-20.0, 0.0, 12.5], [0.0, 5.0, 17.5]),
    case(25.0, [77.0, 86.0], [0.0, 5.0], units={"air.air": "[degF]"}),
)
EXAMPLE = Example(params={"threshold": 27.0}, windows=1, inputs={"air": AIR}, cases=CASES)


def by_station(name: str, column: Column) -> ldt.Port:
    columns = {"time": ldt.instant(), "station": ldt.text(), name: column}
    return ldt.Port(columns, entity="station", id="station")


@good(EXAMPLE)
class GoodModel(ldt.Model):
    """Degrees above a comfort threshold, never below zero."""

    id = "zoo-model"
    title = "Heat load of the zoo"
    inputs = {
        "air": by_station("air", ldt.number("Cel", "air_temperature", cell="mean", range=(-60.0, 60.0)))
    }
    outputs = {"load": by_station("load", ldt.number("K", "x:heat_load", cell="mean"))}
    validity = {"air.air": [-40.0, 50.0], "use": "comparing hot days"}

    class Params(ldt.Params):
        threshold: Annotated[float, ldt.unit("Cel")] = 27.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        air = inputs["air"]
        assert isinstance(air, ldt.Table)
        if outside := int(((air["air"] < -40.0) | (air["air"] > 50.0)).sum()):
            self.context.flag("outside", outside, "stations colder than -40 or hotter than 50 Cel")
        load = (air["air"] - self.params.threshold).clip(min=0.0)
        return {"load": air.select("time", "station").with_columns(load=load)}


def loads(found: ldt.Tables) -> ldt.Table:
    """The one table that these models give."""
    table = found["load"]
    assert isinstance(table, ldt.Table)
    return table


def airs(inputs: ldt.Tables) -> ldt.Table:
    """The one table that these models are given."""
    table = inputs["air"]
    assert isinstance(table, ldt.Table)
    return table


@good(EXAMPLE)
class KnowsItsStations(GoodModel):
    """Knows its stations by itself, as one that reads a network from a file, and refuses others."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        known = {*AIR["station"], *(f"s{i}" for i in range(3))}
        if strange := set(airs(inputs)["station"]) - known:
            raise ldt.InputError(f"there is no station '{min(strange)}'", where="air.station")
        return super().compute(inputs)


@good(EXAMPLE)
class WithinThresholds(GoodModel):
    """Says for which thresholds it holds, too, and flags others."""

    validity = {**GoodModel.validity, "threshold": [-10.0, 40.0]}
    high = 40.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if not -10.0 <= self.params.threshold <= self.high:
            self.context.flag("threshold", self.params.threshold, "a threshold below -10 or above 40 Cel")
        return super().compute(inputs)


NOISY = replace(EXAMPLE, cases=tuple({**c, "tolerances": {"load": 1.0}} for c in CASES))


@good(NOISY)
class NoisyModel(GoodModel):
    """The same, with noise of up to one kelvin that the seed decides, station by station."""

    stochastic = True

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        return {"load": load.with_columns(load=load["load"] + self._noise(airs(inputs)))}

    def _noise(self, air: ldt.Table) -> Any:
        return self.context.rng_for(air["station"])


# -- places ------------------------------------------------------------------------------------------------


def street(x: float, length: float) -> shapely.LineString:
    return shapely.LineString([(x, 5_700_000.0), (x, 5_700_000.0 + length)])


STREETS = ldt.Table(
    {"edge": ["north", "south"], "geometry": [street(600_000.0, 250.0), street(600_100.0, 400.0)]}
)
TRAFFIC = ldt.Table({"time": [HOURS] * 2, "edge": ["south", "north"], "flow": [120.0, 80.0]})


def _traffic(flows: list[float], work: list[float], length: float) -> dict[str, Any]:
    """Two streets of ``length`` and half of it, in vehicle kilometres per hour."""
    edges = ["a", "b"]
    shapes = [[[600_000, 5_700_000], [600_000, 5_700_000 + part]] for part in (length, length / 2)]
    lines = [{"type": "LineString", "coordinates": shape} for shape in shapes]
    head = {"time": [f"{HOURS}Z"] * 2, "edge": edges}
    return {
        "about": f"streets of {length:g} m and half of it",
        "inputs": {
            "streets": {"columns": {"edge": edges, "geometry": lines}},
            "traffic": {"columns": {**head, "flow": flows}},
        },
        "outputs": {"work": {"columns": {**head, "work": work}}},
    }


PLACES = Example(
    windows=1,
    bbox=(599_900.0, 5_699_900.0, 600_900.0, 5_700_900.0),
    inputs={"streets": STREETS, "traffic": TRAFFIC},
    cases=(
        _traffic([100.0, 10.0], [100.0, 5.0], 1000.0),
        _traffic([0.0, 30.0], [0.0, 3.0], 200.0),
        _traffic([60.0, 60.0], [30.0, 15.0], 500.0),
    ),
)


@good(PLACES)
class GoodPlaces(ldt.Model):
    """Vehicle kilometres per hour on each street, by its length in the twin's projection."""

    id = "zoo-places"
    title = "Traffic work of the zoo"
    inputs = {
        "streets": ldt.Port(
            {"edge": ldt.text(), "geometry": ldt.geometry("LineString")}, at="start", entity="edge", id="edge"
        ),
        "traffic": ldt.Port(
            {
                "time": ldt.instant(),
                "edge": ldt.text(),
                "flow": ldt.number("{veh}/h", "x:traffic_flow", cell="mean", range=(0.0, 1e5), nulls=True),
            },
            entity="edge",
            id="edge",
        ),
    }
    outputs = {
        "work": ldt.Port(
            {
                "time": ldt.instant(),
                "edge": ldt.text(),
                "work": ldt.number("km/h", "x:traffic_work", cell="mean", nulls=True),
            },
            entity="edge",
            id="edge",
        )
    }

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        streets, traffic = inputs["streets"], inputs["traffic"]
        assert isinstance(streets, ldt.Table)
        assert isinstance(traffic, ldt.Table)
        self._look(streets, traffic)
        length = self._lengths(streets, traffic)
        work = traffic.select("time", "edge").with_columns(work=traffic["flow"] * length / 1000.0)
        return {"work": work.with_mask("work", traffic.mask("flow"))}

    def _look(self, streets: ldt.Table, traffic: ldt.Table) -> None:
        if parse_crs(self.context.crs).is_geographic:
            raise ldt.InputError("lengths are measured in metres", where="streets", fix="project the twin")
        for table in (streets, traffic):
            if len(set(table["edge"])) < len(table):
                raise ldt.InputError("a street has several rows", where="edge")
        if strange := set(traffic["edge"]) - set(streets["edge"]):
            raise ldt.InputError(f"there is no street '{min(strange)}'", where="traffic.edge")

    def _lengths(self, streets: ldt.Table, traffic: ldt.Table) -> Any:
        known = dict(zip(streets["edge"], shapely.length(streets["geometry"])))
        return np.array([known[edge] for edge in traffic["edge"]], float)
