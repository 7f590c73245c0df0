"""Dask: tasks on one machine or many, all of which see the same files.

A Dask task is "have this task file run by an ``ldt worker``": see ``lodging``. No Python object of ours
travels but the path. Without an address a scheduler and workers are started on this machine.
"""

from __future__ import annotations

import logging
import queue
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ..errors import ErrorList, LdtError, PluginError, RunError
from ..identity import package_digest
from .child import last_words
from .local import cores, memory
from .protocol import ATTEMPTS, Event, Needs, Setting
from .worker import describe_error

try:
    import dask
    import distributed
except ImportError as exc:
    raise PluginError(
        f"the engine 'dask' is not installed ({exc})",
        code="not installed",
        fix="pip install 'ldt-core[dask]'",
    ) from exc

from . import lodging

Client: Any = distributed.Client
LocalCluster: Any = distributed.LocalCluster
PATIENCE = 60
"""Seconds to wait for the first worker; a scheduler must answer in a third of that."""


class _Open(NamedTuple):
    """A task that is not answered yet, with the Dask workers that it was started on."""

    path: Path
    needs: Needs
    seen: list[str]


class DaskEngine:
    """Dask workers, on this machine or wherever a scheduler has them."""

    name: ClassVar[str] = "dask"

    def __init__(self, setting: Setting) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._open: dict[str, _Open] = {}
        self._futures: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._closing = False
        token = uuid.uuid4().hex
        probes = (setting.folder / f".probe-{token}", setting.store / f".probe-{token}")
        self._booking = lodging.Booking(
            f"ldt-{token}",
            str(setting.folder),
            (str(probes[0]), str(probes[1])),
            token,
            package_digest("ldt_core"),
        )
        with ExitStack() as stack:
            for probe in probes:
                stack.callback(probe.unlink, missing_ok=True)
                probe.parent.mkdir(parents=True, exist_ok=True)
                probe.write_text(token, encoding="ascii")
            self._client = stack.enter_context(_connect(setting, stack))
            self._offered = self._meet()
            self._client.subscribe_topic(self._booking.topic, self._hear)
            self._stack = stack.pop_all()

    def _meet(self) -> dict[str, float]:
        """Check all workers; the most that one of them offers of each resource."""
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE)
            answers = self._client.run(lodging.greet, self._booking)
        except (TimeoutError, distributed.TimeoutError) as exc:
            raise RunError(
                f"no Dask worker has come to the scheduler within {PATIENCE} s",
                code="timed out",
                where=str(self._client.scheduler.address),
                fix="start some: dask worker ADDRESS",
            ) from exc
        except Exception as exc:  # whatever unpickling our call brings up over there
            raise PluginError(
                f"a Dask worker cannot take a call of this ldt-core: {exc}",
                code="lock drift",
                fix="start the Dask workers in the environment of this run",
            ) from exc
        wrong = [error for error, _ in answers.values() if error is not None]
        if wrong:
            raise wrong[0] if len(wrong) == 1 else ErrorList(wrong)
        offered: dict[str, float] = {}
        for _, resources in answers.values():
            for name, amount in resources.items():
                offered[name] = max(amount, offered.get(name, 0.0))
        return offered

    def submit(self, task: Path, needs: Needs) -> None:
        with self._lock:
            self._open[task.stem] = _Open(task, needs, [])
        self._place(task, needs)

    def _place(self, task: Path, needs: Needs) -> None:
        # More than any worker has can only mean: alone on one of them.
        wanted = {"cpus": float(needs.cpus), "memory": float(needs.memory)}
        resources = {n: min(wanted[n], self._offered[n]) for n in wanted if n in self._offered}
        future = self._client.submit(
            lodging.perform,
            str(task),
            tuple(needs),
            self._booking,
            key=f"{task.stem}-{uuid.uuid4().hex[:8]}",
            pure=False,
            resources=resources or None,
        )
        with self._lock:
            self._futures[task.stem] = future
        future.add_done_callback(lambda f: self._ended(task.stem, f))

    def results(self) -> Iterator[Event]:
        """Events as they come; ends never, the caller knows what it waits for."""
        while True:
            try:
                yield self._events.get(timeout=0.5)
            except queue.Empty:
                yield Event("", "tick", {})

    def close(self, *, kill: bool = False) -> None:
        """End what runs, our workers within the Dask workers, and Dask's where they are ours."""
        self._closing = True
        with suppress(Exception):  # a scheduler that is gone has nothing to end
            with self._lock:
                futures = list(self._futures.values())
            self._client.cancel(futures, force=True)
            self._client.run(lodging.dismiss, self._booking.topic, kill, on_error="ignore")
        self._stack.close()

    # -- what comes back -------------------------------------------------------------------------

    def _hear(self, message: tuple[float, Any]) -> None:
        """An event of a worker; what comes twice, since a task was run twice, is heard once."""
        task, kind, payload = message[1]
        with self._lock:
            found = self._open.get(task)
            if found is None:
                return
            if kind == "started" and payload["on"] not in found.seen:
                found.seen.append(payload["on"])
                if len(found.seen) > 1:
                    self._events.put(Event(task, "killed", _gone(found.path, len(found.seen) - 1)))
            if kind in lodging.FINAL:
                del self._open[task]
        self._events.put(Event(task, kind, payload))

    def _ended(self, task: str, future: Any) -> None:
        """Dask is done with a task. Its answer has come already, or will never come."""
        with self._lock:
            self._futures.pop(task, None)
            found = self._open.get(task)
        if found is None or self._closing:
            return
        if future.status == "cancelled":
            event = Event(
                task,
                "lost",
                {**_gone(found.path, 1), "how": "is out of reach: the Dask scheduler is gone", "of": 1},
            )
        else:
            exc = future.exception() or RuntimeError("Dask has its result, but its answer did not come")
            killed = isinstance(exc, distributed.KilledWorker)
            if killed and len(found.seen) < ATTEMPTS:  # it stood in line on workers that others killed
                self._place(found.path, found.needs)
                return
            if killed:
                event = Event(task, "lost", _gone(found.path, len(found.seen)))
            else:
                error = exc if isinstance(exc, LdtError) else RunError(f"{type(exc).__name__}: {exc}")
                event = Event(task, "failed", {"errors": [describe_error(error)]})
        with self._lock:
            if self._open.pop(task, None) is None:
                return
        self._events.put(event)


def _gone(task: Path, attempt: int) -> dict[str, Any]:
    how = "went down with its Dask worker"
    return {"attempt": attempt, "of": ATTEMPTS, "how": how, "last_words": last_words(task), "memory": False}


def _connect(setting: Setting, stack: ExitStack) -> Any:
    """A client of the scheduler at the address (or in its file), or of one of our own."""
    where = setting.address
    if where is None:
        where = stack.enter_context(_own_cluster(setting, stack))
    named = isinstance(where, str) and "://" not in where and Path(where).is_file()
    way = {"scheduler_file": where} if named else {"address": where}
    try:
        return Client(**way, timeout=PATIENCE / 3, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as exc:
        raise RunError(
            f"no Dask scheduler answers: {type(exc).__name__}: {exc}",
            code="unreachable",
            where=str(where),
            fix="start one with `dask scheduler`, and give what it prints, or its --scheduler-file, as --address",
        ) from exc


def _own_cluster(setting: Setting, stack: ExitStack) -> Any:
    """A scheduler and workers on this machine, as many as the largest task leaves room for."""
    cpus, ram = max(cores(), setting.workers), memory()
    fit = min(cpus // setting.largest.cpus, ram // max(1, setting.largest.memory))
    workers = max(1, min(setting.workers, fit))
    scratch = tempfile.mkdtemp(prefix="ldt-dask-")
    stack.callback(shutil.rmtree, scratch, ignore_errors=True)
    rules = {"distributed.scheduler.worker-saturation": 1.0}  # who stands in line dies with nobody
    with dask.config.set(rules):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=max(1, setting.workers // workers),
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            scheduler_kwargs={"allowed_failures": ATTEMPTS - 1},
            memory_limit=0,
            local_directory=scratch,
            resources={"cpus": cpus / workers, "memory": ram / workers},
        )
