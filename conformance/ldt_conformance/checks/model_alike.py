"""The same physical input written in another way gives the same physical answer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.adapters import CrsStep, degrees, parse_crs, reproject
from ldt_core.interfaces import AnyPort, parse_duration
from ldt_core.tables import Port

from ..cases import cases_of, like, run, tolerances_of
from ..drivers.base import Raised
from ..generate import area
from ..job import exercise, inputs_of, rounding
from ..perturb import other_unit, sorted_rows, with_other_gaps, with_other_rows
from ..trial import Trial
from . import check

CRS_ROUNDING = 0.01
"""Share by which lengths may differ between two projections of one place, and what is computed from them."""
COARSE = 0.01
"""Share by which a golden case in other units may be off: whether it holds to the last digit is a matter of GOLD."""


@check("LDT-MOD-UNIT-01")
def the_same_input_gives_the_same_answer(trial: Trial) -> None:
    """Parameters in other units, golden cases in their own, other orders of rows, other gaps, other CRS of the twin."""
    subject = trial.open()
    given, (ports, outputs) = inputs_of(trial, subject), subject.ports()
    usual = exercise(trial, subject, given=given)

    def expect_alike(answer: Any, what: str, said: Any, share: float = 1e-9) -> None:
        one, other = (sorted_rows(a, outputs) for a in (usual, answer))
        if share == CRS_ROUNDING:
            one, other = (_without_places(a) for a in (one, other))
        trial.expect_same(one, other, what, given=said, tolerances=rounding(trial, usual, share))

    for params, what in _rewritten(trial):
        answer = exercise(trial, trial.open({**trial.example.params, **params}), given=given)
        expect_alike(answer, f"{what} gives another answer", params)
    for name, table in given.items():
        if isinstance(table, ldt.Table) and len(table) > 1 and _unordered(ports[name]):
            turned, order = with_other_rows(table)
            answer = exercise(trial, trial.open(), given={**given, name: turned})
            expect_alike(answer, f"the rows of '{name}' in another order give another answer", order)
    for name, table in _gaps(given, ports):
        other = with_other_gaps(table, _as_port(ports[name]))
        one, two = (exercise(trial, trial.open(), given={**given, name: t}) for t in (table, other))
        trial.expect_same(one, two, f"it reads what lies beneath the missing values of '{name}'")
    for crs, moved in _elsewhere(trial, given, ports):
        box = area(trial.example.crs, trial.example.bbox, crs)
        try:
            answer = exercise(trial, trial.open(crs=crs, bbox=box), given=moved)
        except Raised as raised:
            if raised.word not in ("config", "input", "unsupported"):
                raise
            trial.observations += 1  # it says that it cannot work there
        else:
            expect_alike(
                answer, "the same places in another CRS of the twin give another answer", crs, CRS_ROUNDING
            )
    for case in cases_of(trial):
        if case.units:
            try:
                found = like(case, run(trial, case))
            except Raised as raised:
                trial.fail(f"the golden case '{case.name}' is refused", given=case.inputs, got=str(raised))
            trial.expect_same(
                _numbers(sorted_rows(case.outputs, outputs)),
                _numbers(sorted_rows(found, outputs)),
                f"the golden case '{case.name}', written in {', '.join(case.units.values())}, does not hold",
                given=case.inputs,
                tolerances=tolerances_of(trial, case, COARSE),
            )
    trial.expect(True, "the example was computed")


def _unordered(port: AnyPort) -> bool:
    return isinstance(port, Port) and not port.events


def _as_port(port: AnyPort) -> Port:
    assert isinstance(port, Port)
    return port


def _numbers(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What units are about."""
    return {n: t.select(*(c for c in t.names if t[c].dtype.kind == "f")) for n, t in answer.items()}


def _without_places(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Geometry is written in the twin's CRS."""
    return {
        n: t.select(*(c for c in t.names if not hasattr(next(iter(t[c]), None), "geom_type")))
        if isinstance(t, ldt.Table)
        else None
        for n, t in answer.items()
    }


# -- parameters -----------------------------------------------------------------------------------------


def _rewritten(trial: Trial) -> Iterator[tuple[dict[str, Any], str]]:
    """Each parameter of the example, or its default, written in another way."""
    units, properties = trial.manifest["units"], trial.manifest["params"].get("properties", {})
    for name, described in properties.items():
        value = trial.example.params.get(name, described.get("default"))
        if name in units and isinstance(value, int | float) and not isinstance(value, bool):
            code = other_unit(units[name])
            if code is not None:
                gain, offset = ldt.conversion(units[name], code)
                yield (
                    {name: f"{value * gain + offset!r} {code}"},
                    f"'{name}' in {code} instead of {units[name]}",
                )
        elif described.get("x-ldt") == "duration" and isinstance(value, str | int):
            yield {name: f"{parse_duration(value)}us"}, f"'{name}' in microseconds"
        elif described.get("format") == "date-time" and isinstance(value, str):
            yield {name: _in_other_zone(value)}, f"'{name}' with another offset"


def _in_other_zone(text: str) -> str:
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return aware.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat()


# -- tables ----------------------------------------------------------------------------------------------


def _gaps(given: Mapping[str, Any], ports: Mapping[str, AnyPort]) -> Iterator[tuple[str, ldt.Table]]:
    """Tables with a missing value, on ports that allow one."""
    for name, table in given.items():
        port = ports[name]
        if not isinstance(table, ldt.Table) or not isinstance(port, Port) or not len(table):
            continue
        for column, meant in port.columns.items():
            if meant.nulls and meant.measured and not table.mask(column).any():
                table = table.with_mask(column, np.arange(len(table)) == 0)
        if any(m.any() for m in table.masks.values()):
            yield name, table


def _elsewhere(
    trial: Trial, given: Mapping[str, Any], ports: Mapping[str, AnyPort]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same places in a neighbouring projection and in degrees, where a port is given places in the twin's CRS."""
    twins = {
        n: [c for c, m in p.columns.items() if m.kind == "geometry" and m.crs == "twin"]
        for n, p in ports.items()
        if isinstance(given.get(n), ldt.Table)
    }
    if not any(twins.values()):
        return
    own, box = trial.example.crs, area(trial.example.crs, trial.example.bbox)
    for crs in (_neighbour(own), "EPSG:4326"):
        if crs == own:
            continue
        step = CrsStep(own, crs, degrees(box, own))
        moved = dict(given)
        for name, columns in twins.items():
            for column in columns:
                moved[name] = reproject(moved[name], column, step) if len(moved[name]) else moved[name]
        yield crs, moved


def _neighbour(crs: str) -> str:
    """A projection in metres that distorts this place little: the equal-area one of Europe, or the UTM zone of its east."""
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    _, south, east, north = degrees(area(crs), crs) or (0.0, 0.0, 0.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = query_utm_crs_info("WGS 84", AreaOfInterest(east + 2.0, south, east + 2.0, north))
    codes = [f"EPSG:{info.code}" for info in found]
    return next((c for c in codes if not parse_crs(c).equals(parse_crs(crs))), "EPSG:3035")
