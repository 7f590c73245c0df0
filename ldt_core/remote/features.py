"""Sources as collections of OGC API Features, Part 1 (and CRS of Part 2 in queries): one per output port."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

import numpy as np

from ..adapters import within
from ..errors import InputError
from ..interfaces import Context, DataSource, Query
from ..tables import Port, Table, check, empty
from .json_tables import _instants, column_to_json, loads
from .problems import Problem
from .served import Served, instant_text

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
LIMIT, MOST = 100, 10_000
PARAMETERS = {"bbox", "bbox-crs", "datetime", "limit", "offset", "f", "params", "context"}
_FRESH = 30.0
"""Seconds for which the pages of one collection come from one reading."""


def bad(what: str) -> Problem:
    return Problem(400, "invalid query", what)


@dataclass(frozen=True)
class Collection:
    """An output port of a source."""

    id: str
    served: Served
    port: str

    def describe(self, base: str) -> dict[str, Any]:
        port = self.served.outputs[self.port]
        here = f"{base}/collections/{self.id}"
        items = [
            {"href": f"{here}/items", "rel": "items", "type": "application/geo+json", "title": "as GeoJSON"},
            {
                "href": f"{here}/items?f=arrow",
                "rel": "items",
                "type": "application/vnd.apache.arrow.stream",
                "title": "as an Arrow stream",
            },
        ]
        itself = {"href": here, "rel": "self", "type": "application/json", "title": "this collection"}
        said = {
            "id": self.id,
            "title": f"{self.served.manifest['title']}: {self.port}",
            "description": port.description or self.served.manifest["description"] or self.id,
            "itemType": "feature",
            "crs": [CRS84],
            "links": [itself, *items],
        }
        extra = {"license": port.licence, "attribution": port.attribution, "synthetic": port.synthetic}
        return {**said, **{k: v for k, v in extra.items() if v}}


def collections_of(served: list[Served]) -> dict[str, Collection]:
    """By id: the port's name, with its component's before it where two sources have a port of that name."""
    sources = [s for s in served if s.kind == "source"]
    names = [p for s in sources for p in s.outputs]
    found = {}
    for source in sources:
        for port, declared in source.outputs.items():
            if isinstance(declared, Port):
                id = port if names.count(port) == 1 else f"{source.id}.{port}"
                found[id] = Collection(id, source, port)
    return found


@dataclass(frozen=True)
class Asked:
    """A query of items."""

    bbox: tuple[float, float, float, float] | None
    crs: str
    start: np.datetime64 | None
    end: np.datetime64 | None
    closed: bool
    limit: int | None
    offset: int
    params: Mapping[str, Any]
    context: Mapping[str, Any]


def read_query(given: Mapping[str, str], pairs: int) -> Asked:
    """Raises ``Problem`` for anything that is not known or cannot be read."""
    odd = sorted(set(given) - PARAMETERS)
    if odd or pairs > len(given):
        raise bad(f"the parameter '{odd[0]}' is not known" if odd else "a parameter came twice")
    start, end, closed = _times(given.get("datetime"))
    limit = None if "limit" not in given else _count("limit", given["limit"], 1)
    return Asked(
        _box(given.get("bbox")),
        _crs(given.get("bbox-crs", CRS84)),
        start,
        end,
        closed,
        limit,
        _count("offset", given.get("offset", "0"), 0),
        _json("params", given.get("params")),
        _json("context", given.get("context")),
    )


def _count(name: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) < least:
        raise bad(f"{name} is a whole number from {least} on")
    return int(text)


def _json(name: str, text: str | None) -> Mapping[str, Any]:
    if text is None:
        return {}
    try:
        value = loads(text, name)
    except InputError as exc:
        raise bad(str(exc)) from exc
    if not isinstance(value, dict):
        raise bad(f"{name} is a JSON object")
    return value


def _box(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        numbers = [float(t) for t in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if (
        len(numbers) != 4
        or not np.isfinite(numbers).all()
        or numbers[1] > numbers[3]
        or numbers[0] > numbers[2]
    ):
        raise bad("bbox is west,south,east,north")
    a, b, c, d = numbers
    return a, b, c, d


def _crs(text: str) -> str:
    if text == CRS84:
        return "OGC:CRS84"
    head, _, tail = text.partition("/def/crs/")
    parts = tail.split("/")
    if not head.startswith("http") or len(parts) != 3:
        raise bad("bbox-crs is an address such as http://www.opengis.net/def/crs/EPSG/0/25832")
    return f"{parts[0]}:{parts[2]}"


def _times(text: str | None) -> tuple[np.datetime64 | None, np.datetime64 | None, bool]:
    """(start, end, whether the end belongs to it)."""
    if text is None:
        return None, None, True
    parts = text.split("/")
    if len(parts) > 2 or (len(parts) == 1 and parts[0] in ("", "..")):
        raise bad("datetime is an instant or START/END, where .. is open")
    try:
        ends = [None if p in ("", "..") else _instants([p], "datetime")[0] for p in parts]
    except InputError as exc:
        raise bad(str(exc)) from exc
    return ends[0], ends[-1], True


class Readings:
    """What was read of sources, for the next page."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, str | None, Table]] = OrderedDict()

    def read(self, collection: Collection, asked: Asked, scratch: Any) -> tuple[Table, Port, str]:
        """All rows that were asked for, their port and the CRS that ``twin`` stands for. In a thread."""
        served = collection.served
        source = cast(
            DataSource,
            served.new(served.params(asked.params), served.context(asked.context, scratch=scratch)),
        )
        try:
            return self._read(source, collection, asked)
        finally:
            source.finalize()

    def _read(self, source: DataSource, collection: Collection, asked: Asked) -> tuple[Table, Port, str]:
        context = source.context
        port = cast(Port, source.ports()[1][collection.port])
        box = None if asked.bbox is None else _moved_box(asked.bbox, asked.crs, context.crs)
        end = None if asked.end is None else asked.end + np.timedelta64(1, "us")
        query = Query((collection.port,), box or context.bbox, asked.start, end)
        key = json.dumps([collection.id, asked.params, asked.context, query], default=str, sort_keys=True)
        version = collection.served.version(source, query)
        known = self._kept.get(key)
        if known is not None and known[1] == version and (version or time.monotonic() - known[0] < _FRESH):
            return known[2], port, context.crs
        table = _wanted(_rows(source, query, collection.port, port), port, asked, context)
        self._kept[key] = (time.monotonic(), version, table)
        while len(self._kept) > 4:
            self._kept.popitem(last=False)
        return table, port, context.crs


def _rows(source: DataSource, query: Query, name: str, port: Port) -> Table:
    answer = source.read(query)
    batches = [answer] if isinstance(answer, Mapping) else list(answer)
    tables = [cast(Table, check(b[name], port, name)) for b in batches if name in b]
    return Table.concat(tables) if tables else empty(port)


def _wanted(table: Table, port: Port, asked: Asked, context: Context) -> Table:
    time_column = port.time_column
    if time_column is not None:
        times = table[time_column]
        keep = np.ones(len(table), bool)
        if asked.start is not None:
            keep &= times >= asked.start
        if asked.end is not None:
            keep &= times <= asked.end
        if not keep.all():
            table = table.take(keep)
    if asked.bbox is not None and port.geometry_column is not None:
        if asked.crs == context.crs:
            return within(table, port, context.crs, asked.bbox)
        import shapely

        shapes = moved(table[port.geometry_column], crs_of(port, context.crs), asked.crs)
        table = table.take(shapely.intersects(shapes, shapely.box(*asked.bbox)))
    return table


def crs_of(port: Port, twin: str) -> str:
    code = port.columns[cast(str, port.geometry_column)].crs
    return twin if code is None or code == "twin" else code


def moved(shapes: Any, source: str, target: str) -> Any:
    """Geometries in another CRS, x then y."""
    import shapely
    from pyproj import Transformer

    if source == target:
        return shapes
    try:
        change = Transformer.from_crs(source, target, always_xy=True)
    except Exception as exc:
        raise bad(f"{source} or {target} is no CRS that PROJ knows") from exc
    return shapely.transform(shapes, lambda x, y: change.transform(x, y), interleaved=False)


def _moved_box(
    box: tuple[float, float, float, float], source: str, target: str
) -> tuple[float, float, float, float]:
    from pyproj import Transformer

    if source == target:
        return box
    try:
        found = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*box, densify_pts=21)
    except Exception as exc:
        raise bad(f"{source} or {target} is no CRS that PROJ knows") from exc
    if not np.isfinite(found).all():
        return box if source == target else (-1e300, -1e300, 1e300, 1e300)
    a, b, c, d = (float(v) for v in found)
    return a, b, c, d


def features(table: Table, port: Port, crs: str, first: int, fid: int | None = None) -> Iterator[str]:
    """One GeoJSON feature per row, its number as id, in lon/lat."""
    import shapely

    place = port.geometry_column
    shapes: list[str | None] = [None] * len(table)
    if place is not None and len(table):
        shapes = list(shapely.to_geojson(moved(table[place], crs_of(port, crs), "OGC:CRS84")))
    names = [n for n in port.columns if n != place]
    columns = [column_to_json(table, n, port.columns[n]) for n in names]
    for number in range(len(table)):
        properties = {n: c[number] for n, c in zip(names, columns)}
        yield (
            f'{{"type":"Feature","id":{first + number if fid is None else fid},'
            f'"geometry":{shapes[number] or "null"},"properties":{json.dumps(properties, ensure_ascii=False)}}}'
        )


def feature_collection(
    table: Table, port: Port, crs: str, asked: Asked, here: str, given: Mapping[str, str]
) -> Iterator[str]:
    """A page of features as text, piece by piece, with a link to the next page."""
    limit = min(asked.limit or LIMIT, MOST)
    page = table.slice(asked.offset, asked.offset + limit)
    links = [_link(here, given, "self", asked.offset, limit)]
    if asked.offset + limit < len(table):
        links.append(_link(here, given, "next", asked.offset + limit, limit))
    if asked.offset:
        links.append(_link(here, given, "prev", max(0, asked.offset - limit), limit))
    now = instant_text(np.datetime64(time.time_ns() // 1_000_000, "ms"))
    head = {"numberMatched": len(table), "numberReturned": len(page), "timeStamp": now, "links": links}
    yield f'{{"type":"FeatureCollection",{json.dumps(head)[1:-1]},"features":['
    for start in range(0, len(page), 1000):
        part = page.slice(start, start + 1000)
        yield ("," if start else "") + ",".join(features(part, port, crs, asked.offset + start))
    yield "]}"


def _link(here: str, given: Mapping[str, str], rel: str, offset: int, limit: int) -> dict[str, str]:
    query = {**given, "offset": str(offset), "limit": str(limit)}
    return {"href": f"{here}?{urlencode(query)}", "rel": rel, "type": "application/geo+json"}
