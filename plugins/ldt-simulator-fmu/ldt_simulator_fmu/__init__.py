"""Any co-simulation FMU as a simulator."""

from __future__ import annotations

import ldt_core as ldt

from .component import Fmu

__all__ = ["Fmu"]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    return [Fmu]
