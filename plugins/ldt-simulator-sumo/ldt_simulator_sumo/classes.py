"""SUMO's vehicle classes, and the words that stand for several of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import ldt_core as ldt

# SUMO's vehicle classes (net_file.xsd, version 1.20).
CLASSES = frozenset(
    [
        "private",
        "emergency",
        "authority",
        "army",
        "vip",
        "passenger",
        "hov",
        "taxi",
        "bus",
        "coach",
        "delivery",
        "truck",
        "trailer",
        "motorcycle",
        "moped",
        "bicycle",
        "pedestrian",
        "tram",
        "rail_urban",
        "rail",
        "rail_electric",
        "rail_fast",
        "ship",
        "container",
        "cable_car",
        "subway",
        "aircraft",
        "wheelchair",
        "scooter",
        "drone",
        "evehicle",
        "custom1",
        "custom2",
    ]
)
GROUPS = {
    "cars": frozenset(["private", "passenger", "hov", "evehicle", "vip", "motorcycle", "moped"]),
    "trucks": frozenset(["delivery", "truck", "trailer"]),
    "buses": frozenset(["bus", "coach"]),
}
HEAVY = frozenset(["truck", "trailer", "bus", "coach"])


def classes(names: Iterable[str], where: str) -> frozenset[str]:
    """Vehicle classes from their names and those of groups. Raises ``ParamError``."""
    found: set[str] = set()
    for name in names:
        if name not in CLASSES and name not in GROUPS:
            near = difflib.get_close_matches(name, [*CLASSES, *GROUPS], n=1)
            raise ldt.ParamError(
                f"'{name}' is no vehicle class",
                code="no such class",
                where=where,
                fix=f"did you mean '{near[0]}'?" if near else "write one of " + ", ".join(sorted(CLASSES)),
            )
        found |= GROUPS.get(name, frozenset((name,)))
    return frozenset(found)
