"""Figures, units, times and names as they stand in a sentence.

A scene keeps UCUM codes in its ``unit`` fields and UTC instants in its tables; renderers write
those for readers. A finding is a finished sentence, so what stands in it is written here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from ldt_core import Info, scene

NARROW = "\u202f"
"""Narrow no-break space: between groups of digits (no reader takes it for a decimal mark) and units."""

_COUNTED = {"veh": "vehicles", "trip": "trips", "person": "people", "parcel": "parcels", "stop": "stops"}
_FORMULAS = {
    "co2": "CO₂",
    "nox": "NOₓ",
    "no2": "NO₂",
    "co": "CO",
    "o3": "O₃",
    "pm10": "PM₁₀",
    "pm2.5": "PM₂.₅",
}
_QUANTITIES = {"sound_level_a": "noise level"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")


def write_number(value: float) -> str:
    """Three significant digits, whole above 100: ``12.3``, ``12 345``, ``−0.05``."""
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e15 or size < 1e-4:
        text = f"{size:.3g}"
    elif size >= 99.95:
        text = f"{size:,.0f}"
        text = text.replace(",", NARROW if size >= 9999.5 else "")
    else:
        text = f"{size:.3g}"
    return ("−" if value < 0 else "") + text


def write_apart(values: Sequence[float]) -> list[str]:
    """Figures that stand side by side: as few more decimals as tell different ones apart, at most three."""
    written = [write_number(v) for v in values]
    if not values or max(map(abs, values)) >= 1e6 or len(set(written)) == len(set(values)):
        return written
    first = max(len(text.partition(".")[2]) for text in written)
    for digits in range(first, first + 4):
        written = [f"{v:,.{digits}f}".replace(",", NARROW if abs(v) >= 9999.5 else "") for v in values]
        if len(set(written)) == len(set(values)):
            break
    return [text.replace("-", "−") for text in written]


def write_unit(code: str | None) -> str:
    """A UCUM code for readers: ``ug/m3`` as µg/m³, ``{veh}/h`` as vehicles/h, ``1`` as nothing."""
    if code is None or code == "1":
        return ""
    text = re.sub(r"\{([^{}]*)\}", lambda found: _COUNTED.get(found[1], found[1]), code)
    text = re.sub(r"\bCel\b", "°C", text.replace("[", "").replace("]", ""))
    text = re.sub(r"\bu(?=[gmslLWVA]\d?\b)", "µ", text)
    text = re.sub(r"(?<=[A-Za-z°])-?\d+", lambda found: found[0].translate(_SUPERSCRIPT), text)
    return text.replace("W.h", "Wh").replace(".", "·")


def write_amount(value: float, unit: str | None) -> str:
    """A figure with its unit: ``12.3 dB``."""
    written = write_unit(unit)
    return write_number(value) + (NARROW + written if written else "")


def write_instant(instant: np.datetime64, zone: str) -> str:
    """``2 Mar 2026 08:15 (Europe/Rome)`` for a UTC time stamp."""
    micros = int(instant.astype("datetime64[us]").astype(np.int64))
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    local, name = _localize(moment, zone)
    return f"{local.day} {local:%b %Y %H:%M} ({name})"


def _localize(moment: datetime, zone: str) -> tuple[datetime, str]:
    try:
        return moment.astimezone(ZoneInfo(zone)), zone
    except (KeyError, ValueError, OSError):  # an unknown zone must not hide the time
        return moment.astimezone(UTC), "UTC"


def write_iso(instant: np.datetime64) -> str:
    """RFC 3339 in UTC, without needless digits of the second."""
    text = str(np.datetime_as_string(instant.astype("datetime64[us]"), unit="us"))
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"


def clean_text(text: str, limit: int = 80) -> str:
    """Foreign text, fit to stand inside a sentence: one line, no direction marks, not too long."""
    text = _DIRECTION.sub("", text.encode("utf-8", "replace").decode("utf-8"))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def name_column(info: Info) -> str:
    """What to call a column: its description, else its quantity in words (``x:traffic_flow``), else itself."""
    title = clean_text(info.title)
    if title in ("", info.column, info.column.replace("_", " ")) and info.quantity:
        quantity = info.quantity.rpartition(":")[2]
        title = clean_text(_QUANTITIES.get(quantity, quantity.replace("_", " ")))
    title = " ".join(_FORMULAS.get(word.lower(), word) for word in (title or clean_text(info.ref)).split())
    return title[:1].upper() + title[1:]


def join_words(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def make_id(*parts: str) -> str:
    """Parts as one id of lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-") or "x"


def make_ids(names: Iterable[str]) -> dict[str, str]:
    """One id per name, different for different names."""
    taken: dict[str, str] = {}
    for name in names:
        base = make_id(name)
        found, count = base, 1
        while found in taken.values():
            count += 1
            found = f"{base}-{count}"
        taken.setdefault(name, found)
    return taken


def label_runs(runs: Sequence[scene.RunRef]) -> dict[str, str]:
    """What to call each run: its title, with its name where two share a title."""
    titles = {run.name: clean_text(run.title) or clean_text(run.name) for run in runs}
    count = Counter(titles.values())
    return {name: title if count[title] == 1 else f"{title} ({name})" for name, title in titles.items()}


def unique(items: Iterable[str]) -> list[str]:
    """Without repeats, in order."""
    return list(dict.fromkeys(items))
