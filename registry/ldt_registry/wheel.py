"""A wheel: its layout, its RECORD, its entry points. Read from the archive, never unpacked to disk, never imported.

Format: the binary distribution format of packaging.python.org, PEP 427, 491, 639, 770, 829.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hmac
import importlib.metadata
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from functools import cache

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_version

from .archive import Archive
from .names import normalise, reserved, show
from .problems import Malformed, Refused

LARGEST_TEXT = 16 * 2**20
SMALL_TEXT = 2**20
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_HASHES = {"sha256", "sha384", "sha512"}
_SCHEMES = {"purelib", "platlib", "headers", "scripts", "data"}
_STARTS = (".pth", ".start")
_CUSTOM = re.compile(r"(site|user)customize(\.|/|$)")
_TOP = re.compile(r"[^\W\d]\w*(-stubs)?")
_COMPILED = re.compile(r"\w+")  # mypyc names its own after a digest
_COMMAND = re.compile(r"\w(?:[\w.+-]*\w)?")
_OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")
_FIX = "Build it again with a current build backend; do not repack it."


@dataclass(frozen=True)
class Wheel:
    """An archive that is the wheel its filename says. ``info`` is its dist-info folder."""

    archive: Archive
    info: str
    entry_points: dict[str, dict[str, str]]
    packages: tuple[str, ...]
    scripts: tuple[str, ...]

    def text(self, name: str, largest: int = LARGEST_TEXT) -> bytes | None:
        """The content of a file in the dist-info folder, None where there is none."""
        path = f"{self.info}/{name}"
        return self.archive.read(path, largest) if path in self.archive.members else None


def open_wheel(archive: Archive, name: str, version: str, tags: frozenset[Tag], build: str = "") -> Wheel:
    """Check everything but METADATA and component.json against the parts of the filename. Raises Malformed or Refused."""
    info = _find_info(archive, name, version)
    for needed in ("METADATA", "WHEEL", "RECORD"):
        if f"{info}/{needed}" not in archive.members:
            raise Malformed(f"The wheel holds no {info}/{needed}.", code="no-wheel", fix=_FIX)
    scripts = tuple(_check_layout(archive, info))
    _check_wheel_file(archive.read(f"{info}/WHEEL", SMALL_TEXT), tags, build)
    _check_record(archive, info)
    packages = _find_packages(archive, info, name)
    found = _read_entry_points(archive, info)
    return Wheel(archive, info, found, packages, scripts)


def _find_info(archive: Archive, name: str, version: str) -> str:
    """The one dist-info folder. A second one, or one of another case, is what another installer would read."""
    tops = {m.partition("/")[0] for m in archive.members if "/" in m}
    found = sorted(t for t in tops if t.casefold().endswith((".dist-info", ".egg-info")))
    if len(found) != 1 or not found[0].endswith(".dist-info"):
        raise Malformed(
            f"The wheel holds {len(found)} folders .dist-info or .egg-info, not one .dist-info.",
            code="no-wheel",
            fix=_FIX,
        )
    said, _, number = found[0].removesuffix(".dist-info").rpartition("-")
    if normalise(said) != normalise(name) or canonicalize_version(number) != canonicalize_version(version):
        raise Malformed(
            f"The folder {show(found[0])} is not that of {name} {version}, which the filename says.",
            code="filename-differs",
            fix="Build it again; do not rename it.",
        )
    return found[0]


def _check_layout(archive: Archive, info: str) -> Iterator[str]:
    """No file starts code by itself or lands outside the packages; yields what is put among the programs."""
    data = f"{info.removesuffix('.dist-info')}.data"
    for name in archive.members:
        top, _, rest = name.partition("/")
        if top.casefold().endswith(".data"):
            scheme, _, inside = rest.partition("/")
            if top != data or scheme not in _SCHEMES or not inside:
                raise Refused(
                    f"{show(name)} goes nowhere that a wheel may write.", code="bad-layout", fix=_FIX
                )
            if scheme == "scripts":
                yield inside
            elif scheme == "data" and not inside.startswith(("share/", "etc/")):
                raise Refused(
                    f"{show(name)} would be written to {show(inside)} of the environment; only share/ and etc/ may be.",
                    code="bad-layout",
                    fix="Put data into the package, or under share/.",
                )
            root = inside if scheme in ("purelib", "platlib") else ""
        else:
            root = name
        if (root and ("/" not in root and root.casefold().endswith(_STARTS))) or _CUSTOM.match(root):
            raise Refused(
                f"{show(name)} would run code whenever Python starts.",
                code="starts-code",
                fix="Start nothing by itself; offer an entry point.",
            )


def _find_packages(archive: Archive, info: str, name: str) -> tuple[str, ...]:
    """The importable names at the root, none of which may be another's."""
    taken = _taken()
    data = f"{info.removesuffix('.dist-info')}.data"
    found = set()
    for member in archive.members:
        parts = member.split("/")
        if parts[0] == data and parts[1] in ("purelib", "platlib"):
            parts = parts[2:]
        elif parts[0] in (info, data):
            continue
        top = parts[0] if len(parts) > 1 else parts[0].partition(".")[0]
        if (
            len(parts) > 1
            and top.endswith(".libs")
            and normalise(top.removesuffix(".libs")) == normalise(name)
        ):
            continue  # shared libraries that a repair tool put beside the package
        if not (_TOP if len(parts) > 1 else _COMPILED).fullmatch(top):
            raise Refused(
                f"{show(member)} lies in no package.",
                code="bad-layout",
                fix="Put every file into the package.",
            )
        found.add(top)
    for top in sorted(found):
        owner = taken.get(top.casefold())
        if owner is not None and owner != normalise(name):
            raise Refused(
                f"The wheel holds {top!r}, which belongs to {owner}: installing one would overwrite the other.",
                code="foreign-package",
                fix="Name your package after your project.",
            )
    return tuple(sorted(found))


@cache
def _taken() -> dict[str, str]:
    """Import names that are known to be another's: the standard library's and those of what the toolbox needs.

    A package without ``__init__.py`` is shared by many.
    """
    found = {n.casefold(): "Python" for n in sys.stdlib_module_names}
    for owner in importlib.metadata.distributions():
        name = normalise(owner.metadata["Name"])
        if name not in reserved():
            continue
        for path in owner.files or ():
            if len(path.parts) == 2 and path.name == "__init__.py":
                found.setdefault(path.parts[0].casefold(), name)
            elif len(path.parts) == 1 and path.suffix == ".py":
                found.setdefault(path.stem.casefold(), name)
    return found


def _check_wheel_file(content: bytes, tags: frozenset[Tag], build: str) -> None:
    said = message_from_bytes(content, policy=policy.compat32)
    if not re.fullmatch(r"1\.\d{1,3}", str(said.get("Wheel-Version", ""))):
        raise Malformed("Its WHEEL names no version 1 of the format.", code="no-wheel", fix=_FIX)
    if str(said.get("Root-Is-Purelib", "")).lower() not in ("true", "false"):
        raise Malformed("Its WHEEL says not whether it is pure.", code="no-wheel", fix=_FIX)
    stated: set[Tag] = set()
    for line in said.get_all("Tag", []):
        if len(str(line)) > 200 or str(line).count("-") != 2:
            raise Malformed(f"Its WHEEL has the tag {show(str(line)[:200])}.", code="no-wheel", fix=_FIX)
        stated |= parse_tag(str(line))
    if stated != tags or str(said.get("Build", "")) != build:
        raise Malformed(
            "The filename and WHEEL name different platforms or builds.",
            code="filename-differs",
            fix="Build it again; do not rename it.",
        )


def _check_record(archive: Archive, info: str) -> None:
    """Every file is listed once, with its size and a strong digest that is that of its bytes; nothing else is listed."""
    path = f"{info}/RECORD"
    try:
        rows = list(
            csv.reader(io.StringIO(archive.read(path, LARGEST_TEXT).decode("utf-8"), newline=""), strict=True)
        )
    except (UnicodeDecodeError, csv.Error) as exc:
        raise _record("cannot be read") from exc
    said: dict[str, tuple[str, str]] = {}
    for row in rows:
        if len(row) != 3:
            raise _record("has a row that is not path, digest, size")
        if row[0] in said:
            raise _record(f"lists {show(row[0])} twice")
        said[row[0]] = (row[1], row[2])
    unlisted = {f"{info}/{n}" for n in _UNLISTED}
    for name in said.keys() - archive.members.keys() - unlisted:
        raise _record(f"lists {show(name)}, which the wheel does not hold")
    for name, member in archive.members.items():
        if name in unlisted:
            for _ in archive.pieces(name):  # its bytes count, too
                pass
            continue
        digest, size = said.get(name, ("", ""))
        algorithm, _, expected = digest.partition("=")
        if algorithm not in _HASHES:
            raise _record(f"has no SHA-256 (384, 512) of {show(name)}")
        found = base64.urlsafe_b64encode(archive.digest(name, algorithm)).rstrip(b"=")
        if not hmac.compare_digest(found, expected.rstrip("=").encode("utf-8", "replace")):
            raise _record(f"is not true of {show(name)}: the digests differ")
        if size and size != str(member.size):
            raise _record(f"is not true of {show(name)}: it has {member.size} bytes")


def _read_entry_points(archive: Archive, info: str) -> dict[str, dict[str, str]]:
    """Group, name, object. A name of a command is a file name, so it may not lead anywhere."""
    path = f"{info}/entry_points.txt"
    if path not in archive.members:
        return {}
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, default_section="\0")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(archive.read(path, SMALL_TEXT).decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as exc:
        raise Malformed("Its entry_points.txt cannot be read.", code="bad-entry-points", fix=_FIX) from exc
    found = {group: {n: v.strip() for n, v in parser[group].items()} for group in parser.sections()}
    for group, points in found.items():
        for name, target in points.items():
            good = _OBJECT.fullmatch(re.sub(r"\s*\[.*\]$", "", target).replace(" ", ""))
            if group in ("console_scripts", "gui_scripts"):
                good = good and _COMMAND.fullmatch(name)
            if not good:
                raise Refused(
                    f"The entry point {show(name)} = {show(target)} is none.",
                    code="bad-entry-points",
                    fix=_FIX,
                )
    return found


def _record(what: str) -> Malformed:
    return Malformed(f"RECORD {what}.", code="record-differs", fix=_FIX)
