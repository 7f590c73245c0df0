"""Collect bytes that nothing names.

A blob is condemned in one transaction, if nothing refers to it, no claim holds it, and it was not touched lately; then
the bytes are deleted, then the row. An upload claims its blobs before it stores them, holding their rows, and publishes
only while its claims stand: what was claimed is never condemned, and what was condemned is stored again by who needs it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa

from .. import audit, journal
from ..blobs import sweep_staging
from ..database import locked, now
from ..registry import Registry
from ..schema import attempt, blob, claim, job, metadata, oidc_jti, web_session

BATCH = 500


class Collected(NamedTuple):
    """How many of each were removed; ``size`` in bytes."""

    blobs: int
    size: int
    staged: int
    claims: int


def references() -> list[sa.Column[str]]:
    """Every column that names a blob: what stands there is kept. A claim is no reference, it ends by itself."""
    return [
        column
        for table in metadata.sorted_tables
        if table is not claim
        for column in table.columns
        if any(key.column is blob.c.sha256 for key in column.foreign_keys)
    ]


def collect(registry: Registry, unused: timedelta | None = None) -> Collected:
    """Remove what has been unused for so long (default: the setting ``keep_unused``), and what killed uploads left."""
    unused = registry.settings.keep_unused if unused is None else unused
    claims = _condemn(registry, unused)
    count, size = _delete_condemned(registry)
    with registry.database.write() as connection:
        if count:
            journal.hold(connection)  # a publication counts an attempt while it holds the head
        at = now(connection)
        connection.execute(sa.delete(oidc_jti).where(oidc_jti.c.keep_until < at))
        connection.execute(sa.delete(web_session).where(web_session.c.not_after < at))
        connection.execute(sa.delete(attempt).where(attempt.c.since < at - unused))
        connection.execute(sa.delete(job).where(job.c.state == "done", job.c.ended_at < at - unused))
        if count:
            audit.record(connection, "system", "bytes-collected", "blobs", count=count, size=size)
    under_way = 2 * registry.settings.upload_seconds
    return Collected(count, size, sweep_staging(registry.blobs, under_way), claims)


def _condemn(registry: Registry, unused: timedelta) -> int:
    """Mark what may be deleted; the number of claims whose lease has ended."""
    with registry.database.write() as connection:
        journal.hold(connection)  # nobody publishes meanwhile
        at = now(connection)
        ended = connection.execute(sa.delete(claim).where(claim.c.lease_until <= at)).rowcount
        old = sa.select(blob.c.sha256).where(blob.c.state != "condemned", blob.c.touched <= at - unused)
        # Rows are held first and judged by a later query, which sees every claim that was made before they were held.
        names = list(connection.scalars(locked(connection, old.order_by(blob.c.sha256))))
        used = [sa.exists().where(column == blob.c.sha256) for column in [*references(), claim.c.sha256]]
        for start in range(0, len(names), BATCH):
            some = blob.c.sha256.in_(names[start : start + BATCH])
            connection.execute(
                sa.update(blob).where(some, sa.not_(sa.or_(*used))).values(state="condemned", touched=at)
            )
    return ended


def _delete_condemned(registry: Registry) -> tuple[int, int]:
    """Bytes first: a row that is still there keeps uploads of the same bytes waiting."""
    with registry.database.read() as connection:
        query = sa.select(blob.c.sha256, blob.c.size).where(blob.c.state == "condemned")
        condemned = connection.execute(query).all()
    for row in condemned:
        registry.blobs.delete(row.sha256)
        with registry.database.write() as connection:
            connection.execute(
                sa.delete(blob).where(blob.c.sha256 == row.sha256, blob.c.state == "condemned")
            )
    return len(condemned), sum(row.size for row in condemned)
