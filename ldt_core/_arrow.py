"""Tables at the borders: Arrow through the capsule interface, GeoParquet on disk.

Numbers and time stamps pass by reference, masks become validity bitmaps, text becomes
``large_string`` and geometry WKB (``geoarrow.wkb``) with its CRS as PROJJSON. Files are read through
``ParquetFile``: ``pq.read_table`` imports ``pyarrow.dataset``, which costs more than a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ._buffers import from_array, to_array, validity
from .errors import InputError
from .tables import Column, Port, Table, _frozen, port_as_dict

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXTENSION = b"ARROW:extension:name"
_EXTENSION_META = b"ARROW:extension:metadata"
_WKB = "geoarrow.wkb"
_PORT = "ldt:port"
_NAMES = ("Point", "LineString", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
_TYPES = (*_NAMES, "GeometryCollection")  # by shapely's type id; a ring is written as a line


# -- to Arrow ----------------------------------------------------------------------------------


Kept = dict[str, tuple[Any, Any]]
"""By column of text or geometry: what was converted last, and into what. Ids come again, as a rule."""


def table_to_arrow(
    table: Table, port: Port | None = None, *, crs: str | None = None, kept: Kept | None = None
) -> pa.Table:
    """An Arrow table of the same rows; numbers and time stamps share memory with ``table``.

    ``port`` adds unit, quantity, cell method and CRS as field metadata; ``crs`` is what ``twin``
    stands for. A column that is the same object as in ``kept`` is not converted again. Raises ``InputError`` for values that Arrow cannot hold.
    """
    columns = port.columns if port is not None else {}
    arrays, schema = [], []
    for name in table:
        column = columns.get(name)
        geometry = _is_geometry(table[name], column)
        values, gone = table[name], table.masks.get(name)
        known = kept.get(name) if kept is not None and gone is None else None
        if known is not None and known[0] is values:
            array = known[1]
        else:
            array = to_array(values, gone, name, geometry)
            if kept is not None and gone is None and values.dtype == object:
                kept[name] = (values, array)
        arrays.append(array)
        schema.append(pa.field(name, array.type, metadata=_field_metadata(column, geometry, crs)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(schema))


def _is_geometry(values: NDArray[Any], column: Column | None) -> bool:
    if column is not None:
        return column.kind == "geometry"
    if values.dtype != object:
        return False
    first = next((v for v in values if v is not None), None)
    return first is not None and type(first).__module__.startswith("shapely")


def _field_metadata(column: Column | None, geometry: bool, crs: str | None) -> dict[str, str] | None:
    meaning: dict[str, str] = {}
    if column is not None:
        known = {"unit": column.unit, "quantity": column.quantity, "description": column.description or None}
        if column.measured or column.cell != "point":
            known["cell"] = column.cell
        meaning = {k: v for k, v in known.items() if v is not None}
    if geometry:
        projjson = _projjson(column, crs)
        more = {} if projjson is None else {"crs": projjson, "crs_type": "projjson"}
        meaning |= {_EXTENSION.decode(): _WKB, _EXTENSION_META.decode(): json.dumps(more)}
    return meaning or None


def _projjson(column: Column | None, twin: str | None) -> dict[str, Any] | None:
    code = twin if column is None or column.crs == "twin" else column.crs
    if code is None or code == "twin":
        return None
    return _projjson_of(code)


@lru_cache(maxsize=64)
def _projjson_of(code: str) -> dict[str, Any]:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        plain: dict[str, Any] = CRS.from_user_input(code).to_json_dict()
    except CRSError as exc:
        raise InputError(
            f"'{code}' is not a coordinate reference system that PROJ knows",
            code="CRS missing",
            fix="write an authority code such as EPSG:25832, or PROJJSON",
        ) from exc
    return plain


# -- from Arrow --------------------------------------------------------------------------------


def table_from_arrow(source: Any, kept: Kept | None = None) -> Table:
    """From anything with the Arrow capsule interface (pandas, polars, duckdb, pyarrow).

    A column of text or geometry with the same bytes as the one in ``kept`` becomes the same object.
    Numbers and time stamps of a single chunk are shared, not copied. Raises ``InputError`` for a
    time stamp without a zone, and for types that no port can carry.
    """
    return _from_table(_as_arrow(source), {}, kept)


def _as_arrow(source: Any) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if isinstance(source, pa.RecordBatchReader):
        return source.read_all()
    try:
        if hasattr(source, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(source).read_all()
        if hasattr(source, "__arrow_c_array__"):
            schema, array = source.__arrow_c_array__()
            return pa.Table.from_batches([pa.RecordBatch._import_from_c_capsule(schema, array)])
    except pa.ArrowException as exc:
        raise InputError(
            f"{type(source).__name__} cannot be read as Arrow: {exc}",
            code="dtype",
            fix="hand over frame.to_arrow() of a geopandas frame; give every column one type",
        ) from exc
    raise InputError(
        f"{type(source).__name__} offers no Arrow data",
        code="shape",
        fix="hand over a pyarrow, pandas, polars or duckdb table, or build an ldt.Table from columns",
    )


def _from_table(arrow: pa.Table, encodings: Mapping[str, str], kept: Kept | None = None) -> Table:
    """``encodings`` names what GeoParquet says of geometry columns: WKB, or a GeoArrow layout."""
    names = arrow.column_names
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        what = f"two columns are named '{twice}'"
        raise InputError(what, code="schema drift", where=twice, fix="rename one")
    columns, masks, rows = {}, {}, arrow.num_rows
    schema = arrow.schema
    for name in names:
        field, chunked = schema.field(name), arrow.column(0)
        arrow = arrow.remove_column(0)  # lets go of what has been converted
        encoding = encodings.get(name) or _extension(field)
        known = None if kept is None else kept.get(f"{encoding} {name}")
        if known is not None and chunked.num_chunks == 1 and known[0].equals(chunked.chunk(0)):
            columns[name] = known[1]
            continue
        parts = [from_array(chunk, name, encoding) for chunk in chunked.chunks]
        if not parts:
            parts = [from_array(pa.nulls(0, field.type), name, encoding)]
        values, gone = parts[0]
        if len(parts) > 1:
            values = np.concatenate([v for v, _ in parts])
            if any(g is not None for _, g in parts):
                gone = np.concatenate([np.zeros(len(v), bool) if g is None else g for v, g in parts])
        columns[name] = _frozen(values)
        if gone is not None:
            masks[name] = _frozen(gone)
        elif kept is not None and values.dtype == object and chunked.num_chunks == 1:
            kept[f"{encoding} {name}"] = (chunked.chunk(0), columns[name])
    return Table._of(columns, masks, rows)


def _extension(field: pa.Field) -> str | None:
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    name = (field.metadata or {}).get(_EXTENSION)
    return None if name is None else name.decode()


# -- GeoParquet --------------------------------------------------------------------------------


def write_geoparquet(
    target: Path | str | IO[bytes],
    table: Table,
    port: Port | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    crs: str | None = None,
    covering: bool = True,
) -> None:
    """Parquet (zstd), and GeoParquet 1.1 where the table has geometry; rows keep their order.

    ``metadata`` maps names to JSON values kept in the file; the port is kept as ``ldt:port``.
    ``crs`` is what ``twin`` stands for; a CRS that is not known is written as null, because leaving
    it out would say OGC:CRS84. ``covering`` adds a column of bounding boxes, by which other tools
    skip what lies elsewhere.
    """
    import pyarrow.parquet as pq

    arrow = table_to_arrow(table, port, crs=crs)
    notes = {k: json.dumps(v, allow_nan=False) for k, v in (metadata or {}).items()}
    if port is not None:
        notes[_PORT] = json.dumps(port_as_dict(port))
    places = [f.name for f in arrow.schema if (f.metadata or {}).get(_EXTENSION) == _WKB.encode()]
    if places:
        arrow, notes["geo"] = _with_geo(arrow, table, port, places, crs, covering)
    arrow = arrow.replace_schema_metadata(notes)
    repeated = [f.name for f in arrow.schema if not (pa.types.is_floating(f.type) or f.name in places)]
    woven = [f.name for f in arrow.schema if f.type in (pa.float64(), pa.float32())]
    options = {
        "compression": "zstd",
        "use_dictionary": repeated or False,
        "use_byte_stream_split": woven or False,
    }
    sink = str(target) if isinstance(target, Path) else target
    with pq.ParquetWriter(sink, arrow.schema, **options) as writer:
        writer.write_table(arrow)


def _with_geo(
    arrow: pa.Table, table: Table, port: Port | None, places: list[str], crs: str | None, covering: bool
) -> tuple[pa.Table, str]:
    import shapely

    columns: dict[str, Any] = {}
    for name in places:
        values = table[name]
        mask = table.masks.get(name)
        present = values if mask is None else values[~mask]
        present = present[~shapely.is_missing(present)]
        deep = shapely.has_z(present)
        kinds = {_TYPES[t] + (" Z" if z else "") for t, z in zip(shapely.get_type_id(present), deep)}
        known = {
            "encoding": "WKB",
            "geometry_types": sorted(kinds),
            "crs": _projjson(port.columns.get(name) if port else None, crs),
        }
        box = shapely.total_bounds(present) if len(present) else np.full(4, np.nan)
        if np.isfinite(box).all() and not deep.any():
            known["bbox"] = box.tolist()
        if covering:
            box_name = f"{name}_bbox"
            while box_name in arrow.column_names:
                box_name += "_"
            corners = ("xmin", "ymin", "xmax", "ymax")
            arrow = arrow.append_column(box_name, _boxes(values, mask, corners))
            known["covering"] = {"bbox": {c: [box_name, c] for c in corners}}
        columns[name] = known
    return arrow, json.dumps({"version": "1.1.0", "primary_column": places[0], "columns": columns})


def _boxes(values: NDArray[Any], mask: NDArray[np.bool_] | None, corners: Sequence[str]) -> pa.Array:
    import shapely

    bounds = shapely.bounds(values).reshape(-1, 4)
    gone = np.isnan(bounds[:, 0])
    if mask is not None:
        gone = gone | mask
    sides = [to_array(np.ascontiguousarray(bounds[:, i]), gone, c, False) for i, c in enumerate(corners)]
    fields = [pa.field(c, pa.float64()) for c in corners]
    return pa.Array.from_buffers(pa.struct(fields), len(values), [validity(gone)], children=sides)


def read_parquet(
    source: Path | str | IO[bytes], columns: Sequence[str] | None = None
) -> tuple[Table, dict[str, Any]]:
    """The table, and the file's metadata with JSON decoded (``geo``, ``ldt:port``, what was given).

    Reads any Parquet and GeoParquet; a covering column is left out. ``columns`` reads these alone.
    Raises ``InputError`` where the file is no Parquet or holds what no port can carry.
    """
    import pyarrow.parquet as pq

    where = str(source) if isinstance(source, (Path, str)) else ""
    try:
        head = pq.read_metadata(str(source) if isinstance(source, Path) else source)
        schema, raw = head.schema.to_arrow_schema(), head.metadata or {}
        notes = {k.decode(): _decoded(v) for k, v in raw.items() if k != b"ARROW:schema"}
        geo = notes.get("geo", {}).get("columns", {})
        boxes = {path[0] for g in geo.values() for path in g.get("covering", {}).get("bbox", {}).values()}
        wanted = [n for n in schema.names if n not in boxes] if columns is None else list(columns)
        absent = next((n for n in wanted if n not in schema.names), None)
        if absent is not None:
            raise InputError(f"column '{absent}' is missing", code="schema drift", where=where)
        words = [n for n in wanted if schema.field(n).type in (pa.string(), pa.large_string())]
        if not isinstance(source, (Path, str)):
            source.seek(0)
        opened = str(source) if isinstance(source, Path) else source
        with pq.ParquetFile(opened, metadata=head, read_dictionary=words) as file:
            # Arrow's thread pool can abort an interpreter that ends soon after; workers run in parallel anyway.
            arrow = file.read(columns=wanted, use_threads=False).select(wanted)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise InputError(
            f"this is no Parquet file that can be read: {exc}", code="shape", where=where, fix="write it anew"
        ) from exc
    return _from_table(arrow, {n: g.get("encoding", "WKB") for n, g in geo.items()}), notes


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
