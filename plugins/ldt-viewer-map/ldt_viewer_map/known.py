"""What readers know of some quantities: usual classes, words for more and less, what is noticeable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ldt_core import Info


@dataclass(frozen=True)
class Habit:
    """``breaks`` and ``steps`` (sizes of change, from the least that counts) hold for ``unit`` only.

    ``most`` is said of the highest value, ``note`` of every map.
    """

    less: str = "lower"
    more: str = "higher"
    most: str = "Highest"
    unit: str | None = None
    breaks: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    better: Literal["lower", "higher"] | None = None
    note: str = ""


# Steps of 5 dB as on the noise maps of Directive 2002/49/EC (annex VI), carried on below 55 dB. A change of
# 1 dB is about the least that is heard side by side; 3 dB is a doubling of sound energy.
_LEVEL = Habit(
    "quieter",
    "louder",
    "Loudest",
    "dB",
    tuple(range(45, 80, 5)),
    (1.0, 3.0, 5.0),
    "lower",
    "Levels are A-weighted: they count sounds as people hear them.",
)
_TRAFFIC = Habit("less traffic", "more traffic", "Busiest")
_POLLUTANT = Habit(better="lower")
_HABITS = {
    "x:sound_level_a": _LEVEL,
    "x:sound_level_den": _LEVEL,
    "x:sound_level_night": _LEVEL,
    "x:traffic_flow": _TRAFFIC,
    "x:co2_mass": _POLLUTANT,
    "x:nox_mass": _POLLUTANT,
    "x:vehicle_speed": Habit("slower", "faster", "Fastest"),
    "x:travel_time": Habit("shorter", "longer", "Longest", better="lower"),
    "x:time_loss": Habit("shorter", "longer", "Longest", better="lower"),
    "air_temperature": Habit("cooler", "warmer", "Warmest"),
}


def habit_of(info: Info) -> Habit:
    """The habits for a column's quantity; classes only where its unit is the one they are written for."""
    found = _HABITS.get(info.quantity or "", Habit())
    if found.unit is not None and found.unit != info.unit:
        return replace(found, unit=None, breaks=(), steps=())
    return found
