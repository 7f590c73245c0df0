"""The OpenAPI document of a server, and the reading of another's: what cannot be trusted is refused by name."""

from __future__ import annotations

from typing import Any

from ..errors import RemoteError
from ..interfaces import CONTRACT
from .messages import ARROW, BUNDLE, GEOJSON, JSON
from .problems import PROBLEM
from .processes import ECHO, description
from .served import Served

_OBJECT: dict[str, Any] = {"schema": {"type": "object"}}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


_TABLES = {"type": "object", "additionalProperties": {"type": "object"}}
_LINKED = {"type": "array", "items": _object("href", href=_TEXT, rel=_TEXT)}
_STATUS = {"enum": ["accepted", "running", "successful", "failed", "dismissed"]}
_JOB = _object(
    "jobID status type",
    jobID=_TEXT,
    processID=_TEXT,
    type={"enum": ["process"]},
    status=_STATUS,
    progress={"type": "integer", "minimum": 0, "maximum": 100},
    message=_TEXT,
    links=_LINKED,
)
_PORTS = _object(
    "inputs outputs capabilities",
    inputs=_TABLES,
    outputs=_TABLES,
    capabilities={"type": "array", "items": _TEXT},
)
_PROBLEM = _object("title status", type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT)


def document(served: list[Served], collections: list[str], base: str, secured: bool) -> dict[str, Any]:
    """OpenAPI 3.0, which clients of the OGC's standards read, of all that a server with these components offers."""
    paths: dict[str, Any] = {
        "/": {"get": _get("landingPage", "links to all there is", said=_object("links", links=_LINKED))},
        "/conformance": {
            "get": _get(
                "conformance",
                "the classes that are implemented",
                said=_object("conformsTo", conformsTo={"type": "array", "items": _TEXT}),
            )
        },
        "/api": {"get": _get("api", "this document", media=OPENAPI, said=_object("openapi", openapi=_TEXT))},
        "/component": {"get": _get("component", "the manifest: ports, parameters, capabilities", said={})},
        "/ports": {"post": _post("ports", "the ports for these parameters", JSON, said=_PORTS)},
        "/processes": {
            "get": _get(
                "processes",
                "all processes",
                [_query("limit", {"type": "integer", "minimum": 1})],
                said=_object("processes", processes={"type": "array", "items": _object("id", id=_TEXT)}),
            )
        },
        "/jobs": {
            "get": _get("jobs", "all jobs", said=_object("jobs", jobs={"type": "array", "items": _JOB}))
        },
        "/jobs/{jobId}": {
            "parameters": [_path("jobId")],
            "get": _get("job", "how a job stands", said=_JOB),
            "delete": {
                "operationId": "dismiss",
                "summary": "dismiss a job",
                "responses": _responses("200", JSON, _JOB),
            },
        },
        "/jobs/{jobId}/results": {"parameters": [_path("jobId")], "get": _get("results", "what a job gave")},
    }
    processes = [s for s in served if s.kind in ("model", "simulator")]
    for item in (*processes, None):
        id = ECHO if item is None else item.id
        about = description(item, base)
        paths[f"/processes/{id}"] = {"get": _get(f"process-{id}", about["title"])}
        inputs = {n: _input(i["schema"]) for n, i in about["inputs"].items()}
        required = [n for n, i in about["inputs"].items() if i["minOccurs"]]
        schema = {
            "type": "object",
            "properties": {
                "inputs": {
                    "type": "object",
                    "properties": inputs,
                    "additionalProperties": False,
                    **({"required": required} if required else {}),
                },
                "outputs": {"type": "object"},
                "response": {"enum": ["raw", "document"]},
            },
            **({"required": ["inputs"]} if required else {}),
        }
        execute = _post(f"execute-{id}", f"run {about['title']}", JSON, schema)
        execute["responses"]["200"]["content"][JSON] = {}  # one output alone is its bare value
        execute["responses"]["201"] = {"description": "a job was made", "content": {JSON: {"schema": _JOB}}}
        paths[f"/processes/{id}/execution"] = {"post": execute}
    if any(s.kind == "simulator" for s in served):
        paths |= _session_paths()
    if collections or any(s.kind == "source" for s in served):
        paths |= _feature_paths(collections)
    content: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": ", ".join(s.manifest["title"] for s in served),
            "version": str(served[0].manifest.get("version", "1.0.0")),
            "description": "Components of a Local Digital Twin.",
            "x-ldt-contract": CONTRACT,
        },
        "servers": [{"url": base}],
        "paths": paths,
    }
    if secured:
        content["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        content["security"] = [{"token": []}]
    return content


def _input(schema: dict[str, Any]) -> dict[str, Any]:
    """A value as it stands, qualified, or by reference."""
    if "$defs" in schema:  # its references are those of another document
        return {}
    plain = _plain(schema)
    qualified = {"type": "object", "required": ["value"], "properties": {"value": plain}}
    link = {
        "type": "object",
        "required": ["href"],
        "properties": {"href": {"type": "string", "format": "uri"}},
    }
    return {"anyOf": [plain, qualified, link]}


# What a schema of OpenAPI 3.0 may say; it is older than JSON Schema as pydantic writes it.
_WORDS = {
    *(
        "title",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
    ),
    *("pattern", "maxItems", "minItems", "uniqueItems", "required", "enum", "type", "description", "format"),
    *(
        "default",
        "nullable",
        "writeOnly",
        "items",
        "properties",
        "additionalProperties",
        "anyOf",
        "oneOf",
        "allOf",
    ),
}


def _plain(schema: Any) -> Any:
    """A JSON Schema in the words of OpenAPI 3.0; what it cannot say is left out, so it allows more, never less."""
    if not isinstance(schema, dict):
        return schema
    found = {k: v for k, v in schema.items() if k in _WORDS or k.startswith("x-")}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    for bound, word in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(found.get(word), int | float) and not isinstance(found[word], bool):
            found[bound], found[word] = found[word], True
    for word in ("anyOf", "oneOf", "allOf"):
        if word in found:
            options = [_plain(o) for o in found[word] if o.get("type") != "null"]
            if len(options) < len(schema[word]):  # beside a type alone does nullable mean anything in 3.0
                options = [{**o, "nullable": True} if "type" in o else o for o in options]
            found[word] = options
    if "properties" in found:
        found["properties"] = {n: _plain(p) for n, p in found["properties"].items()}
    for word in ("items", "additionalProperties"):
        if word in found:
            found[word] = _plain(found[word])
    for word in ("required", "enum"):
        if not found.get(word, True):
            del found[word]  # 3.0 takes no empty list
    if found.get("type") == "array":
        found.setdefault("items", {})
    return found


def _session_paths() -> dict[str, Any]:
    step = {
        "type": "object",
        "required": ["seq", "start", "until"],
        "properties": {
            "seq": {"type": "integer", "minimum": 1},
            "start": {"type": "integer"},
            "until": {"type": "integer"},
            "inputs": {"type": "object"},
        },
    }
    stepped = _object(
        "seq reached outputs", seq={"type": "integer"}, reached={"type": "integer"}, outputs=_TABLES
    )
    new = _post("newSession", "initialize a simulator", JSON)
    made = _object("session outputs", session=_TEXT, outputs=_TABLES)
    new["responses"]["201"] = {"description": "the session", "content": {JSON: {"schema": made}, BUNDLE: {}}}
    octets: dict[str, Any] = {"application/octet-stream": {}}
    state_in = {"required": True, "content": octets}
    return {
        "/sessions": {"post": new},
        "/sessions/{sessionId}": {
            "parameters": [_path("sessionId")],
            "delete": {"operationId": "endSession", "summary": "finalize it", "responses": _no_content()},
        },
        "/sessions/{sessionId}/step": {
            "parameters": [_path("sessionId")],
            "post": _post("step", "advance; the same seq again gives the same answer", JSON, step, stepped),
        },
        "/sessions/{sessionId}/state": {
            "parameters": [_path("sessionId")],
            "get": {
                "operationId": "getState",
                "summary": "its state as bytes",
                "responses": _responses("200", "application/octet-stream"),
            },
            "put": {
                "operationId": "setState",
                "summary": "put a state back",
                "requestBody": state_in,
                "responses": _no_content(),
            },
        },
    }


def _feature_paths(collections: list[str]) -> dict[str, Any]:
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6}
    query = [
        {**_query("bbox", box), "style": "form", "explode": False},
        _query("bbox-crs", {"type": "string", "format": "uri"}),
        _query("datetime", {"type": "string"}),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}),
        _query("offset", _COUNT),
        _query("f", {"enum": ["json", "geojson", "arrow", "table"]}),
        _query("params", {"type": "string", "description": "parameters as a JSON object"}),
        _query("context", {"type": "string", "description": "context as a JSON object"}),
    ]
    version = _object("version", version={**_TEXT, "nullable": True})
    listed = _object("collections", collections={"type": "array", "items": _object("id", id=_TEXT)})
    found: dict[str, Any] = {
        "/version": {"post": _post("version", "a text that changes with the data", JSON, said=version)},
        "/collections": {"get": _get("collections", "all collections", said=listed)},
    }
    for id in collections:
        items = _get(f"items-{id}", f"the rows of {id}", query, GEOJSON)
        items["responses"]["200"]["content"] |= {ARROW: {}, JSON: _OBJECT}
        found[f"/collections/{id}"] = {"get": _get(f"collection-{id}", id)}
        found[f"/collections/{id}/items"] = {"get": items}
        found[f"/collections/{id}/items/{{featureId}}"] = {
            "parameters": [_path("featureId")],
            "get": _get(f"item-{id}", "one row", media=GEOJSON),
        }
    return found


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _responses(status: str, media: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {} if said is None else {"schema": said}
    return {status: {"description": "done", "content": {media: content}}, "default": _refused()}


def _refused() -> dict[str, Any]:
    return {"description": "a problem", "content": {PROBLEM: {"schema": _PROBLEM}}}


def _no_content() -> dict[str, Any]:
    return {"204": {"description": "done"}, "default": _refused()}


def _get(
    id: str,
    summary: str,
    parameters: list[Any] | None = None,
    media: str = JSON,
    said: dict[str, Any] | None = None,
) -> dict[str, Any]:
    about = {"operationId": id, "summary": summary, "responses": _responses("200", media, said)}
    return {**about, **({"parameters": parameters} if parameters else {})}


def _post(
    id: str,
    summary: str,
    media: str,
    schema: dict[str, Any] | None = None,
    said: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """``schema`` is what comes in, ``said`` what goes out."""
    return {
        "operationId": id,
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {media: {"schema": schema or {"type": "object"}}, BUNDLE: {}},
        },
        "responses": {
            "200": {
                "description": "done",
                "content": {media: {"schema": said or {"type": "object"}}, BUNDLE: {}},
            },
            **dict.fromkeys(("400", "406", "413", "415"), _refused()),
            "default": _refused(),
        },
    }


# -- what another server says --------------------------------------------------------------------


def validate(content: Any, address: str) -> dict[str, Any]:
    """An OpenAPI 3 document without references to elsewhere. Raises ``RemoteError``."""
    if not isinstance(content, dict) or not isinstance(content.get("openapi"), str):
        said = (
            f"version {content['swagger']}" if isinstance(content, dict) and "swagger" in content else "none"
        )
        raise _odd(address, f"it is no OpenAPI 3 document (it says: {said})")
    if content["openapi"].split(".")[:2] not in (["3", "0"], ["3", "1"], ["3", "2"]):
        raise _odd(address, f"it is of OpenAPI {content['openapi']:.20}, and 3.0, 3.1 and 3.2 are read")
    _refuse_far_references(content, address)
    from openapi_spec_validator import validate as check
    from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

    try:
        check(content)
    except OpenAPIValidationError as exc:
        raise _odd(address, f"it is not valid: {exc.message:.300}") from exc
    except Exception as exc:
        raise _odd(address, f"it cannot be checked: {type(exc).__name__}: {exc!s:.300}") from exc
    return content


def _refuse_far_references(content: Any, address: str) -> None:
    """References out of the document are not followed: they would make this machine open what the server names."""
    waiting: list[tuple[Any, int]] = [(content, 0)]
    seen = 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if depth > 100 or seen > 1_000_000:
            raise _odd(address, "it is too deep or too large")
        if isinstance(item, dict):
            for word in ("$ref", "$dynamicRef", "$recursiveRef"):
                reference = item.get(word)
                if isinstance(reference, str) and not reference.startswith("#"):
                    raise _odd(address, f"it refers to {reference:.200}, outside itself")
            waiting += [(v, depth + 1) for v in item.values()]
        elif isinstance(item, list):
            waiting += [(v, depth + 1) for v in item]


def _odd(address: str, what: str) -> RemoteError:
    return RemoteError(
        f"the OpenAPI document of {address} cannot be used: {what}",
        code="refused",
        fix="ask its owner for an OpenAPI 3 document of what it serves",
    )
