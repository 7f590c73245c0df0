"""Keeping what is published within what a medium can take, and saying so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from .places import Bounds, PlaceSet, weigh_places, weigh_rows

FINENESS = 2000
"""Geometry over the budget is simplified to this part of the map's longer side: less than half a pixel."""

CORNERS = 6
"""Outlines with fewer have nothing to leave out."""


def fit_places(sets: Sequence[PlaceSet], frame: Bounds, budget: int) -> list[str]:
    """Make ``sets`` fit ``budget`` bytes, in place; what was done in sentences, for the maps' notes.

    Outlines are simplified first; if that is not enough, only the strongest places stay.
    """
    if budget <= 0 or sum(map(weigh_places, sets)) <= budget:
        return []
    tolerance = max(frame[2] - frame[0], frame[3] - frame[1]) / FINENESS
    for places in sets:
        many = shapely.get_num_coordinates(places.geometry) > CORNERS
        places.geometry[many] = shapely.simplify(places.geometry[many], tolerance, preserve_topology=True)
    said = [f"Outlines are simplified to {tolerance:.2g} m, to keep the file small."]
    weight = sum(map(weigh_places, sets))
    if weight > budget:
        before = sum(map(len, sets))
        for places in sets:
            _keep_strongest(places, budget / weight)
        after = sum(map(len, sets))
        said.append(
            f"The maps draw the {after} strongest of {before} places, to keep the file small;"
            " findings and tables count all of them."
        )
    return said


def _keep_strongest(places: PlaceSet, share: float) -> None:
    """Drop the places whose values and changes are weakest, each against the greatest of its column."""
    strength = np.zeros(len(places))
    for values, _ in places.columns.values():
        sizes = np.nan_to_num(np.abs(values))
        greatest = sizes.max(initial=0.0)
        if greatest > 0:
            strength = np.maximum(strength, sizes / greatest)
    chosen = np.argsort(-strength, kind="stable")
    weight = np.cumsum(weigh_rows(places)[chosen])
    fits = weight <= share * weight[-1] if len(weight) else np.zeros(0, bool)
    rows = np.sort(chosen[fits])
    places.keep(rows)
