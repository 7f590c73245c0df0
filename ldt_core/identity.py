"""What a result depends on besides its inputs: the code that made it and the packages below it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

_SYSTEM = re.compile(r"""(?:sys_platform|platform_system|os_name)\s*==\s*["'](\w+)["']""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The modules of the core that can change a number; the others only prove, place, show or store it.
STAGE_CODE = (
    "_arrow",
    "_buffers",
    "actor",
    "adapters",
    "capture",
    "checkpoint",
    "child",
    "clock",
    "connect",
    "faults",
    "group",
    "interfaces",
    "ipc",
    "isolation",
    "iterate",
    "loops",
    "process",
    "resample",
    "runner",
    "service",
    "start",
    "tables",
    "units",
    "windows",
    "wires",
)


def digest_package(package: str, folder: str = "") -> str:
    """sha256 over the files of an installed package as they are now, a wheel's or an editable folder's.

    ``folder`` is where a package of another environment lies.
    """
    if not folder:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return "absent"
        folder = next(iter(spec.submodule_search_locations))
    root = Path(folder)
    h = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            h.update(f"{path.relative_to(root).as_posix()}\0".encode("utf-8", "surrogateescape"))
            h.update(hashlib.sha256(path.read_bytes()).digest())
    return h.hexdigest()


package_digest = cache(digest_package)
"""The digest when it was first asked for: all keys of a run speak of the same code."""


@cache
def core_digest(*names: str) -> str:
    """sha256 over modules of the core: those named, or all that can change a stage's result."""
    h = hashlib.sha256()
    for name in names or STAGE_CODE:
        h.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return h.hexdigest()


def _for_another_system(requirement: str) -> bool:
    """Such as ``tzdata; sys_platform == 'win32'``: what may be here for somebody else's sake is no need of ours."""
    named = _SYSTEM.findall(requirement)
    return (
        bool(named)
        and " or " not in requirement
        and not {*named} & {sys.platform, platform.system(), os.name}
    )


@cache
def lock(distribution: str, site: str = "") -> tuple[tuple[str, str], ...]:
    """(name, version) of every distribution that this one needs, itself included; as ``site`` has them, or we.

    What else is installed there does not count: so a key is the same wherever the same versions are used.
    """
    found: dict[str, str] = {}
    waiting = [distribution]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        meta = metadata_of(name, site)
        if meta is None:
            continue
        found[name] = meta.version
        needs = [r for r in meta.requires or () if "extra ==" not in r and not _for_another_system(r)]
        waiting.extend(m.group() for r in needs if (m := _NAME.match(r)))
    return tuple(sorted(found.items()))


def metadata_of(distribution: str, site: str = "") -> importlib.metadata.Distribution | None:
    """What its installer wrote down of a distribution, here or in the packages' folder of another environment."""
    if site:
        return next(iter(importlib.metadata.distributions(name=distribution, path=[site])), None)
    try:
        return importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def licence(distribution: str, site: str = "") -> str:
    """The SPDX expression of an installed distribution; empty where it says none."""
    found = metadata_of(distribution, site)
    if found is None:
        return ""
    meta = found.metadata
    # Some versions of importlib.metadata type no get
    return meta["License-Expression"] if "License-Expression" in meta else ""  # noqa: SIM401


@cache
def lock_digest(distribution: str, site: str = "") -> str:
    return hashlib.sha256(repr(lock(distribution, site)).encode()).hexdigest()
