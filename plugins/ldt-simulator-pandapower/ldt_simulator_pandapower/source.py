"""Where the buses, lines and transformers of a network are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

from . import network, ports
from .flow import transformer_ids
from .params import TRUE_PLACES, Network, Place


class SourceParams(Network):
    place: Place | None = ldt.Field(None, description="draw the network here, not where it is")
    crs: str | None = ldt.Field(None, description="of a file's coordinates; degrees are OGC:CRS84")
    licence: str | None = ldt.Field(None, description="SPDX licence of a network file")
    attribution: str | None = None


class PowerNetwork(ldt.DataSource):
    """The buses, lines and transformers of a pandapower network, for maps and for whoever joins them to a city."""

    id = "power-network"
    title = "Electric grid (pandapower)"
    outputs = ports.NETWORK
    dynamic = True
    validity: ClassVar[Mapping[str, Any]] = {
        "place": "true for mv_oberrhein, lv_schutterwald and files with a crs; else schematic, or moved by place"
    }

    Params = SourceParams

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        """With the CRS of the coordinates; what was moved or drawn is called synthetic."""
        p = self.params
        true = p.network in TRUE_PLACES or (p.file is not None and p.crs is not None)
        crs = "twin" if p.place else "OGC:CRS84" if p.network in TRUE_PLACES else p.crs
        made_up = None
        if p.place is not None:
            made_up = f"A generic grid ({p.title}), moved and scaled to this place: it is not the city's own."
        elif not true:
            made_up = f"{p.title} is drawn as a scheme: its coordinates are no places."
        shipped = p.network is not None
        outputs = {}
        for name, port in self.outputs.items():
            shape = port.columns["geometry"].geometry or "Geometry"
            columns = {**port.columns, "geometry": ldt.geometry(shape, crs=crs, nulls=True)}
            outputs[name] = ldt.Port(
                columns,
                at="start",
                entity=port.entity,
                id=port.id,
                licence=p.licence or ("BSD-3-Clause" if shipped else None),
                attribution=p.attribution or ("pandapower's networks" if shipped else None),
                synthetic=made_up,
                description=port.description,
            )
        return {}, outputs

    def version(self, query: ldt.Query) -> str:
        """Networks by name belong to pandapower's version; a file enters the key by its content."""
        return f"pandapower {network.version()}"

    def read(self, query: ldt.Query) -> ldt.Tables:
        net = network.read(self.params)
        points = [_coordinates(geo) for geo in _column(net.bus, "geo")]
        at = {str(bus): p[0] if len(p) else None for bus, p in zip(net.bus.index, points, strict=True)}
        routes = [
            path if len(path) > 1 else _straight(at[str(a)], at[str(b)])
            for path, a, b in zip(
                map(_coordinates, _column(net.line, "geo")), net.line.from_bus, net.line.to_bus, strict=True
            )
        ]
        put = self._put(np.concatenate([np.empty((0, 2)), *points, *routes]))
        return {
            "buses": _buses(net, [_shape(shapely.Point, put, p[:1]) for p in points]),
            "lines": _lines(net, [_shape(shapely.LineString, put, p) for p in routes]),
            "transformers": _transformers(net, put, at),
        }

    def _put(self, everything: NDArray[Any]) -> Any:
        """From the network's coordinates to those of the port: the same, or into the chosen square."""
        place: Place | None = self.params.place
        if place is None or not len(everything):
            return lambda points: points
        low, high = everything.min(axis=0), everything.max(axis=0)
        middle = (low + high) / 2
        # A degree of longitude is shorter than one of latitude.
        ratio = math.cos(math.radians(middle[1])) if self.params.network in TRUE_PLACES else 1.0
        shrink = np.array([ratio, 1.0])
        size = float(((high - low) * shrink).max()) or 1.0
        target = np.array([place.x, place.y])
        return lambda points: target + (points - middle) * shrink * (place.width / size)


def _column(table: Any, name: str) -> list[Any]:
    return table[name].tolist() if name in table else [None] * len(table)


def _coordinates(geo: Any) -> NDArray[Any]:
    """pandapower keeps places as GeoJSON text; empty where there is none."""
    if not isinstance(geo, str) or not geo:
        return np.empty((0, 2))
    return np.array(json.loads(geo)["coordinates"], float).reshape(-1, 2)


def _straight(a: Any, b: Any) -> NDArray[Any]:
    return np.empty((0, 2)) if a is None or b is None else np.array([a, b])


def _shape(make: Any, put: Any, points: NDArray[Any]) -> Any:
    if not len(points):
        return None
    moved = put(points)
    return make(moved[0] if make is shapely.Point else moved)


def _column_of(shapes: list[Any]) -> NDArray[Any]:
    column = np.empty(len(shapes), object)
    column[:] = shapes
    return column


def _named(table: Any, columns: dict[str, Any]) -> ldt.Table:
    """With the name column, missing where the network gives none."""
    names = [n if isinstance(n, str) and n else None for n in _column(table, "name")]
    columns = {**columns, "name": np.array([n or "" for n in names], object)}
    missing = {"name": [n is None for n in names]}
    missing["geometry"] = [g is None for g in columns["geometry"]]
    return ldt.Table(columns, masks=missing)


def _buses(net: Any, shapes: list[Any]) -> ldt.Table:
    own = net.load.p_mw.groupby(net.load.bus).sum().reindex(net.bus.index).fillna(0.0)
    return _named(
        net.bus,
        {
            "bus": network.text(net.bus.index),
            "rated_voltage": net.bus.vn_kv.to_numpy(float),
            "load": 1000.0 * own.to_numpy(float),
            "geometry": _column_of(shapes),
        },
    )


def _lines(net: Any, shapes: list[Any]) -> ldt.Table:
    return _named(
        net.line,
        {
            "line": network.text(net.line.index),
            "from_bus": network.text(net.line.from_bus),
            "to_bus": network.text(net.line.to_bus),
            "length": net.line.length_km.to_numpy(float),
            "rated_current": net.line.max_i_ka.to_numpy(float),
            "in_service": net.line.in_service.to_numpy(bool),
            "geometry": _column_of(shapes),
        },
    )


def _transformers(net: Any, put: Any, at: Mapping[str, Any]) -> ldt.Table:
    buses = [*network.text(net.trafo.lv_bus), *network.text(net.trafo3w.lv_bus)]
    rated = [*net.trafo.sn_mva, *net.trafo3w.sn_hv_mva]
    names = [*_column(net.trafo, "name"), *_column(net.trafo3w, "name")]
    shapes = [None if at[b] is None else shapely.Point(put(np.array([at[b]]))[0]) for b in buses]
    return _named(
        {"name": np.array(names, object)},
        {
            "transformer": transformer_ids(net),
            "bus": np.array(buses, object),
            "rated_power": 1000.0 * np.array(rated, float),
            "geometry": _column_of(shapes),
        },
    )
