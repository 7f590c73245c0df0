"""One layer of a map: its places, the class of each, what a reader may be told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt
from ldt_core.scene import Layer, MapBlock

from .bundle import SceneBundle, clean
from .colours import MISSING, PLAIN, Look, looks_of
from .paths import Frame, clipped, usable
from .words import say_places, write_amount


@dataclass
class Places:
    """The drawable places of a layer, in the units of the picture.

    ``classes`` holds for each place the index into ``looks``; the last look stands for missing
    values where ``missing`` counts any. ``values`` is NaN where there is none.
    """

    layer: Layer
    shapes: NDArray[Any]
    values: NDArray[np.float64]
    words: list[str]
    names: list[str]
    classes: NDArray[np.int64]
    looks: list[Look]
    counts: list[int]
    rows: int
    noun: str

    @property
    def signed(self) -> bool:
        return self.layer.scale is not None and self.layer.scale.kind == "diverging"

    @property
    def measured(self) -> bool:
        return self.layer.scale is not None and self.layer.scale.kind != "categorical"


def read_places(layer: Layer, block: MapBlock, bundle: SceneBundle, frame: Frame) -> Places:
    """The places of ``layer`` within ``frame``.

    Raises ``NotFound`` for data or columns that are not there, ``InputError`` for shapes that are none.
    """
    table, where = bundle.table(layer.data), f"map '{block.title}', layer '{layer.title}'"
    shapes = _shapes(layer, block, bundle, table, where)
    drawable = usable(shapes)
    drawn = np.full(len(shapes), None, object)
    if drawable.any():
        drawn[drawable] = clipped(shapes[drawable], frame)
    seen = np.flatnonzero(usable(drawn)) if len(drawn) else np.empty(0, np.int64)
    table, drawn = table.take(seen), drawn[seen]
    if layer.geometry == "point" and len(drawn):
        drawn = np.where(shapely.get_type_id(drawn) == 0, drawn, shapely.centroid(drawn))
    values, words = _values(layer, table, where)
    looks, classes = _classes(layer, values, words)
    return Places(
        layer=layer,
        shapes=drawn,
        values=values,
        words=words,
        names=_texts(table, layer.label, where) if layer.label else [""] * len(seen),
        classes=classes,
        looks=looks,
        counts=np.bincount(classes, minlength=len(looks)).tolist(),
        rows=len(shapes),
        noun=say_places(next((f.name for f in bundle.ref(layer.data).fields if f.kind == "text"), "")),
    )


def _column(table: ldt.Table, name: str, where: str) -> NDArray[Any]:
    if name not in table:
        raise ldt.NotFound(
            f"there is no column '{name}'",
            where=where,
            fix=f"the data has {', '.join(table.names) or 'no column'}",
        )
    return table[name]


def _shapes(layer: Layer, block: MapBlock, bundle: SceneBundle, table: ldt.Table, where: str) -> NDArray[Any]:
    ref = bundle.ref(layer.data)
    name = next((f.name for f in ref.fields if f.kind == "geometry"), "geometry")
    shapes = _column(table, name, where).astype(object)
    shapes[table.mask(name)] = None
    if any(s is not None and not isinstance(s, shapely.Geometry) for s in shapes):
        raise ldt.InputError(
            f"column '{name}' holds no geometry", where=where, fix="publish shapely geometries"
        )
    if ref.crs and ref.crs != block.crs and len(shapes):
        from pyproj import Transformer

        change = Transformer.from_crs(ref.crs, block.crs, always_xy=True)
        shapes = np.asarray(shapely.transform(shapes, change.transform, interleaved=False))
    return np.asarray(shapes, object)


def _texts(table: ldt.Table, name: str, where: str) -> list[str]:
    values = _column(table, name, where)
    return [
        "" if v is None or gone else clean(str(v)) for v, gone in zip(values, table.mask(name), strict=True)
    ]


def _values(layer: Layer, table: ldt.Table, where: str) -> tuple[NDArray[np.float64], list[str]]:
    """Numbers (NaN where missing or not numeric) and the same as words."""
    nothing = np.full(len(table), np.nan)
    if layer.field is None:
        return nothing, [""] * len(table)
    column = _column(table, layer.field, where)
    if (layer.scale and layer.scale.kind == "categorical") or column.dtype.kind not in "iufb":
        return nothing, _texts(table, layer.field, where)
    values = np.where(table.mask(layer.field), np.nan, column.astype(float))
    values = np.where(np.isfinite(values), values, np.nan)
    signed = layer.scale is not None and layer.scale.kind == "diverging"
    return values, [write_amount(v, layer.unit, sign=signed) for v in values.tolist()]


def _classes(
    layer: Layer, values: NDArray[np.float64], words: list[str]
) -> tuple[list[Look], NDArray[np.int64]]:
    if layer.scale is None:
        return [Look(layer.title, PLAIN, 0.4)], np.zeros(len(values), np.int64)
    looks = looks_of(layer.scale)
    gone = len(looks)
    if layer.scale.kind == "categorical":
        places = {clean(c): i for i, c in enumerate(layer.scale.categories)}
        classes = np.array([places.get(w, gone) for w in words], np.int64)
        rest = "other or no value"
    else:
        classes = np.searchsorted(np.array(layer.scale.breaks), values, side="right").astype(np.int64)
        classes[np.isnan(values)] = gone
        rest = "unclear or no value" if layer.scale.kind == "diverging" else "no value"
    if (classes == gone).any():
        looks.append(Look(rest, MISSING, 0.0, "none", "1 3"))
    return looks, classes
