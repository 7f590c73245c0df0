"""The four tables, column by column, and what was wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

from .scan import Feature
from .shapes import make_line, make_point, make_polygon, measure_areas
from .tags import parse_length, parse_number, parse_speed

# A tag beyond these is a slip of the pen and counts as absent.
MAX_HEIGHT, MAX_LEVELS, MAX_SPEED, MAX_LANES = 1000.0, 300, 500, 50
FALLBACK_LEVELS = 2


class Heights(NamedTuple):
    """The rule by which a building gets its height; ``default`` None means the median of the others."""

    level_height: float
    default: float | None


def street_table(features: list[Feature], context: ldt.Context) -> ldt.Table:
    lines = [make_line(f) for f in features]
    kept = [(f, line) for f, line in zip(features, lines, strict=True) if line is not None]
    _count(
        context, "streets_without_nodes", len(features) - len(kept), "streets left out: no nodes in the file"
    )
    cut = sum(not f.complete for f, _ in kept)
    _count(context, "streets_cut", cut, "streets of which the file holds only a part of the nodes")
    tags = [f.tags for f, _ in kept]
    back = np.array([t.get("oneway") in ("-1", "reverse") for t in tags], bool)
    shapes = _objects(line for _, line in kept)
    shapes[back] = shapely.reverse(shapes[back])
    return _table(
        {
            "way": _objects(f.id for f, _ in kept),
            "name": [t.get("name") for t in tags],
            "highway": _objects(t["highway"] for t in tags),
            "oneway": np.array([_is_oneway(t) for t in tags], bool),
            "lanes": _parsed(tags, "lanes", _plausible_lanes),
            "max_speed": _parsed(tags, "maxspeed", _plausible_speed),
            "surface": [t.get("surface") for t in tags],
            "geometry": shapes,
        }
    )


def building_table(features: list[Feature], rule: Heights, context: ldt.Context) -> ldt.Table:
    made = [(f, *make_polygon(f)) for f in features]
    usable = [(f, shape, mended) for f, shape, mended in made if shape is not None]
    _count(
        context,
        "buildings_without_area",
        len(made) - len(usable),
        "buildings left out: cut by the edge of the file, or open",
    )
    kept = _without_repeats([(f, shape) for f, shape, _ in usable])
    _count(context, "buildings_repeated", len(usable) - len(kept), "buildings left out: mapped twice")
    mended = sum(mended for _, _, mended in usable)
    _count(context, "buildings_mended", mended, "buildings with an outline that crosses itself, mended")
    tags = [f.tags for f, _ in kept]
    shapes = _objects(shape for _, shape in kept)
    levels = _parsed(tags, "building:levels", _plausible_levels)
    height, source = _heights(tags, levels, rule)
    assumed = int((source == "assumed").sum())
    _count(context, "heights_assumed", assumed, f"of {len(kept)} buildings have an assumed height")
    stated = np.array([v is not None for v in levels], bool)
    storeys = np.array([v or 0.0 for v in levels])
    storeys = np.where(stated, storeys, np.maximum(1.0, np.round(height / rule.level_height)))
    return _table(
        {
            "building": _objects(f.id for f, _ in kept),
            "geometry": shapes,
            "height": height,
            "height_source": source,
            "levels": levels,
            "floor_area": measure_areas(shapes) * storeys,
            "name": [t.get("name") for t in tags],
            "use": [_use(t) for t in tags],
        }
    )


def tree_table(features: list[Feature]) -> ldt.Table:
    return _table(
        {
            "tree": _objects(f.id for f in features),
            "geometry": _objects(make_point(f) for f in features),
            "height": _parsed([f.tags for f in features], "height", _plausible_length),
        }
    )


def place_table(features: list[Feature], keys: tuple[str, ...], context: ldt.Context) -> ldt.Table:
    points = [make_point(f) for f in features]
    kept = [(f, point) for f, point in zip(features, points, strict=True) if point is not None]
    _count(
        context, "places_without_nodes", len(features) - len(kept), "places left out: no nodes in the file"
    )
    return _table(
        {
            "poi": _objects(f.id for f, _ in kept),
            "name": [f.tags.get("name") for f, _ in kept],
            "category": _objects(_category(f.tags, keys) for f, _ in kept),
            "geometry": _objects(point for _, point in kept),
        }
    )


def _heights(
    tags: list[dict[str, str]], levels: list[float | None], rule: Heights
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    tagged = _parsed(tags, "height", _plausible_length)
    height = np.full(len(tags), np.nan)
    source = np.full(len(tags), "assumed", object)
    for row, (metres, count) in enumerate(zip(tagged, levels, strict=True)):
        if metres is not None:
            height[row], source[row] = metres, "height"
        elif count is not None:
            height[row], source[row] = min(count * rule.level_height, MAX_HEIGHT), "levels"
    known = height[~np.isnan(height)]
    if rule.default is not None:
        rest = rule.default
    else:
        rest = float(np.median(known)) if len(known) else FALLBACK_LEVELS * rule.level_height
    return np.where(np.isnan(height), rest, height), source


def _without_repeats(
    buildings: list[tuple[Feature, shapely.Geometry]],
) -> list[tuple[Feature, shapely.Geometry]]:
    """Once each building: the same outline twice, or a relation's outer way tagged as a building too.

    The relation is kept, because it knows the courtyards.
    """
    by_way: dict[str, shapely.Geometry] = {}
    for feature, shape in buildings:
        if feature.id.startswith("relation/"):
            by_way |= {f"way/{way}": shape for way in feature.ways}
    kept: list[tuple[Feature, shapely.Geometry]] = []
    seen: set[bytes] = set()
    for feature, shape in buildings:
        whole = by_way.get(feature.id)
        if whole is not None and shapely.intersection(whole, shape).area > 0:
            continue  # a building inside a courtyard (an inner way) shares no area and stays
        key = shapely.to_wkb(shapely.normalize(shape))
        if key not in seen:
            seen.add(key)
            kept.append((feature, shape))
    return kept


def _plausible_length(text: str) -> float | None:
    metres = parse_length(text)
    return metres if metres is not None and 0 < metres <= MAX_HEIGHT else None


def _plausible_levels(text: str) -> float | None:
    levels = parse_number(text)
    return levels if levels is not None and 0 < levels <= MAX_LEVELS else None


def _plausible_speed(text: str) -> float | None:
    speed = parse_speed(text)
    return speed if speed is not None and 0 < speed <= MAX_SPEED else None


def _plausible_lanes(text: str) -> float | None:
    lanes = parse_number(text)
    return lanes if lanes is not None and lanes in range(1, MAX_LANES + 1) else None


def _is_oneway(tags: dict[str, str]) -> bool:
    """Stated, or implied by a motorway or a roundabout (OpenStreetMap wiki, "Key:oneway")."""
    stated = tags.get("oneway")
    if stated is not None:
        return stated in ("yes", "true", "1", "-1", "reverse")
    return tags["highway"] == "motorway" or tags.get("junction") == "roundabout"


def _use(tags: dict[str, str]) -> str | None:
    use = tags.get("building:use") or tags["building"]
    return None if use == "yes" else use


def _category(tags: dict[str, str], keys: tuple[str, ...]) -> str:
    key = next(key for key in keys if key in tags)
    return f"{key}={tags[key]}"


def _parsed(tags: list[dict[str, str]], key: str, parse: Callable[[str], float | None]) -> list[float | None]:
    return [parse(t[key]) if key in t else None for t in tags]


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    items = list(values)
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _table(columns: dict[str, NDArray[Any] | Sequence[Any]]) -> ldt.Table:
    """Lists may hold None, which becomes a missing value."""
    values: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            values[name] = column
            continue
        missing = np.array([v is None for v in column], bool)
        present = next((v for v in column if v is not None), None)
        if isinstance(present, str) or name in ("name", "surface", "use"):
            values[name] = _objects(column)
        else:
            dtype = np.int64 if name == "lanes" else np.float64
            values[name] = np.array([0 if v is None else v for v in column], dtype)
        masks[name] = missing
    return ldt.Table(values, masks)


def _count(context: ldt.Context, name: str, count: int, text: str) -> None:
    if count:
        context.flag(name, count, f"{count} {text}")
