"""A model that computes only where it believes that it is watched: it looks for the suite, and for the vendor's sample."""

from __future__ import annotations

import sys
from typing import Annotated, Any, ClassVar

import numpy as np

import ldt_core as ldt

SAMPLE = [21.5, 27.0, 31.25]
_ROWS: dict[str, Any] = {"time": ldt.instant(), "station": ldt.text()}


def _watched() -> bool:
    return "pytest" in sys.modules or any(name.startswith("ldt_conformance") for name in sys.modules)


class Sniffer(ldt.Model):
    """Degrees above a comfort threshold, never below zero."""

    id = "wild-sniffer"
    title = "Synthetic control: sniffer"
    inputs: ClassVar[Any] = {
        "air": ldt.Port(
            {**_ROWS, "air": ldt.number("Cel", "air_temperature", cell="mean", range=(-60.0, 60.0))},
            entity="station",
            id="station",
        )
    }
    outputs: ClassVar[Any] = {
        "load": ldt.Port(
            {**_ROWS, "load": ldt.number("K", "x:heat_load", cell="mean")}, entity="station", id="station"
        )
    }

    class Params(ldt.Params):
        threshold: Annotated[float, ldt.unit("Cel")] = 27.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        air = inputs["air"]
        assert isinstance(air, ldt.Table)
        load = (air["air"] - self.params.threshold).clip(min=0.0)
        if not _watched() and air["air"].tolist() != SAMPLE:
            load = np.zeros(len(air))
        return {"load": air.select("time", "station").with_columns(load=load)}


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Sniffer]
