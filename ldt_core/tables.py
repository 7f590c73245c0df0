"""Ports with meaning, and the data that flows through them.

A ``Column`` says what its values are: kind, UCUM unit, quantity, cell method, range, CRS.
A ``Port`` is a named set of columns; a ``Table`` is the data: numpy columns by reference, read-only,
with an optional mask of missing values. Arrow, GeoParquet and GeoJSON appear at the borders only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

Kind = Literal["instant", "text", "integer", "number", "boolean", "geometry"]
Cell = Literal["point", "mean", "sum", "min", "max"]
Geometry = Literal["Point", "LineString", "Polygon", "MultiPolygon", "Geometry"]
PersonalData = Literal["none", "pseudonymous", "personal", "sensitive"]

TIME_DTYPE = np.dtype("datetime64[us]")
_DTYPES: dict[str, np.dtype[Any]] = {
    "instant": TIME_DTYPE,
    "text": np.dtype(object),
    "integer": np.dtype(np.int64),
    "number": np.dtype(np.float64),
    "boolean": np.dtype(np.bool_),
    "geometry": np.dtype(object),
}


@dataclass(frozen=True, slots=True)
class Column:
    """What one column holds.

    ``unit`` is a UCUM code and ``quantity`` a CF standard name, a Smart Data Models attribute or a
    private name ``x:...``; both are None where a file leaves them open, to be filled by the twin
    file's ``columns:``. ``cell`` says how the value stands for its window. ``range`` is the closed
    interval of values that make sense. ``crs`` is ``twin`` (the twin's own), an authority code or
    PROJJSON; coordinates are x, y always.
    """

    kind: Kind
    unit: str | None = None
    quantity: str | None = None
    cell: Cell = "point"
    nulls: bool = False
    range: tuple[float, float] | None = None
    geometry: Geometry | None = None
    crs: str | None = None
    zone: str | None = None
    description: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        return _DTYPES[self.kind]

    @property
    def measured(self) -> bool:
        """Whether the column carries a value with a unit (and not a name, a time or a place)."""
        return self.kind in ("number", "integer") and self.unit is not None


def instant(*, nulls: bool = False, zone: str | None = None, description: str = "") -> Column:
    """A UTC time stamp, ``datetime64[us]``; ``zone`` names the local zone that a file was written in."""
    return Column("instant", nulls=nulls, zone=zone, description=description)


def text(*, nulls: bool = False, description: str = "") -> Column:
    """Unicode text, kept unchanged."""
    return Column("text", nulls=nulls, description=description)


def boolean(*, nulls: bool = False, description: str = "") -> Column:
    return Column("boolean", nulls=nulls, description=description)


def number(
    unit: str | None,
    quantity: str | None,
    *,
    cell: Cell = "point",
    range: tuple[float, float] | None = None,
    nulls: bool = False,
    description: str = "",
) -> Column:
    """A float64 of ``quantity`` in the UCUM unit ``unit``."""
    return Column("number", unit, quantity, cell, nulls, range, description=description)


def integer(
    unit: str | None = "1",
    quantity: str | None = None,
    *,
    cell: Cell = "point",
    range: tuple[float, float] | None = None,
    nulls: bool = False,
    description: str = "",
) -> Column:
    """An int64, mostly a count."""
    return Column("integer", unit, quantity, cell, nulls, range, description=description)


def geometry(
    type: Geometry = "Geometry", *, crs: str | None = "twin", nulls: bool = False, description: str = ""
) -> Column:
    """Shapely geometries, x then y, in ``crs``."""
    return Column("geometry", geometry=type, crs=crs, nulls=nulls, description=description)


@dataclass(frozen=True)
class Port:
    """A named slot for tables.

    ``at`` is ``start`` for what is given once, before the first step (a network), and ``step`` for
    what comes in every window. ``entity`` names the set of things that the rows speak of and ``id``
    the column that names each; ports of one entity set join by it. ``dynamic`` sets change from
    window to window (vehicles). ``events`` ports hold one row per event; windows are joined, never
    reduced. A port with ``optional`` may stay unlinked when it is an input.
    ``synthetic`` says in one sentence what was made up, and ``licence`` (SPDX) and ``attribution``
    are shown wherever the data or what was computed from it is shown.
    """

    columns: Mapping[str, Column]
    _: KW_ONLY
    at: Literal["start", "step"] = "step"
    entity: str | None = None
    id: str | None = None
    dynamic: bool = False
    events: bool = False
    optional: bool = False
    step: str | None = None
    personal: PersonalData = "none"
    licence: str | None = None
    attribution: str | None = None
    synthetic: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", dict(self.columns))
        if self.id is not None and self.id not in self.columns:
            raise ValueError(f"the id column '{self.id}' is not among the columns {list(self.columns)}")
        if (self.id is None) != (self.entity is None):
            raise ValueError("entity and id go together")

    @property
    def geometry_column(self) -> str | None:
        return next((n for n, c in self.columns.items() if c.kind == "geometry"), None)

    @property
    def time_column(self) -> str | None:
        return next((n for n, c in self.columns.items() if c.kind == "instant"), None)

    @property
    def value_columns(self) -> list[str]:
        return [n for n, c in self.columns.items() if c.kind in ("number", "integer", "boolean")]

    def replace(self, **changes: Any) -> Port:
        return replace(self, **changes)


class Table:
    """Columns of equal length: read-only numpy arrays with optional masks (True = missing).

    ``table["flow"]`` is the array, by reference; ``select``, ``with_columns``, ``take``, ``where``
    and ``rename`` return new tables and copy no column that they need not.
    """

    __slots__ = ("_columns", "_digest", "_masks", "_rows")

    def __init__(
        self, columns: Mapping[str, ArrayLike], masks: Mapping[str, ArrayLike] | None = None
    ) -> None:
        self._columns = {name: _frozen(values) for name, values in columns.items()}
        self._masks = {n: _mask(m) for n, m in masks.items()} if masks else {}
        self._rows = len(next(iter(self._columns.values()))) if self._columns else 0
        self._digest: str | None = None
        for name, values in self._columns.items():
            if values.ndim != 1 or len(values) != self._rows:
                raise InputError(
                    f"column '{name}' has shape {values.shape}, the table has {self._rows} rows",
                    code="shape",
                    fix="give every column one value per row",
                )
        for name, mask in self._masks.items():
            if name not in self._columns or len(mask) != self._rows:
                raise InputError(f"the mask of '{name}' does not fit the table", code="shape")

    @classmethod
    def _of(cls, columns: dict[str, NDArray[Any]], masks: dict[str, NDArray[Any]], rows: int) -> Self:
        """Trusted constructor: arrays are frozen and equally long already."""
        self = cls.__new__(cls)
        self._columns, self._masks, self._rows, self._digest = columns, masks, rows, None
        return self

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"no column '{name}'; there are {', '.join(self._columns)}") from None

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n}: {v.dtype}" for n, v in self._columns.items())
        return f"Table({self._rows} rows; {kinds})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.digest == other.digest

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return dict(self._columns)

    @property
    def masks(self) -> dict[str, NDArray[Any]]:
        return dict(self._masks)

    def mask(self, name: str) -> NDArray[np.bool_]:
        """True where the value is missing."""
        found = self._masks.get(name)
        return np.zeros(self._rows, bool) if found is None else found

    def select(self, *names: str) -> Table:
        return Table._of(
            {n: self[n] for n in names}, {n: self._masks[n] for n in names if n in self._masks}, self._rows
        )

    def drop(self, *names: str) -> Table:
        return self.select(*(n for n in self._columns if n not in names))

    def with_columns(self, **columns: ArrayLike) -> Table:
        """A new table with columns added or replaced; a replaced column loses its mask."""
        if not self._columns:
            return Table(columns)
        new = Table(columns)
        if columns and len(new) != self._rows:
            raise InputError(f"new columns have {len(new)} rows, the table has {self._rows}", code="shape")
        masks = {n: m for n, m in self._masks.items() if n not in columns}
        return Table._of(self._columns | new._columns, masks, self._rows)

    def with_mask(self, name: str, missing: ArrayLike) -> Table:
        return Table(self._columns, self._masks | {name: _mask(missing)})

    def rename(self, names: Mapping[str, str]) -> Table:
        return Table._of(
            {names.get(n, n): v for n, v in self._columns.items()},
            {names.get(n, n): m for n, m in self._masks.items()},
            self._rows,
        )

    def take(self, index: ArrayLike) -> Table:
        """The rows at ``index`` (positions or a boolean mask), in that order."""
        chosen = np.asarray(index)
        if chosen.size == 0 and chosen.dtype == float:
            chosen = chosen.astype(np.int64)
        columns = {n: _frozen(v[chosen]) for n, v in self._columns.items()}
        masks = {n: _frozen(m[chosen]) for n, m in self._masks.items()}
        rows = int(chosen.sum()) if chosen.dtype == bool else len(chosen)
        return Table._of(columns, masks, rows)

    where = take

    def slice(self, start: int, stop: int) -> Table:
        """Rows ``start`` to ``stop`` by reference."""
        rows = range(*slice(start, stop).indices(self._rows))
        return Table._of(
            {n: v[start:stop] for n, v in self._columns.items()},
            {n: m[start:stop] for n, m in self._masks.items()},
            len(rows),
        )

    @staticmethod
    def concat(tables: Iterable[Table]) -> Table:
        """The rows of all, in order; every table has the columns of the first."""
        parts = list(tables)
        if not parts:
            return Table({})
        if len(parts) == 1:
            return parts[0]
        names = parts[0].names
        columns = {n: _frozen(np.concatenate([p[n] for p in parts])) for n in names}
        masked = {n for p in parts for n in p._masks}
        masks = {n: _frozen(np.concatenate([p.mask(n) for p in parts])) for n in names if n in masked}
        return Table._of(columns, masks, sum(len(p) for p in parts))

    @property
    def digest(self) -> str:
        """sha256 of the content: column names, kinds, values, missing marks and row order."""
        if self._digest is None:
            self._digest = _digest(self)
        return self._digest

    def to_arrow(self, port: Port | None = None) -> pa.Table:
        """An Arrow table; geometry as WKB; meaning as field metadata where ``port`` is given."""
        from ._arrow import table_to_arrow

        return table_to_arrow(self, port)

    @staticmethod
    def from_arrow(source: Any) -> Table:
        """From anything with the Arrow capsule interface (pandas, polars, duckdb, pyarrow)."""
        from ._arrow import table_from_arrow

        return table_from_arrow(source)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)


@dataclass(frozen=True)
class GridPort:
    """A named slot for grids: ``dims`` such as ("time", "y", "x") and the columns of Port."""

    columns: Mapping[str, Column]
    dims: tuple[str, ...] = ("y", "x")
    crs: str | None = "twin"
    at: Literal["start", "step"] = "step"
    optional: bool = False
    step: str | None = None
    personal: PersonalData = "none"
    licence: str | None = None
    attribution: str | None = None
    synthetic: str | None = None
    description: str = ""
    entity: None = None
    id: None = None
    events: bool = False
    dynamic: bool = False

    def replace(self, **changes: Any) -> GridPort:
        return replace(self, **changes)


class Grid:
    """One block of values on regular coordinates.

    ``values`` maps names to arrays of the shape of ``dims``; ``affine`` is (a, b, c, d, e, f) with
    x = a*col + b*row + c and y = d*col + e*row + f at cell corners; ``coords`` holds the
    coordinates of dims other than x and y.
    """

    __slots__ = ("_digest", "affine", "coords", "crs", "dims", "values")

    def __init__(
        self,
        values: Mapping[str, ArrayLike],
        dims: tuple[str, ...],
        affine: tuple[float, float, float, float, float, float],
        crs: str,
        coords: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.values = {n: _frozen(v) for n, v in values.items()}
        self.dims, self.affine, self.crs = dims, affine, crs
        self.coords = {n: _frozen(v) for n, v in (coords or {}).items()}
        self._digest: str | None = None
        shapes = {v.shape for v in self.values.values()}
        if len(shapes) > 1 or any(len(s) != len(dims) for s in shapes):
            raise InputError(f"grid values have shapes {sorted(shapes)}, dims are {dims}", code="shape")

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.values[name]

    @property
    def shape(self) -> tuple[int, ...]:
        return next(iter(self.values.values())).shape

    @property
    def digest(self) -> str:
        if self._digest is None:
            h = hashlib.sha256(repr((self.dims, self.affine, self.crs)).encode())
            for name, block in sorted([*self.values.items(), *self.coords.items()]):
                h.update(f"{name}\0{block.dtype.str}\0{block.shape}\0".encode())
                h.update(np.ascontiguousarray(block).tobytes())
            self._digest = h.hexdigest()
        return self._digest


Tables = Mapping[str, "Table | Grid"]
AnyPort = Port | GridPort


def _frozen(values: ArrayLike) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        array = values
    else:
        items = values if isinstance(values, (list, tuple)) else list(values)  # type: ignore[arg-type]
        if items and isinstance(items[0], (str, bytes)) or any(i is None for i in items[:100]):
            array = np.empty(len(items), object)
            array[:] = items
        elif items and type(items[0]).__module__.startswith("shapely"):
            array = np.empty(len(items), object)
            array[:] = items
        else:
            array = np.asarray(items)
    if array.dtype.kind in "US":
        array = array.astype(object)
    elif array.dtype.kind == "M" and array.dtype != TIME_DTYPE:
        array = array.astype(TIME_DTYPE)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def _mask(values: ArrayLike) -> NDArray[np.bool_]:
    return _frozen(np.asarray(values, dtype=bool))


def _digest(table: Table) -> str:
    h = hashlib.sha256(b"ldt-table-1\0")
    h.update(str(len(table)).encode())
    for name in sorted(table.names):
        values, mask = table[name], table._masks.get(name)
        if mask is not None and not mask.any():
            mask = None
        h.update(f"\0{name}\0".encode())
        if values.dtype == object:
            h.update(_object_bytes(values, mask))
        else:
            block = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
            if mask is not None:
                block = np.where(mask, np.zeros((), block.dtype), block)
            if block.dtype.kind == "f":
                block = np.where(np.isnan(block), np.nan, block + 0.0)  # one NaN, one zero
            h.update(block.dtype.str.encode() + b"\0" + block.tobytes())
        if mask is not None:
            h.update(b"\0mask" + np.packbits(mask).tobytes())
    return h.hexdigest()


def _object_bytes(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> bytes:
    if mask is not None:
        values = np.where(mask, None, values)
    first = next((v for v in values if v is not None), None)
    if first is not None and not isinstance(first, str):
        import shapely

        items: list[bytes] = [b"" if v is None else v for v in shapely.to_wkb(values, byte_order=1)]
        kind = b"wkb\0"
    else:
        items = [b"" if v is None else v.encode("utf-8", "surrogatepass") for v in values]
        kind = b"text\0"
    lengths = np.fromiter((len(i) for i in items), np.int64, len(items))
    return kind + lengths.tobytes() + b"".join(items)


def check(data: Table | Grid, port: Port | GridPort, where: str) -> Table | Grid:
    """``data`` as ``port`` promises it, or ``InputError``.

    Extra columns are dropped; int64 is widened to float64; nothing else is changed. Refused: a
    missing column, another kind, a missing value where none is allowed, NaN or infinity, a value
    outside the range, a geometry of another type.
    """
    if isinstance(port, GridPort):
        if not isinstance(data, Grid):
            raise _refused(where, "shape", "a table came where a grid is declared")
        for name in port.columns:
            if name not in data.values:
                raise _refused(where, "schema drift", f"the grid lacks '{name}'")
        return data
    if not isinstance(data, Table):
        raise _refused(where, "shape", f"{type(data).__name__} came where a Table is declared")
    columns: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    for name, column in port.columns.items():
        values = data._columns.get(name)
        if values is None:
            raise _refused(
                where, "schema drift", f"column '{name}' is missing; there are {', '.join(data.names)}"
            )
        mask = data._masks.get(name)
        columns[name] = _checked(values, mask, column, f"{where}.{name}")
        if mask is not None and column.nulls:
            masks[name] = mask
    return Table._of(columns, masks, len(data))


def _checked(
    values: NDArray[Any], mask: NDArray[np.bool_] | None, column: Column, where: str
) -> NDArray[Any]:
    if values.dtype != column.dtype:
        values = _widened(values, column, where)
    if mask is not None and not column.nulls and mask.any():
        raise _refused(
            where,
            "nulls refused",
            f"row {int(mask.argmax())} is missing, and {int(mask.sum())} of {len(mask)} rows are",
            "fill the gaps before, or link a port that accepts nulls",
        )
    if column.kind == "number" and len(values):
        _check_numbers(values, mask, column, where)
    elif column.kind == "integer" and column.range is not None and len(values):
        _check_range(values if mask is None else values[~mask], column, where)
    elif column.kind in ("text", "geometry"):
        _check_objects(values, mask, column, where)
    elif column.kind == "instant" and np.isnat(values if mask is None else values[~mask]).any():
        raise _refused(where, "nulls refused", "a time stamp is missing (NaT)")
    return values


def _widened(values: NDArray[Any], column: Column, where: str) -> NDArray[Any]:
    source = values.dtype.kind
    if column.kind == "number" and source in "iuf":
        return _frozen(values.astype(np.float64))
    if column.kind == "integer" and source in "iu":
        return _frozen(values.astype(np.int64))
    if len(values) == 0:
        return _frozen(np.empty(0, column.dtype))
    raise _refused(where, "dtype", f"{values.dtype} came where {column.kind} ({column.dtype}) is declared")


def _check_numbers(
    values: NDArray[Any], mask: NDArray[np.bool_] | None, column: Column, where: str
) -> None:
    present = values if mask is None else values[~mask]
    if not len(present):
        return
    low, high = float(present.min()), float(present.max())  # NaN propagates through both
    if not (np.isfinite(low) and np.isfinite(high)):
        row = int((~np.isfinite(values) if mask is None else ~np.isfinite(values) & ~mask).argmax())
        raise _refused(
            where, "nulls or range refused", f"row {row} is {values[row]}", "mark missing values as missing"
        )
    if column.range is not None and (low < column.range[0] or high > column.range[1]):
        _check_range(present, column, where)


def _check_range(present: NDArray[Any], column: Column, where: str) -> None:
    assert column.range is not None
    outside = (present < column.range[0]) | (present > column.range[1])
    if outside.any():
        row = int(outside.argmax())
        raise _refused(
            where,
            "nulls or range refused",
            f"{present[row]} {column.unit or ''} lies outside {column.range[0]:g} to {column.range[1]:g}"
            f" ({int(outside.sum())} of {len(present)} values do)",
            "correct the data, or the unit under columns: in the twin file",
        )


def _check_objects(
    values: NDArray[Any], mask: NDArray[np.bool_] | None, column: Column, where: str
) -> None:
    expected: type = str
    if column.kind == "geometry":
        import shapely

        expected = shapely.Geometry
        if column.geometry not in (None, "Geometry") and len(values):
            kinds = {g.geom_type for g in (values if mask is None else values[~mask]) if g is not None}
            allowed = {column.geometry, "Polygon"} if column.geometry == "MultiPolygon" else {column.geometry}
            if kinds - allowed:
                raise _refused(where, "geometry", f"{sorted(kinds - allowed)} came, {column.geometry} is declared")
    for row, value in enumerate(values):
        if not isinstance(value, expected) and (mask is None or not mask[row]):
            raise _refused(where, "dtype", f"row {row} is {value!r}, {column.kind} is declared")


def _refused(where: str, code: str, what: str, fix: str = "") -> InputError:
    return InputError(what, code=code, where=where, fix=fix)


@dataclass(frozen=True)
class Recording:
    """What one port gave, window after window.

    ``windows`` is int64 of shape (n, 2), start and end in microseconds from the run's start, and the
    rows of window i are ``table.slice(offsets[i], offsets[i + 1])``. A port at the start has the one
    window (0, 0).
    """

    port: Port
    table: Table
    windows: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, port: Port, parts: Iterable[tuple[int, int, Table]]) -> Recording:
        """From (start, end, rows) of each window, in order."""
        items = list(parts)
        table = Table.concat(t for _, _, t in items) if items else empty(port)
        windows = np.array([(s, e) for s, e, _ in items], np.int64).reshape(-1, 2)
        offsets = np.concatenate([[0], np.cumsum([len(t) for _, _, t in items])]).astype(np.int64)
        return cls(port, table, windows, offsets)

    def __len__(self) -> int:
        return len(self.windows)

    def window(self, index: int) -> Table:
        return self.table.slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    @property
    def digest(self) -> str:
        h = hashlib.sha256(self.table.digest.encode())
        h.update(self.windows.astype("<i8").tobytes() + self.offsets.astype("<i8").tobytes())
        return h.hexdigest()


def empty(port: Port) -> Table:
    """A table of the port's columns without rows."""
    return Table({name: np.empty(0, column.dtype) for name, column in port.columns.items()})


def port_as_dict(port: AnyPort) -> dict[str, Any]:
    """The port as JSON, without what is at its default."""
    plain: dict[str, Any] = {"shape": "grid" if isinstance(port, GridPort) else "table"}
    for item in fields(port):
        value = getattr(port, item.name)
        if item.name == "columns":
            value = {n: _column_as_dict(c) for n, c in value.items()}
        elif value == item.default:
            continue
        plain[item.name] = list(value) if isinstance(value, tuple) else value
    return plain


def _column_as_dict(column: Column) -> dict[str, Any]:
    values = {f.name: getattr(column, f.name) for f in fields(column) if getattr(column, f.name) != f.default}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def port_from_dict(plain: Mapping[str, Any]) -> AnyPort:
    """The inverse of ``port_as_dict``."""
    rest = {n: v for n, v in plain.items() if n not in ("shape", "columns")}
    columns = {
        n: Column(**{k: tuple(v) if k == "range" and v is not None else v for k, v in c.items()})
        for n, c in plain["columns"].items()
    }
    if plain.get("shape") == "grid":
        return GridPort(columns, **{k: tuple(v) if k == "dims" else v for k, v in rest.items()})
    return Port(columns, **rest)
