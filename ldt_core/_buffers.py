"""Numpy arrays to Arrow arrays and back, buffer by buffer.

Numbers and time stamps share memory. ``pa.array`` and ``to_numpy`` would do most of this, but both
import pandas wherever it is installed, which costs most of a second.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .errors import InputError
from .tables import TIME_DTYPE

if TYPE_CHECKING:
    from numpy.typing import NDArray


_NONE = np.array(None, object)


def to_array(values: NDArray[Any], mask: NDArray[np.bool_] | None, name: str, geometry: bool) -> pa.Array:
    rows, kind = len(values), values.dtype.kind
    if geometry or kind == "O":
        items, missing = _objects(values, mask, name, geometry)
        offsets, data = _join_bytes(items) if geometry else _join_text(items, name)
        buffers = [validity(missing), pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.large_binary() if geometry else pa.large_string(), rows, buffers)
    if kind == "M":
        lost = np.isnat(values)
        if lost.any():
            mask = lost if mask is None else lost | mask
    if kind == "b":
        packed = pa.py_buffer(np.packbits(values, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), rows, [validity(mask), packed])
    if kind not in "iufM":
        raise InputError(
            f"column '{name}' holds {values.dtype}, which no port can carry",
            code="dtype",
            where=name,
            fix="use datetime64, float64, int64, bool, text or geometries",
        )
    block = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    type = pa.timestamp("us", "UTC") if kind == "M" else pa.from_numpy_dtype(block.dtype)
    return pa.Array.from_buffers(type, rows, [validity(mask), pa.py_buffer(block)])


def validity(mask: NDArray[np.bool_] | None) -> Any:
    if mask is None or not mask.any():
        return None
    return pa.py_buffer(np.packbits(~mask, bitorder="little"))


def _objects(
    values: NDArray[Any], mask: NDArray[np.bool_] | None, name: str, geometry: bool
) -> tuple[list[Any], NDArray[np.bool_]]:
    """The values as text or WKB, empty where missing, and where that is."""
    missing = np.fromiter((v is None for v in values), bool, len(values))
    if mask is not None:
        missing |= mask
    if geometry:
        import shapely

        if missing.any():
            values = np.where(missing, _NONE, values)
        try:
            # ISO is what GeoParquet asks of coordinates with z; without z both flavours are one.
            items = shapely.to_wkb(values, byte_order=1, flavor="iso").tolist()
        except TypeError as exc:
            raise InputError(f"'{name}' holds what is no geometry: {exc}", code="dtype", where=name) from exc
        return [b"" if i is None else i for i in items], missing
    if missing.any():
        return [("" if gone else v) for v, gone in zip(values.tolist(), missing.tolist())], missing
    return values.tolist(), missing


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _join_bytes(items: list[bytes]) -> tuple[NDArray[np.int64], bytes]:
    return _offsets(np.fromiter(map(len, items), np.int64, len(items))), b"".join(items)


def _join_text(items: list[str], name: str) -> tuple[NDArray[np.int64], bytes]:
    try:
        joined = "".join(items)
        data = joined.encode()
    except (TypeError, UnicodeEncodeError) as exc:
        raise InputError(
            f"'{name}' holds what is no text: {exc}",
            code="dtype",
            where=name,
            fix="convert every value to str",
        ) from exc
    offsets = _offsets(np.fromiter(map(len, items), np.int64, len(items)))
    if len(data) != len(joined):  # offsets count characters so far; Arrow counts bytes
        offsets = np.append(_character_starts(data), len(data))[offsets]
    return offsets, data


def _character_starts(data: bytes) -> NDArray[np.int64]:
    """Where each character begins: UTF-8 marks every other byte as 10xxxxxx."""
    return np.flatnonzero((np.frombuffer(data, np.uint8) & 0xC0) != 0x80).astype(np.int64)


def from_array(
    array: pa.Array, name: str, encoding: str | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Values and missing marks. What is missing holds NaN, NaT, None, 0 or False."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    types, type, rows = pa.types, array.type, len(array)
    if types.is_null(type):
        return np.full(rows, None, object), np.ones(rows, bool) if rows else None
    layout = _layout(encoding)
    if types.is_dictionary(type):
        if layout is None:
            return _from_dictionary(array, name)
        array = array.dictionary_decode()
    missing = ~_bits(array.buffers()[0], array.offset, rows) if array.null_count else None
    if layout is not None:
        return _geometries(array, missing, name, layout), missing
    if types.is_string(type) or types.is_large_string(type) or types.is_string_view(type):
        values = np.empty(rows, object)
        values[:] = _split_text(array)
        fill: Any = None
    elif types.is_timestamp(type):
        values, fill = _instants(array, name, missing), np.datetime64("NaT", "us")
    elif types.is_boolean(type):
        values, fill = _bits(array.buffers()[1], array.offset, rows), False
    else:
        if types.is_decimal(type):
            array = array.cast(pa.float64(), safe=False)
        elif not (types.is_integer(type) or types.is_floating(type)):
            raise InputError(
                f"column '{name}' holds {type}, which no port can carry",
                code="dtype",
                where=name,
                fix=_cure(type),
            )
        dtype = np.dtype(array.type.to_pandas_dtype())
        values, fill = _view(array, dtype), np.nan if dtype.kind == "f" else 0
    if missing is not None:
        values = np.where(missing, np.array(fill, values.dtype), values)
    return values, missing


def _cure(type: pa.DataType) -> str:
    if pa.types.is_date(type):
        return "a day is not an instant: cast it to a time stamp with a zone, or to text"
    if pa.types.is_binary(type) or pa.types.is_large_binary(type):
        return "mark geometry as geoarrow.wkb (geopandas: frame.to_arrow())"
    return "cast it to a number, text, boolean or time stamp with a zone, or leave it out"


def _bits(buffer: Any, offset: int, rows: int) -> NDArray[np.bool_]:
    if rows == 0 or buffer is None:
        return np.zeros(rows, bool)
    raw = np.frombuffer(buffer, np.uint8)[offset // 8 : (offset + rows + 7) // 8]
    return np.unpackbits(raw, bitorder="little")[offset % 8 :][:rows].view(bool)


def _view(array: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The value buffer as numpy, by reference."""
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)


def _instants(array: pa.Array, name: str, missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    type = array.type
    if type.tz is None:
        raise InputError(
            f"the time stamps of '{name}' have no zone, so they name no instant",
            code="time zone missing",
            where=name,
            fix="say which zone they were written in and convert them to UTC, for example in pandas "
            "with .dt.tz_localize('Europe/Rome'), or with zone: under columns: in the twin file",
        )
    ticks = _view(array, np.dtype(np.int64))
    if type.unit == "us":
        return ticks.view(TIME_DTYPE)
    if missing is not None:
        ticks = np.where(missing, 0, ticks)
    if type.unit == "ns":
        if (ticks % 1000).any():
            raise InputError(
                f"the time stamps of '{name}' are finer than a microsecond",
                code="dtype",
                where=name,
                fix="round them to microseconds",
            )
        return (ticks // 1000).view(TIME_DTYPE)
    return (ticks * {"s": 1_000_000, "ms": 1000}[type.unit]).view(TIME_DTYPE)


def _span(array: pa.Array) -> tuple[NDArray[np.int64], bytes]:
    """Offsets from 0 and the bytes of a text or binary array."""
    types = pa.types
    if types.is_string_view(array.type) or types.is_binary_view(array.type):
        array = array.cast(pa.large_string() if types.is_string_view(array.type) else pa.large_binary())
    _, ends, data = array.buffers()
    if len(array) == 0 or ends is None:
        return np.zeros(1, np.int64), b""
    wide = types.is_large_string(array.type) or types.is_large_binary(array.type)
    ends = np.frombuffer(ends, np.int64 if wide else np.int32)[array.offset :][: len(array) + 1]
    offsets = ends.astype(np.int64)
    whole = b"" if data is None else data.slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes()
    return offsets - offsets[0], whole


def _split_text(array: pa.Array) -> list[str]:
    offsets, data = _span(array)
    text = data.decode()
    if len(text) != len(data):  # offsets count bytes; slicing a str counts characters
        offsets = np.searchsorted(_character_starts(data), offsets)
    cuts = offsets.tolist()
    return [text[a:b] for a, b in pairwise(cuts)]


def _from_dictionary(array: pa.Array, name: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Both the index and what it points to may be missing; missing rows point to a blank at the end."""
    values, absent = from_array(array.dictionary, name, None)
    index, gone = from_array(array.indices, name, None)
    if gone is None and absent is None:
        return values[index], None
    blank = from_array(pa.nulls(1, array.dictionary.type), name, None)[0]
    index = index.astype(np.int64) if gone is None else np.where(gone, len(values), index)
    ends = np.append(np.zeros(len(values), bool) if absent is None else absent, True)
    return np.append(values, blank)[index], ends[index]


def _layout(encoding: str | None) -> str | None:
    """``wkb``, or the GeoArrow layout in lower case; None where it is no geometry."""
    if encoding is None:
        return None
    head, _, tail = encoding.lower().rpartition(".")
    return tail if head in ("", "geoarrow", "ogc") else None


def _geometries(array: pa.Array, missing: NDArray[np.bool_] | None, name: str, layout: str) -> NDArray[Any]:
    import shapely

    try:
        if layout == "wkb":
            offsets, data = _span(array)
            cuts = offsets.tolist()
            items = np.empty(len(array), object)
            items[:] = [data[a:b] for a, b in pairwise(cuts)]
            if missing is not None:
                items[missing] = None
            found: NDArray[Any] = shapely.from_wkb(items)
        else:
            found = _from_native(array, layout)
    except (shapely.errors.ShapelyError, KeyError, TypeError) as exc:
        raise InputError(
            f"'{name}' is no geometry that can be read ({layout}): {exc}",
            code="geometry",
            where=name,
            fix="write the geometry as WKB",
        ) from exc
    if missing is not None:
        found = np.where(missing, _NONE, found)
    return found


_DEPTH = {"point": 0, "linestring": 1, "multipoint": 1, "polygon": 2, "multilinestring": 2, "multipolygon": 3}


def _from_native(array: pa.Array, layout: str) -> NDArray[Any]:
    """GeoArrow's own layouts: nested lists of coordinates, apart (struct) or woven (fixed list)."""
    import shapely

    levels: list[NDArray[np.int64]] = []
    for _ in range(_DEPTH[layout]):
        ends = array.offsets
        levels.insert(0, _view(ends, np.dtype(ends.type.to_pandas_dtype())).astype(np.int64))
        array = array.values
    if pa.types.is_struct(array.type):
        parts = [array.field(i) for i in range(array.type.num_fields)]
        coordinates = np.column_stack([_view(p, np.dtype(np.float64)) for p in parts])
    else:
        width = array.type.list_size
        flat = _view(array.values, np.dtype(np.float64)).reshape(-1, width)
        coordinates = flat[array.offset :][: len(array)]
    kind = shapely.GeometryType[layout.upper()]
    found: NDArray[Any] = shapely.from_ragged_array(kind, coordinates, tuple(levels) or None)
    return found
