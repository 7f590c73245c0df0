"""Checks of sources: numbers in the unit that is said, and what is missing marked as missing."""

from __future__ import annotations

from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.errors import WiringError
from ldt_core.tables import Port
from ldt_core.units import check_unit

from ..quantities import UNITS
from ..reading import NAMES, NUMBERS, alike, known, read, table_ports
from ..trial import CannotTell, NotApplicable, Trial
from . import check


@check("LDT-SRC-UNIT-01")
def numbers_are_in_the_unit_that_is_said(trial: Trial) -> None:
    ports = table_ports(trial)
    measured = [(p, c) for p, port in ports.items() for c, col in port.columns.items() if col.measured]
    if not measured:
        raise NotApplicable("it measures nothing: no column has a unit")
    for name, column_name in measured:
        column = ports[name].columns[column_name]
        assert column.unit is not None
        problem = unit_problem(column.unit, column.quantity)
        trial.expect(problem is None, f"the column '{name}.{column_name}': {problem}", got=column.unit)
    seen, rows = set(), read(trial)
    for name, table in rows.items():
        port = ports[name]
        for row in known(trial.example, name, port):
            for column_name, value in row.items():
                if not port.columns[column_name].measured or value is None:
                    continue
                got = _values(table, port, row, column_name)
                seen.add((name, column_name))
                trial.expect(
                    any(_near(value, v, trial, column_name) for v in got),
                    f"the column '{name}.{column_name}' is not, in {port.columns[column_name].unit},"
                    " what the fixture is known to hold",
                    given={n: v for n, v in row.items() if n != column_name},
                    expected=value,
                    got=got[:5],
                )
    # Whether a number is in its unit can be seen only where it is known.
    unseen = [
        f"{p}.{c}"
        for p, c in measured
        if (p, c) not in seen and ports[p].columns[c].kind == "number" and not rows[p].mask(c).all()
    ]
    if unseen:
        raise CannotTell(f"no known row has a value of {', '.join(unseen)}: add one to the example's known")


def unit_problem(unit: str, quantity: str | None) -> str | None:
    """What is wrong with a unit, by itself or for its quantity; None where nothing is."""
    try:
        check_unit(unit)
    except WiringError as exc:
        return exc.what
    usual = UNITS.get(quantity or "")
    if usual is None:
        return None
    try:
        ldt.conversion(unit, usual)
    except WiringError:
        return f"{unit} does not measure {quantity}, which is in {usual} or what converts to it"
    return None


def _values(table: ldt.Table, port: Port, row: Any, column: str) -> list[Any]:
    """What stands in a column where a known row is, None where that is missing."""
    found = alike(table, port, row, *NAMES, "instant")
    values, gone = table[column][found].tolist(), table.mask(column)[found].tolist()
    return [None if g else v for v, g in zip(values, gone)]


def _near(expected: float, got: float | None, trial: Trial, column: str) -> bool:
    tolerance = {**trial.manifest.get("tolerances", {}), **trial.example.tolerances}.get(column, 0.0)
    return got is not None and abs(got - expected) <= max(tolerance, 1e-9 * max(1.0, abs(expected)))


SENTINELS = (-9.0, -99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, 999999.0, 1e20, 1e30, 1e36)
"""What files write where a number is missing, beside the ends of the integers and NetCDF's own."""
_LIMITS = (-32768.0, 32767.0, -2147483648.0, 2147483647.0, 9.969209968386869e36, -999.9, -999.25, -9999.9)
_WORDS = frozenset({"nan", "none", "null", "<na>", "n/a", "#n/a", "nat"})


@check("LDT-SRC-NULL-01")
def what_is_missing_is_marked_as_missing(trial: Trial) -> None:
    ports = table_ports(trial)
    columns = [c for port in ports.values() for c in port.columns.values()]
    said = any(v is None for rows in trial.example.known.values() for row in rows for v in row.values())
    if not said and not any(c.kind in NUMBERS or (c.kind == "text" and c.nulls) for c in columns):
        raise NotApplicable("nothing in its ports can be missing in a way that could be seen")
    for name, table in read(trial).items():
        port = ports[name]
        for column_name, column in port.columns.items():
            values, gone = table[column_name], table.mask(column_name)
            where = f"the column '{name}.{column_name}'"
            if column.kind in NUMBERS:
                odd = sentinel_in(values[~gone])
                trial.expect(odd is None, f"{where} holds a number that stands for 'missing'", got=odd)
            elif column.kind == "text" and column.nulls:
                words = {v for v in values[~gone] if isinstance(v, str) and v.strip().lower() in _WORDS}
                trial.expect(not words, f"{where} holds a word that stands for 'missing'", got=sorted(words))
        for row in known(trial.example, name, port):
            for column_name in (n for n, v in row.items() if v is None):
                got = _values(table, port, row, column_name)
                trial.expect(
                    None in got,
                    f"the column '{name}.{column_name}' has a value where the fixture is known to have none",
                    given={n: v for n, v in row.items() if n != column_name},
                    expected="missing",
                    got=got[:5],
                )


def sentinel_in(present: Any) -> float | None:
    """NaN, or a value that files write for 'missing', repeated and far from all others; None where there is none."""
    if present.dtype.kind == "f" and np.isnan(present).any():
        return float("nan")
    numbers, counts = np.unique(present.astype(float), return_counts=True)
    for at in np.flatnonzero(np.isin(numbers, (*SENTINELS, *_LIMITS)) & (counts > 1)):
        others = np.delete(numbers, at)
        if len(others):
            spread = max(float(others.max() - others.min()), 1e-9 * abs(float(others[0])))
            if np.abs(others - numbers[at]).min() > spread:
                return float(numbers[at])
    return None
