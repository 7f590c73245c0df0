"""What stands between two linked ports: rename, unit gain and offset, CRS. Lossless, and named in the plan."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .errors import InputError, WiringError
from .tables import Port, Table

CRS_TOLERANCE = 1.0
"""Metres of positional accuracy above which a change of CRS is refused."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CrsStep:
    """One change of CRS: the operation that PROJ chose for ``area``, with its accuracy in metres.

    ``area`` is west, south, east, north in degrees, or None.
    """

    source: str
    target: str
    area: Box | None
    operation: str = ""
    accuracy: float = 0.0


@lru_cache(maxsize=64)
def parse_crs(text: str) -> Any:
    """The CRS of an authority code or PROJJSON. Raises ``WiringError`` (CRS missing)."""
    import pyproj

    try:
        return pyproj.CRS(text)
    except pyproj.exceptions.CRSError as exc:
        raise WiringError(
            f"'{text:.60}' is no CRS that PROJ knows",
            code="CRS missing",
            fix="write an authority code such as EPSG:25832, or PROJJSON",
        ) from exc


@lru_cache(maxsize=64)
def degrees(bbox: Box | None, crs: str) -> Box | None:
    """The box in degrees west, south, east, north: without it PROJ may prefer a worse operation."""
    import pyproj

    if bbox is None:
        return None
    to = pyproj.Transformer.from_crs(parse_crs(crs), "OGC:CRS84", always_xy=True)
    west, south, east, north = to.transform_bounds(*bbox)
    return west, south, east, north


@lru_cache(maxsize=64)
def transformer(source: str, target: str, area: Box | None) -> Any:
    """The best PROJ operation between two CRS for the area. Raises ``WiringError`` (CRS accuracy)."""
    from pyproj.aoi import AreaOfInterest
    from pyproj.transformer import TransformerGroup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an absent grid: the plan names what is used instead
        group = TransformerGroup(
            parse_crs(source),
            parse_crs(target),
            always_xy=True,
            area_of_interest=None if area is None else AreaOfInterest(*area),  # type: ignore[arg-type]
            allow_ballpark=False,  # PROJ would leave out the change of datum, without a word
        )
    if not group.transformers:
        raise WiringError(
            f"there is no operation of known accuracy from {source:.60} to {target:.60}",
            code="CRS accuracy",
            fix="install the national grid for PROJ, or supply the data in another CRS",
        )
    return group.transformers[0]


def crs_step(
    source: str, target: str, bbox: Box | None, where: str, *, bbox_crs: str | None = None
) -> CrsStep | None:
    """The change of CRS needed, or None; ``WiringError`` when it is less accurate than 1 m.

    ``bbox`` is in ``bbox_crs``, which is ``target`` unless it is given.
    """
    if source == target:
        return None
    try:
        if same_crs(source, target):
            return None
        area = degrees(bbox, bbox_crs or target)
        chosen = transformer(source, target, area)
    except WiringError as exc:
        raise WiringError(exc.what, code=exc.code, where=where, fix=exc.fix) from exc
    accuracy = float(chosen.accuracy)
    if not 0 <= accuracy <= CRS_TOLERANCE:
        known = f"accurate to {accuracy:g} m only" if accuracy >= 0 else "of unknown accuracy"
        raise WiringError(
            f"the best operation from {source:.60} to {target:.60} is {known} ({chosen.description})",
            code="CRS accuracy",
            where=where,
            fix="install the national grid for PROJ, or give the twin the CRS of the data",
        )
    return CrsStep(source, target, area, chosen.description, accuracy)


@lru_cache(maxsize=256)
def same_crs(one: str, other: str) -> bool:
    """Equal apart from the order of axes: coordinates are x, y always."""
    return bool(parse_crs(one).equals(parse_crs(other), ignore_axis_order=True))


@dataclass(frozen=True)
class Adapter:
    """From the rows of one port to the rows that another wants.

    ``rename`` maps source names to target names; ``convert`` maps target names to (gain, offset).
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    crs: CrsStep | None = None
    geometry: str | None = None

    @property
    def identity(self) -> bool:
        return not (self.rename or self.convert or self.crs)

    def apply(self, table: Table) -> Table:
        if self.rename:
            table = table.rename(self.rename)
        if self.convert:
            masks = table.masks
            table = table.with_columns(
                **{n: table[n] * gain + offset for n, (gain, offset) in self.convert.items()}
            )
            for name in self.convert:
                if name in masks:
                    table = table.with_mask(name, masks[name])
        if self.crs is not None and self.geometry is not None and len(table):
            table = reproject(table, self.geometry, self.crs)
        return table


def reproject(table: Table, name: str, step: CrsStep) -> Table:
    """The table with its geometry column in the target CRS of ``step``.

    Raises ``InputError`` for a place that the target CRS cannot show.
    """
    moved, lost = _move(table[name], step)
    if lost:
        raise InputError(
            f"row {lost[0]} lies outside the area of {step.target:.60}: {table[name][lost[0]].wkt:.80}",
            code="coverage gap",
            where=name,
            fix="correct the place, or the CRS under columns: in the twin file",
        )
    mask = table.masks.get(name)
    changed = table.with_columns(**{name: moved})
    return changed if mask is None else changed.with_mask(name, mask)


def _move(shapes: Any, step: CrsStep) -> tuple[Any, list[int]]:
    """The geometries in the target CRS, and the rows that it cannot show."""
    import numpy as np
    import shapely

    operation = transformer(step.source, step.target, step.area)
    moved = shapely.transform(shapes, operation.transform, interleaved=False)
    coordinates, rows = shapely.get_coordinates(moved, return_index=True)
    return moved, np.unique(rows[~np.isfinite(coordinates).all(axis=1)]).tolist()


def within(table: Table, port: Port, crs: str, bbox: Box) -> Table:
    """The rows whose geometry meets ``bbox``, given in ``crs``."""
    import shapely

    name = port.geometry_column
    if name is None or not len(table):
        return table
    shapes = table[name]
    own = port.columns[name].crs or crs
    if own != "twin" and not same_crs(own, crs):
        shapes, lost = _move(shapes, CrsStep(own, crs, degrees(bbox, crs)))
        shapes[lost] = None  # what the twin's CRS cannot show lies far away
    return table.take(shapely.intersects(shapes, shapely.box(*bbox)))
