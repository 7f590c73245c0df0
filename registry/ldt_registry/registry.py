"""The one object that every function of the registry is given."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Self

import sqlalchemy as sa

from . import audit
from .blobs import Blobs, open_blobs
from .database import Database
from .problems import Misconfigured
from .schema import head
from .settings import Settings


@dataclass(frozen=True)
class Registry:
    settings: Settings
    database: Database
    blobs: Blobs

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The registry that the settings name; its tables must be those of this program (``migrations.check``)."""
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
            blobs = open_blobs(settings)
        except OSError as exc:
            raise Misconfigured(
                f"the home {settings.home} cannot be written: {exc.strerror}",
                fix="Set LDT_REGISTRY_HOME to a folder that this user may write.",
            ) from exc
        return cls(settings, Database(settings.database_url, wait=settings.wait), blobs)

    def close(self) -> None:
        self.database.close()


def initialise(registry: Registry) -> bool:
    """Make a new registry ready; true where it was new. Tables of an older one are left to ``ldt registry migrate``.

    It may be killed anywhere and called again.
    """
    from . import migrations

    if migrations.current(registry.database) is None:
        migrations.move(registry.database)
    else:
        migrations.check(registry.database)
    with registry.database.write() as connection:
        if connection.scalar(sa.select(head.c.id)) is not None:
            return False
        connection.execute(
            sa.insert(head).values(
                id=1, epoch=secrets.token_hex(8), serial=0, audit_id=0, audit_hash=audit.START
            )
        )
        audit.record(connection, "system", "registry-made", "registry")
    return True
