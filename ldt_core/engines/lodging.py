"""In a Dask worker: our own workers under their keepers, which run what Dask places here.

So a component that falls takes no Dask worker with it, and what it says and leaves behind is dealt with
as on one machine. One lodging serves one run; its workers end when they have had nothing to do for a while.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import distributed

from ..errors import PluginError
from ..identity import package_digest
from .local import LocalEngine
from .protocol import Event, Needs, Setting

IDLE = 10.0
"""Seconds after which a worker without tasks ends: nobody tells a lodging that its run was killed."""
FINAL = ("done", "failed", "lost")


class Booking(NamedTuple):
    """One run, as its Dask workers know it. ``token`` stands in the files that both sides must see."""

    topic: str
    folder: str
    probes: tuple[str, str]
    token: str
    core: str


class _Lodging:
    def __init__(self, booking: Booking, threads: int, name: str) -> None:
        self.boxes: dict[str, queue.SimpleQueue[Event]] = {}
        folder = Path(booking.folder)
        setting = Setting(folder, folder, threads)
        self.engine = LocalEngine(setting, self._say, label=f"dask-{name}", idle=IDLE)

    def _say(self, event: Event) -> None:
        box = self.boxes.get(event.task)
        if box is not None:
            box.put(event)


_lodgings: dict[str, _Lodging] = {}
_lock = threading.Lock()


def perform(task: str, needs: Needs, booking: Booking) -> None:
    """Have a task run here, and pass on what becomes of it. Returns early where Dask no longer wants it."""
    worker = distributed.get_worker()
    key = worker.get_current_task()
    with _lock:
        if booking.topic not in _lodgings:
            refuse_strangers(booking)
            name = str(worker.name).translate(str.maketrans("/:. ", "----"))
            _lodgings[booking.topic] = _Lodging(booking, worker.state.nthreads, name)
        lodging = _lodgings[booking.topic]
    path, box = Path(task), queue.SimpleQueue[Event]()
    lodging.boxes[path.stem] = box
    lodging.engine.submit(path, Needs(*needs))
    while True:
        try:
            event = box.get(timeout=0.2)
        except queue.Empty:
            if _unwanted(worker, key):
                lodging.engine.drop(path.stem)
                return
            continue
        worker.log_event(booking.topic, [event.task, event.kind, {**event.payload, "on": worker.address}])
        if event.kind in FINAL:
            return


def _unwanted(worker: Any, key: Any) -> bool:
    """Whether the task was cancelled, or nobody waits for it any more because the run was killed."""
    found = worker.state.tasks.get(key)
    return found is None or found.state == "cancelled"


def refuse_strangers(booking: Booking) -> None:
    """Raise ``PluginError`` where this worker sees other files, or has other code, than the run."""
    for probe in booking.probes:
        seen = None
        with suppress(OSError):
            seen = Path(probe).read_text(encoding="ascii")
        if seen != booking.token:
            raise PluginError(
                f"this Dask worker does not see {Path(probe).parent} as the run does",
                code="store not shared",
                fix="put the twin and its store (LDT_STORE) on a file system that all machines share",
            )
    if package_digest("ldt_core") != booking.core:
        raise PluginError(
            "this Dask worker has another ldt-core than the run",
            code="lock drift",
            fix="install the same version on all machines, and start the Dask workers anew",
        )


def greet(booking: Booking, dask_worker: Any) -> tuple[PluginError | None, dict[str, float]]:
    """What is wrong with this worker, and the resources that it offers."""
    try:
        refuse_strangers(booking)
    except PluginError as exc:
        exc.where = str(dask_worker.address)
        return exc, {}
    return None, dict(dask_worker.state.total_resources)


async def dismiss(topic: str, kill: bool) -> None:
    """End the run's lodging; returns when its workers are gone."""
    lodging = _lodgings.pop(topic, None)
    if lodging is not None:
        await asyncio.to_thread(lodging.engine.close, kill=kill)
