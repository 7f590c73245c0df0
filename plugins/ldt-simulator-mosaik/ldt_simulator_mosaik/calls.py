"""mosaik's calls, to a Python class in this process or to a program over TCP: the same few words."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import ldt_core as ldt

from .loading import Refused, load_class

_START_TIME = 60.0
_END_TIME = 5.0


class Calls(Protocol):
    """A mosaik simulator at work."""

    def call(self, name: str, *arguments: Any, **words: Any) -> Any: ...

    def close(self) -> None: ...


class InProcess:
    """A class of this environment, or of a file; see ``load_class``."""

    def __init__(self, path: str, file: Path | None) -> None:
        self.instance = load_class(path, file)()

    def call(self, name: str, *arguments: Any, **words: Any) -> Any:
        method = getattr(self.instance, name, None)
        if method is None and name == "setup_done":
            return None
        assert method is not None
        if name == "step" and len(inspect.signature(method).parameters) == 2:
            arguments = arguments[:2]  # mosaik's API 2 knows no max_advance
        return method(*arguments, **words)

    def close(self) -> None:
        self.instance.finalize()


class Program:
    """A program that speaks mosaik's protocol, started with the address that it must connect to."""

    def __init__(self, command: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._loop.run_until_complete(self._start(command))
        except BaseException:
            self.close()
            raise

    async def _start(self, command: str) -> None:
        from mosaik_api_v3.connection import Channel

        connected: asyncio.Future[Any] = self._loop.create_future()

        async def accept(reader: Any, writer: Any) -> None:
            if not connected.done():
                connected.set_result((Channel(reader, writer, name=command), writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        words = [
            w.replace("%(python)s", sys.executable).replace("%(addr)s", f"{host}:{port}")
            for w in shlex.split(command)
        ]
        try:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        except OSError as exc:
            server.close()
            raise ldt.ParamError(
                f"'{words[0]}' cannot be started: {exc.strerror}", code="no simulator", fix="correct command:"
            ) from exc
        waited = 0.0
        while not connected.done():
            if (code := self._process.poll()) is not None or waited > _START_TIME:
                server.close()
                how = (
                    f"ended with exit code {code}"
                    if code is not None
                    else f"has not connected in {waited:.0f} s"
                )
                raise ldt.Unavailable(
                    f"'{command}' {how}",
                    fix="it must connect to the address in %(addr)s; the log holds what it said",
                )
            await asyncio.wait([connected], timeout=0.05)
            waited += 0.05
        self._channel, self._writer = connected.result()
        server.close()

    def call(self, name: str, *arguments: Any, **words: Any) -> Any:
        from mosaik_api_v3.connection import RemoteException

        try:
            return self._loop.run_until_complete(self._channel.send([name, list(arguments), words]))
        except RemoteException as exc:
            raise Refused(f"{name}: {exc.remote_type}: {exc.remote_msg}") from exc
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            code = self._process.wait(_END_TIME) if self._process else None
            raise RuntimeError(f"the simulator ended in {name} with exit code {code}") from exc

    def close(self) -> None:
        if self._loop.is_closed():
            return
        if hasattr(self, "_channel"):
            with contextlib.suppress(Exception):  # stop is answered by nobody where it has ended already
                self._loop.run_until_complete(asyncio.wait_for(self._channel.send(["stop", [], {}]), 1.0))
        if self._process is not None:
            for request in (self._process.poll, self._process.terminate, self._process.kill):
                request()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_TIME)
                    break
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                self._loop.run_until_complete(task)
        if hasattr(self, "_writer"):
            self._writer.close()
            with contextlib.suppress(OSError):
                self._loop.run_until_complete(self._writer.wait_closed())
        self._loop.close()
