"""Every way of changing the past shows."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa
from ldt_registry import audit, schema
from ldt_registry.registry import Registry


def _unprotect(connection: sa.Connection) -> None:
    """What somebody with the database's own password can do."""
    if connection.dialect.name == "sqlite":
        for verb in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER audit_no_{verb}")
    else:
        connection.exec_driver_sql("DROP TRIGGER audit_only_added_to ON audit")


@pytest.fixture
def told(registry: Registry) -> Registry:
    with registry.database.write() as connection:
        for name in ("anna", "bert", "carla"):
            audit.record(connection, "account:root", "account-made", f"account:{name}", note="é\u202e ok")
    return registry


def _flaw(registry: Registry) -> audit.Flaw | None:
    with registry.database.read() as connection:
        return audit.verify(connection)


def test_the_chain_is_whole(told: Registry) -> None:
    assert _flaw(told) is None


@pytest.mark.parametrize("order", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_an_entry(told: Registry, order: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="only added to"), told.database.write() as connection:
        connection.exec_driver_sql(order)
    assert _flaw(told) is None


@pytest.mark.parametrize(
    ("order", "number", "words"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE id = 2", 2, "was changed"),
        ("UPDATE audit SET detail = '{}' WHERE id = 3", 3, "was changed"),
        ("DELETE FROM audit WHERE id = 2", 2, "is missing"),
        ("DELETE FROM audit WHERE id = 4", 4, "its head"),
        ("UPDATE audit SET hash = prev_hash WHERE id = 1", 1, "was changed"),
    ],
)
def test_what_was_changed_behind_our_back_shows(told: Registry, order: str, number: int, words: str) -> None:
    with told.database.write() as connection:
        _unprotect(connection)
        connection.exec_driver_sql(order)
    flaw = _flaw(told)
    assert flaw is not None
    assert flaw.id == number
    assert words in flaw.what


def test_an_entry_of_a_transaction_that_failed_leaves_no_gap(told: Registry) -> None:
    with contextlib.suppress(ZeroDivisionError), told.database.write() as connection:
        audit.record(connection, "system", "lost", "x")
        raise ZeroDivisionError
    with told.database.write() as connection:
        assert audit.record(connection, "system", "kept", "x") == 5
    assert _flaw(told) is None
    with told.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.audit)) == 5
