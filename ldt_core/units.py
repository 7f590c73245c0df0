"""UCUM codes and their conversion, compiled once to (gain, offset).

The only module that knows a unit library (ucumvert on pint). Its registry takes most of a second
to build, so it is built at the first conversion between two different codes and never before.
A level in decibels has the code ``dB`` and the reference in its quantity (``x:sound_level_a``):
it converts to nothing but itself.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, NamedTuple

from .errors import WiringError

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_LONE = re.compile(r"(?:(?<=[./(])|^)\{[^{}]*\}")  # an annotation that is a term of its own stands for 1
_FACTOR_ONE = re.compile(r"[./]1(?=[./)]|$)|(?:(?<=\()|^)1\.")
_LEVELS = frozenset({"dB", "B", "Np"})


class Conversion(NamedTuple):
    """``target = source * gain + offset``."""

    gain: float
    offset: float

    @property
    def identity(self) -> bool:
        return self.gain == 1.0 and self.offset == 0.0


def strip_annotations(code: str) -> str:
    """A UCUM code without its ``{...}`` annotations, which carry no dimension: ``{veh}/h`` -> ``1/h``."""
    bare = _ANNOTATION.sub("", _LONE.sub("1", code))
    bare = _FACTOR_ONE.sub("", bare) or "1"
    return "1" + bare if bare.startswith("/") else bare


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


@lru_cache(maxsize=4096)
def _quantity(code: str) -> Any:
    bare = strip_annotations(code)
    registry = _registry()
    if bare == "1":
        return registry.Quantity(1.0, "dimensionless")
    parsed = registry.from_ucum(bare)
    if not hasattr(parsed, "dimensionality"):
        parsed = registry.Quantity(float(parsed), "dimensionless")
    return parsed


def check_unit(code: str) -> None:
    """Raise ``WiringError`` (unit unknown) unless ``code`` is a UCUM unit."""
    if code in _LEVELS or code in _COMMON:
        return
    try:
        _quantity(code)
    except Exception as exc:
        raise WiringError(
            f"'{code}' is not a UCUM unit",
            code="unit unknown",
            fix="write the UCUM code, for example m/s, km/h, ug/m3, Cel, kW.h, {veh}/h or 1",
        ) from exc


# Dimension and size in SI units of the plain codes that city data uses: converting between them needs
# no unit library. A test holds every pair against the library.
_SIZES: dict[str, tuple[str, float]] = {
    "m": ("L", 1.0), "km": ("L", 1e3), "cm": ("L", 1e-2), "mm": ("L", 1e-3),
    "s": ("T", 1.0), "min": ("T", 60.0), "h": ("T", 3600.0), "d": ("T", 86400.0),
    "g": ("M", 1e-3), "mg": ("M", 1e-6), "ug": ("M", 1e-9), "kg": ("M", 1.0), "t": ("M", 1e3),
    "m/s": ("L/T", 1.0), "km/h": ("L/T", 1 / 3.6), "m2": ("L2", 1.0), "km2": ("L2", 1e6), "m3": ("L3", 1.0),
    "1": ("1", 1.0), "%": ("1", 1e-2), "1/h": ("1/T", 1 / 3600.0), "1/s": ("1/T", 1.0),
    "ug/m3": ("M/L3", 1e-9), "mg/m3": ("M/L3", 1e-6), "g/s": ("M/T", 1e-3), "mg/s": ("M/T", 1e-6),
    "W": ("P", 1.0), "kW": ("P", 1e3), "MW": ("P", 1e6),
    "J": ("E", 1.0), "W.h": ("E", 3600.0), "kW.h": ("E", 3.6e6), "MW.h": ("E", 3.6e9),
}  # fmt: skip

# Codes seen so often that their check need not build the registry.
_COMMON_CODES = (
    "1 % m km s min h d g mg kg t m/s km/h m2 m3 W kW W.h kW.h J Cel K Pa kPa bar L L/s m3/s m3/h "
    "ug/m3 mg/m3 g/s mg/s g/km deg Hz A V {veh}/h {veh} 1/h {trip} {person} [ppm] ug mm"
)
_COMMON = frozenset(_COMMON_CODES.split())


@lru_cache(maxsize=4096)
def conversion(source: str, target: str) -> Conversion:
    """Gain and offset from one UCUM code to another.

    Raises ``WiringError``: ``unit dimension`` (metres into seconds), ``unit not linear`` (a level
    in decibels into anything else), ``unit unknown``.
    """
    if source == target or strip_annotations(source) == strip_annotations(target):
        return Conversion(1.0, 0.0)
    check_unit(source)
    check_unit(target)
    if source in _LEVELS or target in _LEVELS:
        raise _not_linear(source, target)
    small, large = _SIZES.get(strip_annotations(source)), _SIZES.get(strip_annotations(target))
    if small is not None and large is not None and small[0] == large[0]:
        return Conversion(_tidy(small[1] / large[1]), 0.0)
    origin, goal = _quantity(source), _quantity(target)
    if origin.dimensionality != goal.dimensionality:
        raise WiringError(
            f"{source} and {target} measure different things",
            code="unit dimension",
            fix="link a port of the same quantity, or put a model between that computes one from the other",
        )
    registry = _registry()

    def convert(value: float) -> float:
        scaled = registry.Quantity(value * origin.magnitude, origin.units).to(goal.units)
        return float(scaled.magnitude) / float(goal.magnitude)

    offset, one, two = convert(0.0), convert(1.0), convert(2.0)
    if not math.isfinite(two) or not math.isclose(two - one, one - offset, rel_tol=1e-9):
        raise _not_linear(source, target)
    if offset == 0.0:
        return Conversion(_tidy(one), 0.0)
    # An offset unit such as Cel: a long baseline keeps the digits that a difference would lose.
    return Conversion(_exact((convert(1e9) - offset) / 1e9), _exact(offset))


def _not_linear(source: str, target: str) -> WiringError:
    return WiringError(
        f"{source} does not convert to {target} by a gain and an offset",
        code="unit not linear",
        fix="levels convert only through a model that states the reference",
    )


def _tidy(value: float) -> float:
    """The short decimal (3.6) where the unit library's arithmetic missed it by a few bits."""
    short = float(f"{value:.12g}")
    return short if abs(short - value) <= 4 * math.ulp(value) else value


def _exact(value: float) -> float:
    """The simple fraction (5/9, -160/9, 273.15) that a temperature scale is defined by."""
    simple = float(Fraction(value).limit_denominator(10_000))
    return simple if math.isclose(simple, value, rel_tol=1e-12) else value
