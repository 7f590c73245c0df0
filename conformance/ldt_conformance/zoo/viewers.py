"""Specimens: viewers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

import ldt_core as ldt
from ldt_core.scene import (
    AnyBlock,
    Axis,
    ChartBlock,
    CustomBlock,
    DataRef,
    Figures,
    Head,
    ImageBlock,
    KpiBlock,
    Layer,
    MapBlock,
    Scale,
    Scene,
    Series,
    TableBlock,
    TextBlock,
    TimeAxis,
)

from ..example import Example
from . import good, mutant

EXAMPLE = Example(windows=3)
SMALL = replace(EXAMPLE, shows={"geometry": ["line"], "runs": 2})
"""One variable in two runs: a fault is seen as well on a small page."""
Figure = tuple[list[str], list[float | None]]
Line = tuple[list[str], list[float]]
MOST = 2_000
"""Places that a map draws; of more, every n-th."""


@good(EXAMPLE)
class GoodViewer(ldt.Viewer):
    """KPIs, and of each variable a map, a table of all places, a chart over time and a picture of bars."""

    id = "zoo-viewer"
    title = "Everything of the zoo"

    def render(self, view: ldt.View) -> Scene:
        blocks: list[AnyBlock] = []
        data: list[DataRef] = []
        if view.kpis:
            blocks.append(self.kpis(view))
        for ref in view.show:
            if all(not _known(view.values(ref, r.name)).any() for r in view.runs):
                blocks.append(self.nothing(view, ref))
                continue
            blocks += self.variable(view, ref, data)
        return Scene(
            title=view.title,
            viewer=self.id,
            runs=list(view.runs),
            time=self.time(view),
            blocks=blocks,
            data=data,
        )

    def time(self, view: ldt.View) -> TimeAxis | None:
        return TimeAxis(start=view.start, end=view.end, zone=view.zone)

    def period(self, view: ldt.View) -> str:
        return f"{view.start} to {view.end} ({view.zone})"

    def kpis(self, view: ldt.View) -> AnyBlock:
        heads = [Head(id="kpi", title="Result", kind="text"), *_runs(view)]
        rows: list[list[object]] = [[k.title, *(v.value for v in k.values)] for k in view.kpis]
        found = any(v.value is not None for k in view.kpis for v in k.values)
        return KpiBlock(
            id="kpis",
            title="Results",
            finding=f"{len(view.kpis)} results of {len(view.runs)} runs."
            if found
            else "No result has a value.",
            alternative=Figures(caption="Results by run", columns=heads, rows=rows),
            kpis=list(view.kpis),
            synthetic=list(dict.fromkeys(s for k in view.kpis for s in k.synthetic)),
        )

    def nothing(self, view: ldt.View, ref: str) -> AnyBlock:
        title = view.info(ref).title
        text = f"{title} has no value in any run."
        return TextBlock(
            id=ref,
            title=title,
            finding=text,
            text=text,
            alternative=Figures(caption=title, columns=[], rows=[]),
        )

    def variable(self, view: ldt.View, ref: str, data: list[DataRef]) -> Sequence[AnyBlock]:
        blocks: list[AnyBlock] = [self.table(view, ref), self.chart(view, ref), self.bars(view, ref, data)]
        if view.info(ref).geometry:
            blocks.insert(0, self.map(view, ref, data))
        return blocks

    def unit(self, view: ldt.View, ref: str) -> str | None:
        return view.info(ref).unit

    def figure(self, view: ldt.View, ref: str, run: str) -> Figure:
        """Names of the places, and the mean of each."""
        values = view.values(ref, run)
        known = _known(values)
        ids = values[values.names[0]]
        names = dict(zip(ids, ids, strict=True))
        if view.info(ref).geometry:
            places = view.places(ref)
            names |= dict(zip(places[places.names[0]], places["name"], strict=True))
        return [names[i] for i in ids], [
            float(v) if k else None for v, k in zip(values["value"], known, strict=True)
        ]

    def table(self, view: ldt.View, ref: str) -> AnyBlock:
        title, unit = view.info(ref).title, view.info(ref).unit
        columns = [self.figure(view, ref, run.name) for run in view.runs]
        names = columns[0][0]
        rows: list[list[object]] = [
            [name, *values] for name, *values in zip(names, *(v for _, v in columns), strict=True)
        ]
        return TableBlock(
            id=f"table-{ref}",
            title=f"{title} by place",
            finding=f"{title} at {len(names)} places, mean over the time.",
            alternative=Figures(
                caption=f"{title} by place",
                columns=[Head(id="place", title="Place", kind="text"), *_runs(view, unit)],
                rows=rows[:200],
                more=max(0, len(rows) - 200),
            ),
            credits=view.credits(ref),
            synthetic=view.synthetic(ref),
        )

    def choose(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The places that are drawn."""
        return np.arange(0, count, max(1, -(-count // MOST)))

    def map(self, view: ldt.View, ref: str, data: list[DataRef]) -> AnyBlock:
        info, run = view.info(ref), view.runs[-1]
        names, values = self.figure(view, ref, run.name)
        places = view.places(ref)
        chosen = self.choose(len(places))
        drawn = places.take(chosen).with_columns(value=np.array(values, float)[chosen])
        drawn = ldt.Table({n: drawn[n] for n in drawn.names}, {"value": np.isnan(drawn["value"])})
        columns = {n: ldt.text() for n in drawn.names if n not in ("value", "geometry")}
        port = ldt.Port(
            {
                **columns,
                "value": ldt.number(info.unit or "1", info.quantity or "x:value", nulls=True),
                "geometry": ldt.geometry(),
            }
        )
        id = f"places {ref}"
        data.append(view.publish(id, drawn, port=port, source=[ref]))
        known = sorted(v for v in values if v is not None)
        return MapBlock(
            id=f"map-{ref}",
            title=f"{info.title}: {run.title}",
            finding=f"{info.title} is highest at {self.highest(names, values)}.",
            note=self.left_out(len(chosen), len(places)),
            alternative=Figures(
                caption=f"{info.title}, {run.title}",
                columns=[
                    Head(id="place", title="Place", kind="text"),
                    Head(id="value", title=info.title, unit=info.unit),
                ],
                rows=[[n, v] for n, v in zip(names, values, strict=True)][:200],
                more=max(0, len(names) - 200),
            ),
            credits=view.credits(ref),
            synthetic=view.synthetic(ref),
            crs=view.crs,
            bounds=self.bounds(view),
            layers=[
                Layer(
                    id="values",
                    title=info.title,
                    data=id,
                    geometry=info.geometry or "point",
                    field="value",
                    unit=self.unit(view, ref),
                    scale=Scale(
                        kind="sequential", breaks=[known[len(known) // 3], known[2 * len(known) // 3]]
                    ),
                    label="name",
                )
            ],
            run=run.name,
            period=self.period(view),
        )

    def highest(self, names: Sequence[str], values: Sequence[float | None]) -> str:
        return max(zip(names, values, strict=True), key=lambda nv: -np.inf if nv[1] is None else nv[1])[0]

    def left_out(self, drawn: int, count: int) -> str:
        return f"A sample is drawn: {drawn} of {count} places." if drawn < count else ""

    def bounds(self, view: ldt.View) -> tuple[float, float, float, float]:
        assert view.bounds is not None
        return view.bounds

    def line(self, view: ldt.View, ref: str, run: str) -> Line:
        """Instants, and the mean over all places at each."""
        found = view.series(ref, run)
        return [f"{t.astype('datetime64[s]')}Z" for t in found["time"]], [float(v) for v in found["value"]]

    def chart(self, view: ldt.View, ref: str) -> AnyBlock:
        info = view.info(ref)
        lines = {r.name: self.line(view, ref, r.name) for r in view.runs}
        times = lines[view.runs[0].name][0]
        series = [Series(name=r.title, x=list(times), y=list(lines[r.name][1])) for r in view.runs]
        rows: list[list[object]] = [[t, *ys] for t, *ys in zip(times, *(s.y for s in series), strict=True)]
        return ChartBlock(
            id=f"chart-{ref}",
            title=f"{info.title} over time",
            finding=f"{info.title}, mean over places, in {len(series)} runs.",
            alternative=self.alternative(
                Figures(
                    caption=f"{info.title} over time",
                    columns=[Head(id="time", title="Time", kind="instant"), *_runs(view, info.unit)],
                    rows=rows,
                )
            ),
            credits=view.credits(ref),
            synthetic=view.synthetic(ref),
            mark="line",
            x=Axis(title="Time", kind="instant"),
            y=Axis(title=info.title, unit=self.unit(view, ref)),
            series=series,
        )

    def alternative(self, figures: Figures) -> Figures:
        return figures

    def bars(self, view: ldt.View, ref: str, data: list[DataRef]) -> AnyBlock:
        info = view.info(ref)
        means = [
            float(np.nanmean([np.nan if v is None else v for v in self.figure(view, ref, r.name)[1]]))
            for r in view.runs
        ]
        id = f"bars {ref}"
        picture = self.picture([r.title for r in view.runs], means)
        data.append(view.publish_image(id, picture.encode(), "image/svg+xml"))
        heads = [Head(id="run", title="Run", kind="text"), Head(id="mean", title=info.title, unit=info.unit)]
        return ImageBlock(
            id=f"bars-{ref}",
            title=f"{info.title}: runs",
            finding=f"{info.title} on average over all places.",
            alternative=Figures(
                caption=f"{info.title} by run",
                columns=heads,
                rows=[[r.title, m] for r, m in zip(view.runs, means, strict=True)],
            ),
            credits=view.credits(ref),
            synthetic=view.synthetic(ref),
            data=id,
            alt=self.alt(f"Bars: {info.title} in {len(means)} runs"),
        )

    def alt(self, text: str) -> str:
        return text

    def label(self, text: str) -> str:
        """Text of the data as a part of a picture."""
        return escape("".join(c for c in text if c.isprintable()))

    def style(self) -> str:
        return "<style>text { font: 14px sans-serif }</style>"

    def picture(self, names: Sequence[str], values: Sequence[float]) -> str:
        top = max(values)
        bars = "".join(
            f'<rect x="0" y="{40 * i}" width="{300 * v / top:.1f}" height="16" fill="#2a6f97"/>'
            f'<text x="0" y="{40 * i + 32}">{self.label(name)}</text>'
            for i, (name, v) in enumerate(zip(names, values, strict=True))
        )
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="320" height="130">{self.style()}{bars}</svg>'


def _known(table: ldt.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(~table.mask("value") & np.isfinite(table["value"]))


def _runs(view: ldt.View, unit: str | None = None) -> list[Head]:
    return [Head(id=r.name, title=r.title, unit=unit) for r in view.runs]


# -- one fault each --------------------------------------------------------------------------------


@mutant("LDT-VIE-HEAD-01", SMALL)
class BlankMap(GoodViewer):
    """Draws the places, and looks elsewhere: metres and degrees mixed up."""

    def bounds(self, view: ldt.View) -> tuple[float, float, float, float]:
        return (11.0, 48.0, 12.0, 49.0)


@mutant("LDT-COR-CONF-01", SMALL)
class Mute(GoodViewer):
    """A scene without a block, whatever it is given."""

    def render(self, view: ldt.View) -> Scene:
        return super().render(view).model_copy(update={"blocks": [], "data": []})


@mutant("LDT-VIE-DATA-01", SMALL)
class OldValues(GoodViewer):
    """Keeps what it has read by the names of the places, whatever the values have become."""

    @cached_property
    def kept(self) -> dict[tuple[object, ...], Any]:
        return {}

    def figure(self, view: ldt.View, ref: str, run: str) -> Figure:
        found = super().figure(view, ref, run)
        old: Figure = self.kept.setdefault((ref, run, view.start, *found[0]), found)
        return old

    def line(self, view: ldt.View, ref: str, run: str) -> Line:
        found = super().line(view, ref, run)
        old: Line = self.kept.setdefault((ref, run, *found[0]), found)
        return old


@mutant("LDT-VIE-DATA-01", SMALL)
class ZeroForNothing(GoodViewer):
    """A place without a value gets the value 0."""

    def figure(self, view: ldt.View, ref: str, run: str) -> Figure:
        names, values = super().figure(view, ref, run)
        return names, [0.0 if v is None else v for v in values]


@mutant("LDT-VIE-EMPTY-01", SMALL)
class SilentAboutNothing(GoodViewer):
    """Where there is no value there is no block, and no word."""

    def render(self, view: ldt.View) -> Scene:
        found = super().render(view)
        return found.model_copy(
            update={
                "blocks": [
                    b
                    for b in found.blocks
                    if "no value" not in b.finding.lower() and "No result" not in b.finding
                ]
            }
        )


@mutant("LDT-VIE-LEG-01", SMALL)
class LegendWithoutUnit(GoodViewer):
    """Numbers beside a map or on an axis, and nobody knows of what; the folded tables say it."""

    def unit(self, view: ldt.View, ref: str) -> str | None:
        return None


@mutant("LDT-VIE-LEG-01", SMALL)
class WithoutZone(GoodViewer):
    """Times as they are in UTC, and a reader in another zone takes them for her own."""

    def time(self, view: ldt.View) -> TimeAxis | None:
        return TimeAxis(start=view.start, end=view.end)

    def period(self, view: ldt.View) -> str:
        return f"{view.start} to {view.end}"


@mutant("LDT-VIE-LEG-01", SMALL)
class Uncredited(GoodViewer):
    """Shows data and not whose they are."""

    def table(self, view: ldt.View, ref: str) -> AnyBlock:
        return super().table(view, ref).model_copy(update={"credits": []})

    def render(self, view: ldt.View) -> Scene:
        found = super().render(view)
        blocks = [b.model_copy(update={"credits": []}) for b in found.blocks]
        data = [d.model_copy(update={"attribution": None}) for d in found.data]
        return found.model_copy(update={"blocks": blocks, "data": data})


@mutant("LDT-VIE-NET-01", SMALL)
class FontFromAbroad(GoodViewer):
    """A picture whose letters come from a public host."""

    def style(self) -> str:
        return (
            "<style>@font-face { font-family: Outside; src: url('https://fonts.example.org/outside.woff2') }"
            " text { font: 14px Outside, sans-serif }</style>"
        )


@mutant("LDT-VIE-NET-01", SMALL)
class ModuleFromAbroad(GoodViewer):
    """A client module that a public host serves, today and as long as it likes."""

    def render(self, view: ldt.View) -> Scene:
        found = super().render(view)
        chart = next((b for b in found.blocks if b.kind == "table"), None)
        if chart is None:
            return found
        text = "The same as a table: it stands above."
        block = CustomBlock(
            id="globe",
            title="Globe",
            finding="The values once more, on a globe.",
            alternative=chart.alternative,
            module="https://cdn.example.org/globe/latest/globe.mjs",
            fallback=text,
        )
        return found.model_copy(update={"blocks": [*found.blocks, block]})


@mutant("LDT-VIE-XSS-01", SMALL)
class TextAsMarkup(GoodViewer):
    """Puts the names of runs into a picture as they are."""

    def label(self, text: str) -> str:
        return text


@mutant("LDT-VIE-A11Y-01", SMALL)
class BlankWords(GoodViewer):
    """A blank where the words for a picture should stand."""

    def alt(self, text: str) -> str:
        return " "


@mutant("LDT-VIE-A11Y-03", SMALL)
class ChartWithoutFigures(GoodViewer):
    """A chart for those who see it."""

    def alternative(self, figures: Figures) -> Figures:
        return Figures(caption=figures.caption, columns=[], rows=[])


@mutant("LDT-VIE-A11Y-03", SMALL)
class OtherFigures(GoodViewer):
    """Draws one thing and says another: the table holds the values of an hour ago."""

    def alternative(self, figures: Figures) -> Figures:
        times = [row[0] for row in figures.rows]
        shifted = [[t, *row[1:]] for t, row in zip(times[1:], figures.rows, strict=False)]
        return figures.model_copy(update={"rows": shifted})


@mutant("LDT-VIE-A11Y-02", SMALL)
class OneColumnPerMinute(GoodViewer):
    """A table so wide that a reader without a mouse presses Tab a hundred times to get past its heads."""

    def table(self, view: ldt.View, ref: str) -> AnyBlock:
        found = super().table(view, ref)
        figures = found.alternative
        if figures.more:
            return found
        heads = [*figures.columns, *(Head(id=f"m{i}", title=f"Minute {i}") for i in range(120))]
        rows = [[*row, *([None] * 120)] for row in figures.rows]
        return found.model_copy(
            update={
                "alternative": Figures(caption=figures.caption, columns=heads, rows=rows, more=figures.more)
            }
        )


@mutant("LDT-VIE-DET-01", SMALL)
class CountsItsCalls(GoodViewer):
    """Writes into the scene how often it was asked."""

    calls = itertools.count(1)

    def left_out(self, drawn: int, count: int) -> str:
        return f"{super().left_out(drawn, count)} Picture number {next(self.calls)}.".strip()


@mutant("LDT-VIE-HUGE-01", SMALL)
class TheFirstThousands(GoodViewer):
    """Draws the first places of a large city and says nothing of the others."""

    def left_out(self, drawn: int, count: int) -> str:
        return ""


@mutant("LDT-VIE-HUGE-01", SMALL)
class EverythingAtOnce(GoodViewer):
    """A row for each of a hundred thousand places."""

    def table(self, view: ldt.View, ref: str) -> AnyBlock:
        found = super().table(view, ref)
        names, values = self.figure(view, ref, view.runs[0].name)
        if len(names) < MOST:
            return found
        columns = found.alternative.columns[:2]
        rows = [[n, v] for n, v in zip(names, values, strict=True)]
        return found.model_copy(
            update={"alternative": Figures(caption=found.alternative.caption, columns=columns, rows=rows)}
        )
