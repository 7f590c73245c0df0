"""Ways through the street graph, against closed forms and another shortest-path method."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_model_last_mile.streets import Streets, Ways


def objects(items: list[object]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def build(rows: list[tuple[str, str, str, float, bool, shapely.LineString]]) -> Streets:
    """(edge, from, to, seconds, open, line); the length is the line's."""
    edge, start, end, time, open_, line = (list(column) for column in zip(*rows, strict=True))
    lines = objects(line)
    return Streets.build(
        objects(edge),
        (objects(start), objects(end)),
        np.array(time, float),
        shapely.length(lines),
        open_,
        lines,
    )


def grid(n: int, step: float = 100.0, speed: float = 10.0, closed: tuple[str, ...] = ()) -> Streets:
    """n x n crossings, every street in both directions."""
    rows = []
    for i in range(n):
        for j in range(n):
            for di, dj in ((1, 0), (0, 1), (-1, 0), (0, -1)):
                k, m = i + di, j + dj
                if 0 <= k < n and 0 <= m < n:
                    name = f"{i}{j}-{k}{m}"
                    line = shapely.LineString([(i * step, j * step), (k * step, m * step)])
                    rows.append((name, f"{i}{j}", f"{k}{m}", step / speed, name not in closed, line))
    return build(rows)


def ways_between(streets: Streets, points: list[tuple[float, float]]) -> Ways:
    street, along, _ = streets.snap(objects([shapely.Point(p) for p in points]), streets.usable)
    return Ways(streets, street, along)


def test_grid_times_are_manhattan_times() -> None:
    """Between corners |dx| + |dy| over the speed, plus at most the street that a place at its start stands on."""
    streets = grid(4)
    points = [(0.0, 0.0), (300.0, 200.0), (100.0, 300.0)]
    times = ways_between(streets, points).times
    for i, (x, y) in enumerate(points):
        for j, (u, v) in enumerate(points):
            walk = (abs(x - u) + abs(y - v)) / 10
            assert walk - 1e-9 <= times[i, j] <= walk + 20 + 1e-9


def test_one_way_ring() -> None:
    """On a ring of four streets the way back is the rest of the ring."""
    corners = [(0, 0), (100, 0), (100, 100), (0, 100), (0, 0)]
    streets = build(
        [
            (f"s{i}", f"n{i}", f"n{(i + 1) % 4}", 10.0, True, shapely.LineString(corners[i : i + 2]))
            for i in range(4)
        ]
    )
    ways = ways_between(streets, [(30, 0), (100, 60), (80, 0)])
    expected = np.array([[0.0, 13.0, 5.0], [27.0, 0.0, 32.0], [35.0, 8.0, 0.0]])
    assert ways.times == pytest.approx(expected)
    assert ways.trace(1, 0).distance == pytest.approx(270.0)
    assert ways.trace(0, 2).distance == pytest.approx(50.0)
    assert ways.trace(0, 0) == (0.0, None)


def test_the_faster_of_parallel_streets_is_taken() -> None:
    a, b = (0.0, 0.0), (100.0, 0.0)
    streets = build(
        [
            ("back", "b", "a", 10.0, True, shapely.LineString([b, a])),
            ("fast", "a", "b", 5.0, True, shapely.LineString([a, (50, 40), b])),
            ("slow", "a", "b", 50.0, True, shapely.LineString([a, b])),
            ("out", "b", "c", 10.0, True, shapely.LineString([b, (200, 0)])),
            ("home", "c", "b", 10.0, True, shapely.LineString([(200, 0), b])),
        ]
    )
    row = {"back": 0, "fast": 1, "home": 2, "out": 3}
    ways = Ways(streets, np.array([row["back"], row["out"]]), np.array([1.0, 0.5]))
    assert ways.times[0, 1] == pytest.approx(5.0 + 5.0)
    assert ways.trace(0, 1).distance == pytest.approx(2 * (50**2 + 40**2) ** 0.5 + 50)


def test_streets_that_cannot_be_left_are_not_usable() -> None:
    """A one-way spur into nowhere would trap the van."""
    line = shapely.LineString
    streets = build(
        [
            ("a", "1", "2", 1, True, line([(0, 0), (1, 0)])),
            ("b", "2", "1", 1, True, line([(1, 0), (0, 0)])),
            ("shut", "2", "1", 1, False, line([(1, 0), (0, 0)])),
            ("spur", "2", "3", 1, True, line([(1, 0), (2, 0)])),
        ]
    )
    assert streets.usable.tolist() == [True, True, False, False]


def test_snapping_takes_the_nearest_and_breaks_ties_by_id() -> None:
    """Both directions share a line: the first id wins, whatever the order of the rows."""
    line = shapely.LineString([(0, 0), (100, 0)])
    rows = [("x", "1", "2", 1.0, True, line), ("b", "2", "1", 1.0, True, shapely.reverse(line))]
    for order in (rows, rows[::-1]):
        streets = build(order)
        street, along, apart = streets.snap(objects([shapely.box(20, 5, 30, 15)]), streets.usable)
        assert street.tolist() == [0]  # "b", which runs from right to left
        assert along[0] == pytest.approx(0.7, abs=0.11)
        assert apart.tolist() == [5.0]


@st.composite
def towns(draw: st.DrawFn) -> tuple[Streets, list[tuple[float, float]]]:
    """A grid with some streets closed and places beside it."""
    names = [f"{i}{j}-{i + 1}{j}" for i in range(3) for j in range(4)]
    closed = tuple(draw(st.lists(st.sampled_from(names), max_size=4, unique=True)))
    coordinate = st.floats(-20, 320)
    return grid(4, closed=closed), draw(st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=6))


@settings(max_examples=60, deadline=None)
@given(towns())
def test_times_are_a_metric_and_ways_tell_of_them(town: tuple[Streets, list[tuple[float, float]]]) -> None:
    """No way is shorter over a third place; each traced line starts, ends and lasts as it says."""
    streets, points = town
    street, along, _ = streets.snap(objects([shapely.Point(p) for p in points]), streets.usable)
    ways = Ways(streets, street, along)
    times = ways.times
    assert np.isfinite(times).all()
    assert (times >= 0).all()
    assert (times[:, None, :] <= times[:, :, None] + times[None, :, :] + 1e-9).all()
    spots = shapely.line_interpolate_point(streets.lines[street], along, normalized=True)
    for i in range(len(points)):
        for j in range(len(points)):
            way = ways.trace(i, j)
            assert way.distance / 10.0 == pytest.approx(times[i, j], abs=1e-6)  # all streets at 10 m/s
            if way.line is None:
                assert way.distance == pytest.approx(0.0, abs=1e-6)
            else:
                assert way.line.length == pytest.approx(way.distance, abs=1e-6)
                assert shapely.Point(way.line.coords[0]).distance(spots[i]) < 1e-6
                assert shapely.Point(way.line.coords[-1]).distance(spots[j]) < 1e-6


@settings(max_examples=30, deadline=None)
@given(towns())
def test_times_agree_with_floyd_and_warshall(town: tuple[Streets, list[tuple[float, float]]]) -> None:
    streets, points = town
    street, along, _ = streets.snap(objects([shapely.Point(p) for p in points]), streets.usable)
    n = streets.nodes
    far = np.full((n, n), np.inf)
    np.fill_diagonal(far, 0.0)
    for e in np.flatnonzero(streets.usable):
        far[streets.start[e], streets.end[e]] = min(far[streets.start[e], streets.end[e]], streets.time[e])
    for k in range(n):
        far = np.minimum(far, far[:, k, None] + far[None, k, :])
    times = Ways(streets, street, along).times
    for i in range(len(points)):
        for j in range(len(points)):
            a, b = street[i], street[j]
            expected = (
                (1 - along[i]) * streets.time[a]
                + far[streets.end[a], streets.start[b]]
                + along[j] * streets.time[b]
            )
            if a == b and along[j] >= along[i]:
                expected = (along[j] - along[i]) * streets.time[a]
            assert times[i, j] == pytest.approx(0.0 if i == j else expected, abs=1e-9)
