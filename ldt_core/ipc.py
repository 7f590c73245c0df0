"""Tables as bytes between processes: Arrow IPC streams, and messages on a socket.

``to_stream`` and ``from_stream`` are one table as a whole Arrow IPC stream, for anybody. A ``Channel`` is a
conversation between two processes of ours. A message is one frame: a fixed start, a head in JSON, and a body. The body
holds the columns one after another, each block from a multiple of 8 bytes on, in Arrow's layout: numbers and time
stamps little-endian, text and geometry (WKB) as offsets and bytes; booleans and marks of missing values take a byte
each. How a port's columns lie is said with its first message, and again when it changes. A column of text or geometry
that is the same object as in the port's last message is not sent again: ids, as a rule. Arrow's own envelope of a
record batch would say all that every time; making and reading it costs more than the step's way through the socket.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ._buffers import from_array, to_array
from .errors import InputError
from .tables import AnyPort, Grid, Port, Table, _frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

_START = struct.Struct("<4sIQ")  # the mark, bytes of the head, bytes of the body
_MARK = b"LDT1"
_CHUNK = 1 << 16
_LARGEST_HEAD = 1 << 26
_JOINED = 1 << 15
"""Below this many bytes a frame is sent as one; above it, from where its parts lie."""


def to_stream(table: Table, port: Port | None = None, *, crs: str | None = None, kept: Any = None) -> bytes:
    """The table as an Arrow IPC stream; ``port`` and ``crs`` as for ``Table.to_arrow``, ``kept`` of the last table."""
    from ._arrow import table_to_arrow

    arrow = table_to_arrow(table, port, crs=crs, kept=kept)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    return bytes(sink.getvalue().to_pybytes())


def from_stream(data: Any, kept: Any = None) -> Table:
    """The table of an Arrow IPC stream (bytes, or a file opened for them). Raises ``InputError``."""
    from ._arrow import table_from_arrow

    try:
        with pa.ipc.open_stream(data) as reader:
            return table_from_arrow(reader, kept)
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"this is no Arrow stream that can be read: {exc}", code="shape") from exc


# -- tables in messages ---------------------------------------------------------------------------

_SAME, _TEXT, _SHAPE, _GAPS = "=", "text", "wkb", "?"


class Packer:
    """One direction of a conversation, the side that speaks."""

    def __init__(self) -> None:
        self._layouts: dict[str, list[tuple[str, str]]] = {}
        self._said: dict[tuple[str, str], tuple[NDArray[Any], NDArray[Any] | None]] = {}

    def pack(
        self, data: Mapping[str, Table | Grid], ports: Mapping[str, AnyPort], blocks: list[Any]
    ) -> list[list[Any]]:
        """What stands in the head for these tables; their bytes are added to ``blocks``.

        Raises ``InputError`` for values that Arrow cannot hold.
        """
        return [
            self._pack(name, item, ports.get(name), blocks)
            if type(item) is Table
            else self._pack_grid(name, item, blocks)  # type: ignore[arg-type]
            for name, item in data.items()
        ]

    def _pack(self, name: str, table: Table, port: AnyPort | None, blocks: list[Any]) -> list[Any]:
        """[port, rows, its layout where that is new, sizes of what is not as long as there are rows]."""
        masks = table._masks
        layout: list[tuple[str, str]] = []
        sizes: list[int] = []
        for column, values in table._columns.items():
            code = values.dtype.str
            mask = masks.get(column) if masks else None
            if code == "|O":
                layout.append((column, self._pack_objects(name, column, values, mask, port, blocks, sizes)))
                continue
            if code[0] == ">" or code[1] not in "iufMb":
                values = _little(values, column)
                code = values.dtype.str
            blocks.append(values.tobytes() if values.nbytes < _JOINED else _bytes_of(values))
            if mask is not None:
                code += _GAPS
                blocks.append(mask.tobytes())
            layout.append((column, code))
        if layout == self._layouts.get(name):
            return [name, table._rows, None, sizes]
        self._layouts[name] = layout
        return [name, table._rows, layout, sizes]

    def _pack_objects(
        self,
        name: str,
        column: str,
        values: NDArray[Any],
        mask: NDArray[Any] | None,
        port: AnyPort | None,
        blocks: list[Any],
        sizes: list[int],
    ) -> str:
        before = self._said.get((name, column))
        if before is not None and before[0] is values and before[1] is mask:
            return _SAME
        geometry = _is_geometry(values, column, port)
        valid, ends, data = to_array(values, mask, column, geometry).buffers()
        self._said[name, column] = (values, mask)
        parts = [b"" if part is None else part for part in (valid, ends, data)]
        blocks += parts
        sizes += [len(part) for part in parts]
        return _SHAPE if geometry else _TEXT

    def _pack_grid(self, name: str, grid: Grid, blocks: list[Any]) -> list[Any]:
        parts: list[list[Any]] = []
        for side in (grid.values, grid.coords):
            for item, values in side.items():
                flat = np.ascontiguousarray(values).ravel()
                packed = self._pack(f"{name}\0{len(parts)}", Table({item: flat}), None, blocks)
                parts.append([item, list(values.shape), packed])
        return [name, parts, len(grid.values), list(grid.dims), list(grid.affine), grid.crs]


def _little(values: NDArray[Any], column: str) -> NDArray[Any]:
    if values.dtype.kind not in "iufMb":
        to_array(values, None, column, False)  # says what no port can carry
    return values.astype(values.dtype.newbyteorder("<"))


def _bytes_of(values: NDArray[Any]) -> Any:
    return memoryview(np.ascontiguousarray(values).view(np.uint8))  # type: ignore[arg-type]


def _is_geometry(values: NDArray[Any], name: str, port: AnyPort | None) -> bool:
    column = port.columns.get(name) if port is not None else None
    if column is not None:
        return column.kind == "geometry"
    first = next((v for v in values if v is not None), None)
    return first is not None and type(first).__module__.startswith("shapely")


class Unpacker:
    """One direction of a conversation, the side that listens."""

    def __init__(self) -> None:
        self._layouts: dict[str, list[tuple[str, str, np.dtype[Any] | None]]] = {}
        self._heard: dict[tuple[str, str], tuple[NDArray[Any], NDArray[Any] | None]] = {}

    def unpack(self, heads: Iterable[list[Any]], body: Any) -> dict[str, Table | Grid]:
        """The tables; numbers and time stamps are views of ``body``, which must stay as it is."""
        found: dict[str, Table | Grid] = {}
        at = 0
        for head in heads:
            unpack = self._unpack if len(head) == 4 else self._unpack_grid
            found[head[0]], at = unpack(head, body, at)
        return found

    def _unpack(self, head: list[Any], body: Any, at: int) -> tuple[Table, int]:
        name, rows, said, sizes = head
        if said is not None:
            self._layouts[name] = [(c, code, _dtype(code)) for c, code in said]
        columns: dict[str, Any] = {}
        masks: dict[str, Any] = {}
        given = iter(sizes)
        for column, code, dtype in self._layouts[name]:
            if dtype is None:
                if code != _SAME:
                    at = self._unpack_objects(name, column, code, rows, given, body, at)
                columns[column], mask = self._heard[name, column]
                if mask is not None:
                    masks[column] = mask
                continue
            values = np.frombuffer(body, dtype, rows, at)
            if values.flags.writeable:
                values.flags.writeable = False
            columns[column] = values
            at += _padded(values.nbytes)
            if code[-1] == _GAPS:
                masks[column] = _frozen(np.frombuffer(body, bool, rows, at))
                at += _padded(rows)
        return Table._of(columns, masks, rows), at

    def _unpack_objects(
        self, name: str, column: str, code: str, rows: int, sizes: Iterator[int], body: Any, at: int
    ) -> int:
        buffers = []
        for size in islice(sizes, 3):
            buffers.append(pa.py_buffer(body[at : at + size]))
            at += _padded(size)
        if not len(buffers[0]):
            buffers[0] = None  # nothing is missing
        geometry = code == _SHAPE
        array = pa.Array.from_buffers(pa.large_binary() if geometry else pa.large_string(), rows, buffers)
        values, mask = from_array(array, column, "wkb" if geometry else None)
        self._heard[name, column] = (_frozen(values), None if mask is None else _frozen(mask))
        return at

    def _unpack_grid(self, head: list[Any], body: Any, at: int) -> tuple[Grid, int]:
        _, parts, many, dims, affine, crs = head
        blocks = []
        for item, shape, packed in parts:
            flat, at = self._unpack(packed, body, at)
            blocks.append((item, flat[item].reshape(shape)))
        values, coords = dict(blocks[:many]), dict(blocks[many:])
        return Grid(values, tuple(dims), tuple(affine), crs, coords), at


def _dtype(code: str) -> np.dtype[Any] | None:
    """How the bytes of a column are read; None for what is no block of numbers."""
    return None if code in (_SAME, _TEXT, _SHAPE) else np.dtype(code.removesuffix(_GAPS))


def _padded(size: int) -> int:
    return size + (-size % 8)


# -- frames on a socket ------------------------------------------------------------------------------


class Garbled(Exception):
    """What came is no message of ours."""


class Channel:
    """Frames over a connected socket. ``hear`` raises ``EOFError`` at the end, ``Garbled`` for anything else's bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._rest = b""
        self._begun: tuple[bytearray, int] | None = None

    def say(self, head: Mapping[str, Any], blocks: Iterable[Any] = ()) -> None:
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        parts: list[Any] = [b"", text]
        size = 0
        for block in blocks:
            parts.append(block)
            missing = -len(block) % 8
            if missing:
                parts.append(b"\0" * missing)
            size += len(block) + missing
        parts[0] = _START.pack(_MARK, len(text), size)
        if size < _JOINED:
            self.socket.sendall(b"".join(parts))
        else:
            for part in parts:
                self.socket.sendall(part)

    def hear(self) -> tuple[dict[str, Any], Any]:
        """The next message: its head, and its body as a buffer that is nobody else's.

        Raises ``BlockingIOError`` where the socket has a time limit and no whole frame has come yet;
        what has come is kept.
        """
        data: Any = self._rest
        if self._begun is not None:
            data = self._whole(*self._begun)
        while len(data) < _START.size:
            data = self._more(data)
        mark, head, body = _START.unpack_from(data)
        if mark != _MARK or head > _LARGEST_HEAD:
            self._rest = data
            raise Garbled(bytes(data[:80]))
        total = _START.size + head + body
        if len(data) < total:
            try:
                block = bytearray(total)
            except (MemoryError, OverflowError):
                raise Garbled(bytes(data[:80])) from None
            block[: len(data)] = data
            self._rest = b""
            data = self._whole(block, len(data))
        self._rest = bytes(data[total:]) if len(data) > total else b""
        try:
            return json.loads(str(data[_START.size : _START.size + head], "utf-8")), memoryview(data)[
                _START.size + head : total
            ]
        except ValueError:
            raise Garbled(bytes(data[:80])) from None

    def _more(self, data: bytes) -> bytes:
        try:
            more = self.socket.recv(_CHUNK)
        except BlockingIOError:
            self._rest = data
            raise
        if not more:
            raise EOFError
        return data + more if data else more

    def _whole(self, block: bytearray, have: int) -> bytearray:
        """A frame that did not come in one piece: the rest is received where it will stay."""
        view = memoryview(block)
        while have < len(block):
            try:
                count = self.socket.recv_into(view[have:])
            except BlockingIOError:
                self._begun = (block, have)
                raise
            if not count:
                raise EOFError
            have += count
        self._begun = None
        return block
