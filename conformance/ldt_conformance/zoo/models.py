"""Specimens: models."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np

import ldt_core as ldt

from ..example import Example
from . import good, mutant

HOURS = np.datetime64("2026-03-02T05:00", "us")
AIR = ldt.Table(
    {
        "time": [HOURS] * 3,
        "station": ["harbour", "market", "Zoë's park"],
        "air": [21.5, 27.0, 31.25],
    }
)
EXAMPLE = Example(params={"threshold": 27.0}, windows=1, inputs={"air": AIR})


@good(EXAMPLE)
class GoodModel(ldt.Model):
    """Degrees above a comfort threshold, never below zero."""

    id = "zoo-model"
    title = "Heat load of the zoo"
    inputs = {
        "air": ldt.Port(
            {
                "time": ldt.instant(),
                "station": ldt.text(),
                "air": ldt.number("Cel", "air_temperature", cell="mean", range=(-60.0, 60.0)),
            },
            entity="station",
            id="station",
        )
    }
    outputs = {
        "load": ldt.Port(
            {
                "time": ldt.instant(),
                "station": ldt.text(),
                "load": ldt.number("K", "x:heat_load", cell="mean"),
            },
            entity="station",
            id="station",
        )
    }

    class Params(ldt.Params):
        threshold: Annotated[float, ldt.unit("Cel")] = 27.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        air = inputs["air"]
        assert isinstance(air, ldt.Table)
        load = (air["air"] - self.params.threshold).clip(min=0.0)
        return {"load": air.select("time", "station").with_columns(load=load)}


@mutant("LDT-MOD-DET-01", replace(EXAMPLE))
class SeededFromNowhere(GoodModel):
    """Adds noise from a generator of its own."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        found = super().compute(inputs)["load"]
        assert isinstance(found, ldt.Table)
        noise = np.random.default_rng().uniform(0.0, 1.0, len(found))
        return {"load": found.with_columns(load=found["load"] + noise)}
