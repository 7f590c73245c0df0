"""Units, numbers, times and changes as a reader expects them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ldt_core as ldt

NARROW = "\u202f"  # narrow no-break space: groups of digits, and between a number and its unit
MINUS = "\u2212"
NONE = "no value"

_ATOMS = {
    "Cel": "°C",
    "deg": "°",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "[pH]": "pH",
    "[mi_i]": "mi",
    "[ft_i]": "ft",
    "[kn_i]": "kn",
    "wk": "weeks",
    "mo": "months",
    "a": "years",
    "Ohm": "Ω",
    "1": "",
}
_PLURALS = {"veh": "vehicles", "trip": "trips", "person": "people", "parcel": "parcels", "stop": "stops"}
_SUPERSCRIPT = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")
_TOKEN = re.compile(
    r"(?P<atom>\[[^\]]*\]|10\*|10\^|%|[A-Za-z_']+|\d+)?(?P<power>[+-]?\d+)?(?P<note>\{[^{}]*\})?"
)


def write_unit(code: str | None) -> str:
    """A UCUM code for readers: ``ug/m3`` -> ``µg/m³``, ``{veh}/h`` -> ``vehicles/h``, ``1`` -> nothing."""
    if not code or code == "1":
        return ""
    parts = [".".join(filter(None, map(_write_token, factor.split(".")))) for factor in code.split("/")]
    product = [p.replace("kW.h", "kWh").replace("W.h", "Wh").replace(".", "·") for p in parts]
    head, *below = product
    return "/".join([head or "1", *filter(None, below)]) if any(below) else head


_EACH = {"h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}


_NOUNS = {
    "edge": "street section",
    "way": "street",
    "building": "building",
    "tree": "tree",
    "station": "station",
    "stop": "stop",
    "cell": "cell",
    "zone": "zone",
    "household": "household",
}


def say_places(id: str, count: float = 2) -> str:
    """What to call places by the column that names each: ``edge`` gives ``street sections``."""
    return _NOUNS.get(id, "place") + ("" if count == 1 else "s")


def say_unit(code: str | None) -> str:
    """A unit inside a sentence: ``{veh}/h`` is ``vehicles an hour``; others as they are written."""
    found = re.fullmatch(r"\{([^{}]*)\}/(\w+)", code or "")
    if not found or found[2] not in _EACH:
        return write_unit(code)
    each = _EACH[found[2]]
    return f"{write_unit('{' + found[1] + '}')} {'an' if each == 'hour' else 'a'} {each}"


def _write_token(token: str) -> str:
    found = _TOKEN.fullmatch(token)
    if not found:
        return token
    atom, power, note = found["atom"] or "", found["power"] or "", found["note"] or ""
    if atom in ("10*", "10^"):
        return "10" + power.translate(_SUPERSCRIPT)
    if note and atom in ("", "1"):
        word = note[1:-1].replace("_", " ")
        return _PLURALS.get(word, word)
    name = _ATOMS.get(atom, atom)
    if name == atom and len(atom) > 1 and atom[0] == "u":
        name = "µ" + atom[1:]
    return name + power.translate(_SUPERSCRIPT)


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number (and not a truth value)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def digits_for(*values: float | None) -> int:
    """Decimals that show the largest of ``values`` to about three significant digits."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v)]
    top = max(sizes, default=0.0)
    if top == 0.0 or all(s == int(s) for s in sizes if s < 1e15):
        return 0
    if top >= 100:
        return 0
    return max(0, min(12, 2 - math.floor(math.log10(top))))


def rough_digits(value: float) -> int:
    """Decimals that show ``value`` to two significant digits."""
    if value == 0 or not math.isfinite(value):
        return 0
    return max(0, min(12, 1 - math.floor(math.log10(abs(value)))))


def apart_digits(
    values: Sequence[float | None],
    changes: Sequence[float | None] = (),
    sums: Sequence[tuple[float, float, float]] = (),
) -> int:
    """Decimals for figures that stand together: two significant digits of the largest, or up to four more.

    More where different ``values`` would look alike, where one of them or of ``changes`` that is not
    zero would look like zero; and one more where that makes the first two of ``sums`` add up to the third.
    """
    known, moved = ([v for v in part if v is not None and is_number(v)] for part in (values, changes))
    sizes = [abs(v) for v in (*known, *moved)]
    top = max(sizes, default=0.0)
    first = 0 if top >= 1e15 or all(s == int(s) for s in sizes) else rough_digits(top)
    for digits in range(first, first + 5):
        apart = len({round(v, digits) + 0.0 for v in known}) == len(set(known))
        if apart and all(round(s, digits) for s in sizes if s):
            return digits if _adds_up(sums, digits) or not _adds_up(sums, digits + 1) else digits + 1
    return first


def _adds_up(sums: Sequence[tuple[float, float, float]], digits: int) -> bool:
    gaps = (round(a, digits) + round(b, digits) - round(c, digits) for a, b, c in sums)
    return all(abs(gap) < 0.5 * 10.0**-digits for gap in gaps)


def exact_digits(values: list[float], most: int = 6) -> int:
    """The fewest decimals that write every value as it is, up to ``most``."""
    return next(
        (d for d in range(most) if all(abs(round(v, d) - v) < 1e-9 * max(1.0, abs(v)) for v in values)), most
    )


def write_number(value: float | None, digits: int | None = None, *, sign: bool = False) -> str:
    """``-12345.6`` -> ``−12 346``: a true minus sign, thin spaces between thousands."""
    if value is None or not is_number(value):
        return NONE
    if digits is None:
        digits = digits_for(value)
    if abs(value) >= 1e15:
        mantissa, power = f"{abs(value):.2e}".split("e")
        text = f"{mantissa}{NARROW}×{NARROW}10{str(int(power)).translate(_SUPERSCRIPT)}"
    else:
        text = f"{abs(value):,.{digits}f}"
        text = text.replace(",", NARROW) if abs(value) >= 10_000 else text.replace(",", "")
    zero = not any(c in "123456789" for c in text)
    if value < 0 and not zero:
        return MINUS + text
    return ("±" if zero else "+") + text if sign else text


def write_amount(
    value: float | None, unit: str | None, digits: int | None = None, *, sign: bool = False
) -> str:
    """A number with its unit for readers; ``no value`` where there is none."""
    text = write_number(value, digits, sign=sign)
    written = write_unit(unit)
    if text == NONE or not written:
        return text
    return text + ("" if written == "°" else NARROW if len(written) < 8 else " ") + written


def write_percent(value: float | None) -> str:
    """A change in percent with its sign; ``no value`` where there is none."""
    if value is None or not is_number(value):
        return NONE
    digits = 1 if abs(value) < 10 and round(value, 1) != round(value) else 0
    return f"{write_number(value, digits, sign=True)}{NARROW}%"


def write_duration(seconds: float) -> str:
    """Computing time in words."""
    if seconds < 90:
        return f"{write_number(seconds, 0 if seconds >= 10 else 1)} seconds"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} minutes"
    return f"{minutes // 60} h {minutes % 60} min"


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ldt.InputError(
            f"'{name}' is not a time zone", code="zone", fix="give an IANA name such as Europe/Helsinki"
        ) from exc


def parse_instant(value: Any) -> datetime | None:
    """A UTC instant from RFC 3339 text or POSIX seconds; None where it is neither."""
    try:
        if is_number(value):
            return datetime.fromtimestamp(value, UTC)
        parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def write_instant(value: Any, zone: str) -> str:
    """``Mon 2 Mar 2026, 07:00``; text that is no instant stays as it is."""
    moment = parse_instant(value)
    if moment is None:
        return str(value)
    local = moment.astimezone(zone_of(zone))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def write_period(start: str, end: str, zone: str) -> str:
    """A period in the twin's zone; the day is named once where it is the same."""
    first, last = parse_instant(start), parse_instant(end)
    if first is None or last is None:
        return f"{start} to {end}"
    place = zone_of(zone)
    first, last = first.astimezone(place), last.astimezone(place)
    if first.date() == last.date():
        return f"{first:%A} {first.day} {first:%B %Y}, {first:%H:%M} to {last:%H:%M} ({zone})"
    return f"{write_instant(start, zone)} to {write_instant(end, zone)} ({zone})"


def shorten(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
