"""Road noise at buildings: CNOSSOS-EU emission, screening propagation."""

from __future__ import annotations

import ldt_core as ldt


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    from .model import RoadNoise

    return [RoadNoise]
