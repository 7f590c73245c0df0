"""Sweeps in the twin file: which parameters vary, and how their values are chosen.

A sweep has one design: ``grid`` (every combination), ``sample`` with ``over`` (draws from ranges and
distributions) or ``from`` (a CSV file with a row per member). What a design becomes is in ``sweeps``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field
from pydantic_core import PydanticCustomError

from .twin_values import OrNothing, Parents, Text, Whole, refuse, show, written

_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)
LIMIT = 100_000
"""Members that one sweep may have."""
_AMOUNT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*?)?\s*", re.ASCII)
_DISTRIBUTION = re.compile(r"[a-z][a-z0-9_]*")


class Axis(NamedTuple):
    """The values that a parameter takes on in a grid."""

    values: tuple[Any, ...]


class Spread(NamedTuple):
    """How a parameter is drawn: ``uniform`` (low, high), ``choice`` (values), or a distribution of scipy.stats.

    ``unit`` is written behind each number; empty where the numbers are in the parameter's own unit.
    """

    name: str
    arguments: tuple[Any, ...]
    named: Mapping[str, float]
    unit: str = ""


def with_unit(number: float, unit: str) -> Any:
    """A value as the twin file writes it: ``0.3``, or ``"30 km/h"``."""
    return f"{number!r} {unit}" if unit else number


def _amount(value: Any) -> tuple[float, str]:
    """(number, unit) of ``30`` or ``"30 km/h"``."""
    if isinstance(value, str) and (found := _AMOUNT.fullmatch(value)) is not None and found[2]:
        text = found[1]
        return (int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)), found[2]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value, ""
    raise refuse("bad value", f"{show(value)} is no number", "write a number, or one with its unit: 30 km/h")


def _ends(low: Any, high: Any) -> tuple[float, float, str]:
    (a, first), (b, second) = _amount(low), _amount(high)
    if first != second:
        raise refuse("bad value", f"{show(low)} and {show(high)} are in two units", "write both in one unit")
    if not a < b:
        raise refuse("bad value", f"{show(low)} to {show(high)} is no range", "write the lower number first")
    return a, b, first


def _axis(value: Any) -> Axis:
    """A list of values, or ``{from, to, count, scale}``."""
    if isinstance(value, list):
        if not value:
            raise refuse("bad value", "an empty list leaves no member", "write at least one value")
        return Axis(tuple(value))
    if not isinstance(value, Mapping):
        fix = "write [value, ...] or {from: 0.8, to: 1.2, count: 5}"
        raise refuse("bad value", f"{show(value)} stands where the values of an axis are read", fix)
    odd = [k for k in value if k not in ("from", "to", "count", "scale")]
    missing = [k for k in ("from", "to", "count") if k not in value]
    if odd or missing:
        what = f"{show(odd[0])} is not a key here" if odd else f"'{missing[0]}' is missing"
        raise refuse("unknown key" if odd else "missing key", what, "write {from: 0.8, to: 1.2, count: 5}")
    low, high, unit = _ends(value["from"], value["to"])
    count, scale = value["count"], value.get("scale", "linear")
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= LIMIT:
        raise refuse(
            "bad value", f"{show(count)} is no number of values", "write a whole number of at least 2"
        )
    if scale not in ("linear", "log"):
        raise refuse("bad value", f"{show(scale)} is none of linear, log", "write linear or log")
    if scale == "log" and low <= 0:
        raise refuse("bad value", f"{show(value['from'])} has no logarithm", "begin above zero")
    return Axis(tuple(with_unit(v, unit) for v in _spaced(low, high, count, scale)))


def _spaced(low: float, high: float, count: int, scale: str) -> list[float]:
    """Both ends exactly; whole numbers stay whole where all of them are."""
    if scale == "log":
        inner = [low * (high / low) ** (i / (count - 1)) for i in range(1, count - 1)]
    else:
        inner = [float(f"{low + (high - low) * i / (count - 1):.12g}") for i in range(1, count - 1)]
        if isinstance(low, int) and isinstance(high, int) and (high - low) % (count - 1) == 0:
            inner = [low + (high - low) // (count - 1) * i for i in range(1, count - 1)]
    return [low, *inner, high]


def _spread(value: Any) -> Spread:
    """``[low, high]``, ``{choice: [...]}``, or ``{normal: [10, 2], unit: km/h}``."""
    fix = "write [low, high], {choice: [a, b]} or a distribution of scipy.stats: {normal: [mean, deviation]}"
    if isinstance(value, list):
        if len(value) != 2:
            raise refuse("bad value", f"a list of {len(value)} values is no [low, high]", fix)
        low, high, unit = _ends(*value)
        return Spread("uniform", (low, high), {}, unit)
    names = [k for k in value if k != "unit"] if isinstance(value, Mapping) else []
    if len(names) != 1 or not isinstance(names[0], str) or not _DISTRIBUTION.fullmatch(names[0]):
        raise refuse("bad value", f"{show(value)} says no distribution", fix)
    name, given, unit = names[0], value[names[0]], value.get("unit", "")
    if not isinstance(unit, str):
        raise refuse("bad value", f"{show(unit)} is no unit", "write for example km/h")
    if name == "choice":
        if not isinstance(given, list) or not given:
            raise refuse("bad value", f"{show(given)} is no list of values", "write {choice: [a, b]}")
        return Spread("choice", tuple(given), {})
    numbers = list(given.values()) if isinstance(given, Mapping) else given
    if not isinstance(numbers, list) or any(
        isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers
    ):
        raise refuse(
            "bad value", f"{name} has {show(given)} where numbers are read", f"write {{{name}: [1, 2]}}"
        )
    if isinstance(given, Mapping):
        return Spread(name, (), {str(k): v for k, v in given.items()}, unit)
    if name == "uniform":  # low and high here too: scipy's second number is a width
        if len(numbers) != 2:
            raise refuse("bad value", f"uniform has {len(numbers)} numbers", "write [low, high]")
        return Spread(name, _ends(*numbers)[:2], {}, unit)
    return Spread(name, tuple(numbers), {}, unit)


_PLAIN = ["number", "string", "boolean", "array", "object", "null"]
_END = {"type": ["number", "string"]}
_AXIS_SCHEMA = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": {"type": _PLAIN}},
        {
            "type": "object",
            "properties": {
                "from": _END,
                "to": _END,
                "count": {"type": "integer", "minimum": 2},
                "scale": {"enum": ["linear", "log"]},
            },
            "required": ["from", "to", "count"],
            "additionalProperties": False,
        },
    ],
}
_SPREAD_SCHEMA = {
    "anyOf": [
        {"type": "array", "minItems": 2, "maxItems": 2, "items": _END},
        {"type": "object", "minProperties": 1, "maxProperties": 2},
    ],
}
AxisValues = Annotated[Axis, *written(_axis, _AXIS_SCHEMA, None)]
SpreadValues = Annotated[Spread, *written(_spread, _SPREAD_SCHEMA, None)]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How the members of a sweep are drawn."""

    __pydantic_config__ = _SHAPE

    method: Literal["latin-hypercube", "sobol", "random"] = "latin-hypercube"
    """latin-hypercube: even in every parameter. sobol: Saltelli's design, for Sobol indices. random: independent draws."""
    size: Annotated[Whole, Field(ge=1)]
    """Number of members; for sobol the base size N, a power of two, which makes N x (parameters + 2) members."""
    seed: Annotated[Whole, Field(ge=0)] = 0
    """Start of the draws; the same seed gives the same members."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Many scenarios made from one by varying parameters."""

    __pydantic_config__ = _SHAPE

    title: Text = ""
    """Name for people."""
    description: Text = ""
    """What is varied and why."""
    of: Annotated[Parents, OrNothing()] = ()
    """The scenario that is varied, or several that go through the same members; default: the baseline."""
    grid: Annotated[dict[Text, AxisValues], OrNothing()] = field(default_factory=dict)
    """{component.params.NAME: [value, ...] or {from, to, count, scale}}: every combination is a member."""
    sample: Sample | None = None
    """Draw the members from what `over` says."""
    over: Annotated[dict[Text, SpreadValues], OrNothing()] = field(default_factory=dict)
    """{component.params.NAME: [low, high], {choice: [...]} or {DISTRIBUTION: [...], unit: ...}}."""
    file: Annotated[Text | None, Field(alias="from")] = None
    """CSV file whose header names what is varied, with one row per member."""

    @property
    def axes(self) -> Mapping[str, Axis | Spread]:
        """What the twin file itself says of each parameter that is varied."""
        return self.grid or self.over

    @property
    def size(self) -> int | None:
        """How many members the design has; None where a file says it."""
        if self.file is not None:
            return None
        if self.sample is not None:
            factor = len(self.over) + 2 if self.sample.method == "sobol" else 1
            return self.sample.size * factor
        count = 1
        for axis in self.grid.values():
            count *= len(axis.values)
        return count


def one_design(sweep: Sweep) -> Sweep:
    """Refuse a sweep with no design, with two, or with too many members."""
    given = [
        word
        for word, there in (("grid", sweep.grid), ("sample", sweep.sample), ("from", sweep.file))
        if there
    ]
    fix = "write grid: {PATH: [...]}, sample: {size: 64} with over: {PATH: [low, high]}, or from: FILE.csv"
    if len(given) != 1:
        what = f"the sweep has {' and '.join(given)}" if given else "the sweep says not what is varied"
        raise refuse("duplicate key" if given else "missing key", what, "keep one of them" if given else fix)
    if (sweep.sample is None) != (not sweep.over):
        missing = "over" if sweep.sample else "sample"
        raise refuse("missing key", f"the sweep has no {missing}:", fix)
    sample, size = sweep.sample, sweep.size
    if sample is not None and sample.method == "sobol" and sample.size & (sample.size - 1):
        power = 1 << sample.size.bit_length()
        what = f"sobol is balanced for a size that is a power of two, not for {sample.size}"
        raise refuse("bad value", what, f"write size: {power // 2} or size: {power}")
    if size is not None and size > LIMIT:
        raise _too_many(size)
    return sweep


def _too_many(size: int) -> PydanticCustomError:
    return refuse(
        "bad value", f"the sweep has {size:,} members", f"stay below {LIMIT:,}: vary less, or sample"
    )
