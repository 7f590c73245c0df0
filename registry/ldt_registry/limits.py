"""How often: counted in the database, so that all processes count together. Old counts are forgotten by ``forget``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .database import now
from .problems import TooMany
from .registry import Registry
from .schema import attempt


@dataclass(frozen=True)
class Limit:
    """At most ``count`` in each window; windows begin at multiples of their length."""

    name: str
    count: int
    window: timedelta = timedelta(minutes=15)

    def key(self, whom: str) -> str:
        return f"{self.name}:{whom}"

    def since(self, at: datetime) -> datetime:
        seconds = self.window.total_seconds()
        return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


# Failures only: who has a token may use it as often as it works.
TOKENS_OF_NETWORK = Limit("wrong-token", 100)
LOGINS_OF_ACCOUNT = Limit("login-account", 20)
LOGINS_OF_NETWORK = Limit("login-network", 60)
MINTS_OF_NETWORK = Limit("mint", 120)
PROJECTS_OF_ACCOUNT = Limit("new-project", 20, timedelta(hours=1))
PROOFS_OF_ORG = Limit("proof", 30, timedelta(hours=1))


def refuse_spent(connection: sa.Connection, limit: Limit, whom: str) -> None:
    """Raises TooMany where the window is used up; counts nothing."""
    at = now(connection)
    used = connection.scalar(
        sa.select(attempt.c.count).where(attempt.c.key == limit.key(whom), attempt.c.since == limit.since(at))
    )
    if (used or 0) >= limit.count:
        raise _too_many(limit, at)


def spend(connection: sa.Connection, limit: Limit, whom: str) -> None:
    """Count one. Raises TooMany beyond the limit; rivals at one moment are counted one after another."""
    at = now(connection)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(attempt).values(key=limit.key(whom), since=limit.since(at), count=1)
    row = row.on_conflict_do_update(
        index_elements=[attempt.c.key, attempt.c.since], set_={"count": attempt.c.count + 1}
    )
    if connection.execute(row.returning(attempt.c.count)).scalar_one() > limit.count:
        raise _too_many(limit, at)


def is_first(connection: sa.Connection, key: str, of: datetime) -> bool:
    """Whether nobody said this before; remembered for a day after ``of``. Of rivals, one is first."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(attempt).values(key=key, since=of, count=1).on_conflict_do_nothing()
    return connection.scalar(row.returning(attempt.c.key)) is not None


def forgive(connection: sa.Connection, limit: Limit, whom: str) -> None:
    connection.execute(sa.delete(attempt).where(attempt.c.key == limit.key(whom)))


def forget(registry: Registry) -> None:
    """Delete counts of windows that are over: they name networks."""
    with registry.database.write() as connection:
        old = now(connection) - timedelta(days=1)
        connection.execute(sa.delete(attempt).where(attempt.c.since < old))


def _too_many(limit: Limit, at: datetime) -> TooMany:
    left = (limit.since(at) + limit.window - at).total_seconds()
    return TooMany(
        f"More than {limit.count} tries in {limit.window}.",
        code=f"too-many-{limit.name}",
        fix="Wait, then try again.",
        retry_after=int(left) + 1,
    )
