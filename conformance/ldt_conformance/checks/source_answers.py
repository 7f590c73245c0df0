"""Checks of sources: what is asked for comes whole, whatever is asked: nothing, a part, everything, a million rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from hypothesis import strategies as st
from pyproj import Transformer

import ldt_core as ldt
from ldt_core.tables import Port

from ..drivers.base import Raised
from ..reading import Tables, asked, kept, opened, read, rows_of, shown, table_ports
from ..trial import CannotTell, NotApplicable, Trial
from . import check
from .source_places import crs_of

Box = tuple[float, float, float, float]
Ports = dict[str, Port]


@check("LDT-SRC-EMPTY-01")
def nothing_is_an_empty_table(trial: Trial) -> None:
    ports = table_ports(trial)
    variant = trial.example.variant("empty")
    chosen = any(p.geometry_column or (p.time_column and p.at == "step") for p in ports.values())
    if variant is None and not chosen:
        raise NotApplicable("nothing in its ports can be chosen by time or place")
    full = read(trial)
    trial.expect(any(len(t) for t in full.values()), "even the whole fixture is empty", got=sorted(full))
    tried = [(trial.example, q) for q in _empty_queries(trial, ports, full)]
    tried += [] if variant is None else [(variant, variant.query)]
    empties = 0
    for example, query in tried:
        try:
            found = read(trial, query, example)
        except Raised as raised:
            trial.fail(
                "where there are no rows it raised an error",
                given=asked(query),
                expected="tables without rows",
                got=str(raised),
            )
        for name, table in found.items():
            missing = [c for c in ports[name].columns if c not in table]
            trial.expect(
                not missing,
                f"where there are no rows the port '{name}' lacks the columns {', '.join(missing)}",
                given=asked(query),
                expected=list(ports[name].columns),
                got=table.names,
            )
            empties += not len(kept(table, ports[name], query, example.crs))
    if not empties:
        raise CannotTell("rows came wherever none were looked for: give a variant 'empty' of the example")


def _empty_queries(trial: Trial, ports: Ports, full: Tables) -> Iterator[ldt.Query]:
    """Long after everything, and beside it: so near that whoever can show the fixture can show that place too."""
    whole = trial.example.query
    if any(p.time_column is not None and p.at == "step" for p in ports.values()):
        yield replace(whole, start=np.datetime64("2199-12-31", "us"), end=np.datetime64("2200-01-01", "us"))
    box = _box(ports, full, trial.example.crs)
    if box is not None:
        a, b, c, d = box
        width, height = c - a, d - b
        for x, y in ((c + width, d + height), (a - width, b - height)):
            yield replace(whole, bbox=(x, y, x + width * 1e-3, y + height * 1e-3))


# -- everything, batch by batch -----------------------------------------------------------------


@check("LDT-SRC-PAGE-01")
def batches_joined_are_the_whole(trial: Trial) -> None:
    ports, query = table_ports(trial), trial.example.query
    full = read(trial)
    for name, wanted in trial.example.rows.items():
        got = len(kept(full[name], ports[name], query, trial.example.crs))
        told = f"the port '{name}' does not give as many rows as the fixture has"
        trial.expect(got == wanted, told, given=asked(query), expected=wanted, got=got)
    _expect_each_row_once(trial, ports, full)
    for part in _parts(trial, ports, full):
        for name, table in read(trial, part).items():
            port = ports[name]
            names = list(port.columns)
            more = kept(kept(table, port, part, trial.example.crs), port, query, trial.example.crs)
            lost = Counter(rows_of(more, names)) - Counter(rows_of(full[name], names))
            trial.expect(
                not lost,
                f"the port '{name}' gives a row when less is asked for, and not when all is",
                given=asked(part),
                expected=[shown(r, port, names) for r in list(lost)[:1]],
                got=f"it is not among the {len(full[name])} rows of everything",
            )


def _expect_each_row_once(trial: Trial, ports: Ports, full: Tables) -> None:
    """What is the same of one thing at one instant is one row: the second began where another batch had not ended."""
    for name, port in ports.items():
        if port.id is None or port.events or (port.at == "step" and port.time_column is None):
            continue
        names = list(port.columns)
        twice = [row for row, count in Counter(rows_of(full[name], names)).items() if count > 1]
        trial.expect(
            not twice,
            f"the port '{name}' gives the same row more than once",
            expected="every row once",
            got=[shown(r, port, names) for r in twice[:2]],
        )


def _parts(trial: Trial, ports: Ports, full: Tables) -> Iterator[ldt.Query]:
    """Questions for less than everything: quarters of the time, the last instant, what seems to lie before and after all
    rows, quarters of the place."""
    whole = trial.example.query
    times = _times(ports, full)
    if len(times) > 1:
        after = times[-1] + np.timedelta64(1, "us")
        cuts = [*times[:: max(1, len(times) // 4)][:4], after]
        for start, end in (*pairwise(cuts), (times[-1], after), (after, whole.end), (whole.start, times[0])):
            if start < end:
                yield replace(whole, start=start, end=end)
    box = _box(ports, full, trial.example.crs)
    if box is not None:
        a, b, c, d = box
        x, y = (a + c) / 2, (b + d) / 2
        for quarter in ((a, b, x, y), (x, b, c, y), (a, y, x, d), (x, y, c, d)):
            yield replace(whole, bbox=quarter)


def _times(ports: Ports, full: Tables) -> Any:
    """Every instant in the rows that come step by step, in order."""
    found = [full[n][p.time_column] for n, p in ports.items() if p.time_column and p.at == "step"]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, "datetime64[us]")


def _box(ports: Ports, full: Tables, crs: str) -> Box | None:
    """Around every place, in the twin's CRS, with a little room."""
    found = []
    for name, port in ports.items():
        column = port.geometry_column
        if column is None:
            continue
        shapes = full[name][column][~full[name].mask(column)]
        if len(shapes):
            change = Transformer.from_crs(crs_of(port, column, crs), crs, always_xy=True)
            a, b, c, d = change.transform_bounds(*shapely.total_bounds(shapes).tolist())
            found.append((a, b, c, d))
    if not found:
        return None
    low, high = np.min(found, axis=0)[:2], np.max(found, axis=0)[2:]
    room = np.maximum((high - low) * 0.01, 1e-6)
    a, b, c, d = (float(v) for v in (*(low - room), *(high + room)))
    return a, b, c, d


# -- less than everything -----------------------------------------------------------------------------


@check("LDT-SRC-FILT-01")
def filters_lose_nothing(trial: Trial) -> None:
    ports = table_ports(trial)
    full = read(trial)
    times, box = _times(ports, full), _box(ports, full, trial.example.crs)
    if len(times) < 2 and box is None and len(ports) < 2 and all(len(p.columns) < 2 for p in ports.values()):
        raise NotApplicable("nothing in its ports can be chosen")
    proper = 0
    for query in _parts(trial, ports, full):
        proper += _expect_same_rows(trial, ports, full, query)
    for query in _open_ends(trial, times):
        try:
            proper += _expect_same_rows(trial, ports, full, query)
        except Raised as raised:
            if raised.word != "unsupported":  # what is computed may have no first and last row
                raise
    if (len(times) > 1 or box is not None) and not proper:
        raise CannotTell(
            "no question chose some rows of the fixture and not others: it needs several instants or places"
        )
    for name in ports:
        _expect_same_rows(trial, ports, full, replace(trial.example.query, outputs=(name,)))
    _expect_columns(trial, ports, full)
    if len(times) > 1 or box is not None:
        share = st.floats(0.0, 1.0)

        def tried(query: ldt.Query) -> None:
            _expect_same_rows(trial, ports, full, query)

        trial.search(
            st.tuples(share, share, share, share, share, share),
            lambda cut: tried(_cut(trial, times, box, cut)),
            examples=8,
        )


def _open_ends(trial: Trial, times: Any) -> Iterator[ldt.Query]:
    if len(times) > 1:
        middle = times[len(times) // 2]
        yield replace(trial.example.query, start=None, end=middle)
        yield replace(trial.example.query, start=middle, end=None)


def _cut(trial: Trial, times: Any, box: Box | None, shares: tuple[float, ...]) -> ldt.Query:
    """A window between two instants of the fixture and a box inside its own."""
    query = trial.example.query
    if len(times) > 1:
        first, last = sorted(times[int(s * (len(times) - 1))] for s in shares[:2])
        query = replace(query, start=first, end=last + np.timedelta64(1, "us"))
    if box is not None:
        a, b, c, d = box
        (x0, x1), (y0, y1) = sorted(shares[2:4]), sorted(shares[4:6])
        part = (a + x0 * (c - a), b + y0 * (d - b), a + x1 * (c - a), b + y1 * (d - b))
        query = replace(query, bbox=part)
    return query


def _expect_same_rows(trial: Trial, ports: Ports, full: Tables, query: ldt.Query) -> bool:
    """What the core keeps of this answer is what it keeps of everything. Whether that is neither nothing nor all."""
    proper = False
    crs, all_of_it = trial.example.crs, trial.example.query
    for name, table in read(trial, query).items():
        port = ports[name]
        names = list(port.columns)
        base = kept(full[name], port, all_of_it, crs)
        expected = rows_of(kept(base, port, query, crs), names)
        got = rows_of(kept(kept(table, port, all_of_it, crs), port, query, crs), names)
        lost, more = Counter(expected) - Counter(got), Counter(got) - Counter(expected)
        trial.expect(
            not lost and not more,
            f"the port '{name}' {'loses' if lost else 'repeats'} rows that belong to what was asked for",
            given=asked(query),
            expected=[shown(r, port, names) for r in list(lost)[:2]] or len(expected),
            got=f"{len(got)} of {len(expected)} rows"
            if lost
            else [shown(r, port, names) for r in list(more)[:2]],
        )
        proper |= 0 < len(expected) < len(full[name])
    return proper


def _expect_columns(trial: Trial, ports: Ports, full: Tables) -> None:
    """Columns that are asked for by name come as they come without being asked for."""
    for name, port in ports.items():
        for column in [c for c in port.columns if c not in (port.id, port.time_column)][:3]:
            wanted = [c for c in (port.id, port.time_column, column) if c is not None]
            query = replace(trial.example.query, outputs=(name,), columns=tuple(wanted))
            table = read(trial, query)[name]
            lacking = [c for c in wanted if c not in table]
            trial.expect(
                not lacking,
                f"the port '{name}' lacks columns that were asked for",
                given=asked(query),
                expected=wanted,
                got=table.names,
            )
            same = Counter(rows_of(table, wanted)) == Counter(rows_of(full[name], wanted))
            trial.expect(
                same,
                f"the column '{name}.{column}' differs when columns are asked for by name",
                given=asked(query),
                expected=full[name].select(*wanted),
                got=table.select(*wanted),
            )


# -- very much -------------------------------------------------------------------------------------

MANY = 1_000_000
ROOM = 16 * 2**20
"""Bytes by which a process may grow for reasons of its own."""


@check("LDT-SRC-HUGE-01")
def a_million_rows_stream_in_bounded_memory(trial: Trial) -> None:
    example = trial.example.variant("huge")
    if example is None:
        raise CannotTell("the example has no variant 'huge': parameters that give a million rows or more")
    subject = opened(trial, example)
    before = trial.driver.memory(subject)
    if before is None:
        raise CannotTell("how much memory the component holds cannot be seen here")
    rows = size = largest = batches = held = 0
    for batch in subject.batches(example.query):
        part = sum(_size(t) for t in batch.values() if isinstance(t, ldt.Table))
        rows += sum(len(t) for t in batch.values() if isinstance(t, ldt.Table))
        largest, size, batches = max(largest, part), size + part, batches + 1
        held = max(held, (trial.driver.memory(subject) or before) - before)
        del batch
    if rows < MANY:
        raise CannotTell(f"the variant 'huge' has {rows} rows; it needs {MANY}")
    told = {"rows": rows, "batches": batches, "bytes": size, "held at once": held, "largest batch": largest}
    trial.expect(
        largest <= size / 4,
        "so many rows came in too few batches to be read piece by piece",
        expected=f"no batch above {size // 4} bytes",
        got=told,
    )
    trial.expect(
        held <= size / 4 + 4 * largest + ROOM,
        "it holds in memory what it gives batch by batch",
        expected=f"at most {int(size / 4 + 4 * largest + ROOM)} bytes more than before it read",
        got=told,
    )


def _size(table: ldt.Table) -> int:
    return sum(table[n].nbytes for n in table.names)
