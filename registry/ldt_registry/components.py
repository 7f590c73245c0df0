"""``component.json``, read from the bytes of a wheel: what the components offer and need. Nothing is imported.

The ports are read by the core's own classes, so that a twin cannot read them otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

import ldt_core as ldt

from .metadata import require_address
from .names import hidden, normalise, show
from .problems import Malformed, Problem, Refused

CONTRACT = ldt.CONTRACT
LARGEST = 4 * 2**20
DEEPEST = 60
MOST = 500
Kind = Literal["source", "model", "simulator", "viewer"]
Deployment = Literal["on-premise", "hosted", "saas"]
Conformance = Literal["initial", "partial", "full"]
KINDS: tuple[str, ...] = get_args(Kind)
_TABLE, _GRID = TypeAdapter(ldt.Port), TypeAdapter(ldt.GridPort)
_FIX = "Write it anew with `ldt manifest`, and build the wheel again."


def _read_port(plain: Any) -> ldt.Port | ldt.GridPort:
    if not isinstance(plain, Mapping):
        raise PydanticCustomError("port", "a port is an object")
    adapter: TypeAdapter[Any] = _GRID if plain.get("shape") == "grid" else _TABLE
    found: ldt.Port | ldt.GridPort = adapter.validate_python({k: v for k, v in plain.items() if k != "shape"})
    return found


def _line(text: Any) -> str:
    if not isinstance(text, str) or len(text) > 200 or "\n" in text or hidden(text):
        raise PydanticCustomError("line", "not a line of up to 200 visible characters")
    return text


def _address(text: Any) -> str:
    try:
        return require_address(str(text), "It")
    except Problem:
        raise PydanticCustomError("address", "not an https, http or mailto address") from None


Port = Annotated[ldt.Port | ldt.GridPort, BeforeValidator(_read_port)]
Line = Annotated[str, BeforeValidator(_line)]
Address = Annotated[str, BeforeValidator(_address)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]


class Part(BaseModel):
    """What is unknown is left out: a newer core may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class About(BaseModel):
    """What the publisher says of a distribution beyond its code: for those who choose and for those who answer for it.

    ``mims`` maps a Minimal Interoperability Mechanism to how far it is met. ``open_equivalent`` names what is open and does
    the same, for a closed product. ``scripts`` lists the programs that the wheel installs. Manufacturer to ``conformity``
    are what the Cyber Resilience Act asks for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    standards: tuple[Line, ...] = Field((), max_length=100)
    mims: dict[Annotated[str, Field(pattern=r"^MIM-?\d{1,2}$")], Conformance] = Field({}, max_length=30)
    deployment: tuple[Deployment, ...] = ()
    open_equivalent: Line | None = None
    self_assessment: Address | None = None
    scripts: tuple[Line, ...] = ()
    manufacturer: Line | None = None
    steward: Line | None = None
    security_contact: Address | None = None
    disclosure_policy: Address | None = None
    support_until: date | None = None
    conformity: Address | None = None


class Component(Part):
    """One component. ``inputs`` and ``outputs`` are the core's ports; ``params`` is a JSON Schema."""

    id: Id
    kind: Kind
    contract: int
    title: Line
    description: str = Field("", max_length=100_000)
    inputs: dict[Line, Port] = Field({}, max_length=MOST)
    outputs: dict[Line, Port] = Field({}, max_length=MOST)
    params: dict[str, Any] = {}
    capabilities: tuple[Line, ...] = Field((), max_length=100)
    processes: tuple[Line, ...] = Field((), max_length=100)
    hosts: tuple[Line, ...] = Field((), max_length=100)
    stochastic: bool = False
    deterministic: bool = True


class Manifest(Part):
    """The whole file."""

    contract: int
    distribution: Line
    version: Line
    components: tuple[Component, ...] = Field(max_length=MOST)
    about: About = About()


def read_components(content: bytes, name: str, version: str) -> tuple[Manifest, dict[str, Any]]:
    """The manifest of a distribution, checked, and as JSON. Raises Malformed or Refused, naming each place."""
    plain = read_json(content, "component.json")
    said = plain.get("contract")
    if said != CONTRACT:
        raise Refused(
            f"component.json is written for contract {show(str(said)[:20])}; this registry knows {CONTRACT}.",
            code="contract",
            fix="Publish where that contract is known, or ask the operator to update the registry.",
        )
    try:
        found = Manifest.model_validate(plain)
    except ValidationError as exc:
        raise _told(exc, "component.json") from exc
    _check_identity(found, name, version)
    for component in found.components:
        if component.contract != CONTRACT:
            raise Refused(
                f"The component {component.id} is written for contract {component.contract}.",
                code="contract",
                fix=_FIX,
            )
        for reference in _references(component.params):
            if not reference.startswith("#"):
                raise Refused(
                    f"The parameters of {component.id} refer to {show(reference[:200])}, outside the file.",
                    code="far-reference",
                    fix=_FIX,
                )
    return found, plain


def _check_identity(found: Manifest, name: str, version: str) -> None:
    if normalise(found.distribution) != normalise(name) or found.version != version:
        raise Malformed(
            f"component.json is that of {show(found.distribution)} {show(found.version)}, METADATA that of {name} {version}.",
            code="manifest-differs",
            fix=_FIX,
        )
    ids = [c.id for c in found.components]
    if len(set(ids)) < len(ids):
        raise Malformed("component.json lists an id twice.", code="bad-manifest", fix=_FIX)


def read_json(content: bytes, what: str, largest: int = LARGEST) -> dict[str, Any]:
    """A JSON object of a stranger: bounded in size and depth, without keys that stand twice, without ``NaN``. Raises Malformed."""
    if len(content) > largest:
        raise Refused(f"{what} is larger than {largest} bytes.", code="bad-json", fix="Make it smaller.")
    try:
        plain = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
        if isinstance(plain, dict) and _depth(plain) <= DEEPEST:
            return plain
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"{what} is no JSON: {str(exc)[:200]}", code="bad-json", fix=_FIX) from exc
    raise Malformed(f"{what} is no JSON object of up to {DEEPEST} levels.", code="bad-json", fix=_FIX)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    if any("\0" in k or (isinstance(v, str) and "\0" in v) for k, v in pairs):
        raise ValueError("a text holds NUL, which PostgreSQL cannot keep")
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _depth(plain: Any) -> int:
    deepest, waiting = 0, [(plain, 1)]
    while waiting:
        value, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting += [(v, depth + 1) for v in inner]
    return deepest


def _references(plain: Any) -> Iterator[str]:
    waiting = [plain]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from (str(value[k]) for k in ("$ref", "$dynamicRef") if isinstance(value.get(k), str))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _told(exc: ValidationError, what: str) -> Malformed:
    errors = exc.errors(include_url=False, include_input=False, include_context=False)
    listed = "; ".join(
        f"{show('.'.join(map(str, e['loc']))[:200])[1:-1]}: {e['msg'][:200]}" for e in errors[:10]
    )
    more = f" and {len(errors) - 10} more" if len(errors) > 10 else ""
    return Malformed(f"{what} cannot be read: {listed}{more}.", code="bad-manifest", fix=_FIX)
