"""Changes of the tables, each in one transaction on both databases: it is made whole or not at all, and can be repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from ..database import Database
from ..problems import Misconfigured

HERE = Path(__file__).parent
LOCK = 0x6C6474  # of all migrations of this registry, in PostgreSQL


def revisions() -> list[str]:
    """All, oldest first: the numbers at the beginning of the file names."""
    return sorted(p.name.partition("_")[0] for p in (HERE / "versions").glob("[0-9]*.py"))


def newest() -> str:
    return revisions()[-1]


def current(database: Database) -> str | None:
    """The revision that the tables are at; nothing where there are none."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return None if found is None else str(found)


def move(database: Database, target: str | None = None) -> None:
    """Bring the tables to a revision, forwards or back (default: the newest), whole or not at all.

    A SQLite database that holds something is copied first, to NAME.before-REVISION.
    """
    from alembic import command
    from alembic.config import Config

    known, found = revisions(), current(database)
    target = target or known[-1]
    if target not in known:
        raise Misconfigured(f"there is no revision {target}", fix=f"Known are: {', '.join(known)}.")
    if found is not None and found not in known:
        raise Misconfigured(
            f"the tables are at revision {found}, which this program does not know",
            fix="Install the version of ldt-registry that made them, or a newer one.",
        )
    if found == target:
        return
    if database.dialect == "sqlite" and found is not None:
        database.copy(database.path.with_name(f"{database.path.name}.before-{target}"))
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    back = found is not None and known.index(target) < known.index(found)
    with _alone(database) as connection:
        config.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(config, target)


def check(database: Database) -> None:
    """Raise ``Misconfigured`` unless the tables are those of this program."""
    found = current(database)
    if found is None:
        raise Misconfigured("there is no registry in this database", fix="Run `ldt registry init`.")
    if found != newest():
        raise Misconfigured(
            f"the tables are at revision {found}, this program needs {newest()}",
            fix="Run `ldt registry migrate`.",
        )


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[sa.Connection]:
    """A transaction in which tables may be changed; nobody else migrates meanwhile."""
    if database.dialect == "postgresql":
        with database.write() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            yield connection
        return
    # A table that is rebuilt is dropped for a moment: its references are checked at the end instead.
    with database.write_unchecked() as connection:
        yield connection
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
            raise Misconfigured(
                f"the change would leave {len(broken)} references to nothing", code="migration"
            )
