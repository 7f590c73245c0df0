"""Archives that no honest tool makes: every field of a zip can be set, and the wheel around it is otherwise true."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import Any

NAME, VERSION = "heat-load", "1.0"
PACKAGE, INFO, DATA = "heat_load", "heat_load-1.0.dist-info", "heat_load-1.0.data"
FILENAME = "heat_load-1.0-py3-none-any.whl"
METADATA = (
    b"Metadata-Version: 2.4\nName: heat-load\nVersion: 1.0\nSummary: Degrees above comfort\n"
    b"Requires-Python: >=3.11\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\nRequires-Dist: numpy>=2\n"
)
WHEEL = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FILE, FOLDER, LINK, PIPE = 0o100644 << 16, (0o40755 << 16) | 0x10, 0o120777 << 16, 0o010644 << 16


@dataclass
class Entry:
    """A member. What ``local`` and ``central`` hold replaces fields of that header only."""

    name: bytes
    content: bytes = b""
    mode: int = FILE
    method: int = 8
    flags: int = 0
    extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""
    packed: bytes | None = None
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    only: str = ""

    def fields(self, where: str) -> dict[str, Any]:
        packed = self.bytes()
        own = {
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.content),
            "packed": len(packed),
            "size": len(self.content),
            "extra": self.extra,
            "needed": 20,
            "disk": 0,
        }
        return own | getattr(self, where)

    def bytes(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflate(self.content) if self.method == 8 else self.content


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def zipped(
    entries: list[Entry],
    *,
    prefix: bytes = b"",
    gap: bytes = b"",
    middle: bytes = b"",
    suffix: bytes = b"",
    comment: bytes = b"",
    shift: int = 0,
    **end: Any,
) -> bytes:
    """The archive; ``prefix`` to ``suffix`` put bytes where none belong, ``end`` replaces fields of the end record."""
    body, table, count = prefix, b"", 0
    for entry in entries:
        body += entry.before
        offset = len(body)
        f = entry.fields("local")
        if entry.only != "central":
            head = struct.pack(
                "<4s5H3I2H", b"PK\x03\x04", f["needed"], f["flags"], f["method"], 0, 0x21,
                f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]),
            )  # fmt: skip
            body += head + f["name"] + f["extra"] + entry.bytes()
        if entry.only == "local":
            continue
        count += 1
        f = entry.fields("central")
        table += (
            struct.pack(
                "<4s6H3I5H2I", b"PK\x01\x02", 0x314, f["needed"], f["flags"], f["method"], 0, 0x21, f["crc"],
                f["packed"], f["size"], len(f["name"]), len(f["extra"]), len(entry.comment), f["disk"], 0,
                entry.mode, f.get("offset", offset + shift),
            )
            + f["name"] + f["extra"] + entry.comment
        )  # fmt: skip
    body += gap
    said = {
        "disk": 0,
        "first": 0,
        "here": count,
        "count": count,
        "size": len(table),
        "start": len(body) + shift,
    } | end
    record = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", said["disk"], said["first"], said["here"], said["count"], said["size"],
        said["start"], len(comment),
    )  # fmt: skip
    return body + table + middle + record + comment + suffix


def members(**more: bytes) -> dict[str, bytes]:
    """What a good wheel holds, its RECORD left out."""
    return {
        f"{PACKAGE}/__init__.py": b'"""A package."""\n',
        f"{INFO}/METADATA": METADATA,
        f"{INFO}/WHEEL": WHEEL,
        f"{INFO}/licenses/LICENSE": b"Apache-2.0\n",
    } | more


def record(files: dict[str, bytes], **replaced: str) -> bytes:
    """A true RECORD; a row of ``replaced`` stands for the true one, an empty one leaves it out."""
    rows = {
        name: f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}"
        for name, content in files.items()
    }
    rows[f"{INFO}/RECORD"] = f"{INFO}/RECORD,,"
    rows |= replaced
    return "".join(f"{row}\n" for row in rows.values() if row).encode()


def entries(files: dict[str, bytes], listed: bytes | None = None) -> list[Entry]:
    """The members of a wheel, RECORD last."""
    listed = record(files) if listed is None else listed
    return [Entry(n.encode(), c, flags=0 if n.isascii() else 0x800) for n, c in files.items()] + [
        Entry(f"{INFO}/RECORD".encode(), listed)
    ]


def wheel(files: dict[str, bytes] | None = None, **replaced: str) -> bytes:
    """A wheel; the good one by default."""
    files = members() if files is None else files
    return zipped(entries(files, record(files, **replaced)))


def sdist(
    *more: tarfile.TarInfo, top: str = "heat_load-1.0", content: bytes = METADATA, tail: bytes = b""
) -> bytes:
    """A source distribution with further members, whose content is zeros."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(f"{top}/PKG-INFO")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
        for item in more:
            archive.addfile(item, io.BytesIO(bytes(item.size)) if item.isfile() else None)
    return buffer.getvalue() + tail
