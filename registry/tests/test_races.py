"""Rivals: equal and different uploads of one name at once; rights, switches and pages that change while an upload runs."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dists import make_account, make_token, make_wheel, put
from ldt_registry import releases, schema
from ldt_registry.blobs import Blobs, Staged
from ldt_registry.checkers import Checkers
from ldt_registry.database import now
from ldt_registry.problems import Conflict, Down, Forbidden, Problem
from ldt_registry.registry import Registry
from ldt_registry.tokens import Identity, authenticate


class Meddling:
    """Blobs that do something else first as bytes are kept: between the claim and the commit."""

    def __init__(self, blobs: Blobs, then: Callable[[], None]) -> None:
        self._blobs = blobs
        self._then = then

    def promote(self, staged: Staged) -> str:
        name = self._blobs.promote(staged)
        then, self._then = self._then, lambda: None
        then()
        return name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


def identity_of(registry: Registry, account: int | None = None, *scopes: str) -> Identity:
    return authenticate(registry, f"Bearer {make_token(registry, account, *scopes)}")


def meddled(registry: Registry, then: Callable[[], None]) -> Registry:
    return dataclasses.replace(registry, blobs=Meddling(registry.blobs, then))


def count(registry: Registry, table: sa.Table) -> int:
    with registry.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def race(registry: Registry, checkers: Checkers, rounds: int) -> None:
    identity = identity_of(registry)
    start = threading.Barrier(10)

    def one(file: tuple[str, bytes], version: str) -> str:
        start.wait()
        try:
            return "new" if put(registry, checkers, identity, file, version=version).new else "same"
        except Problem as exc:
            return type(exc).__name__

    with ThreadPoolExecutor(10) as pool:
        for round in range(rounds):
            version = f"{round}.0"
            files = [make_wheel(version=version, body=f"x = {n % 2}") for n in range(10)]
            answers = list(pool.map(one, files, [version] * 10))
            won = answers.index("new") % 2
            assert Counter(answers) == {"new": 1, "same": 4, "Conflict": 5}
            assert [a for a in answers[won::2] if a != "new"] == ["same"] * 4
            with registry.database.read() as connection:
                kept = connection.scalar(
                    sa.select(schema.file.c.sha256).where(schema.file.c.filename == files[0][0])
                )
            assert kept == hashlib.sha256(files[won][1]).hexdigest()
    assert count(registry, schema.claim) == 0
    assert count(registry, schema.file) == count(registry, schema.journal) == rounds
    assert not list(registry.blobs.staging.iterdir())


def test_ten_uploads_of_one_name_at_once_publish_one_content(registry: Registry, checkers: Checkers) -> None:
    race(registry, checkers, 4)


@pytest.mark.slow
def test_ten_uploads_of_one_name_at_once_publish_one_content_two_hundred_times(
    registry: Registry, checkers: Checkers
) -> None:
    race(registry, checkers, 200)


def test_a_right_that_is_taken_while_the_bytes_are_kept_is_missed_at_the_commit(
    registry: Registry, checkers: Checkers
) -> None:
    owner, helper = make_account(registry), make_account(registry)
    put(registry, checkers, identity_of(registry, owner), make_wheel())
    with registry.database.write() as connection:
        project = connection.scalar(sa.select(schema.project.c.id))
        connection.execute(
            sa.insert(schema.project_role).values(project_id=project, account_id=helper, role="publisher")
        )

    def dismiss() -> None:
        with registry.database.write() as connection:
            connection.execute(sa.delete(schema.project_role))

    helping = identity_of(registry, helper)
    put(registry, checkers, helping, make_wheel(version="2.0"), version="2.0")
    with pytest.raises(Forbidden):
        put(meddled(registry, dismiss), checkers, helping, make_wheel(version="3.0"), version="3.0")
    assert count(registry, schema.file) == 2
    assert count(registry, schema.claim) == 0


def test_a_switch_that_is_thrown_while_the_bytes_are_kept_stops_the_commit(
    registry: Registry, checkers: Checkers
) -> None:
    def freeze() -> None:
        with registry.database.write() as connection:
            values = {"name": "no-uploads", "on": True, "reason": "incident", "since": now(connection)}
            connection.execute(sa.insert(schema.flag).values(**values))

    with pytest.raises(Down, match="incident"):
        put(meddled(registry, freeze), checkers, identity_of(registry), make_wheel())
    assert count(registry, schema.file) == count(registry, schema.project) == 0


def test_a_claim_that_is_lost_is_made_again(registry: Registry, checkers: Checkers) -> None:
    def expire() -> None:
        with registry.database.write() as connection:
            connection.execute(
                sa.update(schema.claim).values(lease_until=now(connection) - timedelta(seconds=1))
            )

    assert put(meddled(registry, expire), checkers, identity_of(registry), make_wheel()).new
    assert count(registry, schema.file) == 1


def test_bytes_that_were_collected_after_a_lost_lease_are_not_published(
    registry: Registry, checkers: Checkers
) -> None:
    name, content = make_wheel()

    def collect() -> None:
        with registry.database.write() as connection:
            connection.execute(sa.delete(schema.claim))
            connection.execute(sa.delete(schema.blob))
        registry.blobs.delete(hashlib.sha256(content).hexdigest())

    with pytest.raises(Down):
        put(meddled(registry, collect), checkers, identity_of(registry), (name, content))
    assert count(registry, schema.file) == 0
    assert put(registry, checkers, identity_of(registry), (name, content)).new, "a retry succeeds"


def test_bytes_under_deletion_are_waited_for(registry: Registry, checkers: Checkers) -> None:
    file = make_wheel()
    sha256 = hashlib.sha256(file[1]).hexdigest()
    with registry.database.write() as connection:
        values = {"sha256": sha256, "size": len(file[1]), "touched": now(connection)}
        connection.execute(sa.insert(schema.blob).values(**values, state="condemned"))
    identity = identity_of(registry)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(put, registry, checkers, identity, file)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        with registry.database.write() as connection:
            connection.execute(sa.delete(schema.blob))
        assert waiting.result(30).new
    assert count(registry, schema.file) == 1


def test_a_name_that_is_deleted_while_the_same_bytes_come_again_stays_deleted(
    registry: Registry, checkers: Checkers
) -> None:
    identity = identity_of(registry)
    file = make_wheel()
    put(registry, checkers, identity, make_wheel(version="0.9"), version="0.9")

    def publish_and_delete() -> None:
        put(registry, checkers, identity, file)
        releases.delete(registry, identity, "heat-load", file[0], "a mistake")

    with pytest.raises(Conflict, match="deleted"):
        put(meddled(registry, publish_and_delete), checkers, identity, file)
    assert count(registry, schema.file) == 1


def test_yanks_and_uploads_at_once_lose_nothing(registry: Registry, checkers: Checkers) -> None:
    identity = identity_of(registry)
    put(registry, checkers, identity, make_wheel())
    start = threading.Barrier(8)

    def add(n: int) -> None:
        start.wait()
        put(registry, checkers, identity, make_wheel(tag=f"py3-none-any{n}"))

    def toggle(n: int) -> None:
        start.wait()
        for _ in range(5):
            releases.yank(registry, identity, "heat-load", "1.0", "broken", "wrong unit")
            releases.restore(registry, identity, "heat-load", "1.0")

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(add, n) for n in range(6)] + [pool.submit(toggle, n) for n in range(2)]
        for one in running:
            one.result(60)
    assert count(registry, schema.file) == 7
    with registry.database.read() as connection:
        serials = list(
            connection.scalars(sa.select(schema.journal.c.serial).order_by(schema.journal.c.serial))
        )
        assert serials == list(range(1, 7 + 20 + 1))
        assert connection.scalar(sa.select(schema.project.c.serial)) == serials[-1]
        assert connection.scalar(sa.select(schema.release.c.state)) == "published"
