"""What an uploaded file says of itself, read from its bytes: name, version, tags, metadata, components."""

from __future__ import annotations

import re
import tarfile
import zipfile
from dataclasses import dataclass, field
from email.errors import MessageError
from pathlib import Path
from typing import Any

from packaging.metadata import Metadata, parse_email
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)

from .problems import Malformed, Refused

FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}")
LARGEST_METADATA = 4 * 2**20


@dataclass(frozen=True)
class Distribution:
    """A file that was checked. ``metadata`` are the bytes of METADATA, as an installer will read them."""

    filename: str
    filetype: str
    name: str
    norm_name: str
    version: str
    canonical: str
    metadata: bytes
    tags: list[str] = field(default_factory=list)
    requires_python: str | None = None
    summary: str | None = None
    core_metadata: dict[str, Any] = field(default_factory=dict)
    components: list[dict[str, Any]] = field(default_factory=list)


def inspect(path: Path, filename: str) -> Distribution:
    """Read a wheel or a source distribution that lies at ``path``. Raises Malformed or Refused."""
    filetype, name, version, tags = read_filename(filename)
    raw = _wheel_metadata(path) if filetype == "bdist_wheel" else _sdist_metadata(path)
    try:
        said = Metadata.from_email(raw, validate=True)
    except (ExceptionGroup, MessageError, UnicodeError) as exc:
        reasons = "; ".join(map(str, getattr(exc, "exceptions", [exc])))
        raise Malformed(
            f"The metadata of {filename} cannot be used: {reasons}.", fix="Build it again."
        ) from exc
    if canonicalize_name(said.name) != name or canonicalize_version(said.version) != canonicalize_version(
        version
    ):
        raise Malformed(
            f"{filename} holds the metadata of {said.name} {said.version}.",
            fix="Build it again; do not rename it.",
        )
    return Distribution(
        filename=filename,
        filetype=filetype,
        name=said.name,
        norm_name=name,
        version=version,
        canonical=canonicalize_version(version),
        metadata=raw,
        tags=tags,
        requires_python=str(said.requires_python) if said.requires_python else None,
        summary=said.summary,
        core_metadata=dict(parse_email(raw)[0]),
    )


def read_filename(filename: str) -> tuple[str, str, str, list[str]]:
    """(filetype, normalised name, version, tags) of a filename. Raises Malformed."""
    if not FILENAME.fullmatch(filename):
        raise Malformed(
            f"{filename!r} is no filename of a distribution.", fix="Build it again; do not rename it."
        )
    try:
        if filename.endswith(".whl"):
            name, version, build, tags = parse_wheel_filename(filename)
            number = f"{build[0]}{build[1]}:" if build else ""
            return "bdist_wheel", name, str(version), sorted(f"{number}{t}" for t in tags)
        if filename.endswith(".tar.gz"):
            name, version = parse_sdist_filename(filename)
            return "sdist", name, str(version), []
    except (InvalidWheelFilename, InvalidSdistFilename) as exc:
        raise Malformed(
            f"The filename cannot be used: {exc}.", fix="Build it again; do not rename it."
        ) from exc
    raise Malformed(
        f"{filename!r} is neither a wheel nor a .tar.gz.", fix="Upload what `python -m build` makes."
    )


def _wheel_metadata(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1]
            if len(names) != 1 or archive.getinfo(names[0]).file_size > LARGEST_METADATA:
                raise Refused(f"The wheel has {len(names)} METADATA, not one.", fix="Build it again.")
            return archive.read(names[0])
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as exc:
        raise Malformed(f"The wheel cannot be read: {exc}.", fix="Build it again.") from exc


def _sdist_metadata(path: Path) -> bytes:
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.isfile() and member.name.count("/") == 1 and member.name.endswith("/PKG-INFO"):
                    found = archive.extractfile(member)
                    if found is not None and member.size <= LARGEST_METADATA:
                        return found.read()
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise Malformed(f"The archive cannot be read: {exc}.", fix="Build it again.") from exc
    raise Refused("The source distribution has no PKG-INFO.", fix="Build it with a current build backend.")
