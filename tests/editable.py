"""Lay out a plugin folder as an editable install does, without an index and without a build.

What the catalogue needs of an installed distribution is its entry points and its package on the path. This
writes the first and a ``.pth`` line with the second into ``site``; with ``site`` and the folder in PYTHONPATH
the plugin is installed for the processes that get this environment, and for no others.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path


def install(folder: Path, site: Path) -> None:
    """Raises ``OSError`` or ``KeyError`` for a folder that is no distribution."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    needs = "".join(f"Requires-Dist: {need}\n" for need in project["dependencies"])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}", encoding="utf-8"
    )
    entries = "".join(f"{n} = {v}\n" for n, v in project["entry-points"]["ldt"].items())
    (info / "entry_points.txt").write_text(f"[ldt]\n{entries}", encoding="utf-8")
    with (site / "folders.pth").open("a", encoding="utf-8") as stream:
        stream.write(f"{folder.resolve()}\n")


def environment(site: Path, cache: Path) -> dict[str, str]:
    """The environment of a process that has what was installed in ``site``."""
    folders = (site / "folders.pth").read_text(encoding="utf-8").splitlines() if site.is_dir() else []
    path = [str(site), *folders, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PATH": os.pathsep.join(programs),
        "LDT_CACHE": str(cache),
    }
