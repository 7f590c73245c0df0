"""The local engine: long-lived worker processes, respawned when killed.

Each worker is `python -m ldt_core.engines.worker`; it reads paths of task files from its standard
input and answers with JSON lines. A killed worker's task is run again, twice at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .keeper import GRACE

ATTEMPTS = 3
_LAST_WORDS = 4096


class Event(NamedTuple):
    """What became of a task. ``kind`` is started, progress, done, failed, killed (and run again) or lost."""

    task: str
    kind: str
    payload: dict[str, Any]


class LocalEngine:
    """A pool of worker processes on this machine. ``logs`` takes their standard error."""

    def __init__(self, workers: int, logs: Path) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self._tasks: queue.Queue[Path | None] = queue.Queue()
        self._logs = logs
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._closing = False
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._serve, args=(n,), name=f"ldt-worker-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Path) -> None:
        self._tasks.put(task)

    def results(self) -> Iterator[Event]:
        """Events as they come; ends never, the caller knows what it waits for."""
        while True:
            try:
                yield self.events.get(timeout=0.5)
            except queue.Empty:
                yield Event("", "tick", {})

    def close(self, *, kill: bool = False) -> None:
        """End all workers; with ``kill`` at once, else after the task at hand."""
        self._closing = True
        if kill:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        if kill:
            with self._lock:
                for process in self._processes.values():
                    process.terminate()
        for thread in self._threads:
            thread.join(timeout=20)

    def _serve(self, number: int) -> None:
        # The worker asks the kernel to end it with the thread that started it, so this thread lives
        # as long as its worker does.
        process: subprocess.Popen[bytes] | None = None
        while (task := self._tasks.get()) is not None:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    if process is None or process.poll() is not None:
                        process = self._spawn(number)
                    if self._run(process, task):
                        break
                    how = _how(_end(process))
                except OSError as exc:
                    how = f"could not be started ({exc.strerror or exc})"
                if self._closing:
                    break
                payload = {"attempt": attempt, "of": ATTEMPTS, "how": how}
                payload["last_words"] = self._last_words(number)
                self.events.put(Event(task.stem, "killed" if attempt < ATTEMPTS else "lost", payload))
        if process is not None:
            _end(process)

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        with (self._logs / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ldt_core.engines.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        with self._lock:
            self._processes[number] = process
        if self._closing:
            process.terminate()
        return process

    def _run(self, process: subprocess.Popen[bytes], task: Path) -> bool:
        """Whether the worker answered; False when it died, or says what nobody can read."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(str(task)).encode() + b"\n")
            process.stdin.flush()
            self.events.put(Event(task.stem, "started", {"pid": process.pid}))
            for line in process.stdout:
                answer = json.loads(line)
                kind = answer.pop("kind")
                self.events.put(Event(task.stem, kind, answer))
                if kind in ("done", "failed"):
                    return True
        except (
            OSError,
            ValueError,
            AttributeError,
            KeyError,
            TypeError,
        ):  # torn in the middle of a line, for one
            return False
        return False

    def _last_words(self, number: int) -> str:
        try:
            with (self._logs / f"worker-{number}.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_WORDS))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line for line in text.splitlines() if line.strip()][-5:]
        return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a worker at rest, with all that it started, or wait for one that ends; its exit code."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    requests: list[Callable[[], object]] = [process.poll, process.terminate, process.kill]
    for request in requests:
        request()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=GRACE + 2)
    return process.wait()


def _how(code: int) -> str:
    number = code - 128 if code > 128 else -code
    if number in {s.value for s in signal.Signals}:
        return f"was killed by {signal.Signals(number).name}"
    return f"ended its own process with exit code {code}"
