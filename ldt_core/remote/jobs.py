"""Jobs: executions of processes, in threads, so that a component that hangs holds up nobody else."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from ..errors import Cancelled
from .problems import Problem, contained

ENDED = ("successful", "failed", "dismissed")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Job:
    """One execution. ``result`` is what the work returned, ``error`` what it raised."""

    process: str
    mode: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "accepted"
    progress: int = 0
    created: str = field(default_factory=_now)
    started: str | None = None
    finished: str | None = None
    updated: str = field(default_factory=_now)
    result: Any = None
    error: BaseException | None = None
    cancelled: Event = field(default_factory=Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    ended: float = 0.0

    def tell(self, share: float) -> None:
        if 0.0 <= share <= 1.0:
            self.progress, self.updated = int(share * 100), _now()

    def as_dict(self, base: str) -> dict[str, Any]:
        """statusInfo of OGC API Processes, Part 1."""
        said: dict[str, Any] = {
            "processID": self.process,
            "type": "process",
            "jobID": self.id,
            "status": self.status,
            "created": self.created,
            "updated": self.updated,
            "progress": self.progress,
        }
        if self.started:
            said["started"] = self.started
        if self.finished:
            said["finished"] = self.finished
        if self.error is not None:
            said["message"] = str(self.error)[:500]
        links = [_link(f"{base}/jobs/{self.id}", "self", "this job")]
        if self.status == "successful":
            rel = "http://www.opengis.net/def/rel/ogc/1.0/results"
            links.append(_link(f"{base}/jobs/{self.id}/results", rel, "its results"))
        return {**said, "links": links}


def _link(href: str, rel: str, title: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": "application/json", "title": title}


class Jobs:
    """At most ``workers`` run at once and ``kept`` ended ones are remembered, the oldest forgotten first.

    Each has a thread of its own. A job that is dismissed and does not heed it keeps its thread and gives its place to
    the next. All but the work itself happens in the event loop's thread.
    """

    def __init__(self, workers: int = 8, waiting: int = 256, kept: int = 256) -> None:
        self.known: dict[str, Job] = {}
        self.workers, self.waiting, self.kept = workers, waiting, kept
        self._queue: deque[tuple[Job, Callable[[Job], Any]]] = deque()
        self._running = 0
        self._lost = 0
        """Threads of jobs that were dismissed and have not ended."""

    def start(self, process: str, mode: str, work: Callable[[Job], Any]) -> Job:
        """Begin to run ``work(job)``. Raises ``Problem`` where too many wait."""
        if sum(j.status not in ENDED for j in self.known.values()) + self._lost >= self.waiting:
            raise Problem(429, "too many jobs", f"{self.waiting} jobs are waiting", Retry_After="5")
        self._forget()
        job = Job(process, mode)
        self.known[job.id] = job
        self._queue.append((job, work))
        self._begin()
        return job

    def _begin(self) -> None:
        while self._queue and self._running < self.workers:
            job, work = self._queue.popleft()
            if job.status == "dismissed":
                continue
            self._running += 1
            job.status, job.started = "running", _now()
            loop = asyncio.get_running_loop()
            Thread(target=self._run, args=(loop, job, work), name=f"ldt-job-{job.id}", daemon=True).start()

    def _run(self, loop: asyncio.AbstractEventLoop, job: Job, work: Callable[[Job], Any]) -> None:
        try:
            result, error = contained(lambda: work(job)), None
        except Exception as exc:
            result, error = None, exc
        with suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(self._end, job, result, error)

    def _end(self, job: Job, result: Any, error: BaseException | None) -> None:
        if job.status == "dismissed":
            self._lost -= 1
            return
        job.result, job.error = result, error
        job.status = "failed" if error is not None else "successful"
        job.progress = 100 if error is None else job.progress
        job.finished = job.updated = _now()
        job.ended = time.monotonic()
        job.done.set()
        self._running -= 1
        self._begin()

    def get(self, id: str) -> Job:
        found = self.known.get(id)
        if found is None:
            raise Problem(404, "no such job", f"there is no job {id}", type="no-such-job")
        return found

    def dismiss(self, id: str) -> Job:
        """Cancel a job, or remove one that has ended."""
        job = self.get(id)
        if job.status in ENDED:
            del self.known[id]
        else:
            if job.status == "running":
                self._running -= 1
                self._lost += 1
            job.finished = _now()
            job.ended = time.monotonic()
            job.error = Cancelled("the job was dismissed", code="cancelled")
        job.cancelled.set()
        job.status, job.updated = "dismissed", _now()
        job.done.set()
        self._begin()
        return job

    def _forget(self) -> None:
        ended = sorted((j for j in self.known.values() if j.status in ENDED), key=lambda j: j.ended)
        for job in ended[: max(0, len(ended) - self.kept)]:
            del self.known[job.id]

    def close(self) -> None:
        self._queue.clear()
        for job in self.known.values():
            job.cancelled.set()
