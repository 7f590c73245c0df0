"""What may stand in a twin file: its sections as frozen dataclasses, and the check of data against them.

The docstring under a field is what an editor shows when the mouse rests on the key: these classes
are the one source of the checks and of ``docs/reference/twin.schema.json``. How single values are
written is in ``twin_values``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from .errors import nearest
from .twin_sweeps import Sweep, one_design
from .twin_values import (
    Bbox,
    ColumnRef,
    ComponentName,
    Cpus,
    Crs,
    End,
    Init,
    Instant,
    Name,
    Number,
    OrNothing,
    Parents,
    PortRef,
    Reduce,
    ScenarioName,
    Size,
    Step,
    Target,
    Text,
    Unit,
    Version,
    Where,
    Whole,
    Word,
    Zone,
    show,
)
from .twin_yaml import KeyPath

_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)
Content = Annotated[Mapping[str, Any], OrNothing()]


@dataclass(frozen=True, kw_only=True)
class Area:
    """The place that is described."""

    __pydantic_config__ = _SHAPE

    id: Name
    """Short name of the twin: letters, digits, - and _."""
    title: Text = ""
    """Name for people."""
    crs: Crs
    """Projected coordinate reference system in metres: an authority code such as EPSG:25832, or PROJJSON."""
    bbox: Bbox | None = None
    """[min x, min y, max x, max y] in metres of crs."""
    description: Text = ""
    """What the twin covers, in sentences."""


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What the twin is for."""

    __pydantic_config__ = _SHAPE

    goal: Text = ""
    """The question or the aim, in one sentence."""
    owner: Text = ""
    """Who answers for the twin."""
    contact: Text = ""
    """How to reach the owner."""
    decision: Text = ""
    """The decision that the results serve."""
    limits: Text = ""
    """What the results must not be used for."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """The time that is computed: start <= t < end, in UTC."""

    __pydantic_config__ = _SHAPE

    start: Instant
    """First instant, with its offset from UTC: 2026-03-02T05:00Z."""
    end: End
    """Instant after the last, with its offset from UTC."""
    zone: Zone = "UTC"
    """Time zone in which results are shown, such as Europe/Rome."""


@dataclass(frozen=True, kw_only=True)
class CheckpointRules:
    """When the state of a stage under way is saved, so that it goes on from there after a kill.

    Whichever comes first; {}: never.
    """

    __pydantic_config__ = _SHAPE

    every: Step | None = None
    """After so much of the twin's own time, such as 1h."""
    windows: Annotated[Whole, Field(ge=1)] | None = None
    """After so many windows, counted by the longest step of the stage."""
    seconds: Annotated[Number, Field(ge=0)] | None = None
    """After so many seconds of computing; seldom enough that saving takes a twentieth of the time at most."""


@dataclass(frozen=True, kw_only=True)
class RunRules:
    """How often and with what chance the twin runs."""

    __pydantic_config__ = _SHAPE

    seed: Annotated[Whole, Field(ge=0)] = 0
    """Start of all random draws; the same seed gives the same results."""
    replicates: Annotated[Whole, Field(ge=1)] = 1
    """How many times stochastic components run, each with draws of its own."""
    checkpoint: Annotated[CheckpointRules, OrNothing()] = CheckpointRules(seconds=60.0)
    """When states are saved; results do not depend on it. Where it is left out: {seconds: 60}."""


@dataclass(frozen=True, kw_only=True)
class ColumnEntry:
    """Meaning of a column that a file leaves open; it may not contradict what the file says."""

    __pydantic_config__ = _SHAPE

    quantity: Text | None = None
    """CF standard name, Smart Data Models attribute, or a private name x:..."""
    unit: Unit | None = None
    """UCUM code, such as km/h, ug/m3, Cel, {veh}/h or 1."""
    cell: Literal["point", "mean", "sum", "min", "max"] | None = None
    """How a value stands for its window."""
    range: tuple[Number, Number] | None = None
    """[lowest, highest] value that makes sense."""
    crs: Text | None = None
    """CRS of a geometry: an authority code, PROJJSON, or twin."""
    zone: Zone | None = None
    """Time zone in which the file's times are written."""
    description: Text | None = None
    """What the column holds, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a component needs while it runs. It decides what runs at the same time.

    A component in an environment of its own is held to its memory; the others are not.
    """

    __pydantic_config__ = _SHAPE

    memory: Size | None = None
    """Main memory, such as 512MiB or 4GiB."""
    cpus: Cpus | None = None
    """Processors that it keeps busy."""
    timeout: Step | None = None
    """Longest that one call may take, such as 10min; for a component in an environment of its own."""


@dataclass(frozen=True, kw_only=True)
class ComponentEntry:
    """One component of the twin."""

    __pydantic_config__ = _SHAPE

    use: Word
    """Id of the component (`ldt list`), or the https address of a remote one."""
    step: Step | None = None
    """Size of one advance, such as 60s or 15min."""
    isolate: Literal["auto", "never", "venv"] = "auto"
    """venv: in an environment of its own. never: in this one. auto: in this one where it is installed and fits."""
    package: Text | None = None
    """What offers it, for an environment of its own: a requirement such as ldt-model-x>=1.2, or a path from ./ on."""
    params: Content = field(default_factory=dict)
    """Its parameters (`ldt show ID`). Relative paths start at the twin file."""
    columns: Annotated[dict[str, ColumnEntry], OrNothing()] = field(default_factory=dict)
    """Meaning of columns that its file leaves open, by column name."""
    resources: Annotated[Resources, OrNothing()] = field(default_factory=Resources)
    """Memory and processors that it needs, for placing its tasks."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One output port to one input port."""

    __pydantic_config__ = _SHAPE

    source: Annotated[PortRef, Field(alias="from")]
    """The output port: component.port."""
    target: Annotated[PortRef, Field(alias="to")]
    """The input port: component.port."""
    when: Literal["now", "lag", "iterate"] = "now"
    """now: the same window, source first. lag: the last value complete by my start; cuts a loop.
    iterate: the same window, repeated until the values settle; closes a loop."""
    over_time: Text | None = None
    """How rows of several windows become one, such as mean, sum, min, max or last."""
    over_space: Text | None = None
    """How values come to other places, such as nearest or bilinear."""
    map: Text | None = None
    """File with a table that pairs the ids of the two entity sets."""
    init: Init = None
    """First value of a lag link; it fills the receiver's entities."""
    rename: Annotated[dict[Text, Text], OrNothing()] = field(default_factory=dict)
    """Receiver's column name for the source's: {source column: receiver column}."""
    merge: Literal["sum", "concat"] | None = None
    """How several links into one input are joined."""
    tolerance: Annotated[Number | None, Field(gt=0)] = None
    """Of an iterate link: change of its values from pass to pass, relative to their size, that counts as settled (1e-6)."""
    relaxation: Annotated[Number | None, Field(gt=0, le=1)] = None
    """Of an iterate link: share of the new value in what the next pass reads (1); less damps what oscillates."""
    passes: Annotated[Whole | None, Field(ge=1)] = None
    """Of an iterate link: how often a window is repeated at most (50)."""


@dataclass(frozen=True, kw_only=True)
class RecordRule:
    """How one port is recorded."""

    __pydantic_config__ = _SHAPE

    every: Step | None = None
    """Time between two recorded windows, such as 10s."""


@dataclass(frozen=True, kw_only=True)
class KpiDefinition:
    """A number that judges a scenario."""

    __pydantic_config__ = _SHAPE

    title: Text = ""
    """Name for people."""
    of: ColumnRef
    """What is judged: component.port.column."""
    where: Where = ()
    """Which rows count: column op value [and ...] with op < <= > >= == !=."""
    reduce: Reduce = field(default_factory=dict)
    """Reductions over time and space, applied in the order written."""
    weight: ColumnRef | None = None
    """Column that weighs the entities: component.port.column."""
    at: PortRef | None = None
    """Port whose places the values are taken to: component.port."""
    over_space: Text | None = None
    """How values come to those places, such as nearest or bilinear."""
    unit: Unit | None = None
    """UCUM code in which the value is given."""
    better: Literal["lower", "higher"] | None = None
    """The better side."""
    target: Target = None
    """The goal, in unit; met on the better side."""
    against: Literal["base"] | None = None
    """base: rows are compared with the baseline of the same seed."""
    description: Text = ""
    """What the number means, in sentences."""


@dataclass(frozen=True, kw_only=True)
class ViewDefinition:
    """What is to be shown of which runs."""

    __pydantic_config__ = _SHAPE

    use: Word
    """Id of a viewer (`ldt list`)."""
    title: Text = ""
    """Name for people."""
    description: Text = ""
    """What the view is for."""
    show: Annotated[tuple[ColumnRef, ...], OrNothing()] = ()
    """Ports or columns: [component.port.column, ...]."""
    runs: Annotated[tuple[ScenarioName, ...], OrNothing()] = ()
    """Scenarios, the baseline first; all where it is left out."""
    params: Content = field(default_factory=dict)
    """The viewer's parameters (`ldt show ID`)."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Where a scenario leaves another."""

    __pydantic_config__ = _SHAPE

    of: ScenarioName
    """The scenario that it leaves; its changes are taken over."""
    at: Instant
    """When it leaves it, with the offset from UTC: where a window of each component concerned ends."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Named changes to the twin."""

    __pydantic_config__ = _SHAPE

    title: Text = ""
    """Name for people."""
    description: Text = ""
    """What is changed and why."""
    extends: Annotated[Parents, OrNothing()] = ()
    """Scenarios whose changes it takes over: a name, or [name, ...]."""
    changes: Annotated[Mapping[str, Any], OrNothing(), Field(alias="set")] = field(default_factory=dict)
    """{component.params.NAME: value, component.step: 30s, run.seed: 7}; mappings merge, lists replace."""
    branch: Branch | None = None
    """Leave another scenario under way: until then this one is that one; what both set counts from then on."""


Scenarios = Annotated[dict[Name, Annotated[Scenario, OrNothing()]], OrNothing()]


@dataclass(frozen=True, kw_only=True)
class TwinFile:
    """A Local Digital Twin: a place, its components, how they are joined, and what is asked of them."""

    __pydantic_config__ = _SHAPE

    ldt: Version
    """Version of the file format: 1."""
    twin: Area
    """The place that is described."""
    purpose: Purpose = field(default_factory=Purpose)
    """What the twin is for."""
    time: Period
    """The time that is computed."""
    run: RunRules = field(default_factory=RunRules)
    """Seed and number of replicates."""
    components: Annotated[dict[ComponentName, ComponentEntry], OrNothing()]
    """Components by the name that they have in this twin."""
    connect: Annotated[tuple[Link, ...], OrNothing()] = ()
    """Links from output ports to input ports."""
    record: Annotated[dict[PortRef, RecordRule], OrNothing()] = field(default_factory=dict)
    """Ports that are recorded besides those that are recorded anyway, or more coarsely."""
    kpis: Annotated[dict[Name, KpiDefinition], OrNothing()] = field(default_factory=dict)
    """KPIs by name."""
    views: Annotated[dict[Name, ViewDefinition], OrNothing()] = field(default_factory=dict)
    """Views by name."""
    scenarios: Scenarios = field(default_factory=dict)
    """Scenarios by name. The baseline is the one called base, else the first."""
    sweeps: Annotated[dict[Name, Annotated[Sweep, AfterValidator(one_design)]], OrNothing()] = field(
        default_factory=dict
    )
    """Sweeps by name: many scenarios made from one by varying parameters."""


# --- checking ---------------------------------------------------------------------------------


class Problem(NamedTuple):
    """One thing that is wrong at a path of the file; ``key``: with the key, not with its value."""

    path: KeyPath
    code: str
    what: str
    fix: str
    key: bool = False


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    made: TypeAdapter[Any] = TypeAdapter[Any](kind)  # type: ignore[arg-type]
    return made


def shape(kind: Hashable, data: Any, names: Mapping[str, Any], at: KeyPath = ()) -> tuple[Any, list[Problem]]:
    """``data`` as a dataclass of this module, or None and everything that is wrong with it.

    ``names`` holds the ``components`` and ``scenarios`` that references may name; ``at`` is the
    path of ``data`` in the file.
    """
    try:
        return _adapter(kind).validate_python(data, context=names), []
    except ValidationError as exc:
        found = exc.errors(include_url=False)
        return None, [_explain(kind, error, at) for error in found]


_EXPECTED = {
    "string_type": "text",
    "string_too_short": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "dataclass_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "mapping_type": "a mapping of keys",
    "tuple_type": "a list",
}
_BOUND = {"ge": "at least", "lt": "less than"}


def _explain(kind: Hashable, error: Any, at: KeyPath) -> Problem:
    loc, value, why, context = error["loc"], error["input"], error["type"], error.get("ctx", {})
    on_key = bool(loc) and loc[-1] == "[key]"
    loc = loc[:-1] if on_key else loc
    path = (*at, *loc)
    last = loc[-1] if loc else ""
    if "fix" in context:
        return Problem(path, why, context["what"], context["fix"], on_key)
    if why == "missing" and isinstance(last, str):
        meaning = _schema_at(kind, loc).get("description", "")
        return Problem(path[:-1], "missing key", f"'{last}' is missing", f"add {last}: {meaning}", True)
    if why == "unexpected_keyword_argument":
        fix = nearest(last, _schema_at(kind, loc[:-1]).get("properties", {}))
        return Problem(path, "unknown key", f"{show(last)} is not a key here", fix, True)
    if why == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        what = f"{show(value)} is none of {', '.join(allowed)}"
        fix = nearest(str(value), allowed) if isinstance(value, str) else f"write {allowed[0]}"
    elif why in _EXPECTED:
        what = f"{show(value)} stands where {_EXPECTED[why]} is read"
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fix = f'put it in quotes: "{value}"' if why == "string_type" and number else f"write {_EXPECTED[why]}"
    elif why in ("missing", "too_long"):  # of a list of a fixed length
        loc = loc[:-1] if why == "missing" else loc
        size = _schema_at(kind, loc).get("minItems")
        path, what, fix = (*at, *loc), f"the list does not have {size} values", f"write {size} values"
    else:
        bound = next((f"{word} {context[name]}" for name, word in _BOUND.items() if name in context), "")
        what = f"{show(value)} is not {bound}" if bound else f"{show(value)}: {error['msg']}"
        fix = f"write a number of {bound}" if bound else "write another value"
    return Problem(path, "bad value", what, fix, on_key)


def _schema_at(kind: Hashable, loc: KeyPath) -> dict[str, Any]:
    """What the JSON Schema says of a place."""
    root = _json_schema(kind)
    here = _follow(root, root)
    for part in loc:
        named = here.get("properties", {}).get(part)
        any_name = [*here.get("patternProperties", {}).values(), here.get("additionalProperties")]
        below = here.get("items") if isinstance(part, int) else named or any_name[0]
        here = _follow(root, below if isinstance(below, dict) else {})
    return here


def _follow(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference, or the first of several, leads to; its own description wins."""
    while "anyOf" in schema or "$ref" in schema:
        name = schema.get("$ref", "").rpartition("/")[2]
        rest = {k: v for k, v in schema.items() if k == "description"}
        schema = (root["$defs"][name] if name else schema["anyOf"][0]) | rest
    return schema


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@cache
def _json_schema(kind: Hashable) -> dict[str, Any]:
    schema = _adapter(kind).json_schema(schema_generator=_Generator)
    _close(schema)
    return schema


def _close(schema: Any) -> None:
    """Refuse keys that match none of the patterns, as the dataclasses do."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)


def twin_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the twin file, with a sentence for every key: for editors.

    It describes the file once ``${NAME}`` is filled in; what needs more than one place of the file
    (references, conditions, the CRS) is checked by ``load_twin`` alone.
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Local Digital Twin file"}
    return _json_schema(TwinFile) | head
