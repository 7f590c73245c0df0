"""A worker's keeper: what a worker leaves behind ends with it.

The engine starts the keeper, and the keeper the worker, in a session of its own. When the worker has
ended, however that was, or the engine is gone, the keeper ends what is left: programs in the
background, simulators of a killed worker, files in the temporary folder.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE = 3.0
"""Seconds that a worker has to finalize its components before it is killed."""
_SET_DEATH_SIGNAL, _SET_ADOPTION = 1, 36


class Ended(BaseException):
    """The engine asks for the end. No ``Exception``, so that no component takes it for its own."""


def keep(parent: int, work: Callable[[], int]) -> int:
    """Run ``work`` in a process of its own; how it ended: its exit code, or 128 and its signal's number.

    ``parent`` is the process whose end is ours; 0 is whoever is our parent, whatever its number in another namespace.
    """
    end_on_request()
    _end_with(parent, signal.SIGTERM)
    if sys.platform == "linux":  # what the worker's helpers leave behind becomes ours, not init's
        ctypes.CDLL(None).prctl(_SET_ADOPTION, 1)
    keeper, scratch = os.getpid(), tempfile.mkdtemp(prefix="ldt-")
    worker = os.fork()
    if worker == 0:
        os.setsid()
        _end_with(keeper, signal.SIGKILL)
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        return work()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # the engine must see the worker's pipes close, and not ours
        os.dup2(nothing, stream)
    try:
        _, status = os.waitpid(worker, 0)
    except Ended:
        status = _end(worker)
    _answer_requests(signal.SIG_IGN)
    _kill_rest(worker)
    shutil.rmtree(scratch, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def end_on_request() -> None:
    """Raise ``Ended``, once, where this process is told to end."""

    def end(number: int, frame: Any) -> None:
        _answer_requests(signal.SIG_IGN)
        raise Ended

    _answer_requests(end)


def _answer_requests(how: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, how)


def _end_with(parent: int, number: signal.Signals) -> None:
    """Ask the kernel for this signal when the parent dies (Linux), also by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, number)
    if parent and os.getppid() != parent:
        raise SystemExit(1)


def _end(worker: int) -> int:
    """Ask the worker to end, and kill it where it does not; its status."""
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGTERM)
    last = time.monotonic() + GRACE
    while time.monotonic() < last:
        found, status = os.waitpid(worker, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    return os.waitpid(worker, 0)[1]


def _kill_rest(worker: int) -> None:
    """Kill the worker's group, and all that has become ours, until nothing is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(OSError):
        while children := listing.read_text().split():
            for child in map(int, children):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
