"""The catalogue: which components there are, and what can be found of each.

``record_components`` is called where a file is published, in its transaction; ``refresh_project`` wherever something
changes that a reader sees (a release, its state, a certificate). What it writes can always be made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from packaging.version import InvalidVersion, Version

from .database import now
from .distribution import Distribution
from .facets import read_facets
from .metadata import read_licence
from .problems import Conflict
from .schema import (
    cert_status,
    certificate,
    component,
    component_release,
    file,
    project,
    release,
    search_doc,
    search_facet,
    service_version,
)
from .words import fold

LONGEST_BODY = 4096
"""Characters of a description that are searched: what is stuffed behind them is not found."""
_INSERT = (
    "INSERT INTO search_text (rowid, component_id, name, title, summary, body) "
    "VALUES (:row, :component_id, :name, :title, :summary, :body)",
    "INSERT INTO search_gram (rowid, component_id, words) VALUES (:row, :component_id, :words)",
)
_DELETE = ("DELETE FROM search_text WHERE rowid = :row", "DELETE FROM search_gram WHERE rowid = :row")


def record_components(
    connection: sa.Connection, project_id: int, release_id: int, found: Distribution
) -> None:
    """Write down the components of a file that is being published. Raises Conflict where an id is another's."""
    at = now(connection)
    for manifest in found.components:
        digest = digest_of(manifest)
        _take_id(connection, manifest, project_id, digest, at)
        key = (
            component_release.c.component_id == manifest["id"],
            component_release.c.release_id == release_id,
        )
        known = connection.scalar(sa.select(component_release.c.manifest_sha256).where(*key))
        if known is not None and known != digest:
            raise Conflict(
                f"Another file of this release describes the component {manifest['id']!r} otherwise.",
                code="manifest-differs",
                fix="Build all files of a release from the same source.",
            )
        if known is None:
            row = {"manifest": manifest, "manifest_sha256": digest, "about": found.about}
            connection.execute(
                sa.insert(component_release).values(component_id=manifest["id"], release_id=release_id, **row)
            )


def _take_id(
    connection: sa.Connection, manifest: Mapping[str, Any], project_id: int, digest: str, at: datetime
) -> None:
    row = connection.execute(sa.select(component).where(component.c.id == manifest["id"])).one_or_none()
    if row is None:
        connection.execute(
            sa.insert(component).values(
                id=manifest["id"],
                kind=manifest["kind"],
                artifact="wheel",
                project_id=project_id,
                manifest_sha256=digest,
                created_at=at,
            )
        )
    elif row.project_id != project_id:
        raise Conflict(
            f"A component {row.id!r} is published by another project.",
            code="id-taken",
            fix="Choose another id.",
        )
    elif row.kind != manifest["kind"]:
        raise Conflict(
            f"The component {row.id!r} is a {row.kind}; twins rely on that.",
            code="kind-changed",
            fix="Give the new component an id of its own.",
        )


def refresh_project(connection: sa.Connection, project_id: int) -> None:
    """Make anew what can be found of a project's components; without a published release nothing can."""
    ids = connection.scalars(sa.select(component.c.id).where(component.c.project_id == project_id))
    for component_id in ids.all():
        refresh_component(connection, component_id)


def refresh_all(connection: sa.Connection) -> int:
    """Make the whole index anew; returns how many components can be found."""
    for component_id in connection.scalars(sa.select(component.c.id)).all():
        refresh_component(connection, component_id)
    return int(connection.scalar(sa.select(sa.func.count()).select_from(search_doc)) or 0)


def refresh_component(connection: sa.Connection, component_id: str) -> None:
    row = connection.execute(sa.select(component).where(component.c.id == component_id)).one()
    _forget(connection, component_id)
    version = newest(connection, component_id)
    if version is None:
        return
    manifest = version["manifest"]
    facets = read_facets(manifest, row.artifact, version["about"], version["licence"])
    level, until = _certified(connection, version["subjects"])
    quantities = [*facets.get("needs", ()), *facets.get("gives", ())]
    body = fold(" ".join([manifest.get("description", ""), version["keywords"], *quantities]))[:LONGEST_BODY]
    texts = {
        "name": fold(f"{component_id} {version['project'] or ''}"),
        "title": fold(manifest["title"]),
        "summary": fold(version["summary"] or ""),
        "body": body,
    }
    connection.execute(
        sa.insert(search_doc).values(
            component_id=component_id,
            **texts,
            version=version["version"],
            facets=facets,
            level=level,
            certified_until=until,
            changed_at=version["published_at"],
        )
    )
    rows = [
        {"component_id": component_id, "name": n, "value": v} for n, values in facets.items() for v in values
    ]
    connection.execute(sa.insert(search_facet), rows)
    if connection.dialect.name == "sqlite":
        words = f"{texts['name']} {texts['title']}"
        values = {"row": _row_of(component_id), "component_id": component_id, "words": words, **texts}
        for statement in _INSERT:
            connection.execute(sa.text(statement), values)


def _forget(connection: sa.Connection, component_id: str) -> None:
    for table in (search_facet, search_doc):
        connection.execute(sa.delete(table).where(table.c.component_id == component_id))
    if connection.dialect.name == "sqlite":
        for statement in _DELETE:
            connection.execute(sa.text(statement), {"row": _row_of(component_id)})


def _row_of(component_id: str) -> int:
    """The row of a component in the indexes of text, found without reading them."""
    return int.from_bytes(hashlib.blake2b(component_id.encode(), digest_size=8).digest()) >> 1


def newest(connection: sa.Connection, component_id: str) -> dict[str, Any] | None:
    """The newest version that anybody should take, None where there is none: final before pre-release, yanked never."""
    found = [v for v in versions(connection, component_id) if v["state"] == "published"]
    return next((v for v in found if not _order(v["version"]).is_prerelease), found[0] if found else None)


def versions(connection: sa.Connection, component_id: str) -> list[dict[str, Any]]:
    """Every version of a component that is no draft, newest first, of whatever artifact.

    ``subjects`` are the digests that a certificate may speak of. A quarantined project has none.
    """
    found = [*_wheel_versions(connection, component_id), *_service_versions(connection, component_id)]
    return sorted(found, key=lambda v: _order(v["version"]), reverse=True)


def _order(version: str) -> Version:
    """Versions of services follow other rules; those that cannot be compared come last."""
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0.dev0")


def _wheel_versions(connection: sa.Connection, component_id: str) -> list[dict[str, Any]]:
    query = (
        sa.select(component_release, release, project.c.norm_name)
        .join(release, release.c.id == component_release.c.release_id)
        .join(project, project.c.id == release.c.project_id)
        .where(
            component_release.c.component_id == component_id,
            release.c.state.in_(("published", "yanked")),
            project.c.status != "quarantined",
        )
    )
    found = []
    for row in connection.execute(query).mappings():
        files = connection.execute(sa.select(file).where(file.c.release_id == row[release.c.id])).all()
        said = row[release.c.core_metadata] or {}
        found.append(
            {
                "project": row[project.c.norm_name],
                "version": row[release.c.version],
                "state": row[release.c.state],
                "yank_code": row[release.c.yank_code],
                "yank_text": row[release.c.yank_text],
                "published_at": row[release.c.published_at] or row[release.c.created_at],
                "summary": row[release.c.summary],
                "keywords": " ".join(said.get("keywords", ())),
                "licence": read_licence(said),
                "requires_python": said.get("requires_python"),
                "requires": said.get("requires_dist", []),
                "manifest": row[component_release.c.manifest],
                "about": row[component_release.c.about],
                "subjects": [f.sha256 for f in files],
                "size": sum(f.size for f in files),
            }
        )
    return found


def _service_versions(connection: sa.Connection, component_id: str) -> list[dict[str, Any]]:
    query = sa.select(service_version).where(
        service_version.c.component_id == component_id, service_version.c.state.in_(("published", "yanked"))
    )
    return [
        {
            "project": None,
            "version": row.version,
            "state": row.state,
            "yank_code": row.yank_code,
            "yank_text": row.yank_text,
            "published_at": row.added_at,
            "summary": row.manifest.get("description", "").partition("\n")[0],
            "keywords": "",
            "licence": row.manifest.get("licence"),
            "requires_python": None,
            "requires": [],
            "manifest": row.manifest,
            "about": row.manifest.get("about", {}),
            "subjects": [row.openapi_sha256],
            "size": None,
        }
        for row in connection.execute(query)
    ]


def _certified(connection: sa.Connection, subjects: list[str]) -> tuple[int, datetime | None]:
    """The highest level of a certificate of these bytes that stands, and until when; 0 where none does."""
    query = sa.select(certificate).where(
        certificate.c.subject.in_(subjects), certificate.c.not_after > now(connection)
    )
    found = []
    for row in connection.execute(query):
        last = (
            sa.select(cert_status.c.state)
            .where(cert_status.c.certificate_id == row.id)
            .order_by(cert_status.c.id.desc())
            .limit(1)
        )
        if connection.scalar(last) in (None, "good"):
            found.append((int(row.level), row.not_after))
    return max(found, default=(0, None))


def digest_of(manifest: Mapping[str, Any]) -> str:
    plain = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode()).hexdigest()
