"""Outside the walls: ``python outer.py SETTINGS -- COMMAND...`` runs a command in bubblewrap and writes down what it did.

It is the parent of bubblewrap, and goes with its own parent. It holds the network that the command sees and the control
groups that bound it; what happens inside it learns from ``inner`` by a pipe, and from nothing else.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from network import NoNetwork, Trap  # type: ignore[import-not-found]

NOBODY = 65534
_KEPT = 1 << 16
"""Bytes of what is printed that are kept in the report."""
_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    settings, words = json.loads(arguments[0]), list(arguments[2:])
    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)  # until there is something to end
    for number in _REQUESTS:
        signal.signal(number, _stop)
    libc = ctypes.CDLL(None)
    libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    libc.prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what bubblewrap leaves behind becomes ours
    if os.getppid() == 1:
        return 1
    report: dict[str, Any] = {"network": "watched"}
    trap = None
    try:
        trap = Trap()
    except NoNetwork as exc:
        report["network"] = f"none: {exc}"
    groups = Groups(settings["limits"])
    report["groups"] = sorted(groups.found)
    drop = os.geteuid() == 0 and "pids" not in groups.found  # the kernel does not count root's processes
    ours, theirs = os.pipe()
    limits = json.dumps({**settings["limits"], "watch": settings["watch"], "scratch": settings["scratch"]})
    inside = [settings["python"], "-I", "-S", settings["inner"], str(theirs), limits, "--", *words]
    walls = [*settings["bwrap"], *([] if trap else ["--unshare-net"]), "--remount-ro", "/", "--", *inside]

    def enter() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
        groups.join()
        if drop:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)

    heard, spoken = os.pipe()
    process = subprocess.Popen(walls, pass_fds=(theirs,), preexec_fn=enter, stdout=spoken, stderr=spoken)
    os.close(theirs)
    os.close(spoken)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # the judge must see the command's end of it close, not ours
    said, words_kept, stopped = b"", b"", False
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
        said, words_kept = _listen(ours, heard, trap)
        code = process.wait()
    except _Stopped:
        process.kill()
        process.wait()
        _kill_rest()
        code, stopped = 128 + signal.SIGTERM, True
    if trap is not None:
        trap.look()
        report |= {"names": trap.names, "addresses": sorted(trap.addresses)}
    try:
        report |= json.loads(said)
    except ValueError:
        if not stopped:
            report["ended_by"] = "its walls fell: nothing was heard from inside"
    report |= {"code": code, "printed": words_kept.decode("utf-8", "replace"), **groups.seen()}
    groups.remove()
    path = Path(settings["reports"]) / f"{os.getpid()}.json"
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps(report), encoding="utf-8")
    fresh.rename(path)
    return code if code >= 0 else 128 - code


class _Stopped(BaseException):
    pass


def _stop(number: int, frame: Any) -> None:
    for later in _REQUESTS:
        signal.signal(later, signal.SIG_IGN)
    raise _Stopped


def _kill_rest() -> None:
    """Bubblewrap that is killed while it begins leaves a child that waits for it for ever."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    while children := listing.read_text().split():
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _listen(pipe: int, heard: int, trap: Trap | None) -> tuple[bytes, bytes]:
    """What is said by the pipe until it closes, for then nobody is left inside; and the first that was printed, all of
    which is handed on."""
    said = printed = b""
    ends: list[Any] = [pipe, heard, *((trap.wire, trap.server) if trap else ())]
    while pipe in ends or heard in ends:
        ready, _, _ = select.select(ends, [], [])
        if trap is not None:
            trap.look()
        if pipe in ready:
            part = os.read(pipe, 1 << 16)
            said += part
            if not part:
                ends.remove(pipe)
        if heard in ready:
            part = os.read(heard, 1 << 16)
            printed += part[: _KEPT - len(printed)]
            with suppress(OSError):  # nobody listens any more
                os.write(1, part)
            if not part:
                ends.remove(heard)
    return said, printed


class Groups:
    """Control groups of this command, version 1 or 2, where they may be written."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.found: dict[str, Path] = {}
        for name, files, value in (
            ("pids", ("pids.max",), limits["processes"]),
            ("memory", ("memory.max", "memory.limit_in_bytes"), limits["memory"]),
        ):
            for base in _bases(name):
                folder = base / f"ldt-{os.getpid()}"
                try:
                    folder.mkdir(exist_ok=True)
                    next(folder / f for f in files if (folder / f).exists()).write_text(str(value))
                    self.found[name] = folder
                    break
                except (OSError, StopIteration):
                    with suppress(OSError):
                        folder.rmdir()

    def join(self) -> None:
        for folder in set(self.found.values()):
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def seen(self) -> dict[str, Any]:
        """How often a limit was met."""
        found: dict[str, Any] = {}
        for name, file, key in (
            ("pids", "pids.events", "max"),
            ("memory", "memory.events", "oom_kill"),
            ("memory", "memory.oom_control", "oom_kill"),
        ):
            with suppress(OSError, KeyError):
                lines = (self.found[name] / file).read_text().split("\n")
                counts = {w[0]: int(w[1]) for w in map(str.split, lines) if len(w) == 2}
                found[f"{name}_refused"] = counts.get(key, 0)
        return found

    def remove(self) -> None:
        """Ours, when the last process has left it; and those of whoever was killed before it came to this."""
        for folder in set(self.found.values()):
            for _ in range(200):
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.01)
            for other in folder.parent.glob("ldt-*"):
                if not Path("/proc", other.name.removeprefix("ldt-")).exists():
                    with suppress(OSError):
                        other.rmdir()


def _bases(controller: str) -> list[Path]:
    """Folders in which a group with this controller may be made: our own group, and those above it."""
    root = Path("/sys/fs/cgroup")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    by_name = {n: p for _, names, p in (line.split(":", 2) for line in lines) for n in names.split(",")}
    if controller in by_name:  # version 1
        hierarchy = root / controller
        return [hierarchy / by_name[controller].lstrip("/"), hierarchy]
    own = root / by_name.get("", "/").lstrip("/")
    found = [p for p in (own, *own.parents) if p == root or root in p.parents]
    return [p for p in found if controller in _words(p / "cgroup.subtree_control")]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
