"""How long a piece of work may take: by the wall clock, since what hangs uses no other."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_AGAIN = 1.0
"""Seconds until the next alarm, where a component took the first for its own and went on."""


class TooLong(BaseException):
    """The time is over. No ``Exception``, so that neither components nor checks take it for theirs."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise ``TooLong`` in the work below where it takes longer.

    It reaches whatever waits in the main thread: for a socket, for a process, in a component's Python code. In other
    threads, and where there are no alarms, there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    at_work = True

    def ring(number: int, frame: Any) -> None:
        if at_work:
            raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        try:
            yield
        finally:
            at_work = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
