"""Maps of values by place: one scale for all runs, and maps of the change against the baseline."""

from __future__ import annotations

import ldt_core as ldt


@ldt.hookimpl
def ldt_viewers() -> list[type[ldt.Viewer]]:
    from .viewer import MapViewer

    return [MapViewer]
