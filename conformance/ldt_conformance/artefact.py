"""An opened distribution: what a wheel says of itself, read without importing or unpacking it.

A wheel comes from anybody. Opening one never raises for what is inside: what is wrong with it stands in ``problems``, so
that the run ends with a verdict and not with a traceback.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import stat
import subprocess
import sys
import tomllib
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import Message
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from ldt_core.environments import uv_program
from ldt_core.errors import PluginError
from ldt_core.wheels import wheel_of

LARGEST = 4 * 2**30
"""Bytes of all files of a wheel together; what claims more is taken for a bomb."""
MOST_FILES = 100_000
_RATIO, _NO_BOMB = 200, 64 * 2**20
"""Unpacked bytes per packed byte that only a bomb has, and how much any wheel may unpack to."""
_LARGEST_TEXT = 16 * 2**20
_GROUP = "ldt"


@dataclass(frozen=True)
class Artefact:
    """The bytes under judgement. ``name`` and ``version`` are those of the wheel's file name.

    What its vendor hands in with it: ``links`` is a folder of wheels, ``lock`` a file of pinned requirements, ``previous``
    the wheel that was certified last.
    """

    wheel: Path
    sha256: str
    name: str
    version: str
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    links: Path | None = None
    lock: Path | None = None
    previous: Path | None = None
    _info: str = field(default="", repr=False)

    def read(self, inside: str) -> bytes | None:
        """The content of a file, None where there is none. Raises ``ValueError`` where it is too large for a text."""
        if inside not in self.files:
            return None
        with zipfile.ZipFile(self.wheel) as archive, archive.open(inside) as stream:
            found = stream.read(_LARGEST_TEXT + 1)
        if len(found) > _LARGEST_TEXT:
            raise ValueError(f"{inside} is larger than {_LARGEST_TEXT} bytes")
        return found

    @cached_property
    def metadata(self) -> Message:
        """The fields of METADATA (core metadata); empty where there is none."""
        return message_from_bytes(self.read(f"{self._info}/METADATA") or b"")

    @cached_property
    def entry_points(self) -> dict[str, str]:
        """Those of the group ``ldt``: package by name. Raises ``ValueError`` where they cannot be read."""
        parser = configparser.ConfigParser(delimiters="=", strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        text = (self.read(f"{self._info}/entry_points.txt") or b"").decode("utf-8")
        try:
            parser.read_string(text)
        except configparser.Error as exc:
            raise ValueError(f"entry_points.txt cannot be read: {exc.message}") from exc
        return {n: v.strip() for n, v in parser[_GROUP].items()} if _GROUP in parser else {}

    @property
    def package(self) -> str:
        """The top-level package that the one entry of the group names; empty where there is not one."""
        found = list(self.entry_points.values())
        return found[0] if len(found) == 1 else ""

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The content of its component.json. Raises ``ValueError`` where there is none or it is no JSON object."""
        where = f"{self.package}/component.json"
        raw = self.read(where)
        if raw is None:
            raise ValueError(f"the wheel holds no {where}")
        try:
            found = json.loads(raw)
        except RecursionError as exc:
            raise ValueError(f"{where} is nested too deeply") from exc
        if not isinstance(found, dict):
            raise ValueError(f"{where} is no JSON object")
        return found

    @property
    def components(self) -> list[Mapping[str, Any]]:
        """The manifests of its components, as far as they can be read."""
        try:
            return [c for c in self.manifest["components"] if isinstance(c, dict) and "id" in c]
        except (ValueError, KeyError, TypeError):
            return []

    def info(self, name: str) -> str:
        """The path of a file of its dist-info folder."""
        return f"{self._info}/{name}"


# -- from where it comes ---------------------------------------------------------------------------------


def open_wheel(path: Path) -> Artefact:
    """Open a wheel. Raises ``FileNotFoundError``; whatever is wrong with the file itself stands in ``problems``."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    found = Artefact(path, digest, path.stem, "")
    problems = []
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
        found = replace(found, name=str(name), version=str(version))
    except InvalidWheelFilename as exc:
        problems.append(f"its file name is none of a wheel: {exc}")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            problems += _shape(infos, path.stat().st_size)
            if not problems:
                files = tuple(i.filename for i in infos if not i.is_dir())
                found = replace(found, files=files, _info=_info_folder(files))
                problems += _recorded(archive, found._info, files)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, RuntimeError) as exc:
        problems.append(f"it is no wheel that can be read: {type(exc).__name__}: {exc}")
    if not problems and canonicalize_name(said := str(found.metadata.get("Name", ""))) != found.name:
        problems.append(f"its file name says '{found.name}', its METADATA '{said}'")
    return replace(found, problems=tuple(problems))


def open_folder(folder: Path, into: Path) -> Artefact:
    """Build the wheel of a project folder, offline, into ``into``, and open it. Raises ``PluginError``."""
    program = uv_program()
    if program is None:
        raise PluginError("building a wheel needs uv", code="not installed", fix="pip install uv")
    words = [*program, "build", "--wheel", "--offline", "--quiet", "-o", str(into), str(folder)]
    backend = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    module = str(backend.get("build-backend", "setuptools")).partition(".")[0]
    if importlib.util.find_spec(module) is not None:  # it is here: nothing need be fetched
        words += ["--no-build-isolation", "--python", sys.executable]
    into.mkdir(parents=True, exist_ok=True)
    before = set(into.glob("*.whl"))
    answer = subprocess.run(words, capture_output=True, text=True, env=_reproducible())
    made = sorted(set(into.glob("*.whl")) - before)
    if answer.returncode or len(made) != 1:
        said = " ".join((answer.stderr or answer.stdout).split())[-800:]
        raise PluginError(
            f"no wheel could be built of {folder}: {said}",
            code="import failed",
            where=str(folder / "pyproject.toml"),
            fix=f"build it where there is a network and certify the wheel, or: pip install {module}",
        )
    return open_wheel(made[0])


def open_installed(distribution: str, into: Path) -> Artefact:
    """The wheel of a distribution that is installed here; of one that is installed in the editable way, its folder's.

    Raises ``PluginError``.
    """
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError as exc:
        raise PluginError(
            f"'{distribution}' is not installed", code="not installed", fix=f"pip install {distribution}"
        ) from exc
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return open_folder(Path(unquote(urlparse(origin["url"]).path)), into)
    wheel = wheel_of(distribution, into)
    if wheel is None:
        raise PluginError(
            f"no installer has listed the files of '{distribution}'",
            code="not installed",
            fix=f"pip install --force-reinstall {distribution}",
        )
    return open_wheel(Path(wheel))


def _reproducible() -> dict[str, str]:
    """The same folder gives the same bytes."""
    return {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "1577836800")}


# -- what may be wrong with it -----------------------------------------------------------------------------


def _shape(infos: list[zipfile.ZipInfo], packed: int) -> Iterator[str]:
    """What its table of contents says, before anything is unpacked."""
    if len(infos) > MOST_FILES:
        yield f"it holds {len(infos)} files, more than {MOST_FILES}"
        return
    whole = sum(i.file_size for i in infos)
    if whole > LARGEST or (whole > _NO_BOMB and whole > _RATIO * packed):
        yield f"it unpacks from {packed} to {whole} bytes: a bomb"
    seen: dict[str, str] = {}
    for item in infos:
        name = item.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            yield f"it holds {name!r}, which would be written outside its folder"
        elif not name.isprintable():
            yield f"it holds {name!r}, which no file should be called"
        kind = stat.S_IFMT(item.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield f"it holds {name!r}, which is a link or no file at all"
        if item.flag_bits & 1:
            yield f"it holds {name!r}, which is encrypted"
        same = unicodedata.normalize("NFC", name).casefold()
        if same in seen:
            yield f"it holds {seen[same]!r} and {name!r}, one file on many systems"
        seen[same] = name


def _info_folder(files: tuple[str, ...]) -> str:
    found = sorted({f.partition("/")[0] for f in files if f.partition("/")[0].endswith(".dist-info")})
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} folders .dist-info, not one")
    return found[0]


def _recorded(archive: zipfile.ZipFile, info: str, files: tuple[str, ...]) -> Iterator[str]:
    """What its RECORD says against what is there."""
    for name in ("METADATA", "WHEEL", "RECORD"):
        if f"{info}/{name}" not in files:
            yield f"it holds no {info}/{name}"
            return
    said: dict[str, str] = {}
    if archive.getinfo(f"{info}/RECORD").file_size > _LARGEST_TEXT:
        yield f"its RECORD is larger than {_LARGEST_TEXT} bytes"
        return
    import csv

    for row in csv.reader(archive.read(f"{info}/RECORD").decode("utf-8").splitlines()):
        if len(row) == 3:
            said[row[0]] = row[1]
    unlisted = {f"{info}/{n}" for n in ("RECORD", "RECORD.jws", "RECORD.p7s")}
    for name in sorted(said.keys() - set(files) - unlisted):
        yield f"its RECORD lists {name!r}, which it does not hold"
    for name in files:
        if name in unlisted:
            continue
        algorithm, _, expected = said.get(name, "").partition("=")
        if algorithm not in ("sha256", "sha384", "sha512"):
            yield f"its RECORD has no digest of {name!r}"
            continue
        with archive.open(name) as stream:
            digest = hashlib.file_digest(stream, algorithm).digest()  # type: ignore[arg-type]
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != expected.rstrip("="):
            yield f"{name!r} is not what its RECORD says: the digests differ"
