"""A pandapower network: read, told what it must carry, solved. pandapower is imported in here only, when first used."""

from __future__ import annotations

import contextlib
import copy
import difflib
import importlib.metadata
import inspect
import io
import logging
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ldt_core as ldt

from .params import Network

BRANCHES = ("line", "trafo", "trafo3w", "impedance", "dcline", "tcsc")
CONSUMERS = ("load", "motor", "storage", "shunt", "ward", "xward", "asymmetric_load")
SOURCES = ("sgen", "gen", "asymmetric_sgen")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """pandapower warns of its own networks' age, and that numba is absent; no reader of a run can mend that."""
    logging.getLogger("pandapower").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def version() -> str:
    return importlib.metadata.version("pandapower")


def read(which: Network) -> Any:
    """The pandapower network, to do with as one likes. Raises ``ParamError`` for a name or a file that is none."""
    with quiet():
        net = copy.deepcopy(_by_name(which.network) if which.network is not None else _from_file(which))
    if not len(net.bus) or not (len(net.ext_grid) or len(net.gen)):
        raise ldt.ParamError(
            f"'{which.title}' has {len(net.bus)} buses and no external grid or generator that holds the voltage",
            code="no network",
            fix="give a network that a power flow can be computed for",
        )
    return net


def names() -> list[str]:
    """What pandapower ships and can build without arguments."""
    import pandapower.networks as shipped

    found = []
    for name, maker in inspect.getmembers(shipped, inspect.isfunction):
        if name == "create_empty_network" or not maker.__module__.startswith("pandapower.networks."):
            continue
        wanted = inspect.signature(maker).parameters.values()
        if all(p.default is not p.empty or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in wanted):
            found.append(name)
    return found


@lru_cache(maxsize=8)  # components of one twin share a network, and reading one takes longer than solving it
def _by_name(name: str) -> Any:
    import pandapower.networks as shipped

    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise ldt.ParamError(
            f"pandapower {version()} ships no network '{name}'",
            code="no such network",
            fix="did you mean " + " or ".join(near) + "?" if near else "known: " + ", ".join(known),
        )
    state = random.getstate()
    random.seed(0)  # some of the Kerber networks draw their branches
    try:
        return getattr(shipped, name)()
    finally:
        random.setstate(state)


def _from_file(which: Network) -> Any:
    path = which.file.path  # type: ignore[union-attr]
    stat = path.stat() if path.is_file() else None
    return _of_file(path, (stat.st_mtime_ns, stat.st_size) if stat else None)


@lru_cache(maxsize=8)
def _of_file(path: Path, version: tuple[int, int] | None) -> Any:
    import pandapower

    try:
        net = pandapower.from_json(str(path))
    except Exception as exc:  # of json, pandas, pandera: whatever the file breaks first
        raise ldt.ParamError(
            f"{path.name} cannot be read as a network: {type(exc).__name__}: {exc!s:.200}",
            code="no network",
            fix="write it with pandapower.to_json of the same or an older version",
        ) from exc
    if not isinstance(net, pandapower.pandapowerNet):
        raise ldt.ParamError(
            f"{path.name} holds a {type(net).__name__}, not a network",
            code="no network",
            fix="write it with pandapower.to_json",
        )
    return net


class Grid:
    """A network to be solved again and again, each time from what it was when it was read.

    ``load_scale`` and ``generation_scale`` replace the network's own ``scaling``; None keeps it.
    Every bus gets a load and a static generator of nought, which take what comes from other components.
    """

    def __init__(
        self,
        net: Any,
        title: str,
        load_scale: float | None,
        generation_scale: float | None,
        power_factor: float,
    ) -> None:
        import pandapower

        self.net, self.title = net, title
        self.buses = text(net.bus.index)
        self.lines = text(net.line.index)
        self._place = {bus: i for i, bus in enumerate(self.buses.tolist())}
        self._line_place = {line: i for i, line in enumerate(self.lines.tolist())}
        self._tangent = float(np.sqrt(1 - power_factor**2) / power_factor)
        self._at = {
            name: self._own(name, scale) for name, scale in (("load", load_scale), ("sgen", generation_scale))
        }
        count = len(net.bus)
        with quiet():
            pandapower.create_loads(net, net.bus.index, p_mw=np.zeros(count))
            pandapower.create_sgens(net, net.bus.index, p_mw=np.zeros(count))
        self._closed = net.line.in_service.to_numpy(bool).copy()

    def _own(self, element: str, scale: float | None) -> tuple[NDArray[Any], ...]:
        """Bus positions, active and reactive power (MW, Mvar) of the network's own elements, scaled."""
        table = self.net[element]
        factor = table.scaling.to_numpy(float) if scale is None else np.full(len(table), scale)
        factor = factor * table.in_service.to_numpy(bool)
        table["scaling"] = 1.0
        at = np.array([self._place[str(b)] for b in table.bus], np.int64)
        return at, table.p_mw.to_numpy(float) * factor, table.q_mvar.to_numpy(float) * factor

    def open(self, lines: Sequence[str]) -> None:
        """Take lines out of service for good."""
        at = self._find(np.array(lines, object), self._line_place, "open_lines", "line")
        self._closed[at] = False

    # -- what it must carry -----------------------------------------------------------------

    def carry(self, inputs: Mapping[str, Any]) -> None:
        """Set loads, generation and switching as the window's inputs say. Raises ``InputError``."""
        load = self._power("load", inputs.get("load"))
        extra_p, extra_q = load[2], load[3]
        if "demand" in inputs:
            added = self._sum(inputs["demand"], "demand")[0]
            extra_p, extra_q = extra_p + added, extra_q + added * self._tangent
        self._write("load", load[0], load[1], extra_p, extra_q)
        self._write("sgen", *self._power("sgen", inputs.get("generation")))
        closed = self._closed.copy()
        if "switching" in inputs:
            table = inputs["switching"]
            at = self._find(table["line"], self._line_place, "switching", "line")
            closed[at] = table["closed"]
        self.net.line["in_service"] = closed

    def add(self, buses: NDArray[Any], kilowatts: NDArray[Any]) -> None:
        """Further demand, at buses by position."""
        p = np.zeros(len(self.buses))
        np.add.at(p, buses, kilowatts / 1000.0)
        rows = slice(len(self._at["load"][0]), None)
        for name, values in (("p_mw", p), ("q_mvar", p * self._tangent)):
            column = self.net.load[name].to_numpy(float).copy()
            column[rows] += values
            self.net.load[name] = column

    def position(self, bus: str, where: str) -> int:
        return int(self._find(np.array([bus], object), self._place, where, "bus")[0])

    def _power(self, element: str, given: ldt.Table | None) -> tuple[NDArray[Any], ...]:
        """P and Q of the own elements and of the added ones, where the given figures replace the own."""
        at, p, q = self._at[element]
        extra_p, extra_q = np.zeros(len(self.buses)), np.zeros(len(self.buses))
        if given is None:
            return p, q, extra_p, extra_q
        asked, told = self._sum(given, "load" if element == "load" else "generation")
        own = np.bincount(at, p, len(self.buses))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(own != 0, asked / own, 0.0)
        factor = np.where(told[at], ratio[at], 1.0)
        bare = told & (own == 0)
        extra_p[bare] = asked[bare]
        if element == "load":
            extra_q = extra_p * self._tangent
        return p * factor, q * factor, extra_p, extra_q

    def _sum(self, table: ldt.Table, port: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """MW by bus, and which buses have a row."""
        at = self._find(table["bus"], self._place, port, "bus")
        asked = np.bincount(at, table["power"] / 1000.0, len(self.buses))
        return asked, np.bincount(at, minlength=len(self.buses)) > 0

    def _find(self, ids: NDArray[Any], known: dict[str, int], where: str, what: str) -> NDArray[np.int64]:
        try:
            return np.array([known[i] for i in ids.tolist()], np.int64)
        except KeyError as exc:
            name = exc.args[0]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ldt.InputError(
                f"'{self.title}' has no {what} '{name}'",
                code="ids do not pair",
                where=where,
                fix=f"did you mean '{near[0]}'? They run from {next(iter(known))} to {list(known)[-1]}",
            ) from None

    def _write(self, element: str, p: Any, q: Any, extra_p: Any, extra_q: Any) -> None:
        table = self.net[element]
        table["p_mw"] = np.concatenate([p, extra_p])
        table["q_mvar"] = np.concatenate([q, extra_q])

    # -- what comes of it -------------------------------------------------------------------

    def solve(self, when: str) -> None:
        """Newton-Raphson from a cold start, so that no window depends on another. Raises ``InputError``."""
        import pandapower

        try:
            with quiet():
                pandapower.runpp(self.net, numba=False, init="auto")
        except pandapower.LoadflowNotConverged as exc:
            load, generation = (float(self.net[e].p_mw.sum()) for e in ("load", "sgen"))
            raise ldt.InputError(
                f"the power flow of '{self.title}' does not converge: {load:.3f} MW of load and "
                f"{generation:.3f} MW of generation are more than the grid can carry",
                code="not converged",
                where=when,
                fix="look for a wrong unit (powers are kW), lower the demand, or close a line that was opened",
            ) from exc

    def result(self, element: str, column: str) -> NDArray[np.float64]:
        """One column of results by element; 0 where it is dead or out of service."""
        values: NDArray[np.float64] = np.nan_to_num(self.net[f"res_{element}"][column].to_numpy(float))
        return values

    def total(self, elements: tuple[str, ...], column: str = "p_mw") -> float:
        """The sum over all elements of these kinds, in kW."""
        kinds = [e for e in elements if len(self.net.get(e, ())) and column in self.net.get(f"res_{e}", ())]
        return 1000.0 * float(sum(self.result(e, column).sum() for e in kinds))

    def unserved(self) -> float:
        """kW asked for at buses without voltage."""
        dead = np.isnan(self.net.res_bus.vm_pu.to_numpy(float))
        at = np.array([self._place[str(b)] for b in self.net.load.bus], np.int64)
        return 1000.0 * float(self.net.load.p_mw.to_numpy(float)[dead[at]].sum())


def text(index: Any) -> NDArray[Any]:
    return np.array([str(i) for i in index], object)
