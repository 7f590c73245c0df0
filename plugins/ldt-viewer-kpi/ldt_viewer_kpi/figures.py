"""The tables of the KPI viewer: what its blocks draw, as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ldt_core.scene import Cell, Figures, Head, Kpi, KpiValue

from .judge import label_kpis, write_verdict
from .words import clean_text

_NUMBERS = ("value", "lowest", "highest", "change", "percent", "low", "high")
_COMPARED = ("change", "percent", "low", "high", "verdict", "better")


def tidy_kpi(kpi: Kpi, runs: Mapping[str, str]) -> Kpi:
    """``kpi`` with one value per run, in the order of ``runs``; what is not a finite number is None.

    The first run is the baseline: it has no change.
    """
    given = {value.run: value for value in kpi.values}
    values = [given.get(run) or KpiValue(run=run, value=None) for run in runs]
    tidy = [v.model_copy(update={n: finite(getattr(v, n)) for n in _NUMBERS}) for v in values]
    tidy[:1] = [v.model_copy(update=dict.fromkeys(_COMPARED)) for v in tidy[:1]]
    return kpi.model_copy(update={"values": tidy, "target": finite(kpi.target)})


def finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def list_values(kpis: Sequence[Kpi], runs: Mapping[str, str]) -> Figures:
    """One row per KPI and run: the alternative of the KPI block."""
    heads = [
        Head(id="kpi", title="Result", kind="text"),
        Head(id="unit", title="Unit", kind="text"),
        Head(id="run", title="Run", kind="text"),
        Head(id="value", title="Mean"),
        Head(id="lowest", title="Lowest"),
        Head(id="highest", title="Highest"),
        Head(id="replicates", title="Replicates", digits=0),
        Head(id="target", title="Target"),
        Head(id="met", title="Target met", kind="boolean"),
        Head(id="change", title="Change"),
        Head(id="percent", title="Change in percent", unit="%"),
        Head(id="low", title="Change, 95 % from"),
        Head(id="high", title="Change, 95 % to"),
        Head(id="verdict", title="Verdict", kind="text"),
    ]
    rows: list[list[Cell]] = [
        [
            kpi.title, kpi.unit, runs[v.run], v.value, v.lowest, v.highest, v.n, kpi.target, v.met,
            v.change, v.percent, v.low, v.high, _verdict(kpi, v),
        ]
        for kpi in kpis
        for v in kpi.values
    ]  # fmt: skip
    return Figures(caption="Results by run, with the change against the baseline", columns=heads, rows=rows)


def _verdict(kpi: Kpi, value: KpiValue) -> str | None:
    return None if value.change is None else write_verdict(kpi, value)


def list_changes(kpis: Sequence[Kpi], runs: Mapping[str, str]) -> Figures:
    """One row per KPI and run with a change in percent: what the chart of changes draws."""
    heads = [
        Head(id="kpi", title="Result", kind="text"),
        Head(id="run", title="Run", kind="text"),
        Head(id="percent", title="Change", unit="%"),
        Head(id="low", title="95 % from", unit="%"),
        Head(id="high", title="95 % to", unit="%"),
        Head(id="verdict", title="Verdict", kind="text"),
    ]
    names = label_kpis(kpis)
    rows: list[list[Cell]] = [
        [names[kpi.id], runs[v.run], v.percent, *percent_interval(v), _verdict(kpi, v)]
        for kpi in kpis
        for v in kpi.values
        if v.percent is not None
    ]
    return Figures(caption=f"Change against {next(iter(runs.values()))}", columns=heads, rows=rows)


def percent_interval(value: KpiValue) -> tuple[float | None, float | None]:
    """The 95 % interval of the change, in percent of the baseline as ``percent`` is."""
    if value.percent is None or not value.change or value.low is None or value.high is None:
        return None, None
    scale = value.percent / value.change
    low, high = sorted((value.low * scale, value.high * scale))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def list_spread(kpi: Kpi, runs: Mapping[str, str]) -> Figures:
    """One row per run: what the dot chart of one KPI draws."""
    heads = [
        Head(id="run", title="Run", kind="text"),
        Head(id="value", title="Mean", unit=kpi.unit),
        Head(id="lowest", title="Lowest", unit=kpi.unit),
        Head(id="highest", title="Highest", unit=kpi.unit),
        Head(id="replicates", title="Replicates", digits=0),
    ]
    if kpi.target is not None:
        heads.append(Head(id="target", title="Target", unit=kpi.unit))
    rows: list[list[Cell]] = [
        [runs[v.run], v.value, v.lowest, v.highest, v.n] + ([] if kpi.target is None else [kpi.target])
        for v in kpi.values
    ]
    return Figures(caption=f"{clean_text(kpi.title)} by run", columns=heads, rows=rows)
