"""The same physical input written in another way, and inputs moved a little."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.tables import Port

# Written so that every dimension that city data has can be said in two ways; a code of the same dimension that the
# library converts by a gain and an offset is found by trying.
_UNITS = (
    "[degF] K Cel mm/s km/h m/s mm km m ms s min h kg g t ug mg kW W MW kW.h J MJ L m3 kPa Pa bar L/min L/s m3/h "
    "1/d 1/h 1/s mg/m3 ug/m3 g/m3 kg/h g/s g/km mg/m ha m2 km2 % 1 mA A mV V rad deg 1/km2 1/m2 kW/m2 W/m2 kJ/kg J/kg"
)


@lru_cache(maxsize=256)
def other_unit(unit: str) -> str | None:
    """Another UCUM code of the same dimension, the same for the same code; None for a level or where none is known."""
    for code in _UNITS.split():
        try:
            if not ldt.conversion(unit, code).identity:
                return code
        except ldt.WiringError:
            continue
    return None


def in_other_unit(port: Port, table: ldt.Table) -> tuple[Port, ldt.Table]:
    """The same values in other units: (port, table) as a supplier would declare and give them.

    Levels in decibels, and columns of whole numbers, stay as they are.
    """
    columns, values, masks = dict(port.columns), table.columns, table.masks
    for name, column in port.columns.items():
        code = other_unit(column.unit) if column.kind == "number" and column.unit else None
        if code is None or column.unit is None:
            continue
        gain, offset = ldt.conversion(column.unit, code)
        span = None
        if column.range is not None:
            ends = sorted(v * gain + offset for v in column.range)
            span = (float(np.nextafter(ends[0], -np.inf)), float(np.nextafter(ends[1], np.inf)))  # rounding
        columns[name] = replace(column, unit=code, range=span)
        values[name] = table[name] * gain + offset
    return port.replace(columns=columns), ldt.Table(values, masks)


def with_other_rows(table: ldt.Table) -> tuple[ldt.Table, list[int]]:
    """The rows in another order, with that order."""
    order = np.roll(np.arange(len(table)), 1)
    return table.take(order), order.tolist()


def with_other_columns(table: ldt.Table) -> ldt.Table:
    """The columns in another order, and one more that no port knows."""
    turned = table.select(*reversed(table.names))
    return turned.with_columns(**{"x-not-declared": np.zeros(len(table))}) if table.names else turned


def with_other_gaps(table: ldt.Table, port: Port) -> ldt.Table:
    """Something else beneath every missing mark: it must not be read."""
    values = table.columns
    for name, mask in table.masks.items():
        if mask.any() and port.columns[name].kind in ("number", "integer", "boolean"):
            values[name] = np.where(mask, ~values[name] if values[name].dtype == bool else 77, values[name])
    return ldt.Table(values, table.masks)


def moved(table: ldt.Table, column: str, share: float, bounds: tuple[float, float]) -> ldt.Table:
    """Every value of a number column moved by ``share`` of the interval, turning back at its ends."""
    low, high = bounds
    shifted = table[column] + share * (high - low)
    over = shifted > high
    shifted = np.where(over, table[column] - share * (high - low), shifted).clip(low, high)
    if table[column].dtype.kind == "i":
        shifted = np.round(shifted).astype(np.int64)
    found = table.with_columns(**{column: shifted})
    mask = table.masks.get(column)
    return found if mask is None else found.with_mask(column, mask)


def held_back(*content: object) -> float:
    """A number in [0.25, 1) that nobody chose: drawn from the content itself."""
    digest = hashlib.sha256(repr(content).encode("utf-8", "surrogatepass")).digest()
    return 0.25 + 0.75 * int.from_bytes(digest[:6], "big") / 2**48


def sorted_rows(tables: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Answers with the rows of every table in the order of its time, its ids and whatever else is no number, so that two
    can be compared as sets of rows. ``outputs`` holds the ports by the same names."""
    found: dict[str, Any] = {}
    for name, item in tables.items():
        port = outputs.get(name)
        if isinstance(item, ldt.Table) and isinstance(port, Port) and len(item):
            first = [n for n in (port.time_column, port.id) if n is not None and n in item]
            plain = [n for n, c in port.columns.items() if c.kind in ("instant", "text") and n in item]
            item = _sorted(item, list(dict.fromkeys([*first, *plain])))
        found[name] = item
    return found


def _sorted(table: ldt.Table, keys: list[str]) -> ldt.Table:
    return table.take(sorted(range(len(table)), key=lambda row: [_rank(table, k, row) for k in keys]))


def _rank(table: ldt.Table, name: str, row: int) -> tuple[bool, str | int]:
    """What one cell sorts by: what is missing comes first."""
    if table.mask(name)[row]:
        return False, ""
    value = table[name][row]
    return True, value if isinstance(value, str) else int(value.astype(np.int64))
