"""A zip archive, read in the one strict way: what two programs could read differently is refused.

The standard library takes the first sign of a table of contents from the end and believes it. Here every byte of the
archive is accounted for: members lie one after another from the first byte, each member's own header says what the table of
contents says, the table follows, then the end record, then nothing. Content is unpacked into memory only, piece by piece,
and counted: sizes are checked, not believed.

Format: APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .members import check_members
from .names import show
from .problems import Malformed, Refused

MIB = 2**20
CHUNK = 256 * 1024
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_LOCAL_HEADER, _CENTRAL_HEADER, _END_RECORD = (
    struct.Struct("<4s5H3I2H"),
    struct.Struct("<4s6H3I5H2I"),
    struct.Struct("<4s4H2IH"),
)
_UTF8, _LEVEL = 0x800, 0x6
_HARMLESS = {0x5455, 0x5855, 0x7855, 0x7875, 0x000A, 0xCAFE, 0xD935}
"""Extra fields that say nothing of name, size or content: times, owners, a mark of Java, padding."""
_FIX = "Build it again with a current build backend; do not repack it."


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. ``ratio`` counts from ``small`` bytes on: short texts of one letter are no attack."""

    total: int = 1024 * MIB
    members: int = 20_000
    ratio: int = 50
    small: int = 32 * MIB
    name: int = 512


@dataclass(frozen=True)
class Member:
    """One file: where its packed bytes lie, and what both of its headers say of them."""

    name: str
    start: int
    packed: int
    size: int
    crc: int
    deflated: bool


@dataclass
class Archive:
    """An archive whose structure was proved; ``members`` in their order, folders left out. Content is checked when read."""

    stream: BinaryIO
    members: dict[str, Member] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of a member, piece by piece. Raises Malformed where it is not what the headers say."""
        member = self.members[name]
        self.stream.seek(member.start)
        size, crc = 0, 0
        for piece in self._unpack(member) if member.deflated else self._packed(member):
            size += len(piece)
            if size > member.size:
                raise _wrong(name, f"unpacks to more than the {member.size} bytes that it claims")
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != member.size or crc != member.crc:
            raise _wrong(name, "is not what its header says")

    def _packed(self, member: Member) -> Iterator[bytes]:
        left = member.packed
        while left:
            piece = self.stream.read(min(CHUNK, left))
            if not piece:
                raise _wrong(member.name, "ends early")
            left -= len(piece)
            yield piece

    def _unpack(self, member: Member) -> Iterator[bytes]:
        """Never more than a piece at once, whatever the packed bytes hold."""
        packed, source, unpack = b"", self._packed(member), zlib.decompressobj(-zlib.MAX_WBITS)
        while not unpack.eof:
            packed = packed or next(source, b"")
            try:
                piece = unpack.decompress(packed, CHUNK)
            except zlib.error as exc:
                raise _wrong(member.name, "cannot be unpacked") from exc
            if not piece and not packed:
                raise _wrong(member.name, "ends early")
            packed = unpack.unconsumed_tail
            if piece:
                yield piece
        if unpack.unused_data or next(source, b""):
            raise _wrong(member.name, "is followed by bytes that belong to nothing")

    def read(self, name: str, largest: int) -> bytes:
        """The whole content of a member. Raises Refused where it is larger than ``largest`` bytes."""
        if self.members[name].size > largest:
            raise Refused(
                f"{show(name)} is larger than {largest} bytes.",
                code="member-too-large",
                fix="Make it smaller.",
            )
        return b"".join(self.pieces(name))

    def digest(self, name: str, algorithm: str) -> bytes:
        found = hashlib.new(algorithm, usedforsecurity=False)
        for piece in self.pieces(name):
            found.update(piece)
        return found.digest()


def open_archive(stream: BinaryIO, limits: Limits | None = None) -> Archive:
    """Prove the structure of a zip archive. Raises Malformed (no archive, or an ambiguous one) or Refused."""
    limits = limits or Limits()
    try:
        entries, table = _read_table(stream, limits)
        found, end = Archive(stream, {}, limits), 0
        for entry in sorted(entries, key=lambda e: e.offset):
            if entry.offset != end:
                raise _ambiguous("bytes lie before, between or under its members")
            start = _check_local(stream, entry)
            end = start + entry.packed
            if not entry.name.endswith("/"):
                found.members[entry.name] = Member(
                    entry.name, start, entry.packed, entry.size, entry.crc, entry.method == 8
                )
        if end != table:
            raise _ambiguous("bytes lie between its members and its table of contents")
    except (struct.error, EOFError) as exc:
        raise Malformed("The archive ends early.", code="no-archive", fix="Send it again.") from exc
    check_members(e.name for e in entries)
    _check_sizes(found)
    return found


@dataclass(frozen=True)
class _Entry:
    """A line of the table of contents."""

    name: str
    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def _read_table(stream: BinaryIO, limits: Limits) -> tuple[list[_Entry], int]:
    """The lines of the table of contents, and where it begins."""
    length = stream.seek(0, 2)
    if length < _END_RECORD.size:
        raise Malformed("This is no zip archive: it is too short.", code="no-archive", fix=_FIX)
    stream.seek(length - _END_RECORD.size)
    sign, disk, first, here, count, size, start, comment = _END_RECORD.unpack(stream.read(_END_RECORD.size))
    if sign != _END or comment:
        raise _ambiguous(
            "it does not end with its end record: a comment or other bytes follow, or it is no zip archive"
        )
    if disk or first or here != count or 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
        raise _ambiguous("it spans several disks, or uses the 64-bit format")
    if count > limits.members:
        raise Refused(
            f"It holds {count} members, more than {limits.members}.",
            code="too-many-members",
            fix="Pack large data into fewer files.",
        )
    if start + size != length - _END_RECORD.size:
        raise _ambiguous(
            "bytes lie between its table of contents and its end record, or before its first member"
        )
    if size > limits.members * (limits.name + 256):
        raise Refused(f"Its table of contents has {size} bytes.", code="too-many-members", fix=_FIX)
    stream.seek(start)
    table, entries, at = stream.read(size), [], 0
    for _ in range(count):
        (
            sign,
            _,
            version,
            flags,
            method,
            _,
            _,
            crc,
            packed,
            full,
            long,
            extra,
            comment,
            disk,
            _,
            mode,
            offset,
        ) = _CENTRAL_HEADER.unpack_from(table, at)
        if sign != _CENTRAL or comment or disk:
            raise _ambiguous("a line of its table of contents is broken, or has a comment")
        at += _CENTRAL_HEADER.size
        raw, at = table[at : at + long], at + long
        _check_extra(table[at : at + extra], extra, raw)
        at += extra
        name = _decode(raw, flags, limits)
        _check_method(name, flags, method, packed, full, version)
        _check_mode(name, mode)
        entries.append(_Entry(name, raw, flags, method, crc, packed, full, offset))
    if at != size:
        raise _ambiguous("its table of contents is longer than its members are many")
    return entries, start


def _check_local(stream: BinaryIO, entry: _Entry) -> int:
    """The header before the bytes says what the table says; where the bytes begin."""
    stream.seek(entry.offset)
    sign, _, flags, method, _, _, crc, packed, size, long, extra = _LOCAL_HEADER.unpack(
        stream.read(_LOCAL_HEADER.size)
    )
    raw = stream.read(long)
    if sign != _LOCAL or raw != entry.raw or (flags, method) != (entry.flags, entry.method):
        raise _ambiguous(
            f"the header of {show(entry.name)} names it, or how it is packed, otherwise than the table of contents"
        )
    if (crc, packed, size) != (entry.crc, entry.packed, entry.size):
        raise _ambiguous(
            f"the header of {show(entry.name)} has another size or checksum than the table of contents"
        )
    _check_extra(stream.read(extra), extra, raw)
    return entry.offset + _LOCAL_HEADER.size + int(long) + int(extra)


def _decode(raw: bytes, flags: int, limits: Limits) -> str:
    """A name, as every program reads it: ASCII, or UTF-8 that is marked so."""
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise _ambiguous(f"{show(raw.decode('latin-1')[:200])} is a name in no stated encoding") from None
    if not name or len(raw) > limits.name:
        raise Refused(
            f"A member's name has {len(raw)} bytes, not 1 to {limits.name}.",
            code="member-name",
            fix="Use shorter names.",
        )
    return name


def _check_extra(block: bytes, length: int, raw: bytes) -> None:
    if len(block) != length:
        raise EOFError
    at = 0
    while length - at >= 4:
        kind, size = struct.unpack_from("<2H", block, at)
        at += 4 + size
        if kind not in _HARMLESS:
            break
    else:
        if at == length:
            return
    raise _ambiguous(f"{show(raw.decode('latin-1')[:200])} has an extra field that programs read differently")


def _check_method(name: str, flags: int, method: int, packed: int, size: int, version: int) -> None:
    if flags & ~(_UTF8 | _LEVEL) or version & 0xFF > 45:
        raise _ambiguous(f"{show(name)} is encrypted, patched, or has its sizes behind its bytes")
    if method not in (0, 8):
        raise _ambiguous(
            f"{show(name)} is packed by the method {method}; wheels use 0 (stored) and 8 (deflate)"
        )
    if method == 0 and packed != size:
        raise _ambiguous(f"{show(name)} is stored, but in another number of bytes than it has")
    if name.endswith("/") and (packed > 2 or size):  # deflate needs two bytes for nothing
        raise _ambiguous(f"the folder {show(name)} has content")


def _check_mode(name: str, attributes: int) -> None:
    kind = stat.S_IFMT(attributes >> 16)
    folder = name.endswith("/")
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        raise Refused(
            f"{show(name)} is a link or a device, not a file.",
            code="not-a-file",
            fix="Put the file itself into the archive.",
        )
    if attributes & 0x10 and not folder:
        raise _ambiguous(f"{show(name)} is a folder by one mark and a file by another")


def _check_sizes(found: Archive) -> None:
    """What it claims to unpack to; that no more comes is seen while it is read."""
    limits = found.limits
    size = sum(m.size for m in found.members.values())
    packed = sum(m.packed for m in found.members.values())
    if size > limits.total or (size > limits.small and size > limits.ratio * packed):
        raise Refused(
            f"It unpacks from {packed} to {size} bytes; {limits.total} are the limit, and {limits.ratio} times its packed size.",
            code="bomb",
            fix="Publish large data as a data set, not in a wheel.",
        )


def _ambiguous(what: str) -> Malformed:
    return Malformed(f"The archive could be read in two ways: {what}.", code="ambiguous-archive", fix=_FIX)


def _wrong(name: str, what: str) -> Malformed:
    return Malformed(
        f"The archive is damaged: {show(name)} {what}.",
        code="damaged-archive",
        fix="Send it again, or build it again.",
    )
