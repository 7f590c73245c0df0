"""Who is at work on a store: the keys that a process uses, and the mark of what it writes.

A lease is a file ``ROOT/leases/MARK`` that its process keeps locked: first line who, then a key a line.
The kernel lets go of the lock with the process, however that ends, so no crash holds anything for ever.
Adding a key and collecting exclude each other by ``ROOT/lock``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ._entry import NO_SPACE, store_error
from .errors import StoreError

try:
    import fcntl
except ImportError:  # Windows: no leases, and no collection either
    fcntl = None  # type: ignore[assignment]

_DAY = 86400.0
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


class Lease:
    """The keys that this process uses: nobody collects them, whether they are stored yet or not."""

    def __init__(self, root: Path, what: str) -> None:
        folder = root / "leases"
        folder.mkdir(parents=True, exist_ok=True)
        self.keys: set[str] = set()
        self._threads = threading.Lock()
        self._gate = _open_gate(root)
        self._path = folder / make_mark()
        who = {"what": what, "process": os.getpid(), "machine": _machine()}
        with self._shared():
            self._stream = self._path.open("xb", buffering=0)
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._stream.write(json.dumps(who).encode() + b"\n")

    def hold(self, key: str) -> None:
        """From here on a collection sees that the key is in use."""
        if key not in self.keys:
            with self._shared():
                self._stream.write(key.encode() + b"\n")
            self.keys.add(key)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        self._stream.close()
        os.close(self._gate)

    @contextmanager
    def _shared(self) -> Iterator[None]:
        with self._threads:
            fcntl.flock(self._gate, fcntl.LOCK_SH)
            try:
                yield
            finally:
                fcntl.flock(self._gate, fcntl.LOCK_UN)


def take_lease(root: Path, what: str) -> Lease | None:
    """A lease, or None where this process may not write or the file system has no locks.

    Raises ``StoreError`` (no space).
    """
    if fcntl is None:
        return None
    try:
        return Lease(root, what)
    except OSError as exc:
        if exc.errno in NO_SPACE:
            raise store_error(exc, root) from exc
        return None


class Leased(NamedTuple):
    """A lease of a process that lives."""

    who: dict[str, Any]
    keys: set[str]

    def __str__(self) -> str:
        return f"{self.who['what']} (process {self.who['process']} on {self.who['machine']})"


def leases(root: Path) -> list[Leased]:
    """The leases of the living; those of the dead are removed. Call it with the store locked."""
    found = []
    for path in sorted((root / "leases").glob("*")):
        with suppress(FileNotFoundError), path.open("rb+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                head, *keys = stream.read().decode().splitlines()
                found.append(Leased(json.loads(head), set(keys)))
            else:
                path.unlink()
    return found


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Nobody adds a key to a lease meanwhile. Raises ``StoreError`` where locks do not work."""
    if fcntl is None:
        raise _no_locks(root)
    gate = _open_gate(root)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    except OSError as exc:
        raise (_no_locks(root) if exc.errno in _NO_LOCKS else store_error(exc, root)) from exc
    finally:
        os.close(gate)


def _open_gate(root: Path) -> int:
    return os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _no_locks(root: Path) -> StoreError:
    return StoreError(
        "the file system gives no locks, so nobody can tell what runs are using",
        code="not usable",
        where=str(root),
        fix="collect on a machine or mount that locks files (NFS 4, Lustre with -o flock)",
    )


@cache
def _machine() -> str:
    uname = getattr(os, "uname", None)
    return str(uname().nodename if uname else os.environ.get("COMPUTERNAME", ""))


@cache
def place_mark() -> str:
    """This machine and its process numbers (containers have their own), in eight letters."""
    host = _machine()
    with suppress(OSError):
        host += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - its target is no path
    return hashlib.sha256(host.encode()).hexdigest()[:8]


def make_mark() -> str:
    return f"{place_mark()}-{os.getpid()}-{os.urandom(6).hex()}"


def abandoned(leftover: os.DirEntry[str]) -> bool:
    """Whether nobody is at work on a temporary folder any more."""
    with suppress(OSError):
        if time.time() - leftover.stat().st_mtime > _DAY:
            return True
    place, _, rest = leftover.name.partition("-")
    pid = rest.partition("-")[0]
    if place != place_mark() or not pid.isdigit() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
