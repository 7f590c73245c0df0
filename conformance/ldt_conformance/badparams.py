"""Parameters that a schema refuses, made from the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

# Nothing that a reader of parameters takes for a number, a text, a file or a list of them.
_WRONG_TYPES: tuple[Any, ...] = ({"x-no-such-key": [None]}, [[{"x": 1}]])


def whole(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The schema of one property, with the definitions that it may refer to."""
    return {**schema["properties"][name], "$defs": schema.get("$defs", {})}


def accepts(schema: Mapping[str, Any], value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def bad_values(schema: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Values that the property ``name`` does not allow, with what is wrong: its bounds first, then another type."""
    described = whole(schema, name)
    for what, value in _beyond(_parts(described)):
        if not accepts(described, value):
            yield what, value
    wrong = next((v for v in _WRONG_TYPES if not accepts(described, v)), None)
    if wrong is not None:
        yield "another type", wrong


def _parts(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema itself, what it refers to and its alternatives."""
    found, waiting = [], [described]
    while waiting:
        part = waiting.pop(0)
        found.append(part)
        ref = str(part.get("$ref", ""))
        if ref.startswith("#/$defs/"):
            waiting.append(described["$defs"][ref.removeprefix("#/$defs/")])
        for key in ("anyOf", "oneOf", "allOf"):
            waiting.extend(part.get(key, ()))
    return found


def _beyond(parts: list[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Just beyond every bound that is stated."""
    for part in parts:
        whole_numbers = part.get("type") == "integer"
        for key, sign in (("minimum", -1), ("maximum", 1)):
            if key in part:
                yield (
                    f"beyond its {key}",
                    part[key] + sign * (1 if whole_numbers else max(1.0, abs(part[key]))),
                )
        for key in ("exclusiveMinimum", "exclusiveMaximum"):
            if key in part:
                yield f"at its {key}", part[key]
        if "enum" in part:
            yield "none of its choices", "\u2603 no such choice"
        if part.get("minLength"):
            yield "too short", ""
        if "maxLength" in part:
            yield "too long", "x" * (part["maxLength"] + 1)
        if "pattern" in part:
            yield "another pattern", "\u2603 no such pattern"
        if part.get("minItems"):
            yield "too few items", []
