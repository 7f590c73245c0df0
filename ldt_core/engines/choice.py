"""Which engines there are, and the one that the user names. Imports an engine when it is started."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..catalog import EngineOffer, engine_names, installed, load_engine
from ..errors import PluginError, nearest
from .protocol import Engine, Setting

OWN = {"local": "ldt_core.engines.local:LocalEngine", "dask": "ldt_core.engines.dask:DaskEngine"}
"""The core's engines and where their classes are."""


@dataclass(frozen=True)
class Place:
    """Where a run's tasks go: an engine's name, and the address of its machines where it takes one."""

    engine: str = "local"
    address: str | None = None

    def start(self, setting: Setting) -> Engine:
        """The engine at work. Raises ``PluginError``: no such engine, or what it needs is not installed."""
        setting = replace(setting, address=self.address)
        if self.engine in OWN:
            module, _, name = OWN[self.engine].partition(":")
            found: Engine = getattr(importlib.import_module(module), name)(setting)
            return found
        return load_engine(_offer(self.engine, installed().engines))(setting)


LOCAL = Place()


def _offer(name: str, offers: Sequence[EngineOffer]) -> EngineOffer:
    found = [o for o in offers if o.name == name]
    if len(found) > 1:
        owners = sorted(o.distribution for o in found)
        raise PluginError(
            f"the engine '{name}' is brought by {' and '.join(owners)}",
            code="two owners",
            fix=f"uninstall one of them: pip uninstall {owners[-1]}",
        )
    if not found:
        raise PluginError(
            f"no installed package brings the engine '{name}'",
            code="not installed",
            fix=nearest(name, engine_names(offers)),
        )
    return found[0]
