"""Checks of sources: positions are where the fixture's places are, x then y, whatever the twin's CRS."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

import ldt_core as ldt
from ldt_core.adapters import parse_crs, within
from ldt_core.errors import WiringError
from ldt_core.tables import Port

from ..reading import NAMES, alike, known, read, rows_of, table_ports
from ..trial import CannotTell, NotApplicable, Trial
from . import check

METRES = 10.0
"""How far from a known place a position may lie, unless the example's tolerances say otherwise."""
OTHERS = ("EPSG:3035", "EPSG:3857", "EPSG:4326")
"""Twins' CRS beside the example's own."""


def placed(trial: Trial) -> dict[str, tuple[Port, str]]:
    """Ports with a geometry column, and its name."""
    ports = table_ports(trial)
    found = {n: (p, p.geometry_column) for n, p in ports.items() if p.geometry_column is not None}
    if not found:
        raise NotApplicable("none of its ports has a geometry column")
    return found


def crs_of(port: Port, column: str, twin: str) -> str:
    said = port.columns[column].crs
    return twin if said is None or said == "twin" else said


@check("LDT-SRC-CRS-01")
def places_are_where_they_are_known_to_be(trial: Trial) -> None:
    ports = placed(trial)
    rows = read(trial)
    for name, (port, column) in ports.items():
        crs = port.columns[column].crs or ""
        where = f"the column '{name}.{column}'"
        legal = crs == "twin" or bool(re.fullmatch(r"[A-Za-z]+:\w+", crs)) or crs.lstrip().startswith("{")
        trial.expect(legal, f"{where} has a CRS that is no authority code, such as EPSG:25832", got=crs)
        own = crs_of(port, column, trial.example.crs)
        try:
            parse_crs(own)
        except WiringError as exc:
            trial.fail(f"{where}: {exc.what}", got=own)
        table = rows[name]
        _expect_in_area_of_use(trial, where, own, table[column][~table.mask(column)])
        seen = _expect_known_places(trial, name, port, column, table, own)
        box = trial.example.bbox
        if box is not None:
            inside = len(within(table, port, trial.example.crs, box))
            told = f"{where}: nothing lies in the example's area{_swapped_hint(table, port, column, trial)}"
            trial.expect(inside > 0, told, expected=list(box), got=_bounds(table[column]))
        elif not seen:
            raise CannotTell(f"no place of '{name}' is known: add a row with one to the example's known")


def _expect_in_area_of_use(trial: Trial, where: str, crs: str, shapes: Any) -> None:
    inside, points = within_use(shapely.get_coordinates(shapes), crs)
    finite = np.isfinite(points).all(axis=1)
    trial.expect(bool(finite.all()), f"{where} has positions that {crs} cannot show", got=_bounds(shapes))
    area = parse_crs(crs).area_of_use
    if area is None or not len(points):
        return
    trial.expect(
        bool(inside.all()),
        f"{where} has positions outside the area in which {crs} is used ({area.name})",
        expected=list(area.bounds),
        got=points[~inside][:3].tolist(),
    )


def within_use(coordinates: Any, crs: str) -> tuple[Any, Any]:
    """Which points (n, 2), x and y in ``crs``, lie in its area of use or a degree beside it, since such areas are drawn
    coarsely; and the points as longitude and latitude."""
    points = np.array(_degrees(coordinates, crs)).T.reshape(-1, 2)
    area = parse_crs(crs).area_of_use
    if area is None:
        return np.full(len(points), True), points
    west, south, east, north = area.bounds
    after, before = points[:, 0] >= west - 1.0, points[:, 0] <= east + 1.0
    in_x = after | before if west > east else after & before  # over the antimeridian
    return in_x & (points[:, 1] >= south - 1.0) & (points[:, 1] <= north + 1.0), points


def _degrees(points: Any, crs: str) -> tuple[Any, Any]:
    """Longitude and latitude of x, y in ``crs``."""
    if not len(points):
        return np.zeros(0), np.zeros(0)
    found = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(points[:, 0], points[:, 1])
    return found[0], found[1]


def _expect_known_places(trial: Trial, name: str, port: Port, column: str, table: ldt.Table, crs: str) -> int:
    """How many places are known."""
    allowed = trial.example.tolerances.get(column, METRES)
    seen = 0
    for row in known(trial.example, name, port):
        if row.get(column) is None:
            continue
        seen += 1
        lon, lat = (float(v) for v in row[column])
        shapes = table[column][alike(table, port, row, *NAMES) & ~table.mask(column)]
        away = min((metres_away(s, crs, lon, lat) for s in shapes), default=math.inf)
        swapped = min((metres_away(s, crs, lat, lon) for s in shapes), default=math.inf)
        hint = ": x and y are swapped" if swapped <= allowed < away else ""
        trial.expect(
            away <= allowed,
            f"the column '{name}.{column}' is {away:.0f} m away from a place that is known{hint}",
            given={n: v for n, v in row.items() if n != column},
            expected=[lon, lat],
            got=[s.wkt for s in shapes[:3]],
        )
    return seen


def metres_away(shape: Any, crs: str, lon: float, lat: float) -> float:
    """How far a geometry in ``crs`` lies from a place, on a plane that touches the globe there."""

    def flat(points: Any) -> Any:
        x, y = _degrees(points, crs)
        return np.column_stack([(x - lon) * math.cos(math.radians(lat)), y - lat]) * 111_320.0

    found = float(shapely.distance(shapely.transform(shape, flat), shapely.Point(0.0, 0.0)))
    return found if math.isfinite(found) else math.inf


def _swapped_hint(table: ldt.Table, port: Port, column: str, trial: Trial) -> str:
    turned = shapely.transform(table[column], lambda points: points[:, ::-1])
    found = table.with_columns(**{column: turned})
    box = trial.example.bbox
    return "; swapped, x and y would" if box and len(within(found, port, trial.example.crs, box)) else ""


def _bounds(shapes: Any) -> list[float]:
    found: list[float] = shapely.total_bounds(shapes).tolist()
    return found


@check("LDT-SRC-CRS-02")
def places_do_not_depend_on_the_crs_of_the_twin(trial: Trial) -> None:
    ports = placed(trial)
    own = trial.example.crs
    there = {n: _moved(t, ports[n], own) for n, t in read(trial).items() if n in ports}
    box = _box_around(there)
    for crs in OTHERS:
        if crs == own:
            continue
        query = ldt.Query(
            bbox=_box_in(box, crs), start=trial.example.query.start, end=trial.example.query.end
        )
        rows = read(trial, query, crs=crs, bbox=query.bbox)
        for name, (_, column) in ports.items():
            moved = _moved(rows[name], ports[name], crs)
            expected, got = there[name], _like(moved, there[name])
            trial.expect(
                len(expected) == len(got),
                f"the port '{name}' gives other rows of the same area when the twin is in {crs}",
                given={"crs": crs, "bbox": list(query.bbox or ())},
                expected=len(expected),
                got=len(moved),
            )
            allowed = trial.example.tolerances.get(column, 1.0) / 111_320.0
            off = shapely.hausdorff_distance(expected[column], got[column])
            far = float(np.nanmax(off, initial=0.0))
            trial.expect(
                far <= allowed,
                f"the column '{name}.{column}' lies elsewhere when the twin is in {crs}:"
                f" {far * 111_320.0:.1f} m away",
                given={"crs": crs},
            )


def _moved(table: ldt.Table, place: tuple[Port, str], twin: str) -> ldt.Table:
    """The rows that have a place, in longitude and latitude."""
    port, column = place
    table = table.take(~table.mask(column))
    crs = crs_of(port, column, twin)
    shapes = shapely.transform(table[column], lambda points: np.column_stack(_degrees(points, crs)))
    return table.with_columns(**{column: shapes})


def _like(table: ldt.Table, other: ldt.Table) -> ldt.Table:
    """The rows of ``table`` that are in ``other`` too, by all that is not a place, in that order."""
    names = [n for n in other.names if n in table and not _is_place(other[n])]
    at: dict[Any, list[int]] = {}
    for index, row in enumerate(rows_of(table, names)):
        at.setdefault(row, []).append(index)
    found = [at[row].pop(0) for row in rows_of(other, names) if at.get(row)]
    return table.take(np.array(found, np.int64))


def _is_place(values: Any) -> bool:
    return bool(len(values)) and bool(shapely.is_geometry(values).any()) if values.dtype == object else False


def _box_around(tables: dict[str, ldt.Table]) -> tuple[float, float, float, float]:
    """Degrees around everything, with a little room."""
    every = [t[n] for t in tables.values() for n in t.names if _is_place(t[n])]
    if not every:
        raise CannotTell("no row of the fixture has a place")
    west, south, east, north = shapely.total_bounds(np.concatenate(every)).tolist()
    return west - 0.01, south - 0.01, east + 0.01, north + 0.01


def _box_in(box: tuple[float, float, float, float], crs: str) -> tuple[float, float, float, float]:
    """The box of degrees in ``crs``, x then y, wide enough to hold it whole."""
    change = Transformer.from_crs("OGC:CRS84", crs, always_xy=True)
    a, b, c, d = change.transform_bounds(*box, densify_pts=21)
    return a, b, c, d
