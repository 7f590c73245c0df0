"""The local engine: long-lived worker processes on this machine, respawned when killed.

Each worker is `python -m ldt_core.engines.worker`; it reads paths of task files from its standard
input and answers with JSON lines. A killed worker's task is run again, twice at most.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from .child import Child, Say
from .protocol import ATTEMPTS, Event, Needs, Setting


class LocalEngine:
    """Worker processes on this machine, one task each at a time."""

    name: ClassVar[str] = "local"

    def __init__(
        self, setting: Setting, say: Say | None = None, label: str = "worker", idle: float | None = None
    ) -> None:
        """``say`` takes the events in place of ``results``; ``idle``: seconds after which a worker ends."""
        self._events: queue.Queue[Event] = queue.Queue()
        self._say = say or self._events.put
        self._room = Room(max(setting.workers, cores()), memory())
        self._waiting: list[tuple[Path, Needs]] = []
        self._change = threading.Condition()
        self._closing = False
        self._idle = idle
        self._running: dict[str, Child] = {}
        self._children = [Child(setting.logs / f"{label}-{n}.log", self._say) for n in range(setting.workers)]
        self._threads = [
            threading.Thread(target=self._serve, args=(child,), name=f"ldt-worker-{n}", daemon=True)
            for n, child in enumerate(self._children)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Path, needs: Needs) -> None:
        with self._change:
            self._waiting.append((task, needs))
            self._change.notify()

    def results(self) -> Iterator[Event]:
        """Events as they come; ends never, the caller knows what it waits for."""
        while True:
            try:
                yield self._events.get(timeout=0.5)
            except queue.Empty:
                yield Event("", "tick", {})

    def drop(self, task: str) -> None:
        """Forget a task; a worker that is at it is ended."""
        with self._change:
            self._waiting = [w for w in self._waiting if w[0].stem != task]
            child = self._running.pop(task, None)
        if child is not None:
            child.terminate(for_good=False)

    def close(self, *, kill: bool = False) -> None:
        """End all workers; with ``kill`` at once, else when nothing waits."""
        with self._change:
            self._closing = True
            if kill:
                self._waiting.clear()
            self._change.notify_all()
        if kill:
            for child in self._children:
                child.terminate()
        for thread in self._threads:
            thread.join(timeout=20)

    def _serve(self, child: Child) -> None:
        while (found := self._next(child)) is not None:
            task, needs = found
            for attempt in range(1, ATTEMPTS + 1):
                died = child.perform(task, fresh=needs.fresh)
                if died is None or self._closing or task.stem not in self._running:
                    break
                payload = {"attempt": attempt, "of": ATTEMPTS, **died}
                self._say(Event(task.stem, "killed" if attempt < ATTEMPTS else "lost", payload))
            with self._change:
                self._running.pop(task.stem, None)
                self._room.leave(needs)
                self._change.notify_all()
        child.end()

    def _next(self, child: Child) -> tuple[Path, Needs] | None:
        """The first waiting task that there is room for; None when there will be none."""
        with self._change:
            while True:
                for number, (task, needs) in enumerate(self._waiting):
                    if self._room.enter(needs):
                        self._running[task.stem] = child
                        return self._waiting.pop(number)
                if self._closing and not self._waiting:
                    return None
                if not self._change.wait(self._idle):
                    child.end()


class Room:
    """What running tasks may declare together. A task that asks for more than all runs when it is alone."""

    def __init__(self, cpus: int, memory: int) -> None:
        self._whole = (cpus, memory)
        self._taken = [0, 0]
        self._tasks = 0

    def enter(self, needs: Needs) -> bool:
        """Whether there is room; if so it is taken."""
        wanted = (needs.cpus, needs.memory)
        fits = all(t + w <= a for t, w, a in zip(self._taken, wanted, self._whole, strict=True))
        if self._tasks and not fits:
            return False
        self._change(needs, 1)
        return True

    def leave(self, needs: Needs) -> None:
        self._change(needs, -1)

    def _change(self, needs: Needs, sign: int) -> None:
        self._tasks += sign
        self._taken = [self._taken[0] + sign * needs.cpus, self._taken[1] + sign * needs.memory]


def cores() -> int:
    """The cores that this process may use: fewer than the machine's in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """The machine's memory in bytes, or this process's share of it where a cgroup says so."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            found = min(found, int(text))
    return found
