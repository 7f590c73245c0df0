"""One message with several tables: as JSON, or as a line of JSON and Arrow streams.

``application/json`` holds tables where they stand in the message, under ``inputs`` or ``outputs``.
``application/vnd.ldt.tables`` is one line of JSON (the same message, where each table is
``{"arrow": bytes}``) and, after its line feed, the Arrow IPC streams in the order of the line.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InputError
from ..ipc import from_stream, to_stream
from ..tables import AnyPort, GridPort, Port, Table, Tables
from .json_tables import from_json, loads, tables_from_json, to_json

JSON = "application/json"
BUNDLE = "application/vnd.ldt.tables"
ARROW = "application/vnd.apache.arrow.stream"
GEOJSON = "application/geo+json"
_ENCODER = json.JSONEncoder(allow_nan=False)
ASIDE = "Ldt-Aside"
"""Header of a process's answer: flags and the state of random numbers as JSON."""


def media_of(header: str | None) -> str:
    """The media type of a Content-Type header without its parameters."""
    return (header or "").partition(";")[0].strip().lower()


def accepted(header: str | None, offered: Iterable[str]) -> str | None:
    """What the Accept header likes best of what is offered, the first offered where it is all one; None: nothing."""
    offers = list(offered)
    if not header or not header.strip():
        return offers[0]
    wanted: list[tuple[float, int, str]] = []
    for number, part in enumerate(header.split(",")):
        media, _, rest = part.strip().partition(";")
        quality = 1.0
        for item in rest.split(";"):
            key, _, value = item.strip().partition("=")
            if key == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if quality > 0:
            wanted.append((-quality, number, media.strip().lower()))
    for _, _, media in sorted(wanted):
        for offer in offers:
            kind = offer.partition("/")[0]
            if media in (offer, "*/*", f"{kind}/*"):
                return offer
    return None


class Memory:
    """Columns of text and geometry in the last messages of a conversation, by port; ids come again, as a rule."""

    def __init__(self) -> None:
        self.said: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self.heard: defaultdict[str, dict[str, Any]] = defaultdict(dict)


def encode(
    head: Mapping[str, Any],
    field: str,
    data: Tables,
    ports: Mapping[str, AnyPort],
    media: str,
    memory: Memory | None = None,
) -> bytes:
    """``head`` with the tables under ``field``. Grids are CoverageJSON in either."""
    if media != BUNDLE:
        tables = {n: to_json(t, ports.get(n)) for n, t in data.items()}
        return json.dumps({**head, field: tables}, ensure_ascii=False, allow_nan=False).encode()
    said: dict[str, Any] = {}
    blocks: list[bytes] = []
    for name, item in data.items():
        if isinstance(item, Table):
            port = ports.get(name)
            kept = None if memory is None else memory.said[name]
            blocks.append(to_stream(item, port if isinstance(port, Port) else None, kept=kept))
            said[name] = {"arrow": len(blocks[-1])}
        else:
            said[name] = to_json(item)
    line = _ENCODER.encode({**head, field: said}).encode()
    return b"".join([line, b"\n", *blocks])


def decode(
    body: Any, media: str, field: str, ports: Mapping[str, AnyPort], memory: Memory | None = None
) -> tuple[dict[str, Any], Tables]:
    """The head without ``field``, and the tables. Raises ``InputError`` for anything else's bytes."""
    if media != BUNDLE:
        head = _object(loads(bytes(body)))
        return head, tables_from_json(head.pop(field, {}), ports, field)
    view = memoryview(body)
    line = first_line(view)
    head = _object(loads(line))
    said = head.pop(field, {})
    at = len(line) + 1
    tables: dict[str, Any] = {}
    for name, item in _object(said).items():
        if name not in ports:
            raise InputError(f"there is no port '{name}'", code="schema drift", where=field)
        size = item.get("arrow") if isinstance(item, Mapping) else None
        if isinstance(ports[name], GridPort) or size is None:
            tables[name] = from_json(item, ports[name], f"{field}.{name}")
            continue
        if type(size) is not int or not 0 <= size <= len(view) - at:
            raise InputError("the streams are shorter than their line says", code="shape", where=name)
        tables[name] = from_stream(view[at : at + size], None if memory is None else memory.heard[name])
        at += size
    return head, tables


def first_line(body: Any) -> bytes:
    """Raises ``InputError`` where it does not end within 1 MiB."""
    view = memoryview(body)
    for size in (1 << 12, 1 << 20):  # as a rule it is short, and the rest need not be copied
        start = bytes(view[:size])
        end = start.find(b"\n")
        if end >= 0 or size >= len(view):
            return start if end < 0 else start[:end]
    raise InputError("the first line is longer than 1 MiB", code="shape")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("a message is a JSON object", code="shape")
    return value
