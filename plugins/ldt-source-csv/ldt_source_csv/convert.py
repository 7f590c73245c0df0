"""Text as numbers, truth, time and places; every refusal names file, line and column."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

from .params import ColumnSpec, PointSpec, Stamps
from .reading import Text
from .times import read_stamp

Values = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values and True where one is missing."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INTEGER = r"^[+-]?\d+$"
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PAIR = re.compile(r"\s*([^\s,;]+)\s*[,;\s]\s*([^\s,;]+)\s*")


def convert_column(text: Text, name: str, spec: ColumnSpec) -> Values:
    """The values of one column. Raises ``InputError`` for a cell that is not of its kind."""
    source = spec.source or name
    kind = spec.resolve_kind()
    if kind == "text":
        values, missing = _objects(text.column(source)), _equals(text.column(source), [""])
    elif kind == "instant":
        assert spec.stamps is not None
        values, missing = convert_times(text, (source,), spec.stamps)
    elif kind == "boolean":
        values, missing = _convert_truth(text, source)
    else:
        values, missing = convert_numbers(text, source, integer=kind == "integer")
    if missing.any() and not spec.nulls:
        raise _refused(
            text,
            int(missing.argmax()),
            source,
            f"the cell is empty, and {int(missing.sum())} of {len(missing)} are",
            f"write nulls: true for the column '{name}', or choose rows by where:",
        )
    if spec.range is not None:
        low, high = spec.range
        outside = ~missing & ((values < low) | (values > high))
        if outside.any():
            row = int(outside.argmax())
            raise _refused(
                text,
                row,
                source,
                f"{values[row]:g} lies outside {low:g} to {high:g}",
                "correct cell or range",
            )
    return values, missing


def convert_numbers(text: Text, source: str, *, integer: bool = False) -> Values:
    params = text.params
    cells = text.column(source)
    missing = _equals(cells, ["", *params.missing])
    plain = cells
    if params.thousands is not None:
        mark = re.escape(params.thousands)
        grouped = rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({re.escape(params.decimal)}\d*)?$"
        plain = pc.if_else(
            pc.match_substring_regex(cells, grouped), pc.replace_substring(cells, params.thousands, ""), cells
        )
    if params.decimal == ",":
        plain = pc.if_else(pc.match_substring(plain, "."), "bad", pc.replace_substring(plain, ",", "."))
    good = pc.match_substring_regex(plain, _INTEGER if integer else _NUMBER).to_numpy(zero_copy_only=False)
    bad = ~good & ~missing
    if bad.any():
        row = int(bad.argmax())
        what = "whole number" if integer else "number"
        raise _refused(
            text,
            row,
            source,
            f"'{cells[row]}' is no {what}, and {int(bad.sum())} of {len(bad)} cells are none",
            "add it to missing: if it stands for none, state decimal: or thousands:, or correct the cell",
        )
    filled = pc.if_else(pa.array(missing), "0", plain)
    if integer:  # Arrow refuses a plus sign
        filled = pc.utf8_ltrim(filled, "+")
    try:
        values = filled.cast(pa.int64() if integer else pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise ldt.InputError(str(error), code="not a number", where=f"{params.file}::{source}") from error
    infinite = ~np.isfinite(values)
    if infinite.any():
        raise _refused(text, int(infinite.argmax()), source, "the number is too large", "correct the cell")
    return values, missing


def _convert_truth(text: Text, source: str) -> Values:
    cells = text.column(source)
    missing = _equals(cells, ["", *text.params.missing])
    lower = _objects(pc.utf8_lower(cells))
    for row, word in enumerate(lower):
        if word not in _TRUTH and not missing[row]:
            raise _refused(
                text,
                row,
                source,
                f"'{cells[row]}' is neither true nor false",
                "write true or false",
            )
    return np.array([_TRUTH.get(word, False) for word in lower], bool), missing


def convert_times(text: Text, headers: tuple[str, ...], how: Stamps) -> Values:
    """UTC of the columns ``headers`` joined by blanks. Each different text is read once."""
    columns = [text.column(header) for header in headers]
    cells = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, " ")
    missing = np.zeros(len(text.rows), bool)
    for column in columns:
        missing |= _equals(column, ["", *text.params.missing])
    encoded = pc.dictionary_encode(cells)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    stamps = np.full(len(encoded.dictionary), np.datetime64("NaT"), "datetime64[us]")
    used = np.zeros(len(stamps), bool)
    used[codes[~missing]] = True
    for code in np.flatnonzero(used):
        try:
            stamps[code] = read_stamp(str(encoded.dictionary[int(code)]), how)
        except ValueError as error:
            what, _, fix = str(error).partition(" -> ")
            row = int(((codes == code) & ~missing).argmax())
            raise _refused(text, row, "+".join(headers), what, fix) from None
    return stamps[codes], missing


def convert_points(text: Text, spec: PointSpec) -> Values:
    """Points, x then y. Raises ``InputError`` for places that cannot be where the CRS says."""
    if spec.wkt is not None:
        return _convert_wkt(text, spec.wkt)
    if spec.text is not None:
        x, y, missing = _split_pairs(text, spec.text, swap=spec.order == "lat, lon")
        where_x = where_y = spec.text
    else:
        assert spec.x is not None
        assert spec.y is not None
        x, no_x = convert_numbers(text, spec.x)
        y, no_y = convert_numbers(text, spec.y)
        missing, where_x, where_y = no_x | no_y, spec.x, spec.y
    if pyproj.CRS(spec.crs).is_geographic:
        for values, limit, source in ((x, 180, where_x), (y, 90, where_y)):
            outside = ~missing & (np.abs(values) > limit)
            if outside.any():
                row = int(outside.argmax())
                raise _refused(
                    text,
                    row,
                    source,
                    f"{values[row]:.15g} is no degree of {'longitude' if limit == 180 else 'latitude'}",
                    "look for lost decimal signs, swapped columns, or state point.crs",
                )
    points = shapely.points(np.column_stack([x, y]))
    points[missing] = None
    return points, missing


def _split_pairs(
    text: Text, source: str, *, swap: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    cells = text.column(source)
    missing = _equals(cells, ["", *text.params.missing])
    pairs = np.zeros((len(cells), 2))
    for row, cell in enumerate(_objects(cells)):
        if missing[row]:
            continue
        found = _PAIR.fullmatch(cell)
        try:
            assert found is not None
            pairs[row] = float(found[1]), float(found[2])
        except (AssertionError, ValueError):
            raise _refused(
                text, row, source, f"'{cell}' is no pair of coordinates", "write '44.4974, 11.3160'"
            ) from None
    first, second = pairs.T
    return (second, first, missing) if swap else (first, second, missing)


def _convert_wkt(text: Text, source: str) -> Values:
    cells = text.column(source)
    missing = _equals(cells, ["", *text.params.missing])
    words = _objects(cells).copy()
    words[missing] = None
    shapes: NDArray[Any] = shapely.from_wkt(words, on_invalid="ignore")
    bad = ~missing & shapely.is_missing(shapes)
    if bad.any():
        row = int(bad.argmax())
        raise _refused(
            text, row, source, f"'{str(cells[row])[:60]}' is no WKT geometry", "write POINT (11 44)"
        )
    return shapes, missing


def _equals(cells: Any, words: list[str]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_in(cells, value_set=pa.array(words, pa.string())).to_numpy(
        zero_copy_only=False
    )
    return found.astype(bool, copy=False)


def _objects(cells: Any) -> NDArray[Any]:
    array: NDArray[Any] = cells.to_numpy(zero_copy_only=False)
    return array


def _refused(text: Text, row: int, source: str, what: str, fix: str) -> ldt.InputError:
    return ldt.InputError(what, code="cell", where=text.place(row, source), fix=fix)
