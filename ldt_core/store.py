"""Results under the key of everything that made them: whole or absent, readable without us.

::

    ROOT/entries/ab/abcd…/meta.json        what the entry holds, with digests; its own digest first
                          flow.parquet     one (Geo)Parquet file per port, windows in its metadata
                          levels.npz       one file per grid
                          file.state.bin   other files
    ROOT/tmp/                              what is being written
    ROOT/quarantine/                       damaged entries, set aside

An entry is written to ``tmp``, synced, and renamed into place, so a writer killed at any moment
leaves a whole entry or none. Finding one reads ``meta.json`` alone and hashes none of the data.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ._entry import (
    LAYOUT,
    Entry,
    Problem,
    seal,
    store_error,
    sync,
    unseal,
    write_file,
    write_grid,
    write_recording,
)
from .errors import StoreError
from .tables import Grid, Recording

__all__ = ["Entry", "Problem", "Store", "canonical"]

_KEY = re.compile(r"[0-9a-f]{64}")
_DAY = 86400.0
_log = logging.getLogger("ldt.store")


class Store:
    """A folder of entries. Any number of processes may read and write it at once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.damaged: list[Problem] = []
        self._entries = f"{self.root}{os.sep}entries{os.sep}"
        self._swept = False

    @staticmethod
    def key(fields: Mapping[str, Any]) -> str:
        """sha256 of ``fields`` as canonical JSON: sorted keys, tuples as lists, numpy values as plain.

        1 and 1.0 differ. Raises ``ValueError`` for NaN and infinity, ``TypeError`` for what is not
        data (a path is none: give the file's digest).
        """
        return hashlib.sha256(canonical(fields)).hexdigest()

    def find(self, key: str) -> Entry | None:
        """The entry, by its ``meta.json`` alone. A damaged one is set aside, noted in ``damaged``."""
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"'{key}' is no key")
        folder = f"{self._entries}{key[:2]}{os.sep}{key}"
        try:
            with open(f"{folder}{os.sep}meta.json", "rb", buffering=0) as stream:  # noqa: PTH123 - speed
                raw = stream.readall()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise store_error(exc, Path(folder)) from exc
        try:
            return Entry(Path(folder), unseal(raw, key))
        except ValueError as exc:
            self.damaged.append(Problem(key, "meta.json", str(exc)))
            _log.warning("%s: %s; the entry is set aside", folder, exc)
            with suppress(StoreError):  # a store that cannot be written: absent all the same
                self.quarantine(key)
            return None

    def put(
        self,
        key: str,
        recordings: Mapping[str, Recording],
        meta: Mapping[str, Any],
        *,
        owner: str,
        files: Mapping[str, bytes] | None = None,
        grids: Mapping[str, Grid] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Store a result and return its entry, or the one that is there with the same content.

        ``owner`` is the component to name when the content differs; ``fields`` is what the key was
        made of, kept for readers. ``files`` (a simulator's state) are not compared: the first stays.
        Raises ``StoreError``: same key but other content, no space, not writable.
        """
        grids = grids or {}
        digests = {n: r.digest for n, r in recordings.items()} | {n: g.digest for n, g in grids.items()}
        known = self.find(key)
        if known is not None:
            return _same(known, digests, owner)
        target = self._folder(key)
        with self._writing() as temp:
            record = {
                "layout": LAYOUT,
                "key": key,
                "owner": owner,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "ports": {n: write_recording(temp, n, r) for n, r in recordings.items()},
                "grids": {n: write_grid(temp, n, g) for n, g in grids.items()},
                "files": {n: write_file(temp, n, b) for n, b in (files or {}).items()},
                "fields": None if fields is None else _plain(fields, "fields"),
                "meta": _plain(meta, "meta"),
            }
            (temp / "meta.json").write_bytes(seal(record))
            sync(temp / "meta.json")
            sync(temp)
            self._make(target.parent)
            for chance in (True, True, False):
                try:
                    os.rename(temp, target)  # noqa: PTH104 - atomic, refused where an entry is
                    break
                except OSError as exc:
                    known = self.find(key)
                    if known is not None:  # another writer was first
                        return _same(known, digests, owner)
                    if not (chance and target.exists()):
                        raise exc
                    self.quarantine(key)  # a folder without its meta.json
            sync(target.parent)
        return Entry(target, record)

    def entries(self) -> Iterator[Entry]:
        """All whole entries, by key."""
        for key in self._keys():
            entry = self.find(key)
            if entry is not None:
                yield entry

    def verify(self) -> Iterator[Problem]:
        """Read everything and compute every digest again; yields what is wrong and changes nothing."""
        for key in self._keys():
            folder = self._folder(key)
            try:
                entry = Entry(folder, unseal((folder / "meta.json").read_bytes(), key))
            except (OSError, ValueError, StoreError) as exc:
                yield Problem(key, "meta.json", str(exc))
                continue
            yield from entry.problems()

    def remove(self, key: str) -> bool:
        """Take the entry out; False where there is none."""
        moved = self._move(key, self.root / "tmp")
        if moved is not None:
            shutil.rmtree(moved, ignore_errors=True)
        return moved is not None

    def quarantine(self, key: str) -> Path | None:
        """Set a damaged entry aside, so that it is computed anew; where it is now."""
        return self._move(key, self.root / "quarantine")

    def sweep(self) -> int:
        """Delete what killed writers left behind; how many folders that were."""
        count = 0
        with suppress(FileNotFoundError):
            for leftover in list(os.scandir(self.root / "tmp")):
                if _abandoned(leftover):
                    shutil.rmtree(leftover.path, ignore_errors=True)
                    count += 1
        return count

    def _folder(self, key: str) -> Path:
        return Path(self._entries) / key[:2] / key

    def _keys(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            for shelf in sorted(Path(self._entries).iterdir()):
                yield from sorted(f.name for f in shelf.iterdir() if _KEY.fullmatch(f.name))

    def _move(self, key: str, to: Path) -> Path | None:
        goal = to / f"{_mark()}-{key}"
        try:
            to.mkdir(parents=True, exist_ok=True)
            self._folder(key).rename(goal)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise store_error(exc, self.root) from exc
        return goal

    def _make(self, folder: Path) -> None:
        """Create a folder so that it survives a power cut."""
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
            sync(folder.parent)

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        """A temporary folder on the store's own file system, gone afterwards whatever happens."""
        temp = self.root / "tmp" / _mark()
        try:
            self._make(temp.parent)
            if not self._swept:
                self._swept = True
                self.sweep()
            temp.mkdir()
            yield temp
        except OSError as exc:
            raise store_error(exc, self.root) from exc
        finally:
            shutil.rmtree(temp, ignore_errors=True)


def canonical(fields: Mapping[str, Any]) -> bytes:
    """``fields`` as canonical JSON; see ``Store.key``."""
    return json.dumps(_plain(fields, ""), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = str(value) if value.dtype.kind in "mM" else value.item()
    elif isinstance(value, np.ndarray):
        value = (value.astype(str) if value.dtype.kind in "mM" else value).tolist()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where or 'the value'} is {value}, which JSON cannot say")
        return value + 0.0  # one zero
    if isinstance(value, Mapping):
        wrong = next((k for k in value if not isinstance(k, str)), None)
        if wrong is not None:
            raise TypeError(f"{where or 'the value'} has the key {wrong!r}, which is no text")
        return {str(k): _plain(v, f"{where}.{k}" if where else str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(v, where) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    raise TypeError(f"{where or 'the value'} is {type(value).__name__}, which is not plain data")


def _same(known: Entry, digests: Mapping[str, str], owner: str) -> Entry:
    if known.digests == digests:
        return known
    other = sorted(n for n in {*known.digests, *digests} if known.digests.get(n) != digests.get(n))
    raise StoreError(
        f"{owner} gave other content for {', '.join(other)} than at {known.created}, from the same inputs",
        code="same key but other content",
        where=owner,
        fix="its result depends on what the key does not know: let it draw only from context.rng, sort what"
        " it reads from sets and folders, declare every file as a parameter; or set deterministic = False",
    )


@cache
def _place() -> str:
    """This machine and its process numbers (containers have their own), in eight letters."""
    uname = getattr(os, "uname", None)
    host = uname().nodename if uname else os.environ.get("COMPUTERNAME", "")
    with suppress(OSError):
        host += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - its target is no path
    return hashlib.sha256(host.encode()).hexdigest()[:8]


def _mark() -> str:
    return f"{_place()}-{os.getpid()}-{os.urandom(6).hex()}"


def _abandoned(leftover: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        if time.time() - leftover.stat().st_mtime > _DAY:
            return True
    place, _, rest = leftover.name.partition("-")
    pid = rest.partition("-")[0]
    if place != _place() or not pid.isdigit() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
