"""A source distribution: a compressed tar archive with one folder, read in one pass, never unpacked.

It is kept for those who build from source. An installer that honours this registry takes wheels; still, what is kept must
not hurt who unpacks it.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from typing import BinaryIO

from packaging.utils import canonicalize_version

from .archive import CHUNK, Limits
from .members import check_path, same_everywhere
from .metadata import LARGEST
from .names import normalise, show
from .problems import Malformed, Refused

_FIX = "Build it again with a current build backend."


class _Counted:
    """What a gzip stream unpacks to, counted while it comes."""

    def __init__(self, stream: gzip.GzipFile, packed: int, limits: Limits) -> None:
        self._stream, self._limits = stream, limits
        self._most = min(limits.total, max(limits.small, limits.ratio * packed))
        self.size = 0

    def read(self, size: int) -> bytes:
        piece = self._stream.read(min(size, CHUNK))
        self.size += len(piece)
        if self.size > self._most:
            raise Refused(
                f"It unpacks to more than {self._most} bytes.", code="bomb", fix="Leave large data out."
            )
        return piece


def read_sdist(stream: BinaryIO, name: str, version: str, limits: Limits | None = None) -> bytes:
    """The bytes of PKG-INFO, once every member was checked. Raises Malformed or Refused."""
    limits = limits or Limits()
    packed = stream.seek(0, 2)
    stream.seek(0)
    found: bytes | None = None
    seen: set[str] = set()
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            counted = _Counted(unpacked, packed, limits)
            with tarfile.open(fileobj=counted, mode="r|", errorlevel=2) as archive:  # type: ignore[call-overload]
                for member in archive:
                    top = _check_member(member, seen, name, version)
                    if len(seen) > limits.members:
                        raise Refused(
                            f"It holds more than {limits.members} members.",
                            code="too-many-members",
                            fix="Leave data out.",
                        )
                    if member.name == f"{top}/PKG-INFO":
                        if member.size > LARGEST:
                            raise Refused(
                                f"PKG-INFO is larger than {LARGEST} bytes.",
                                code="metadata-too-large",
                                fix="Shorten it.",
                            )
                        content = archive.extractfile(member)
                        found = content.read() if content is not None else None
            while rest := counted.read(CHUNK):  # to its end, where gzip keeps its checksum
                if rest.strip(b"\0"):
                    raise Malformed(
                        "The archive is followed by other bytes.", code="ambiguous-archive", fix=_FIX
                    )
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, UnicodeError) as exc:
        raise Malformed(
            f"The archive cannot be read: {show(str(exc)[:200])}.", code="no-archive", fix=_FIX
        ) from exc
    if found is None:
        raise Malformed("The archive holds no PKG-INFO in its folder.", code="no-archive", fix=_FIX)
    return found


def _check_member(member: tarfile.TarInfo, seen: set[str], name: str, version: str) -> str:
    """The folder that a member lies in, which is that of the name and version. Raises Refused."""
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise Refused(
            f"{show(member.name)} is a link or a device, not a file.",
            code="not-a-file",
            fix="Put the file itself in.",
        )
    path = member.name.rstrip("/")
    check_path(path)
    same = same_everywhere(path)
    if same in seen:
        raise Malformed(f"The archive holds {show(path)} twice.", code="ambiguous-archive", fix=_FIX)
    seen.add(same)
    top = path.partition("/")[0]
    said, _, number = top.rpartition("-")
    if normalise(said) != normalise(name) or canonicalize_version(number) != canonicalize_version(version):
        raise Malformed(
            f"{show(path)} does not lie in the folder of {name} {version}, which the filename says.",
            code="filename-differs",
            fix="Build it again; do not rename it.",
        )
    return top
