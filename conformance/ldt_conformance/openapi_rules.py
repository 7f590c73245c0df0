"""Rules for an OpenAPI document, as pure functions: document in, findings out. Nothing is fetched and no reference is
followed out of the document.

``read`` turns bytes into a document within a budget; ``faults`` says what keeps it from being used (versions 3.0, 3.1 and
3.2, valid, self-contained); what the validator lets through is found by ``openapi_blind_spots``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any
from urllib.parse import unquote

LARGEST = 16 * 2**20
"""Bytes of a document; the client of ldt_core reads no more either."""
DEEPEST, MOST_NODES, MOST_FINDINGS = 100, 1_000_000, 20
VERSIONS = ("3.0", "3.1", "3.2")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")

# What holds data and no schema, so that "$ref" means nothing there; and what holds names, so that any word may be a key.
_DATA = {"example", "default", "enum", "const", "value"}
_NAMES = {
    *("properties", "patternProperties", "$defs", "dependentSchemas", "schemas", "responses", "parameters"),
    *("requestBodies", "headers", "securitySchemes", "links", "callbacks", "pathItems", "paths", "webhooks"),
    *("content", "encoding", "variables", "scopes"),
}


@dataclass(frozen=True)
class Finding:
    """``pointer`` is a JSON Pointer to the culprit, ``what`` what is wrong with it, ``mend`` what to do."""

    pointer: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.pointer or 'the document'}: {self.what}"


class Unreadable(ValueError):
    """The bytes are no document that could be looked at."""


def read(raw: bytes) -> dict[str, Any]:
    """The document as JSON. Raises ``Unreadable`` for what is too large, no JSON object, or says one key twice."""
    if len(raw) > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST >> 20} MiB")
    try:
        found = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise Unreadable(f"it is nested deeper than {DEEPEST} levels") from None
    except ValueError as exc:
        raise Unreadable(f"it is no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise Unreadable("it is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [k for k, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def version_of(document: Mapping[str, Any]) -> str:
    """``3.0``, ``3.1`` or ``3.2``, or an empty text."""
    said = document.get("openapi")
    found = ".".join(said.split(".")[:2]) if isinstance(said, str) else ""
    return found if found in VERSIONS else ""


def faults(document: Mapping[str, Any]) -> list[Finding]:
    """What keeps the document from being used, the root causes alone: with a wrong version nothing else is looked at, and
    nothing is validated whose references lead out of it or nowhere."""
    return (
        _version_faults(document)
        or list(islice(_reference_faults(document), MOST_FINDINGS))
        or _invalid(document)
    )


def _version_faults(document: Mapping[str, Any]) -> list[Finding]:
    if version_of(document):
        return []
    if "swagger" in document:
        what = f"it is of Swagger {document['swagger']!s:.20}, which is not OpenAPI 3"
        return [Finding("/swagger", what, "Convert it to OpenAPI 3.0 or newer; tools do that by themselves.")]
    if "openapi" in document:
        return [
            Finding(
                "/openapi",
                f"it is of OpenAPI {document['openapi']!r:.30}; 3.0, 3.1 and 3.2 are read",
                "Write one of these.",
            )
        ]
    return [Finding("", "it does not say its version", 'Begin it with "openapi": "3.1.0".')]


# -- references -----------------------------------------------------------------------------------


def walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Every node with its pointer, but nothing below what holds data. Raises ``Unreadable`` beyond the budget."""
    waiting: list[tuple[str, Any, int, bool]] = [("", document, 0, False)]
    seen = 0
    while waiting:
        pointer, node, depth, names = waiting.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST_NODES:
            raise Unreadable(f"it is nested deeper than {DEEPEST} levels, or has over {MOST_NODES:,} parts")
        yield pointer, node
        if isinstance(node, Mapping):
            for key, value in reversed(list(node.items())):
                if not names and (key in _DATA or key.startswith("x-")):
                    continue
                waiting.append((f"{pointer}/{escape(key)}", value, depth + 1, not names and key in _NAMES))
        elif isinstance(node, list):
            waiting += [(f"{pointer}/{n}", v, depth + 1, False) for n, v in reversed(list(enumerate(node)))]


def escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _reference_faults(document: Mapping[str, Any]) -> Iterator[Finding]:
    anchors = None
    try:
        for pointer, node in walk(document):
            if not isinstance(node, Mapping):
                continue
            for word in ("$ref", "$dynamicRef", "operationRef", "externalValue", "$id"):
                target = node.get(word)
                if not isinstance(target, str) or pointer.endswith(f"/{word}"):
                    continue
                at = f"{pointer}/{word}"
                if not target.startswith("#"):
                    yield Finding(
                        at,
                        f"it refers to {target:.200}, outside the document",
                        "Put what it refers to under components and refer to it by #/components/...",
                    )
                elif word != "$id":
                    if not target.startswith("#/") and target != "#":
                        anchors = _anchors(document) if anchors is None else anchors
                    why = _broken(document, target, anchors or frozenset())
                    if why:
                        yield Finding(at, f"it refers to {target:.200}, {why}", "Refer to what is there.")
    except Unreadable as exc:
        yield Finding("", str(exc), "Say it in fewer parts.")


def _anchors(document: Any) -> frozenset[str]:
    words = ("$anchor", "$dynamicAnchor")
    return frozenset(
        str(node[word])
        for _, node in walk(document)
        if isinstance(node, Mapping)
        for word in words
        if word in node
    )


def _broken(document: Any, target: str, anchors: frozenset[str]) -> str:
    seen = set()
    while True:
        if target in seen:
            return "and from there back to itself"
        seen.add(target)
        if target != "#" and not target.startswith("#/"):
            return "" if target[1:] in anchors else "which is not there"
        try:
            node = resolve(document, target)
        except LookupError:
            return "which is not there"
        further = node.get("$ref") if isinstance(node, Mapping) else None
        if not isinstance(further, str) or not further.startswith("#"):
            return ""
        target = further


def resolve(document: Any, reference: str) -> Any:
    """What a local reference ``#/...`` stands for. Raises ``LookupError``."""
    node = document
    for part in unquote(reference).split("/")[1:]:
        key = unescape(part)
        if isinstance(node, list):
            if not (key.isascii() and key.isdigit()):
                raise LookupError(key)
            node = node[int(key)]
        elif isinstance(node, Mapping):
            node = node[key]
        else:
            raise LookupError(key)
    return node


def follow(document: Any, node: Any) -> Any:
    """``node``, or what it refers to; for a document whose references were found to be good."""
    while isinstance(node, Mapping) and isinstance(node.get("$ref"), str) and node["$ref"].startswith("#/"):
        node = resolve(document, node["$ref"])
    return node


# -- validity --------------------------------------------------------------------------------------


def _invalid(document: Mapping[str, Any]) -> list[Finding]:
    shared = interned(document)
    try:
        found = list(islice(_validator(version_of(document))(shared), MOST_FINDINGS))
    except Exception as exc:  # the validator trips over what it did not expect
        what = f"it cannot be validated: {type(exc).__name__}: {exc!s:.300}"
        return [Finding("", what, "See what stands there in the specification of OpenAPI.")]
    return _findings(shared, found)


@cache
def _validator(version: str) -> Callable[[Any], Iterator[Any]]:
    import openapi_spec_validator as library
    from jsonschema_path import SchemaPath

    kind = {
        "3.0": library.OpenAPIV30SpecValidator,
        "3.1": library.OpenAPIV31SpecValidator,
        "3.2": library.OpenAPIV32SpecValidator,
    }[version]

    def validate(document: Any) -> Iterator[Any]:
        # No handler for any scheme: whatever a reference says, nothing is fetched.
        errors: Iterator[Any] = kind(SchemaPath.from_dict(document, handlers={})).iter_errors()
        return errors

    return validate


def interned(document: Any) -> Any:
    """The same document in which equal parts are one object.

    The validator looks at an object once, known by its identity, and documents say the same schemas over and over: this
    makes it several times as fast and finds the same.
    """
    pool: dict[Any, Any] = {}

    def share(node: Any) -> Any:
        if isinstance(node, Mapping):
            made: Any = {k: share(v) for k, v in node.items()}
            key: Any = ("{", *((k, _mark(v)) for k, v in made.items()))
        elif isinstance(node, list):
            made = [share(v) for v in node]
            key = ("[", *map(_mark, made))
        else:
            return node
        return pool.setdefault(key, made)

    return share(document)


def _mark(value: Any) -> Any:
    """Tells apart what JSON tells apart: 1, 1.0 and true are equal to Python."""
    return id(value) if isinstance(value, dict | list) else (type(value), value)


_OPERATION = re.compile(r"for '(\w+)'(?: operation)? in '(/.*)' (?:is|was) not")
_SEE = "See what may stand there in the specification of OpenAPI."


def _findings(document: Any, errors: Iterable[Any]) -> list[Finding]:
    placed: list[Finding] = []
    unplaced: list[Finding] = []
    for error in errors:
        path, message = [str(p) for p in error.absolute_path], error.message
        if named := _OPERATION.search(message):
            path = ["paths", named[2], named[1]]
        elif error.instance is document and path:
            path, message = _deepest(document, path) or (path, message)
        elif not named:  # a schema somewhere inside: its path starts there
            path = _inside(document, error.instance, path)
        finding = Finding(
            "".join(f"/{escape(p)}" for p in path), f"{message.partition(chr(10))[0]:.300}", _SEE
        )
        (placed if path and _at(document, finding.pointer) is not None else unplaced).append(finding)
    return list(dict.fromkeys(placed)) or unplaced


def _inside(document: Any, instance: Any, path: list[str]) -> list[str]:
    """Where ``instance`` lies: an object by its identity, anything else as what lies at ``path`` below some object."""
    below = "".join(f"/{escape(p)}" for p in path)
    for pointer, node in walk(document):
        if isinstance(instance, dict | list):
            if node is instance:
                return [unescape(p) for p in pointer.split("/")[1:]]
        elif path and isinstance(node, Mapping) and path[0] in node and _at(node, below) == instance:
            return [*(unescape(p) for p in pointer.split("/")[1:]), *path]
    return path


def _deepest(document: Any, path: list[str]) -> tuple[list[str], str] | None:
    """What is wrong below ``path``, told by a validator that says more and is slower, so it is given this part alone."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from openapi_spec_validator import schemas

    schema = dict(
        {"3.0": schemas.schema_v30, "3.1": schemas.schema_v31, "3.2": schemas.schema_v32}[
            version_of(document)
        ]
    )
    kept = _pruned(document, path) | {k: document[k] for k in ("openapi", "info") if k in document}
    errors = validator_for(schema)(schema).iter_errors(kept)
    inside = [e for e in errors if [str(p) for p in e.absolute_path][: len(path)] == path]
    found = best_match(iter(inside))
    return None if found is None else ([str(p) for p in found.absolute_path], found.message)


def _pruned(node: Any, path: list[str]) -> Any:
    """``node`` with nothing but what lies on ``path`` and below its end; lists keep their length before it."""
    if not path:
        return node
    if isinstance(node, list):
        index = int(path[0])
        return [*node[:index], _pruned(node[index], path[1:])]
    return {path[0]: _pruned(node[path[0]], path[1:])}


def _at(document: Any, pointer: str) -> Any:
    try:
        return resolve(document, f"#{pointer}")
    except LookupError:
        return None
