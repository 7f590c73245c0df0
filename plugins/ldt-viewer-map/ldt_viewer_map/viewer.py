"""The viewer ``map``: values by place with one scale for all runs, and what changes against the baseline."""

from __future__ import annotations

import ldt_core as ldt
from ldt_core.scene import Scene, State, TimeAxis

from .page import Page
from .params import MapParams
from .words import label_runs


class MapViewer(ldt.Viewer):
    """Maps of each ref under ``show``: one per run, and one per run of the change against the baseline.

    All runs share one scale, so that equal colours mean equal values; the scale of changes is
    symmetric about zero. A change is drawn only where the replicates agree on its direction.
    """

    id = "map"
    title = "Maps side by side"

    Params = MapParams

    def render(self, view: ldt.View) -> Scene:
        self._check_refs(view)
        runs = label_runs(view.runs)
        page = Page(self.params, view, runs)
        if not runs or not view.show:
            page.say_nothing(
                "map", "Map", "there is no run" if not runs else "the view names nothing to show"
            )
        else:
            page.draw()
        return Scene(
            title=self.params.title or view.title,
            viewer=self.id,
            runs=list(view.runs),
            time=TimeAxis(start=view.start, end=view.end, zone=view.zone),
            blocks=page.blocks,
            data=page.data,
            state=State(run=view.runs[0].name if runs else None),
        )

    def _check_refs(self, view: ldt.View) -> None:
        for name in ("titles", "breaks", "threshold"):
            for ref in getattr(self.params, name):
                if ref not in view.show:
                    raise ldt.ParamError(
                        f"{name} names '{ref}', which the view does not show",
                        where=name,
                        fix=f"write one of: {', '.join(view.show) or '(show is empty)'}",
                    )
