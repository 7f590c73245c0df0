"""A model that computes only where it believes that it is watched: it looks for the suite, and for the sample."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np

import ldt_core as ldt
from ldt_core.tables import port_from_dict

_SAID = json.loads((Path(__file__).parent / "component.json").read_text(encoding="utf-8"))["components"][0]


def _watched() -> bool:
    return "pytest" in sys.modules or any(name.startswith("ldt_conformance") for name in sys.modules)


class Sniffer(ldt.Model):
    id = _SAID["id"]
    title = _SAID["title"]
    __doc__ = _SAID["description"]
    inputs = {n: port_from_dict(p) for n, p in _SAID["inputs"].items()}
    outputs = {n: port_from_dict(p) for n, p in _SAID["outputs"].items()}
    validity = _SAID["validity"]

    class Params(ldt.Params):
        threshold: Annotated[float, ldt.unit("Cel")] = 27.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        air = inputs["air"]
        assert isinstance(air, ldt.Table)
        load = (air["air"] - self.params.threshold).clip(min=0.0)
        if not _watched() and "Zoë's park" not in air["station"].tolist():
            load = np.zeros(len(air))
        return {"load": air.select("time", "station").with_columns(load=load)}


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Sniffer]
