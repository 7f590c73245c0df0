"""The pages of the index, read from the database: each in one transaction, with the place in the journal it was read at."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from packaging.version import InvalidVersion, Version

from . import journal as log
from .index import Entry, Page, Root
from .registry import Registry
from .schema import file, journal, project, release
from .shelf import ROOT, Position

SHOWN = ("published", "yanked")


class Listing:
    """What the shelf asks. ``stamp`` belongs to one thread, that of the server's event loop."""

    def __init__(self, registry: Registry) -> None:
        self._database = registry.database
        self._watch: sqlite3.Connection | None = None

    def stamp(self) -> int | None:
        """SQLite's own counter of commits by others than this connection, which writes nothing."""
        if self._database.dialect != "sqlite":
            return None
        try:
            if self._watch is None:
                self._watch = sqlite3.connect(self._database.path, timeout=0, isolation_level=None)
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None  # locked for a moment, or out of order: the question itself will show

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def changes(self, since: Position | None) -> tuple[Position, set[str] | None]:
        with self._database.read() as connection:
            here = log.read_head(connection)
            if since is None or since[0] != here.epoch:
                return here, None
            changed = sa.select(project.c.norm_name).join(journal, journal.c.project_id == project.c.id)
            return here, set(connection.scalars(changed.where(journal.c.serial > since[1]).distinct()))

    def page(self, name: str) -> tuple[Position, Page | Root | None]:
        with self._database.read() as connection:
            here = log.read_head(connection)
            return here, _root(connection, here.serial) if name == ROOT else _page(connection, name)


def _root(connection: sa.Connection, serial: int) -> Root:
    rows = connection.execute(sa.select(project.c.norm_name, project.c.serial).order_by(project.c.norm_name))
    return Root(serial, tuple((r.norm_name, r.serial) for r in rows))


def _page(connection: sa.Connection, name: str) -> Page | None:
    found = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    if found is None:
        return None
    entries: list[Entry] = []
    if found.status != "quarantined":
        query = (
            sa.select(file, release.c.version, release.c.state, release.c.yank_code, release.c.yank_text)
            .join(release, file.c.release_id == release.c.id)
            .where(file.c.project_id == found.id, release.c.state.in_(SHOWN))
        )
        entries = sorted(
            map(_entry, connection.execute(query)), key=lambda e: (_order(e.version), e.filename)
        )
    versions = tuple(dict.fromkeys(e.version for e in entries))
    return Page(name, found.serial, found.status, found.reason, tuple(entries), versions)


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(
        filename=row.filename,
        version=row.version,
        sha256=row.sha256,
        size=row.size,
        uploaded=row.uploaded_at,
        requires_python=row.requires_python,
        metadata_sha256=row.metadata_sha256,
        yanked=f"{row.yank_code}: {row.yank_text}" if row.state == "yanked" else None,
        downloaded=row.first_download is not None,
    )


def _order(version: str) -> tuple[int, Any]:
    try:
        return 1, Version(version)
    except InvalidVersion:  # none is accepted today; a page must not fail for an old row
        return 0, version
