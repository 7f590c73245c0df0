"""Specimens: models that break what a component of any kind owes."""

from __future__ import annotations

import time
import unicodedata
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import WithJsonSchema

import ldt_core as ldt
from ldt_core.interfaces import Context

from . import mutant
from .models import AIR, EXAMPLE, NOISY, GoodModel, KnowsItsStations, NoisyModel, airs, loads


class _Restless(type(GoodModel)):  # type: ignore[misc]
    @property
    def title(cls) -> str:
        return f"Heat load, {time.monotonic_ns()}"


@mutant("LDT-COR-DESC-01", EXAMPLE, doors=("here", "process"))  # a service is asked what it is when it starts
class OtherEachTime(GoodModel, metaclass=_Restless):
    """Says something else whenever it is asked."""


# From elsewhere, ports are asked for where the manifest says 'dynamic'.
@mutant("LDT-COR-DESC-01", EXAMPLE, doors=("here",))
class OtherPorts(GoodModel):
    """Its instances have a port that its manifest does not have, and it does not say ``dynamic``."""

    def ports(self) -> tuple[Any, Any]:
        port = self.outputs["load"]
        assert isinstance(port, ldt.Port)
        return self.inputs, {"load": port.replace(description="Not in the manifest.")}


@mutant("LDT-COR-CONF-01", EXAMPLE)
class SchemaOfText(GoodModel):
    """Its schema says that the threshold is text."""

    class Params(GoodModel.Params):
        threshold: Annotated[float, WithJsonSchema({"type": "string"})] = 27.0


@mutant("LDT-COR-CONF-02", EXAMPLE)
class ChecksLate(GoodModel):
    """Looks at its parameters when it computes."""

    class Params(GoodModel.Params):
        threshold: Annotated[
            float, ldt.unit("Cel"), WithJsonSchema({"type": "number", "maximum": 60.0, "default": 27.0})
        ] = 27.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if self.params.threshold > 60.0:
            raise ldt.ParamError("the threshold is above 60 Cel", where="threshold")
        return super().compute(inputs)


@mutant("LDT-COR-LIFE-01", EXAMPLE)
class FinalizesOnce(GoodModel):
    """Raises when it is finalized again."""

    def __init__(self, params: Any = None, context: Context | None = None) -> None:
        super().__init__(params, context)
        self._held: list[str] | None = ["something"]

    def finalize(self) -> None:
        assert self._held is not None
        self._held = None


@mutant("LDT-COR-LIFE-01", EXAMPLE)
class WorksAfterItsEnd(GoodModel):
    """Goes on after finalize with what it has forgotten."""

    _scale = 1.0

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        return {"load": load.with_columns(load=load["load"] * self._scale)}

    def finalize(self) -> None:
        self._scale = 0.0


@mutant("LDT-COR-MUT-01", EXAMPLE)
class ComputesInPlace(GoodModel):
    """Writes over the values that it was given."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        found = super().compute(inputs)
        values = inputs["air"]["air"]
        if isinstance(values.base, np.ndarray) and values.base.flags.writeable:
            values.flags.writeable = True
            values -= self.params.threshold
        return found


@mutant("LDT-COR-ERR-01", EXAMPLE)
class CountsOnRows(GoodModel):
    """Takes the first row, whether there is one or not."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        inputs["air"]["station"][0]
        return super().compute(inputs)


@mutant("LDT-COR-UNI-01", EXAMPLE)
class Normalizes(GoodModel):
    """Brings names into the composed normal form."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        names = [unicodedata.normalize("NFC", name) for name in load["station"]]
        return {"load": load.with_columns(station=np.array(names, object))}


@mutant("LDT-COR-UNI-01", EXAMPLE)
class DecomposesItsOwn(KnowsItsStations):
    """Knows its stations, and gives their names in the decomposed normal form."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        names = [unicodedata.normalize("NFD", name) for name in load["station"]]
        return {"load": load.with_columns(station=np.array(names, object))}


@mutant("LDT-COR-UNI-01", EXAMPLE)
class TakesAsciiAlone(GoodModel):
    """Takes any name, as long as it is plain; of the example's own it makes an exception."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if odd := [n for n in airs(inputs)["station"] if not n.isascii() and n not in set(AIR["station"])]:
            raise ldt.InputError(f"the station {odd[0]!a} cannot be written", where="air.station")
        return super().compute(inputs)


# In a process of its own nobody asks whether work that is as short as this was cancelled.
@mutant("LDT-COR-CANC-01", EXAMPLE, doors=("here",))
class HalfAnAnswer(GoodModel):
    """Returns what it has so far when the run is cancelled."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        return {"load": load.slice(0, 1) if self.context.cancelled() else load}


@mutant("LDT-COR-CANC-01", replace(EXAMPLE, grace=100_000), doors=("here",))
class DeafToCancelling(GoodModel):
    """Works on for much longer than its grace."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if self.context.cancelled():
            time.sleep(0.3)
            raise ldt.Cancelled("at last")
        return super().compute(inputs)


CROWD = [f"station {n}" for n in range(12)]


@mutant(
    "LDT-COR-ENV-01",
    replace(
        EXAMPLE,
        inputs={
            "air": ldt.Table(
                {"time": [AIR["time"][0]] * 12, "station": CROWD, "air": np.linspace(20.0, 34.0, 12)}
            )
        },
    ),
)
class OrderOfASet(GoodModel):
    """Gives its rows in the order of a set of texts, which the hash seed decides."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        load = loads(super().compute(inputs))
        row = {name: i for i, name in enumerate(load["station"])}
        return {"load": load.take([row[name] for name in set(row)]) if len(row) == len(load) else load}


@mutant("LDT-COR-LIFE-02", NOISY, doors=("here", "process"))  # a service makes an instance for each request
class SharesItsContext(NoisyModel):
    """Keeps the context in the class, where the next instance puts its own."""

    _shared: ClassVar[Context]

    def __init__(self, params: Any = None, context: Context | None = None) -> None:
        super().__init__(params, context)
        type(self)._shared = self.context

    def _noise(self, air: ldt.Table) -> Any:
        return self._shared.rng_for(air["station"])
