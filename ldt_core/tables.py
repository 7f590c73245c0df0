"""Ports with meaning, and the data that flows through them.

A ``Column`` says what its values are: kind, UCUM unit, quantity, cell method, range, CRS.
A ``Port`` is a named set of columns; a ``Table`` is the data: numpy columns by reference, read-only,
with an optional mask of missing values. Arrow, GeoParquet and GeoJSON appear at the borders only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

    Values = ArrayLike | Iterable[Any]

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

    def __init__(self, columns: Mapping[str, Values], masks: Mapping[str, ArrayLike] | None = None) -> None:
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
            if name not in self._columns or mask.shape != (self._rows,):
                raise InputError(
                    f"the mask of '{name}' does not fit the table", code="shape", fix="one mark per row"
                )

    @classmethod
    def _of(cls, columns: dict[str, NDArray[Any]], masks: dict[str, NDArray[Any]], rows: int) -> Self:
        """Trusted constructor: arrays are frozen and equally long already."""
        self = cls.__new__(cls)
        self._columns, self._masks, self._rows, self._digest = columns, masks, rows, None
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (Table, (self._columns, self._masks))  # arrays forget in a pickle that they are read-only

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

    def with_columns(self, **columns: Values) -> Table:
        """A new table with columns added or replaced; a replaced column loses its mask."""
        if not self._columns:
            return Table(columns)
        merged, shape = self._columns.copy(), (self._rows,)
        for name, values in columns.items():
            merged[name] = new = _frozen(values)
            if new.shape != shape:
                raise InputError(
                    f"the new column '{name}' has shape {new.shape}, the table has {self._rows} rows",
                    code="shape",
                    fix="give every column one value per row",
                )
        masks = self._masks
        if masks:
            masks = {n: m for n, m in masks.items() if n not in columns}
        return Table._of(merged, masks, self._rows)

    def with_mask(self, name: str, missing: ArrayLike) -> Table:
        return Table(self._columns, self._masks | {name: _mask(missing)})

    def rename(self, names: Mapping[str, str]) -> Table:
        if len({names.get(n, n) for n in self._columns}) < len(self._columns):
            raise InputError(
                f"two columns would be named alike by {dict(names)}", code="shape", fix="rename one"
            )
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
        """The rows of all, in order; every table with rows has the columns of the first."""
        parts = list(tables)
        if not parts:
            return Table({})
        # A table without rows need not know its dtypes, which must not spoil those of the others.
        parts = [p for p in parts if len(p)] or parts[:1]
        if len(parts) == 1:
            return parts[0]
        names = parts[0].names
        odd = next((p for p in parts if set(p.names) != set(names)), None)
        if odd is not None:
            raise InputError(
                f"tables with the columns {', '.join(names)} and {', '.join(odd.names)} do not join",
                code="shape",
                fix="select the same columns of each",
            )
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
        a, b, c, d, e, f = (float(x) for x in affine)
        self.dims, self.affine, self.crs = tuple(dims), (a, b, c, d, e, f), crs
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
            h = hashlib.sha256(b"ldt-grid-1\0" + repr((self.dims, self.affine, self.crs)).encode())
            for part in (self.values, self.coords):
                for name in sorted(part):
                    h.update(f"\0{name}\0{part[name].shape}\0".encode())
                    _digest_values(h, part[name].ravel(), None)
            self._digest = h.hexdigest()
        return self._digest


Tables = Mapping[str, "Table | Grid"]
AnyPort = Port | GridPort


def _frozen(values: Values) -> NDArray[Any]:
    if type(values) is np.ndarray and values.dtype.kind in "fibO":  # the usual case, without a detour
        if values.flags.writeable:
            values = values.view()
            values.flags.writeable = False
        return values
    if isinstance(values, np.ndarray):
        if isinstance(values, np.ma.MaskedArray):
            raise InputError("a masked array came as a column", code="shape", fix="give its mask in masks=")
        array = values
    else:
        items = values if isinstance(values, (list, tuple)) else list(values)  # type: ignore[arg-type]
        first = next((i for i in items if i is not None), None)
        if isinstance(first, str) or type(first).__module__.startswith("shapely"):
            array = np.empty(len(items), object)
            array[:] = items
        else:
            array = np.asarray(items)
    if array.dtype.kind in "UST":
        array = (np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array).astype(object)
    elif array.dtype.kind == "M" and array.dtype != TIME_DTYPE:
        array = array.astype(TIME_DTYPE)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def _mask(values: ArrayLike) -> NDArray[np.bool_]:
    return _frozen(np.asarray(values, dtype=bool))


def _digest(table: Table) -> str:
    h = hashlib.sha256(b"ldt-table-2\0")
    h.update(str(len(table)).encode())
    for name in sorted(table.names):
        values = table[name]
        h.update(f"\0{len(name)}\0{name}\0".encode("utf-8", "surrogatepass"))
        _digest_values(h, values, _missing(values, table._masks.get(name)))
    return h.hexdigest()


def _missing(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Where a value is marked as missing, None or NaT; None where nothing is."""
    if values.dtype == object:
        absent = np.fromiter((v is None for v in values), bool, len(values))
    elif values.dtype.kind == "M":
        absent = np.isnat(values)
    else:
        absent = None
    if absent is not None and absent.any():
        mask = absent if mask is None else absent | mask
    return mask if mask is not None and mask.any() else None


def _digest_values(h: hashlib._Hash, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
    """The same bytes for one NaN or another, for 0.0 and -0.0, and whatever a missing value holds."""
    if values.dtype == object:
        _digest_objects(h, values, mask)
    else:
        block = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
        if mask is not None:
            block = np.where(mask, np.zeros((), block.dtype), block)
        if block.dtype.kind == "f":
            block = block + np.zeros((), block.dtype)
            block[np.isnan(block)] = np.nan
        h.update(block.dtype.str.encode() + b"\0")
        h.update(block.view(np.uint8).data)
    if mask is not None:
        h.update(b"\0mask")
        h.update(np.packbits(mask).data)


def _digest_objects(h: hashlib._Hash, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
    if mask is not None:
        values = np.where(mask, np.array(None, object), values)
    items = values.tolist()
    first = next((v for v in items if v is not None), "")
    if isinstance(first, str):
        texts = ["" if v is None else v for v in items] if mask is not None else items
        lengths = np.fromiter(map(len, texts), "<i8", len(texts))
        kind, data = b"text\0", "".join(texts).encode("utf-8", "surrogatepass")
    else:
        import shapely

        shapes = [b"" if v is None else v for v in shapely.to_wkb(values, byte_order=1).tolist()]
        lengths = np.fromiter(map(len, shapes), "<i8", len(shapes))
        kind, data = b"wkb\0", b"".join(shapes)
    h.update(kind)
    h.update(lengths.data)
    h.update(data)


def check(data: Table | Grid, port: Port | GridPort, where: str) -> Table | Grid:
    """``data`` as ``port`` promises it, or ``InputError``.

    Extra columns are dropped; int64 is widened to float64; None and NaT count as missing; nothing
    else is changed. Refused: a missing column, another kind, a missing value where none is allowed,
    NaN or infinity, a value outside the range, a geometry of another type.
    """
    if isinstance(port, GridPort):
        if not isinstance(data, Grid):
            raise _refused(where, "shape", f"a {type(data).__name__} came where a Grid is declared")
        return _check_grid(data, port, where)
    if not isinstance(data, Table):
        raise _refused(where, "shape", f"a {type(data).__name__} came where a Table is declared")
    columns: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    for name, column in port.columns.items():
        values = data._columns.get(name)
        if values is None:
            raise _refused(
                where, "schema drift", f"column '{name}' is missing; there are {', '.join(data.names)}"
            )
        columns[name], mask = _checked(values, data._masks.get(name), column, f"{where}.{name}")
        if mask is not None and column.nulls:
            masks[name] = _frozen(mask)
    return Table._of(columns, masks, len(data))


class Seen:
    """Columns that were looked at and are whole, kept by the checkers of one loop; and its last window."""

    __slots__ = ("stamp", "texts", "window")

    def __init__(self) -> None:
        self.window: Any = (0, 0)
        self.stamp: NDArray[Any] | None = None
        self.texts: dict[int, NDArray[Any]] = {}

    def is_text(self, values: NDArray[Any]) -> bool:
        """Whether every value is text; the array is held, so that its id stays its own."""
        if id(values) in self.texts:
            return True
        if values.dtype != object or not set(map(type, values.tolist())) <= {str}:
            return False
        if len(self.texts) > 15:
            self.texts.clear()
        self.texts[id(values)] = values
        return True


class Checker:
    """``check`` for one port, window after window.

    A column that is the same object as one looked at before is not looked at again: that is the
    usual case of ids and time stamps, handed on by reference. ``seen`` is shared by the checkers of
    one loop. A table that fits as it stands comes back itself.
    """

    __slots__ = (
        "_names",
        "_numbers",
        "_objects",
        "_others",
        "_seen",
        "_shapes",
        "_sure",
        "_times",
        "_zeros",
        "port",
        "where",
    )

    def __init__(self, port: Port | GridPort, where: str, seen: Seen | None = None) -> None:
        self.port, self.where = port, where
        by_kind: dict[str, list[str]] = {k: [] for k in _DTYPES}
        for name, column in port.columns.items():
            by_kind[column.kind].append(name)
        self._names = list(port.columns)
        self._objects = [(n, n in by_kind["text"]) for n in by_kind["text"] + by_kind["geometry"]]
        self._times = by_kind["instant"]
        ranges = {n: port.columns[n].range for n in by_kind["number"]}
        self._numbers = [(n, r is None, *_finite(r)) for n, r in ranges.items()]
        self._others = [(n, port.columns[n].dtype) for n in by_kind["boolean"] + by_kind["integer"]]
        self._sure = all(port.columns[n].range is None for n in by_kind["integer"])
        self._seen = Seen() if seen is None else seen
        self._shapes: dict[str, NDArray[Any]] = {}
        self._zeros = np.zeros(0)

    def __call__(self, data: Table | Grid) -> Table | Grid:
        if type(data) is not Table or type(self.port) is not Port:
            return check(data, self.port, self.where)
        columns = data._columns
        if data._masks or not self._fits(columns, data._rows):
            return self._checked_slowly(data)
        if len(columns) == len(self._names):
            return data
        return Table._of({n: columns[n] for n in self._names}, {}, data._rows)

    def _fits(self, columns: dict[str, NDArray[Any]], rows: int) -> bool:
        """Whether columns without missing marks are beyond doubt; what is not is looked at closely.

        Written out in one piece: this is the engine's cost per step.
        """
        seen = self._seen
        try:
            for name, text in self._objects:
                values = columns[name]
                if text:
                    if id(values) not in seen.texts and not seen.is_text(values):
                        return False
                elif self._shapes.get(name) is not values:
                    return False
            for name in self._times:
                values = columns[name]
                if values is not seen.stamp:
                    if values.dtype != TIME_DTYPE:
                        return False
                    if rows and int(np.minimum.reduce(values.view(np.int64))) == _NAT:
                        return False
                    seen.stamp = values
            for name, free, low, high in self._numbers:
                values = columns[name]
                if values.dtype is not _FLOAT and values.dtype != _FLOAT:
                    return False
                if free and rows <= _SMALL:  # one short pass: 0 * NaN and 0 * infinity are NaN
                    if len(self._zeros) != rows:
                        self._zeros = np.zeros(rows)
                    if values.dot(self._zeros) != 0.0:
                        return False
                elif free:  # one pass, where the least and the largest take two; NaN and infinity stay
                    if not isfinite(np.einsum("i->", values)):  # in half the time of np.sum
                        return False
                elif rows and not (np.minimum.reduce(values) >= low and np.maximum.reduce(values) <= high):
                    return False
            for name, dtype in self._others:
                if columns[name].dtype != dtype:
                    return False
        except (KeyError, RuntimeWarning):
            return False
        return self._sure

    def _checked_slowly(self, data: Table) -> Table:
        columns: dict[str, NDArray[Any]] = {}
        masks: dict[str, NDArray[Any]] = {}
        for name, column in self.port.columns.items():
            values, mask = data._columns.get(name), data._masks.get(name)
            if values is None:
                return cast("Table", check(data, self.port, self.where))
            whole = column.kind == "text" and mask is None and self._seen.is_text(values)
            if not whole and (mask is not None or self._shapes.get(name) is not values):
                new, mask = _checked(values, mask, column, f"{self.where}.{name}")
                if mask is None and column.kind == "geometry":
                    self._shapes[name] = values
                values = new
            columns[name] = values
            if mask is not None and column.nulls:
                masks[name] = _frozen(mask)
        same = len(columns) == len(data._columns) and all(columns[n] is v for n, v in data._columns.items())
        return data if same and not masks and not data._masks else Table._of(columns, masks, data._rows)


_FLOAT = np.dtype(np.float64)
_LARGEST = float(np.finfo(np.float64).max)
_SMALL = 4096  # above it a dot product may be spread over threads, which costs more than it saves
_NAT = np.iinfo(np.int64).min


def _finite(range: tuple[float, float] | None) -> tuple[float, float]:
    """The range without infinity, which no value may be."""
    return (-_LARGEST, _LARGEST) if range is None else (max(range[0], -_LARGEST), min(range[1], _LARGEST))


def _check_grid(grid: Grid, port: GridPort, where: str) -> Grid:
    if grid.dims != port.dims:
        raise _refused(where, "shape", f"the grid has dims {grid.dims}, {port.dims} are declared")
    for name, column in port.columns.items():
        values = grid.values.get(name)
        if values is None:
            raise _refused(where, "schema drift", f"'{name}' is missing; there are {', '.join(grid.values)}")
        if values.dtype.kind == "f" and column.kind == "number":
            flat = values.ravel()
            _check_numbers(flat, np.isnan(flat) if column.nulls else None, column, f"{where}.{name}")
    return grid


def _checked(
    values: NDArray[Any], mask: NDArray[np.bool_] | None, column: Column, where: str
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if values.dtype != column.dtype:
        values = _widened(values, column, where)
    mask = _missing(values, mask)
    if mask is not None and not column.nulls:
        raise _refused(
            where,
            "nulls refused",
            f"row {int(mask.argmax())} is missing, and {int(mask.sum())} of {len(mask)} rows are",
            "fill the gaps before, or link a port that accepts nulls",
        )
    if column.kind == "number":
        _check_numbers(values, mask, column, where)
    elif column.kind == "integer" and column.range is not None:
        _check_range(values if mask is None else values[~mask], column, where)
    elif column.kind in ("text", "geometry"):
        _check_objects(values, mask, column, where)
    return values, mask


def _widened(values: NDArray[Any], column: Column, where: str) -> NDArray[Any]:
    source = values.dtype.kind
    if column.kind == "number" and source in "iuf":
        return _frozen(values.astype(np.float64))
    if column.kind == "integer" and source in "iu":
        return _frozen(values.astype(np.int64))
    if len(values) == 0:
        return _frozen(np.empty(0, column.dtype))
    raise _refused(where, "dtype", f"{values.dtype} came where {column.kind} ({column.dtype}) is declared")


def _check_numbers(values: NDArray[Any], mask: NDArray[np.bool_] | None, column: Column, where: str) -> None:
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


def _check_objects(values: NDArray[Any], mask: NDArray[np.bool_] | None, column: Column, where: str) -> None:
    if column.kind == "text":
        if mask is None and set(map(type, values.tolist())) <= {str}:
            return
        wrong = np.fromiter((not isinstance(v, str) for v in values), bool, len(values))
    else:
        import shapely

        wrong = ~shapely.is_geometry(values)
    if mask is not None:
        wrong &= ~mask
    if wrong.any():
        row = int(wrong.argmax())
        raise _refused(where, "dtype", f"row {row} is {values[row]!r}, {column.kind} is declared")
    if column.kind == "geometry" and column.geometry is not None and column.geometry != "Geometry":
        kinds = np.unique(shapely.get_type_id(values if mask is None else values[~mask]))
        also = {"MultiPolygon": "POLYGON", "LineString": "LINEARRING"}.get(column.geometry)
        other = sorted({shapely.GeometryType(k).name for k in kinds} - {column.geometry.upper(), also})
        if other:
            raise _refused(where, "geometry", f"{', '.join(other)} came, {column.geometry} is declared")


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
    rest: dict[str, Any] = {n: v for n, v in plain.items() if n not in ("shape", "columns")}
    columns = {n: _column_from_dict(c) for n, c in plain["columns"].items()}
    if plain.get("shape") == "grid":
        rest["dims"] = tuple(rest.get("dims", ("y", "x")))
        return GridPort(columns, **rest)
    return Port(columns, **rest)


def _column_from_dict(plain: Mapping[str, Any]) -> Column:
    values: dict[str, Any] = dict(plain)
    if values.get("range") is not None:
        values["range"] = tuple(values["range"])
    return Column(**values)
