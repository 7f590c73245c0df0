"""One result in the store: how it lies in its folder, and how it is read and checked."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import InputError, StoreError
from .tables import Grid, Port, Recording, port_as_dict, port_from_dict

LAYOUT = 1
_WINDOWS = "ldt:windows"
NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class Problem(NamedTuple):
    """What is wrong with an entry; ``file`` is empty where that is the entry as a whole."""

    key: str
    file: str
    what: str


class Entry:
    """One result in the store. Reading checks size and sha256 of what it reads."""

    __slots__ = ("folder", "key", "record")

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder, self.record, self.key = folder, record, str(record["key"])

    def __repr__(self) -> str:
        return f"Entry({self.key[:12]}; {', '.join([*self.ports, *self.grids, *self.files])})"

    @property
    def meta(self) -> dict[str, Any]:
        """What the caller of ``put`` gave."""
        found: dict[str, Any] = self.record["meta"]
        return found

    @property
    def owner(self) -> str:
        return str(self.record["owner"])

    @property
    def created(self) -> str:
        return str(self.record["created"])

    @property
    def digests(self) -> dict[str, str]:
        """Content digest of each recording and grid, by port."""
        return {n: note["digest"] for kind in ("ports", "grids") for n, note in self.record[kind].items()}

    @property
    def ports(self) -> list[str]:
        return list(self.record["ports"])

    @property
    def grids(self) -> list[str]:
        return list(self.record["grids"])

    @property
    def files(self) -> list[str]:
        return list(self.record["files"])

    @property
    def size(self) -> int:
        """Bytes of data."""
        return sum(n["bytes"] for kind in ("ports", "grids", "files") for n in self.record[kind].values())

    def recording(self, port: str) -> Recording:
        """What ``port`` gave. Raises ``StoreError`` (entry damaged), ``KeyError`` for another port."""
        note = self.record["ports"][port]
        recording = self._read_recording(note)
        recording.table._digest = note["table"]  # the file's sha256 stands for it
        return recording

    def grid(self, port: str) -> Grid:
        note = self.record["grids"][port]
        grid = self._read_grid(note)
        grid._digest = note["digest"]
        return grid

    def file(self, name: str) -> bytes:
        return self._checked(self.record["files"][name]).read_bytes()

    def port_file(self, port: str) -> Path:
        """The file that holds what ``port`` gave, as it should be. Raises ``StoreError`` (entry damaged)."""
        return self._checked(self.record["ports"][port])

    def problems(self) -> Iterator[Problem]:
        """Everything read again and every digest computed again."""
        for kind in ("ports", "grids", "files"):
            for note in self.record[kind].values():
                try:
                    if kind == "files":
                        self._checked(note)
                        continue
                    data = self._read_recording(note) if kind == "ports" else self._read_grid(note)
                    if data.digest != note["digest"]:
                        yield Problem(self.key, note["file"], "the content is not what its digest says")
                except StoreError as exc:
                    yield Problem(self.key, note["file"], exc.what)

    def _checked(self, note: Mapping[str, Any]) -> Path:
        path: Path = self.folder / note["file"]
        try:
            size = path.stat().st_size
            if size != note["bytes"]:
                raise _damaged(path, f"it has {size} bytes, not {note['bytes']}")
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            raise _damaged(path, "the file is missing") from None
        except OSError as exc:
            raise store_error(exc, path) from exc
        if found != note["sha256"]:
            raise _damaged(path, "its bytes have changed")
        return path

    def _read_recording(self, note: Mapping[str, Any]) -> Recording:
        from ._arrow import read_parquet

        path = self._checked(note)
        try:
            table, about = read_parquet(path)
            port = port_from_dict(note["port"])
            packed = zlib.decompress(base64.b64decode(about[_WINDOWS]))
        except (InputError, KeyError, ValueError, zlib.error) as exc:
            raise _damaged(path, str(exc)) from exc
        assert isinstance(port, Port)
        spans = np.frombuffer(packed, "<i8").reshape(-1, 3)
        offsets = np.concatenate([[0], np.cumsum(spans[:, 2])]).astype(np.int64)
        return Recording(port, table, spans[:, :2].astype(np.int64), offsets)

    def _read_grid(self, note: Mapping[str, Any]) -> Grid:
        path = self._checked(note)
        try:
            with np.load(path, allow_pickle=False) as blocks:
                values = {n: blocks[f"value{i}"] for i, n in enumerate(note["values"])}
                coords = {n: blocks[f"coord{i}"] for i, n in enumerate(note["coords"])}
        except (OSError, ValueError, KeyError) as exc:
            raise _damaged(path, str(exc)) from exc
        return Grid(values, tuple(note["dims"]), tuple(note["affine"]), note["crs"], coords)


def seal(record: Mapping[str, Any]) -> bytes:
    """JSON whose first line holds the sha256 of all that follows."""
    rest = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")[1:]
    return b'{"sha256":"' + hashlib.sha256(rest).hexdigest().encode() + b'",\n' + rest


def unseal(raw: bytes, key: str) -> dict[str, Any]:
    head, _, rest = raw.partition(b"\n")
    if head[11:-2] != hashlib.sha256(rest).hexdigest().encode():
        raise ValueError("meta.json has changed since it was written")
    record: dict[str, Any] = json.loads(b"{" + rest)
    if record["layout"] != LAYOUT:
        raise StoreError(
            f"the entry {key[:12]} was written by another version (layout {record['layout']}, not {LAYOUT})",
            code="store version",
            fix="name another folder in LDT_STORE, or install the version that wrote it",
        )
    if record["key"] != key:
        raise ValueError(f"the entry is that of {record['key'][:12]}")
    return record


def write_recording(folder: Path, name: str, recording: Recording) -> dict[str, Any]:
    from ._arrow import write_geoparquet

    spans = np.column_stack([recording.windows, np.diff(recording.offsets)]).astype("<i8")
    packed = base64.b64encode(zlib.compress(spans.tobytes(), 1)).decode()
    path = folder / f"{safe_name(name)}.parquet"
    write_geoparquet(path, recording.table, recording.port, {_WINDOWS: packed}, covering=False)
    return {
        "port": port_as_dict(recording.port),
        "digest": recording.digest,
        "table": recording.table.digest,
        "rows": len(recording.table),
        "windows": len(recording),
        **_sealed(path),
    }


def write_grid(folder: Path, name: str, grid: Grid) -> dict[str, Any]:
    path = folder / f"{safe_name(name)}.npz"
    blocks = {f"value{i}": b for i, b in enumerate(grid.values.values())}
    blocks |= {f"coord{i}": b for i, b in enumerate(grid.coords.values())}
    np.savez(path, **{n: b.astype(str) if b.dtype == object else b for n, b in blocks.items()})  # type: ignore[arg-type]
    about = {"dims": list(grid.dims), "affine": list(grid.affine), "crs": grid.crs}
    names = {"values": list(grid.values), "coords": list(grid.coords)}
    return {**about, **names, "digest": grid.digest, **_sealed(path)}


def write_file(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    path = folder / f"file.{safe_name(name, dots='.')}"
    path.write_bytes(content)
    return _sealed(path)


def _sealed(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def safe_name(name: str, dots: str = "") -> str:
    """A file name for any text: itself where every system takes it, else a likeness and a digest."""
    allowed = rf"[a-z0-9_\-{dots}]"
    if re.fullmatch(rf"{allowed}{{0,79}}[a-z0-9_\-]", name) and not _RESERVED.fullmatch(name):
        return name
    likeness = re.sub(r"[^a-z0-9_\-]", "_", name.lower())[:40]
    return f"{likeness}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def sync_all(paths: Collection[Path]) -> None:
    """To the disk, all at once: what a journalling file system commits together it commits but once."""
    with ThreadPoolExecutor(min(len(paths), 16)) as pool:
        list(pool.map(sync, paths))


def sync(path: Path) -> None:
    """To the disk: a file's bytes, or a folder's names (which Windows neither needs nor allows)."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"a stored result cannot be used: {what}",
        code="entry damaged",
        where=str(path),
        fix="run again: what is damaged is set aside and computed anew; if it comes back, check the disk",
    )


def store_error(exc: OSError, where: Path) -> StoreError:
    if exc.errno in NO_SPACE:
        code, fix = (
            "no space",
            "free some space, or name a folder on a larger disk in LDT_STORE; what is finished is kept",
        )
    elif exc.errno in _REFUSED:
        code, fix = (
            "not writable",
            "give yourself the right to write there, or name another folder in LDT_STORE",
        )
    else:
        code, fix = "not usable", "check the folder and the disk, or name another folder in LDT_STORE"
    return StoreError(
        f"the store cannot be used: {exc.strerror or exc}", code=code, where=str(where), fix=fix
    )
