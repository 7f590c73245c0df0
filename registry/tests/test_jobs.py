"""Jobs are done once as far as anyone can see, and none is lost."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from ldt_registry import jobs, schema
from ldt_registry.jobs import Job, Worker, end, enqueue, fail, take, work_once
from ldt_registry.registry import Registry
from servers import until


def _ask(registry: Registry, *keys: str) -> None:
    with registry.database.write() as connection:
        for key in keys:
            enqueue(connection, "render", key, n=1)


def _states(registry: Registry) -> list[str]:
    with registry.database.read() as connection:
        return list(connection.scalars(sa.select(schema.job.c.state).order_by(schema.job.c.id)))


def test_a_job_asked_for_twice_is_one(registry: Registry) -> None:
    _ask(registry, "a", "a")
    done: list[str] = []
    handlers = {"render": lambda _, job: done.append(job.key)}
    assert work_once(registry, handlers)
    assert not work_once(registry, handlers)
    _ask(registry, "a")
    assert not work_once(registry, handlers)
    assert done == ["a"]


def test_what_follows_from_nothing_is_not_done(registry: Registry) -> None:
    try:
        with registry.database.write() as connection:
            enqueue(connection, "render", "a")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert take(registry, ["render"]) is None


def test_a_job_whose_worker_died_is_taken_by_another_and_the_first_cannot_end_it(registry: Registry) -> None:
    _ask(registry, "a")
    first = take(registry, ["render"], timedelta(0))
    second = take(registry, ["render"])
    assert first is not None
    assert second is not None
    assert take(registry, ["render"]) is None
    with registry.database.write() as connection:
        assert not end(connection, first)
        fail(connection, first, "late")
        assert end(connection, second)
    assert _states(registry) == ["done"]


def test_a_job_that_fails_is_tried_again_later_and_given_up_in_the_end(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    _ask(registry, "a")

    def break_down(_: Registry, __: Job) -> None:
        raise ValueError("no such template")

    for attempt in range(jobs.ATTEMPTS):
        assert work_once(registry, {"render": break_down})
        assert not work_once(registry, {"render": break_down}), f"attempt {attempt} is repeated at once"
        with registry.database.write() as connection:
            connection.execute(sa.update(schema.job).values(not_before=schema.job.c.created_at))
    assert _states(registry) == ["failed"]
    with registry.database.read() as connection:
        assert connection.scalar(sa.select(schema.job.c.error)) == "ValueError: no such template"


def test_many_workers_do_each_job_once(registry: Registry) -> None:
    _ask(registry, *map(str, range(60)))
    done: list[str] = []
    handlers = {"render": lambda _, job: done.append(job.key)}

    def work() -> None:
        while work_once(registry, handlers):
            pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done, key=int) == list(map(str, range(60)))
    assert set(_states(registry)) == {"done"}


def test_the_worker_does_what_comes_and_what_is_due(registry: Registry) -> None:
    done: list[str] = []
    due = threading.Event()
    worker = Worker(
        registry,
        {"render": lambda _, job: done.append(job.key)},
        [(0.01, lambda _: 1 / 0), (0.01, lambda _: due.set())],
        pause=0.01,
    )
    worker.start()
    _ask(registry, "a", "b")
    until(lambda: sorted(done) == ["a", "b"] and due.is_set(), what="the worker")
    worker.stop()
