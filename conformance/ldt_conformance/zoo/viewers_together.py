"""Specimens: viewers that show what places come to together, not each of them."""

from __future__ import annotations

import numpy as np

import ldt_core as ldt
from ldt_core.scene import Axis, ChartBlock, Figures, Head, Scene, Series, TimeAxis

from ..example import Example
from . import good, mutant

EXAMPLE = Example(windows=3, shows={"places": False, "kpis": False})


@good(EXAMPLE)
class OneNumberPerRun(ldt.Viewer):
    """Of each variable one number per run: the mean over its places and windows."""

    id = "zoo-together"
    title = "Runs of the zoo"

    def render(self, view: ldt.View) -> Scene:
        return Scene(
            title=view.title,
            viewer=self.id,
            runs=list(view.runs),
            time=TimeAxis(start=view.start, end=view.end, zone=view.zone),
            blocks=[self.compare(view, ref) for ref in view.show],
        )

    def compare(self, view: ldt.View, ref: str) -> ChartBlock:
        info, names = view.info(ref), [run.title for run in view.runs]
        numbers = [self.measure(view, ref, run.name) for run in view.runs]
        known = any(n is not None for n in numbers)
        return ChartBlock(
            id=ref.replace(".", "-"),
            title=info.title,
            finding=f"{info.title} in {len(names)} runs"
            if known
            else f"{info.title} has no value in any run",
            alternative=Figures(
                caption=f"{info.title} by run",
                columns=[
                    Head(id="run", title="Run", kind="text"),
                    Head(id="mean", title="Mean", unit=info.unit, digits=2),
                ],
                rows=[[name, number] for name, number in zip(names, numbers, strict=True)],
            ),
            credits=view.credits(ref),
            synthetic=view.synthetic(ref),
            mark="bar",
            x=Axis(title="Run", kind="category"),
            y=Axis(title=info.title, unit=info.unit),
            series=[Series(name=info.title, x=[*names], y=numbers)],
        )

    def measure(self, view: ldt.View, ref: str, run: str) -> float | None:
        table = view.values(ref, run)
        values = table["value"][~table.mask("value")]
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else None


@mutant("LDT-VIE-DATA-01", EXAMPLE)
class TheFirstRunInEach(OneNumberPerRun):
    """Every run shows what the first one has."""

    def measure(self, view: ldt.View, ref: str, run: str) -> float | None:
        return super().measure(view, ref, view.runs[0].name)
