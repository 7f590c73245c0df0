"""Where the marks of an axis stand, and what is written at them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from .words import parse_instant, write_number, zone_of

_STEPS = [
    timedelta(seconds=s)
    for s in (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
] + [timedelta(days=d) for d in (14, 28, 91, 182, 365, 1825, 3650, 36500)]


def number_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round numbers that enclose low to high; a difference that floats cannot part is none."""
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        reach = max(abs(low) * 0.1, 0.5)
        low, high = low - reach, high + reach
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def write_ticks(ticks: list[float]) -> list[str]:
    """The ticks with as many decimals as their step needs."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0
    digits = max(0, min(12, -math.floor(math.log10(step) + 1e-9))) if step else 0
    if digits < 12 and abs(round(step, digits) - step) > step * 1e-6:
        digits += 1
    return [write_number(0.0 if abs(t) < step * 1e-9 else t, digits) for t in ticks]


def time_ticks(start: float, end: float, count: int, zone: str) -> list[tuple[float, str]]:
    """Round local times within start to end (POSIX seconds), with their text."""
    place = zone_of(zone)
    step = next((s for s in _STEPS if s.total_seconds() * count >= end - start), _STEPS[-1])
    moment = datetime.fromtimestamp(start, UTC).astimezone(place)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    # Steps are counted on the local clock, so that marks stay on round hours across a change of clocks.
    local = midnight + (moment.replace(tzinfo=None) - midnight) // step * step
    ticks: list[tuple[float, str]] = []
    while len(ticks) < 100:
        at = local.replace(tzinfo=place).timestamp()
        if at > end + 1e-6:
            break
        if at >= start - 1e-6 and (not ticks or at > ticks[-1][0]):
            ticks.append((at, _write(local, step)))
        local += step
    return ticks


def _write(local: datetime, step: timedelta) -> str:
    if step >= timedelta(days=365):
        return f"{local:%Y}"
    if step >= timedelta(days=28):
        return f"{local:%b %Y}"
    if step >= timedelta(days=1):
        return f"{local.day} {local:%b}"
    return f"{local:%H:%M:%S}" if step < timedelta(minutes=1) else f"{local:%H:%M}"


def short_instants(values: list[str], zone: str) -> list[str]:
    """Instants as categories: the time of day, with the day where there is more than one."""
    place = zone_of(zone)
    moments = [parse_instant(v) for v in values]
    local = [m.astimezone(place) if m else None for m in moments]
    days = {m.date() for m in local if m}
    return [
        v if m is None else f"{m:%H:%M}" if len(days) < 2 else f"{m.day} {m:%b} {m:%H:%M}"
        for v, m in zip(values, local, strict=True)
    ]
