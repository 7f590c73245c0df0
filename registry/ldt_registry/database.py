"""One door to SQLite and to PostgreSQL: ``read()`` and ``write()``, each one transaction.

SQLite has one writer at a time: a lock of this process, then ``BEGIN IMMEDIATE``; a transaction that first reads and then
writes would fail under load. Readers cannot write there, and no writer disturbs them (WAL).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from .problems import Down, Malformed, Misconfigured, NoSpace, Problem

NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "fuse.sshfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
}
BUSY_SECONDS = 10.0


class Database:
    """Engines of one database. ``wait`` is how many seconds a caller waits for a connection."""

    def __init__(self, url: str, *, wait: float = 2.0) -> None:
        self.url = sa.make_url(url)
        self.dialect = self.url.get_backend_name()
        self._writer_lock = threading.Lock()
        if self.dialect == "sqlite":
            self.path = Path(str(self.url.database))
            _refuse_network(self.path)
            self._reader = _sqlite_engine(
                self.url, wait, "BEGIN", pool_size=8, max_overflow=32, read_only=True
            )
            self._writer = _sqlite_engine(
                self.url, BUSY_SECONDS, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0
            )
        elif self.dialect == "postgresql":
            self._reader = self._writer = _postgresql_engine(self.url, wait)
        else:
            raise Misconfigured(
                f"no database of the kind {self.dialect}", fix="Use postgresql://, or none: SQLite."
            )

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads: one state of everything. Raises ``Down`` where the database does not answer."""
        with _told(), self._reader.connect() as connection:
            if self.dialect == "postgresql":
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is committed when the block ends, and undone when it raises. Not to be nested.

        When this returns, what was written survives a crash. Raises ``Down`` or ``NoSpace``.
        """
        lock = self._writer_lock if self.dialect == "sqlite" else contextlib.nullcontext()
        with _told(), lock, self._writer.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write_unchecked(self) -> Iterator[sa.Connection]:
        """``write()`` for migrations of SQLite: references are not checked, which only a new connection can do."""
        engine = _sqlite_engine(
            self.url, BUSY_SECONDS, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0, checked=False
        )
        try:
            with _told(), self._writer_lock, engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def copy(self, target: Path) -> None:
        """Copy a SQLite database while it is used: one state of it, never half of a change."""
        with contextlib.closing(sqlite3.connect(target)) as copied, self._reader.connect() as connection:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(copied)

    def close(self) -> None:
        for engine in {self._reader, self._writer}:
            engine.dispose()


def now(connection: sa.Connection) -> datetime:
    """The instant by the database's clock; SQLite's is that of this machine."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    found = connection.scalar(sa.select(sa.func.clock_timestamp()))
    assert isinstance(found, datetime)
    return found.astimezone(UTC)


def locked(connection: sa.Connection, query: sa.Select[Any]) -> sa.Select[Any]:
    """The query, holding the rows that it finds until the transaction ends; SQLite's writer holds everything anyway."""
    return query if connection.dialect.name == "sqlite" else query.with_for_update()


def _sqlite_engine(
    url: sa.URL, wait: float, begin: str, *, read_only: bool = False, checked: bool = True, **pool: int
) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_timeout=wait,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **pool,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"foreign_keys={int(checked)}",
            f"query_only={int(read_only)}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(url: sa.URL, wait: float) -> sa.Engine:
    limits = "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s"
    return sa.create_engine(
        url,
        pool_size=16,
        max_overflow=32,
        pool_timeout=wait,
        pool_pre_ping=True,
        connect_args={"connect_timeout": max(2, round(wait)), "options": limits},
    )


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Failures of the database, told as problems; what the caller did wrong stays what it is."""
    try:
        yield
    except Problem:
        raise
    except (exc.DataError, UnicodeEncodeError) as error:  # NUL, half of a surrogate pair, a number too large
        raise Malformed(
            "a value cannot be kept in the database",
            code="bad-value",
            fix="Send text without control characters.",
        ) from error
    except exc.TimeoutError as error:
        raise Down("all connections to the database are in use", code="database-busy") from error
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        text = str(error.orig).lower()
        if "disk is full" in text or "no space left" in text or "could not extend" in text:
            raise NoSpace("the disk of the database is full", code="database-full") from error
        if "disk i/o error" in text and _full(error):
            raise NoSpace("the disk of the database is full", code="database-full") from error
        raise Down("the database does not answer", code="database-down") from error
    except exc.DatabaseError as error:
        if getattr(error.orig, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            raise Down("the database is damaged", code="database-damaged") from error
        raise


def _full(error: exc.DBAPIError) -> bool:
    """SQLite reports a refused write of its log as an input/output error; its extended code says which."""
    return getattr(error.orig, "sqlite_errorname", "") in ("SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")


def _refuse_network(path: Path) -> None:
    """Locks of network file systems cannot be trusted with a database."""
    folder = path.parent.resolve()
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    best, kind = "", ""
    for line in mounts:
        _, point, system, *_ = line.split(" ")
        point = point.encode().decode("unicode_escape")
        if os.path.commonpath([point, folder]) == point and len(point) >= len(best):
            best, kind = point, system
    if kind in NETWORK:
        raise Misconfigured(
            f"{folder} is on a network file system ({kind}), where SQLite loses data",
            fix="Set LDT_REGISTRY_HOME to a folder on a local disk, or LDT_REGISTRY_DATABASE to a PostgreSQL server.",
        )
