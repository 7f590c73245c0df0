"""What a reader is shown of a project, a release or a component: everything published, read in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from . import blobs
from .catalogue import versions
from .database import now
from .metadata import read_licence
from .problems import Missing
from .registry import Registry
from .sbom import MEDIA_TYPE, make_sbom
from .schema import (
    advisory,
    advisory_project,
    cert_status,
    certificate,
    component,
    component_release,
    file,
    project,
    release,
    sbom,
    service_version,
)

SHOWN = ("published", "yanked")


@dataclass(frozen=True)
class Words:
    """The long description of a release, its media type (reStructuredText where none is said), and links by their label."""

    text: str = ""
    kind: str = ""
    links: Mapping[str, str] = field(default_factory=dict)


def read_component(connection: sa.Connection, component_id: str) -> dict[str, Any]:
    """A component with its versions, newest first, and as ``shown`` the one that a reader should take. Raises Missing."""
    row = connection.execute(sa.select(component).where(component.c.id == component_id)).one_or_none()
    found = versions(connection, component_id) if row is not None else []
    if row is None or not found:
        raise Missing(f"There is no component {component_id!a}.", code="no-component", fix="Search for it.")
    shown = next((v for v in found if v["state"] == "published"), found[0])
    of = None
    if row.project_id is not None:
        of = connection.execute(sa.select(project).where(project.c.id == row.project_id)).one()
    return {
        "id": row.id,
        "kind": row.kind,
        "artifact": row.artifact,
        "project": of.norm_name if of is not None else None,
        "status": of.status if of is not None else "active",
        "reason": of.reason if of is not None else None,
        "shown": shown,
        "versions": found,
        "files": _files(connection, of.id, shown["version"]) if of is not None else [],
        "certificates": read_certificates(connection, shown["subjects"]),
        "advisories": _advisories(connection, of.norm_name) if of is not None else [],
    }


def read_project(connection: sa.Connection, name: str) -> dict[str, Any]:
    """A project by its normalised name, with its releases in order of publication, newest first. Raises Missing."""
    row = _project(connection, name)
    shown = sa.and_(release.c.project_id == row.id, release.c.state.in_(SHOWN))
    query = sa.select(release).where(shown).order_by(release.c.published_at.desc(), release.c.id.desc())
    releases = [] if row.status == "quarantined" else connection.execute(query).all()
    ids = sa.select(component.c.id).where(component.c.project_id == row.id).order_by(component.c.id)
    return {
        "name": row.name,
        "norm_name": row.norm_name,
        "status": row.status,
        "reason": row.reason,
        "replaced_by": row.replaced_by,
        "serial": row.serial,
        "components": list(connection.scalars(ids)) if releases else [],
        "releases": [_brief(r) for r in releases],
        "advisories": _advisories(connection, row.norm_name),
    }


def read_release(connection: sa.Connection, name: str, version: str) -> dict[str, Any]:
    """A release with its files, and what its metadata say. Raises Missing."""
    of = _project(connection, name)
    here = (release.c.project_id == of.id, release.c.version == version, release.c.state.in_(SHOWN))
    row = connection.execute(sa.select(release).where(*here)).one_or_none()
    if row is None or of.status == "quarantined":
        raise Missing(
            f"There is no release {version!a} of {name!a}.", code="no-release", fix="Look at its project."
        )
    ids = sa.select(component_release.c.component_id).where(component_release.c.release_id == row.id)
    said = row.core_metadata or {}
    return _brief(row) | {
        "project": of.norm_name,
        "components": sorted(connection.scalars(ids)),
        "licence": read_licence(said),
        "requires": said.get("requires_dist", []),
        "links": said.get("project_urls") or {},
        "files": _files(connection, of.id, row.version),
    }


def read_headlines(connection: sa.Connection, shown: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """(title, summary) of each component at a version, as its publisher wrote them; ``shown`` maps ids to versions."""
    wheels = (
        sa.select(
            component_release.c.component_id,
            release.c.version,
            component_release.c.manifest,
            release.c.summary,
        )
        .join(release, release.c.id == component_release.c.release_id)
        .where(component_release.c.component_id.in_(list(shown)))
    )
    services = sa.select(
        service_version.c.component_id,
        service_version.c.version,
        service_version.c.manifest,
        sa.null().label("summary"),
    ).where(service_version.c.component_id.in_(list(shown)))
    found = {}
    for row in [*connection.execute(wheels), *connection.execute(services)]:
        if shown[row.component_id] == row.version:
            summary = row.summary or row.manifest.get("description", "").partition("\n")[0][:500]
            found[row.component_id] = (row.manifest["title"], summary)
    return found


def read_words(connection: sa.Connection, name: str, version: str) -> Words:
    """What the publisher of a release wrote for people."""
    query = (
        sa.select(release.c.core_metadata)
        .join(project, project.c.id == release.c.project_id)
        .where(project.c.norm_name == name, release.c.version == version)
    )
    said: Mapping[str, Any] = connection.scalar(query) or {}
    kind = str(said.get("description_content_type") or "text/x-rst").partition(";")[0].strip().lower()
    return Words(str(said.get("description") or ""), kind, said.get("project_urls") or {})


def read_bill(registry: Registry, filename: str) -> tuple[bytes, str, str]:
    """(bill of materials, origin ``kept`` or ``declared``, media type) of a published wheel. Raises Missing."""
    with registry.database.read() as connection:
        query = (
            sa.select(file, release, sbom.c.sha256.label("bill"), sbom.c.origin, project.c.norm_name)
            .join(release, release.c.id == file.c.release_id)
            .join(project, project.c.id == file.c.project_id)
            .join(sbom, sbom.c.file_id == file.c.id, isouter=True)
            .where(
                file.c.filename == filename,
                file.c.filetype == "bdist_wheel",
                release.c.state.in_(SHOWN),
                project.c.status != "quarantined",
            )
        )
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise Missing(f"There is no wheel {filename!a}.", code="no-file", fix="Look at the release.")
    if row["bill"] is not None:
        return blobs.get(registry.blobs, row["bill"]), row["origin"], "application/json"
    said = row[release.c.core_metadata] or {}
    made = make_sbom(
        row["norm_name"],
        row[release.c.version],
        row[file.c.sha256],
        row[file.c.uploaded_at],
        summary=row[release.c.summary],
        licence=read_licence(said),
        requires=said.get("requires_dist", ()),
    )
    return made, "declared", MEDIA_TYPE


def read_certificates(connection: sa.Connection, subjects: list[str]) -> list[dict[str, Any]]:
    """Every certificate of these digests with its state now, the highest level first."""
    at = now(connection)
    found = []
    query = sa.select(certificate).where(certificate.c.subject.in_(subjects))
    for row in connection.execute(query.order_by(certificate.c.level.desc(), certificate.c.issued.desc())):
        last = (
            sa.select(cert_status.c.state, cert_status.c.reason)
            .where(cert_status.c.certificate_id == row.id)
            .order_by(cert_status.c.id.desc())
            .limit(1)
        )
        said = connection.execute(last).one_or_none()
        state, reason = (said.state, said.reason) if said is not None else ("good", "")
        if state == "good" and row.not_after <= at:
            state = "expired"
        keys = ("id", "subject", "level", "catalogue", "issued", "not_after")
        found.append({k: getattr(row, k) for k in keys} | {"state": state, "reason": reason})
    return found


def _project(connection: sa.Connection, name: str) -> sa.Row[Any]:
    row = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    if row is None:
        raise Missing(f"There is no project {name!a}.", code="no-project", fix="Search for it.")
    return row


def _brief(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": row.state,
        "yank_code": row.yank_code,
        "yank_text": row.yank_text,
        "published_at": row.published_at or row.created_at,
        "summary": row.summary,
        "requires_python": (row.core_metadata or {}).get("requires_python"),
    }


def _files(connection: sa.Connection, project_id: int, version: str) -> list[dict[str, Any]]:
    query = (
        sa.select(file, sbom.c.origin)
        .join(release, release.c.id == file.c.release_id)
        .join(sbom, sbom.c.file_id == file.c.id, isouter=True)
        .where(release.c.project_id == project_id, release.c.version == version)
        .order_by(file.c.filename)
    )
    return [
        {
            "filename": r.filename,
            "filetype": r.filetype,
            "sha256": r.sha256,
            "size": r.size,
            "uploaded_at": r.uploaded_at,
            "requires_python": r.requires_python,
            "path": f"/files/{r.sha256[:2]}/{r.sha256}/{r.filename}",
            "sbom": (r.origin or "declared") if r.filetype == "bdist_wheel" else None,
        }
        for r in connection.execute(query)
    ]


def _advisories(connection: sa.Connection, name: str) -> list[dict[str, Any]]:
    query = (
        sa.select(advisory)
        .join(advisory_project, advisory_project.c.advisory_id == advisory.c.id)
        .where(advisory_project.c.norm_name == name, advisory.c.withdrawn.is_(None))
        .order_by(advisory.c.modified.desc())
    )
    return [
        {
            "id": r.id,
            "summary": str(r.document.get("summary") or r.document.get("details") or "")[:500],
            "exploited": r.exploited,
            "modified": r.modified,
        }
        for r in connection.execute(query)
    ]
