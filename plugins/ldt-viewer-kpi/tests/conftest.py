"""A small twin in memory that the viewer can be asked to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
def make_variable() -> Callable[..., testing.Variable]:
    """The flow on street edges, or without places: ``make(values, **changes)``."""

    def make(values: Mapping[str, Any], placed: bool = True, **changes: Any) -> testing.Variable:
        count = np.shape(next(iter(values.values())))[2]
        ids = np.array([f"e{i}" for i in range(count)], object)
        lines = np.array([shapely.LineString([(20 * i, 0), (20 * i, 80)]) for i in range(count)], object)
        places = ldt.Table({"edge": ids, "geometry": lines} if placed else {"edge": ids})
        usual: dict[str, Any] = {
            "unit": "{veh}/h",
            "quantity": "x:traffic_flow",
            "title": "Traffic flow",
            "credits": ["Example town, CC BY 4.0"],
        }
        return testing.Variable(values, places, **(usual | changes))

    return make
