"""What stands between two linked ports: rename, unit gain and offset, CRS. Lossless, and named in the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .errors import WiringError
from .tables import Port, Table

CRS_TOLERANCE = 1.0
"""Metres of positional accuracy above which a change of CRS is refused."""


@dataclass(frozen=True)
class CrsStep:
    """One change of CRS: the operation that PROJ chose inside the twin's area, with its accuracy in metres."""

    source: str
    target: str
    bbox: tuple[float, float, float, float] | None
    operation: str = ""
    accuracy: float = 0.0


@lru_cache(maxsize=64)
def transformer(source: str, target: str, bbox: tuple[float, float, float, float] | None) -> Any:
    """The PROJ operation between two CRS; ``bbox`` is in ``target`` or None."""
    import pyproj
    from pyproj.aoi import AreaOfInterest
    from pyproj.transformer import TransformerGroup

    area = None
    if bbox is not None:
        west, south, east, north = pyproj.Transformer.from_crs(
            target, "OGC:CRS84", always_xy=True
        ).transform_bounds(*bbox)
        area = AreaOfInterest(west, south, east, north)
    group = TransformerGroup(source, target, always_xy=True, area_of_interest=area)  # type: ignore[arg-type]
    if not group.transformers:
        raise WiringError(
            f"there is no operation from {source} to {target}",
            code="CRS accuracy",
            fix="install the PROJ grid that the operation needs, or supply the data in another CRS",
        )
    return group.transformers[0]


def crs_step(
    source: str, target: str, bbox: tuple[float, float, float, float] | None, where: str
) -> CrsStep | None:
    """The change of CRS needed, or None; ``WiringError`` when it is less accurate than 1 m."""
    if source == target or same_crs(source, target):
        return None
    chosen = transformer(source, target, bbox)
    accuracy = float(chosen.accuracy)
    if accuracy > CRS_TOLERANCE:
        raise WiringError(
            f"the best operation from {source} to {target} is accurate to {accuracy:g} m only "
            f"({chosen.description})",
            code="CRS accuracy",
            where=where,
            fix="install the national grid for PROJ, or give the twin the CRS of the data",
        )
    # PROJ says -1 where it does not know; a pure projection of one datum is exact.
    return CrsStep(source, target, bbox, chosen.description, max(accuracy, 0.0))


@lru_cache(maxsize=256)
def same_crs(one: str, other: str) -> bool:
    """Equal apart from the order of axes: coordinates are x, y always."""
    import pyproj

    return bool(pyproj.CRS(one).equals(pyproj.CRS(other), ignore_axis_order=True))


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
    """The table with its geometry column in the target CRS of ``step``."""
    import shapely

    operation = transformer(step.source, step.target, step.bbox)
    moved = shapely.transform(table[name], operation.transform, interleaved=False)
    return table.with_columns(**{name: moved})


def within(table: Table, port: Port, crs: str, bbox: tuple[float, float, float, float]) -> Table:
    """The rows whose geometry meets ``bbox``, given in ``crs``."""
    import shapely

    name = port.geometry_column
    if name is None or not len(table):
        return table
    shapes = table
    own = port.columns[name].crs or crs
    if own != "twin" and not same_crs(own, crs):
        shapes = reproject(table.select(name), name, CrsStep(own, crs, bbox))
    return table.take(shapely.intersects(shapes[name], shapely.box(*bbox)))
