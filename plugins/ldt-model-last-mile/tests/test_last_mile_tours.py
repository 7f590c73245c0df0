"""Tours against exact answers: a published instance, brute force, and what must hold of any plan."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_model_last_mile.tours import TICKS, Fleet, Plan, plan_tours

DAY = 86_400.0


def cost(times: np.ndarray, plan: Plan) -> float:
    return float(sum(times[a, b] for tour in plan.tours for a, b in zip([0, *tour], [*tour, 0], strict=True)))


def solve_exactly(times: np.ndarray, parcels: np.ndarray, vans: int, capacity: int) -> float:
    """Least driving time: Held and Karp for every set of stops, then the best way to share them out."""
    n = len(times) - 1
    ends: dict[tuple[int, int], float] = {(1 << i, i): times[0, i + 1] for i in range(n)}
    for size in range(2, n + 1):
        for chosen in combinations(range(n), size):
            whole = sum(1 << i for i in chosen)
            for last in chosen:
                rest = whole ^ (1 << last)
                ends[whole, last] = min(ends[rest, i] + times[i + 1, last + 1] for i in chosen if i != last)
    tour = {0: 0.0}
    for (whole, last), spent in ends.items():
        if sum(int(parcels[i]) for i in range(n) if whole >> i & 1) <= capacity:
            tour[whole] = min(tour.get(whole, np.inf), spent + times[last + 1, 0])
    best = [0.0] + [np.inf] * (2**n - 1)
    for _ in range(vans):
        best = [
            min(best[whole ^ part] + spent for part, spent in tour.items() if part & whole == part)
            for whole in range(2**n)
        ]
    return best[-1]


def matrix(points: np.ndarray) -> np.ndarray:
    """Straight-line times, so that the triangle inequality holds; a little slower in one direction."""
    step = points[None, :] - points[:, None]
    return np.hypot(*np.moveaxis(step, -1, 0)) * np.where(step[..., 0] > 0, 1.3, 1.0)


def test_published_instance_is_solved() -> None:
    """P-n16-k8 of CVRPLIB (Augerat et al. 1995): 15 customers, capacity 35, optimum 450 with rounded distances."""
    place = np.array(
        [
            (30, 40), (37, 52), (49, 49), (52, 64), (31, 62), (52, 33), (42, 41), (52, 41),
            (57, 58), (62, 42), (42, 57), (27, 68), (43, 67), (58, 48), (58, 27), (37, 69),
        ]
    )  # fmt: skip
    demand = np.array([19, 30, 16, 23, 11, 31, 15, 28, 8, 8, 7, 14, 6, 19, 11])
    times = np.rint(np.hypot(*np.moveaxis(place[:, None] - place[None], -1, 0)))
    plan = plan_tours(times, np.zeros(15), demand, Fleet(8, 35, DAY), iterations=1000, seed=1)
    assert cost(times, plan) == 450
    assert len(plan.tours) == 8
    assert not plan.left_out


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    n = draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    parcels = rng.integers(1, 4, n)
    capacity = draw(st.integers(4, 12))
    vans = draw(st.integers(-(-int(parcels.sum()) // capacity), n + 1))
    return matrix(rng.uniform(0, 1000, (n + 1, 2))), parcels, max(1, vans), capacity


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**64))
def test_small_problems_are_solved_to_optimality(
    problem: tuple[np.ndarray, np.ndarray, int, int], seed: int
) -> None:
    times, parcels, vans, capacity = problem
    exact = solve_exactly(times, parcels, vans, capacity)
    if np.isinf(exact):
        return  # the parcels do not split evenly enough over the vans
    plan = plan_tours(
        times, np.zeros(len(parcels)), parcels, Fleet(vans, capacity, DAY), iterations=200, seed=seed
    )
    assert not plan.left_out
    # The solver counts in tenths of a second: each leg is off by a twentieth at most.
    assert cost(times, plan) == pytest.approx(exact, abs=2 * (len(times) + vans) * 0.5 / TICKS)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 25), st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_a_plan_visits_each_stop_once_and_keeps_the_limits(n: int, seed: int, capacity: int) -> None:
    rng = np.random.default_rng(seed)
    parcels, service = rng.integers(1, 4, n), rng.uniform(0, 200, n)
    times = matrix(rng.uniform(0, 1000, (n + 1, 2)))
    fleet = Fleet(3, capacity, 4000.0)
    plan = plan_tours(times, service, parcels, fleet, iterations=50, seed=seed)
    visited = sorted([stop for tour in plan.tours for stop in tour] + plan.left_out)
    assert visited == list(range(1, n + 1))
    assert len(plan.tours) <= 3
    for tour in plan.tours:
        rows = np.array(tour) - 1
        assert parcels[rows].sum() <= capacity
        assert cost(times, Plan([tour], [])) + service[rows].sum() <= 4000.0 + len(tour) + 1
    again = plan_tours(times, service, parcels, fleet, iterations=50, seed=seed)
    assert again == plan


@settings(max_examples=20, deadline=None)
@given(problems())
def test_driving_every_tour_backwards_costs_the_same_on_reversed_streets(
    problem: tuple[np.ndarray, np.ndarray, int, int],
) -> None:
    times, parcels, _, capacity = problem
    fleet, service = Fleet(len(parcels), capacity, DAY), np.zeros(len(parcels))
    there = plan_tours(times, service, parcels, fleet, iterations=200, seed=3)
    back = plan_tours(times.T.copy(), service, parcels, fleet, iterations=200, seed=3)
    assert cost(times, there) == pytest.approx(cost(times.T, back), abs=2.0)


def test_stops_are_left_out_only_where_they_must_be() -> None:
    """Five stops of one parcel, one van of three: the three that are cheapest to serve are served."""
    far = np.array([0.0, 10, 20, 30, 400, 500])
    times = np.abs(far[:, None] - far[None])
    plan = plan_tours(times, np.zeros(5), np.ones(5, int), Fleet(1, 3, DAY), iterations=200, seed=0)
    assert plan.left_out == [4, 5]
    assert cost(times, plan) == 60.0


def test_a_shift_limits_a_tour() -> None:
    """Each stop takes 100 s at the door and stands 10 s from the depot: three fit a shift of 400 s."""
    times = np.where(np.eye(7, dtype=bool), 0.0, 10.0)
    plan = plan_tours(times, np.full(6, 100.0), np.ones(6, int), Fleet(2, 99, 400.0), iterations=200, seed=0)
    assert sorted(len(tour) for tour in plan.tours) == [3, 3]


def test_no_stops_no_tours() -> None:
    assert plan_tours(
        np.zeros((1, 1)), np.zeros(0), np.zeros(0, int), Fleet(1, 1, 1), iterations=10, seed=0
    ) == Plan([], [])
