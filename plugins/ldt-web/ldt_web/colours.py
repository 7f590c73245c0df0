"""How a class looks: colour, and always a second sign beside it (width, dash, pattern or shape).

Sequential and diverging ramps hold the published values of ColorBrewer 2 (YlGnBu, RdBu, PuOr;
Harrower and Brewer 2003), all three marked colour-blind safe there. Categories use the palette of
Okabe and Ito (2008), with its light tones darkened to 3:1 against white.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ldt_core.scene import Scale

from .words import exact_digits, write_number

_RAMPS = {
    "YlGnBu": "c7e9b4 7fcdbb 41b6c4 1d91c0 225ea8 253494 081d58",
    "red": "f4a582 d6604d b2182b 67001f",
    "blue": "92c5de 4393c3 2166ac 053061",
    "orange": "fdb863 e08214 b35806 7f3b08",
    "purple": "b2abd2 8073ac 542788 2d004b",
}
RAMPS = {name: [f"#{c}" for c in colours.split()] for name, colours in _RAMPS.items()}
CATEGORIES = ["#0072b2", "#d55e00", "#007a5a", "#aa4a85", "#8a6a00", "#2f86c1", "#4d4d4d"]
DASHES = [None, "7 3", "2 2.5", "9 3 2 3", "12 4", "4 2", "1 3"]
NEUTRAL, PLAIN, MISSING = "#b6bbc2", "#0b5c8a", "#8f96a0"

Sign = Literal["less", "same", "more", "none"]


@dataclass(frozen=True)
class Look:
    """How one class is drawn: ``weight`` 0 (least) to 1 (most) sets widths and sizes."""

    label: str
    colour: str
    weight: float
    sign: Sign = "none"
    dash: str | None = None
    order: int = 0


def ramp(name: str, position: float) -> str:
    """The colour at 0 (light) to 1 (dark) of a ramp, mixed in linear steps between its values."""
    colours = RAMPS[name]
    place = min(max(position, 0.0), 1.0) * (len(colours) - 1)
    index = min(int(place), len(colours) - 2)
    low, high, part = colours[index], colours[index + 1], place - index
    mixed = (round(int(low[i : i + 2], 16) * (1 - part) + int(high[i : i + 2], 16) * part) for i in (1, 3, 5))
    return "#" + "".join(f"{v:02x}" for v in mixed)


def looks_of(scale: Scale) -> list[Look]:
    """One look per class, in the order of the classes."""
    if scale.kind == "categorical":
        labels = [*scale.labels, *scale.categories[len(scale.labels) :]]
        return [
            Look(label, CATEGORIES[i % len(CATEGORIES)], 0.5, dash=DASHES[i % len(DASHES)], order=i)
            for i, label in enumerate(labels[: len(scale.categories)])
        ]
    labels = _labels(scale)
    if scale.kind == "sequential":
        last = max(1, len(labels) - 1)
        return [
            Look(text, ramp("YlGnBu", 0.2 + 0.8 * i / last), i / last, order=i)
            for i, text in enumerate(labels)
        ]
    return _diverging(scale, labels)


def _diverging(scale: Scale, labels: list[str]) -> list[Look]:
    signs = _signs(scale.breaks)
    down, up = {"lower": ("blue", "red"), "higher": ("red", "blue")}.get(
        scale.better or "", ("purple", "orange")
    )
    less, more = signs.count("less"), signs.count("more")
    steps = max(less, more, 1)
    looks = []
    for i, (text, sign) in enumerate(zip(labels, signs, strict=True)):
        if sign == "same":
            looks.append(Look(text, NEUTRAL, 0.0, sign, order=0))
            continue
        rank = less - i if sign == "less" else i - (len(signs) - more) + 1  # 1 is nearest to no change
        weight = rank / steps
        tone = 0.25 + 0.75 * (rank - 1) / max(1, steps - 1) if steps > 1 else 0.6
        looks.append(Look(text, ramp(down if sign == "less" else up, tone), weight, sign, order=rank))
    return looks


def _signs(breaks: list[float]) -> list[Sign]:
    """Whether each class stands below, round or above zero; by position where zero is not inside."""
    if breaks and breaks[0] <= 0 <= breaks[-1]:
        edges = [float("-inf"), *breaks, float("inf")]
        return ["less" if high <= 0 else "more" if low >= 0 else "same" for low, high in pairwise(edges)]
    count = len(breaks) + 1
    return ["same" if 2 * i == count - 1 else "less" if 2 * i < count - 1 else "more" for i in range(count)]


def _labels(scale: Scale) -> list[str]:
    count = len(scale.breaks) + 1
    if len(scale.labels) == count:
        return list(scale.labels)
    if not scale.breaks:
        return ["all values"]
    sign, digits = scale.kind == "diverging", exact_digits(scale.breaks)
    text = [write_number(b, digits, sign=sign and b != 0) for b in scale.breaks]
    return [f"under {text[0]}", *(f"{a} to {b}" for a, b in pairwise(text)), f"{text[-1]} or more"]


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` after WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio after WCAG 2.2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
