"""What of a network does not change: names, places, diameters. wntr is imported in here only, when first used."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

from .params import Place

Array = NDArray[Any]


class Network:
    """Names in wntr's order, split by kind; lengths and diameters in metres. ``cache`` is a folder that lasts."""

    def __init__(self, path: Path, place: Place | None, cache: Path) -> None:
        wn = self.wn = read(path, cache)
        self.junctions, self.tanks = list(wn.junction_name_list), list(wn.tank_name_list)
        self.reservoirs = list(wn.reservoir_name_list)
        self.nodes = [*self.junctions, *self.tanks, *self.reservoirs]
        self.pipes, self.pumps = [*wn.pipe_name_list, *wn.valve_name_list], list(wn.pump_name_list)
        self.links = [*self.pipes, *self.pumps]
        place_of = {name: i for i, name in enumerate(self.nodes)}
        links = [wn.get_link(name) for name in self.links]
        self.ends = np.array(
            [(place_of[k.start_node_name], place_of[k.end_node_name]) for k in links], np.int64
        ).reshape(-1, 2)
        self.diameters = np.array([wn.get_link(name).diameter for name in self.pipes], float)
        self.elevations = np.array([_elevation(wn.get_node(name)) for name in self.nodes], float)
        at = np.array([wn.get_node(name).coordinates for name in self.nodes], float).reshape(-1, 2)
        self._put = _placed(at, place)
        self._at = at

    def tables(self) -> dict[str, ldt.Table]:
        """The ports that are given at the start."""
        wn, put = self.wn, self._put
        kinds = ["junction"] * len(self.junctions) + ["tank"] * len(self.tanks)
        names = np.array(self.nodes, object)
        pipes = [wn.get_link(name) for name in self.pipes]
        routes = [
            shapely.LineString(put(np.array([self._at[a], *k.vertices, self._at[b]], float)))
            for k, (a, b) in zip(pipes, self.ends, strict=False)
        ]
        pumps = self.ends[len(self.pipes) :]
        halfway = put((self._at[pumps[:, 0]] + self._at[pumps[:, 1]]) / 2)
        return {
            "nodes": ldt.Table(
                {
                    "node": names,
                    "kind": kinds + ["reservoir"] * len(self.reservoirs),
                    "elevation": self.elevations,
                    "geometry": shapely.points(put(self._at)),
                }
            ),
            "pipes": ldt.Table(
                {
                    "pipe": np.array(self.pipes, object),
                    "kind": ["pipe" if k.link_type == "Pipe" else str(k.valve_type) for k in pipes],
                    "from_node": names[self.ends[: len(pipes), 0]],
                    "to_node": names[self.ends[: len(pipes), 1]],
                    "length": np.array([getattr(k, "length", 0.0) for k in pipes], float),
                    "diameter": self.diameters,
                    "geometry": np.array(routes, object),
                }
            ),
            "stations": ldt.Table(
                {
                    "pump": np.array(self.pumps, object),
                    "from_node": names[pumps[:, 0]],
                    "to_node": names[pumps[:, 1]],
                    "geometry": shapely.points(halfway),
                }
            ),
        }


def read(path: Path, cache: Path) -> Any:
    """The file as wntr's WaterNetworkModel, in SI units. Raises ``ParamError``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _fonts_in(cache):
            import wntr

        try:
            return wntr.network.WaterNetworkModel(str(path))
        except Exception as exc:  # wntr raises what its parser meets first
            raise ldt.ParamError(
                f"{path.name} cannot be read as an EPANET input file: {type(exc).__name__}: {exc!s:.200}",
                code="no network",
                fix="open it in EPANET, which names the line",
            ) from exc


@contextlib.contextmanager
def _fonts_in(cache: Path) -> Iterator[None]:
    """wntr imports matplotlib, which lists the fonts of the machine when it is imported first: it, and the program that it
    asks, keep their lists in the user's home unless they are told another folder."""
    kept = {n: os.environ.get(n) for n in ("MPLCONFIGDIR", "XDG_CACHE_HOME")}
    if "matplotlib" in sys.modules or kept["MPLCONFIGDIR"] or cache == Path():
        yield
        return
    os.environ |= dict.fromkeys(kept, str(cache.resolve()))
    try:
        yield
    finally:
        for name, before in kept.items():
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


def quiet_toolkit() -> None:
    """What wntr logs per step stands in flags and errors here."""
    logging.getLogger("wntr.epanet.toolkit").setLevel(logging.CRITICAL)


def _elevation(node: Any) -> float:
    return float(node.base_head if node.node_type == "Reservoir" else node.elevation)


def _placed(at: Array, place: Place | None) -> Callable[[Array], Array]:
    """From the file's coordinates to those of the ports: the same, or into the chosen square."""
    if place is None or not len(at):
        return lambda points: points
    low, high = at.min(axis=0), at.max(axis=0)
    size = float((high - low).max()) or 1.0
    target, middle, factor = np.array([place.x, place.y]), (low + high) / 2, place.width / size
    return lambda points: target + (points - middle) * factor
