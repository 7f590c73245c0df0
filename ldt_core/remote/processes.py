"""Models and simulators as processes of OGC API Processes, Part 1: what they take and what they give."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from ..errors import InputError
from ..interfaces import SECOND, Context, Model, Simulator, Step, Window, parse_duration
from ..tables import AnyPort, GridPort, Port, Table, Tables, check
from .json_tables import from_json
from .problems import Problem
from .served import Served, _typed

_JSON_KINDS: dict[str, dict[str, Any]] = {
    "instant": {"type": "string", "format": "date-time"},
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "geometry": {"type": "object"},
}
ECHO = "echo"


def table_schema(port: AnyPort) -> dict[str, Any]:
    """JSON Schema of a port's table, or of its coverage."""
    if isinstance(port, GridPort):
        return {
            "type": "object",
            "required": ["type", "domain", "ranges", "ldt:affine"],
            "contentMediaType": "application/prs.coverage+json",
            "properties": {
                "type": {"const": "Coverage"},
                "domain": {"type": "object"},
                "ranges": {"type": "object"},
            },
        }
    columns = {}
    for name, column in port.columns.items():
        item: dict[str, Any] = dict(_JSON_KINDS[column.kind])
        if column.range is not None and column.kind in ("number", "integer"):
            low, high = column.range
            item |= {k: v for k, v in (("minimum", low), ("maximum", high)) if np.isfinite(v)}
        more = {"x-unit": column.unit, "x-quantity": column.quantity, "description": column.description}
        schema: dict[str, Any] = {"type": "array", "items": item, **{k: v for k, v in more.items() if v}}
        if column.nulls:
            schema["items"] = {"anyOf": [item, {"type": "null"}]}
        columns[name] = schema
    table = {"type": "object", "required": sorted(columns), "properties": columns}
    return {
        "type": "object",
        "required": ["columns"],
        "contentMediaType": "application/json",
        "properties": {"columns": table},
    }


def summary(served: Served | None, base: str) -> dict[str, Any]:
    """A process in the list of processes; None is the echo process."""
    id = ECHO if served is None else served.id
    content = {} if served is None else served.manifest
    return {
        "id": id,
        "title": content.get("title", "Echo"),
        "description": content.get("description", "Gives back what it was given."),
        "version": str(content.get("version", "1.0.0")),
        "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
        "outputTransmission": ["value"],
        "links": [
            {
                "href": f"{base}/processes/{id}",
                "rel": "self",
                "type": "application/json",
                "title": "this process",
            },
            {
                "href": f"{base}/processes/{id}/execution",
                "rel": "http://www.opengis.net/def/rel/ogc/1.0/execute",
                "type": "application/json",
                "title": "run it",
            },
        ],
    }


def description(served: Served | None, base: str) -> dict[str, Any]:
    """A process with its inputs and outputs."""
    if served is None:
        return {
            **summary(None, base),
            "inputs": {
                "text": {"title": "a text", "schema": {"type": "string"}, "minOccurs": 0},
                "number": {"title": "a number", "schema": {"type": "number"}, "minOccurs": 0},
                "object": {"title": "any object", "schema": {"type": "object"}, "minOccurs": 0},
            },
            "outputs": {
                "text": {"title": "the same text", "schema": {"type": "string"}},
                "number": {"title": "the same number", "schema": {"type": "number"}},
                "object": {"title": "the same object", "schema": {"type": "object"}},
            },
        }
    params = served.manifest["params"]
    inputs: dict[str, Any] = {
        name: {
            "title": name,
            "description": port.description or name,
            "schema": table_schema(port),
            "minOccurs": 0 if port.optional else 1,
        }
        for name, port in served.inputs.items()
    }
    inputs["params"] = {
        "title": "parameters",
        "schema": params,
        "minOccurs": 1 if params.get("required") else 0,
    }
    inputs["context"] = {
        "title": "the run: its first instant, window in microseconds from it, seed, CRS and box",
        "schema": context_schema(),
        "minOccurs": 0,
    }
    if served.kind == "simulator":
        inputs["step"] = {
            "title": "size of one advance, such as 60s; the whole window by default",
            "schema": {"type": "string"},
            "minOccurs": 0,
        }
    return {
        **summary(served, base),
        "inputs": inputs,
        "outputs": {
            name: {"title": name, "description": port.description or name, "schema": table_schema(port)}
            for name, port in served.outputs.items()
        },
    }


def context_schema() -> dict[str, Any]:
    micros = {"type": "integer", "format": "int64"}
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    return {
        "type": "object",
        "properties": {
            "start": {"type": "string", "format": "date-time"},
            "window": {"type": "array", "items": micros, "minItems": 2, "maxItems": 2},
            "seed": {"type": "integer"},
            "crs": {"type": "string"},
            "bbox": {"anyOf": [box, {"type": "null"}]},
        },
    }


# -- inputs -------------------------------------------------------------------------------------------


def value_of(given: Any, fetch: Callable[[str], Any]) -> Any:
    """An input's value: as it stands, qualified (``{"value": ...}``) or by reference (``{"href": ...}``)."""
    if isinstance(given, Mapping):
        if "href" in given:
            if not isinstance(given["href"], str):
                raise bad("href is a text")
            return fetch(given["href"])
        if "value" in given and set(given) <= {"value", "mediaType", "encoding", "schema"}:
            value = given["value"]
            if given.get("encoding") == "base64" and isinstance(value, str):
                try:
                    return base64.b64decode(value, validate=True).decode()
                except ValueError as exc:
                    raise bad(f"this is no base64 of text: {exc}") from exc
            return value
    return given


def bad(what: str) -> Problem:
    return Problem(400, "invalid input", what, type="invalid-parameter-value")


def run_process(
    served: Served,
    values: Mapping[str, Any],
    tables: Tables | None,
    cancelled: Callable[[], bool],
    progress: Callable[[float], None],
    scratch: Any,
) -> tuple[dict[str, Any], Tables, Mapping[str, AnyPort]]:
    """Flags, output tables and their ports. ``tables`` holds inputs that came as Arrow."""
    params = served.params(values.get("params") or {})
    context = served.context(values.get("context") or {}, cancelled, scratch)
    context.progress = progress
    component = served.new(params, context)
    try:
        inputs, outputs = component.ports()
        odd = sorted(set(values) - set(inputs) - {"params", "context", "step"})
        if odd:
            raise bad(f"there is no input '{odd[0]}', only {', '.join([*inputs, 'params', 'context'])}")
        given: dict[str, Any] = {}
        for name, port in inputs.items():
            if tables is not None and name in tables:
                given[name] = check(tables[name], port, name)
            elif name in values:
                given[name] = check(from_json(values[name], port, name), port, name)
            elif not port.optional:
                raise bad(f"the input '{name}' is missing")
        if isinstance(component, Simulator):
            found = _whole_run(component, context, given, inputs, outputs, values.get("step"))
        else:
            found = cast(Model, component).compute(given)
        checked = {n: check(found[n], p, n) for n, p in outputs.items()}
        aside: dict[str, Any] = {"flags": [list(f) for f in context.flags]} if context.flags else {}
        if context.rng_state is not None:
            aside["rng"] = context.rng_state
        return aside, checked, outputs
    finally:
        component.finalize()


def _whole_run(
    component: Simulator,
    context: Context,
    given: Mapping[str, Any],
    inputs: Mapping[str, AnyPort],
    outputs: Mapping[str, AnyPort],
    step: Any,
) -> Tables:
    """Every window of a simulator's run. A step takes the rows stamped in it, or the latest before it."""
    whole = context.window
    try:
        size = parse_duration(_typed(step, str)) if step is not None else whole.end - whole.start
    except (TypeError, ValueError) as exc:
        raise bad(f"step: {exc}") from exc
    if size <= 0 or (whole.end - whole.start) / size > 1_000_000:
        raise bad("a run has at least one step and at most a million")
    context.window = Window(whole.start, whole.end)
    first = component.initialize({n: t for n, t in given.items() if inputs[n].at == "start"}) or {}
    parts: dict[str, list[Table]] = {n: [] for n, p in outputs.items() if p.at == "step"}
    now = whole.start
    while now < whole.end:
        context.check_cancelled()
        until = min(now + size, whole.end)
        context.window = Window(now, until)
        series = {n: _rows(given[n], inputs[n], context, now, until) for n in given if inputs[n].at == "step"}
        found: Any = component.step(series, until)
        if isinstance(found, Step):
            found, reached = found
            if not now < reached <= until:
                raise InputError(
                    f"step reached {reached}, asked were {now} < t <= {until}", code="contract broken"
                )
            until = int(reached)
        for name, tables in parts.items():
            tables.append(found[name])
        now = until
        context.progress((now - whole.start) / (whole.end - whole.start))
    starts = {n: first[n] for n, p in outputs.items() if p.at == "start"}
    return {**starts, **{n: Table.concat(t) for n, t in parts.items()}}


def _rows(table: Table, port: AnyPort, context: Context, start: int, until: int) -> Table:
    name = port.time_column if isinstance(port, Port) else None
    if name is None:
        return table
    times = table[name]
    inside = (times >= context.instant(start)) & (times < context.instant(until))
    if inside.any() or not len(table) or cast(Port, port).events:
        return table.take(inside)
    before = times <= context.instant(start)
    if not before.any():
        what = f"no row of '{name}' lies before {start / SECOND:g} s"
        raise InputError(what, code="coverage gap", fix="begin the series at the run's start")
    return table.take(times == times[before].max()).with_columns(
        **{name: np.full(int((times == times[before].max()).sum()), context.instant(start))}
    )
