"""Results under the key of everything that made them: whole or absent, readable without us.

::

    ROOT/entries/ab/abcd…/meta.json        what the entry holds, with digests; its own digest first
                          flow.parquet     one (Geo)Parquet file per port, windows in its metadata
                          levels.npz       one file per grid
                          file.state.bin   other files
    ROOT/tmp/                              what is being written
    ROOT/quarantine/                       damaged entries, set aside
    ROOT/leases/, ROOT/lock                what runs at work use: see ``_lease``
    ROOT/twins/                            where runs lie whose results must stay: see ``collect``

An entry is written to ``tmp``, synced, and renamed into place, so a writer killed at any moment
leaves a whole entry or none. Finding one reads ``meta.json`` alone and hashes none of the data; the
time stamp of ``meta.json`` is its last use, to the hour.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
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
    sync_all,
    unseal,
    write_file,
    write_grid,
    write_recording,
)
from ._lease import Lease, abandoned, make_mark, take_lease
from .errors import StoreError
from .tables import Grid, Recording

__all__ = ["Entry", "Problem", "Store", "canonical"]

_KEY = re.compile(r"[0-9a-f]{64}")
_HOUR, _WEEK = 3600.0, 7 * 86400.0
_log = logging.getLogger("ldt.store")


class Store:
    """A folder of entries. Any number of processes may read and write it at once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.damaged: list[Problem] = []
        self._entries = f"{self.root}{os.sep}entries{os.sep}"
        self._swept = False
        self._lease: Lease | None = None

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
            self.hold(key)
            with open(f"{folder}{os.sep}meta.json", "rb", buffering=0) as stream:  # noqa: PTH123 - speed
                raw = stream.readall()
                if time.time() - os.fstat(stream.fileno()).st_mtime > _HOUR:
                    with suppress(OSError):  # somebody else's entry: its last use stays unknown
                        os.utime(stream.fileno())
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

    @contextmanager
    def lease(self, what: str) -> Iterator[None]:
        """What is found and put inside stays, whoever collects meanwhile; ``what`` tells them who it is.

        Raises ``StoreError`` (no space). Where leases cannot be written there is none.
        """
        if self._lease is not None:
            yield
            return
        self._lease = take_lease(self.root, what)
        try:
            yield
        finally:
            lease, self._lease = self._lease, None
            if lease is not None:
                lease.close()

    def hold(self, key: str) -> None:
        """Under a lease: nobody collects the key, which somebody who works for us may store or read."""
        if self._lease is not None:
            self._lease.hold(key)

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
            sync_all([*temp.iterdir(), temp, *self._make(target.parent)])
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

    def last_use(self, key: str) -> float | None:
        """When the entry was last used, to the hour, in seconds since 1970; None where there is none."""
        with suppress(OSError):
            return (self._folder(key) / "meta.json").stat().st_mtime
        return None

    def entries(self) -> Iterator[Entry]:
        """All whole entries, by key."""
        for key in self._keys():
            entry = self.find(key)
            if entry is not None:
                yield entry

    def scan(self) -> Iterator[tuple[str, Entry | Problem, float]]:
        """Every key with its entry, or what is wrong with it, and its last use; changes neither."""
        for key in self._keys():
            folder = self._folder(key)
            try:
                used = self.last_use(key) or 0.0
                yield key, Entry(folder, unseal((folder / "meta.json").read_bytes(), key)), used
            except (OSError, ValueError, StoreError) as exc:
                if folder.exists():  # else it was taken out just now
                    yield key, Problem(key, "meta.json", str(exc)), 0.0

    def verify(self, told: Callable[[int], None] = lambda count: None) -> Iterator[Problem]:
        """Read everything and compute every digest again; yields what is wrong and changes nothing.

        ``told`` is given the number of entries read so far.
        """
        for count, (_, entry, _) in enumerate(self.scan(), 1):
            if isinstance(entry, Problem):
                yield entry
            else:
                problems = list(entry.problems())
                if problems and entry.folder.exists():  # not taken out meanwhile
                    yield from problems
            told(count)

    def remove(self, key: str) -> bool:
        """Take the entry out; False where there is none."""
        moved = self.take(key)
        if moved is not None:
            shutil.rmtree(moved, ignore_errors=True)
        return moved is not None

    def take(self, key: str) -> Path | None:
        """Take the entry out at once; the folder where it waits to be deleted."""
        return self._move(key, self.root / "tmp")

    def quarantine(self, key: str) -> Path | None:
        """Set a damaged entry aside, so that it is computed anew; where it is now."""
        return self._move(key, self.root / "quarantine")

    def sweep(self) -> int:
        """Delete what killed writers left behind, and what was set aside a week ago; how many folders."""
        old = time.time() - _WEEK
        leftovers: list[str] = []
        with suppress(FileNotFoundError):
            leftovers += [f.path for f in os.scandir(self.root / "tmp") if abandoned(f)]
        with suppress(FileNotFoundError):
            leftovers += [f.path for f in os.scandir(self.root / "quarantine") if f.stat().st_mtime < old]
        for leftover in leftovers:
            shutil.rmtree(leftover, ignore_errors=True)
        return len(leftovers)

    def _folder(self, key: str) -> Path:
        return Path(self._entries) / key[:2] / key

    def _keys(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            for shelf in sorted(Path(self._entries).iterdir()):
                yield from sorted(f.name for f in shelf.iterdir() if _KEY.fullmatch(f.name))

    def _move(self, key: str, to: Path) -> Path | None:
        goal = to / f"{make_mark()}-{key}"
        try:
            to.mkdir(parents=True, exist_ok=True)
            self._folder(key).rename(goal)
            with suppress(OSError):
                os.utime(goal)  # when it was set aside
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise store_error(exc, self.root) from exc
        return goal

    def _make(self, folder: Path) -> list[Path]:
        """Create a folder; those that must be synced, so that it survives a power cut."""
        if folder.is_dir():
            return []
        above = self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        return [*above, folder.parent]

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        """A temporary folder on the store's own file system, gone afterwards whatever happens."""
        temp = self.root / "tmp" / make_mark()
        try:
            for above in self._make(temp.parent):
                sync(above)
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
