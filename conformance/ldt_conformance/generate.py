"""Valid inputs made from ports: what a component is tried with where its example gives nothing, and around what it gives.

Whatever is made here passes ``ldt.check`` against its port. Rows are stamped as the engine stamps them: means, sums and
extremes with the start of their window, points with their instant in (start, end], what is given once with the start.
Tables of one entity set name the same things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

import ldt_core as ldt
from ldt_core.adapters import degrees, parse_crs, transformer
from ldt_core.interfaces import AnyPort
from ldt_core.tables import Column, Port

from .corpus import TEXTS, numbers, reach
from .trial import Trial

Bounds = Mapping[str, tuple[float, float]]
"""Closed intervals by column."""
Box = tuple[float, float, float, float]
MODERATE = (0.0, 1000.0)
"""What is drawn where a port says nothing of the range."""
NAMES = ("harbour", "market", "Zo\u00eb's park", "mill 4", "north/1", "old town", "quay", "ring")


# -- where, when and how much ------------------------------------------------------------------------


def bounds_of(name: str, port: AnyPort, validity: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Where the values of a port may lie: the ranges of its columns, narrowed by what the manifest says under
    ``validity``, as ``{"port.column": [low, high]}``. Columns without either are left out."""
    found = {}
    for n, column in port.columns.items():
        stated = limits(validity.get(f"{name}.{n}"))
        if column.kind in ("number", "integer") and (column.range or stated):
            one, other = column.range or (-np.inf, np.inf), stated or (-np.inf, np.inf)
            found[n] = (max(one[0], other[0]), min(one[1], other[1]))
    return found


def limits(stated: Any) -> tuple[float, float] | None:
    """``[low, high]`` as two numbers; None for words."""
    if not isinstance(stated, list | tuple) or len(stated) != 2:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in stated):
        return None
    return float(stated[0]), float(stated[1])


@lru_cache(maxsize=32)
def area(crs: str, bbox: Box | None = None, inside: str = "twin") -> Box:
    """A box in ``inside`` (``twin``: the same CRS): ``bbox``, given in ``crs``, or a kilometre where ``crs`` is made for."""
    own = parse_crs(crs)
    if bbox is None:
        use = own.area_of_use
        west, south, east, north = (
            (use.west, use.south, use.east, use.north) if use else (9.0, 48.0, 10.0, 49.0)
        )
        x, y = transformer("OGC:CRS84", crs, None).transform((west + east) / 2, (south + north) / 2)
        half = 0.005 if own.is_geographic else 500.0
        bbox = (x - half, y - half, x + half, y + half)
    if inside in ("twin", crs):
        return bbox
    to = transformer(crs, inside, degrees(bbox, crs))
    west, south, east, north = to.transform_bounds(*bbox)
    return west, south, east, north


def stamp(port: Port, context: ldt.Context) -> np.datetime64:
    """The instant that the engine would give a row of this port in the context's window."""
    start, end = context.window
    pointwise = all(c.cell == "point" for c in port.columns.values() if c.measured)
    return context.instant(end if port.at == "step" and pointwise else start)


# -- strategies ----------------------------------------------------------------------------------------


def ids() -> SearchStrategy[list[str]]:
    """Names of things, all different: plain ones, and such as break programs."""
    odd = st.sampled_from([t for t in TEXTS.values() if 0 < len(t) < 100])
    return st.lists(st.one_of(st.sampled_from(NAMES), odd), min_size=1, max_size=4, unique=True)


@st.composite
def tables(
    draw: DrawFn,
    port: AnyPort,
    context: ldt.Context,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
    bounds: Bounds | None = None,
    empty: bool = True,
) -> ldt.Table | ldt.Grid:
    """Valid data of ``port`` in the context's window and place.

    ``names`` holds by id column the things that there are (drawn where it is left out), ``bounds`` narrows columns;
    ``empty`` also gives tables without rows.
    """
    bounds = bounds or {}
    if not isinstance(port, Port):
        return draw(_grids(port, context, bounds))
    known = dict(names or {})
    if port.id is not None and port.id not in known:
        known[port.id] = draw(ids())
    things = list(known[port.id]) if port.id else [""] * draw(st.integers(1, 3))
    if empty and (port.events or port.dynamic or port.at == "step"):
        things = draw(st.one_of(st.just(things), st.just([])))
    columns: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for name, column in port.columns.items():
        if name == port.id:
            values: list[Any] = things
        elif name == port.time_column and not port.events:
            values = [stamp(port, context)] * len(things)
        else:
            one = _values(column, context, known.get(name), bounds.get(name))
            values = draw(st.lists(one, min_size=len(things), max_size=len(things)))
        columns[name] = _array(values, column)
        if column.nulls:
            masks[name] = draw(st.lists(st.booleans(), min_size=len(things), max_size=len(things)))
    return ldt.Table(columns, masks)


def inputs(
    ports: Mapping[str, AnyPort], context: ldt.Context, validity: Mapping[str, Any] | None = None
) -> SearchStrategy[dict[str, ldt.Table | ldt.Grid]]:
    """Valid data for every port at once: tables of one entity set name the same things."""

    def with_names(names: dict[str, list[str]]) -> SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {
                n: tables(
                    p, context, names=names, bounds=bounds_of(n, p, validity or {}), empty=p.at == "step"
                )
                for n, p in ports.items()
            }
        )

    columns = {p.id: ids() for p in ports.values() if p.id is not None}
    return st.fixed_dictionaries(columns).flatmap(with_names)


def _values(
    column: Column, context: ldt.Context, known: Sequence[str] | None, bounds: tuple[float, float] | None
) -> SearchStrategy[Any]:
    """One value of a column. Text that shares its name with an id column names one of those things."""
    if column.kind == "instant":
        start, end = context.window
        return st.integers(start + 1, end).map(context.instant)
    if column.kind == "text":
        return st.sampled_from(list(known)) if known else st.sampled_from([*NAMES, *TEXTS.values()])
    if column.kind == "boolean":
        return st.booleans()
    if column.kind == "geometry":
        return _shapes(column, context)
    low, high = reach(column, bounds, MODERATE)
    if column.kind == "integer":
        return st.integers(int(np.ceil(low)), int(np.floor(high)))
    odd = [v for v in numbers(column).values() if low <= v <= high]
    drawn = st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)
    return st.one_of(drawn, st.sampled_from(odd)) if odd else drawn


def _shapes(column: Column, context: ldt.Context) -> SearchStrategy[Any]:
    """Valid geometries of the column's type inside the area, drawn on a fine raster so that they have a size."""
    left, bottom, right, top = area(context.crs, context.bbox, column.crs or "twin")
    spot = st.tuples(st.integers(0, 98), st.integers(0, 98))

    def at(cell: tuple[int, int], more: float = 0.0) -> tuple[float, float]:
        return left + (right - left) * (cell[0] + more) / 100, bottom + (top - bottom) * (
            cell[1] + more
        ) / 100

    points = spot.map(lambda p: shapely.Point(at(p)))
    lines = st.lists(spot, min_size=2, max_size=3, unique=True).map(lambda c: shapely.LineString(map(at, c)))
    boxes = spot.map(lambda p: shapely.box(*at(p), *at(p, 1.0)))
    many = st.lists(spot, min_size=1, max_size=2, unique=True).map(
        lambda c: shapely.MultiPolygon([shapely.box(*at(p), *at(p, 0.5)) for p in c])
    )
    kinds = {"Point": points, "LineString": lines, "Polygon": boxes, "MultiPolygon": many}
    return kinds.get(column.geometry or "", st.one_of(*kinds.values()))


@st.composite
def _grids(draw: DrawFn, port: ldt.GridPort, context: ldt.Context, bounds: Bounds) -> ldt.Grid:
    shape = tuple(draw(st.integers(1, 3)) for _ in port.dims)
    count = int(np.prod(shape))
    values = {}
    for name, column in port.columns.items():
        one = _values(column, context, None, bounds.get(name))
        drawn = _array(draw(st.lists(one, min_size=count, max_size=count)), column)
        if column.nulls and column.kind == "number":
            drawn = np.where(draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.nan, drawn)
        values[name] = drawn.reshape(shape)
    return _grid(values, port, shape, context)


def _grid(
    values: Mapping[str, Any], port: ldt.GridPort, shape: Sequence[int], context: ldt.Context
) -> ldt.Grid:
    """North up over the area; other dims count from 0, ``time`` in steps of the window."""
    crs = context.crs if port.crs in (None, "twin") else str(port.crs)
    left, bottom, right, top = area(context.crs, context.bbox, crs)
    size = dict(zip(port.dims, shape))
    wide, high = (right - left) / size.get("x", 1), (top - bottom) / size.get("y", 1)
    coords: dict[str, Any] = {}
    for dim in port.dims:
        if dim == "time":
            start, end = context.window
            coords[dim] = np.array([context.instant(start + i * (end - start)) for i in range(size[dim])])
        elif dim not in ("x", "y"):
            coords[dim] = np.arange(size[dim], dtype=float)
    return ldt.Grid(values, port.dims, (wide, 0.0, left, 0.0, -high, top), crs, coords)


def _array(values: Sequence[Any], column: Column) -> Any:
    found = np.empty(len(values), column.dtype)
    for i, value in enumerate(values):  # one by one: numpy would take a geometry apart
        found[i] = value
    return found


# -- the inputs of an example --------------------------------------------------------------------------


def example_inputs(
    trial: Trial,
    ports: Mapping[str, AnyPort],
    *,
    at: str | None = None,
    window: ldt.Window | None = None,
    optional: bool = False,
    given: Mapping[str, Any] | None = None,
) -> dict[str, ldt.Table | ldt.Grid]:
    """What the example gives on ``ports``, and a plain table for each port that it does not; always the same.

    ``at`` picks the ports given at the start or in every step. Rows of a window are those that the example has in it;
    where it has none, those of its first window, moved there. ``optional`` fills optional ports too, ``given`` takes
    the place of the example's inputs.
    """
    window = window or ldt.Window(0, trial.example.step)
    context = ldt.Context(
        start=trial.example.start, window=window, crs=trial.example.crs, bbox=trial.example.bbox
    )
    known = {**trial.example.inputs, **(given or {})}
    given = {n: known[n] for n in ports if n in known}
    names: dict[str, list[str]] = {}
    for name, table in given.items():
        if (id := ports[name].id) is not None and isinstance(table, ldt.Table) and len(table):
            names.setdefault(id, list(dict.fromkeys(table[id].tolist())))
    found: dict[str, ldt.Table | ldt.Grid] = {}
    for name, port in ports.items():
        if at not in (None, port.at):
            continue
        if name in given:
            found[name] = in_window(given[name], port, context)
        elif optional or not port.optional:
            bounds = bounds_of(name, port, trial.manifest.get("validity", {}))
            found[name] = plain_data(port, context, names, bounds)
    return found


def in_window(table: Any, port: AnyPort, context: ldt.Context) -> Any:
    """The rows of ``table`` that belong to the context's window; without any, all of it moved by whole windows."""
    time = port.time_column if isinstance(port, Port) else None
    if time is None or port.at == "start" or not len(table):
        return table
    assert isinstance(port, Port)
    start, end = context.window
    at = (table[time] - context.start) // np.timedelta64(1, "us")
    pointwise = stamp(port, context) != context.instant(start)
    inside = (at > start) & (at <= end) if pointwise or port.events else (at >= start) & (at < end)
    if inside.any():
        return table.where(inside)
    first = int(at.min())
    span = end - start
    moved = start + (at - first) + ((first - 1) % span + 1 if pointwise or port.events else first % span)
    masks = table.masks
    times = context.start + moved.astype("timedelta64[us]")
    return ldt.Table({**table.columns, time: times}, masks)


def plain_data(
    port: AnyPort,
    context: ldt.Context,
    names: Mapping[str, Sequence[str]] | None = None,
    bounds: Bounds | None = None,
) -> ldt.Table | ldt.Grid:
    """Three rows, or a grid of 2 by 2 (and so on), with values spread over the middle of their ranges."""
    names, bounds = names or {}, bounds or {}
    if not isinstance(port, Port):
        shape = (2,) * len(port.dims)
        count = int(np.prod(shape))
        return _grid(
            {
                n: _plain_column(c, count, context, None, bounds.get(n)).reshape(shape)
                for n, c in port.columns.items()
            },
            port,
            shape,
            context,
        )
    things = list(names.get(port.id or "", NAMES[:3]))
    columns = {}
    for name, column in port.columns.items():
        if name == port.time_column and not port.events:
            columns[name] = np.full(len(things), stamp(port, context))
        elif name == port.id:
            columns[name] = _array(things, column)
        else:
            columns[name] = _plain_column(column, len(things), context, names.get(name), bounds.get(name))
    return ldt.Table(columns)


def _plain_column(
    column: Column,
    count: int,
    context: ldt.Context,
    known: Sequence[str] | None,
    bounds: tuple[float, float] | None,
) -> Any:
    along = (np.arange(count) + 1) / (count + 1)
    if column.kind == "instant":
        start, end = context.window
        return np.array([context.instant(start + int(a * (end - start))) for a in along], column.dtype)
    if column.kind == "text":
        pool = list(known or NAMES)
        return _array([pool[i % len(pool)] for i in range(count)], column)
    if column.kind == "boolean":
        return np.arange(count) % 2 == 0
    if column.kind == "geometry":
        left, bottom, right, top = area(context.crs, context.bbox, column.crs or "twin")
        wide, high = right - left, top - bottom
        made = [_plain_shape(column, left + a * wide, bottom + a * high, wide / 50, high / 50) for a in along]
        return _array(made, column)
    low, high = reach(column, bounds, MODERATE)
    spread = low + (high - low) * (0.25 + along / 2)
    return np.round(spread).clip(low, high).astype(np.int64) if column.kind == "integer" else spread


def _plain_shape(column: Column, x: float, y: float, wide: float, high: float) -> Any:
    if column.geometry == "LineString":
        return shapely.LineString([(x, y), (x + wide, y + high)])
    box = shapely.box(x, y, x + wide, y + high)
    if column.geometry == "Polygon":
        return box
    return shapely.MultiPolygon([box]) if column.geometry == "MultiPolygon" else shapely.Point(x, y)
