"""Tours through the stops: a capacitated vehicle routing problem, searched by PyVRP for a fixed number of steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TICKS = 10
"""Per second: the solver counts in integers."""

_LOOK_UP = 20


@dataclass(frozen=True)
class Fleet:
    """Equal vans: how many, parcels in each, seconds of one shift."""

    vans: int
    capacity: int
    shift: float


@dataclass(frozen=True)
class Plan:
    """Stops of each tour in order, numbered from 1 (0 is the depot), and the stops that no tour takes."""

    tours: list[list[int]]
    left_out: list[int]


def plan_tours(
    times: NDArray[np.float64],
    service: NDArray[np.float64],
    parcels: NDArray[np.int64],
    fleet: Fleet,
    *,
    iterations: int,
    seed: int,
    watch: Callable[[float], None] = lambda share: None,
) -> Plan:
    """The tours of least total time (driving and service) that were found.

    ``times`` in s between depot (0) and stops, shape (n + 1, n + 1); ``service`` in s and
    ``parcels`` of each stop, shape (n,).
    A stop is left out only where vans, capacity or shift do not suffice. Same arguments, same plan.
    """
    if not len(service):
        return Plan([], [])
    import pyvrp
    from pyvrp.exceptions import PenaltyBoundWarning
    from pyvrp.stop import MaxIterations

    driving: Any = np.rint(times * TICKS).astype(np.int64)
    serving = np.rint(service * TICKS).astype(np.int64)
    # Dearer than any detour for one stop: a stop is dropped only where it cannot be served.
    prize = 10 * int((driving[0, 1:] + driving[1:, 0] + serving).max() + 1)
    data = pyvrp.ProblemData(
        locations=[pyvrp.Location(0, 0) for _ in range(len(driving))],
        clients=[
            pyvrp.Client(i, [int(load)], service_duration=int(s), prize=prize, required=False)
            for i, (s, load) in enumerate(zip(serving, parcels, strict=True), 1)
        ],
        depots=[pyvrp.Depot(0)],
        vehicle_types=[
            pyvrp.VehicleType(
                num_available=fleet.vans,
                capacity=[fleet.capacity],
                shift_duration=int(fleet.shift * TICKS),
                unit_distance_cost=0,
                unit_duration_cost=1,
            )
        ],
        distance_matrices=[np.zeros_like(driving)],
        duration_matrices=[driving],
    )
    done = 0

    class Watch(pyvrp.IteratedLocalSearchCallbacks):
        def on_iteration(self, *_: object) -> None:
            nonlocal done
            done += 1
            if done % _LOOK_UP == 0:
                watch(done / iterations)

    search = pyvrp.SolveParams(ils=pyvrp.IteratedLocalSearchParams(callbacks=Watch()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PenaltyBoundWarning)  # limits hold in the answer all the same
        result = pyvrp.solve(
            data,
            MaxIterations(iterations),
            seed=seed % 2**32,
            collect_stats=False,
            params=search,
            # Within the limits from the start, so that the best that is found is too.
            initial_solution=pyvrp.Solution(data, _fill_vans(driving, serving, parcels, fleet)),
        )
    tours = [[a.idx + 1 for a in route if a.is_client()] for route in result.best.routes()]
    served = {stop for tour in tours for stop in tour}
    left_out = [stop for stop in range(1, len(driving)) if stop not in served]
    return Plan(sorted(tour for tour in tours if tour), left_out)


def _fill_vans(driving: Any, serving: Any, parcels: NDArray[np.int64], fleet: Fleet) -> list[list[int]]:
    """A plain plan within all limits: each van goes on to the nearest stop that it still has room and time for."""
    waiting = set(range(1, len(driving)))
    tours: list[list[int]] = []
    for _ in range(fleet.vans):
        tour, here, spent, load = [], 0, 0, 0
        while waiting:
            fits = [
                stop
                for stop in sorted(waiting)
                if load + parcels[stop - 1] <= fleet.capacity
                and spent + driving[here, stop] + serving[stop - 1] + driving[stop, 0] <= fleet.shift * TICKS
            ]
            if not fits:
                break
            there = min(fits, key=lambda stop: driving[here, stop])
            spent += driving[here, there] + serving[there - 1]
            load += parcels[there - 1]
            tour.append(there - 1)
            waiting.remove(there)
            here = there
        if tour:
            tours.append(tour)
    return tours
