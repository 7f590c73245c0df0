"""The component: an OpenStreetMap file as a data source."""

from __future__ import annotations

from typing import Annotated, Any

import ldt_core as ldt

from .scan import scan
from .tables import Heights, building_table, place_table, street_table, tree_table

_CRS = "EPSG:4326"
_RULE = "Heights of buildings for which the map gives neither a height nor a number of levels are assumed."


def _port(
    columns: dict[str, ldt.Column], entity: str, id: str, description: str, synthetic: str | None = None
) -> ldt.Port:
    return ldt.Port(
        columns,
        at="start",
        entity=entity,
        id=id,
        licence="ODbL-1.0",
        attribution="© OpenStreetMap contributors",
        synthetic=synthetic,
        description=description,
    )


class Osm(ldt.DataSource):
    """Streets, buildings, trees and places of an OpenStreetMap file (.osm, .osm.gz, .osm.bz2, .osm.pbf).

    Positions are longitude, latitude (EPSG:4326). Ids are ``node/1``, ``way/1``, ``relation/1`` as in
    openstreetmap.org addresses. A building's height is its ``height`` tag (metres unless it names feet),
    else ``building:levels`` times ``level_height``, else assumed; ``height_source`` says which. Its floor
    area is the footprint on the ellipsoid times its levels, or times its height in levels where none are
    stated. Buildings whose outline is not whole in the file are left out and counted.

    Raises ``NotFound`` for a missing file, ``InputError`` for one that is empty, cut off or no OSM data.
    """

    id = "osm"
    title = "OpenStreetMap file"
    outputs = {
        "streets": _port(
            {
                "way": ldt.text(),
                "name": ldt.text(nulls=True),
                "highway": ldt.text(description="kind of street, the value of the highway tag"),
                "oneway": ldt.boolean(description="the geometry then runs in the direction of travel"),
                "lanes": ldt.integer("1", "x:lanes", nulls=True),
                "max_speed": ldt.number("km/h", "x:speed_limit", nulls=True, range=(0, 1000)),
                "surface": ldt.text(nulls=True),
                "geometry": ldt.geometry("LineString", crs=_CRS),
            },
            "osm-way",
            "way",
            "Every way with a highway tag that is not an area, footpaths included",
        ),
        "buildings": _port(
            {
                "building": ldt.text(),
                "geometry": ldt.geometry("MultiPolygon", crs=_CRS),
                "height": ldt.number("m", "x:building_height", range=(0, 1000)),
                "height_source": ldt.text(description="height, levels or assumed"),
                "levels": ldt.number("1", "x:levels", nulls=True),
                "floor_area": ldt.number("m2", "x:floor_area"),
                "name": ldt.text(nulls=True),
                "use": ldt.text(nulls=True),
            },
            "building",
            "building",
            "Ways and multipolygon relations with a building tag",
            _RULE,
        ),
        "trees": _port(
            {
                "tree": ldt.text(),
                "geometry": ldt.geometry("Point", crs=_CRS),
                "height": ldt.number("m", "x:tree_height", nulls=True, range=(0, 1000)),
            },
            "tree",
            "tree",
            "Nodes tagged natural=tree",
        ),
        "places": _port(
            {
                "poi": ldt.text(),
                "name": ldt.text(nulls=True),
                "category": ldt.text(description="key=value of the first place tag, such as shop=bakery"),
                "geometry": ldt.geometry("Point", crs=_CRS),
            },
            "poi",
            "poi",
            "Points of interest; areas are given as a point inside",
        ),
    }
    validity = {
        "words": "Volunteered data: completeness differs from place to place. One file is read at once, so it"
        " should hold a city, not a country."
    }

    class Params(ldt.Params):
        file: ldt.File = ldt.Field(description="OpenStreetMap file")
        level_height: Annotated[float, ldt.unit("m"), ldt.Field(gt=0, le=10)] = 3.0
        default_height: Annotated[float | None, ldt.unit("m"), ldt.Field(gt=0, le=1000)] = ldt.Field(
            None, description="height of buildings without one; the median of the others where absent"
        )
        place_keys: tuple[str, ...] = ldt.Field(
            ("amenity", "shop", "tourism"), min_length=1, description="keys that make an object a place"
        )

    def read(self, query: ldt.Query) -> ldt.Tables:
        params: Any = self.params
        wanted = set(self.outputs if query.outputs is None else query.outputs)
        if unknown := sorted(wanted - set(self.outputs)):
            raise ldt.InputError(
                f"there is no port '{unknown[0]}'", where="osm", fix=f"ask for {', '.join(self.outputs)}"
            )
        if not wanted:
            return {}
        found = scan(params.file.path, wanted, params.place_keys, self.context)
        tables: dict[str, ldt.Table] = {}
        if "streets" in wanted:
            tables["streets"] = street_table(found.streets, self.context)
        if "buildings" in wanted:
            rule = Heights(params.level_height, params.default_height)
            tables["buildings"] = building_table(found.buildings, rule, self.context)
        if "trees" in wanted:
            tables["trees"] = tree_table(found.trees)
        if "places" in wanted:
            tables["places"] = place_table(found.places, params.place_keys, self.context)
        return tables
