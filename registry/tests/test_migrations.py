"""Schema and migrations agree; a change is made whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ldt_registry import migrations, schema
from ldt_registry.database import Database
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
    assert initialise(registry) is True
    assert initialise(registry) is False
    migrations.check(registry.database)
    registry.close()


def test_down_to_nothing_and_up_again(registry: Registry) -> None:
    migrations.move(registry.database)
    assert migrations.current(registry.database) == migrations.newest()
    with pytest.raises(Misconfigured, match="there is no revision 9999"):
        migrations.move(registry.database, "9999")
