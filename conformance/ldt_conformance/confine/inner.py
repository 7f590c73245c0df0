# ruff: noqa: PTH123, PTH208 - it looks often, and pathlib is slow to import
"""Inside the walls, as process 1: runs a command under limits, watches it, and says by a pipe what came of it.

The kernel lets nobody inside end process 1; when it ends, everything inside has ended. The command's process never holds
the pipe.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

TICK = 0.02
_SIZES_EVERY = 10
_MOST = 500
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str]) -> int:
    pipe, limits, words = int(arguments[0]), json.loads(arguments[1]), list(arguments[3:])
    ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: nobody looks into us or takes our files
    os.set_inheritable(pipe, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    mounts = _mounts()
    before = {folder: _listing(folder, mounts) for folder in limits["watch"]}
    child = os.fork()
    if child == 0:
        _become(words, limits)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    alone = select.poll()
    alone.register(pipe, 0)  # tells when its reader has gone, and with it everybody who could ask
    report = _watch(child, limits, alone)
    report["left"] = _processes()
    _kill_all()
    changed = []
    for folder, was in before.items():
        now = _listing(folder, mounts)
        changed += [p for p, facts in now.items() if was.get(p) != facts] + [p for p in was if p not in now]
    report["written"] = sorted(changed)[:_MOST]
    report["scratch"] = max(report["scratch"], _size(limits["scratch"]))
    os.write(pipe, json.dumps(report).encode())
    code: int = report["status"]
    return code


def _become(words: list[str], limits: dict[str, Any]) -> None:
    """The command, in this process, under its limits."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.setsid()
        for name, soft, hard in (
            ("CPU", limits["cpu"], limits["cpu"] + 5),  # SIGXCPU comes first and can be told from a kill
            ("FSIZE", limits["disk"], limits["disk"]),
            ("NPROC", limits["processes"], limits["processes"]),
            ("NOFILE", limits["files"], limits["files"]),
            ("DATA", limits["memory"], limits["memory"]),
            ("CORE", 0, 0),
        ):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))
        os.execvp(words[0], words)
    except OSError as exc:
        os.write(2, f"{words[0]} cannot be started: {exc.strerror}\n".encode())
    finally:
        os._exit(127)


def _watch(child: int, limits: dict[str, Any], alone: select.poll) -> dict[str, Any]:
    """Until the command has ended or passed a limit."""
    begun, tick = time.monotonic(), 0
    seen: dict[str, Any] = {"memory": 0, "processes": 0, "scratch": 0, "limit": None, "started": []}
    status = None
    while status is None:
        signal.sigtimedwait({signal.SIGCHLD}, TICK)
        while True:
            try:
                pid, how, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            seen["memory"] = max(seen["memory"], usage.ru_maxrss * 1024)
            if pid == child:
                status = how
        if alone.poll(0):
            raise SystemExit(1)
        running = _processes()
        seen["processes"] = max(seen["processes"], len(running))
        for process in running:
            if process["command"] not in seen["started"] and len(seen["started"]) < _MOST:
                seen["started"].append(process["command"])
        seen["memory"] = max(seen["memory"], sum(p["memory"] for p in running))
        if tick % _SIZES_EVERY == 0:
            seen["scratch"] = max(seen["scratch"], _size(limits["scratch"]))
        tick += 1
        if status is None and (over := _over(seen, limits, time.monotonic() - begun)):
            seen["limit"] = over
            _kill_all()
            _, status = os.waitpid(child, 0)
    seen["seconds"] = round(time.monotonic() - begun, 3)
    whole = resource.getrusage(resource.RUSAGE_CHILDREN)
    seen["cpu"] = round(whole.ru_utime + whole.ru_stime, 3)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        seen["limit"] = "cpu"
    return {**seen, "status": 128 - code if code < 0 else code}


def _over(seen: dict[str, Any], limits: dict[str, Any], seconds: float) -> str | None:
    if seen["memory"] > limits["memory"]:
        return "memory"
    if seen["scratch"] > limits["disk"]:
        return "disk"
    if limits["seconds"] is not None and seconds > limits["seconds"]:
        return "time"
    return None


def _kill_all() -> None:
    """Everything inside but us."""
    for _ in range(100):
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.005)


def _processes() -> list[dict[str, Any]]:
    """What runs inside, with its command and resident bytes."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as stream:
                command = stream.read(2000).split(b"\0")
            with open(f"/proc/{name}/statm") as text:
                pages = int(text.read().split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if any(command):  # not one that has ended and was not waited for
            said = " ".join(w.decode("utf-8", "replace") for w in command[:8] if w)[:200]
            found.append({"command": said, "memory": pages * _PAGE})
    return found


def _mounts() -> set[str]:
    with open("/proc/self/mountinfo") as stream:
        return {line.split()[4] for line in stream}


def _listing(folder: str, mounts: set[str]) -> dict[str, Any]:
    """What lies in a folder: what is mounted below it is another one."""
    found: dict[str, Any] = {}
    waiting = [folder]
    while waiting and len(found) < 100_000:
        try:
            with os.scandir(waiting.pop()) as items:
                for item in items:
                    if item.path in mounts:
                        continue
                    facts = item.stat(follow_symlinks=False)
                    if item.is_dir(follow_symlinks=False):
                        waiting.append(item.path)
                        found[item.path] = facts.st_ino
                    else:
                        found[item.path] = [facts.st_ino, facts.st_size, facts.st_mtime_ns]
        except OSError:
            continue
    return found


def _size(folder: str) -> int:
    """Bytes that the files of a folder take."""
    size, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as items:
                for item in items:
                    size += item.stat(follow_symlinks=False).st_blocks * 512
                    if item.is_dir(follow_symlinks=False):
                        waiting.append(item.path)
        except OSError:
            continue
    return size


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
