"""Tables and grids as JSON: ``{"columns": {name: [...]}}`` and CoverageJSON.

Time stamps are RFC 3339 in UTC, what is missing is null, geometry is GeoJSON in the column's own CRS (x, y).
Floats are written with as many digits as bring back the same bits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from ..tables import TIME_DTYPE, AnyPort, Column, Grid, GridPort, Table, Tables

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_HALVES = re.compile(r"\\u[dD][89a-fA-F]")
_COVERAGE_TYPES = {"f": "float", "i": "integer", "u": "integer"}


def refuse(what: str, where: str, fix: str = "") -> InputError:
    return InputError(what, code="dtype", where=where, fix=fix)


def loads(text: bytes | bytearray | str, where: str = "") -> Any:
    """JSON in UTF-8 without NaN, Infinity and halves of characters. Raises ``InputError``."""
    try:
        said = text if isinstance(text, str) else text.decode("utf-8-sig")
        found = _DECODER.decode(said)
        if _HALVES.search(said):  # an escape of half a character, or of a whole one in two halves
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except (ValueError, RecursionError) as exc:
        raise InputError(f"this is no JSON: {exc}", code="shape", where=where) from exc


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number; write null for what is missing")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


# -- to JSON ------------------------------------------------------------------------------------


def to_json(data: Table | Grid, port: AnyPort | None = None) -> dict[str, Any]:
    """A table as ``{"columns": ...}``, a grid as a CoverageJSON coverage. Raises ``InputError`` for NaN, Infinity."""
    return _coverage(data) if isinstance(data, Grid) else table_to_json(data, port)


def table_to_json(table: Table, port: AnyPort | None = None) -> dict[str, Any]:
    known = port.columns if port is not None else {}
    return {"columns": {name: column_to_json(table, name, known.get(name)) for name in table}}


def column_to_json(table: Table, name: str, column: Column | None = None) -> list[Any]:
    values, mask = table[name], table.mask(name)
    if values.dtype.kind == "M":
        gone = mask | np.isnat(values)
        items: list[Any] = instants_to_text(values)
    elif values.dtype == object:
        gone = mask | np.fromiter((v is None for v in values), bool, len(values))
        items = _objects(values, gone, column)
    else:
        gone = mask
        if values.dtype.kind == "f" and not np.isfinite(values[~gone]).all():
            raise refuse("NaN and Infinity are no values of JSON", name, "mark what is missing as missing")
        items = values.tolist()
    if gone.any():
        items = [None if g else v for v, g in zip(items, gone.tolist())]
    return items


def instants_to_text(values: Any) -> list[str]:
    """RFC 3339 in UTC; fractions of a second where there are any."""
    ticks = values.view(np.int64)
    whole = bool((ticks % 1_000_000 == 0).all()) if len(ticks) else True
    return [f"{t}Z" for t in np.datetime_as_string(values, unit="s" if whole else "us").tolist()]


def _objects(values: Any, gone: Any, column: Column | None) -> list[Any]:
    first = next((v for v in values if v is not None), None)
    shapes = type(first).__module__.startswith("shapely") if column is None else column.kind == "geometry"
    if not shapes:
        return list(values.tolist())
    import shapely

    return [None if t is None else json.loads(t) for t in shapely.to_geojson(np.where(gone, None, values))]


# -- from JSON ----------------------------------------------------------------------------------


def from_json(plain: Any, port: AnyPort, where: str) -> Table | Grid:
    """The inverse, by what ``port`` declares. Raises ``InputError`` with the column and the row."""
    if isinstance(port, GridPort):
        return _grid(plain, port, where)
    columns = plain.get("columns") if isinstance(plain, Mapping) else None
    if not isinstance(columns, Mapping):
        raise InputError('a table is written {"columns": {name: [...]}}', code="shape", where=where)
    made: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for name, column in port.columns.items():
        if name not in columns:
            raise InputError(f"column '{name}' is missing", code="schema drift", where=where)
        items = columns[name]
        if not isinstance(items, list):
            raise InputError("a column is a list", code="shape", where=f"{where}.{name}")
        values, gone = column_from_json(items, column, f"{where}.{name}")
        made[name] = values
        if gone is not None:
            masks[name] = gone
    return Table(made, masks)


def column_from_json(items: list[Any], column: Column, where: str) -> tuple[Any, Any]:
    """Values and the mask of what is null (None where nothing is)."""
    gone = np.fromiter((v is None for v in items), bool, len(items)) if None in items else None
    present = items if gone is None else [v for v in items if v is not None]
    _refuse_kind(present, column, where)
    if column.kind == "instant":
        found = _instants(present, where)
    elif column.kind == "geometry":
        found = _shapes(present, where)
    elif column.kind == "text":
        found = np.empty(len(present), object)
        found[:] = present
    else:
        try:
            found = np.array(present, column.dtype)
        except OverflowError:
            raise refuse("a number is out of range", where) from None
    if gone is None:
        return found, None
    values = np.zeros(len(items), column.dtype)
    if column.dtype == object:
        values[:] = None
    elif column.kind == "instant":
        values[:] = np.datetime64("NaT")
    values[~gone] = found
    return values, gone


_PYTHON: dict[str, set[type]] = {
    "number": {int, float},
    "integer": {int},
    "boolean": {bool},
    "text": {str},
    "instant": {str},
    "geometry": {dict},
}


def _refuse_kind(items: list[Any], column: Column, where: str) -> None:
    odd = set(map(type, items)) - _PYTHON[column.kind]
    if odd:
        value = next(v for v in items if type(v) in odd)
        raise refuse(f"{value!r:.60} came where {column.kind} is declared", where)


def _instants(items: list[str], where: str) -> Any:
    odd = next((t for t in items if _TIME.fullmatch(t) is None), None)
    if odd is not None:
        raise refuse(f"'{odd:.60}' is no time of RFC 3339 with its zone", where, "write 2026-03-02T05:00:00Z")
    try:
        items = [t.upper() for t in items]  # RFC 3339 takes t and z as well, numpy does not
        if all(t[-1] == "Z" for t in items):
            return np.array([t[:-1] for t in items], TIME_DTYPE)
        return np.array([_to_utc(t) for t in items], TIME_DTYPE)
    except ValueError as exc:
        raise refuse(f"this is no time: {exc}", where) from exc


def _to_utc(text: str) -> np.datetime64:
    if text[-1] == "Z":
        return np.datetime64(text[:-1], "us")
    hours, minutes = int(text[-5:-3]), int(text[-2:])
    ahead = np.timedelta64(hours * 60 + minutes, "m")
    local = np.datetime64(text[:-6], "us")
    return local - ahead if text[-6] == "+" else local + ahead


def _shapes(items: list[dict[str, Any]], where: str) -> Any:
    import shapely

    try:
        found = np.empty(len(items), object)
        found[:] = list(shapely.from_geojson([json.dumps(g) for g in items]))
        return found
    except (shapely.errors.ShapelyError, ValueError, TypeError) as exc:
        raise refuse(f"this is no GeoJSON geometry: {exc}", where) from exc


# -- grids ----------------------------------------------------------------------------------------


def _coverage(grid: Grid) -> dict[str, Any]:
    """CoverageJSON 1.0; the affine and the CRS stand beside the axes, which hold the cells' centres."""
    a, b, c, d, e, f = grid.affine
    size = dict(zip(grid.dims, grid.shape))
    axes: dict[str, Any] = {}
    for dim in grid.dims:
        if dim in grid.coords:
            axes[dim] = {"values": column_to_json(Table({dim: grid.coords[dim]}), dim)}
        elif dim == "x":
            axes[dim] = {"values": (c + a * (np.arange(size[dim]) + 0.5)).tolist()}
        elif dim == "y":
            axes[dim] = {"values": (f + e * (np.arange(size[dim]) + 0.5)).tolist()}
        else:
            axes[dim] = {"values": list(range(size[dim]))}
    ranges = {}
    for name, values in grid.values.items():
        flat = np.asarray(values).ravel()
        gone = np.isnan(flat) if flat.dtype.kind == "f" else np.zeros(len(flat), bool)
        ranges[name] = {
            "type": "NdArray",
            "dataType": _COVERAGE_TYPES.get(flat.dtype.kind, "string"),
            "axisNames": list(grid.dims),
            "shape": list(values.shape),
            "values": [None if g else v for v, g in zip(flat.tolist(), gone.tolist())],
        }
    domain = {
        "type": "Domain",
        "domainType": "Grid",
        "axes": axes,
        "referencing": [
            {"coordinates": ["x", "y"], "system": {"type": "ProjectedCRS", "id": grid.crs}},
        ],
    }
    parameters = {n: {"type": "Parameter", "observedProperty": {"label": {"en": n}}} for n in grid.values}
    return {
        "type": "Coverage",
        "domain": domain,
        "parameters": parameters,
        "ranges": ranges,
        "ldt:affine": [a, b, c, d, e, f],
    }


def _grid(plain: Any, port: GridPort, where: str) -> Grid:
    try:
        domain, ranges = plain["domain"], plain["ranges"]
        crs = str(domain["referencing"][0]["system"]["id"])
        affine = tuple(float(v) for v in plain["ldt:affine"])
        values = {}
        for name, column in port.columns.items():
            block = ranges[name]
            flat = [np.nan if v is None else v for v in block["values"]]
            values[name] = np.array(flat, column.dtype).reshape(block["shape"])
        coords = {
            d: np.array(domain["axes"][d]["values"])
            for d in port.dims
            if d not in ("x", "y") and d in domain["axes"]
        }
        if "time" in coords:
            coords["time"] = _instants(list(domain["axes"]["time"]["values"]), where)
        return Grid(values, port.dims, affine, crs, coords)  # type: ignore[arg-type]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
        raise InputError(
            f"this is no coverage that the port takes: {type(exc).__name__}: {exc}", code="shape", where=where
        ) from exc


def tables_to_json(data: Tables, ports: Mapping[str, AnyPort]) -> dict[str, Any]:
    return {name: to_json(item, ports.get(name)) for name, item in data.items()}


def tables_from_json(plain: Any, ports: Mapping[str, AnyPort], where: str) -> dict[str, Table | Grid]:
    """Tables by port; a port that is not declared is refused."""
    if not isinstance(plain, Mapping):
        raise InputError("tables are written by port: {port: table}", code="shape", where=where)
    odd = sorted(set(plain) - set(ports))
    if odd:
        raise InputError(
            f"there is no port '{odd[0]}', only {', '.join(ports) or 'none'}",
            code="schema drift",
            where=where,
        )
    return {name: from_json(item, ports[name], f"{where}.{name}") for name, item in plain.items()}
