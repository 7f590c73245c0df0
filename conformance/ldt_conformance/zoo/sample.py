"""The code of the zoo's good package: a model that takes a secret and asks nobody for anything."""

from __future__ import annotations

from typing import Annotated

import ldt_core as ldt


class TollModel(ldt.Model):
    """What a road would earn from its vehicles at a fixed toll."""

    id = "zoo-toll"
    title = "Toll of the zoo"
    inputs = {
        "flow": ldt.Port(
            {
                "time": ldt.instant(),
                "road": ldt.text(),
                "flow": ldt.number("{veh}/h", "traffic_volume", cell="mean", range=(0.0, 1e5)),
            },
            entity="road",
            id="road",
        )
    }
    outputs = {
        "toll": ldt.Port(
            {"time": ldt.instant(), "road": ldt.text(), "toll": ldt.number("/h", "x:toll", cell="mean")},
            entity="road",
            id="road",
        )
    }
    resources = {"memory": "512MiB"}

    class Params(ldt.Params):
        rate: Annotated[float, ldt.unit("1")] = 2.0
        """Toll of one vehicle, in the currency of the place."""
        token: ldt.Secret
        """What the toll's owner knows this twin by."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        flow = inputs.get("flow")
        if not isinstance(flow, ldt.Table):
            raise ldt.InputError("no table came on 'flow'", code="nulls or range refused")
        (self.context.scratch / "seen.txt").write_text(str(len(flow)), encoding="utf-8")
        self.context.log.info("%d roads", len(flow))
        return {"toll": flow.select("time", "road").with_columns(toll=flow["flow"] * self.params.rate)}


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [TollModel]
