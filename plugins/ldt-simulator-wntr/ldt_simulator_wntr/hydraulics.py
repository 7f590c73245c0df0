"""EPANET 2.2, opened once and advanced from instant to instant."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ldt_core as ldt

from .holds import Holds
from .network import Network, quiet_toolkit
from .params import Params, Pressure

BASE_DEMAND, LEVEL, DEMAND, HEAD, VOLUME, DEFICIT = 1, 8, 9, 10, 24, 27  # node parameters
FLOW, ENERGY = 8, 13  # link parameters
DURATION, HYDRAULIC_STEP, CLOCK_START = 0, 1, 10  # time parameters
DEMAND_MULTIPLIER = 4  # options
PRESSURE_DRIVEN = 1
_LONG = 1_900_000_000  # seconds: 60 years, below what a 32-bit long can hold
WARNINGS = {
    1: ("unbalanced", "solutions that EPANET did not bring to its accuracy"),
    2: ("unstable", "solutions that EPANET calls hydraulically unstable"),
    3: ("disconnected", "solutions in which junctions with demand were cut off"),
    4: ("pump_beyond_curve", "solutions in which a pump could not deliver its head or flow"),
    5: ("valve_open_wide", "solutions in which a valve could not hold its setting"),
    6: (
        "negative_pressure",
        "solutions with negative pressure: demand was taken for granted where it could not be met",
    ),
}


class Solved(NamedTuple):
    """One solution, which holds for ``seconds``: SI units, in the order of ``Network``."""

    seconds: int
    heads: NDArray[np.float64]
    demands: NDArray[np.float64]
    unmet: NDArray[np.float64]
    flows: NDArray[np.float64]
    kilowatts: NDArray[np.float64]


class Hydraulics:
    """One EPANET project. ``now`` is in seconds of the network file's time."""

    def __init__(self, path: Path, network: Network, params: Params, folder: Path) -> None:
        quiet_toolkit()
        from wntr.epanet.toolkit import ENepanet
        from wntr.epanet.util import FlowUnits, HydParam, from_si, to_si

        self.network, self._from_si, self._to_si, self._kinds = network, from_si, to_si, HydParam
        self._name = path.name
        e = self._toolkit = ENepanet(version=2.2)
        self._call(lambda: e.ENopen(str(path), str(folder / "epanet.rpt"), ""), "opening the file")
        self._units = FlowUnits(e.ENgetflowunits())
        self._nodes = [e.ENgetnodeindex(name) for name in network.nodes]
        self._links = [e.ENgetlinkindex(name) for name in network.links]
        self._link_of = dict(zip(network.links, self._links, strict=True))
        self._node_of = dict(zip(network.nodes, self._nodes, strict=True))
        e.ENsettimeparam(DURATION, _LONG)
        if params.hydraulic_step is not None:
            e.ENsettimeparam(HYDRAULIC_STEP, params.hydraulic_step // ldt.SECOND)
        self._step = e.ENgettimeparam(HYDRAULIC_STEP)
        self._multiply(params.demand_factor)
        if params.pressure is not None:
            self._let_pressure_decide(params.pressure)
        pumps = {self._link_of[name] for name in network.pumps}
        self._holds = Holds(e, pumps, e.ENgettimeparam(CLOCK_START))
        self._own: dict[int, list[tuple[float, int]]] = {}
        self._told: dict[str, tuple[str, float]] = {}
        self._call(e.ENopenH, "setting up the equations")
        e.ENinitH(10)
        self.now = 0
        self.warned: dict[int, int] = {}

    # -- what it is told --------------------------------------------------------------------

    def _raw(self, function: str, *arguments: Any) -> None:
        """A function of EPANET that wntr's class does not wrap."""
        code = getattr(self._toolkit.ENlib, function)(self._toolkit._project, *arguments)
        if code >= 100:
            raise RuntimeError(f"EPANET's {function} answers with error {code}")

    def _multiply(self, factor: float) -> None:
        found = ctypes.c_double()
        self._raw("EN_getoption", DEMAND_MULTIPLIER, ctypes.byref(found))
        self._multiplier = found.value * factor
        if factor != 1:
            self._raw("EN_setoption", DEMAND_MULTIPLIER, ctypes.c_double(self._multiplier))

    def _let_pressure_decide(self, pressure: Pressure) -> None:
        low, high = (self._pressure(p) for p in (pressure.minimum, pressure.required))
        values = (ctypes.c_double(v) for v in (low, high, pressure.exponent))
        self._raw("EN_setdemandmodel", PRESSURE_DRIVEN, *values)

    def _pressure(self, metres: float) -> float:
        """In the unit of the file: psi, kPa or m."""
        named = self.network.wn.options.hydraulic.inpfile_pressure_units
        if named is not None and str(named).upper() in ("KPA", "PSI", "METERS"):
            psi = metres / 0.3048 * 0.4333  # EPANET's own constants
            return {"KPA": psi * 6.895, "PSI": psi, "METERS": metres}[str(named).upper()]
        return float(self._from_si(self._units, metres, self._kinds.Pressure))

    def shut(self, links: set[str]) -> None:
        """Keep these pumps, pipes and valves shut from now on, and no others."""
        self._holds.change({self._link_of[name] for name in links}, self.now)

    def ask(self, demands: Mapping[str, float], factors: Mapping[str, float]) -> None:
        """From now on: demand in m3/s of some junctions, factors on the file's for others, the rest as in the file."""
        told = {n: ("factor", f) for n, f in factors.items()} | {n: ("demand", d) for n, d in demands.items()}
        for name in sorted(set(self._told) | set(told)):
            wanted = told.get(name, ("factor", 1.0))
            if wanted != self._told.get(name, ("factor", 1.0)):
                self._set_demand(self._node_of[name], *wanted)
        self._told = told

    def _set_demand(self, node: int, how: str, value: float) -> None:
        own = self._own.get(node)
        if own is None:
            own = self._own[node] = self._categories(node)
        if how == "factor":
            new = [(base * value, pattern) for base, pattern in own]
        else:
            flow = float(self._from_si(self._units, value, self._kinds.Demand))
            if not self._multiplier:
                raise ldt.InputError(
                    "demand of junctions is given, and the demand multiplier is 0",
                    code="bad value",
                    where="demand",
                    fix="give demand_factor another value, or leave the link out",
                )
            # Pattern 0 is EPANET's constant 1; further categories of the junction get nothing.
            new = [(flow / self._multiplier, 0), *((0.0, 0) for _ in own[1:])]
        for category, (base, pattern) in enumerate(new, start=1):
            self._raw("EN_setbasedemand", node, category, ctypes.c_double(base))
            self._raw("EN_setdemandpattern", node, category, pattern)

    def _categories(self, node: int) -> list[tuple[float, int]]:
        count, base, pattern = ctypes.c_int(), ctypes.c_double(), ctypes.c_int()
        self._raw("EN_getnumdemands", node, ctypes.byref(count))
        found = []
        for category in range(1, count.value + 1):
            self._raw("EN_getbasedemand", node, category, ctypes.byref(base))
            self._raw("EN_getdemandpattern", node, category, ctypes.byref(pattern))
            found.append((base.value, pattern.value))
        return found

    # -- how it goes on ---------------------------------------------------------------------

    def advance(self, until: int) -> Iterator[Solved]:
        """Solutions up to ``until`` seconds, where the last one ends. Raises ``InputError``."""
        while self.now < until:
            self._solve()
            solved = self._look()
            yield solved._replace(seconds=self._go_on(until))

    def pass_over(self, until: int) -> None:
        """Advance as ``advance`` does, without reading the solutions, which takes most of the time."""
        while self.now < until:
            self._solve()
            self._go_on(until)

    def _go_on(self, until: int) -> int:
        """To the next instant at which something changes; the seconds until then."""
        # EPANET stops by itself for patterns, controls and full tanks; the window's end is ours.
        self._toolkit.ENsettimeparam(HYDRAULIC_STEP, min(self._step, until - self.now))
        seconds = int(self._call(self._toolkit.ENnextH, "going on"))
        if seconds <= 0:
            raise self._failed("EPANET stopped, as the file asks where it finds no balance")
        self.now += seconds
        return seconds

    def _solve(self) -> None:
        self._holds.press()
        self._toolkit.errcode = 0
        self._call(self._toolkit.ENrunH, "solving")
        code = int(self._toolkit.errcode)
        if code:
            self.warned[code] = self.warned.get(code, 0) + 1

    def _look(self) -> Solved:
        net, kinds = self.network, self._kinds
        node, link = self._node_values, self._link_values
        return Solved(
            0,
            node(HEAD, kinds.HydraulicHead),
            node(DEMAND, kinds.Demand),
            np.maximum(self._deficits(), 0.0),
            link(FLOW, kinds.Flow),
            np.array([self._toolkit.ENgetlinkvalue(self._link_of[p], ENERGY) for p in net.pumps], float),
        )

    def _node_values(self, code: int, kind: Any) -> NDArray[np.float64]:
        read = self._toolkit.ENgetnodevalue
        return self._si(np.array([read(i, code) for i in self._nodes], float), kind)

    def _link_values(self, code: int, kind: Any) -> NDArray[np.float64]:
        read = self._toolkit.ENgetlinkvalue
        return self._si(np.array([read(i, code) for i in self._links], float), kind)

    def _si(self, values: NDArray[np.float64], kind: Any) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.asarray(self._to_si(self._units, values, kind), float)
        return found

    def _deficits(self) -> NDArray[np.float64]:
        return self._node_values(DEFICIT, self._kinds.Demand)[: len(self.network.junctions)]

    def tanks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Level (m) and volume (m3) of each tank now."""
        at = [self._node_of[name] for name in self.network.tanks]
        read = self._toolkit.ENgetnodevalue
        heads = self._si(np.array([read(i, HEAD) for i in at], float), self._kinds.HydraulicHead)
        first = len(self.network.junctions)
        bottoms = self.network.elevations[first : first + len(at)]
        volumes = self._si(np.array([read(i, VOLUME) for i in at], float), self._kinds.Volume)
        return heads - bottoms, volumes

    def _call(self, work: Any, what: str) -> Any:
        from wntr.epanet.exceptions import EpanetException

        try:
            return work()
        except EpanetException as exc:
            raise self._failed(f"{what}, EPANET says: {exc!s:.300}") from exc

    def _failed(self, what: str) -> ldt.InputError:
        hours = getattr(self, "now", 0) / 3600
        return ldt.InputError(
            f"{self._name}: {what}",
            code="not converged",
            where=f"hour {hours:g} of the network file",
            fix="look at demand and closures of this window; pressure: {required: 20 m} lets low pressure limit demand",
        )

    def close(self) -> None:
        if self._toolkit is not None and self._toolkit.isOpen():
            self._toolkit.ENclose()
