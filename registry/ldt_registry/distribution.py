"""What an uploaded file says of itself, read from its bytes: name, version, tags, metadata, components.

The bytes are the truth: the filename, METADATA and component.json must say the same, and the form is held against them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)

from .archive import Limits, open_archive
from .components import About, read_components
from .metadata import Described, read_metadata
from .names import require_name, show
from .problems import Malformed, Refused
from .sbom import LARGEST as LARGEST_SBOM
from .sbom import check_sbom
from .sdist import read_sdist
from .wheel import Wheel, open_wheel

FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}")
_FIX = "Build it again; do not rename it."
_GROUP = "ldt"


@dataclass(frozen=True)
class Filename:
    """The parts of a filename, normalised. ``build`` as WHEEL writes it; ``tags`` none for a source distribution."""

    filetype: str
    name: str
    version: str
    tags: frozenset[Tag] = frozenset()
    build: str = ""

    @property
    def platforms(self) -> tuple[str, ...]:
        """The tags as texts, with the build before them: two files that share all are rivals."""
        head = f"{self.build}:" if self.build else ""
        return tuple(sorted(f"{head}{t}" for t in self.tags))


@dataclass(frozen=True)
class Distribution:
    """A file that was checked. ``metadata`` are the bytes of METADATA, as an installer will read them.

    ``components`` are the manifests of component.json as they stand there, ``about`` what the publisher says beside them,
    ``sboms`` the bills of materials that the wheel brings, by file name.
    """

    filename: str
    filetype: str
    name: str
    norm_name: str
    version: str
    canonical: str
    metadata: bytes
    tags: tuple[str, ...] = ()
    requires_python: str | None = None
    summary: str | None = None
    licence: str | None = None
    requires: tuple[str, ...] = ()
    core_metadata: dict[str, Any] = field(default_factory=dict)
    components: tuple[dict[str, Any], ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    sboms: dict[str, str] = field(default_factory=dict)


def inspect(path: Path, filename: str, limits: Limits | None = None) -> Distribution:
    """Check a wheel or a source distribution that lies at ``path``. Raises Malformed or Refused."""
    with path.open("rb") as stream:
        return inspect_stream(stream, filename, limits)


def inspect_stream(stream: BinaryIO, filename: str, limits: Limits | None = None) -> Distribution:
    """As ``inspect``, of an open file."""
    named = read_filename(filename)
    if named.filetype == "sdist":
        said = _agreed(read_metadata(read_sdist(stream, named.name, named.version, limits)), named)
        return _distribution(filename, named, said)
    archive = open_archive(stream, limits)
    wheel = open_wheel(archive, named.name, named.version, named.tags, named.build)
    said = _agreed(read_metadata(wheel.text("METADATA") or b""), named)
    _check_licence_files(wheel, said)
    components, about = _read_manifest(wheel, said)
    undeclared = set(wheel.scripts) - set(about.scripts)
    if undeclared:
        raise Refused(
            f"The wheel puts {show(min(undeclared))} among the programs, which it does not declare.",
            code="undeclared-script",
            fix="Use an entry point, or list it under `scripts` of ABOUT.",
        )
    return _distribution(
        filename,
        named,
        said,
        components=tuple(components),
        about=about.model_dump(mode="json", exclude_defaults=True),
        sboms=dict(_read_sboms(wheel)),
    )


def read_filename(filename: str) -> Filename:
    """The parts of a filename. Raises Malformed."""
    if not FILENAME.fullmatch(filename):
        raise Malformed(
            f"{show(filename[:300])} is no filename of a distribution.", code="bad-filename", fix=_FIX
        )
    try:
        if filename.endswith(".whl"):
            name, version, build, tags = parse_wheel_filename(filename)
            found = Filename("bdist_wheel", name, str(version), tags, "".join(map(str, build)))
        elif filename.endswith(".tar.gz"):
            name, version = parse_sdist_filename(filename)
            found = Filename("sdist", name, str(version))
        else:
            raise Malformed(
                f"{show(filename)} is neither a wheel nor a .tar.gz.",
                code="bad-filename",
                fix="Upload what `python -m build` makes.",
            )
    except (InvalidWheelFilename, InvalidSdistFilename) as exc:
        raise Malformed(f"The filename cannot be used: {exc}.", code="bad-filename", fix=_FIX) from exc
    require_name(found.name)
    return found


def _agreed(said: Described, named: Filename) -> Described:
    if said.norm_name != named.name or said.canonical != canonicalize_version(named.version):
        raise Malformed(
            f"The filename says {named.name} {named.version}, the metadata {said.name} {said.version}.",
            code="filename-differs",
            fix=_FIX,
        )
    return said


def _check_licence_files(wheel: Wheel, said: Described) -> None:
    for name in said.licence_files:
        path = f"{wheel.info}/licenses/{name}"
        if path not in wheel.archive.members:
            raise Malformed(
                f"The metadata names the licence file {show(name)}, which is not in the wheel.",
                code="licence-file",
                fix=_FIX,
            )


def _read_manifest(wheel: Wheel, said: Described) -> tuple[list[dict[str, Any]], About]:
    """The components of a plugin: a wheel with an entry point of the group ``ldt``; others are libraries and have none."""
    points = wheel.entry_points.get(_GROUP, {})
    if not points:
        return [], About()
    if len(points) > 1:
        raise Refused(
            f"The wheel has {len(points)} entry points in the group {_GROUP}, not one.",
            code="bad-manifest",
            fix="Offer one package.",
        )
    ((_, target),) = points.items()
    package = target.partition(":")[0]
    path = f"{package.replace('.', '/')}/component.json"
    if package.partition(".")[0] not in wheel.packages or path not in wheel.archive.members:
        raise Refused(
            f"The wheel offers components, but holds no {path}.",
            code="no-manifest",
            fix="Write it with `ldt manifest`, and include it.",
        )
    manifest, plain = read_components(wheel.archive.read(path, LARGEST_SBOM), said.name, said.version)
    return list(plain["components"]), manifest.about


def _read_sboms(wheel: Wheel) -> list[tuple[str, str]]:
    """Bills of materials in ``sboms/`` of the dist-info folder (PEP 770), those that are CycloneDX or SPDX in JSON."""
    head = f"{wheel.info}/sboms/"
    found = []
    for path in wheel.archive.members:
        if path.startswith(head) and path.endswith(".json"):
            content = wheel.archive.read(path, LARGEST_SBOM)
            check_sbom(content, path.removeprefix(head))
            found.append((path.removeprefix(head), content.decode("utf-8")))
    return found


def _distribution(filename: str, named: Filename, said: Described, **more: Any) -> Distribution:
    return Distribution(
        filename=filename,
        filetype=named.filetype,
        name=said.name,
        norm_name=named.name,
        version=named.version,
        canonical=canonicalize_version(named.version),
        metadata=said.content,
        tags=named.platforms,
        requires_python=said.requires_python,
        summary=said.summary,
        licence=said.licence,
        requires=tuple(map(str, said.requires)),
        core_metadata=said.raw,
        **more,
    )
