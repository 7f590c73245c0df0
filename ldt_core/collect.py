"""Which results must stay, and the least recently used of the others taken out.

A run that stands in its folder holds every result that its ``run.json`` names; a run at work holds what
its lease names (see ``_lease``). The store remembers the folders of runs that use it, so that one twin's
collection knows the runs of another.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._lease import leases, locked, make_mark
from .errors import ParamError, StoreError
from .resume import checkpoint_key, slot_keys
from .store import Entry, Store
from .twin_values import parse_size

BUDGET = "LDT_STORE_BUDGET"
"""The environment variable with a store's size, kept after each run."""
_CITED = re.compile(r"\b[0-9a-f]{64}\b")
_BATCH = 100


# -- who holds what ---------------------------------------------------------------------------


def remember_runs(store: Store, runs: Path) -> None:
    """Let collections started elsewhere know where a twin's runs lie. Silent where nothing may be written."""
    name = hashlib.sha256(str(runs.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = store.root / "twins" / f"{name}.json"
    with suppress(OSError):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(make_mark())
            fresh.write_text(json.dumps({"runs": str(runs.absolute())}))
            fresh.replace(path)


def known_runs(store: Store) -> list[Path]:
    """The folders of runs that the store remembers and that are still there; the others are forgotten."""
    found = []
    for path in sorted((store.root / "twins").glob("*.json")):
        with suppress(OSError, ValueError):
            runs = Path(json.loads(path.read_text())["runs"])
            if runs.is_dir():
                found.append(runs)
            else:
                path.unlink()
    return found


class Holders:
    """Who holds which key. Records are read again only where they have changed."""

    def __init__(self, store: Store, runs: Iterable[Path] = ()) -> None:
        """``runs``: folders of runs besides those that the store remembers."""
        self.store = store
        self.runs = list(dict.fromkeys([*(r.absolute() for r in runs), *known_runs(store)]))
        self._read: dict[Path, tuple[tuple[int, int], dict[str, Any], set[str]]] = {}

    def by_key(self) -> dict[str, list[str]]:
        """Holders by key. Call it with the store locked, before anything is taken."""
        # Leases first: a run writes its record before it lets go of its lease.
        found: dict[str, list[str]] = {}
        for lease in leases(self.store.root):
            for key in lease.keys:
                found.setdefault(key, []).append(str(lease))
        for runs in self.runs:
            for folder, keys in self._holding(runs):
                for key in keys:
                    found.setdefault(key, []).append(str(folder))
        return found

    def _holding(self, runs: Path) -> Iterator[tuple[Path, set[str]]]:
        """Finished runs, and those without an end since which no run of their twin file has finished:
        the next run goes on from what they have done."""
        records = []
        for folder in sorted(runs.glob("*")):
            with suppress(FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
                record, keys = self._record(folder)
                records.append((folder, record["status"], record["twin"]["file"], record["created"], keys))
        last: dict[str, str] = {}
        for _, status, file, created, _ in records:
            if status == "finished":
                last[file] = max(created, last.get(file, ""))
        for folder, status, file, created, keys in records:
            if status == "finished":
                yield folder, keys
            elif created > last.get(file, ""):
                yield folder, keys.union(*(_unfinished(t) for t in (folder / "tasks").glob("*.json")))

    def _record(self, folder: Path) -> tuple[dict[str, Any], set[str]]:
        """A run's record and every key that it names, wherever that stands in it."""
        path = folder / "run.json"
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._read.get(folder)
            if known is None or known[0] != stamp:
                text = path.read_text(encoding="utf-8")
                known = self._read[folder] = (stamp, json.loads(text), set(_CITED.findall(text)))
        except PermissionError as exc:
            raise StoreError(
                "nobody can tell what this run holds: it may not be read",
                code="not usable",
                where=str(path),
                fix="collect as somebody who may read all runs that use the store",
            ) from exc
        return known[1], known[2]


def _unfinished(task: Path) -> set[str]:
    """What a task names, and the checkpoints that it can go on from."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        text = task.read_text(encoding="utf-8")
        said = json.loads(text)
        own = [*slot_keys(said["key"]), *(checkpoint_key(said["key"], at) for at in said["checkpoints"])]
        return {*_CITED.findall(text), *own}
    return set()


# -- collecting -------------------------------------------------------------------------------


@dataclass
class Collection:
    """What a collection did, or would do. Sizes in bytes."""

    dry_run: bool
    entries: int = 0
    size: int = 0
    taken: list[tuple[str, str, int]] = field(default_factory=list)
    held: int = 0
    held_size: int = 0
    by: dict[str, int] = field(default_factory=dict)
    swept: int = 0
    budget: int | None = None

    @property
    def freed(self) -> int:
        return sum(size for _, _, size in self.taken)

    def as_dict(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "before": {"entries": self.entries, "size": self.size},
            "freed": self.freed,
            "taken": [{"key": k, "owner": o, "size": s} for k, o, s in self.taken],
            "held": {"entries": self.held, "size": self.held_size, "by": self.by},
            "swept": self.swept,
            "budget": self.budget,
            "over_budget": max(0, self.size - self.freed - self.budget) if self.budget is not None else 0,
        }


def collect(
    store: Store,
    *,
    budget: int | None = None,
    older_than: float | None = None,
    runs: Sequence[Path] = (),
    dry_run: bool = False,
) -> Collection:
    """Take out what was not used for ``older_than`` seconds, then the least recently used down to ``budget``.

    What a run holds stays, whatever its size and age; so does what another process uses meanwhile. Without
    limits only leftovers are swept. Raises ``StoreError``: no locks here, a run that may not be read.
    """
    found = Collection(dry_run, budget=budget)
    if not store.root.is_dir():
        return found
    if not dry_run:
        found.swept = store.sweep()
    known: list[tuple[float, str, str, int]] = []
    for key, entry, used in store.scan():
        if isinstance(entry, Entry):
            known.append((used, key, entry.owner, size_of(entry)))
        elif not dry_run:
            found.swept += _set_aside(store, key)
    known.sort()
    found.entries, found.size = len(known), sum(size for *_, size in known)
    holders = Holders(store, runs)
    with locked(store.root):
        held = holders.by_key()
    for _, key, _, size in known:
        if key in held:
            found.held += 1
            found.held_size += size
            for who in held[key]:
                found.by[who] = found.by.get(who, 0) + size
    oldest = float("-inf") if older_than is None else time.time() - older_than
    excess = 0 if budget is None else found.size - budget
    wanted = []
    for used, key, owner, size in known:
        if key not in held and (used < oldest or excess > 0):
            wanted.append((used, key, owner, size))
            excess -= size
    if dry_run:
        found.taken = [(key, owner, size) for _, key, owner, size in wanted]
        return found
    for first in range(0, len(wanted), _BATCH):
        folders = []
        with locked(store.root):
            held = holders.by_key()  # a run may have begun since
            for used, key, owner, size in wanted[first : first + _BATCH]:
                if key in held or store.last_use(key) != used:
                    continue
                folder = store.take(key)
                if folder is not None:
                    folders.append(folder)
                    found.taken.append((key, owner, size))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _set_aside(store: Store, key: str) -> bool:
    """Whether an entry was damaged and is out of the way; one of another version is left alone."""
    with suppress(StoreError):
        if store.find(key) is None:
            store.quarantine(key)
            return True
    return False


def size_of(entry: Entry) -> int:
    """Bytes that an entry takes, its description among them."""
    with suppress(OSError):
        return entry.size + (entry.folder / "meta.json").stat().st_size
    return entry.size


# -- settings ---------------------------------------------------------------------------------


def read_size(text: str) -> int:
    """``"10GiB"`` in bytes; a bare number is bytes already. Raises ``ParamError``."""
    try:
        return parse_size(int(text) if text.strip().isdecimal() else text)
    except ValueError as exc:
        fix = "write bytes, or 500MB, 10GiB, 1.5TB"
        raise ParamError(f"'{text}' is not a size", code="bad value", fix=fix) from exc


def show_size(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def budget_of(environment: Mapping[str, str]) -> int | None:
    """The budget that ``LDT_STORE_BUDGET`` names, or None. Raises ``ParamError``."""
    text = environment.get(BUDGET, "").strip()
    if not text:
        return None
    try:
        return read_size(text)
    except ParamError as exc:
        exc.where = BUDGET
        raise
