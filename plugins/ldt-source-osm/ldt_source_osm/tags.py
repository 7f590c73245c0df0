"""Tag values as numbers. Rules: OpenStreetMap wiki, "Map features/Units" and "Key:maxspeed"."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_METRES = {"": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "cm": 0.01}
_METRES |= {"ft": 0.3048, "feet": 0.3048, "'": 0.3048}
_LENGTH = re.compile(rf"{_NUMBER}\s*([a-z']*)")
_FEET_INCHES = re.compile(rf"(\d+)\s*'\s*{_NUMBER}\s*(?:\"|'')")
_KMH = {"": 1.0, "km/h": 1.0, "kmh": 1.0, "kph": 1.0, "mph": 1.609344, "knots": 1.852}
_SPEED = re.compile(rf"{_NUMBER}\s*([a-z/]*)")


def parse_number(text: str) -> float | None:
    """``"2"``, ``"2.5"`` and ``"2,5"``; None for anything else."""
    whole = re.fullmatch(_NUMBER, text.strip())
    return float(whole[1].replace(",", ".")) if whole else None


def parse_length(text: str) -> float | None:
    """Metres of ``12``, ``12,5``, ``12 m``, ``40'``, ``40 ft`` or ``6'4"``; None for anything else."""
    text = text.strip().lower()
    if feet := _FEET_INCHES.fullmatch(text):
        return (float(feet[1]) * 12 + float(feet[2].replace(",", "."))) * 0.0254
    return _scaled(_LENGTH.fullmatch(text), _METRES)


def parse_speed(text: str) -> float | None:
    """km/h of ``50``, ``30 mph`` or ``10 knots``; None for words (``none``, ``walk``, ``RO:urban``)."""
    return _scaled(_SPEED.fullmatch(text.strip().lower()), _KMH)


def _scaled(found: re.Match[str] | None, factors: dict[str, float]) -> float | None:
    if found is None or found[2] not in factors:
        return None
    return float(found[1].replace(",", ".")) * factors[found[2]]
