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
    """Make the tables of a new registry; true where it was new. An older one is left to ``ldt registry migrate``."""
    from . import migrations

    if migrations.current(registry.database) is not None:
        migrations.check(registry.database)
        return False
    migrations.move(registry.database)
    with registry.database.write() as connection:
        connection.execute(
            sa.insert(head).values(
                id=1, epoch=secrets.token_hex(8), serial=0, audit_id=0, audit_hash=audit.START
            )
        )
        audit.record(connection, "system", "registry-made", "registry")
    return True
