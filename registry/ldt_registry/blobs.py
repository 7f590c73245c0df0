"""Bytes, named by their SHA-256: written once, whole or not at all, never changed. A folder, or S3.

An upload is first staged on the local disk, then promoted; the database names it only afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from .problems import Down, NoSpace, Problem

if TYPE_CHECKING:
    from .settings import Settings

CHUNK = 256 * 1024
NAME = re.compile(r"[0-9a-f]{64}")


class Staged:
    """A file under way: written and hashed in pieces. Closing it deletes what was not promoted."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / secrets.token_hex(16)
        self.size = 0
        self.sha256, self.blake2_256 = hashlib.sha256(), hashlib.blake2b(digest_size=32)
        self.md5 = hashlib.md5(usedforsecurity=False)
        with told():
            self._file: BinaryIO | None = self.path.open("xb")

    def write(self, piece: bytes) -> None:
        """Add a piece. Raises ``NoSpace``."""
        assert self._file is not None
        with told():
            self._file.write(piece)
        self.size += len(piece)
        for digest in (self.sha256, self.blake2_256, self.md5):
            digest.update(piece)

    def finish(self) -> None:
        """Make what was written survive a crash. May be called twice."""
        if self._file is not None:
            with told():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            self._file = None

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk refuses the last bytes, which are not wanted
                self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Blobs(Protocol):
    """Where bytes are kept. A name is a SHA-256 in lower-case hexadecimal."""

    staging: Path

    def stage(self) -> Staged: ...

    def promote(self, staged: Staged) -> str:
        """Keep what was staged under its SHA-256, whether or not it was there; when this returns it survives a crash."""

    def size(self, name: str) -> int | None:
        """Bytes, or nothing where there is no such blob."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Pieces of the bytes from ``start`` up to ``end``. Raises ``Down`` where they cannot be had."""

    def path(self, name: str) -> Path | None:
        """A local file of these bytes, where there is one."""

    def delete(self, name: str) -> None:
        """Remove a blob; none is no error."""

    def names(self) -> Iterator[str]:
        """All that is kept, known to the database or not."""


def put(blobs: Blobs, content: bytes) -> str:
    """Keep bytes that are at hand; return their name."""
    with blobs.stage() as staged:
        staged.write(content)
        staged.finish()
        return blobs.promote(staged)


def get(blobs: Blobs, name: str) -> bytes:
    return b"".join(blobs.read(name))


def digest(blobs: Blobs, name: str) -> str:
    """The SHA-256 of what is kept under a name."""
    found = hashlib.sha256()
    for piece in blobs.read(name):
        found.update(piece)
    return found.hexdigest()


def sweep_staging(blobs: Blobs, older: float) -> int:
    """Delete what uploads left behind that are ``older`` than so many seconds; how many."""
    limit, count = time.time() - older, 0
    for path in blobs.staging.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime <= limit:
                path.unlink()
                count += 1
    return count


class FileBlobs:
    """``blobs/ab/<sha256>`` in a folder; staging stands on the same file system, so that promoting is a rename."""

    def __init__(self, home: Path) -> None:
        self.root, self.staging = home / "blobs", home / "staging"
        for folder in (self.root, self.staging):
            folder.mkdir(parents=True, exist_ok=True)

    def stage(self) -> Staged:
        return Staged(self.staging)

    def promote(self, staged: Staged) -> str:
        staged.finish()
        name = staged.sha256.hexdigest()
        target = self._place(name)
        with told():
            if not target.parent.is_dir():
                target.parent.mkdir(exist_ok=True)
                _sync_folder(self.root)
            staged.path.replace(target)
            _sync_folder(target.parent)
        return name

    def size(self, name: str) -> int | None:
        try:
            return self._place(name).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with told(), self._place(name).open("rb") as file:
            file.seek(start)
            left = end - start if end is not None else None
            while piece := file.read(CHUNK if left is None else min(CHUNK, left)):
                left = left - len(piece) if left is not None else None
                yield piece

    def path(self, name: str) -> Path | None:
        return self._place(name)

    def delete(self, name: str) -> None:
        place = self._place(name)
        place.unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        for folder in sorted(self.root.iterdir()):
            yield from sorted(p.name for p in folder.iterdir() if NAME.fullmatch(p.name))

    def _place(self, name: str) -> Path:
        return self.root / checked(name)[:2] / name


def open_blobs(settings: Settings) -> Blobs:
    """The store that the settings name."""
    if settings.blobs is None:
        return FileBlobs(settings.home)
    from .s3 import open_s3

    return open_s3(settings)


def checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no SHA-256: no path is made from it")
    return name


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Failures of the storage, told as problems."""
    try:
        yield
    except Problem:
        raise
    except FileNotFoundError as error:
        raise Down("bytes that should be kept are not in the storage", code="storage-damaged") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace("the disk of the storage is full", code="storage-full") from error
        raise Down("the storage does not answer", code="storage-down") from error
