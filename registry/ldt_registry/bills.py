"""The bill of materials of a published wheel: the one that it brought, or one of what it declares."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from .metadata import read_licence
from .problems import Missing
from .registry import Registry
from .sbom import make_sbom
from .schema import file, project, release, sbom


class Bill(NamedTuple):
    """JSON: CycloneDX, or SPDX where the publisher chose that. ``origin`` is ``kept`` or ``declared``."""

    content: bytes
    origin: str


def read_bill(registry: Registry, filename: str) -> Bill:
    """The bill of a wheel. Raises Missing."""
    query = (
        sa.select(file, release.c.version, release.c.summary, release.c.core_metadata, project.c.norm_name)
        .join(release, release.c.id == file.c.release_id)
        .join(project, project.c.id == file.c.project_id)
        .where(
            file.c.filename == filename, file.c.filetype == "bdist_wheel", project.c.status != "quarantined"
        )
    )
    with registry.database.read() as connection:
        row = connection.execute(query).one_or_none()
        kept = (
            None
            if row is None
            else connection.scalar(sa.select(sbom.c.sha256).where(sbom.c.file_id == row.id))
        )
    if row is None:
        raise Missing(
            f"There is no wheel {filename!a}.", code="no-file", fix="Look at the page of its project."
        )
    if kept is not None:
        return Bill(b"".join(registry.blobs.read(kept)), "kept")
    said = row.core_metadata or {}
    made = make_sbom(
        row.norm_name,
        row.version,
        row.sha256,
        row.uploaded_at,
        summary=row.summary,
        licence=read_licence(said),
        requires=said.get("requires_dist", ()),
    )
    return Bill(made, "declared")
