"""The viewer ``kpi``: judgement first, then every figure, then how it ran over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

import ldt_core as ldt
from ldt_core.scene import (
    AnyBlock,
    Axis,
    ChartBlock,
    Figures,
    Kpi,
    KpiBlock,
    Scene,
    Series,
    State,
    TextBlock,
    TimeAxis,
)

from .figures import (
    list_changes,
    list_spread,
    list_values,
    percent_interval,
    tidy_kpi,
)
from .judge import describe, find_largest, label_kpis, sum_up
from .timelines import draw_lines, read_line, thin_line
from .words import clean_text, join_words, label_runs, make_ids, name_column, unique

_SPACE = {"mean": "mean over places", "sum": "sum over places", "min": "lowest place", "max": "highest place"}


class KpiViewer(ldt.Viewer):
    """KPIs of all runs against the baseline, and values over time.

    Only changes that are told from chance are called better or worse; the words come with the
    KPI's values. Each ref under ``show`` becomes a chart over time.
    """

    id = "kpi"
    title = "KPIs side by side"

    class Params(ldt.Params):
        title: str = Field("", description="heading; empty: the view's own title")
        titles: dict[str, str] = Field({}, description="what to call a ref of `show`, by ref")
        spread: bool | None = Field(
            None,
            description="a chart per KPI with the spread over replicates; "
            "empty: only where there is no other run to compare with",
        )
        space: Literal["auto", "mean", "sum", "min", "max"] = Field(
            "auto",
            description="how places become one line; auto: sum for sums, max for levels in dB, else mean",
        )
        max_steps: int = Field(
            400,
            ge=2,
            description="points that a line may have; longer ones are averaged and say so",
        )

    def render(self, view: ldt.View) -> Scene:
        _check_titles(self.params.titles, view.show)
        runs = label_runs(view.runs)
        blocks: list[AnyBlock] = []
        if not runs:
            blocks.append(_say_nothing("kpis", "KPIs", "there is no run"))
        else:
            blocks += self._show_kpis([tidy_kpi(k, runs) for k in view.kpis], runs, view)
            ids = make_ids(view.show)
            blocks += [self._show_time(ref, f"time-{ids[ref]}", runs, view) for ref in unique(view.show)]
        return Scene(
            title=self.params.title or view.title,
            viewer=self.id,
            runs=list(view.runs),
            time=TimeAxis(start=view.start, end=view.end, zone=view.zone),
            blocks=blocks,
            state=State(run=view.runs[0].name if runs else None),
        )

    def _show_kpis(self, kpis: Sequence[Kpi], runs: Mapping[str, str], view: ldt.View) -> list[AnyBlock]:
        if not kpis:
            return [_say_nothing("kpis", "KPIs", "the twin file names no KPI")]
        credits = unique(c for ref in view.show for c in view.credits(ref))
        synthetic = unique(s for kpi in kpis for s in kpi.synthetic)
        valued = [k for k in kpis if any(v.value is not None for v in k.values)]
        if valued:
            finding = sum_up(kpis, runs)
        else:
            finding = f"There is nothing to show: none of {len(kpis)} KPIs has a value in any run"
        blocks: list[AnyBlock] = [
            KpiBlock(
                id="kpis",
                title="All results",
                finding=finding,
                alternative=list_values(kpis, runs),
                credits=credits,
                synthetic=synthetic,
                note=_explain(view),
                kpis=list(kpis),
            ),
        ]
        if any(v.percent is not None for k in kpis for v in k.values):
            blocks.append(_draw_changes(kpis, runs, credits, synthetic))
        if self.params.spread or (self.params.spread is None and len(runs) == 1):
            ids = make_ids(k.id for k in kpis)
            blocks += [_draw_spread(k, f"spread-{ids[k.id]}", runs, credits) for k in valued]
        return blocks

    def _show_time(self, ref: str, id: str, runs: Mapping[str, str], view: ldt.View) -> AnyBlock:
        info = view.info(ref)
        space = self.params.space
        if space == "auto":
            # Levels have no arithmetic mean: 40 dB and 80 dB together are 77 dB, not 60 dB.
            space = "max" if info.unit == "dB" else "sum" if info.cell == "sum" else "mean"
        name = clean_text(self.params.titles.get(ref, "")) or name_column(info)
        title = f"{name} ({_SPACE[space]})" if info.geometry else name
        lines = {run: read_line(view.series(ref, run, space)) for run in runs}
        block: ChartBlock | TextBlock
        if all(np.isnan(line.value).all() for line in lines.values()):
            block = _say_nothing(id, title, f"{name} has no value in any run")
        else:
            per = -(-max(len(line.time) for line in lines.values()) // self.params.max_steps)
            level = info.unit == "dB"
            how = "highest" if level else "mean"
            note = f"Each point is the {how} of {per} windows." if per > 1 else ""
            thin = {run: thin_line(line, per, highest=level) for run, line in lines.items()}
            block = draw_lines(thin, runs, id=id, title=title, unit=info.unit, zone=view.zone, note=note)
        return block.model_copy(
            update={"credits": unique(view.credits(ref)), "synthetic": unique(view.synthetic(ref))}
        )


def _check_titles(titles: Mapping[str, str], show: Sequence[str]) -> None:
    for ref in titles:
        if ref not in show:
            raise ldt.ParamError(
                f"titles names '{ref}', which the view does not show",
                where="titles",
                fix=f"write one of: {', '.join(show) or '(show is empty)'}",
            )


def _explain(view: ldt.View) -> str:
    if len(view.runs) < 2:
        return ""
    text = "A change is called better or worse only where it can be told from run-to-run chance."
    if all(run.replicates < 3 for run in view.runs):
        text += " That takes three replicates or more, which these runs do not have."
    return text


def _draw_changes(
    kpis: Sequence[Kpi], runs: Mapping[str, str], credits: list[str], synthetic: list[str]
) -> ChartBlock:
    """All KPIs on one axis: change in percent with its 95 % interval, which shows what may be chance."""
    names = label_kpis(kpis)
    series = []
    for run in list(runs)[1:]:
        found = [(names[k.id], v) for k in kpis for v in k.values if v.run == run and v.percent is not None]
        ends = [percent_interval(v) for _, v in found]
        spread = any(low is not None for low, _ in ends)
        series.append(
            Series(
                name=runs[run],
                x=[name for name, _ in found],
                y=[v.percent for _, v in found],
                low=[low for low, _ in ends] if spread else None,
                high=[high for _, high in ends] if spread else None,
            )
        )
    base = next(iter(runs.values()))
    notes = ["Bars are 95 % intervals; one that reaches over zero may be chance."]
    if absent := [names[k.id] for k in kpis if all(v.percent is None for v in k.values)]:
        notes.append(f"Without a change in percent: {join_words(absent)}.")
    return ChartBlock(
        id="changes",
        title=f"Change against {base}, in percent",
        finding=find_largest(kpis, runs),
        alternative=list_changes(kpis, runs),
        credits=credits,
        synthetic=synthetic,
        note=" ".join(notes),
        mark="dot",
        x=Axis(title="Result", kind="category"),
        y=Axis(title=f"Change against {base}", unit="%", zero=True),
        series=[s for s in series if s.x],
    )


def _draw_spread(kpi: Kpi, id: str, runs: Mapping[str, str], credits: list[str]) -> ChartBlock:
    """Mean of each run with lowest to highest replicate; the target beside it where there is one."""
    names: list[float | str] = [runs[v.run] for v in kpi.values]
    spread = any(v.lowest is not None and v.highest is not None for v in kpi.values)
    series = [
        Series(
            name="Mean of replicates" if any(v.n > 1 for v in kpi.values) else "Value",
            x=names,
            y=[v.value for v in kpi.values],
            low=[v.lowest for v in kpi.values] if spread else None,
            high=[v.highest for v in kpi.values] if spread else None,
        )
    ]
    if kpi.target is not None:
        series.append(Series(name="Target", x=names, y=[kpi.target] * len(names)))
    title = clean_text(kpi.title) or kpi.id
    return ChartBlock(
        id=id,
        title=title,
        finding=describe(kpi, runs),
        alternative=list_spread(kpi, runs),
        credits=credits,
        synthetic=kpi.synthetic,
        note={"lower": "Lower is better.", "higher": "Higher is better."}.get(kpi.better or "", ""),
        mark="dot",
        x=Axis(title="Run", kind="category"),
        y=Axis(title=title, unit=kpi.unit),
        series=series,
    )


def _say_nothing(id: str, title: str, reason: str) -> TextBlock:
    text = f"There is nothing to show: {reason}"
    return TextBlock(
        id=id, title=title, finding=text, text=text, alternative=Figures(caption=title, columns=[], rows=[])
    )
