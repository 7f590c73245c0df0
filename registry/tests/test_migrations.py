"""Schema and migrations agree; a change is made whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from filling import add_file
from ldt_registry import migrations, schema
from ldt_registry.database import Database
from ldt_registry.keeping import fsck
from ldt_registry.problems import Misconfigured
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings


def _shape(connection: sa.Connection) -> dict[str, Any]:
    """Everything of all tables that the database itself knows."""
    seen = sa.inspect(connection)
    return {
        name: {
            "columns": {
                c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in seen.get_columns(name)
            },
            "key": seen.get_pk_constraint(name)["constrained_columns"],
            "foreign": sorted(
                (f["name"], f["constrained_columns"], f["referred_table"], f["referred_columns"])
                for f in seen.get_foreign_keys(name)
            ),
            "unique": sorted((u["name"], u["column_names"]) for u in seen.get_unique_constraints(name)),
            "checks": sorted((c["name"], c["sqltext"]) for c in seen.get_check_constraints(name)),
            "indexes": sorted((i["name"], i["column_names"], i["unique"]) for i in seen.get_indexes(name)),
        }
        for name in seen.get_table_names()
        if name != "alembic_version"
    }


def test_the_migrations_make_the_tables_of_the_schema(
    settings: Settings, tmp_path: Path, request: Any
) -> None:
    migrated = Database(settings.database_url)
    settings.home.mkdir()
    migrations.move(migrated)
    url = f"sqlite:///{tmp_path / 'made.db'}"
    if migrated.dialect == "postgresql":
        url = request.getfixturevalue("postgresql").new_database().replace("://", "+psycopg://", 1)
    made = Database(url)
    with made.write() as connection:
        schema.metadata.create_all(connection)
    with made.read() as wanted, migrated.read() as found:
        assert _shape(found) == _shape(wanted), "python registry/draft_migration.py NNNN words"
    made.close()
    migrated.close()


def test_an_empty_database_is_told_and_a_made_one_passes(settings: Settings) -> None:
    registry = Registry.open(settings)
    with pytest.raises(Misconfigured, match="ldt registry init"):
        migrations.check(registry.database)
    migrations.move(registry.database)  # and killed here
    assert initialise(registry) is True
    assert initialise(registry) is False
    migrations.check(registry.database)
    registry.close()


def test_a_revision_that_is_not_known_is_refused(registry: Registry) -> None:
    migrations.move(registry.database)
    assert migrations.current(registry.database) == migrations.newest()
    with pytest.raises(Misconfigured, match="there is no revision 9999"):
        migrations.move(registry.database, "9999")


# -- a change of tables that hold something ----------------------------------------------------

# Adds a column and fills it, and narrows a check: in SQLite the whole table is rebuilt for that, while others refer to it.
CHANGE = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade():
    with op.batch_alter_table("project") as table:
        table.add_column(sa.Column("motto", sa.Text))
        table.drop_constraint("status", type_="check")
        table.create_check_constraint("status", "status IN ('active', 'archived', 'quarantined', 'deprecated', 'resting')")
    op.execute("UPDATE project SET motto = upper(name)")
    with op.batch_alter_table("project") as table:
        table.alter_column("motto", nullable=False, existing_type=sa.Text)
    op.create_index("ix_project_motto", "project", ["motto"])


def downgrade():
    op.drop_index("ix_project_motto", "project")
    with op.batch_alter_table("project") as table:
        table.drop_column("motto")
        table.drop_constraint("status", type_="check")
        table.create_check_constraint("status", "status IN ('active', 'archived', 'quarantined', 'deprecated')")
"""


@pytest.fixture
def changed(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with content, and one more migration than this program has."""
    for number in range(3):
        add_file(registry, f"demo-{number}", b"content %d" % number)
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.HERE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    change = CHANGE.replace("{newest}", migrations.newest())
    (folder / "versions" / "9999_change.py").write_text(change, encoding="utf-8")
    monkeypatch.setattr(migrations, "HERE", folder)
    return registry


def _content(registry: Registry) -> dict[str, int]:
    with registry.database.read() as connection:
        return {
            t.name: connection.scalar(sa.select(sa.func.count()).select_from(t)) or 0
            for t in schema.metadata.sorted_tables
        }


def test_tables_that_hold_something_are_changed_and_changed_back(changed: Registry) -> None:
    before = _content(changed)
    with changed.database.read() as connection:
        shape = _shape(connection)
    older = migrations.revisions()[-2]
    with pytest.raises(Misconfigured, match="ldt registry migrate"):
        migrations.check(changed.database)
    migrations.move(changed.database)
    with changed.database.read() as connection:
        mottoes = list(connection.execute(sa.text("SELECT motto FROM project ORDER BY name")).scalars())
    assert mottoes == ["DEMO-0", "DEMO-1", "DEMO-2"]
    assert _content(changed) == before
    assert fsck.check(changed) == []
    migrations.move(changed.database, older)
    with changed.database.read() as connection:
        assert _shape(connection) == shape
    assert _content(changed) == before
    assert fsck.check(changed) == []
    if changed.database.dialect == "sqlite":
        assert sorted(p.name for p in changed.settings.home.glob("*.before-*")) == [
            f"registry.db.before-{older}",
            "registry.db.before-9999",
        ]


class Killed(Exception):
    pass


@contextlib.contextmanager
def _killed_at(last: int) -> Iterator[None]:
    """The statement of this number, counted from one, is never run."""
    numbers = itertools.count(1)

    def die(*_: Any) -> None:
        if next(numbers) == last:
            raise Killed

    sa.event.listen(sa.Engine, "before_cursor_execute", die)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", die)


def test_a_change_that_fails_at_any_statement_leaves_everything_as_it_was(changed: Registry) -> None:
    before, older = _content(changed), migrations.current(changed.database)
    deaths = 0
    for last in itertools.count(1, 2):
        try:
            with _killed_at(last):
                migrations.move(changed.database)
        except Killed:
            deaths += 1
        else:
            break
        assert migrations.current(changed.database) == older
        assert _content(changed) == before
    assert deaths > 4
    assert migrations.current(changed.database) == "9999"
    assert _content(changed) == before


def test_making_the_first_tables_may_fail_at_any_statement_and_be_repeated(settings: Settings) -> None:
    registry = Registry.open(settings)
    for last in (5, 20, 60, 100):
        with pytest.raises(Killed), _killed_at(last):
            initialise(registry)
        with registry.database.read() as connection:
            assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}
    assert initialise(registry)
    migrations.check(registry.database)
    registry.close()


def test_two_that_migrate_at_once_take_turns(settings: Settings) -> None:
    found: list[str | None] = []

    def work() -> None:
        database = Database(settings.database_url)
        migrations.move(database)
        found.append(migrations.current(database))
        database.close()

    settings.home.mkdir(exist_ok=True)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [migrations.newest()] * 3


def test_a_database_of_a_newer_program_is_left_alone(registry: Registry) -> None:
    with registry.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9998'"))
    with pytest.raises(Misconfigured, match="does not know"):
        migrations.move(registry.database)
    with pytest.raises(Misconfigured, match="are at revision 9998"):
        migrations.check(registry.database)
