"""How single values of a twin file are written, and what is wrong where they are not.

Each type is ``Annotated[type, check, schema]``. A check raises ``refuse(code, what, fix)``; it is
told the names that the file defines by the validation context: ``components`` and ``scenarios``,
or None where those sections cannot be read.
"""

from __future__ import annotations

import re
import warnings
import zoneinfo
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from .errors import LdtError, nearest
from .interfaces import parse_duration
from .units import check_unit

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_PORT = r"[A-Za-z][A-Za-z0-9_-]*\.[A-Za-z][A-Za-z0-9_-]*"
_REF = rf"^{_PORT}(\.\S.*)?$"
REDUCTIONS = Literal["sum", "mean", "max", "min", "last", "share", "duration", "energetic"]

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
_TOKEN = re.compile(r"""\s*(?:(<=|>=|==|!=|<|>)|'([^']*)'|"([^"]*)"|([^\s<>=!'"]+)|(\S))""")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def refuse(code: str, what: str, fix: str = "") -> PydanticCustomError:
    """The error of a check; ``what`` should begin with the value that is refused."""
    return PydanticCustomError(code, "{what}", {"what": what, "fix": fix})


def show(value: Any) -> str:
    """A value as a message quotes it: kind and text, cut where it is long."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
    text = text if len(text) <= 40 else text[:37] + "..."
    return f"'{text}'" if isinstance(value, str) else text


def _text(value: Any, example: str) -> str:
    if not isinstance(value, str):
        raise refuse("bad value", f"{show(value)} stands where text is read", f"write for example {example}")
    return value


def written(
    check: Callable[..., Any], schema: Mapping[str, Any], type: str | None = "string"
) -> tuple[Any, Any]:
    """A check that replaces pydantic's own, and what the JSON Schema says in its place."""
    return PlainValidator(check), WithJsonSchema({"type": type, **schema} if type else dict(schema))


class OrNothing:
    """Marks a mapping or list whose key may stand without a value (all of it commented out)."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        inner = handler(source)
        empty: Callable[[], Any] = list if inner["type"] == "tuple" else dict
        return core_schema.no_info_before_validator_function(lambda v: empty() if v is None else v, inner)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "null"}]}


# --- plain values -----------------------------------------------------------------------------

Text = Annotated[str, Field(strict=True)]
Word = Annotated[str, Field(strict=True, min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True, lt=2**63)]


def _version(value: Any) -> int:
    if value is not True and value == 1 and isinstance(value, int):
        return 1
    newer = isinstance(value, int) and value > 1
    raise refuse(
        "file version",
        f"this file says ldt: {show(value)}; this version of ldt-core reads ldt: 1",
        "install a newer ldt-core" if newer else "write ldt: 1",
    )


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        fix = "begin with a letter; use at most 64 letters, digits, - and _ (no dots, no spaces)"
        raise refuse("bad value", f"{show(value)} is not a name", fix)
    return value


def _component_name(value: Any) -> str:
    if value == "run":
        raise refuse(
            "bad value", "a component cannot be called 'run': scenarios set run.seed", "choose another name"
        )
    return _name(value)


def _step(value: Any) -> int:
    try:
        micros = parse_duration(_text(value, "15min"))
    except (ValueError, OverflowError) as exc:
        if isinstance(exc, PydanticCustomError):
            raise
        fix = "write for example 30s, 15min, 1h or 1d (m is metres)"
        raise refuse("bad value", f"{show(value)} is not a duration", fix) from None
    if not 0 < micros < 2**62:
        raise refuse(
            "bad value", f"{show(value)} is not longer than nothing or too long", "write for example 15min"
        )
    return micros


def _instant(value: Any) -> np.datetime64:
    match = _INSTANT.fullmatch(_text(value, "2026-03-02T05:00Z"))
    try:
        local = datetime.fromisoformat(f"{match[1]}T{match[2]}") if match else None
    except ValueError:
        local = None
    if match is None or local is None:
        fix = "write date, time and offset, for example 2026-03-02T05:00Z or 2026-03-02T06:00+01:00"
        raise refuse("bad value", f"{show(value)} is not an instant", fix)
    if match[5] is None:
        at = f"{match[1]}T{match[2]}"
        fix = f"write {at}Z if it is UTC, else the offset, for example {at}+01:00"
        raise refuse("bad value", f"{show(value)} says no offset from UTC", fix)
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[5].upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        fix = "correct the date or the offset, which is written +01:00"
        raise refuse("bad value", f"{show(value)} is not an instant in UTC", fix) from None
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _end(value: Any, info: ValidationInfo) -> np.datetime64:
    end, start = _instant(value), info.data.get("start")
    if start is not None and end <= start:
        raise refuse(
            "bad value", f"the end {show(value)} is not after the start", "write an end after the start"
        )
    return end


def _zone(value: Any) -> str:
    name = _text(value, "Europe/Rome")
    known = zoneinfo.available_timezones()  # empty where the machine has no zone data
    if known and name not in known:
        places = [z for z in known if z.rpartition("/")[2].lower() == name.rpartition("/")[2].lower()]
        fix = f"did you mean '{sorted(places)[0]}'?" if places else "write a zone such as Europe/Rome"
        raise refuse("bad value", f"{show(name)} is not a time zone", fix)
    return name


def _unit(value: Any) -> str:
    code = _text(value, "km/h")
    try:
        check_unit(code)
    except LdtError as exc:
        raise refuse("bad value", exc.what, exc.fix) from None
    return code


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)", re.ASCII)
_BYTES = {f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)} | {
    f"{p}B": 1000**n for n, p in enumerate("kMGT", 1)
}


def parse_size(text: str | int) -> int:
    """``"4GiB"`` in bytes; a whole number is bytes already. Raises ``ValueError``."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    found = _SIZE.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"{show(text)} is no size; write 512MiB or 4GiB")
    return int(float(found[1]) * _BYTES.get(found[2], 1))


def parse_cpus(value: str | int) -> int:
    """A whole number of processors from 1 on. Raises ``ValueError``."""
    if isinstance(value, bool) or not str(value).isdecimal() or not 0 < int(value) < 10**6:
        raise ValueError(f"{show(value)} is no whole number from 1 on")
    return int(value)


def _size(value: Any) -> int:
    try:
        return parse_size(_text(value, "4GiB"))
    except ValueError as exc:
        if isinstance(exc, PydanticCustomError):
            raise
        raise refuse("bad value", str(exc).partition(";")[0], "write for example 512MiB or 4GiB") from None


def _cpus(value: Any) -> int:
    try:
        return parse_cpus(value if isinstance(value, int) else "no number")
    except ValueError:
        raise refuse("bad value", f"{show(value)} is no number of processors", "write 1 or more") from None


_DURATION_SCHEMA = {"pattern": r"^\s*\d+(\.\d+)?\s*(us|ms|s|min|h|d)\s*$", "examples": ["15min"]}
_INSTANT_SCHEMA = {"pattern": f"^{_INSTANT.pattern[:-1]}$", "examples": ["2026-03-02T05:00Z"]}

Version = Annotated[Literal[1], *written(_version, {"const": 1}, None)]
Name = Annotated[str, *written(_name, {"pattern": NAME})]
ComponentName = Annotated[str, *written(_component_name, {"pattern": NAME})]
Step = Annotated[int, *written(_step, _DURATION_SCHEMA)]
Size = Annotated[int, *written(_size, {"pattern": rf"^\s*{_SIZE.pattern}\s*$", "examples": ["4GiB"]})]
Cpus = Annotated[int, *written(_cpus, {"minimum": 1}, "integer")]
Instant = Annotated[np.datetime64, *written(_instant, _INSTANT_SCHEMA)]
End = Annotated[np.datetime64, *written(_end, _INSTANT_SCHEMA)]
Zone = Annotated[str, *written(_zone, {"examples": ["Europe/Rome"]})]
Unit = Annotated[str, *written(_unit, {"examples": ["km/h"]})]


# --- references -------------------------------------------------------------------------------


class Ref(NamedTuple):
    """``component.port`` or ``component.port.column``; a column's name may hold dots and spaces."""

    component: str
    port: str
    column: str | None = None

    def __str__(self) -> str:
        return ".".join(part for part in self if part is not None)


def find(name: str, known: Collection[str] | None, kind: str) -> None:
    """Refuse a name that the file does not define."""
    if known is not None and name not in known:
        raise refuse("unresolved reference", f"no {kind} is called {show(name)}", nearest(name, known))


def _ref(value: Any, info: ValidationInfo) -> Ref:
    text = _text(value, "traffic.flow")
    component, *rest = text.split(".", 2)
    find(component, (info.context or {}).get("components"), "component")
    if not rest:
        raise refuse(
            "bad value", f"{show(text)} names no port", f"write component.port, such as {component}.flow"
        )
    if not re.fullmatch(_REF, text):
        raise refuse(
            "bad value", f"{show(text)} is not a reference", "write component.port or component.port.column"
        )
    return Ref(component, *rest)


def _port_ref(value: Any, info: ValidationInfo) -> Ref:
    ref = _ref(value, info)
    if ref.column is not None:
        what = f"{show(value)} names a column where a whole port is meant"
        raise refuse("bad value", what, f"write {ref.component}.{ref.port}")
    return ref


def _scenario(value: Any, info: ValidationInfo) -> str:
    find(_text(value, "base"), (info.context or {}).get("scenarios"), "scenario")
    return str(value)


ColumnRef = Annotated[Ref, *written(_ref, {"pattern": _REF})]
PortRef = Annotated[Ref, *written(_port_ref, {"pattern": f"^{_PORT}$"})]
ScenarioName = Annotated[str, *written(_scenario, {})]
Parents = Annotated[
    tuple[ScenarioName, ...],
    BeforeValidator(lambda v: [v] if isinstance(v, str) else v),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]


# --- place ------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _crs_problem(text: str) -> tuple[str, str] | None:
    """(what, fix) unless ``text`` is a projected CRS in metres."""
    fix = "write a projected CRS in metres, for example the UTM zone of the place (EPSG:25832)"
    if not re.fullmatch(r"[A-Za-z]+:[A-Za-z0-9_.]+|\{.*\}", text, re.DOTALL):
        return "is not an authority code or PROJJSON", fix
    from pyproj import CRS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crs = CRS.from_user_input(text)
    except Exception:  # PROJ answers a strange text with errors of many classes
        return "is not known to PROJ", fix
    if not crs.is_projected:
        return f"({crs.name}) is not projected", fix
    units = {axis.unit_name for axis in crs.axis_info[:2]}
    if units != {"metre"}:
        return f"({crs.name}) counts in {' and '.join(sorted(units))}", fix
    return None


def _crs(value: Any) -> str:
    text = _text(value, "EPSG:25832")
    problem = _crs_problem(text)
    if problem:
        raise refuse("bad value", f"{show(text)} {problem[0]}", problem[1])
    return text


@lru_cache(maxsize=64)
def _far_off(crs: str, box: tuple[float, float, float, float]) -> str | None:
    """Where the box lies, in words, if that is more than 5 degrees off the CRS's area of use."""
    from pyproj import CRS, Transformer

    area = CRS.from_user_input(crs).area_of_use
    if area is None or area.west > area.east:
        return None
    margin = 5.0  # many cities lie just outside their country's zone
    try:
        west, south, east, north = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform_bounds(
            *box
        )
    except Exception:
        return "nowhere on Earth"
    if not np.isfinite([west, south, east, north]).all():
        return "nowhere on Earth"
    if west > area.east + margin or east < area.west - margin:
        return f"at {west:.1f} degrees east"
    if south > area.north + margin or north < area.south - margin:
        return f"at {south:.1f} degrees north"
    return None


def _bbox(box: tuple[float, float, float, float], info: ValidationInfo) -> tuple[float, float, float, float]:
    if box[0] >= box[2] or box[1] >= box[3]:
        what = f"the bbox {list(box)} is not in order or has no area"
        raise refuse("bad value", what, "write [min x, min y, max x, max y]")
    crs = info.data.get("crs")
    off = _far_off(crs, box) if crs else None
    if off:
        degrees = max(map(abs, box)) <= 180
        fix = "write x, then y, in metres of the CRS" + (" (these look like degrees)" if degrees else "")
        raise refuse("bad value", f"the bbox lies {off}, far outside the area of {show(crs)}", fix)
    return box


Crs = Annotated[str, *written(_crs, {"examples": ["EPSG:25832"]})]
Bbox = Annotated[tuple[Number, Number, Number, Number], AfterValidator(_bbox)]


# --- words of links and KPIs ------------------------------------------------------------------


def _init(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, (Mapping, list)):
        raise refuse(
            "bad value", f"{show(value)} stands where one value is read", "write one number, text or truth"
        )
    if value is not None and info.data.get("when") == "now":
        what = "init gives a lag link its first value, and this link has when: now"
        raise refuse("bad value", what, "write when: lag, or remove init")
    return value


class Condition(NamedTuple):
    """``column op value``: op is one of < <= > >= == !=."""

    column: str
    op: str
    value: float | int | str | bool


def parse_where(text: str) -> tuple[Condition, ...]:
    """``cars == true and speed >= 8.3`` as conditions, all of which hold.

    Column names and text with spaces stand in quotes. Raises ``PydanticCustomError``.
    """
    tokens = [m for m in _TOKEN.finditer(text) if m[0].strip()]
    found: list[Condition] = []
    for i in range(0, len(tokens), 4):
        column, op, value, joint = (tokens[i : i + 4] + [None] * 4)[:4]
        if (
            op is None
            or op[1] is None
            or value is None
            or value[1] is not None
            or column is None
            or column[1]
        ):
            raise _where_error(text, tokens, i)
        if any(t[5] is not None for t in (column, value)):
            raise _where_error(text, tokens, i)
        if joint is not None and (joint[4] != "and" or i + 4 == len(tokens)):
            raise _where_error(text, tokens, i)
        found.append(Condition(_word(column), op[1], _value(value)))
    if not found:
        raise _where_error(text, tokens, 0)
    return tuple(found)


def _word(token: re.Match[str]) -> str:
    return next(part for part in token.groups()[1:] if part is not None)


def _value(token: re.Match[str]) -> float | int | str | bool:
    word = token[4]
    if word is None:
        return _word(token)
    if word in ("true", "false"):
        return word == "true"
    if not _NUMBER.fullmatch(word) or len(word) > 300:
        return str(word)
    return int(word) if re.fullmatch(r"[-+]?\d+", word) else float(word)


def _where_error(text: str, tokens: list[re.Match[str]], at: int) -> PydanticCustomError:
    part = " ".join(t[0].strip() for t in tokens[at : at + 4])
    fix = "write column op value [and ...] with op < <= > >= == !=, for example: kind == 'car' and speed > 8"
    if any(t[5] == "=" for t in tokens):
        fix = "write == for equality"
    elif any(t[4] == "or" for t in tokens):
        fix = "conditions are joined by 'and' only; write another KPI for the other case"
    return refuse("bad value", f"{show(text)} is not a condition, see {show(part)}", fix)


def _where(value: Any) -> tuple[Condition, ...]:
    return parse_where(_text(value, "speed > 8"))


def _reduce(value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    counting = [op for op in value.values() if op in ("share", "duration")]
    if counting and "where" in info.data and not info.data["where"]:
        what = f"the reduction '{counting[0]}' counts where a condition holds, and there is no where"
        raise refuse("missing key", what, "write where: column op value")
    return value


def _target(value: float | None, info: ValidationInfo) -> float | None:
    if value is not None and "better" in info.data and info.data["better"] is None:
        raise refuse(
            "missing key", "a target needs to know its better side", "write better: lower or better: higher"
        )
    return value


Init = Annotated[
    float | int | str | bool | None, *written(_init, {"type": ["number", "string", "boolean", "null"]}, None)
]
Where = Annotated[tuple[Condition, ...], *written(_where, {"examples": ["speed > 8 and cars == true"]})]
Reduce = Annotated[dict[Literal["time", "space"], REDUCTIONS], AfterValidator(_reduce)]
Target = Annotated[Number | None, AfterValidator(_target)]
