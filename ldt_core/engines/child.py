"""One worker process as an engine holds it: started when it is needed, and again when it died."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .keeper import GRACE
from .protocol import Event

Say = Callable[[Event], None]
_LAST_WORDS = 4096


class Child:
    """A worker under its keeper. Its thread must live as long as it does: the kernel ends it with that.

    ``log`` takes what it says outside of tasks; in a task, the task's own log does.
    """

    def __init__(self, log: Path, say: Say) -> None:
        self._log, self._say = log, say
        self._process: subprocess.Popen[bytes] | None = None
        self._used = self._ended = False
        self._lock = threading.Lock()

    def perform(self, task: Path, *, fresh: bool = False) -> dict[str, Any] | None:
        """Run a task and say what happens. None when it was answered, else how the worker died."""
        before = _kills_for_memory()
        try:
            if self._process is not None and (self._process.poll() is not None or (fresh and self._used)):
                self.end()
            process = self._process or self._spawn()
            self._used = True
            if self._run(process, task):
                if fresh:
                    self.end()
                return None
            how = _how(self.end())
        except OSError as exc:
            how = f"could not be started ({exc.strerror or exc})"
        memory = "SIGKILL" in how and _kills_for_memory() > before
        return {"how": how, "last_words": last_words(task, self._log), "memory": memory}

    def terminate(self, *, for_good: bool = True) -> None:
        """Ask it to end, from any thread; where it is not for good, the next task starts another."""
        with self._lock:
            self._ended, process = self._ended or for_good, self._process
        if process is not None:
            process.terminate()

    def end(self) -> int:
        """End it with all that it started, or wait for one that ends; its exit code."""
        process = self._process
        if process is None:
            return 0
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        requests: list[Callable[[], object]] = [process.poll, process.terminate, process.kill]
        for request in requests:
            request()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE + 2)
                break
        self._process, self._used = None, False
        return process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ldt_core.engines.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        with self._lock:
            self._process = process
            if self._ended:
                process.terminate()
        return process

    def _run(self, process: subprocess.Popen[bytes], task: Path) -> bool:
        """Whether the worker answered; False when it died, or says what nobody can read."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(str(task)).encode() + b"\n")
            process.stdin.flush()
            self._say(Event(task.stem, "started", {"pid": process.pid}))
            for line in process.stdout:
                answer = json.loads(line)
                kind = answer.pop("kind")
                self._say(Event(task.stem, kind, answer))
                if kind in ("done", "failed"):
                    return True
        except (OSError, ValueError, AttributeError, KeyError, TypeError):  # torn within a line, for one
            return False
        return False


def last_words(task: Path, *more: Path) -> str:
    """The end of the task's log, or of the first other one that says something."""
    for path in (task_log(task), *more):
        with contextlib.suppress(OSError), path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_WORDS))
            text = log.read().decode("utf-8", "replace")
            lines = [line for line in text.splitlines() if line.strip()][-5:]
            if lines:
                return "\n".join("".join(c if c.isprintable() else " " for c in x) for x in lines)
    return ""


def task_log(task: Path) -> Path:
    """Where what is said while a task runs is written: ``logs`` beside its folder ``tasks``."""
    return task.parent.parent / "logs" / f"{task.stem}.log"


def _kills_for_memory() -> int:
    """How many processes this machine's kernel has killed because memory ran out."""
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as stream:  # noqa: PTH123
        for line in stream:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _how(code: int) -> str:
    number = code - 128 if code > 128 else -code
    if number in {s.value for s in signal.Signals}:
        return f"was killed by {signal.Signals(number).name}"
    return f"ended its own process with exit code {code}"
