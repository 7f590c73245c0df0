"""Work that follows a change: written in its transaction, done afterwards, at least once, whoever dies meanwhile.

A job is known by kind and key: the key names the effect, so that asking twice is asking once, and something new has a
new key (a serial is part of it). Handlers must bear to be called again: a worker may die between effect and ending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .database import now
from .problems import Problem
from .registry import Registry
from .schema import job

ATTEMPTS = 5
LEASE = timedelta(minutes=5)
log = logging.getLogger(__name__)


class Job(NamedTuple):
    id: int
    kind: str
    key: str
    payload: dict[str, Any]
    attempts: int


Handler = Callable[[Registry, Job], None]


def enqueue(
    connection: sa.Connection, kind: str, key: str, *, after: timedelta | None = None, **payload: Any
) -> None:
    """Ask for work in the transaction of what it follows from; a job of this kind and key is asked for once."""
    at = now(connection)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(job).values(
        kind=kind, key=key, payload=payload, not_before=at + (after or timedelta()), created_at=at
    )
    connection.execute(row.on_conflict_do_nothing())


def take(registry: Registry, kinds: list[str], lease: timedelta = LEASE) -> Job | None:
    """The oldest job that waits, or whose worker did not end it within its lease; nobody else has it meanwhile."""
    with registry.database.write() as connection:
        at = now(connection)
        free = sa.or_(
            sa.and_(job.c.state == "waiting", job.c.not_before <= at),
            sa.and_(job.c.state == "running", job.c.lease_until <= at),
        )
        query = sa.select(job.c.id).where(job.c.kind.in_(kinds), free).order_by(job.c.id).limit(1)
        if connection.dialect.name == "postgresql":
            query = query.with_for_update(skip_locked=True)
        found = connection.scalar(query)
        if found is None:
            return None
        held = sa.update(job).where(job.c.id == found)
        held = held.values(state="running", lease_until=at + lease, attempts=job.c.attempts + 1)
        row = connection.execute(
            held.returning(job.c.id, job.c.kind, job.c.key, job.c.payload, job.c.attempts)
        ).one()
        return Job(*row)


def end(connection: sa.Connection, done: Job) -> bool:
    """Write down that it is done; best in the transaction of its effect. False where another worker has it by now."""
    mine = (job.c.id == done.id, job.c.state == "running", job.c.attempts == done.attempts)
    values = {"state": "done", "lease_until": None, "ended_at": now(connection), "error": None}
    return connection.execute(sa.update(job).where(*mine).values(values)).rowcount == 1


def fail(connection: sa.Connection, failed: Job, error: str) -> None:
    """Try it again later, each time later; after the last attempt it stays failed, and is counted in the metrics."""
    at = now(connection)
    last = failed.attempts >= ATTEMPTS
    mine = (job.c.id == failed.id, job.c.state == "running", job.c.attempts == failed.attempts)
    connection.execute(
        sa.update(job)
        .where(*mine)
        .values(
            state="failed" if last else "waiting",
            lease_until=None,
            not_before=at + timedelta(seconds=2**failed.attempts),
            ended_at=at if last else None,
            error=error[:2000],
        )
    )


def work_once(registry: Registry, handlers: Mapping[str, Handler]) -> bool:
    """Do one job; false where none waits."""
    taken = take(registry, list(handlers))
    if taken is None:
        return False
    try:
        handlers[taken.kind](registry, taken)
    except Exception as exc:
        log.exception("attempt %d of the job %s %s failed", taken.attempts, taken.kind, taken.key)
        with registry.database.write() as connection:
            fail(connection, taken, f"{type(exc).__name__}: {exc}")
    else:
        with registry.database.write() as connection:
            end(connection, taken)
    return True


class Worker:
    """Does jobs in a thread of the serving process, and calls what is ``due`` every so many seconds."""

    def __init__(
        self,
        registry: Registry,
        handlers: Mapping[str, Handler],
        due: Sequence[tuple[float, Callable[[Registry], object]]] = (),
        *,
        pause: float = 1.0,
    ) -> None:
        self.registry, self.handlers, self.pause = registry, handlers, pause
        self._due = [_Due(seconds, call) for seconds, call in due]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the job at hand."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            while self.handlers and not self._stop.is_set() and self._guarded(work_once, self.handlers):
                pass
            for one in self._due:
                if time.monotonic() >= one.next:
                    one.next = time.monotonic() + one.seconds
                    self._guarded(one.call)
            self._stop.wait(self.pause)

    def _guarded(self, call: Callable[..., object], *more: object) -> bool:
        """Call it; false where it failed: the database may be away, and comes back."""
        try:
            return bool(call(self.registry, *more))
        except Problem as exc:
            log.warning("work waits: %s", exc.what)
        except Exception:
            log.exception("work waits")
        return False


class _Due:
    def __init__(self, seconds: float, call: Callable[[Registry], object]) -> None:
        self.seconds, self.call = seconds, call
        self.next = time.monotonic() + seconds
