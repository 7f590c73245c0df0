"""Checks of sources that are listened to: whoever stops anywhere goes on from there."""

from __future__ import annotations

from itertools import islice
from typing import Any

import ldt_core as ldt

from ..reading import asked, opened, rows_of, shown, table_ports
from ..trial import Trial
from . import check

MOST = 12
"""Batches that are waited for: a live source has no end."""
Batch = tuple[ldt.Tables, str]


@check("LDT-SRC-INCR-01")
def resuming_loses_and_repeats_nothing(trial: Trial) -> None:
    """Stopped after each batch, and gone on by a new instance that knows nothing but the cursor."""
    query, ports = trial.example.query, table_ports(trial)
    whole = _hear(trial, None, MOST)
    trial.expect(
        len(whole) >= 3 and _rows(trial, whole, ports) != [],
        "it gave fewer than three batches to stop between",
        given=asked(query),
        expected="3 batches or more, with rows",
        got=len(whole),
    )
    for _, cursor in whole:
        trial.expect(
            isinstance(cursor, str), "a cursor is no text", expected="str", got=type(cursor).__name__
        )
    ended = len(whole) < MOST
    for stop in range(1, len(whole)):
        said = _hear(trial, None, stop)
        cursor = said[-1][1]
        # Batches may be cut otherwise after a stop: what counts is which rows come, in which order.
        wanted = _rows(trial, whole[stop:], ports)
        rest = _hear(trial, cursor, MOST if ended else len(whole) - stop)
        got = _rows(trial, rest, ports)
        if not ended:
            shortest = min(len(got), len(wanted))
            trial.expect(shortest > 0, "nothing came after a stop", given={"cursor": cursor}, got=len(got))
            got, wanted = got[:shortest], wanted[:shortest]
        at = next((i for i, (a, b) in enumerate(zip(wanted, got)) if a != b), min(len(wanted), len(got)))
        trial.expect(
            got == wanted,
            f"stopped after batch {stop} and resumed, it does not go on where it stopped",
            given={"cursor": cursor, "row": at},
            expected=_shown(wanted[at : at + 1], ports),
            got=_shown(got[at : at + 1], ports),
        )
    if ended:
        more = _rows(trial, _hear(trial, whole[-1][1], MOST), ports)
        told = "resumed after the last batch it gives rows again"
        trial.expect(not more, told, given={"cursor": whole[-1][1]}, expected=[], got=_shown(more[:1], ports))


def _hear(trial: Trial, cursor: str | None, most: int) -> list[Batch]:
    """The first batches that a new instance gives; it is let go of then, wherever it stands."""
    with opened(trial) as subject:
        found = list(islice(subject.listen(trial.example.query, cursor), most))
    odd = next((f for f in found if not (isinstance(f, tuple) and len(f) == 2)), None)
    if odd is not None:
        trial.fail("listening gives no pairs of tables and cursor", got=odd)
    return found


def _rows(trial: Trial, batches: list[Batch], ports: Any) -> list[tuple[str, Any]]:
    """Every row in the order in which it came, with its port."""
    found = []
    for tables, _ in batches:
        for name, table in tables.items():
            if not isinstance(table, ldt.Table) or name not in ports:
                trial.fail(f"a {type(table).__name__} came by the port '{name}'", got=table)
            found += [(name, row) for row in rows_of(table, list(ports[name].columns))]
    return found


def _shown(rows: list[tuple[str, Any]], ports: Any) -> list[Any]:
    return [{"port": n, **shown(r, ports[n], list(ports[n].columns))} for n, r in rows]
