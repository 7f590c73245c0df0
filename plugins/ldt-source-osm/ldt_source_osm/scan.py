"""One or two passes over an OSM file: the objects that are wanted, with their coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import osmium

import ldt_core as ldt

Point = tuple[float, float]


class Feature(NamedTuple):
    """One OSM object: ``type/number``, its tags, and one list of (lon, lat) per way.

    ``complete`` is False where the file lacks some of its nodes or ways. ``ways`` are the numbers
    of the ways that it is made of, so that a relation can be compared with its ways.
    """

    id: str
    tags: dict[str, str]
    lines: list[list[Point]]
    complete: bool
    ways: tuple[int, ...] = ()


@dataclass
class Found:
    streets: list[Feature] = field(default_factory=list)
    buildings: list[Feature] = field(default_factory=list)
    trees: list[Feature] = field(default_factory=list)
    places: list[Feature] = field(default_factory=list)
    objects: int = 0


def scan(path: Path, wanted: set[str], place_keys: tuple[str, ...], context: ldt.Context) -> Found:
    """What ``path`` holds of ``wanted`` (streets, buildings, trees, places), in the order of the file.

    Raises ``NotFound`` where there is no file and ``InputError`` where it is empty, damaged, no
    OpenStreetMap data or data that cannot be placed.
    """
    if not path.is_file():
        raise ldt.NotFound(
            "there is no such file", code="no file", where=str(path), fix="correct params.file"
        )
    if path.stat().st_size == 0:
        raise _damaged(path, "the file is empty", "fetch or export it again")
    keys = {"streets": ("highway",), "buildings": ("building",), "trees": ("natural",), "places": place_keys}
    asked = tuple(dict.fromkeys(key for name in keys if name in wanted for key in keys[name]))
    try:
        return _scan(path, wanted, place_keys, asked, context)
    except ldt.LdtError:
        raise
    except (RuntimeError, UnicodeDecodeError, osmium.InvalidLocationError) as error:
        raise _damaged(
            path,
            f"it cannot be read as OpenStreetMap data: {error}",
            "give a complete .osm, .osm.gz, .osm.bz2 or .osm.pbf file; `osmium fileinfo -e` describes it",
        ) from error


def _scan(
    path: Path, wanted: set[str], place_keys: tuple[str, ...], asked: tuple[str, ...], context: ldt.Context
) -> Found:
    found = Found()
    relations: list[tuple[str, dict[str, str], list[int]]] = []
    ways = located = 0
    for item in _objects(path, osmium.filter.KeyFilter(*asked)):
        found.objects += 1
        if found.objects % 20_000 == 0:
            context.check_cancelled()
        tags = {tag.k: tag.v for tag in item.tags}
        if item.is_node():
            if not item.location.valid():
                raise _damaged(path, f"node {item.id} lies outside the globe", "correct its lat and lon")
            feature = Feature(f"node/{item.id}", tags, [[(item.lon, item.lat)]], True)
            if "trees" in wanted and tags.get("natural") == "tree":
                found.trees.append(feature)
        elif item.is_way():
            line = _line(item)
            ways, located = ways + 1, located + bool(line)
            feature = Feature(f"way/{item.id}", tags, [line], len(line) == len(item.nodes), (item.id,))
            if "streets" in wanted and _is_street(tags):
                found.streets.append(feature)
            if "buildings" in wanted and _is_building(tags):
                found.buildings.append(feature)
        else:
            members = [m.ref for m in item.members if m.type == "w"]
            relations.append((f"relation/{item.id}", tags, members))
            continue
        if "places" in wanted and any(key in tags for key in place_keys):
            found.places.append(feature)
    if ways and not located:
        raise _damaged(
            path,
            "no way has the positions of its nodes",
            "nodes must be in the file and stand before the ways: `osmium sort`, or ask Overpass for"
            " `(._;>;); out;`",
        )
    _add_relations(path, relations, found, wanted, place_keys)
    if not found.objects and not any(True for _ in osmium.FileProcessor(str(path))):
        raise _damaged(path, "it holds no OpenStreetMap objects", "export the area again")
    return found


def _objects(path: Path, *filters: Any) -> Iterator[Any]:
    processor = osmium.FileProcessor(str(path)).with_locations()
    if processor.header.has_multiple_object_versions:
        raise _damaged(
            path, "it is a history or change file", "give the state at one moment (`osmium time-filter`)"
        )
    for chosen in filters:
        processor = processor.with_filter(chosen)
    yield from processor


def _add_relations(
    path: Path,
    relations: list[tuple[str, dict[str, str], list[int]]],
    found: Found,
    wanted: set[str],
    place_keys: tuple[str, ...],
) -> None:
    """Relations stand last in a file, after their ways, so their ways take a second pass."""
    needed = {way for _, _, members in relations for way in members}
    if not needed:
        return
    lines: dict[int, list[Point]] = {}
    broken: set[int] = set()
    only_ways = osmium.filter.EntityFilter(osmium.osm.WAY)
    for item in _objects(path, only_ways, osmium.filter.IdFilter(needed)):
        lines[item.id] = _line(item)
        if len(lines[item.id]) < len(item.nodes):
            broken.add(item.id)
    for name, tags, members in relations:
        complete = all(way in lines and way not in broken for way in members)
        known = [lines[way] for way in members if lines.get(way)]
        feature = Feature(name, tags, known, complete, tuple(members))
        if "buildings" in wanted and _is_building(tags) and tags.get("type") == "multipolygon":
            found.buildings.append(feature)
        if "places" in wanted and any(key in tags for key in place_keys):
            found.places.append(feature)


def _line(way: Any) -> list[Point]:
    return [(node.lon, node.lat) for node in way.nodes if node.location.valid()]


def _is_street(tags: dict[str, str]) -> bool:
    return "highway" in tags and tags.get("area") != "yes"


def _is_building(tags: dict[str, str]) -> bool:
    return tags.get("building", "no") != "no"


def _damaged(path: Path, what: str, fix: str) -> ldt.InputError:
    return ldt.InputError(what, code="not readable", where=str(path), fix=fix)
