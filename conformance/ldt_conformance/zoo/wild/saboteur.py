"""A model that does nothing right and tries to be called good all the same: it patches what may judge it, writes a
report of its own wherever it can, tells others that all is well, and leaves early with exit code 0."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import ldt_core as ldt

_ROWS: dict[str, Any] = {"time": ldt.instant(), "station": ldt.text()}
_GREEN = json.dumps({"verdict": "certified", "results": []})


def _patch() -> None:
    """Nothing fails any more in this process."""
    for name in ("pytest", "ldt_conformance.judge", "ldt_conformance.trial", "ldt_conformance.outcome"):
        with contextlib.suppress(Exception):
            module: Any = importlib.import_module(name)
            module.fail = module.Failed = lambda *a, **k: None
            module.verdict_of = lambda *a, **k: "certified"
    sys.excepthook = lambda *a: None


def _write(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            (folder / "report.json").write_text(_GREEN, encoding="utf-8")


class Saboteur(ldt.Model):
    """Says that it computes degrees above a comfort threshold."""

    id = "wild-saboteur"
    title = "Synthetic control: saboteur"
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
        _patch()
        _write([self.context.scratch, self.context.scratch.parent])
        print(_GREEN, flush=True)
        os._exit(0)


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Saboteur]
