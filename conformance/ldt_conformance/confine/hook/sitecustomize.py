"""Python imports this first inside the walls: an audit hook writes down who does what, to name the guilty line.

It enforces nothing and can be evaded by any C code; what the kernel sees decides, this only says where to look.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
from typing import Any

_MOST = 2000
_JUDGED = os.environ.get("LDT_JUDGED", "\0")
_ALLOWED = tuple(p for p in os.environ.get("LDT_ALLOWED", "").split(os.pathsep) if p)
_PLAIN = frozenset(
    {
        "os.mkdir",
        "os.remove",
        "os.rmdir",
        "os.rename",
        "os.link",
        "os.symlink",
        "os.truncate",
        "socket.connect",
        "socket.sendto",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.system",
        "os.posix_spawn",
        "os.exec",
        "os.fork",
        "_thread.start_new_thread",
    }
)
_OF_PATHS = frozenset({"os.mkdir", "os.remove", "os.rmdir"})
_TO_PATHS = frozenset({"os.rename", "os.link", "os.symlink"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120 - before anything else is imported
_busy = threading.local()


def _begin(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    left = [_MOST]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not (len(arguments) == 3 and _writes(*arguments)):
                return
        elif event not in _PLAIN:
            return
        if left[0] <= 0 or getattr(_busy, "now", False):
            return
        _busy.now = True
        try:
            what = [_text(a) for a in arguments[:4] if not hasattr(a, "fileno")]
            if event == "open" or event in _OF_PATHS:
                if event != "open" and arguments[-1] != -1:  # beside a folder that was opened before
                    return
                what[0] = os.path.abspath(what[0])  # noqa: PTH100
                if what[0].startswith(_ALLOWED):
                    return
            elif event in _TO_PATHS and os.path.abspath(what[1]).startswith(_ALLOWED):  # noqa: PTH100
                return
            left[0] -= 1
            where = _where(sys._getframe(1))
            os.write(log, (json.dumps({"event": event, "what": what, "where": where}) + "\n").encode())
        except Exception:  # noqa: S110 - what is judged must not feel it
            pass
        finally:
            _busy.now = False

    sys.addaudithook(hook)


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    if isinstance(path, int) or path in ("/dev/null", "/dev/tty"):
        return False
    if isinstance(mode, str):
        return any(c in mode for c in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, list | tuple):
        return " ".join(_text(v) for v in value)[:300]
    return str(value)[:300]


def _where(frame: Any) -> str:
    """The innermost line of the judged package; else of anything but the standard library."""
    near = ""
    while frame is not None:
        name = frame.f_code.co_filename
        place = f"{name}:{frame.f_lineno}"
        if name.startswith(_JUDGED):
            return place
        library = name.startswith(("<frozen", _LIBRARY + "/")) and "site-packages" not in name
        if not near and not library:
            near = place
        frame = frame.f_back
    return near


def _next() -> None:
    """The environment's own file of this name, if it has one."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", [p for p in sys.path if p != here])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if "LDT_OBSERVED" in os.environ:
    _begin(os.environ["LDT_OBSERVED"])
_next()
