"""Places, and the values that belong to them by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

from .words import clean_text

Numbers = NDArray[np.float64]
Shape = Literal["point", "line", "polygon"]
Bounds = tuple[float, float, float, float]

NEAR = 100.0
"""Metres within which a place may be called after another."""
_NAMES = ("name", "title", "label", "street", "address")
_TYPES: dict[Shape, Literal["Point", "LineString", "MultiPolygon"]] = {
    "point": "Point",
    "line": "LineString",
    "polygon": "MultiPolygon",
}
_DIMENSION: tuple[Shape, Shape, Shape] = ("point", "line", "polygon")


@dataclass
class PlaceSet:
    """One set of places; ``columns`` gathers what is published beside the geometry, as ``data``.

    ``shape`` is the kind that most geometries have, None where there is no geometry. ``streets`` names
    the nearest street of each place that is none itself.
    """

    id: str
    ids: list[str]
    names: list[str] | None
    geometry: NDArray[np.object_]
    shape: Shape | None
    index: dict[object, int]
    columns: dict[str, tuple[Numbers, ldt.Column]] = field(default_factory=dict)
    refs: list[str] = field(default_factory=list)
    streets: list[str] | None = None
    data: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def join(self, table: ldt.Table, column: str) -> tuple[Numbers, int]:
        """``column`` of ``table`` in the order of the places, NaN where missing; how many found no place."""
        key = find_id(table)
        values = np.array(table[column], np.float64) if column in table else np.full(len(table), np.nan)
        values[table.mask(column) | ~np.isfinite(values)] = np.nan
        rows = self._find_rows(table[key].tolist())
        joined = np.full(len(self), np.nan)
        joined[rows[rows >= 0]] = values[rows >= 0]
        return joined, int((~np.isnan(values) & (rows < 0)).sum())

    def _find_rows(self, ids: list[object]) -> NDArray[np.int64]:
        """The row of each id, -1 where it has none."""
        if ids == list(self.index):  # as nearly always: the places come from the same network
            return np.arange(len(ids))
        return np.fromiter((self.index.get(i, -1) for i in ids), np.int64, len(ids))

    @property
    def label(self) -> str | None:
        """The published column that names a place."""
        return None if self.names is None else "name" if self.id != "name" else "label"

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Leave all other rows out of what is published."""
        chosen = rows.tolist()
        self.ids = [self.ids[r] for r in chosen]
        self.names = None if self.names is None else [self.names[r] for r in chosen]
        self.streets = None if self.streets is None else [self.streets[r] for r in chosen]
        self.geometry = self.geometry[rows]
        self.columns = {n: (values[rows], column) for n, (values, column) in self.columns.items()}

    def call(self, row: int) -> str:
        """What a place is called in a sentence: its name, else its id."""
        name = clean_text(self.names[row], 40) if self.names else ""
        return name or clean_text(self.ids[row], 40) or "(no name)"

    def locate(self, row: int) -> str:
        """Where a place is: near its street, which more readers know than a house; else what it is called."""
        street = clean_text(self.streets[row], 40) if self.streets else ""
        return f"near {street}" if street else self.call(row)


def find_id(table: ldt.Table) -> str:
    """The id column of a table of values or places: the one that is not a figure or a geometry."""
    found = next((n for n in table if n not in ("value", "low", "high", "geometry")), None)
    if found is None:
        raise ldt.InputError("the table has no id column", where=", ".join(table), fix="give each row an id")
    return found


def read_places(table: ldt.Table) -> PlaceSet:
    """From ``View.places``. Raises ``InputError`` where one id stands for several places."""
    key = find_id(table)
    if "geometry" in table:
        geometry = np.array(table["geometry"], object)
        gone = table.mask("geometry") | shapely.is_missing(geometry) | shapely.is_empty(geometry)
        geometry[gone] = None
    else:
        geometry = np.full(len(table), None, object)
    raw = table[key].tolist()
    index = {i: row for row, i in enumerate(raw)}
    if len(index) != len(raw):
        raise ldt.InputError(
            f"{len(raw) - len(index)} ids stand for more than one place",
            code="ids do not pair",
            where=key,
            fix="give each place one row, joining its parts into one geometry",
        )
    return PlaceSet(
        id=key,
        ids=[_safe(str(i)) for i in raw],
        names=_find_names(table, key),
        geometry=geometry,
        shape=_find_shape(geometry),
        index=index,
    )


def name_by_neighbours(places: PlaceSet, around: Sequence[PlaceSet]) -> None:
    """Find the nearest street (else the nearest named place) in ``around``; who has no name is called after it."""
    named = [s for s in around if s.names is not None and s.shape is not None]
    lines = [s for s in named if s.shape == "line"]
    nearest = _find_nearest(places, lines or named)
    if lines and places.shape != "line" and any(nearest):
        places.streets = nearest
    own = places.names or [""] * len(places)
    if any(near and not name for near, name in zip(nearest, own, strict=True)):
        places.names = [
            name or (f"near {near}" if near else "") for near, name in zip(nearest, own, strict=True)
        ]


def _find_nearest(places: PlaceSet, named: Sequence[PlaceSet]) -> list[str]:
    """The name of what is nearest to each place within ``NEAR``, empty where nothing is."""
    texts = [name for s in named for name in s.names or ()]
    shapes = np.concatenate([np.empty(0, object), *(s.geometry for s in named)])
    known = np.flatnonzero(np.array([bool(text) for text in texts], bool) & ~shapely.is_missing(shapes))
    rows = np.flatnonzero(~shapely.is_missing(places.geometry))
    found = [""] * len(places)
    if len(known) and len(rows):
        tree = shapely.STRtree(shapes[known])
        of, nearest = tree.query_nearest(places.geometry[rows], max_distance=NEAR, all_matches=False)
        for row, neighbour in zip(rows[of].tolist(), known[nearest].tolist(), strict=True):
            found[row] = texts[neighbour]
    return found


def _find_names(table: ldt.Table, key: str) -> list[str] | None:
    """The text column that names places, if one is called so and says something."""
    wanted = [n for n in table if n != key and (n in _NAMES or n.endswith("_name") or n.startswith("name"))]
    for name in sorted(wanted, key=lambda n: _NAMES.index(n) if n in _NAMES else len(_NAMES)):
        values, gone = table[name], table.mask(name).tolist()
        texts = ["" if m or not isinstance(v, str) else _safe(v) for v, m in zip(values, gone, strict=True)]
        if any(texts):
            return texts
    return None


def _safe(text: str) -> str:
    """As it came, but for halves of surrogate pairs, which no encoding takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _find_shape(geometry: NDArray[np.object_]) -> Shape | None:
    dimensions = shapely.get_dimensions(geometry)
    dimensions = dimensions[dimensions >= 0]
    return _DIMENSION[int(np.bincount(dimensions).argmax())] if len(dimensions) else None


def frame_places(sets: Sequence[PlaceSet], outer: Bounds | None) -> Bounds | None:
    """What the maps show: all places with a value, cut to ``outer`` where both meet, with a margin."""
    drawn = [s.geometry[_has_value(s)] for s in sets]
    boxes = shapely.bounds(np.concatenate(drawn)) if drawn else np.empty((0, 4))
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(boxes):
        return None
    (west, south), (east, north) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    if (
        outer is not None
        and west <= outer[2]
        and east >= outer[0]
        and south <= outer[3]
        and north >= outer[1]
    ):
        west, south = max(west, outer[0]), max(south, outer[1])
        east, north = min(east, outer[2]), min(north, outer[3])
    margin = max(0.03 * max(east - west, north - south), 50.0)
    return float(west - margin), float(south - margin), float(east + margin), float(north + margin)


def _has_value(places: PlaceSet) -> NDArray[np.bool_]:
    found = np.zeros(len(places), bool)
    for values, _ in places.columns.values():
        found |= ~np.isnan(values)
    return found


def cut_places(places: PlaceSet, frame: Bounds) -> PlaceSet:
    """The places that touch ``frame``: context need not be carried along where no map shows it."""
    west, south, east, north = frame
    boxes = shapely.bounds(places.geometry)
    with np.errstate(invalid="ignore"):
        near = (boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south)
    rows = np.flatnonzero(near).tolist()
    return PlaceSet(
        id=places.id,
        ids=[places.ids[r] for r in rows],
        names=None,
        geometry=places.geometry[near],
        shape=places.shape,
        index={},
        refs=places.refs,
    )


def weigh_places(places: PlaceSet) -> int:
    """About how many bytes a set is in a file: 20 000 buildings as GeoParquet had 12 bytes a corner."""
    return int(weigh_rows(places).sum())


def weigh_rows(places: PlaceSet) -> NDArray[np.int64]:
    points = shapely.get_num_coordinates(places.geometry).astype(np.int64)
    return np.asarray(10 * points + 12 + 6 * len(places.columns), np.int64)


def tabulate_places(places: PlaceSet, crs: str) -> tuple[ldt.Table, ldt.Port]:
    """What is published: id, name where there is one, geometry, then a column per run and per change."""
    columns: dict[str, object] = {places.id: np.array(places.ids, object)}
    meaning = {places.id: ldt.text(description="id")}
    masks: dict[str, NDArray[np.bool_]] = {}
    if places.label is not None:
        columns[places.label] = np.array(places.names, object)
        meaning[places.label] = ldt.text(description="name, or what it is near to")
    columns["geometry"] = places.geometry
    meaning["geometry"] = ldt.geometry(_type_of(places), crs=crs, nulls=True)
    masks["geometry"] = shapely.is_missing(places.geometry)
    for name, (values, column) in places.columns.items():
        columns[name], masks[name], meaning[name] = np.nan_to_num(values), np.isnan(values), column
    port = ldt.Port(meaning, entity=places.id, id=places.id)
    return ldt.Table(columns, masks), port  # type: ignore[arg-type]


def _type_of(places: PlaceSet) -> Literal["Point", "LineString", "MultiPolygon", "Geometry"]:
    known = places.geometry[~shapely.is_missing(places.geometry)]
    kinds = {int(k) for k in np.unique(shapely.get_type_id(known))}
    allowed = {"point": {0}, "line": {1}, "polygon": {3, 6}}
    shape = places.shape
    return _TYPES[shape] if shape is not None and kinds <= allowed[shape] else "Geometry"
