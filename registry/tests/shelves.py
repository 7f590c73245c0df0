"""A registry with components to find, written as an upload writes them. All of them are made up."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from dists import make_account
from ldt_registry import schema
from ldt_registry.catalogue import record_components, refresh_project
from ldt_registry.database import now
from ldt_registry.distribution import Distribution
from ldt_registry.names import normalise, skeleton
from ldt_registry.registry import Registry

Columns = dict[str, tuple[str | None, str]]


def port(columns: Columns, **said: Any) -> dict[str, Any]:
    """A table port; ``columns`` maps a name to (unit, quantity)."""
    plain = {n: {"kind": "number", "unit": u, "quantity": q} for n, (u, q) in columns.items()}
    return {"shape": "table", "columns": {"time": {"kind": "instant"}} | plain} | said


def manifest(id: str, title: str, kind: str = "model", **said: Any) -> dict[str, Any]:
    needs, gives = said.pop("needs", {}), said.pop("gives", {})
    inputs = {"given": port(needs)} if needs else {}
    outputs = {"result": port(gives)} if gives else {}
    base = {"id": id, "kind": kind, "contract": 1, "title": title, "description": "", "params": {}}
    return base | {"inputs": inputs, "outputs": outputs, "capabilities": []} | said


def put(
    registry: Registry,
    *components: dict[str, Any],
    project: str = "",
    version: str = "1.0",
    account: int | None = None,
    summary: str = "",
    licence: str = "Apache-2.0",
    stated: str = "license_expression",
    requires: tuple[str, ...] = (),
    requires_python: str = ">=3.11",
    level: int = 0,
    days: float = 30,
    **about: Any,
) -> int:
    """Publish one release with one file, certified where a level is said; returns the project's id."""
    name = normalise(project or f"ldt-{components[0]['kind']}-{components[0]['id']}")
    digest, account = secrets.token_hex(32), account or make_account(registry)
    core = {
        stated: licence,
        "requires_dist": list(requires),
        "requires_python": requires_python,
    }
    found = Distribution(
        f"{name}-{version}.whl",
        "bdist_wheel",
        name,
        name,
        version,
        version,
        b"",
        components=components,
        about=about,
    )
    with registry.database.write() as connection:
        at = now(connection)
        project_id = connection.scalar(
            sa.select(schema.project.c.id).where(schema.project.c.norm_name == name)
        )
        if project_id is None:
            row = {"name": name, "norm_name": name, "skeleton": skeleton(name), "account_id": account}
            project_id = _insert(connection, schema.project, created_at=at, **row)
        release_id = _insert(
            connection, schema.release, project_id=project_id, version=version, canonical=version,
            created_at=at, published_at=at, summary=summary, core_metadata=core,
        )  # fmt: skip
        connection.execute(sa.insert(schema.blob).values(sha256=digest, size=9, state="live", touched=at))
        _insert(
            connection, schema.file, project_id=project_id, release_id=release_id, filename=found.filename,
            sha256=digest, blake2_256=digest, size=9, filetype="bdist_wheel", tags=[], uploaded_by="a", uploaded_at=at,
        )  # fmt: skip
        if level:
            connection.execute(
                sa.insert(schema.certificate).values(
                    id=digest[:16], subject=digest, level=level, catalogue="c", bundle_sha256=digest,
                    issued=at, not_after=at + timedelta(days=days),
                )
            )  # fmt: skip
        record_components(connection, project_id, release_id, found)
        refresh_project(connection, project_id)
    return int(project_id)


def _insert(connection: sa.Connection, table: sa.Table, **values: Any) -> int:
    key = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


RAIN: Columns = {"rain": ("mm/h", "rainfall_rate")}
FLOW: Columns = {"flow": ("m3/s", "water_volume_transport_in_river_channel")}
TRAVEL: Columns = {"travel_time": ("s", "x:travel_time")}
NOISE: Columns = {"level": ("dB", "x:sound_level_a")}


def fill(registry: Registry) -> None:
    """A small city of components, by several publishers."""
    put(
        registry,
        manifest("rain-radar", "Rain from radar", "source", gives=RAIN),
        summary="Rainfall every five minutes",
        level=2,
    )
    put(
        registry,
        manifest("rain-gauge", "Rain gauges", "source", gives=RAIN),
        summary="Point measurements of rainfall",
    )
    put(registry, manifest("flood-depth", "Flood depth", "simulator", needs=RAIN, gives={"depth": ("m", "x:water_depth")}, capabilities=["checkpoint"]),
        summary="How high the water stands", standards=["OGC WaterML 2"], deployment=["on-premise"], level=3)  # fmt: skip
    put(registry, manifest("flood-risk", "Flood risk of buildings", needs={"depth": ("m", "x:water_depth")}, gives={"loss": ("1", "x:loss")}),
        summary="Expected losses", licence="EUPL-1.2 OR MIT")  # fmt: skip
    put(
        registry,
        manifest("urban-drainage", "Sewers and drains", "simulator", needs=RAIN, gives=FLOW),
        summary="Pipe flow, surcharge and flood",
    )
    put(
        registry,
        manifest("road-traffic", "Road traffic", "simulator", gives=TRAVEL),
        summary="Vehicles on streets",
        mims={"MIM1": "partial"},
    )
    put(
        registry,
        manifest("road-noise", "Noise of roads", needs=TRAVEL, gives=NOISE),
        summary="Sound levels at facades",
        level=1,
    )
    put(
        registry,
        manifest("railway-noise", "Lärm von Zügen", gives=NOISE),
        summary="Sound levels beside tracks",
        level=2,
    )
    put(
        registry,
        manifest("tram-delay", "Delays of trams", needs=TRAVEL, gives={"delay": ("min", "x:delay")}),
        summary="Minutes late at stops",
    )
    put(
        registry,
        manifest("heat-island", "Urban heat island", gives={"t": ("Cel", "air_temperature")}),
        summary="Night temperatures of quarters",
    )
    put(
        registry,
        manifest("kpi-table", "Table of KPIs", "viewer"),
        manifest("kpi-radar", "Radar chart of KPIs", "viewer"),
        project="kpi-views",
        summary="Charts",
    )
    stuffed = " ".join(["flood rain noise traffic heat"] * 400)
    put(
        registry,
        manifest("best-of-all", "Everything", description=stuffed),
        summary="flood flood flood flood",
    )
