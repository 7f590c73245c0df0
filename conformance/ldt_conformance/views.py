"""Views that a viewer under test is asked to render: a small made-up town whose values, names and words are known.

What a viewer can show is its vendor's to say, by ``Example.shows`` (see ``Shows``); what it must show of it is read
from the view itself, so no value is written down twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import ldt_core as ldt
from ldt_core import scene
from ldt_core.testing import MemoryView, Variable

from .trial import CannotTell, Trial

Shape = Literal["point", "line", "polygon"]
Kind = Literal["usual", "other", "none", "missing", "hostile", "huge", "leap day", "one window"]
"""``other`` has other values at the same places, ``none`` no places and no KPIs, ``missing`` no value anywhere."""

PLACES, HUGE, REPLICATES = 6, 100_000, 4
"""Places of each variable, of which the last has no value; places of the huge view; replicates of each run."""

CALLED = "ldtHostile"
"""The function that a script in hostile text calls."""
MARK = "data-ldt-hostile"
"""The attribute of an element that hostile text would make."""
HOSTILE = (
    f"<script>{CALLED}(1)</script>",
    f'"><img src=x {MARK} onerror={CALLED}(2)>',
    f"'><svg {MARK} onload={CALLED}(3)>",
    f"</title></style></script></text><b {MARK}>4</b>",
    f"&lt;b {MARK}&gt;5",
    f"]]><b {MARK}>6</b><!--",
    f"javascript:{CALLED}(7)",
    "{{ 7 * 7 }} ${7 * 7} %s %(name)s",
    "\u202egnp.tsefir\u202c \u05e9\u05dc\u05d5\u05dd \u0627\u0644\u062d\u0631",
    "=HYPERLINK(0) ' OR '1'='1",
    "Stra\u00dfe Zoe\u0308 \U0001f3d9 " + "Langengassenerweiterungsbauabschnitt" * 25,
)
"""Texts that were data and must stay text."""


class Shown(BaseModel):
    """A variable that the viewer is given. Values lie between ``low`` and ``high``; no ``geometry``: no places known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ref: str = Field(pattern=r"^[^.]+\.[^.]+\.[^.]+$")
    title: str
    unit: str
    quantity: str | None = None
    geometry: Shape | None = None
    cell: Literal["mean", "point", "sum"] = "mean"
    low: float
    high: float
    id: str = "place"


VARIABLES = (
    Shown(
        ref="air.no2.no2",
        title="Nitrogen dioxide",
        unit="ug/m3",
        quantity="mass_concentration_of_nitrogen_dioxide_in_air",
        geometry="point",
        low=11.0,
        high=47.0,
        id="station",
    ),
    Shown(
        ref="traffic.flow.flow",
        title="Traffic flow",
        unit="{veh}/h",
        quantity="x:traffic_flow",
        geometry="line",
        low=310.0,
        high=1870.0,
        id="edge",
    ),
    Shown(
        ref="heat.demand.demand",
        title="Heat demand",
        unit="kW.h",
        quantity="x:heat_demand",
        geometry="polygon",
        cell="sum",
        low=23_000.0,
        high=94_000.0,
        id="building",
    ),
)


class Shows(BaseModel):
    """What the viewer can show: ``Example.shows``. Left out: everything.

    ``places`` says whether it shows values by place, or only what they come to together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    variables: tuple[Shown, ...] = VARIABLES
    geometry: tuple[Shape, ...] = ("point", "line", "polygon")
    kpis: bool = True
    places: bool = True
    runs: int = Field(3, ge=1, le=3)


def shows(trial: Trial) -> Shows:
    """What the vendor says. Raises ``CannotTell``: then nothing can be judged, and that is no fault of the viewer's."""
    try:
        found = Shows.model_validate(trial.example.shows)
    except ValidationError as exc:
        raise CannotTell(f"the example's 'shows' cannot be read: {exc.errors()[0]['msg']}") from exc
    kept = tuple(v for v in found.variables if v.geometry is None or v.geometry in found.geometry)
    return found.model_copy(update={"variables": kept})


RUNS = (
    ("base", "Streets as today"),
    ("calm", "Calm streets"),
    ("buses", "Lanes for buses"),
)
_FACTORS = {"base": 1.0, "calm": 0.83, "buses": 1.29}
_NAMES = ("Amselweg", "Birkenallee", "Claraplatz", "Dornengasse", "Eschenufer", "Fuchswiese")
_KPIS = (
    ("exposure", "Exposure at schools", "ug/m3", 37.3, 30.0),
    ("energy", "Energy for heating", "MW.h", 523.0, None),
)


def example_view(trial: Trial, kind: Kind = "usual") -> MemoryView:
    """A view for the viewer under test, the same for the same ``kind`` and example."""
    said = shows(trial)
    if kind == "huge":
        placed = sorted(said.variables, key=lambda v: v.geometry is None)
        said = said.model_copy(update={"variables": tuple(placed[:1]), "runs": 1, "kpis": False})
    runs = [_run(n, name, title, kind) for n, (name, title) in enumerate(RUNS[: said.runs])]
    e = trial.example
    leap = kind == "leap day"
    start = np.datetime64("2028-02-28T22:00", "us") if leap else e.start
    windows = 1 if kind in ("one window", "huge") else max(2, e.windows)
    view = MemoryView(
        runs,
        {
            v.ref: _variable(number, v, [r.name for r in runs], windows, kind)
            for number, v in enumerate(said.variables)
        },
        _kpis(said, runs, kind) if said.kpis else (),
        title=_worded("Quittenau", 0, kind),
        crs=e.crs,
        bounds=(600_000.0, 5_700_000.0, 601_000.0, 5_700_700.0),
        start=f"{start.astype('datetime64[s]')}Z",
        step=f"{e.step / 1e6:g}s",
        zone="Asia/Kathmandu" if leap else "Europe/Rome",
    )
    return view


def _worded(text: str, number: int, kind: Kind) -> str:
    """A text of the view; in the hostile one with something behind it that wants to be more than text."""
    return f"{text} {HOSTILE[number % len(HOSTILE)]}" if kind == "hostile" else text


def _run(number: int, name: str, title: str, kind: Kind) -> scene.RunRef:
    about = _worded(f"The future called {title.lower()}.", number + 3, kind)
    return scene.RunRef(
        name=name, title=_worded(title, number, kind), description=about, replicates=REPLICATES
    )


def _variable(number: int, v: Shown, runs: list[str], windows: int, kind: Kind) -> Variable:
    count = {"none": 0, "huge": HUGE}.get(kind, PLACES)
    # Apart from each other by more than what rounding hides, in every run and window.
    share = (
        ((np.arange(count) * 0.618 + 0.1 * number) % 1.0) if kind == "huge" else np.linspace(0.0, 1.0, count)
    )
    level = v.low + (v.high - v.low) * share**1.3
    if kind == "other":
        level = v.low + (v.high - v.low) * (0.13 + 0.61 * share[::-1])
    over_time = 1.0 + 0.11 * np.sin(1.0 + 2.0 * np.arange(windows))
    over_replicates = 1.0 + 0.004 * (np.arange(REPLICATES) - (REPLICATES - 1) / 2)
    values = {}
    for run in runs:
        block = (
            _FACTORS[run] * over_replicates[:, None, None] * over_time[None, :, None] * level[None, None, :]
        )
        block[:, :, -1:] = np.nan
        values[run] = np.full_like(block, np.nan) if kind == "missing" else block
    return Variable(
        values,
        _places(number, v, count, kind),
        unit=v.unit,
        quantity=v.quantity,
        cell=v.cell,
        title=_worded(v.title, number + 3, kind),
        credits=[_worded(f"Survey {number + 1} of Quittenau, CC BY 4.0", number + 6, kind)],
        synthetic=[_worded(made_up(v), number + 8, kind)],
    )


def made_up(v: Shown) -> str:
    """The sentence that must stand beside everything made of this variable."""
    return f"The {v.title.lower()} is made up, to judge a viewer."


def _places(number: int, v: Shown, count: int, kind: Kind) -> ldt.Table:
    at = np.arange(count)
    ids = np.array([f"{v.id}-{i}" for i in at], object)
    if kind == "huge":
        names = np.array([f"Street {i}" for i in at], object)
        x, y = 600_000.0 + (at % 400) * 2.5, 5_700_000.0 + (at // 400) * 2.8
        size = 2.0
    else:
        names = np.array(
            [_worded(f"{name} {number + 1}", i + number, kind) for i, name in enumerate(_NAMES[:count])],
            object,
        )
        x, y = 600_080.0 + (at % 3) * 300.0, 5_700_060.0 + (at // 3) * 300.0 + 60.0 * number
        size = 160.0
    columns: dict[str, Any] = {v.id: ids, "name": names}
    if v.geometry == "point":
        columns["geometry"] = np.array(shapely.points(x, y), object)
    elif v.geometry == "line":
        ends = np.stack([np.stack([x, y], -1), np.stack([x + size, y + size / 3], -1)], 1)
        columns["geometry"] = np.array(shapely.linestrings(ends), object)
    elif v.geometry == "polygon":
        columns["geometry"] = np.array(shapely.box(x, y, x + size, y + size / 2), object)
    return ldt.Table(columns)


def _kpis(said: Shows, runs: list[scene.RunRef], kind: Kind) -> list[scene.Kpi]:
    if kind == "none":
        return []
    factor = 1.37 if kind == "other" else 1.0
    found = []
    for number, (id, title, unit, level, target) in enumerate(_KPIS):
        values: list[scene.KpiValue] = []
        for run in runs:
            value = level * factor * _FACTORS[run.name] + number
            plain = scene.KpiValue(
                run=run.name, value=value, lowest=value * 0.99, highest=value * 1.01, n=REPLICATES
            )
            if kind == "missing":
                plain = scene.KpiValue(run=run.name, value=None, n=REPLICATES)
            elif run.name != "base":
                base = values[0].value or 0.0
                change = value - base
                plain = plain.model_copy(
                    update={
                        "change": change,
                        "percent": 100 * change / base,
                        "low": change - 0.02 * base,
                        "high": change + 0.02 * base,
                        "verdict": "distinguishable",
                        "better": change < 0,
                    }
                )
            values.append(plain)
        kpi = scene.Kpi(
            id=id,
            title=_worded(title, number + 2, kind),
            unit=unit,
            better="lower",
            target=target,
            values=values,
            synthetic=[_worded(f"The {title.lower()} is made up, to judge a viewer.", number, kind)],
        )
        found.append(kpi)
    return found


def copy_view(view: MemoryView) -> MemoryView:
    """The same view, with nothing published yet."""
    return replace(view)


def known_values(view: MemoryView, ref: str, run: str) -> Mapping[str, list[float]]:
    """What a viewer may show of a variable in a run, by how it was reduced; of each, the finite values in order."""
    found: dict[str, list[float]] = {}
    for how in ("mean", "sum", "min", "max", "last"):
        found[f"places, {how}"] = _finite(view.values(ref, run, how))
        if run != view.runs[0].name:
            found[f"changes, {how}"] = _finite(view.paired(ref, run, how))
    for space in ("mean", "sum", "min", "max"):
        found[f"time, {space}"] = _finite(view.series(ref, run, space))
    return {how: values for how, values in found.items() if values}


def known_together(view: MemoryView, ref: str, run: str) -> Mapping[str, list[float]]:
    """What a viewer may show of a variable in a run that has one number for all places and windows: by how it was reduced
    over time and over places."""
    found: dict[str, list[float]] = {}
    for how in ("mean", "sum", "min", "max", "last"):
        if values := _finite(view.values(ref, run, how)):
            for space, one in (("mean", np.mean), ("sum", np.sum), ("min", np.min), ("max", np.max)):
                found[f"together, {how} over time, {space} over places"] = [float(one(values))]
    return found


def _finite(table: ldt.Table) -> list[float]:
    values = table["value"][~table.mask("value")]
    return [float(x) for x in values if np.isfinite(x)]
