"""Servers that know nothing of us: a process of OGC API Processes as a model, a collection of OGC API Features
as a source.

A process's inputs become ports with one row (a list: with as many rows), all of them optional, and
parameters of the same name for what stays constant. Its outputs become ports with one row. What is no
number, text, truth value, time, list of them or object is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode, urljoin

from ..errors import Cancelled, InputError, RemoteError
from ..interfaces import CONTRACT, DataSource, Model, Query
from ..tables import Port, Table, Tables
from .client import Remote, RemoteParams
from .json_tables import column_from_json, column_to_json, loads
from .manifests import checked, odd, parsed
from .messages import GEOJSON, JSON
from .net import Client, Reply

_KINDS = {"string": "text", "number": "number", "integer": "integer", "boolean": "boolean"}
_ROW = "row"


def describe_foreign(base: str, client: Client) -> dict[str, Any] | None:
    """The manifest of a process or a collection; None for any other address."""
    parts = base.split("/")
    if len(parts) < 5 or parts[-2] not in ("processes", "collections"):
        return None
    content = parsed(client.ask("GET", base), base)
    found = _process(content, base) if parts[-2] == "processes" else _collection(content, base, client)
    return checked({"contract": CONTRACT, "foreign": True, **found}, base)


# -- a process -------------------------------------------------------------------------------------------


def _process(content: Mapping[str, Any], base: str) -> dict[str, Any]:
    inputs, outputs = content.get("inputs"), content.get("outputs")
    if not isinstance(inputs, dict) or not isinstance(outputs, dict) or not outputs:
        raise odd(base, "it describes no process with inputs and outputs")
    params: dict[str, Any] = {}
    ports: dict[str, dict[str, Any]] = {"in": {}, "out": {}}
    for name, item in inputs.items():
        schema = _schema(item, name, base)
        ports["in"][name] = {**_port(schema, name, base), "optional": True}
        if name.isidentifier() and not hasattr(RemoteParams, name):
            params[name] = {"anyOf": [schema, {"type": "null"}], "default": None}
            params[name]["description"] = str(item.get("description") or item.get("title") or name)
    for name, item in outputs.items():
        ports["out"][name] = _port(_schema(item, name, base), name, base)
    required = sorted(n for n, i in inputs.items() if i.get("minOccurs", 1))
    return {
        "id": str(content.get("id", base.rpartition("/")[2])),
        "kind": "model",
        "title": str(content.get("title") or content.get("id") or base),
        "description": str(content.get("description") or ""),
        "inputs": ports["in"],
        "outputs": ports["out"],
        "params": {"type": "object", "properties": params},
        "required": required,
        "modes": [str(m) for m in content.get("jobControlOptions") or ["sync-execute"]],
    }


def _schema(item: Any, name: str, base: str) -> dict[str, Any]:
    schema = item.get("schema") if isinstance(item, dict) else None
    if not isinstance(schema, dict):
        raise odd(base, f"'{name}' has no schema")
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        kind = schema["items"].get("type")
        plain = kind in _KINDS
    else:
        kind = schema.get("type")
        plain = kind in _KINDS or kind == "object"
    if not plain or schema.get("contentEncoding") or schema.get("format") in ("binary", "byte"):
        raise odd(
            base,
            f"'{name}' is {json.dumps(schema)[:120]}, which is no number, text, truth value, list or object",
        )
    return schema


def _port(schema: Mapping[str, Any], name: str, base: str) -> dict[str, Any]:
    """One row, or as many as a list has items; an object is JSON in a text."""
    said = schema["items"] if schema.get("type") == "array" else schema
    kind = "instant" if said.get("format") == "date-time" else _KINDS.get(said["type"], "text")
    column: dict[str, Any] = {"kind": kind}
    if kind in ("number", "integer"):
        column |= {"unit": "1", "quantity": f"x:{name.replace('-', '_')}"}
    if said["type"] == "object":
        column["description"] = "JSON"
    return {"shape": "table", "columns": {name: column}}


class ForeignProcess(Remote, Model):
    """A process that another server runs."""

    def compute(self, inputs: Tables) -> Tables:
        values = {n: v for n, v in self.params.plain().items() if v is not None}
        for name, table in inputs.items():
            values[name] = self._value(name, cast(Table, table))
        missing = [n for n in self.manifest["required"] if n not in values]
        if missing:
            fix = f"link a port to it, or write params: {{{missing[0]}: ...}}"
            raise InputError(
                f"the input '{missing[0]}' is missing", code="schema drift", where=missing[0], fix=fix
            )
        body = json.dumps({"inputs": values, "response": "document"}).encode()
        later = "sync-execute" not in self.manifest["modes"]
        reply = self.client.ask(
            "POST",
            f"{self.address}/execution",
            body=body,
            media=JSON,
            headers={"Prefer": "respond-async"} if later else {},
            cancelled=self.context.cancelled,
        )
        if reply.status == 201 and "location" in reply.headers:
            reply = self._wait(urljoin(self.address, reply.headers["location"]))
        return self._outputs(reply)

    def _value(self, name: str, table: Table) -> Any:
        column = cast(Port, self.inputs[name]).columns[name]
        items = column_to_json(table, name, column)
        schema = self.manifest["params"]["properties"].get(name, {}).get("anyOf", [{}])[0]
        if schema.get("type") == "array":
            return items
        if len(items) != 1:
            raise InputError(
                f"it takes one row, {len(items)} came", code="shape", where=name, fix="reduce it before"
            )
        if column.description == "JSON":
            return loads(items[0], name)
        return items[0]

    def _wait(self, job: str) -> Reply:
        end = time.monotonic() + self.client.limits.total
        pause = 0.05
        while True:
            said = parsed(self.client.ask("GET", job), job)
            if said.get("status") == "successful":
                return self.client.ask("GET", f"{job.partition('?')[0]}/results")
            if said.get("status") in ("failed", "dismissed"):
                raise self._odd(f"the job is {said['status']}: {said.get('message', '')!s:.200}")
            if self.context.cancelled():
                self.client.ask("DELETE", job, good=(200, 204, 404, 405, 501))
                raise Cancelled("the run was cancelled", code="cancelled")
            if time.monotonic() > end:
                raise RemoteError(f"{job} does not end", code="unreachable", fix="ask its owner")
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _outputs(self, reply: Reply) -> Tables:
        if reply.media not in (JSON, GEOJSON):
            raise RemoteError(
                f"{self.address} answered {reply.media or 'nothing'}",
                code="media type",
                fix="ask its owner for JSON",
            )
        try:
            content = loads(bytes(reply.body))
            found = _by_name(content, list(self.outputs))
            tables = {}
            for name, port in self.outputs.items():
                column = cast(Port, port).columns[name]
                value = found[name]
                if column.description == "JSON":
                    value = json.dumps(value, ensure_ascii=False, sort_keys=True)
                items = value if isinstance(value, list) else [value]
                values, mask = column_from_json(items, column, name)
                tables[name] = Table({name: values}, None if mask is None else {name: mask})
            return tables
        except (InputError, KeyError, TypeError) as exc:
            raise self._odd(f"{type(exc).__name__}: {exc}") from exc


def _by_name(content: Any, names: list[str]) -> dict[str, Any]:
    """Values by output, however the server lays them out: a document, a list, or the one value raw."""
    if isinstance(content, dict) and isinstance(content.get("outputs"), list | dict):
        content = content["outputs"]
    if isinstance(content, list) and all(isinstance(i, dict) and "id" in i for i in content):
        content = {i["id"]: i.get("value") for i in content}
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        content = content[0]
    if isinstance(content, dict) and set(names) <= set(content):
        return {n: _bare(content[n]) for n in names}
    if len(names) == 1:
        return {names[0]: _bare(content)}
    raise KeyError(f"{', '.join(names)} are not all in the answer")


def _bare(value: Any) -> Any:
    known = {"value", "mediaType", "encoding", "schema", "id"}
    return value["value"] if isinstance(value, dict) and "value" in value and set(value) <= known else value


# -- a collection -------------------------------------------------------------------------------------------


def _collection(content: Mapping[str, Any], base: str, client: Client) -> dict[str, Any]:
    """Columns as the queryables say them; the first features where those are not served."""
    id = str(content.get("id", base.rpartition("/")[2]))
    page = parsed(client.ask("GET", f"{base}/items?limit=50", accept=f"{GEOJSON}, {JSON};q=0.5"), base)
    rows = page.get("features")
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
        raise odd(base, "its items are no features from which columns could be known")
    columns: dict[str, Any] = {
        _ROW: {"kind": "text"},
        "geometry": {"kind": "geometry", "geometry": "Geometry", "crs": "OGC:CRS84", "nulls": True},
    }
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in (row.get("properties") or {}).items():
            values.setdefault(name, []).append(value)
    for name, found in values.items():
        kinds = {type(v) for v in found if v is not None}
        if kinds <= {int, float} and kinds:
            # unit and quantity are open: columns: in the twin file says them
            columns[name] = {"kind": "number", "nulls": True}
        elif kinds == {bool}:
            columns[name] = {"kind": "boolean", "nulls": True}
        elif kinds == {str}:
            columns[name] = {"kind": "text", "nulls": True}
        # lists, objects and columns of several kinds are left out
    return {
        "id": id,
        "kind": "source",
        "title": str(content.get("title") or id),
        "description": str(content.get("description") or ""),
        "inputs": {},
        "outputs": {
            "features": {"shape": "table", "columns": columns, "at": "start", "entity": "feature", "id": _ROW}
        },
        "params": {"type": "object", "properties": {}},
    }


class ForeignFeatures(Remote, DataSource):
    """A collection that another server holds, page after page."""

    def read(self, query: Query) -> Tables:
        from .features import _moved_box

        asked = {"limit": "1000"}
        if query.bbox is not None:
            box = _moved_box(query.bbox, self.context.crs, "OGC:CRS84")
            asked["bbox"] = ",".join(repr(v) for v in box)
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        address: str | None = f"{self.address}/items?{urlencode(asked)}"
        while address is not None and address not in seen:
            seen.add(address)
            reply = self.client.ask(
                "GET", address, accept=f"{GEOJSON}, {JSON};q=0.5", cancelled=self.context.cancelled
            )
            page = parsed(reply, self.address)
            rows += [r for r in page.get("features", []) if isinstance(r, dict)]
            if len(rows) > 5_000_000:
                raise self._odd("it has more than five million rows")
            links = [k for k in page.get("links", []) if isinstance(k, dict) and k.get("rel") == "next"]
            address = urljoin(address, str(links[0]["href"])) if links and page.get("features") else None
        return {"features": self._table(rows)}

    def _table(self, rows: list[dict[str, Any]]) -> Table:
        port = cast(Port, self.outputs["features"])
        made: dict[str, Any] = {}
        masks: dict[str, Any] = {}
        for name, column in port.columns.items():
            if name == _ROW:
                items: list[Any] = [str(r.get("id", n)) for n, r in enumerate(rows)]
            elif name == "geometry":
                items = [r.get("geometry") for r in rows]
            else:
                items = [(r.get("properties") or {}).get(name) for r in rows]
            try:
                values, mask = column_from_json(items, column, name)
            except InputError as exc:
                raise self._odd(str(exc)) from exc
            made[name] = values
            if mask is not None:
                masks[name] = mask
        return Table(made, masks)
