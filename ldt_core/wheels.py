"""Wheels of what is installed here: the files that an installer has listed, as they are now.

What is installed in the editable way stays so: its files are the pointers to where the code lies.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import zipfile
from functools import lru_cache
from pathlib import Path

from .errors import PluginError

_EPOCH = (1980, 1, 1, 0, 0, 0)


@lru_cache(maxsize=64)
def wheel_of(distribution: str, root: Path) -> str | None:
    """A wheel with the files of a distribution as it is installed here; None where no installer has listed them.

    What is installed in the editable way stays so: its files are the pointers to where the code lies.
    """
    try:
        meta = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    info = next((f.parts[0] for f in meta.files or () if f.name == "METADATA"), None)
    if info is None or not info.endswith(".dist-info"):
        return None
    contents: dict[str, bytes] = {}
    for file in sorted(meta.files or (), key=str):
        outside = ".." in file.parts or file.is_absolute()
        made_here = file.parts[0] == info and file.name in _INSTALLERS_OWN
        if not (outside or made_here or "__pycache__" in file.parts or file.suffix == ".pyc"):
            contents[file.as_posix()] = Path(str(file.locate())).read_bytes()
    tag = re.search(r"^Tag: (\S+)", contents[f"{info}/WHEEL"].decode(), re.M)
    name = f"{info.removesuffix('.dist-info')}-{tag[1] if tag else 'py3-none-any'}.whl"
    return str(write_wheel(contents, info, name, root / "wheels"))


_INSTALLERS_OWN = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


def write_wheel(contents: dict[str, bytes], info: str, name: str, folder: Path) -> Path:
    """Write a wheel into a folder named by its contents, the same bytes every time."""
    h = hashlib.sha256()
    lines = []
    for inside, data in contents.items():
        digest = hashlib.sha256(data).digest()
        h.update(f"{inside}\0".encode() + digest)
        code = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        lines.append(f"{inside},sha256={code},{len(data)}")
    target = folder / h.hexdigest()[:16] / name
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{name}.{os.getpid()}")
    with zipfile.ZipFile(fresh, "w") as wheel:
        for inside, data in contents.items():
            wheel.writestr(zipfile.ZipInfo(inside, _EPOCH), data)
        record = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", _EPOCH), record)
    fresh.replace(target)
    return target


def core_wheel(root: Path) -> str:
    """This core as a wheel. Raises ``PluginError`` where it runs from a folder and is not installed."""
    found = wheel_of("ldt-core", root)
    if found is None:
        raise PluginError(
            "ldt-core runs from a folder; an environment of its own needs it installed",
            code="environments cannot resolve",
            fix="pip install -e FOLDER",
        )
    return found
