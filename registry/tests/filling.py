"""Content for registries under test: projects, releases and files without the door of an upload."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from ldt_registry import audit, journal
from ldt_registry.blobs import put
from ldt_registry.registry import Registry
from ldt_registry.schema import account, blob, file, project, release

THEN = datetime(2026, 3, 2, 5, 0, 0, 123456, tzinfo=UTC)


def add_file(
    registry: Registry, name: str, content: bytes, version: str = "1.0", touched: datetime = THEN
) -> str:
    """Publish synthetic bytes as a wheel; their SHA-256."""
    sha256 = put(registry.blobs, content)
    with registry.database.write() as connection:
        owner = _one(connection, account, {"name": f"owner-of-{name}"}, created_at=THEN)
        inside = _one(
            connection,
            project,
            {"norm_name": name},
            name=name,
            skeleton=name,
            account_id=owner,
            created_at=THEN,
        )
        of = _one(
            connection,
            release,
            {"project_id": inside, "canonical": version},
            version=version,
            created_at=THEN,
        )
        if not connection.scalar(sa.select(blob.c.size).where(blob.c.sha256 == sha256)):
            row = {"sha256": sha256, "size": len(content), "state": "live", "touched": touched}
            connection.execute(sa.insert(blob).values(**row))
        connection.execute(
            sa.insert(file).values(
                project_id=inside,
                release_id=of,
                filename=f"{name}-{version}-py3-none-any.whl",
                sha256=sha256,
                blake2_256=sha256,
                size=len(content),
                filetype="bdist_wheel",
                tags=["py3-none-any"],
                uploaded_by="account:test",
                uploaded_at=THEN,
            )
        )
        grown = project.c.size + len(content)
        connection.execute(sa.update(project).where(project.c.id == inside).values(size=grown))
        audit.record(connection, "account:test", "file-published", name)
        journal.append(connection, "file-published", "account:test", project_id=inside)
    return sha256


def add_blob(registry: Registry, content: bytes, state: str = "live", touched: datetime = THEN) -> str:
    """Bytes with a row that nothing refers to."""
    sha256 = put(registry.blobs, content)
    with registry.database.write() as connection:
        row = {"sha256": sha256, "size": len(content), "state": state, "touched": touched}
        connection.execute(sa.insert(blob).values(**row))
    return sha256


def _one(connection: sa.Connection, table: sa.Table, by: dict[str, Any], **more: Any) -> int:
    """The id of the row, which is made where it is not there."""
    same = [table.c[k] == v for k, v in by.items()]
    found = connection.scalar(sa.select(table.c.id).where(*same))
    if found is None:
        found = connection.execute(sa.insert(table).values(**by, **more).returning(table.c.id)).scalar_one()
    return int(found)
