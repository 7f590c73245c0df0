"""Drinking water networks by EPANET and WNTR as a component of a Local Digital Twin."""

from __future__ import annotations

import ldt_core as ldt

__version__ = "0.1.0"


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    from .component import WaterNetwork

    return [WaterNetwork]
