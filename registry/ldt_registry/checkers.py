"""Hostile archives are read in a process of their own, with bounds on memory, processor and wall time.

A checker that dies or hangs costs its upload a refusal and is replaced; no other upload notices. It knows nothing of the
registry, not even its environment, and it is answered in JSON: nothing that it says is unpickled.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from . import problems
from .distribution import Distribution, inspect
from .problems import Down, Problem, Refused


@dataclasses.dataclass(frozen=True)
class Bounds:
    """For one file: bytes of address space, seconds of processor, seconds in all."""

    memory: int = 2**30
    processor: int = 20
    seconds: float = 60.0


class Checkers:
    """A few long-lived processes, each checking one file at a time; started when first needed."""

    def __init__(self, count: int = 2, bounds: Bounds | None = None, *, wait: float = 30.0) -> None:
        self._bounds = bounds or Bounds()
        self._wait = wait
        self._idle: queue.LifoQueue[_Checker | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)

    def inspect(self, path: Path, filename: str) -> Distribution:
        """What the file says of itself. Raises as ``distribution.inspect`` does, and Refused where it broke its checker."""
        try:
            checker = self._idle.get(timeout=self._wait)
        except queue.Empty:
            raise Down("All checkers of uploads are busy.", code="checkers-busy") from None
        try:
            checker = checker or _Checker(self._bounds)
            answer = checker.ask(path, filename)
            if answer is None:
                checker.end()
                checker = None
        finally:
            self._idle.put(checker)
        if answer is None:
            raise Refused(
                f"{filename} could not be checked within the bounds of this registry.",
                code="check-broken",
                fix="Make it smaller; a wheel of ordinary content passes in less than a second.",
            )
        if "problem" in answer:
            raise _problem(answer["problem"])
        return Distribution(**answer["found"] | {"metadata": base64.b64decode(answer["found"]["metadata"])})

    def close(self) -> None:
        """End the processes that are idle."""
        with contextlib.suppress(queue.Empty):
            while True:
                checker = self._idle.get_nowait()
                if checker is not None:
                    checker.end()


class _Checker:
    def __init__(self, bounds: Bounds) -> None:
        self._seconds = bounds.seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(bounds.memory), str(bounds.processor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "PYTHONPATH")},
        )

    def ask(self, path: Path, filename: str) -> dict[str, Any] | None:
        """Its answer; None where it died or took too long, and so is of no further use."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        patience = threading.Timer(self._seconds, self._process.kill)
        patience.start()
        try:
            asked.write(json.dumps([str(path), filename]).encode() + b"\n")
            asked.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer
        except (OSError, ValueError):
            return None
        finally:
            patience.cancel()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def _problem(said: dict[str, str]) -> Problem:
    kind = getattr(problems, said.pop("class"))
    found: Problem = kind(said.pop("what"), **said)
    return found


def _serve(memory: int, processor: int) -> None:
    """The checker's side: a file a line, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server that we serve decides
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for line in sys.stdin:
        path, filename = json.loads(line)
        spent = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(spent.ru_utime + spent.ru_stime) + 1 + processor
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        print(json.dumps(_check(Path(path), filename)), flush=True)


def _check(path: Path, filename: str) -> dict[str, Any]:
    try:
        found = dataclasses.asdict(inspect(path, filename))
    except Problem as exc:
        return {"problem": {"class": type(exc).__name__, "what": exc.what, "code": exc.code, "fix": exc.fix}}
    except MemoryError:
        what = f"{filename} needs too much memory to be read."
        return {"problem": {"class": "Refused", "what": what, "fix": "Make it smaller."}}
    return {"found": found | {"metadata": base64.b64encode(found["metadata"]).decode()}}


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
