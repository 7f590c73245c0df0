"""Changes of the tables, each in one transaction on both databases: it is made whole or not at all, and can be repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ..database import Database
from ..problems import Misconfigured

HERE = Path(__file__).parent
LOCK = 0x6C6474  # of all migrations of this registry, in PostgreSQL


def newest() -> str:
    found = ScriptDirectory(str(HERE)).get_current_head()
    assert found is not None
    return found


def current(database: Database) -> str | None:
    """The revision that the tables are at; nothing where there are none."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def move(database: Database, target: str | None = None) -> None:
    """Bring the tables to a revision, forwards or back (default: the newest), whole or not at all."""
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    known = [s.revision for s in ScriptDirectory(str(HERE)).walk_revisions()][::-1]
    target = target or known[-1]
    if target not in known:
        raise Misconfigured(f"there is no revision {target}", fix=f"Known are: {', '.join(known)}.")
    found = current(database)
    if found is not None and found not in known:
        raise Misconfigured(
            f"the tables are at revision {found}, which this program does not know",
            fix="Install the version of ldt-registry that made them, or a newer one.",
        )
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
