"""Propagation against closed forms, and the symmetries that geometry must keep."""

from __future__ import annotations

from math import log10, pi

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_model_road_noise.absorption import absorb_air
from ldt_model_road_noise.propagation import (
    PIECE,
    RECEIVER_HEIGHT,
    SOURCE_HEIGHT,
    Transfer,
    cut_streets,
    place_receivers,
    spread_line,
    trace,
)

STILL = np.zeros(8)
LIFT = RECEIVER_HEIGHT - SOURCE_HEIGHT


def geometries(*items: shapely.Geometry) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def run(
    streets: np.ndarray, buildings: np.ndarray, heights: list[float] | None = None, **changes: object
) -> Transfer:
    options = {"spacing": 10.0, "max_distance": 500.0, "absorption": STILL, "screening_loss": 20.0} | changes
    high = np.full(len(buildings), 12.0) if heights is None else np.array(heights)
    return trace(streets, buildings, high, **options)  # type: ignore[arg-type]


def level(streets: np.ndarray, buildings: np.ndarray, **changes: object) -> np.ndarray:
    """Level at each building, dB, where every street radiates 1 pW/m in the first band alone."""
    power = np.zeros((len(streets), 8))
    power[:, 0] = 1.0
    with np.errstate(divide="ignore"):
        return 10 * np.log10(run(streets, buildings, **changes).loudest(power, len(buildings)))


def line_level(distance: float, half: float) -> float:
    """Level beside the middle of a line of length 2 ``half``, whose distance in space is given."""
    point = np.array([[0.0, (distance**2 - LIFT**2) ** 0.5]])
    return float(10 * np.log10(spread_line(point, np.array([[-half, 0.0]]), np.array([[half, 0.0]])))[0])


def test_infinite_line_loses_three_decibels_per_doubling() -> None:
    """And stands at L'W - 10 lg d - 3: half of the power of a metre goes through a quarter of pi d."""
    near, far = line_level(20, 1e7), line_level(40, 1e7)
    assert near - far == pytest.approx(10 * log10(2), abs=1e-4)
    assert near == pytest.approx(-10 * log10(20) - 10 * log10(2), abs=1e-4)


def test_short_line_loses_six_decibels_per_doubling() -> None:
    """A metre far away is a point over hard ground: LW - 20 lg r - 8."""
    near, far = line_level(100, 0.5), line_level(200, 0.5)
    assert near - far == pytest.approx(20 * log10(2), abs=1e-3)
    assert near == pytest.approx(-20 * log10(100) - 10 * log10(2 * pi), abs=1e-3)


@given(st.floats(-400, 400), st.floats(-400, 400), st.floats(1, 200), st.floats(0, 6.3))
def test_closed_form_is_the_sum_of_many_points(x: float, y: float, length: float, angle: float) -> None:
    start, step = np.array([x, y]), length * np.array([np.cos(angle), np.sin(angle)])
    closed = spread_line(np.zeros((1, 2)), start[None], (start + step)[None])[0]
    n = 4000
    middles = start + (np.arange(n) + 0.5)[:, None] / n * step
    points = (length / n / (2 * pi * ((middles**2).sum(1) + LIFT**2))).sum()
    assert closed == pytest.approx(points, rel=1e-3)


@given(st.floats(5, 300), st.floats(5, 300), st.floats(0.01, 0.99))
def test_a_line_in_two_parts_radiates_as_a_whole(x: float, y: float, share: float) -> None:
    """Energy adds: nothing is won or lost by splitting a street."""
    here, start, end = np.array([[0.0, 0.0]]), np.array([[x, y]]), np.array([[-x, y]])
    middle = start + share * (end - start)
    whole = spread_line(here, start, end)
    assert whole == pytest.approx(spread_line(here, start, middle) + spread_line(here, middle, end), rel=1e-9)


def test_the_model_splits_streets_without_changing_the_level() -> None:
    """The same through the whole chain: one edge of 200 m, or two of 80 and 120 m; with air, to 0.02 dB."""
    house = geometries(shapely.box(-5, 20, 5, 30))
    whole = geometries(shapely.LineString([(-100, 0), (100, 0)]))
    parts = geometries(shapely.LineString([(-100, 0), (-20, 0)]), shapely.LineString([(-20, 0), (100, 0)]))
    assert level(whole, house) == pytest.approx(level(parts, house), abs=1e-9)
    air = absorb_air(20, 70)[::-1].copy()  # the 8 kHz figure in the first band: the worst case
    assert level(whole, house, absorption=air) == pytest.approx(level(parts, house, absorption=air), abs=0.02)


def test_two_equal_streets_are_three_decibels_more_than_one() -> None:
    house = geometries(shapely.box(-5, 20, 5, 30))
    street = shapely.LineString([(-100, 0), (100, 0)])
    assert level(geometries(street, street), house) - level(geometries(street), house) == pytest.approx(
        10 * log10(2)
    )


def test_house_beside_a_street_stands_at_the_closed_form() -> None:
    """Wall at 20 m, receiver 0.5 m before it, 4 m high; street 2 x 400 m, taken whole."""
    house = geometries(shapely.box(-5, 20, 5, 30))
    street = geometries(shapely.LineString([(-400, 0), (400, 0)]))
    distance = (19.5**2 + LIFT**2) ** 0.5
    assert level(street, house) == pytest.approx(line_level(distance, 400), abs=1e-6)


def test_air_takes_its_share() -> None:
    """A short street 200 m away: 200 m of absorption, to the length of the street."""
    house, street = (
        geometries(shapely.box(-5, 200, 5, 210)),
        geometries(shapely.LineString([(-1, 0), (1, 0)])),
    )
    loss = level(street, house) - level(street, house, absorption=np.full(8, 0.01))
    assert loss == pytest.approx(0.01 * (199.5**2 + LIFT**2) ** 0.5, abs=1e-3)


def test_a_building_in_between_takes_the_screening_loss() -> None:
    """The wall behind a long block loses the loss; a shed lower than the receiver takes nothing."""
    house, block = shapely.box(-5, 60, 5, 70), shapely.box(-400, 20, 400, 30)
    street = geometries(shapely.LineString([(-100, 0), (100, 0)]))
    free = level(street, geometries(house))[0]
    hidden = level(street, geometries(house, block), screening_loss=15.0)[0]
    assert free - hidden == pytest.approx(15.0, abs=1e-9)
    assert level(street, geometries(house, block), heights=[12.0, 3.0])[0] == pytest.approx(free, abs=1e-9)


def test_a_building_screens_its_own_far_side() -> None:
    """The level is that of the loudest wall: a courtyard's or a back wall's never raises it."""
    thin, deep = geometries(shapely.box(-50, 20, 50, 21)), geometries(shapely.box(-50, 20, 50, 90))
    street = geometries(shapely.LineString([(-100, 0), (100, 0)]))
    assert level(street, thin) == pytest.approx(level(street, deep), abs=1e-9)


def test_farther_streets_do_not_count() -> None:
    house, street = (
        geometries(shapely.box(-5, 200, 5, 210)),
        geometries(shapely.LineString([(-9, 0), (9, 0)])),
    )
    assert level(street, house, max_distance=199.0)[0] == -np.inf
    assert level(street, house, max_distance=200.0)[0] > -np.inf


def test_party_walls_have_no_receiver() -> None:
    """Of two touching houses, the shared wall hears nothing; a house within a house has no wall at all."""
    points, building = place_receivers(geometries(shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)), 100)
    assert building.tolist() == [0, 0, 0, 1, 1, 1]
    assert not shapely.intersects_xy(shapely.box(0, 0, 20, 10), *points.T).any()
    _, building = place_receivers(geometries(shapely.box(0, 0, 30, 30), shapely.box(10, 10, 20, 20)), 100)
    assert set(building) == {0}


def test_multipolygons_and_holes() -> None:
    """Parts are one building; walls of a courtyard are not outer walls."""
    ring = shapely.Polygon(shapely.box(0, 0, 50, 50).exterior, [shapely.box(20, 20, 30, 30).exterior])
    points, building = place_receivers(
        geometries(shapely.MultiPolygon([ring, shapely.box(100, 0, 110, 10)])), 1000
    )
    assert building.tolist() == [0] * 8
    assert not shapely.intersects_xy(shapely.box(0, 0, 50, 50), *points.T).any()


def test_pieces_cover_the_street() -> None:
    streets = geometries(
        shapely.LineString([(0, 0), (50, 0), (50, 0), (50, 7)]), shapely.LineString([(0, 9), (PIECE, 9)])
    )
    starts, ends, edge = cut_streets(streets)
    lengths = np.hypot(*(ends - starts).T)
    assert lengths.max() <= PIECE
    assert edge.tolist() == [0, 0, 0, 0, 1]
    assert np.bincount(edge, lengths) == pytest.approx([57, PIECE])


@st.composite
def towns(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A few streets and separate houses; crooked figures, so that no line of sight just grazes a corner."""
    cells = draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6, unique=True)
    )
    houses = [
        shapely.box(
            60.13 * i + 20, 60.71 * j + 20, 60.13 * i + 28.37 + draw(st.integers(0, 22)), 60.71 * j + 45
        )
        for i, j in cells
    ]
    numbers = st.integers(-50, 400)
    streets = [
        shapely.LineString(
            [
                (1.0173 * draw(numbers), 60.071 * k + 0.2718),
                (1.0173 * draw(numbers) + 451, 60.071 * k + 0.3141 + 1.0137 * draw(st.integers(0, 9))),
            ]
        )
        for k in range(draw(st.integers(1, 4)))
    ]
    return geometries(*streets), geometries(*houses)


@settings(max_examples=40, deadline=None)
@given(towns(), st.permutations(range(4)))
def test_mirror_turn_and_order_change_nothing(town: tuple[np.ndarray, np.ndarray], order: list[int]) -> None:
    streets, houses = town
    before = level(streets, houses)
    assert level(shapely.reverse(streets), houses) == pytest.approx(before, abs=1e-6)
    assert level(streets, shapely.reverse(houses)) == pytest.approx(before, abs=1e-6)
    shuffled = streets[[i for i in order if i < len(streets)]]
    assert level(shuffled, houses) == pytest.approx(before, abs=1e-9)
    mirrored = [shapely.transform(g, lambda xy: xy * [-1.0, 1.0]) for g in town]
    assert level(*mirrored) == pytest.approx(before, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(towns())
def test_screening_never_raises_a_level(town: tuple[np.ndarray, np.ndarray]) -> None:
    """Nor by more than its loss lowers one."""
    streets, houses = town
    free = level(streets, houses, screening_loss=0.0)
    hidden = level(streets, houses, screening_loss=20.0)
    assert (hidden <= free + 1e-9).all()
    assert (hidden >= free - 20.0 - 1e-9).all()
