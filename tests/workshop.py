"""A real installed environment in a folder: distributions that `ldt` finds on its path.

``install(folder, name, code)`` writes a package with its metadata; ``Workshop.ldt`` runs the real
command line in a process of its own with that folder on the path.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent


def install(site: Path, name: str, code: str) -> Path:
    """Put a plugin with this ``__init__.py`` on the path ``site``; returns its package folder."""
    package = name.replace("-", "_")
    folder = site / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(code), encoding="utf-8")
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[ldt]\n{name} = {package}\n", encoding="utf-8")
    project = (
        f'[project]\nname = "{name}"\nversion = "1.0"\n[project.entry-points.ldt]\n{name} = "{package}"\n'
    )
    (site / "pyproject.toml").write_text(project, encoding="utf-8")
    # In a process of its own: the package must not stay imported in the test's.
    done = subprocess.run(
        [sys.executable, "-m", "ldt_core.manifest", str(site)],
        capture_output=True,
        text=True,
        env=environment(site),
    )
    assert done.returncode == 0, done.stderr
    return folder


def environment(site: Path, **more: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LDT_STORE")}
    return {
        **keep,
        "PYTHONPATH": os.pathsep.join([str(site), str(CORE)]),
        "LDT_CACHE": str(site / "cache"),
        "PYTHONWARNINGS": "error",
        **more,
    }


@dataclass
class Workshop:
    """A site with plugins and a twin's folder beside it."""

    site: Path
    twin: Path

    def environment(self, **more: str) -> dict[str, str]:
        return environment(self.site, **more)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "ldt_core.cli", *words]

    def ldt(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.twin,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.twin,
            env=self.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Until the condition holds; an error where it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come about"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        with Path(f"/proc/{pid}/stat").open() as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
