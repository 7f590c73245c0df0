"""Imports a package and says what that did besides: ``python probe.py PACKAGE ANSWER [MODULE...]``.

The modules named last are imported first: what they do is their own affair. The answer is a JSON file.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str]) -> int:
    package, answer, first = arguments[0], Path(arguments[1]), arguments[2:]
    import ldt_core  # the contract is imported by every plugin

    dir(ldt_core)
    for name in first:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    known, before = set(sys.modules), state()
    said: dict[str, Any] = {"loaded": True}
    with printed() as words:
        try:
            importlib.import_module(package)
        except BaseException as exc:
            last = traceback.extract_tb(exc.__traceback__)[-1]
            where = f"{last.filename}:{last.lineno}"
            said = {"loaded": False, "raised": f"{type(exc).__name__}: {exc}", "where": where}
    after = state()
    said |= {
        "printed": words.read_text("utf-8", "replace")[:2000],
        "changed": {n: [before[n], after[n]] for n in before if before[n] != after[n]},
        "threads": sorted(t.name for t in threading.enumerate() if t is not threading.main_thread()),
        "modules": sorted(m for m in set(sys.modules) - known if m.partition(".")[0] != package),
    }
    if said["loaded"]:
        said |= offered(package)
    answer.write_text(json.dumps(said, default=str), encoding="utf-8")
    return 0


def state() -> dict[str, Any]:
    """What belongs to everybody in a process, as texts that can be compared."""
    numbers = sys.modules.get("numpy")
    handlers = {s.name: str(signal.getsignal(s)) for s in signal.Signals}
    root = logging.getLogger()
    return {
        "working folder": str(Path.cwd()),
        "environment variables": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL),
        "warning filters": [str(f) for f in warnings.filters],
        "import path": list(sys.path),
        "import hooks": [str(type(h)) for h in (*sys.meta_path, *sys.path_hooks)],
        "random generator": hash(random.getstate()),
        "numpy's random generator": str(numbers.random.get_state()) if numbers is not None else "",
        "numpy's error handling": str(numbers.geterr()) if numbers is not None else "",
        "signal handlers": {n: h for n, h in handlers.items() if n != "SIGINT"},
        "interrupt handler": handlers["SIGINT"],
        "exception hooks": [str(sys.excepthook), str(threading.excepthook)],
        "root logger": [root.level, [str(type(h)) for h in root.handlers]],
        "standard streams": [id(sys.stdout), id(sys.stderr), id(sys.stdin)],
        "socket timeout": socket.getdefaulttimeout(),
        "recursion limit": sys.getrecursionlimit(),
        "trace function": str(sys.gettrace()),
        "file mask": _mask(),
    }


def _mask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


@contextlib.contextmanager
def printed() -> Iterator[Path]:
    """Everything that is written to standard output and error meanwhile, also by C code."""
    sys.stdout.flush()
    sys.stderr.flush()
    number, name = tempfile.mkstemp()
    kept = os.dup(1), os.dup(2)
    os.dup2(number, 1)
    os.dup2(number, 2)
    try:
        yield Path(name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)


def offered(package: str) -> dict[str, Any]:
    """What its hooks offer, by the core's own loader."""
    from ldt_core.catalog import installed, load_package
    from ldt_core.errors import PluginError

    offers = installed().offers
    owners = {o.id: sorted({x.distribution for x in offers if x.id == o.id}) for o in offers}
    try:
        found = load_package(package)
    except PluginError as exc:
        return {"refused": exc.what, "code": exc.code, "owners": owners}
    return {"offers": {i: c.kind for i, c in found.items()}, "owners": owners}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
