"""What readers know of some quantities: usual classes, words for more and less, what is noticeable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ldt_core import Info


@dataclass(frozen=True)
class Habit:
    """``breaks`` and ``steps`` (sizes of change, from the least that counts) hold for ``unit`` only."""

    less: str = "lower"
    more: str = "higher"
    unit: str | None = None
    breaks: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    better: Literal["lower", "higher"] | None = None


# Steps of 5 dB as on the noise maps of Directive 2002/49/EC (annex VI), carried on below 55 dB. A change of
# 1 dB is about the least that is heard side by side; 3 dB is a doubling of sound energy.
_LEVEL = Habit("quieter", "louder", "dB", tuple(range(45, 80, 5)), (1.0, 3.0, 5.0), "lower")
_POLLUTANT = Habit(better="lower")
_HABITS = {
    "x:sound_level_a": _LEVEL,
    "x:sound_level_den": _LEVEL,
    "x:sound_level_night": _LEVEL,
    "x:co2_mass": _POLLUTANT,
    "x:nox_mass": _POLLUTANT,
    "x:vehicle_speed": Habit("slower", "faster"),
    "x:travel_time": Habit("shorter", "longer", better="lower"),
    "x:time_loss": Habit("shorter", "longer", better="lower"),
    "air_temperature": Habit("cooler", "warmer"),
}


def habit_of(info: Info) -> Habit:
    """The habits for a column's quantity; classes only where its unit is the one they are written for."""
    found = _HABITS.get(info.quantity or "", Habit())
    if found.unit is not None and found.unit != info.unit:
        return Habit(found.less, found.more, better=found.better)
    return found
