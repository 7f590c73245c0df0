"""Classes: every value in exactly one, breaks round and rising, changes symmetric about zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldt_viewer_map import classes
from ldt_viewer_map.known import habit_of
from ldt_viewer_map.words import name_column, write_period

import ldt_core as ldt

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.lists(FINITE, min_size=1, max_size=80).map(lambda v: np.array(v, float))
TRAFFIC = st.lists(st.just(0.0) | st.floats(0.1, 3000), min_size=1, max_size=80).map(
    lambda v: np.array(v, float)
)


@given(VALUES | TRAFFIC)
def test_every_value_falls_into_one_class_and_the_counts_add_up(values: np.ndarray) -> None:
    breaks = classes.choose_breaks(values)
    assert breaks == sorted(set(breaks))
    found = classes.classify(values, breaks)
    edges = [-math.inf, *breaks, math.inf]
    assert all(edges[c] <= v < edges[c + 1] for v, c in zip(values, found, strict=True))
    counts = classes.count_classes(values, breaks)
    assert counts.sum() == len(values)
    assert len(counts) == len(breaks) + 1 == len(classes.name_classes(values, breaks))
    if breaks:
        assert counts[0] > 0
        assert counts[-1] > 0
    assert len(breaks) <= 2 * classes.CLASSES


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=80).map(np.array))
def test_breaks_are_shared_out_whatever_the_order(values: np.ndarray) -> None:
    assert classes.choose_breaks(values) == classes.choose_breaks(values[::-1])


@pytest.mark.parametrize(
    ("values", "breaks"),
    [
        ([5.0] * 9, []),
        ([1e15, 1e15 + 1], []),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1, 2, 3, 4, 5]),
        (np.linspace(0.11, 0.69, 30), [0.2, 0.3, 0.4, 0.5, 0.6]),
        (np.linspace(-30, 30, 30), [-20, -10, 0, 10, 20, 30]),
    ],
)
def test_even_breaks_are_round(values: list[float], breaks: list[float]) -> None:
    assert classes.choose_breaks(np.array(values, float)) == breaks


def test_where_values_crowd_the_classes_grow_and_no_traffic_is_a_class_of_its_own() -> None:
    values = np.array([0.0] * 400 + list(np.geomspace(1, 2000, 600)))
    breaks = classes.choose_breaks(values)
    counts = classes.count_classes(values, breaks)
    assert counts[0] == 400
    assert counts[1:].max() < 0.3 * len(values)
    assert classes.name_classes(values, breaks)[:2] == ["0", f"above 0, below {breaks[1]:g}"]


def test_growing_classes_are_round() -> None:
    assert classes.choose_breaks(np.geomspace(9, 2900, 900)) == [30, 100, 300, 1000]
    assert classes.choose_breaks(np.geomspace(9, 290, 900)) == [20, 50, 100, 200]


def test_a_few_small_values_do_not_make_all_classes_coarse() -> None:
    values = np.array([0.0] * 350 + list(np.geomspace(0.2, 3, 30)) + list(np.geomspace(3.1, 350, 440)))
    breaks = classes.choose_breaks(values)
    assert breaks == [0.2, 3, 10, 30, 100, 300]
    assert classes.name_classes(values, breaks)[:3] == ["0", "above 0, below 3", "3 to 10"]


def test_where_values_crowd_about_zero_the_places_are_shared_among_the_classes() -> None:
    values = np.concatenate([-np.geomspace(1e-3, 1e3, 300), np.geomspace(1e-3, 1e3, 300)])
    counts = classes.count_classes(values, classes.choose_breaks(values))
    assert counts.max() < 0.3 * len(values)


def test_classes_are_named_by_their_limits() -> None:
    assert classes.name_classes(np.array([1.0, 2, 12000]), [5, 10000]) == [
        "below 5",
        "5 to 10\u202f000",
        "10\u202f000 or more",
    ]
    assert classes.name_classes(np.array([7.0, 7.0]), []) == ["all 7"]
    assert classes.name_changes([1, 3], "quieter", "louder") == [
        "quieter by 3 or more",
        "quieter by 1 to 3",
        "little change (less than 1)",
        "louder by 1 to 3",
        "louder by 3 or more",
    ]


@given(VALUES, VALUES)
def test_changes_have_a_threshold_and_breaks_symmetric_about_zero(
    values: np.ndarray, changes: np.ndarray
) -> None:
    threshold = classes.choose_threshold(values, changes)
    assert threshold > 0
    steps = classes.choose_steps(changes, threshold)
    breaks = classes.mirror_steps(steps)
    assert breaks == sorted(set(breaks))
    np.testing.assert_allclose(breaks, -np.array(breaks[::-1]))
    assert len(classes.name_changes(steps, "lower", "higher")) == len(breaks) + 1
    middle = len(steps)
    found = classes.classify(changes, breaks)
    assert ((found == middle) == (np.abs(changes) < threshold)).all()
    assert ((found > middle) == (changes >= threshold)).all()
    assert (classes.classify(-changes, breaks) == 2 * middle - found).all(), "a change and its reverse mirror"


def test_a_change_of_just_the_threshold_counts_in_both_directions() -> None:
    assert classes.classify(np.array([-1.0, -0.5, 1.0]), classes.mirror_steps([1.0])).tolist() == [0, 1, 2]


def test_a_missing_value_has_no_class() -> None:
    assert classes.classify(np.array([np.nan, 1.0]), [0.5]).tolist() == [-1, 1]
    assert classes.count_classes(np.array([np.nan, 1.0]), [0.5]).tolist() == [0, 1]


def test_known_classes_hold_for_their_unit_only() -> None:
    level = ldt.Info("n.l.v", "n", "l", "v", "dB", "x:sound_level_a", "mean", "Level", "polygon")
    assert habit_of(level).breaks == (45, 50, 55, 60, 65, 70, 75)
    assert habit_of(level).steps[0] == 1
    other = habit_of(level._replace(unit="B"))
    assert (other.breaks, other.steps, other.more) == ((), (), "louder")
    assert habit_of(level._replace(quantity=None)).more == "higher"


@pytest.mark.parametrize(
    ("start", "end", "zone", "text"),
    [
        (
            "2026-03-02T05:00:00Z",
            "2026-03-02T10:00:00Z",
            "Europe/Rome",
            "2 Mar 2026 06:00 to 11:00 (Europe/Rome)",
        ),
        ("2026-03-02T22:00", "2026-03-03T22:00", "UTC", "2 Mar 2026 22:00 to 3 Mar 2026 22:00 (UTC)"),
        ("Monday", "Tuesday", "UTC", "Monday to Tuesday"),
    ],
)
def test_the_period_is_written_in_the_twins_zone(start: str, end: str, zone: str, text: str) -> None:
    assert write_period(start, end, zone) == text


@pytest.mark.parametrize(
    ("title", "quantity", "name"),
    [
        ("flow", "x:traffic_flow", "Traffic flow"),
        ("flow", None, "Flow"),
        ("flow", "x:sound_level_a", "Noise level"),
        ("co2", "x:co2_mass", "CO₂ mass"),
        ("vehicles per hour", "x:traffic_flow", "Vehicles per hour"),
        ("", None, "Traffic.flow.flow"),
    ],
)
def test_a_column_is_called_by_its_description_then_its_quantity(
    title: str, quantity: str | None, name: str
) -> None:
    column = "co2" if title == "co2" else "flow"
    info = ldt.Info("traffic.flow.flow", "traffic", "flow", column, "1", quantity, "mean", title, None)
    assert name_column(info) == name
