"""What checks know of the rows of a source: how they are read, kept, compared, and what the vendor says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np

import ldt_core as ldt
from ldt_core.adapters import within
from ldt_core.tables import Port, empty, port_from_dict

from .drivers.base import Subject
from .example import Example
from .trial import CannotTell, Trial

Tables = dict[str, ldt.Table]
Row = tuple[Any, ...]


def table_ports(trial: Trial, example: Example | None = None) -> dict[str, Port]:
    """The output ports that hold tables, for the example's parameters."""
    if not trial.manifest.get("dynamic") and example is None:
        outputs = {n: port_from_dict(p) for n, p in trial.manifest["outputs"].items()}
        return {n: p for n, p in outputs.items() if isinstance(p, Port)}
    with opened(trial, example) as subject:
        return _tables_of(subject)


def _tables_of(subject: Subject) -> dict[str, Port]:
    return {n: p for n, p in subject.ports()[1].items() if isinstance(p, Port)}


def opened(trial: Trial, example: Example | None = None, **context: Any) -> Subject:
    """A new instance for an example (the trial's own where it is left out). Close it soon: it may hold a process."""
    e = example or trial.example
    return trial.open(e.params, **{"start": e.start, "crs": e.crs, "bbox": e.bbox, "seed": e.seed, **context})


def read(
    trial: Trial, query: ldt.Query | None = None, example: Example | None = None, **context: Any
) -> Tables:
    """All rows that a new instance gives, by port, as they came. No batches at all are no rows."""
    with opened(trial, example, **context) as subject:
        return read_by(trial, subject, query or (example or trial.example).query)


def read_by(trial: Trial, subject: Subject, query: ldt.Query) -> Tables:
    """``read`` by an instance that there is."""
    batches = list(subject.batches(query))
    odd = [type(b).__name__ for b in batches if not isinstance(b, Mapping)]
    found: Tables = {}
    for name, port in _tables_of(subject).items():
        if query.outputs is not None and name not in query.outputs:
            continue
        if not batches:
            found[name] = empty(port)
            continue
        parts = [b[name] for b in batches if isinstance(b, Mapping) and name in b]
        odd += [type(p).__name__ for p in parts if not isinstance(p, ldt.Table)]
        if odd or not parts:
            came = odd[0] if odd else "nothing"
            trial.fail(f"the port '{name}' was asked for and {came} came, not a table", given=asked(query))
        found[name] = ldt.Table.concat(cast("list[ldt.Table]", parts))
    return found


def asked(query: ldt.Query) -> dict[str, Any]:
    """A query as it is shown: what it leaves open is left out."""
    return {n: str(v) if isinstance(v, np.datetime64) else v for n, v in vars(query).items() if v is not None}


def kept(table: ldt.Table, port: Port, query: ldt.Query, crs: str) -> ldt.Table:
    """What the core keeps of an answer: rows in the box and, where they come step by step, in [start, end)."""
    if query.bbox is not None:
        table = within(table, port, crs, query.bbox)
    name = port.time_column
    if name is not None and port.at == "step":
        keep = np.ones(len(table), bool)
        if query.start is not None:
            keep &= table[name] >= query.start
        if query.end is not None:
            keep &= table[name] < query.end
        table = table.take(keep)
    return table


def rows_of(table: ldt.Table, names: Iterable[str]) -> list[Row]:
    """Its rows as plain values: None stands for what is missing, WKB for a geometry."""
    columns = []
    for name in names:
        values, gone = table[name], table.mask(name)
        if values.dtype.kind == "M":
            items: list[Any] = values.astype(np.int64).tolist()
        elif values.dtype == object:
            items = [v if v is None or isinstance(v, str) else getattr(v, "wkb", v) for v in values]
        else:
            items = values.tolist()
        # NaN is no value, but two of them are the same row.
        columns.append([None if g else "NaN" if v != v else v for v, g in zip(items, gone.tolist())])
    return list(zip(*columns))


def shown(row: Row, port: Port, names: Sequence[str]) -> dict[str, Any]:
    """A row of ``rows_of`` as a report shows it."""
    found: dict[str, Any] = {}
    for name, value in zip(names, row):
        kind = port.columns[name].kind
        if kind == "instant" and value is not None:
            found[name] = f"{np.datetime64(value, 'us')}Z"
        elif kind == "geometry" and value is not None:
            import shapely

            found[name] = shapely.from_wkb(value).wkt
        else:
            found[name] = value
    return found


# -- known rows ----------------------------------------------------------------------------------------


def instant_of(value: Any) -> np.datetime64:
    """An instant that a vendor has written: RFC 3339 text or a time stamp, with its offset. Raises ``ValueError``."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if found.tzinfo is None:
        raise ValueError(f"the known instant '{value}' has no offset; write 2026-03-02T05:00Z")
    return np.datetime64(found.astimezone(UTC).replace(tzinfo=None), "us")


def known(
    example: Example, name: str, port: Port, *, changes: bool | None = False
) -> list[Mapping[str, Any]]:
    """The rows that the vendor says are in the fixture: away from changes of clocks, beside them (``changes``), or all
    (None). Raises ``CannotTell`` for a column that there is not."""
    rows = list(example.known.get(name, ()))
    odd = sorted({c for row in rows for c in row} - set(port.columns))
    if odd:
        raise CannotTell(f"the example's known rows of '{name}' name '{odd[0]}', which is no column of it")
    return [r for r in rows if changes is None or _is_beside(r, port) is changes]


def _is_beside(row: Mapping[str, Any], port: Port) -> bool:
    return any(at_a_change(at, port.columns[n].zone) for n, at in instants(port, row).items())


def alike(table: ldt.Table, port: Port, row: Mapping[str, Any], *kinds: str) -> Any:
    """True for the rows that agree with a known one in its columns of these kinds."""
    found = np.ones(len(table), bool)
    for name, value in row.items():
        kind = port.columns[name].kind
        if kind in kinds and value is not None:
            wanted = instant_of(value) if kind == "instant" else value
            same = np.isclose(table[name], wanted, 1e-9) if kind == "number" else table[name] == wanted
            found &= same & ~table.mask(name)
    return found


NAMES = ("text", "boolean")
"""Kinds of columns by which a known row is found."""
NUMBERS = ("number", "integer")


def instants(port: Port, row: Mapping[str, Any]) -> dict[str, np.datetime64]:
    """The known instants of a row by column."""
    return {n: instant_of(v) for n, v in row.items() if port.columns[n].kind == "instant" and v is not None}


def at_a_change(instant: np.datetime64, zone: str | None) -> bool:
    """Whether an instant lies within two hours of a change of clocks, on a leap day or at a year's end, in ``zone``."""
    if zone is None:
        return False
    at = instant.astype(datetime).replace(tzinfo=UTC)
    local = at.astimezone(_zone(zone))
    around = {(at + timedelta(hours=h)).astimezone(_zone(zone)).utcoffset() for h in (-2, 0, 2)}
    return len(around) > 1 or (local.month, local.day) in ((2, 29), (12, 31), (1, 1))


def changes_clocks(zone: str | None) -> bool:
    """Whether a zone has changed its offset in the last years."""
    if zone is None:
        return False
    months = [datetime(y, m, 15, tzinfo=UTC) for y in range(2015, 2027) for m in (1, 4, 7, 10)]
    return len({m.astimezone(_zone(zone)).utcoffset() for m in months}) > 1


def _zone(name: str) -> tzinfo:
    if name[:1] in "+-":
        hours, minutes = int(name[1:3]), int(name[4:6])
        shift = timedelta(hours=hours, minutes=minutes)
        return timezone(shift if name[0] == "+" else -shift)
    return ZoneInfo(name)
