"""Checks of sources: what is declared, and that what comes is what was declared."""

from __future__ import annotations

from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.errors import InputError
from ldt_core.tables import Column, GridPort, Port, port_as_dict

from ..reading import NAMES, alike, asked, known, opened, read, read_by, table_ports
from ..trial import Trial
from . import check


@check("LDT-SRC-SCHEMA-01")
def ports_say_all_before_any_data(trial: Trial) -> None:
    subject = opened(trial)
    inputs, outputs = subject.ports()
    trial.expect(not inputs, "a source takes no inputs", got=sorted(inputs))
    trial.expect(bool(outputs), "it declares no output port")
    for name, port in outputs.items():
        trial.expect(bool(port.columns), f"the port '{name}' declares no columns")
        if isinstance(port, GridPort):
            trial.expect(port.crs is not None, f"the grid '{name}' does not say its CRS")
        for column_name, column in port.columns.items():
            gap = _gap(column)
            trial.expect(
                gap is None,
                f"the column '{name}.{column_name}' does not say its {gap}",
                given=port_as_dict(port)["columns"][column_name],
            )
    before = {n: port_as_dict(p) for n, p in outputs.items()}
    for _ in subject.batches(trial.example.query):
        break
    after = {n: port_as_dict(p) for n, p in subject.ports()[1].items()}
    trial.expect(before == after, "its ports are others after reading", expected=before, got=after)


def _gap(column: Column) -> str | None:
    """What a column leaves open, or None."""
    if column.kind == "number":
        return "unit" if column.unit is None else "quantity" if column.quantity is None else None
    if column.kind == "geometry":
        return "CRS" if column.crs is None else "type of geometry" if column.geometry is None else None
    return None


@check("LDT-SRC-DATA-01")
def fixture_has_rows_and_they_are_the_known_ones(trial: Trial) -> None:
    ports = table_ports(trial)
    for name, table in read(trial).items():
        trial.expect(
            len(table) >= 2,
            f"the port '{name}' gave fewer than two rows of the fixture",
            given=asked(trial.example.query),
            expected="2 rows or more",
            got=len(table),
        )
        port = ports[name]
        for row in known(trial.example, name, port, changes=None):
            names = {n: v for n, v in row.items() if port.columns[n].kind in NAMES}
            fits = set(names) <= set(table) and bool(alike(table, port, names, *NAMES).any())
            trial.expect(
                fits,
                f"no row of the port '{name}' has the names of a row that the fixture holds",
                expected=names,
                got=table.select(*(n for n in names if n in table)).slice(0, 5),
            )


@check("LDT-SRC-SCHEMA-02")
def rows_are_what_was_declared(trial: Trial) -> None:
    subject = opened(trial)
    outputs = subject.ports()[1]
    for batch in subject.batches(trial.example.query):
        extra = sorted(set(batch) - set(outputs))
        trial.expect(not extra, f"a port came that is not declared: {', '.join(extra)}", got=sorted(batch))
        for name, item in batch.items():
            port = outputs[name]
            if isinstance(port, Port) and isinstance(item, ldt.Table):
                odd = [c for c in item if c not in port.columns]
                trial.expect(
                    not odd,
                    f"the port '{name}' came with columns that it does not declare: {', '.join(odd)}",
                    expected=list(port.columns),
                    got=item.names,
                )
                item, port = _nan_as_missing(item, port)
            problem = _refusal(item, port, name)
            trial.expect(problem is None, f"rows are not what the port declares: {problem}", got=item)
    dropped = trial.driver.dropped(subject)
    trial.expect(not dropped, "columns came that are not declared", got=dropped)


def _refusal(item: Any, port: Any, name: str) -> str | None:
    try:
        ldt.check(item, port, name)
    except InputError as exc:
        return str(exc)
    return None


def _nan_as_missing(table: ldt.Table, port: Port) -> tuple[ldt.Table, Port]:
    """NaN for what is missing is LDT-SRC-NULL-01's to tell."""
    columns = dict(port.columns)
    for name, column in port.columns.items():
        if name in table and table[name].dtype.kind == "f" and np.isnan(table[name]).any():
            gone = table.mask(name) | np.isnan(table[name])
            table = table.with_columns(**{name: np.where(gone, 0.0, table[name])}).with_mask(name, gone)
            columns[name] = ldt.number(
                column.unit, column.quantity, cell=column.cell, nulls=True, range=column.range
            )
    return table, port.replace(columns=columns)


@check("LDT-SRC-DET-01")
def same_query_gives_the_same_rows(trial: Trial) -> None:
    """Nothing but the query and the parameters may matter: not the instance, not how often, not a seed nobody draws from."""
    query = trial.example.query
    seed = trial.example.seed + (0 if trial.manifest.get("stochastic") else 1)
    first, again = read(trial), read(trial, seed=seed)
    trial.expect_same(first, again, "read again by a new instance it differs", given=asked(query))
    with opened(trial) as subject:
        first, again = read_by(trial, subject, query), read_by(trial, subject, query)
        said = subject.version(query)
    trial.expect_same(first, again, "read twice by one instance it differs", given=asked(query))
    with opened(trial) as subject:
        again_said = subject.version(query)
    trial.expect(
        said == again_said,
        "its version differs though its rows are the same",
        given=asked(query),
        expected=said,
        got=again_said,
    )
