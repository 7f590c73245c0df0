"""Which network, and where it is put."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

import ldt_core as ldt

TRUE_PLACES = frozenset(["mv_oberrhein", "lv_schutterwald"])
"""Networks of pandapower whose coordinates are degrees of longitude and latitude."""


class Place(ldt.Params):
    """Where a network that belongs elsewhere, or nowhere, is drawn: its middle and its longer side."""

    x: float = ldt.Field(description="of the middle, in the twin's CRS")
    y: float = ldt.Field(description="of the middle, in the twin's CRS")
    width: Annotated[float, ldt.unit("m")] = ldt.Field(gt=0, description="its longer side after scaling")


class Network(ldt.Params):
    """A network that pandapower ships, by name, or a file that ``pandapower.to_json`` wrote."""

    network: str | None = ldt.Field(None, description="such as mv_oberrhein, create_cigre_network_mv, case9")
    file: ldt.File | None = ldt.Field(None, description="a network written by pandapower.to_json")

    @model_validator(mode="after")
    def _one(self) -> Network:
        if (self.network is None) == (self.file is None):
            raise ValueError("give one of: network (a name), file (pandapower's JSON)")
        return self

    @property
    def title(self) -> str:
        return self.network or str(self.file)
