"""A small twin in memory that the viewer can be asked to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import shapely

import ldt_core as ldt
from ldt_core import testing


@pytest.fixture(scope="session")
def make_view() -> type[testing.MemoryView]:
    return testing.MemoryView


@pytest.fixture(scope="session")
def make_places() -> Callable[..., ldt.Table]:
    """``make(count)``: streets of 80 m side by side, 20 m apart; or buildings, or points."""

    def make(
        count: int, shape: str = "line", id: str = "edge", names: Sequence[Any] | None = None
    ) -> ldt.Table:
        x = 600_000.0 + 20.0 * np.arange(count)
        y = np.full(count, 5_700_000.0)
        if shape == "point":
            geometry = shapely.points(x, y)
        elif shape == "polygon":
            geometry = shapely.box(x, y, x + 15.0, y + 12.0)
        else:
            geometry = shapely.linestrings(np.stack([np.stack([x, y], -1), np.stack([x, y + 80.0], -1)], 1))
        columns: dict[str, Any] = {id: np.array([f"{id}{i}" for i in range(count)], object)}
        masks = {}
        if names is not None:
            columns["from_node"] = np.full(count, "junction", object)
            columns["name"] = np.array(names, object)
            masks["name"] = np.array([n is None for n in names], bool)
        return ldt.Table(columns | {"geometry": np.array(geometry, object)}, masks)

    return make


@pytest.fixture(scope="session")
def make_variable(make_places: Callable[..., ldt.Table]) -> Callable[..., testing.Variable]:
    """``make(values, places, **changes)``: sound levels along streets where nothing else is said."""

    def make(values: Mapping[str, Any], places: ldt.Table | None = None, **changes: Any) -> testing.Variable:
        if places is None:
            places = make_places(np.shape(next(iter(values.values())))[2])
        usual: dict[str, Any] = {
            "unit": "dB",
            "quantity": "x:sound_level_a",
            "title": "Sound level",
            "credits": ["Example town, CC BY 4.0"],
        }
        return testing.Variable(values, places, **(usual | changes))

    return make
