"""SUMO's programs as child processes, and the TraCI connection to a running simulation.

A child never outlives its parent: on Linux it asks the kernel to be killed when the parent dies,
elsewhere SUMO ends by itself as soon as its TraCI socket closes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import ldt_core as ldt

# The kernel's parent-death signal follows the thread that forked, so every child is started by one
# thread that lives as long as this process. The check of getppid closes the race with a parent that
# died before prctl was reached.
_GUARD = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,9,0,0,0);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)
_NOISE = re.compile(r"^(pj_obj_create: .*|Quitting \(on error\)\.|\s*)$")
_starter: list[ThreadPoolExecutor] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_starter.clear)


@cache
def sumo_home() -> Path:
    """The folder of the installed SUMO. Found without importing it: its import changes PROJ's settings."""
    spec = importlib.util.find_spec("sumo")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    raise ldt.Unavailable(
        "SUMO is not installed", code="program missing", fix="pip install 'eclipse-sumo>=1.28'"
    )


@cache
def sumo_version() -> str:
    sumo_home()
    return importlib.metadata.version("eclipse-sumo")


def program(name: str) -> Path:
    """The path of one of SUMO's programs. Raises ``Unavailable``."""
    path = sumo_home() / "bin" / (name + (".exe" if sys.platform == "win32" else ""))
    if not path.is_file():
        raise ldt.Unavailable(
            f"the program '{name}' is missing from {sumo_home()}",
            code="program missing",
            fix="install eclipse-sumo again",
        )
    return path


def _environment() -> dict[str, str]:
    home = sumo_home()
    proj = str(home / "data" / "proj")
    return {**os.environ, "SUMO_HOME": str(home), "PROJ_LIB": proj, "PROJ_DATA": proj, "LC_ALL": "C"}


def start(name: str, arguments: Sequence[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start one of SUMO's programs in ``folder``; what it says goes to ``log``."""
    command = [str(program(name)), *arguments]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *command]

    def spawn() -> subprocess.Popen[bytes]:
        with log.open("wb") as sink:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    if not _starter:
        _starter.append(ThreadPoolExecutor(1, "sumo-starter"))
    return _starter[0].submit(spawn).result()


def last_words(log: Path, lines: int = 6) -> str:
    """What a program said at its end: its errors if there are any, else its last lines."""
    with contextlib.suppress(OSError):
        said = [x.strip() for x in log.read_text("utf-8", "replace").splitlines() if not _NOISE.match(x)]
        errors = [i for i, line in enumerate(said) if line.startswith("Error")]
        return "\n".join(said[errors[0] :][:lines] if errors else said[-lines:])
    return ""


def run(name: str, arguments: Sequence[str], folder: Path, cancelled: Callable[[], None]) -> str:
    """Run a program to its end and return what it said. Raises ``InputError`` with its last words."""
    log = folder / f"{name}.log"
    child = start(name, arguments, folder, log)
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(0.2)
                break
            cancelled()
    except BaseException:
        stop(child)
        raise
    if code != 0:
        raise ldt.InputError(
            f"{name} refused its input: {last_words(log) or f'exit code {code}'}", code=f"{name} failed"
        )
    return log.read_text("utf-8", "replace")


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child now. Its files are ours alone, so nothing is lost by not asking first."""
    if child.poll() is None:
        child.kill()
    child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sumo:
    """A running ``sumo`` and the TraCI connection to it."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, cancelled: Callable[[], None], tries: int = 5
    ) -> None:
        self.log = folder / "sumo.log"
        for attempt in range(tries):
            port = _free_port()
            self.child = start("sumo", [*arguments, "--remote-port", str(port)], folder, self.log)
            try:
                self.traci = self._connect(port, cancelled)
                return
            except _PortTaken:
                if attempt == tries - 1:
                    raise ldt.Unavailable("SUMO found no free port", code="port taken") from None
            except BaseException:
                stop(self.child)
                raise

    def _connect(self, port: int, cancelled: Callable[[], None]) -> Any:
        # Imported here, since that overlaps SUMO's own start.
        from traci.connection import Connection
        from traci.exceptions import FatalTraCIError

        while True:
            if self.child.poll() is not None:
                words = last_words(self.log)
                if "could not start server" in words.lower() or "address already in use" in words.lower():
                    raise _PortTaken
                raise self.failure("SUMO could not start")
            try:
                traci = Connection("127.0.0.1", port, None, None, False)
                traci.getVersion()
                return traci
            except (OSError, FatalTraCIError):  # not listening yet, or gone while it read its input
                cancelled()
                time.sleep(0.01)

    def failure(self, what: str) -> ldt.InputError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(2)
        return ldt.InputError(
            f"{what}: {last_words(self.log) or f'exit code {self.child.poll()}, no message'}",
            code="sumo failed",
            fix="correct the network, the demand or the parameter that SUMO names",
        )

    def ask(self, what: str, call: Callable[[], Any]) -> Any:
        """A TraCI call; if SUMO dies or refuses, its last words as ``InputError``."""
        from traci.exceptions import FatalTraCIError, TraCIException

        try:
            return call()
        except (FatalTraCIError, OSError) as error:
            raise self.failure(f"SUMO ended while {what}") from error
        except TraCIException as error:
            raise ldt.InputError(f"SUMO refused {what}: {error}", code="sumo failed") from error

    def stop(self) -> None:
        with contextlib.suppress(Exception):
            self.traci._socket.close()
        stop(self.child)


class _PortTaken(Exception):
    pass
