"""A table as an Arrow stream over HTTP: pieces as they are made, never one body of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ..tables import Port, Table

_PIECE = 1 << 18


class ArrowStream:
    """The pieces of a table's stream, and how many bytes they are together."""

    def __init__(self, table: Table, port: Port | None, crs: str | None) -> None:
        from .._arrow import table_to_arrow

        self._arrow = table_to_arrow(table, port, crs=crs)
        counter = pa.MockOutputStream()
        with pa.ipc.new_stream(counter, self._arrow.schema) as writer:
            writer.write_table(self._arrow)
        self.size = int(counter.size())

    def __iter__(self) -> Iterator[memoryview]:
        sink = _Sink()
        file = pa.PythonFile(sink, mode="w")
        with pa.ipc.new_stream(file, self._arrow.schema) as writer:
            # One batch: whoever reads the whole has each column in one piece, and need not join any.
            for batch in self._arrow.to_batches():
                writer.write_batch(batch)
                yield from sink.take()
        yield from sink.take()


class _Sink:
    """A file that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[Any] = []

    def write(self, part: Any) -> int:
        self._parts.append(part)
        return len(part)

    def flush(self) -> None:
        return None

    def take(self) -> Iterator[memoryview]:
        """What was written: small parts joined, large ones cut."""
        parts, self._parts = self._parts, []
        small: list[Any] = []
        for part in parts:
            if len(part) < 4096:
                small.append(part)
                continue
            if small:
                yield memoryview(b"".join(small))
                small = []
            view = memoryview(part)
            for at in range(0, len(view), _PIECE):
                yield view[at : at + _PIECE]
        if small:
            yield memoryview(b"".join(small))
