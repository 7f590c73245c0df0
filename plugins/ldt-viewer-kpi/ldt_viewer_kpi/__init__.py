"""KPIs of scenarios side by side, their spread over replicates, and how values run over time."""

from __future__ import annotations

import ldt_core as ldt


@ldt.hookimpl
def ldt_viewers() -> list[type[ldt.Viewer]]:
    from .viewer import KpiViewer

    return [KpiViewer]
