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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ATTEMPTS = 3


class Event(NamedTuple):
    """What became of a task: kind is started, progress, done, failed or killed."""

    task: str
    kind: str
    payload: dict[str, Any]


class LocalEngine:
    """A pool of worker processes on this machine. ``logs`` takes their standard error."""

    def __init__(self, workers: int, logs: Path) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self._tasks: queue.Queue[Path | None] = queue.Queue()
        self._logs = logs
        self._processes: dict[int, subprocess.Popen[str]] = {}
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
                    _end(process)
        for thread in self._threads:
            thread.join(timeout=20)

    def _serve(self, number: int) -> None:
        # The worker asks the kernel to end it with the thread that started it, so this thread lives
        # as long as its worker does.
        process: subprocess.Popen[str] | None = None
        while (task := self._tasks.get()) is not None:
            for attempt in range(1, ATTEMPTS + 1):
                if process is None or process.poll() is not None:
                    process = self._spawn(number)
                if self._run(process, task):
                    break
                process.wait()
                if self._closing:
                    break
                payload = {"attempt": attempt, "of": ATTEMPTS, "how": _how(process.returncode)}
                payload["last_words"] = self._last_words(number)
                self.events.put(Event(task.stem, "killed" if attempt < ATTEMPTS else "lost", payload))
        if process is not None:
            _end(process)

    def _spawn(self, number: int) -> subprocess.Popen[str]:
        with (self._logs / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ldt_core.engines.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        with self._lock:
            self._processes[number] = process
        if self._closing:
            _end(process)
        return process

    def _run(self, process: subprocess.Popen[str], task: Path) -> bool:
        """Whether the worker answered; False when it died."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{task}\n")
            process.stdin.flush()
        except (BrokenPipeError, OSError):
            return False
        self.events.put(Event(task.stem, "started", {"pid": process.pid}))
        for line in process.stdout:
            answer = json.loads(line)
            kind = answer.pop("kind")
            self.events.put(Event(task.stem, kind, answer))
            if kind in ("done", "failed"):
                return True
        return False

    def _last_words(self, number: int) -> str:
        try:
            text = (self._logs / f"worker-{number}.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-5:])


def _end(process: subprocess.Popen[str]) -> None:
    """End a worker and all that it started: it leads a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with {code}"
