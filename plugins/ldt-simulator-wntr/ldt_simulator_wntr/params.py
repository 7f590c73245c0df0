"""What can be asked of the water network."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import Annotated

from pydantic import model_validator

import ldt_core as ldt


class Place(ldt.Params):
    """Where a network that belongs elsewhere, or nowhere, is drawn: its middle and its longer side."""

    x: float = ldt.Field(description="of the middle, in the twin's CRS")
    y: float = ldt.Field(description="of the middle, in the twin's CRS")
    width: Annotated[float, ldt.unit("m")] = ldt.Field(gt=0, description="its longer side after scaling")


class Pressure(ldt.Params):
    """Consumers get what they ask for above ``required``, nothing below ``minimum``, and less in between.

    The delivered share is ((p - minimum) / (required - minimum)) ** exponent (Wagner et al. 1988).
    """

    required: Annotated[float, ldt.unit("m")] = ldt.Field(20.0, gt=0)
    minimum: Annotated[float, ldt.unit("m")] = ldt.Field(0.0, ge=0)
    exponent: float = ldt.Field(0.5, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Pressure:
        if self.minimum >= self.required:
            raise ValueError("minimum lies below required")
        return self


class Params(ldt.Params):
    network: str | None = ldt.Field(
        None, description="one that wntr ships: Net1, Net2, Net3, Net6, ky4, ky10"
    )
    file: ldt.File | None = ldt.Field(None, description="an EPANET input file (.inp)")
    place: Place | None = ldt.Field(None, description="draw the network here, not where its file says")
    crs: str | None = ldt.Field(None, description="of the file's coordinates")
    begin: ldt.Duration = ldt.Field(
        0, ge=0, description="the file's time at the run's start; the hours before are computed first"
    )
    hydraulic_step: ldt.Duration | None = ldt.Field(
        None, ge=ldt.SECOND, description="instead of the file's own"
    )
    demand_factor: float = ldt.Field(1.0, ge=0, description="all demand of the file times this")
    pressure: Pressure | None = ldt.Field(
        None, description="demand depends on pressure; without it, it does as the file says"
    )
    out_of_service: list[str] = ldt.Field(
        [], description="pumps, pipes and valves that are shut from the run's start on"
    )
    undervoltage: float = ldt.Field(
        0.85, ge=0, description="a pump stops when the voltage at its supply falls below this share"
    )
    restart: float = ldt.Field(0.90, ge=0, description="and starts again at this one")
    licence: str | None = ldt.Field(None, description="SPDX licence of a network file")
    attribution: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Params:
        if (self.network is None) == (self.file is None):
            raise ValueError("give one of: network (a name), file (an EPANET input file)")
        if self.restart < self.undervoltage:
            raise ValueError("restart lies at or above undervoltage")
        for name in ("begin", "hydraulic_step"):
            if (getattr(self, name) or 0) % ldt.SECOND:
                raise ValueError(f"{name} is a whole number of seconds, for EPANET counts those")
        return self

    @property
    def title(self) -> str:
        return self.network or str(self.file)

    def path(self) -> Path:
        """The input file. Raises ``ParamError`` for a network that wntr does not ship."""
        if self.file is not None:
            return Path(self.file.path)
        spec = importlib.util.find_spec("wntr")
        if spec is None or not spec.submodule_search_locations:
            raise ldt.ParamError("wntr is not installed", code="no such network", fix="pip install wntr six")
        folder = Path(next(iter(spec.submodule_search_locations))) / "library" / "networks"
        shipped = {file.stem: file for file in sorted(folder.glob("*.inp"))}
        if self.network not in shipped:
            near = difflib.get_close_matches(str(self.network), shipped, n=1)
            raise ldt.ParamError(
                f"wntr ships no network '{self.network}'",
                code="no such network",
                fix=f"did you mean {near[0]}?" if near else "known: " + ", ".join(shipped),
            )
        return shipped[self.network]
