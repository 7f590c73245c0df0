"""A process of another environment, and the conversation with it: one request, one answer.

The other side is ``ldt_core.child``, run by the Python of that environment under a keeper. Both speak over a pair of
connected Unix sockets. Whatever becomes of the process, it is told in the contract's words, with its last words, and
nothing is left running.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from . import errors as e
from .environments import Environment, environment_variables
from .identity import core_digest
from .interfaces import CONTRACT, Context
from .ipc import Channel, Garbled

_log = logging.getLogger("ldt.isolation")

PROTOCOL = 1
_PATIENCE = 5.0
"""Seconds that a process has to end after it was asked to; its keeper kills what does not."""
_TICK, _STUCK = struct.pack("@ll", 0, 100_000), struct.pack("@ll", 60, 0)
"""How long the socket waits for the next bytes before we look around, and for room before we give up."""
_MOST_IDLE = 4
_KEPT_WORDS = 4096
_LOUDEST = 1 << 20
"""Bytes of one process's output that are handed on to the log."""


class Launch(NamedTuple):
    """How a process is started: words put before its command (those of a sandbox), variables set for it beside ours
    (also where the sandbox clears them), its working folder. Places that differ in ``label`` share no process; where
    ``shared``, one process serves all instances of a place at a time, as the process of a program that imports it does.
    Where ``quiet``, what it logs and prints is handed on to nobody; its last words are kept.
    """

    before: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    folder: str | None = None
    label: str = ""
    shared: bool = False
    quiet: bool = False

    @property
    def parent(self) -> int:
        """Whose end a process started so watches (see ``keeper.keep``): ours, or that of what stands before it."""
        return 0 if self.before else os.getpid()

    def start(self, words: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
        """Start ``words`` so. Raises ``OSError``."""
        folder, variables = self.folder, environment_variables() | dict(self.variables)
        if self.before:  # which may clear the variables and stand in another folder
            there = ["-C", folder] if folder is not None else []
            words = [*self.before, "env", *there, *(f"{k}={v}" for k, v in self.variables), *words]
            folder = None
        return subprocess.Popen(words, env=variables, cwd=folder, start_new_session=True, **streams)


class Place(NamedTuple):
    """Where a component runs: its environment and the limits of its process (bytes, microseconds; None: no limit)."""

    environment: Environment
    memory: int | None = None
    timeout: int | None = None
    launch: Launch = Launch()

    @property
    def key(self) -> tuple[Any, ...]:
        """Processes of this key serve this place. The kernel ends them with the thread that started them."""
        return self.environment.python, self.memory, self.launch, threading.get_ident()


class Process:
    """One process of another environment, and the conversation with it. It serves one component at a time, or many.

    The thread that starts it must live as long as it does: the kernel ends it with that.
    """

    def __init__(self, place: Place) -> None:
        environment, launch = place.environment, place.launch
        self.key = place.key
        self.memory = place.memory
        self.shared, self.quiet = launch.shared, launch.quiet
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _STUCK)
        self.channel = Channel(ours)
        self.busy = False
        self._tail: deque[bytes] = deque()
        words = [environment.python, "-P", "-m", "ldt_core.child", str(launch.parent), str(place.memory or 0)]
        try:
            with theirs:
                self._process = launch.start(
                    words, stdin=theirs.fileno(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
        except OSError as exc:
            ours.close()
            raise e.PluginError(
                f"the environment {environment.folder} cannot be used: {exc.strerror or exc}",
                code="import failed",
                fix="remove that folder; it is made again",
            ) from exc
        self._listener = threading.Thread(target=self._listen, name="ldt-words", daemon=True)
        self._listener.start()
        self.pid = 0
        self._greet(environment)

    def _greet(self, environment: Environment) -> None:
        reply, _ = self.ask({"do": "hello"}, timeout=None)
        self.pid = reply["pid"]
        ours = {"contract": CONTRACT, "protocol": PROTOCOL, "core": core_digest()}
        theirs = {k: reply.get(k) for k in ours}
        if theirs != ours:
            self.end()
            raise e.PluginError(
                f"the environment {environment.folder} has another ldt-core: {theirs}, here {ours}",
                code="contract version",
                fix="remove that folder; it is made again",
            )

    def ask(
        self,
        head: Mapping[str, Any],
        blocks: list[Any] | None = None,
        *,
        timeout: int | None,
        context: Context | None = None,
        asked: Callable[[dict[str, Any], Any], tuple[dict[str, Any], list[Any]]] | None = None,
    ) -> tuple[dict[str, Any], Any]:
        """The answer to one request; ``asked`` answers what the other side must know for it.

        Raises ``ChildError`` where none comes, or none that can be read.
        """
        self.busy = True
        try:
            self.channel.say(head, blocks or ())
        except BlockingIOError:
            self.spoil("its process takes no message")
        except OSError:
            self._fail()
        last = None if timeout is None else time.monotonic() + timeout / 1e6
        cancelled: float | None = None
        while True:
            if cancelled is None and context is not None and context.cancelled():
                cancelled = time.monotonic()
                with suppress(OSError):
                    self.channel.say({"do": "cancel"})
            try:
                reply, body = self.channel.hear()
            except BlockingIOError:
                pass
            except (EOFError, OSError):
                self._fail()
            except Garbled as exc:
                self.spoil(f"its process said what is no message: {exc.args[0]!r}")
            else:
                if "log" in reply:
                    if not self.quiet:
                        (_log if context is None else context.log).log(reply["level"], "%s", reply["log"])
                elif "progress" in reply:
                    if context is not None:
                        context.progress(reply["progress"])
                elif "asks" in reply and asked is not None:
                    with suppress(OSError):  # the next hearing tells
                        self.channel.say(*asked(reply, body))
                else:
                    self.busy = False
                    return reply, body
            now = time.monotonic()
            if last is not None and now > last:
                self._give_up(head["do"], timeout or 0)
            if cancelled is not None and now > cancelled + _PATIENCE:
                self.end()
                raise e.Cancelled("the run was cancelled", code="cancelled")

    # -- how it ends --

    def end(self) -> int:
        """End it with all that it has started; its exit code."""
        with suppress(OSError):
            if not self.busy:
                self.channel.say({"do": "end"})
            self.channel.socket.close()
        process = self._process
        for request in (None if not self.busy else process.terminate, process.terminate, process.kill):
            if request is not None and process.poll() is None:
                request()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_PATIENCE)
                break
        self.busy = True  # nobody else may use it
        self._listener.join(timeout=1.0)
        return process.wait()

    def _fail(self) -> NoReturn:
        """It has gone: say how, and what it said last."""
        self.busy = True
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_PATIENCE)  # its keeper clears up first
        code = self.end()
        number = code - 128 if code > 128 else -code
        signals = {s.value: s.name for s in signal.Signals}
        how = f"was killed by {signals[number]}" if number in signals else f"ended with exit code {code}"
        words = self.last_words()
        short_of_memory = any(
            w in words for w in ("bad_alloc", "MemoryError", "annot allocate memory", "realloc of size")
        )
        if self.memory is not None and (short_of_memory or number == signal.SIGKILL):
            raise self.out_of_memory(words)
        fix = "report this to the component's author; the log holds what it said"
        if number == signal.SIGKILL:
            fix = "if memory ran out, run with fewer workers: --workers 1"
        raise e.ChildError(f"its process {how}. Last words: {words or 'none'}", code="killed", fix=fix)

    def out_of_memory(self, words: str) -> e.ChildError:
        size = f" of {self.memory / 2**20:g} MiB" if self.memory else ""
        return e.ChildError(
            f"out of memory: its process reached its limit{size}. Last words: {words or 'none'}",
            code="out of memory",
            fix="raise memory: under its resources: in the twin file, or give it less to do",
        )

    def _give_up(self, what: str, timeout: int) -> NoReturn:
        self.end()
        raise e.ChildError(
            f"{what} took longer than {timeout / 1e6:g} s; its process was ended. "
            f"Last words: {self.last_words() or 'none'}",
            code="timed out",
            fix="raise timeout: under its resources: in the twin file, or report this to the component's author",
        )

    def spoil(self, what: str) -> NoReturn:
        self.end()
        raise e.ChildError(
            f"{what}. Last words: {self.last_words() or 'none'}",
            code="contract broken",
            fix="report this to the component's author: nothing but ldt_core may use the process's socket",
        )

    # -- what it prints --

    def _listen(self) -> None:
        """Take what it prints, however much that is: the end is kept, the beginning handed on to our own log."""
        assert self._process.stdout is not None
        handed, kept = 0, 0
        with self._process.stdout as stream:
            while chunk := os.read(stream.fileno(), 1 << 16):
                if handed < _LOUDEST and not self.quiet:
                    with suppress(OSError):
                        os.write(2, chunk)
                        handed += len(chunk)
                        if handed >= _LOUDEST:
                            os.write(2, b"\n(the rest of what this process prints is left out)\n")
                self._tail.append(chunk[-_KEPT_WORDS:])
                kept += len(self._tail[-1])
                while kept - len(self._tail[0]) >= _KEPT_WORDS:
                    kept -= len(self._tail.popleft())

    def last_words(self) -> str:
        text = b"".join(self._tail)[-_KEPT_WORDS:].decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()][-5:]
        return "\n".join("".join(c if c.isprintable() else " " for c in line)[-500:] for line in lines)


_idle: dict[tuple[Any, ...], list[Process]] = {}
_shared: dict[tuple[Any, ...], Process] = {}
"""By ``Place.key``."""


def borrow(place: Place) -> Process:
    """A process at rest, or a new one; where it is shared, the one that serves this place."""
    waiting = _idle.get(place.key, [])
    if place.launch.shared and place.key in _shared:
        waiting = [_shared.pop(place.key)]
    found = None
    while waiting and found is None:
        process = waiting.pop()
        if process.busy or process._process.poll() is not None:
            process.end()
        else:
            found = process
    found = found or Process(place)
    if found.shared:
        _shared[place.key] = found
    return found


def give_back(process: Process, fresh: bool = False) -> None:
    if process.shared:
        return
    if process.busy or fresh:
        process.end()
        return
    _idle.setdefault(process.key, []).append(process)
    resting = [waiting for waiting in _idle.values() if waiting]
    if sum(map(len, resting)) > _MOST_IDLE:
        resting[0].pop(0).end()


@atexit.register
def end_idle(place: Place | None = None) -> None:
    """End the processes that are at rest, and those that are shared: all, or those of a place."""
    for key in [*_idle, *_shared] if place is None else [place.key]:
        for process in [*_idle.pop(key, []), *filter(None, [_shared.pop(key, None)])]:
            process.end()
