"""What changed, in one order: the serial counts up by one at each change, and starts a new epoch after a restore.

Mirrors and caches compare (epoch, serial). Whoever takes a serial holds the head until the transaction ends, so that serials
are published in order and without gaps; take it late.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import sqlalchemy as sa

from .database import locked, now
from .schema import head, journal, project


class Head(NamedTuple):
    epoch: str
    serial: int


def read_head(connection: sa.Connection) -> Head:
    row = connection.execute(sa.select(head.c.epoch, head.c.serial)).one()
    return Head(row.epoch, row.serial)


def hold(connection: sa.Connection) -> None:
    """Take the head first: whoever will also lock rows of releases or bytes would else wait in a circle."""
    connection.execute(locked(connection, sa.select(head.c.serial)))


def append(
    connection: sa.Connection, action: str, actor: str, *, project_id: int | None = None, **detail: Any
) -> int:
    """Write down one change and return its serial; the project's pages are now those of this serial."""
    row = connection.execute(
        sa.update(head).values(serial=head.c.serial + 1).returning(head.c.serial, head.c.epoch)
    ).one()
    connection.execute(
        sa.insert(journal).values(
            serial=row.serial,
            epoch=row.epoch,
            project_id=project_id,
            action=action,
            actor=actor,
            at=now(connection),
            detail=detail,
        )
    )
    if project_id is not None:
        connection.execute(sa.update(project).where(project.c.id == project_id).values(serial=row.serial))
    return int(row.serial)


def since(connection: sa.Connection, serial: int, limit: int = 1000) -> list[sa.RowMapping]:
    """The changes after a serial, oldest first."""
    query = sa.select(journal).where(journal.c.serial > serial).order_by(journal.c.serial).limit(limit)
    return list(connection.execute(query).mappings())


def new_epoch(connection: sa.Connection) -> Head:
    """Start a new epoch: what was read under the old one may be unknown here."""
    connection.execute(sa.update(head).values(epoch=secrets.token_hex(8)))
    return read_head(connection)
