"""Any class with the Basic Model Interface 2.0 as a simulator."""

from __future__ import annotations

import ldt_core as ldt

from .component import Bmi

__all__ = ["Bmi"]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    return [Bmi]
