"""A checkpoint: all that the members of a stage need to go on from one instant, as bytes.

It holds what each simulator gave as its state, the state of its random numbers and its flags; what waits
on the links between the members; and what was recorded so far. It can be made at an instant at which
the clocks of all members stand, and only where every simulator has state.

As bytes: a line of magic, the length of a head in JSON, the head, and the parts that it points to (a
simulator's own bytes, tables as Arrow streams). Nothing in it is run when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from .errors import LdtError, ScheduleError
from .interfaces import AnyPort, Component, DataSource, Flag, Simulator, format_duration, format_instant
from .ipc import from_stream, to_stream
from .resample import Part
from .tables import Port, Recording, Table

LAYOUT = 1
_MAGIC = b"ldt checkpoint\n"


class Refused(Exception):
    """A checkpoint that cannot be gone on from; its text says why."""


Parts = Sequence[Part]
"""Windows (start, end, rows) of one port, in order."""


@dataclass(frozen=True)
class Saved:
    """One member: its state (None: a model), that of its generator (None: not drawn from), its flags."""

    state: bytes | None = None
    rng: Mapping[str, Any] | None = None
    flags: Sequence[Flag] = ()


@dataclass(frozen=True)
class Checkpoint:
    """The members of a stage at the instant ``at`` (us).

    ``links`` holds by link the windows that its reader may still ask for, ``read`` what a lag link gave
    last (as one window, or none), ``worst`` the largest change seen on it, ``recorded`` the windows of
    each recorded port. ``start`` is what ``component.port`` gave at the start where that is not what
    initialize returns now: it is known from elsewhere and not among the bytes.
    """

    at: int
    members: Mapping[str, Saved] = field(default_factory=dict)
    links: Mapping[str, Parts] = field(default_factory=dict)
    read: Mapping[str, Parts] = field(default_factory=dict)
    worst: Mapping[str, float] = field(default_factory=dict)
    recorded: Mapping[str, Parts] = field(default_factory=dict)
    start: Mapping[str, Table] = field(default_factory=dict)


class Saver(Protocol):
    """Says when a stage's clocks should stand together, and takes what can be saved then."""

    def stop_after(self, latest: int) -> int | None:
        """The next instant at which to stop, ``latest`` (the furthest clock) or later; None: not now."""

    def stand(self, at: int, capture: Callable[[], Checkpoint]) -> bool:
        """All clocks stand at ``at``: save what is wanted. Whether the stage is to go on."""


def unsaved_because(
    component: type[Component],
    capabilities: Collection[str],
    outputs: Mapping[str, AnyPort],
    step: int | None,
) -> str:
    """Why a member's state cannot be saved between its windows; empty where it can."""
    if step is None or issubclass(component, DataSource):
        return "it runs once, over the whole run"
    if issubclass(component, Simulator) and "state" not in capabilities:
        return "it gives no state (get_state, set_state)"
    if not all(isinstance(port, Port) for port in outputs.values()):
        return "it gives grids"
    return ""


# -- bytes ---------------------------------------------------------------------------------------


def pack(checkpoint: Checkpoint, of: str) -> bytes:
    """The checkpoint as bytes that say what they belong to. The same checkpoint gives the same bytes."""
    blobs: list[bytes] = []
    head = {
        "layout": LAYOUT,
        "of": of,
        "at": checkpoint.at,
        "members": {
            name: {
                "state": None if saved.state is None else _add(blobs, bytes(saved.state)),
                "rng": saved.rng,
                "flags": [list(flag) for flag in saved.flags],
            }
            for name, saved in checkpoint.members.items()
        },
        "links": _buffers(checkpoint.links, blobs),
        "read": _buffers(checkpoint.read, blobs),
        "worst": {name: value.hex() for name, value in checkpoint.worst.items()},
        "recorded": _buffers(checkpoint.recorded, blobs),
        "sizes": [len(blob) for blob in blobs],
    }
    text = json.dumps(head, default=_plain).encode()
    return b"".join([_MAGIC, len(text).to_bytes(8, "little"), text, *blobs])


def _plain(value: Any) -> Any:
    """What numpy's generators keep besides plain data."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    return value.item() if isinstance(value, np.generic) else str(value)


def _add(blobs: list[bytes], blob: bytes) -> int:
    blobs.append(blob)
    return len(blobs) - 1


def _buffers(buffers: Mapping[str, Parts], blobs: list[bytes]) -> dict[str, list[Any]]:
    """[columns, spans, rows, what all windows share] of each; the last three are places among the blobs."""
    found: dict[str, list[Any]] = {}
    for name, parts in buffers.items():
        spans = np.array([(s, e, len(t)) for s, e, t in parts], "<i8").reshape(-1, 3)
        tables = [t for _, _, t in parts]
        same = _shared(tables)
        rows = Table.concat(t.drop(*same) for t in tables) if same else Table.concat(tables)
        found[name] = [
            tables[0].names if same else None,
            _add(blobs, spans.tobytes()),
            _add(blobs, to_stream(_blanked(rows))),
            _add(blobs, to_stream(tables[0].select(*same))) if same else None,
        ]
    return found


def _shared(tables: Sequence[Table]) -> list[str]:
    """Columns of text and shapes that are the same in every window: most often ids, and most of the bytes."""
    if len(tables) < 2:
        return []
    first = tables[0]
    same = [
        n
        for n in first
        if first[n].dtype == object
        and all(n in t and n not in t.masks and _equal(t[n], first[n]) for t in tables)
    ]
    return same if len(same) < len(first.names) else same[1:]


def _equal(one: Any, other: Any) -> bool:
    return one is other or np.array_equal(one, other)


def _blanked(table: Table) -> Table:
    """The same table with nothing below its marks of missing values: equal tables give equal bytes."""
    blank = {n: np.where(m, np.zeros((), table[n].dtype), table[n]) for n, m in table.masks.items()}
    return Table(table.columns | blank, table.masks) if blank else table


def unpack(data: bytes, of: str) -> Checkpoint:
    """The inverse of ``pack``. Raises ``Refused``: torn, foreign (of another stage), of another layout."""
    try:
        return _unpack(data, of)
    except Refused:
        raise
    except (ValueError, KeyError, TypeError, IndexError, OSError, LdtError) as exc:
        raise Refused(f"it is torn ({type(exc).__name__}: {exc})") from exc


def _unpack(data: bytes, of: str) -> Checkpoint:
    if not data.startswith(_MAGIC):
        raise Refused("it is torn (it does not begin as a checkpoint does)")
    begin = len(_MAGIC) + 8
    size = int.from_bytes(data[len(_MAGIC) : begin], "little")
    head = json.loads(data[begin : begin + size])
    if head["layout"] != LAYOUT:
        raise Refused(f"it was made by another version (layout {head['layout']}, not {LAYOUT})")
    if head["of"] != of:
        raise Refused(f"it is foreign: that of {head['of'][:12]}, not of {of[:12]}")
    ends = np.cumsum([begin + size, *head["sizes"]]).tolist()
    if ends[-1] != len(data):
        raise Refused(f"it is torn ({len(data)} bytes, not {ends[-1]})")
    view = memoryview(data)
    blobs = [view[a:b] for a, b in pairwise(ends)]

    def buffers(found: Mapping[str, Sequence[Any]]) -> dict[str, Parts]:
        return {
            n: _parts(names, blobs[spans], blobs[rows], None if same is None else blobs[same])
            for n, (names, spans, rows, same) in found.items()
        }

    return Checkpoint(
        head["at"],
        {
            name: Saved(
                None if saved["state"] is None else bytes(blobs[saved["state"]]),
                _restored(saved["rng"]),
                tuple(Flag(*flag) for flag in saved["flags"]),
            )
            for name, saved in head["members"].items()
        },
        buffers(head["links"]),
        buffers(head["read"]),
        {name: float.fromhex(value) for name, value in head["worst"].items()},
        buffers(head["recorded"]),
    )


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"array", "dtype"}:
            return np.array(value["array"], value["dtype"])
        return {k: _restored(v) for k, v in value.items()}
    return value


def _parts(names: Sequence[str], spans: memoryview, rows: memoryview, same: memoryview | None) -> Parts:
    table, parts, row = from_stream(rows), list[Part](), 0
    shared = {} if same is None else from_stream(same).columns
    for start, end, count in np.frombuffer(spans, "<i8").reshape(-1, 3).tolist():
        part = table.slice(row, row + count)
        parts.append((start, end, part.with_columns(**shared).select(*names) if shared else part))
        row += count
    if row != len(table):
        raise Refused(f"it is torn ({len(table)} rows of a port, not {row})")
    return parts


def common_step(steps: Iterable[int]) -> int:
    """Every instant at which windows of all these steps (us) end is a multiple of this."""
    return int(np.lcm.reduce(np.array(list(steps), object)))


# -- leaving a scenario under way ----------------------------------------------------------------


def windows_before(recording: Recording, at: int) -> list[Part]:
    """The windows that have ended by ``at``."""
    bounds, windows = recording.offsets.tolist(), recording.windows.tolist()
    return [
        (s, e, recording.table.slice(a, b))
        for (s, e), (a, b) in zip(windows, pairwise(bounds), strict=True)
        if e <= at
    ]


def spliced(first: Recording, then: Recording, at: int, origin: np.datetime64, where: str) -> Recording:
    """What a source gave: ``first`` up to ``at`` and ``then`` from it on; at the start, ``first`` alone.

    A value that holds across the instant is cut there. Raises ``ScheduleError`` (not a boundary) for a sum.
    """
    port = then.port
    if port.at == "start":
        return first
    parts = [_cut(part, port, 0, at, origin, where) for part in _parts_of(first) if part[0] < at]
    parts += [_cut(part, port, at, part[1], origin, where) for part in _parts_of(then) if part[1] > at]
    return Recording.of(port, parts)


def _parts_of(recording: Recording) -> list[Part]:
    return windows_before(recording, int(recording.windows[:, 1].max(initial=0)))


def _cut(part: Part, port: Port, low: int, high: int, origin: np.datetime64, where: str) -> Part:
    start, end, table = part
    if low <= start and end <= high:
        return part
    if any(c.measured and c.cell == "sum" for c in port.columns.values()):
        raise ScheduleError(
            f"a sum of {where} over [{format_duration(start)}, {format_duration(end)}) would be cut",
            code="not a boundary",
            where=where,
            fix=f"branch at {format_instant(origin, end)}, where that window ends",
        )
    if start < low and port.time_column is not None:
        stamp = np.maximum(table[port.time_column], origin + np.timedelta64(low, "us"))
        table = table.with_columns(**{port.time_column: stamp})
    return max(start, low), min(end, high), table
