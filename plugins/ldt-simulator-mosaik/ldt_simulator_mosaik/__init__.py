"""Any simulator written for mosaik as a simulator."""

from __future__ import annotations

import ldt_core as ldt

from .component import Mosaik

__all__ = ["Mosaik"]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    return [Mosaik]
