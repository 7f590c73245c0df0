"""How a value ran over time in each run: the line charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import ldt_core as ldt
from ldt_core.scene import Axis, Cell, ChartBlock, Figures, Head, Series

from .words import join_words, make_ids, write_amount, write_instant, write_iso, write_number

Numbers = NDArray[np.float64]


class Line(NamedTuple):
    """One run over time; NaN where there is no value. ``low`` and ``high`` are None without spread."""

    time: NDArray[np.datetime64]
    value: Numbers
    low: Numbers | None
    high: Numbers | None


def read_line(table: ldt.Table) -> Line:
    """From ``View.series``, in order of time."""
    order = np.argsort(table["time"], kind="stable")
    value = _numbers(table, "value")[order]
    low, high = (_numbers(table, name)[order] for name in ("low", "high"))
    spread = bool(np.any(high > low))
    return Line(table["time"][order], value, low if spread else None, high if spread else None)


def _numbers(table: ldt.Table, name: str) -> Numbers:
    if name not in table:
        return np.full(len(table), np.nan)
    values = np.array(table[name], np.float64)
    values[table.mask(name) | ~np.isfinite(values)] = np.nan
    return values


def thin_line(line: Line, per: int, *, highest: bool = False) -> Line:
    """Means (or the highest) of ``per`` windows, from the lowest low to the highest high; first stamp."""
    if per <= 1:
        return line
    starts = np.arange(0, len(line.time), per)
    low = None if line.low is None else np.fmin.reduceat(line.low, starts)
    high = None if line.high is None else np.fmax.reduceat(line.high, starts)
    if highest:
        return Line(line.time[starts], np.fmax.reduceat(line.value, starts), low, high)
    known = ~np.isnan(line.value)
    count = np.add.reduceat(known, starts, dtype=np.int64)
    total = np.add.reduceat(np.where(known, line.value, 0.0), starts)
    mean = np.divide(total, count, out=np.full(len(starts), np.nan), where=count > 0)
    return Line(line.time[starts], mean, low, high)


def draw_lines(
    lines: Mapping[str, Line],
    runs: Mapping[str, str],
    *,
    id: str,
    title: str,
    unit: str | None,
    zone: str,
    note: str,
) -> ChartBlock:
    """A line per run, or dots where there is one instant only. ``lines`` hold at least one value."""
    single = max(len(line.time) for line in lines.values()) <= 1
    return ChartBlock(
        id=id,
        title=title,
        finding=describe_lines(lines, runs, unit=unit, zone=zone),
        alternative=list_lines(lines, runs, title, unit),
        note=note,
        mark="dot" if single else "line",
        x=Axis(title="Time", kind="instant"),
        y=Axis(title=title, unit=unit),
        series=[
            Series(
                name=runs[run],
                x=[write_iso(t) for t in line.time],
                y=_plain(line.value),
                low=None if line.low is None else _plain(line.low),
                high=None if line.high is None else _plain(line.high),
            )
            for run, line in lines.items()
        ],
    )


def _plain(values: Numbers) -> list[float | None]:
    return [None if v != v else v for v in values.tolist()]


def describe_lines(lines: Mapping[str, Line], runs: Mapping[str, str], *, unit: str | None, zone: str) -> str:
    """The peak of each run, when it was, and the mean. Levels have no arithmetic mean, so none is named."""
    steady, peaks, means, when = [], [], [], {}
    for run, line in lines.items():
        if np.isnan(line.value).all():
            steady.append(f"{runs[run]} has no value")
            continue
        low, high = float(np.nanmin(line.value)), float(np.nanmax(line.value))
        if low == high:
            steady.append(f"{runs[run]} {write_amount(low, unit)} throughout")
            continue
        when[run] = write_instant(line.time[int(np.nanargmax(line.value))], zone)
        peaks.append(f"{write_amount(high, unit)} in {runs[run]}")
        if unit != "dB":
            means.append(f"{write_number(float(np.nanmean(line.value)))} in {runs[run]}")
    parts = []
    if len(set(when.values())) == 1:
        parts.append(f"Highest at {next(iter(when.values()))}: {join_words(peaks)}")
    elif when:
        parts.append(
            "Highest: " + "; ".join(f"{p}, at {t}" for p, t in zip(peaks, when.values(), strict=True))
        )
    if means:
        parts.append(f"on average {join_words(means)}")
    return "; ".join(parts + steady)


def list_lines(lines: Mapping[str, Line], runs: Mapping[str, str], title: str, unit: str | None) -> Figures:
    """One row per instant that any run has."""
    ids = make_ids(lines)
    heads = [Head(id="time", title="Time", kind="instant")]
    blocks: list[dict[str, list[float | None]]] = []
    for run, line in lines.items():
        heads.append(Head(id=ids[run], title=runs[run], unit=unit))
        columns = [line.value]
        if line.low is not None and line.high is not None:
            heads += [
                Head(id=f"{ids[run]}.low", title=f"{runs[run]}: lowest", unit=unit),
                Head(id=f"{ids[run]}.high", title=f"{runs[run]}: highest", unit=unit),
            ]
            columns += [line.low, line.high]
        cells = zip(*(_plain(c) for c in columns), strict=True)
        blocks.append({write_iso(t): list(row) for t, row in zip(line.time, cells, strict=True)})
    widths = [3 if line.low is not None else 1 for line in lines.values()]
    times = np.unique(np.concatenate([line.time for line in lines.values()]))
    rows: list[list[Cell]] = []
    for stamp in map(write_iso, times):
        row: list[Cell] = [stamp]
        for block, width in zip(blocks, widths, strict=True):
            row += block.get(stamp, [None] * width)
        rows.append(row)
    return Figures(caption=f"{title} over time", columns=heads, rows=rows)
