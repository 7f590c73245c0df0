"""The rules for OpenAPI documents: pure, offline, and the same as the validator's where it sees something."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable
from typing import Any

import openapi_spec_validator as library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_conformance.openapi_blind_spots import RULES, blind_spots
from ldt_conformance.openapi_rules import LARGEST, Unreadable, faults, interned, read

VERSIONS = ("3.0.3", "3.1.0", "3.2.0")
KINDS = dict(
    zip(
        VERSIONS,
        (library.OpenAPIV30SpecValidator, library.OpenAPIV31SpecValidator, library.OpenAPIV32SpecValidator),
    )
)


def document(version: str = "3.1.0", **changes: Any) -> dict[str, Any]:
    """A small good one."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    level = {"type": "object", "required": ["level"], "properties": {"level": {"type": "number"}}}
    done = {"200": {"description": "done", "content": {"application/json": {"schema": level}}}}
    tank = {"parameters": [name], "get": {"operationId": "tank", "responses": done}}
    return {
        "openapi": version,
        "info": {"title": "t", "version": "1"},
        "paths": {"/tanks/{name}": tank},
        **changes,
    }


def put(at: str, value: Any, version: str = "3.1.0") -> dict[str, Any]:
    """The good one with ``value`` at a pointer."""
    found = document(version)
    node: Any = found
    *parts, last = [p.replace("~1", "/") for p in at.split("/")[1:]]
    for part in parts:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[last] = value
    return found


TANK = "/paths/~1tanks~1{name}"
SCHEMA = f"{TANK}/get/responses/200/content/application~1json/schema"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_document_has_no_fault(version: str) -> None:
    assert faults(document(version)) == []
    assert blind_spots(document(version)) == []


@pytest.mark.parametrize(
    ("at", "value", "pointer", "words"),
    [
        ("/openapi", "2.0", "/openapi", "3.0, 3.1 and 3.2 are read"),
        ("/openapi", 3, "/openapi", "3.0, 3.1 and 3.2 are read"),
        (f"{TANK}/get/operationId", 5, f"{TANK}/get/operationId", "is not of type 'string'"),
        (f"{SCHEMA}/type", "text", f"{SCHEMA}/type", "'text'"),
        (f"{TANK}/parameters", [], f"{TANK}/get", "Path parameter 'name'"),
        (f"{TANK}/put", {"operationId": "tank", "responses": {"200": {"description": "d"}}}, f"{TANK}/put", "not unique"),
        (SCHEMA, {"$ref": "https://example.org/x.json"}, f"{SCHEMA}/$ref", "outside the document"),
        (SCHEMA, {"$ref": "other.yaml#/x"}, f"{SCHEMA}/$ref", "outside the document"),
        (SCHEMA, {"$ref": "file:///etc/passwd"}, f"{SCHEMA}/$ref", "outside the document"),
        (SCHEMA, {"$ref": "#/components/schemas/none"}, f"{SCHEMA}/$ref", "not there"),
        (SCHEMA, {"$ref": "#anchor"}, f"{SCHEMA}/$ref", "not there"),
        (SCHEMA, {"$ref": f"#{SCHEMA}"}, f"{SCHEMA}/$ref", "back to itself"),
        ("/components", {"schemas": {"a": {"$ref": "#/components/schemas/b"}, "b": {"$ref": "#/components/schemas/a"}}},
         "/components/schemas/a/$ref", "back to itself"),
        (f"{SCHEMA}/properties/example", {"$ref": "http://x/"}, f"{SCHEMA}/properties/example/$ref", "outside"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(at: str, value: Any, pointer: str, words: str) -> None:
    found = faults(put(at, value))
    assert pointer in [f.pointer for f in found], [str(f) for f in found]
    assert words in next(f.what for f in found if f.pointer == pointer)
    assert all(f.mend for f in found)


def test_swagger_is_refused_by_its_name() -> None:
    (found,) = faults({"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}})
    assert "Swagger 2.0" in found.what
    assert "Convert" in found.mend


@pytest.mark.parametrize("word", ["example", "enum", "const", "x-note"])
def test_a_reference_in_data_is_no_reference(word: str) -> None:
    value: Any = {"$ref": "https://example.org/"}
    assert faults(put(f"{SCHEMA}/properties/level/{word}", [value] if word == "enum" else value)) == []


def test_an_anchor_is_found() -> None:
    found = put(SCHEMA, {"$ref": "#level"})
    found["components"] = {"schemas": {"level": {"$anchor": "level", "type": "number"}}}
    assert [f for f in faults(found) if "not there" in f.what] == []


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b" " * (LARGEST + 1), "larger than 16 MiB"),
        (b" " * 50_000_000, "larger than 16 MiB"),
        (b"openapi: 3.1.0", "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a":' * 100_000, "nested deeper"),
    ],
    ids=["16 MiB", "50 MB", "YAML", "a list", "NaN", "a key twice", "no UTF-8", "deep"],
)
def test_what_is_no_document_is_told(raw: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(raw)


def test_a_document_of_many_levels_is_refused() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(200):
        deep = {"properties": {"x": deep}}
    (found,) = faults(put(SCHEMA, deep))
    assert "100 levels" in found.what


def test_nothing_is_fetched_whatever_it_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for word in ("$ref", "$id", "$dynamicRef"):
        assert faults(put(f"{SCHEMA}/{word}", "https://example.org/x"))
    dialect = document(jsonSchemaDialect="https://example.org/dialect")
    assert faults(dialect)
    dialect["paths"] = {}
    faults(dialect)


# -- the same as the validator -------------------------------------------------------------------------

leaves = st.sampled_from(
    [None, True, 0, 1, 1.0, "", "string", "number", "path", "name", [], {}, ["level"], {"type": 5}]
)


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """The good document with a few things put in, replaced or left out."""
    found = copy.deepcopy(document(draw(st.sampled_from(VERSIONS))))
    found["paths"]["/other"] = copy.deepcopy(found["paths"]["/tanks/{name}"]) if draw(st.booleans()) else {}
    for _ in range(draw(st.integers(1, 3))):
        node: Any = found["paths"]
        while isinstance(node, dict) and node:
            key = draw(st.sampled_from(sorted(node)))
            inside = isinstance(node[key], dict) and node[key]
            if not inside or draw(st.integers(0, 3)) == 0:
                if draw(st.booleans()):
                    node[key] = copy.deepcopy(draw(leaves))
                else:
                    del node[key]
                break
            node = node[key]
    return found


@given(changed())
@settings(max_examples=150, deadline=None)
def test_sharing_equal_parts_changes_no_verdict(found: dict[str, Any]) -> None:
    """What is one object to the validator is looked at once; what it says of the document stays the same."""

    def verdict(content: Any) -> set[str] | str:
        try:
            return {e.message for e in KINDS[found["openapi"]](content).iter_errors()}
        except Exception as exc:
            return type(exc).__name__

    assert interned(found) == found
    assert json.dumps(interned(found)) == json.dumps(found)
    plain, shared = verdict(found), verdict(interned(found))
    assert bool(plain) == bool(shared)
    assert plain == shared
    assert bool(faults(found)) == bool(plain)


# -- what it does not see --------------------------------------------------------------------------------

SECURED = {"security": [{"badge": []}], "responses": {"200": {"description": "d"}}, "parameters": []}
BLIND: dict[str, tuple[dict[str, Any], str]] = {
    "an example of another type": (put(f"{SCHEMA}/examples", [{"level": "12"}]), f"{SCHEMA}/examples/0"),
    "an example of 3.0": (put(f"{SCHEMA}/example", {"level": "12"}, "3.0.3"), f"{SCHEMA}/example"),
    "an example beside its schema": (
        put(f"{TANK}/parameters/0/example", 5),
        f"{TANK}/parameters/0/example",
    ),
    "a named example": (
        put(f"{TANK}/parameters/0/examples", {"bad": {"value": 5}}),
        f"{TANK}/parameters/0/examples/bad/value",
    ),
    "an undefined scheme": (put("/security", [{"badge": []}]), "/security/0"),
    "an undefined scheme of an operation": (put(f"{TANK}/get/security", [{"badge": []}]), f"{TANK}/get/security/0"),
    "a path twice": (
        put("/paths/~1tanks~1{id}", json.loads(json.dumps(document()["paths"]["/tanks/{name}"]).replace('"name"', '"id"', 0))),
        "/paths/~1tanks~1{id}",
    ),
    "braces that do not pair": (put("/paths/~1tanks~1{name", {}), "/paths/~1tanks~1{name"),
    "nullable in 3.1": (put(f"{SCHEMA}/properties/level/nullable", True), f"{SCHEMA}/properties/level/nullable"),
    "beside a reference in 3.0": (
        {
            **put(SCHEMA, {"$ref": "#/components/schemas/level", "nullable": True}, "3.0.3"),
            "components": {"schemas": {"level": {"type": "number"}}},
        },
        f"{SCHEMA}/nullable",
    ),
    "a bad itemSchema": (
        put(SCHEMA.replace("/schema", "/itemSchema"), {"type": "text"}, "3.2.0"),
        SCHEMA.replace("/schema", "/itemSchema"),
    ),
    "an itemSchema elsewhere": (put(f"{TANK}/parameters/0/itemSchema", {}, "3.2.0"), f"{TANK}/parameters/0/itemSchema"),
    "bounds that cross": (
        put(f"{SCHEMA}/properties/level", {"type": "number", "minimum": 5, "maximum": 3}),
        f"{SCHEMA}/properties/level",
    ),
    "an enum of another type": (
        put(f"{SCHEMA}/properties/level", {"type": "number", "enum": ["5"]}),
        f"{SCHEMA}/properties/level/enum",
    ),
    "a variable that is not defined": (put("/servers", [{"url": "https://{host}/"}]), "/servers/0/url"),
    "a link to no operation": (
        put(f"{TANK}/get/responses/200/links", {"next": {"operationId": "none"}}),
        f"{TANK}/get/responses/200/links/next/operationId",
    ),
    "a mapping to no schema": (
        put(f"{SCHEMA}/discriminator", {"propertyName": "level", "mapping": {"a": "#/components/schemas/none"}}),
        f"{SCHEMA}/discriminator/mapping/a",
    ),
    "a header that is not read": (
        put(f"{TANK}/get/parameters", [{"name": "Accept", "in": "header", "schema": {"type": "string"}}]),
        f"{TANK}/get/parameters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLIND)
def test_a_blind_spot_is_found_with_its_place(name: str) -> None:
    content, pointer = BLIND[name]
    found = blind_spots(content)
    assert pointer in [f.pointer for f in found], [str(f) for f in found]
    assert all(f.mend for f in found)


def test_every_rule_finds_something_in_what_is_shown_here() -> None:
    silent: list[Callable[..., Any]] = [
        rule for rule in RULES if not any(list(rule(content)) for content, _ in BLIND.values())
    ]
    assert silent == []
