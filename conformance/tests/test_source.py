"""What the matrix does not show of the checks of sources: what a vendor says of the fixture, and where nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ldt_conformance.checks.source_places import metres_away, within_use
from ldt_conformance.checks.source_values import sentinel_in, unit_problem
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.example import Example
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome, Result
from ldt_conformance.reading import at_a_change, changes_clocks, instant_of
from ldt_conformance.zoo.sources import EXAMPLE, EverythingInAList, GoodSource, SwappedAxes
from shapely import Point

import ldt_core as ldt


def judged(requirement: str, example: Example, component: type[ldt.DataSource] = GoodSource) -> Result:
    with HereDriver(component) as driver:
        results = judge(driver, example, level=2, only=[requirement])
    return next(r for r in results if r.requirement == requirement)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0, 2.0, -999.0, -999.0], -999.0),
        ([1.0, 2.0, -999.0], None),  # once may be a value
        ([-999.0, -998.0, -500.0, -999.0], None),  # among its like it is a value
        ([0.0, 5.0, 5.0], None),
        ([9999.0, 9999.0], None),  # nothing to be far from
    ],
)
def test_a_number_stands_for_missing_where_it_is_repeated_and_far_from_all_others(
    values: list[float], found: float | None
) -> None:
    assert sentinel_in(np.array(values)) == found


def test_nan_stands_for_missing() -> None:
    assert np.isnan(sentinel_in(np.array([1.0, np.nan])))


@pytest.mark.parametrize("text", ["2026-03-02T05:00Z", "2026-03-02T06:00+01:00"])
def test_a_known_instant_is_read_with_its_offset(text: str) -> None:
    assert instant_of(text) == np.datetime64("2026-03-02T05:00", "us")


def test_a_known_instant_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="no offset"):
        instant_of("2026-03-02T05:00")


@pytest.mark.parametrize(
    ("instant", "beside"),
    [
        ("2025-10-26T00:00", True),
        ("2025-10-26T12:00", False),
        ("2026-03-29T01:30", True),
        ("2024-02-29T11:00", True),
        ("2025-12-31T23:30", True),  # New Year's day in Rome
        ("2025-12-30T12:00", False),
    ],
)
def test_what_lies_beside_a_change_of_clocks_is_known_by_the_zone(instant: str, beside: bool) -> None:
    assert at_a_change(np.datetime64(instant, "us"), "Europe/Rome") is beside
    assert not at_a_change(np.datetime64(instant, "us"), None)


@pytest.mark.parametrize(
    ("zone", "changes"), [("Europe/Rome", True), ("+01:00", False), ("UTC", False), (None, False)]
)
def test_a_zone_of_one_offset_changes_no_clocks(zone: str | None, changes: bool) -> None:
    assert changes_clocks(zone) is changes


def test_a_unit_is_held_against_its_quantity() -> None:
    assert unit_problem("[degF]", "air_temperature") is None
    assert "does not measure" in (unit_problem("m", "air_temperature") or "")
    assert unit_problem("furlongz", "x:anything") is not None
    assert unit_problem("{veh}/h", "x:traffic_flow") is None


def test_a_thousandth_of_a_degree_of_latitude_is_111_metres() -> None:
    assert metres_away(Point(11.0, 44.001), "EPSG:4326", 11.0, 44.0) == pytest.approx(111.3, abs=0.5)


@pytest.mark.parametrize(
    ("requirement", "changes", "asks"),
    [
        ("LDT-SRC-TIME-01", {"known": {}}, "known"),
        ("LDT-SRC-UNIT-01", {"known": {"measurements": EXAMPLE.known["measurements"][:1]}}, None),
        ("LDT-SRC-CRS-01", {"known": {}, "bbox": None}, "known"),
        ("LDT-SRC-HUGE-01", {"variants": {}}, "huge"),
        (
            "LDT-SRC-TIME-02",
            {"known": {**EXAMPLE.known, "measurements": EXAMPLE.known["measurements"][:2]}},
            "clock",
        ),
        ("LDT-SRC-DATA-01", {"known": {"stations": [{"nmae": "x"}]}}, "nmae"),
    ],
)
def test_what_the_example_does_not_say_is_asked_for_and_not_passed(
    requirement: str, changes: dict[str, Any], asks: str | None
) -> None:
    found = judged(requirement, replace(EXAMPLE, **changes))
    assert found.outcome is (Outcome.PASSED if asks is None else Outcome.CANT_TELL)
    assert asks is None or asks in found.reason


def test_a_source_of_names_alone_has_nothing_that_could_be_missing() -> None:
    class Names(ldt.DataSource):
        id = "names"
        outputs = {"names": ldt.Port({"name": ldt.text()}, at="start")}

        def read(self, query: ldt.Query) -> ldt.Tables:
            return {"names": ldt.Table({"name": ["a", "b"]})}

    assert judged("LDT-SRC-NULL-01", Example(), Names).outcome is Outcome.INAPPLICABLE


def test_swapped_axes_are_called_by_their_name() -> None:
    found = judged("LDT-SRC-CRS-01", EXAMPLE, SwappedAxes)
    assert found.outcome is Outcome.FAILED
    assert "swapped" in found.reason


@pytest.mark.parametrize(
    ("crs", "points", "inside"),
    [
        ("EPSG:2193", [(1_749_000.0, 5_428_000.0)], [True]),  # Wellington, in an area over the antimeridian
        ("EPSG:2193", [(-9_000_000.0, 5_428_000.0)], [False]),
        ("EPSG:25832", [(690_000.0, 5_335_000.0)], [True]),  # Munich
        ("EPSG:25832", [(690_000.0, 5_335_000.0), (690_000.0, 335_000.0)], [True, False]),
        ("EPSG:25832", [(-5_000_000.0, 5_335_000.0)], [False]),
    ],
)
def test_places_lie_in_the_area_in_which_their_system_is_used(
    crs: str, points: list[tuple[float, float]], inside: list[bool]
) -> None:
    area, degrees = within_use(np.array(points), crs)
    assert area.tolist() == inside
    assert degrees.shape == (len(points), 2)


def test_memory_that_was_let_go_before_hides_nothing_that_is_held_now() -> None:
    blocks = [np.ones(12_000) for _ in range(4000)]  # 384 MB below what is handed back to the system at once
    kept = blocks[::500]
    del blocks
    assert judged("LDT-SRC-HUGE-01", EXAMPLE, EverythingInAList).outcome is Outcome.FAILED
    assert len(kept) == 8
