"""Transactions, constraints, the clock: the same on both databases."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from ldt_registry import journal, schema
from ldt_registry.database import Database, locked, now
from ldt_registry.problems import Down
from ldt_registry.registry import Registry

THEN = datetime(2026, 3, 2, 5, 0, 0, 123456, tzinfo=UTC)


def _add_project(connection: sa.Connection, name: str) -> int:
    account = connection.execute(
        sa.insert(schema.account)
        .values(name=f"owner-of-{name}", created_at=THEN)
        .returning(schema.account.c.id)
    ).scalar_one()
    return connection.execute(
        sa.insert(schema.project)
        .values(name=name, norm_name=name, skeleton=name, account_id=account, created_at=THEN)
        .returning(schema.project.c.id)
    ).scalar_one()


def test_instants_come_back_as_they_went_in_utc(registry: Registry) -> None:
    rome = THEN.astimezone(timezone(timedelta(hours=1)))
    with registry.database.write() as connection:
        connection.execute(sa.insert(schema.org).values(name="city", created_at=rome))
    with registry.database.read() as connection:
        found = connection.scalar(sa.select(schema.org.c.created_at))
        assert found == THEN
        assert found.tzinfo is UTC or found.utcoffset() == timedelta(0)
        earlier = sa.select(schema.org.c.name).where(
            schema.org.c.created_at < THEN + timedelta(microseconds=1)
        )
        assert connection.scalar(earlier) == "city"
        later = sa.select(schema.org.c.name).where(schema.org.c.created_at < THEN)
        assert connection.scalar(later) is None


def test_an_instant_without_a_zone_is_refused(registry: Registry) -> None:
    with (
        pytest.raises(sa.exc.StatementError, match="without a zone"),
        registry.database.write() as connection,
    ):
        connection.execute(sa.insert(schema.org).values(name="city", created_at=THEN.replace(tzinfo=None)))


def test_the_clock_is_utc(registry: Registry) -> None:
    with registry.database.read() as connection:
        assert abs(now(connection) - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_block_that_raises_leaves_nothing(registry: Registry) -> None:
    with contextlib.suppress(ZeroDivisionError), registry.database.write() as connection:
        _add_project(connection, "half")
        raise ZeroDivisionError
    with registry.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.project)) == 0


def test_a_reader_cannot_write(registry: Registry) -> None:
    with pytest.raises((Down, sa.exc.DBAPIError)), registry.database.read() as connection:
        connection.execute(sa.insert(schema.org).values(name="sly", created_at=THEN))
    with registry.database.read() as connection:
        assert connection.scalar(sa.select(schema.org.c.name)) is None


def test_a_reader_sees_one_state_while_others_write(registry: Registry) -> None:
    with registry.database.read() as reading:
        before = journal.read_head(reading)
        with registry.database.write() as writing:
            journal.append(writing, "test", "system")
        assert journal.read_head(reading) == before
    with registry.database.read() as reading:
        assert journal.read_head(reading).serial == before.serial + 1


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("project", {"name": "x", "norm_name": "x", "skeleton": "x", "created_at": THEN}),  # no owner
        ("org", {"name": "city", "created_at": None}),
        ("blob", {"sha256": "../../etc/passwd", "size": 1, "state": "live", "touched": THEN}),
        ("blob", {"sha256": "a" * 64, "size": 1, "state": "lost", "touched": THEN}),
        ("claim", {"upload": "u", "sha256": "b" * 64, "lease_until": THEN}),  # of no blob
        ("head", {"id": 2, "epoch": "x", "serial": 0, "audit_id": 0, "audit_hash": "0" * 64}),
        ("token", {"id": "t", "sha256": "c" * 64, "scopes": [], "created_at": THEN, "not_after": THEN}),
    ],
)
def test_what_must_never_be_is_refused_by_the_database(
    registry: Registry, table: str, values: dict[str, object]
) -> None:
    with pytest.raises(sa.exc.IntegrityError), registry.database.write() as connection:
        connection.execute(sa.insert(schema.metadata.tables[table]).values(**values))


def test_a_yank_without_a_reason_is_refused(registry: Registry) -> None:
    with registry.database.write() as connection:
        project = _add_project(connection, "yanked")
    row = {"project_id": project, "version": "1", "canonical": "1", "state": "yanked", "created_at": THEN}
    with pytest.raises(sa.exc.IntegrityError), registry.database.write() as connection:
        connection.execute(sa.insert(schema.release).values(**row))
    with registry.database.write() as connection:
        connection.execute(
            sa.insert(schema.release).values(**row, yank_code="broken", yank_text="Wrong unit.")
        )


def test_writers_take_turns_and_lose_nothing(registry: Registry) -> None:
    """Reading before writing in one transaction is what fails in SQLite by default."""
    with registry.database.write() as connection:
        project = _add_project(connection, "counted")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                with registry.database.write() as connection:
                    query = sa.select(schema.project.c.size).where(schema.project.c.id == project)
                    size = connection.scalar(locked(connection, query)) or 0
                    connection.execute(sa.update(schema.project).values(size=size + 1))
                    journal.append(connection, "counted", "system", project_id=project)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with registry.database.read() as connection:
        row = connection.execute(sa.select(schema.project.c.size, schema.project.c.serial)).one()
        serials = [c["serial"] for c in journal.since(connection, 0)]
    assert row.size == 80
    assert serials == list(range(1, 81))
    assert row.serial == 80


def test_a_database_that_does_not_answer_is_a_problem_to_repeat() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", wait=1)
    with pytest.raises(Down, match="does not answer") as told, database.read():
        pass
    assert told.value.status == 503
    assert told.value.headers["Retry-After"]
    database.close()
