"""Checks of sources: instants are instants, in UTC, also where clocks change."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

import ldt_core as ldt
from ldt_core.tables import Port

from ..example import Example
from ..reading import (
    NAMES,
    NUMBERS,
    alike,
    changes_clocks,
    instants,
    known,
    read,
    rows_of,
    table_ports,
)
from ..trial import CannotTell, NotApplicable, Trial
from . import check

_TIME = re.compile(r"\d{4}-?\d\d-?\d\d([T ]\d\d(:?\d\d){0,2}([.,]\d+)?([Zz]|[+-]\d\d:?\d\d)?)?")


@check("LDT-SRC-TIME-01")
def instants_are_utc(trial: Trial) -> None:
    ports = table_ports(trial)
    unseen = []
    for name, table in read(trial).items():
        port = ports[name]
        for column_name, column in port.columns.items():
            if column.kind == "text":
                words = {str(v) for v in table[column_name][~table.mask(column_name)][:1000]}
                times = bool(words) and all(_TIME.fullmatch(w) for w in words)
                told = f"the column '{name}.{column_name}' holds times as text, in no zone that a twin knows"
                trial.expect(not times, told, expected="a column of kind instant", got=sorted(words)[:5])
        columns = {n: c for n, c in port.columns.items() if c.kind == "instant"}
        if len(columns) > 1:
            said = [c.description for c in columns.values()]
            trial.expect(
                all(said) and len(set(said)) == len(said),
                f"the port '{name}' has several instants and does not say which is when it happened",
                expected="a description of each",
                got=dict(zip(columns, said)),
            )
        seen = _expect_instants(trial, trial.example, name, port, table, changes=False)
        if columns and not seen:
            unseen.append(name)
    if unseen:
        told = "add one with its instant to the example's known, away from changes of clocks"
        raise CannotTell(f"no row of {', '.join(unseen)} is known: {told}")


def _expect_instants(
    trial: Trial, example: Example, name: str, port: Port, table: ldt.Table, *, changes: bool
) -> int:
    """Known rows must stand at their instants: those beside a change of clocks, or all others. How many there were."""
    seen = 0
    for row in known(example, name, port, changes=changes):
        # The hour before has the same names: only the numbers tell which row it is, unless they are all others.
        exact = alike(table, port, row, *NAMES, *NUMBERS)
        rows = table.take(exact if exact.any() else alike(table, port, row, *NAMES))
        for column, instant in instants(port, row).items():
            seen += 1
            there = rows[column]
            near = there[np.argsort(np.abs((there - instant).astype(np.int64)), kind="stable")[:5]]
            trial.expect(
                bool((there == instant).any()),
                f"the column '{name}.{column}' has no row at an instant at which the fixture has one",
                given={n: v for n, v in row.items() if n != column},
                expected=f"{instant}Z",
                got=[f"{t}Z" for t in near],
            )
    return seen


@check("LDT-SRC-TIME-02")
def local_time_is_read_right_where_clocks_change(trial: Trial) -> None:
    example = trial.example.variant("clock") or trial.example
    ports = {n: p for n, p in table_ports(trial, example).items() if _zone_of(p) is not None}
    if not ports:
        raise NotApplicable("no column says that its times were written in a zone whose clocks change")
    for name, table in read(trial, example=example).items():
        if name not in ports:
            continue
        seen = _expect_instants(trial, example, name, ports[name], table, changes=True)
        if not seen:
            raise CannotTell(
                f"no known row of '{name}' lies beside a change of clocks of {_zone_of(ports[name])}:"
                " give some in the example's known, or in a variant 'clock'"
            )
        _expect_one_row_each(trial, name, ports[name], table)


def _zone_of(port: Port) -> str | None:
    return next((c.zone for c in port.columns.values() if changes_clocks(c.zone)), None)


def _expect_one_row_each(trial: Trial, name: str, port: Port, table: ldt.Table) -> None:
    """The hour that comes twice on the wall comes once in UTC: no thing has two rows at one instant."""
    time = port.time_column
    if port.id is None or time is None or port.events:
        return
    # Whole rows that come twice are another fault (LDT-SRC-PAGE-01).
    rows = set(rows_of(table, [port.id, time, *(n for n in port.columns if n not in (port.id, time))]))
    twice = next((k for k, count in Counter(row[:2] for row in rows).items() if count > 1), None)
    trial.expect(
        twice is None,
        f"the port '{name}' has two rows of one {port.id} at one instant",
        got=twice and {port.id: twice[0], time: f"{np.datetime64(twice[1], 'us')}Z"},
    )
