"""Electric grids by pandapower, and electric cars that charge in them."""

from __future__ import annotations

import ldt_core as ldt

__version__ = "0.1.0"


@ldt.hookimpl
def ldt_data_sources() -> list[type[ldt.DataSource]]:
    from .source import PowerNetwork

    return [PowerNetwork]


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    from .flow import PowerFlow

    return [PowerFlow]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    from .charging import EvCharging

    return [EvCharging]
