"""Texts and numbers that break things: fixed, tried before anything is generated."""

from __future__ import annotations

import numpy as np

from ldt_core.tables import Column

TEXTS: dict[str, str] = {
    "composed (NFC)": "Caf\u00e9 Z\u00fcrich",
    "decomposed (NFD)": "Cafe\u0301 Zu\u0308rich",
    "right to left": "\u0634\u0627\u0631\u0639 \u202bABC\u202c",
    "outside the basic plane": "\U0001f6b2 \U00020000",
    "joined emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "quotes": 'l\'"Alma" \u00ab`x`\u00bb',
    "percent and braces": "100 % %s %(a)s {0} {veh}",
    "line break and tab": "one\ntwo\r\n\tthree",
    "separators": "a,b;c|d/e\\f",
    "looks like markup": "<b>&amp;</b><script>x</script>",
    "looks like a formula": "=1+1",
    "looks like missing": "NaN",
    "looks like a number": "007",
    "space around": "  edge  ",
    "no characters": "",
    "upper and lower case": "Stra\u00dfe \u0130\u0131",
    "very long": "long " * 2000,
}
"""Every one is a valid text, and different from all others; see ``NUL`` for the one that may be refused."""

NUL = "before\0after"
"""May be refused, must never be cut."""

NOT_NUMBERS = (float("nan"), float("inf"), float("-inf"))
"""No valid value of any column."""


def reach(
    column: Column, bounds: tuple[float, float] | None = None, otherwise: tuple[float, float] = (-1e9, 1e9)
) -> tuple[float, float]:
    """Finite limits of a column's valid values: ``bounds``, else its own range, else ``otherwise``."""
    low, high = bounds or column.range or otherwise
    if np.isinf(low):
        low = min(high, 0.0) - 1e9
    return float(low), float(max(low, 0.0) + 1e9 if np.isinf(high) else high)


def numbers(column: Column) -> dict[str, float]:
    """Valid values of a column that are seldom tried, by what is odd about them."""
    low, high = reach(column)
    odd = {
        "the lower limit": low,
        "the upper limit": high,
        "zero": 0.0,
        "negative zero": -0.0,
        "the smallest number above zero": float(np.nextafter(0.0, 1.0)),
        "just above the lower limit": float(np.nextafter(low, high)),
        "just below the upper limit": float(np.nextafter(high, low)),
    }
    if column.kind == "integer":
        odd = {what: value for what, value in odd.items() if value == int(value)}
    return {what: value for what, value in odd.items() if low <= value <= high}
