"""The component: street times and addresses in, delivery tours out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pydantic import ConfigDict, model_validator

import ldt_core as ldt

from .depot import Corner, Depot, locate
from .ports import INPUTS, OUTPUTS
from .streets import Floats, Ints, Objects, Streets, Ways
from .tours import Fleet, plan_tours


class _Stops(NamedTuple):
    """The depot (row 0) and the stops that a van reaches: street, share along it, metres on foot."""

    street: Ints
    along: Floats
    walk: Floats


class LastMile(ldt.Model):
    """Parcel delivery by van: the fastest tours from a depot to a drawn set of addresses and back.

    Streets closed to cars are not driven; an address there is reached on foot from the nearest street
    that a van can use. Tours are searched (PyVRP, a fixed number of iterations) for the least total time with
    the mean travel times of the window. Turn bans and signals count as far as travel times hold them.
    """

    id = "last-mile"
    title = "Delivery tours"
    stochastic = True
    inputs = INPUTS
    outputs = OUTPUTS
    validity = {
        "use": "comparing scenarios with the same stops; not dispatching",
        "not modelled": "time windows, loading bays, turn bans, change of travel time along a tour",
        "window": "a tour is computed as if the window's mean travel times lasted until it ends",
    }

    class Params(ldt.Params):
        model_config = ConfigDict(use_attribute_docstrings=True)

        vehicles: Annotated[int, ldt.Field(ge=1, le=1000)] = 4
        """Vans at the depot; tours use as few as serve best."""
        capacity: Annotated[int, ldt.Field(ge=1)] = 60
        """Parcels in a van."""
        stops: Annotated[int, ldt.Field(ge=1, le=2000)] = 60
        """Addresses with a delivery."""
        parcels: Annotated[int, ldt.Field(ge=1)] = 2
        """Parcels at each stop."""
        service_time: ldt.Duration = 120 * ldt.SECOND
        """At the door, the way on foot not included."""
        walking_speed: Annotated[float, ldt.unit("km/h"), ldt.Field(gt=0, le=20)] = 4.5
        """Between van and building, to and fro."""
        max_walk: Annotated[float, ldt.unit("m"), ldt.Field(gt=0, le=5000)] = 250.0
        """An address farther from every usable street is not served."""
        shift: ldt.Duration = 8 * 3600 * ldt.SECOND
        """No tour lasts longer."""
        depot: Depot = Corner()
        """``{lon, lat}``, ``{x, y}`` in the twin's CRS, or ``{corner: south-west}`` of the network."""
        iterations: Annotated[int, ldt.Field(ge=10, le=1_000_000)] = 500
        """Steps of the search: more take longer and find shorter tours."""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.parcels > self.capacity:
                raise ValueError(f"{self.parcels} parcels of one stop do not fit a van of {self.capacity}")
            vans = -(-self.stops // (self.capacity // self.parcels))
            if vans > self.vehicles:
                raise ValueError(
                    f"{self.stops} stops of {self.parcels} parcels need {vans} vans of {self.capacity} parcels,"
                    f" there are {self.vehicles}: raise vehicles or capacity"
                )
            return self

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        network, times, addresses = (_table(inputs, name) for name in ("network", "times", "addresses"))
        self._refuse_degrees()
        streets = self._streets(network, times)
        drawn = self._draw(addresses)
        stops, served = self._reach(streets, drawn)
        ways = Ways(streets, stops.street, stops.along)
        p = self.params
        on_foot = 2.0 * stops.walk[1:] / (p.walking_speed / 3.6)
        service = p.service_time / ldt.SECOND + on_foot
        plan = plan_tours(
            ways.times,
            service,
            np.full(len(served), p.parcels),
            Fleet(p.vehicles, p.capacity, p.shift / ldt.SECOND),
            iterations=p.iterations,
            seed=self.context.seed,
            watch=self._report,
        )
        self.context.flag(
            "stops_unserved",
            float(len(drawn) - len(served) + len(plan.left_out)),
            "drawn stops that no tour serves: out of reach of usable streets, or past shift or capacity",
        )
        return self._tell(plan.tours, ways, service, drawn["building"][served])

    def _refuse_degrees(self) -> None:
        if pyproj.CRS.from_user_input(self.context.crs).is_geographic:
            raise ldt.InputError(
                f"distances cannot be measured in {self.context.crs}, whose unit is the degree",
                where="twin.crs",
                fix="give the twin a projected CRS in metres, such as its UTM zone",
            )

    def _streets(self, network: ldt.Table, times: ldt.Table) -> Streets:
        """The network with this window's travel times."""
        row = {edge: i for i, edge in enumerate(network["edge"])}
        if len(row) < len(network):
            raise ldt.InputError(
                f"{len(network) - len(row)} edge ids occur more than once",
                where="last-mile.network.edge",
                fix="give every street edge an id of its own",
            )
        seconds = np.full(len(network), np.nan)
        for edge, value in zip(times["edge"], times["travel_time"], strict=True):
            at = row.get(edge)
            if at is None or not np.isnan(seconds[at]):
                reason = "is not in the network" if at is None else "has several rows in one window"
                raise ldt.InputError(
                    f"edge '{edge}' {reason}",
                    code="ids do not pair",
                    where="last-mile.times.edge",
                    fix="link network and times from the same component, one row per edge and window",
                )
            seconds[at] = value
        missing = np.isnan(seconds) & network["cars"]
        if missing.any():
            raise ldt.InputError(
                f"{int(missing.sum())} edges open to cars have no travel time, first"
                f" '{network['edge'][int(missing.argmax())]}'",
                code="ids do not pair",
                where="last-mile.times.edge",
                fix="give every edge a row in each window, free-flow time where nothing drove",
            )
        streets = Streets.build(
            network["edge"],
            (network["from_node"], network["to_node"]),
            np.nan_to_num(seconds),
            network["length"],
            network["cars"],
            network["geometry"],
        )
        if not streets.usable.any():
            raise ldt.InputError(
                "no street open to cars can be left and come back to",
                where="last-mile.network",
                fix="check cars, from_node and to_node",
            )
        return streets

    def _draw(self, addresses: ldt.Table) -> ldt.Table:
        """The stops: those with the smallest draws, so that a new address displaces one stop at most."""
        draws = self.context.rng_for(addresses["building"], "stops")
        order = sorted(range(len(addresses)), key=lambda i: (draws[i], addresses["building"][i]))
        short = max(0, self.params.stops - len(addresses))
        self.context.flag("stops_short", float(short), "stops asked for beyond the addresses that there are")
        return addresses.take(
            np.array(sorted(order[: self.params.stops], key=lambda i: addresses["building"][i]), int)
        )

    def _reach(self, streets: Streets, drawn: ldt.Table) -> tuple[_Stops, Ints]:
        """Depot and stops on usable streets, and the rows of ``drawn`` that can be served."""
        depot = locate(self.params.depot, streets.lines, self.context.crs)
        places: Objects = np.empty(len(drawn) + 1, object)
        places[0], places[1:] = depot, drawn["geometry"]
        street, along, walk = streets.snap(places, streets.usable)
        limit = max(1000.0, self.params.max_walk)
        if walk[0] > limit and not isinstance(self.params.depot, Corner):
            raise ldt.ParamError(
                f"the depot lies {walk[0] / 1000:.1f} km from the nearest street that a van can use",
                where="last-mile.params.depot",
                fix="move it into the network; x and y are in the twin's CRS",
            )
        _, _, nearest = streets.snap(places, np.ones(len(streets.usable), bool))
        moved = (nearest[1:] < walk[1:]).sum()
        self.context.flag(
            "stops_on_foot",
            float(moved),
            "stops whose nearest street a van cannot use: reached from another one",
        )
        served = np.flatnonzero(walk[1:] <= self.params.max_walk)
        rows = np.concatenate([[0], served + 1])
        return _Stops(street[rows], along[rows], walk[rows]), served

    def _report(self, share: float) -> None:
        self.context.check_cancelled()
        self.context.progress(share)

    def _tell(
        self, tours: list[list[int]], ways: Ways, service: Floats, building: NDArray[np.object_]
    ) -> dict[str, ldt.Table]:
        start = self.context.instant(self.context.window.start)
        told: list[tuple[str, float, float, float, float, int]] = []
        legs: list[tuple[str, str, int, str | None, float, shapely.LineString]] = []
        for number, tour in enumerate(tours, 1):
            name = f"tour-{number:02d}"
            pairs = list(zip([0, *tour], [*tour, 0], strict=True))
            found = [ways.trace(here, there) for here, there in pairs]
            driving = float(sum(ways.times[pair] for pair in pairs)) / 60.0
            serving = float(service[np.array(tour) - 1].sum()) / 60.0
            metres = sum(way.distance for way in found)
            told.append((name, driving + serving, driving, serving, metres / 1000.0, len(tour)))
            for sequence, (pair, way) in enumerate(zip(pairs, found, strict=True), 1):
                if way.line is not None:
                    end = building[pair[1] - 1] if pair[1] else None
                    minutes = float(ways.times[pair]) / 60.0
                    legs.append((f"{name}/{sequence}", name, sequence, end, minutes, way.line))
        return {
            "tours": _rows(start, told, ("tour", "duration", "driving", "service", "distance", "stops")),
            "legs": _rows(start, legs, ("leg", "tour", "sequence", "building", "driving", "geometry")),
        }


_KINDS = {
    "tour": object,
    "leg": object,
    "building": object,
    "geometry": object,
    "stops": int,
    "sequence": int,
}


def _rows(start: np.datetime64, rows: Sequence[tuple[object, ...]], names: tuple[str, ...]) -> ldt.Table:
    columns: dict[str, NDArray[Any]] = {"time": np.full(len(rows), start)}
    masks = {}
    for i, name in enumerate(names):
        values: NDArray[Any] = np.empty(len(rows), _KINDS.get(name, float))
        values[:] = [row[i] for row in rows]
        columns[name] = values
        if name == "building":
            masks[name] = np.array([v is None for v in values], bool)
    return ldt.Table(columns, masks)


def _table(inputs: ldt.Tables, name: str) -> ldt.Table:
    table = inputs.get(name)
    if not isinstance(table, ldt.Table):
        raise ldt.InputError(f"no table came on '{name}'", where=f"last-mile.{name}", fix="link this input")
    return table
