"""Lay out a plugin folder as an editable install does, without an index and without a build.

The catalogue finds an installed distribution by its entry points and its package on the path. ``install`` puts
both into a folder ``site``; with ``site`` in PYTHONPATH the plugin is installed for the processes that get this
environment, and for no others. Called as a program it stands for ``pip install -e FOLDER... NAME...``, where
every NAME must be installed already.
"""

from __future__ import annotations

import importlib.metadata
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
    entries = project["entry-points"]["ldt"]
    lines = "".join(f"{n} = {v}\n" for n, v in entries.items())
    (info / "entry_points.txt").write_text(f"[ldt]\n{lines}", encoding="utf-8")
    for package in entries.values():
        link = site / package
        link.unlink(missing_ok=True)
        link.symlink_to((folder / package).resolve(), target_is_directory=True)


def environment(site: Path, cache: Path) -> dict[str, str]:
    """The environment of a process that has what was installed in ``site``."""
    path = [str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    programs = [str(site / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PATH": os.pathsep.join(programs),
        "LDT_CACHE": str(cache),
        "LDT_TEST_SITE": str(site),
    }


def write_pip(site: Path) -> None:
    """A program ``pip`` that installs as this module does."""
    program = site / "bin" / "pip"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)


def main(words: list[str]) -> int:
    assert words[0] == "install", words
    site = Path(os.environ["LDT_TEST_SITE"])
    after = False
    for word in words[1:]:
        if word == "-e":
            after = True
        elif after:
            install(Path(word.partition("[")[0]), site)
            after = False
        else:
            importlib.metadata.version(word.partition("[")[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
