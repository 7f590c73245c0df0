"""Values to classes: breaks, their names, and the class of each value.

A value is in class ``i`` where ``breaks[i-1] <= value < breaks[i]``, as renderers class it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .words import NARROW

Numbers = NDArray[np.float64]

CLASSES = 6
CROWDED = 0.45
"""Share of the values in one class above which equal steps hide more than they show."""


def choose_breaks(values: Numbers, classes: int = CLASSES) -> list[float]:
    """Breaks for all of ``values`` (finite): round equal steps, or growing ones where values crowd.

    Sorted, without repeats, above the least and not above the greatest value; none where all are equal.
    """
    breaks = _even_breaks(values, classes)
    if breaks:
        counts = count_classes(values, breaks)
        if counts.max() > CROWDED * len(values):
            crowded = _growing_breaks(values, classes) or _quantile_breaks(values, classes)
            return crowded if len(crowded) > 1 else breaks
    return breaks


def _even_breaks(values: Numbers, classes: int) -> list[float]:
    if not len(values):
        return []
    low, high = float(values.min()), float(values.max())
    step = _round_up(high / classes - low / classes)
    if not step > 1e-9 * max(abs(low), abs(high)):  # equal but for rounding
        return []
    first, last = math.floor(low / step), math.ceil(high / step)
    return _inside((float(f"{k * step:.12g}") for k in range(first, last + 1)), low, high)


def _growing_breaks(values: Numbers, classes: int) -> list[float]:
    """1, 2, 5, 10 or 1, 3, 10 or 1, 10, 100 and so on, where no value is negative; else none.

    A least value that fills a class (no traffic) has its own.
    """
    low, high = float(values.min()), float(values.max())
    above = values[values > low]
    if low < 0 or not len(above):
        return []
    alone = len(above) < len(values) * (1 - 1 / classes)
    start = float(np.quantile(above if alone else values, 0.05, method="lower"))
    start = max(start, 1e-9 * high)
    if not start > 0:
        return []
    for leads in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(start)), math.floor(math.log10(high)) + 1)
        series = [float(f"{lead}e{power}") for power in powers for lead in leads]
        series = [s for s in series if s > start]
        if alone:
            series.append(_round_down(float(above.min()), 1))
        found = _inside(series, low, high)
        if len(found) > classes:  # a few small values need no classes of their own
            found = [*found[:alone], *found[alone - classes :]]
            if (above < found[alone]).sum() > len(above) / classes:
                continue
        return found if len(found) > 1 else []
    return []


def _quantile_breaks(values: Numbers, classes: int) -> list[float]:
    """Quantiles to two significant digits. A least value that fills a class (no traffic) has its own."""
    low, high = float(values.min()), float(values.max())
    above = values[values > low]
    alone = len(above) < len(values) * (1 - 1 / classes)
    marks = np.linspace(0, 1, classes if alone else classes + 1)[0 if alone else 1 : -1]
    found = np.quantile(above if alone else values, marks, method="lower").tolist()
    return _inside((_round_down(b) for b in found), low, high)


def _inside(breaks: Iterable[float], low: float, high: float) -> list[float]:
    return sorted({b + 0.0 for b in breaks if low < b <= high})


def _round_up(size: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below ``size``; 0 where there is none."""
    if not (size > 0 and math.isfinite(size)):
        return 0.0
    power = math.floor(math.log10(size))
    steps = (float(f"{lead}e{power + shift}") for shift in (0, 1) for lead in (1, 2, 5))
    return next((s for s in steps if s >= size * (1 - 1e-12)), 0.0)


def _round_down(value: float, digits: int = 2) -> float:
    """``value`` to ``digits`` significant digits, towards minus infinity."""
    if value == 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    if unit == 0:
        return value
    return float(f"{math.floor(value / unit + 1e-9) * unit:.{digits}g}")


def choose_threshold(values: Numbers, changes: Numbers) -> float:
    """The least change that counts: a fiftieth of a high value (90 % are lower), rounded up to 1, 2, 5."""
    for sizes, part in ((np.abs(values), 0.02), (np.abs(changes), 0.05)):
        if len(sizes):
            found = _round_up(float(np.quantile(sizes, 0.9, method="lower")) * part)
            if found > 0:
                return found
    return 1.0


def choose_steps(changes: Numbers, threshold: float) -> list[float]:
    """Sizes of change where a stronger class begins: the threshold and up to two more."""
    sizes = np.abs(changes[np.abs(changes) >= threshold])
    steps = [threshold]
    if len(sizes):
        marks = np.quantile(sizes, (0.5, 0.85), method="lower").tolist()
        steps += [s for s in sorted({_round_down(m, 1) for m in marks}) if s >= 1.5 * threshold]
    return steps


def mirror_steps(steps: Sequence[float]) -> list[float]:
    """Breaks about zero. Those below lie a hair nearer to it: ``-step`` is a change as ``step`` is."""
    below = [math.nextafter(-s, 0.0) for s in sorted(steps, reverse=True)]
    return below + sorted(steps)


def classify(values: Numbers, breaks: Sequence[float]) -> NDArray[np.int64]:
    """The class of each value, 0 to ``len(breaks)``; -1 where there is no value (NaN)."""
    found = np.searchsorted(np.asarray(breaks, np.float64), values, side="right").astype(np.int64)
    found[np.isnan(values)] = -1
    return found


def count_classes(values: Numbers, breaks: Sequence[float]) -> NDArray[np.int64]:
    """How many values each class holds; missing ones are in none."""
    found = classify(values, breaks)
    return np.bincount(found[found >= 0], minlength=len(breaks) + 1)


def write_break(value: float) -> str:
    """A break in full, since it is round already."""
    text = f"{abs(value):,.12g}"
    text = text.replace(",", NARROW if abs(value) >= 10_000 else "")
    return ("−" if value < 0 else "") + text


def name_classes(values: Numbers, breaks: Sequence[float]) -> list[str]:
    """``below 45``, ``45 to 50``, ..., ``75 or more``; a first class of one value only is called by it.

    Where that value is zero (no traffic), the next class is all that is above it.
    """
    if not breaks:
        return [
            f"all {write_break(float(values[0]))}" if len(values) and (values == values[0]).all() else "all"
        ]
    text = [write_break(b) for b in breaks]
    least = values[values < breaks[0]]
    first = write_break(float(least[0])) if len(least) and (least == least[0]).all() else f"below {text[0]}"
    middle = [f"{a} to {b}" for a, b in pairwise(text)]
    if middle and not first.startswith("below") and (least > 0).sum() == 0:
        middle[0] = f"above {first}, below {text[1]}"
    return [first, *middle, f"{text[-1]} or more"]


def name_changes(steps: Sequence[float], less: str, more: str) -> list[str]:
    """``quieter by 3 or more``, ``quieter by 1 to 3``, ``little change (less than 1)``, ``louder by ...``."""
    text = [write_break(s) for s in sorted(steps)]
    sizes = [f"{a} to {b}" for a, b in pairwise(text)] + [f"{text[-1]} or more"]
    down = [f"{less} by {s}" for s in reversed(sizes)]
    up = [f"{more} by {s}" for s in sizes]
    return [*down, f"little change (less than {text[0]})", *up]
