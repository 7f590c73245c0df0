"""What validators of OpenAPI let through: pure functions of a document that ``openapi_rules.faults`` found nothing in.

Each rule is a generator of findings; ``RULES`` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from .openapi_rules import METHODS, MOST_FINDINGS, Finding, escape, follow, version_of, walk

Document = Mapping[str, Any]


def blind_spots(document: Document) -> list[Finding]:
    """Every finding of every rule, up to a limit."""
    return list(islice(chain.from_iterable(rule(document) for rule in RULES), MOST_FINDINGS))


def operations(document: Document) -> Iterator[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """(pointer, method, path, path item, operation) of each."""
    for path, item in (document.get("paths") or {}).items():
        item = follow(document, item)
        if not path.startswith("/") or not isinstance(item, Mapping):
            continue
        for method in METHODS:
            if isinstance(item.get(method), Mapping):
                yield f"/paths/{escape(path)}/{method}", method, path, item, item[method]


def false_examples(document: Document) -> Iterator[Finding]:
    """An example that its own schema refuses: whoever copies it is refused."""
    for pointer, node in walk(document):
        if not isinstance(node, Mapping):
            continue
        schemas = [node["schema"]] if "schema" in node else []
        named = node.get("examples")
        if schemas and isinstance(named, Mapping):
            for name, example in named.items():
                example = follow(document, example)
                if isinstance(example, Mapping) and "value" in example:
                    at = f"{pointer}/examples/{escape(name)}/value"
                    yield from _false(document, schemas[0], example["value"], at)
        if schemas and "example" in node:
            yield from _false(document, schemas[0], node["example"], f"{pointer}/example")
        if _is_schema(pointer):
            if "example" in node:
                yield from _false(document, node, node["example"], f"{pointer}/example")
            if isinstance(named, list):
                for number, value in enumerate(named):
                    yield from _false(document, node, value, f"{pointer}/examples/{number}")


def _false(document: Document, schema: Any, value: Any, at: str) -> Iterator[Finding]:
    error = schema_error(document, schema, value)
    if error:
        mend = "Mend the example, or the schema where the example is right."
        yield Finding(at, f"the example does not fit its schema: {error}", mend)


def schema_error(document: Document, schema: Any, value: Any) -> str:
    """Why ``schema``, which stands in ``document``, refuses ``value``; an empty text where it does not."""
    import openapi_schema_validator as library
    from jsonschema.exceptions import best_match
    from referencing.jsonschema import DRAFT202012

    kind = {
        "3.0": library.OAS30Validator,
        "3.1": library.OAS31Validator,
        "3.2": library.OAS32Validator,
    }[version_of(document)]
    if not isinstance(schema, Mapping | bool):
        return ""
    # The document is the root that "#/..." starts from; nothing outside it can be reached.
    from referencing import Registry

    root: Any = Registry().with_resource("", DRAFT202012.create_resource(document))
    validator = kind(schema, _resolver=root.resolver(), format_checker=kind.FORMAT_CHECKER)
    error = best_match(validator.iter_errors(value))
    if error is None:
        return ""
    place = "".join(f"/{escape(str(p))}" for p in error.absolute_path)
    return f"{place + ': ' if place else ''}{error.message:.200}"


_SCHEMA = re.compile(
    r"/(schema|itemSchema|items|additionalProperties|not|if|then|else|contains|propertyNames"
    r"|(properties|patternProperties|\$defs|dependentSchemas)/[^/]+|(allOf|anyOf|oneOf|prefixItems)/\d+)$"
    r"|^/components/schemas/[^/]+$"
)


def _is_schema(pointer: str) -> bool:
    return _SCHEMA.search(pointer) is not None


def undefined_security(document: Document) -> Iterator[Finding]:
    """A security scheme that is required and defined nowhere: nobody can know how to be let in."""
    defined = set((document.get("components") or {}).get("securitySchemes") or {})
    places = [("", document), *((p, o) for p, *_, o in operations(document))]
    for pointer, holder in places:
        for number, need in enumerate(holder.get("security") or []):
            for name in need:
                if name not in defined and not (
                    version_of(document) == "3.2" and ("/" in name or "#" in name)
                ):
                    yield Finding(
                        f"{pointer}/security/{number}",
                        f"the security scheme '{name}' is not defined",
                        "Define it under components/securitySchemes.",
                    )


_BRACES = re.compile(r"\{([^{}]*)\}")


def clashing_paths(document: Document) -> Iterator[Finding]:
    """Two templates that differ in the names of their parameters alone: which one is meant?"""
    seen: dict[str, str] = {}
    for path in document.get("paths") or {}:
        shape = _BRACES.sub("{}", path)
        if shape in seen:
            what = f"'{path}' and '{seen[shape]}' are the same path with other names"
            yield Finding(f"/paths/{escape(path)}", what, "Leave one of them.")
        seen.setdefault(shape, path)
        names = _BRACES.findall(path)
        if len(set(names)) < len(names):
            yield Finding(f"/paths/{escape(path)}", "it names a parameter twice", "Give each its own name.")
        if _BRACES.sub("", path).count("{") or _BRACES.sub("", path).count("}"):
            yield Finding(f"/paths/{escape(path)}", "its braces do not pair", "Write {name}.")


def leftovers(document: Document) -> Iterator[Finding]:
    """Words of OpenAPI 3.0 in a later document, where they are no error and mean nothing."""
    if version_of(document) == "3.0":
        return
    for pointer, node in walk(document):
        if not _is_schema(pointer) or not isinstance(node, Mapping):
            continue
        if "nullable" in node:
            mend = 'Write "type": ["string", "null"].'
            yield Finding(f"{pointer}/nullable", "nullable means nothing since OpenAPI 3.1", mend)
        for word in ("exclusiveMinimum", "exclusiveMaximum"):
            if isinstance(node.get(word), bool):
                mend = f"Write the bound itself: {word}: 0."
                yield Finding(f"{pointer}/{word}", f"{word} is a number since OpenAPI 3.1", mend)


def early_words(document: Document) -> Iterator[Finding]:
    """What stands beside a reference in a schema of OpenAPI 3.0 is not read."""
    if version_of(document) != "3.0":
        return
    for pointer, node in walk(document):
        if _is_schema(pointer) and isinstance(node, Mapping) and "$ref" in node:
            beside = sorted(set(node) - {"$ref", "description", "summary", "title"})
            if beside:
                what = f"'{beside[0]}' beside $ref is not read in OpenAPI 3.0"
                yield Finding(f"{pointer}/{escape(beside[0])}", what, "Write it and the $ref into allOf.")


_MEDIA_TYPE = re.compile(r"/content/[^/]+$|^/components/mediaTypes/[^/]+$")


def bad_item_schemas(document: Document) -> Iterator[Finding]:
    """``itemSchema`` of OpenAPI 3.2, which the validator does not look into."""
    if version_of(document) != "3.2":
        return
    import openapi_schema_validator as library
    from jsonschema.exceptions import SchemaError

    for pointer, node in walk(document):
        if pointer.endswith("/itemSchema"):
            try:
                library.OAS32Validator.check_schema(node)
            except SchemaError as exc:
                yield Finding(pointer, f"it is no schema: {exc.message:.200}", "Write a JSON Schema.")
        elif isinstance(node, Mapping) and "itemSchema" in node and not _MEDIA_TYPE.search(pointer):
            what = "itemSchema is a word of media types alone"
            yield Finding(f"{pointer}/itemSchema", what, "Write it beside schema.")


def impossible_schemas(document: Document) -> Iterator[Finding]:
    """Schemas that nothing fits, and patterns that are none."""
    pairs = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"))
    for pointer, node in walk(document):
        if not _is_schema(pointer) or not isinstance(node, Mapping):
            continue
        for low, high in (*pairs, ("minProperties", "maxProperties")):
            a, b = node.get(low), node.get(high)
            if isinstance(a, int | float) and isinstance(b, int | float) and a > b:
                yield Finding(pointer, f"{low} {a} lies above {high} {b}: nothing fits", "Mend the bounds.")
        kind, values = node.get("type"), node.get("enum")
        if isinstance(kind, str) and isinstance(values, list) and values:
            bare = {k: v for k, v in node.items() if k in ("type", "nullable")}
            if all(schema_error(document, bare, v) for v in values):
                yield Finding(
                    f"{pointer}/enum", f"none of it is of the type {kind}", "Mend the type or the values."
                )


def dangling_names(document: Document) -> Iterator[Finding]:
    """Names that stand for nothing: of operations in links, of variables in server addresses, of schemas in mappings."""
    ids = {o.get("operationId") for *_, o in operations(document)}
    names = set((document.get("components") or {}).get("schemas") or {})
    for pointer, node in walk(document):
        if not isinstance(node, Mapping):
            continue
        link = node.get("operationId")
        if re.search(r"/links/[^/]+$", pointer) and link is not None and link not in ids:
            yield Finding(
                f"{pointer}/operationId", f"there is no operation '{link}'", "Name one that is there."
            )
        if re.search(r"/servers/\d+$", pointer):
            for name in _BRACES.findall(str(node.get("url", ""))):
                if name not in (node.get("variables") or {}):
                    mend = "Define it under variables, with a default."
                    yield Finding(f"{pointer}/url", f"the variable '{name}' is not defined", mend)
        if pointer.endswith("/discriminator") and isinstance(node.get("mapping"), Mapping):
            for value, target in node["mapping"].items():
                name = str(target).removeprefix("#/components/schemas/")
                if name not in names:
                    at = f"{pointer}/mapping/{escape(value)}"
                    yield Finding(at, f"there is no schema '{target}'", "Name one under components/schemas.")


def ignored_headers(document: Document) -> Iterator[Finding]:
    """Headers that may not be declared as parameters: tools leave them out without a word."""
    for pointer, _, _, item, operation in operations(document):
        for owner in (item, operation):
            for parameter in owner.get("parameters") or []:
                said = follow(document, parameter)
                name = str(said.get("name", "")).lower()
                if said.get("in") == "header" and name in ("accept", "content-type", "authorization"):
                    what = f"the header {said['name']} is not read from parameters"
                    mend = "Say it by content, or by a security scheme."
                    yield Finding(f"{pointer}/parameters", what, mend)


RULES: tuple[Callable[[Document], Iterator[Finding]], ...] = (
    false_examples,
    undefined_security,
    clashing_paths,
    leftovers,
    early_words,
    bad_item_schemas,
    impossible_schemas,
    dangling_names,
    ignored_headers,
)
