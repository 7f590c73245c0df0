"""The programs that developers publish with, and how each is told where to; run as they are, on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
BACKENDS = {
    "hatchling": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    "flit": '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n',
    "poetry": '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n',
}


@dataclass(frozen=True)
class Where:
    """A registry: its address without a slash at the end, and a token."""

    url: str
    token: str
    upload: str = "/legacy/"
    index: str = "/simple/"
    user: str = "__token__"

    @property
    def simple(self) -> str:
        return f"{self.url}{self.index}"

    @property
    def legacy(self) -> str:
        return f"{self.url}{self.upload}"


def run(
    command: list[str | Path], *, cwd: Path, home: Path, timeout: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a client away from the settings, caches and keyrings of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    home.mkdir(parents=True, exist_ok=True)
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
    own |= {
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "NO_COLOR": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    own |= {
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_CACHE_DIR": str(home / "uv"),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env=kept | own | env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def make_project(
    folder: Path, name: str, version: str = "1.0.0", *, backend: str = "hatchling", needs: str = ""
) -> Path:
    """A distribution of one package, with a long description, as a developer would have it."""
    package = name.replace("-", "_")
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text('"""A package."""\n', encoding="utf-8")
    (folder / "README.md").write_text("# A package\n\nÜber Wärme.\n" + "word " * 1000, encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        f'{BACKENDS[backend]}\n[project]\nname = "{name}"\nversion = "{version}"\ndescription = "A package"\n'
        'readme = "README.md"\nrequires-python = ">=3.11"\nlicense = "Apache-2.0"\nkeywords = ["a", "b"]\n'
        'authors = [{name = "Ann", email = "ann@example.org"}]\n'
        'classifiers = ["Topic :: Scientific/Engineering", "Typing :: Typed"]\n'
        f"dependencies = {[needs] if needs else []}\n"
        '[project.urls]\nSource = "https://example.org/source"\nDocs = "https://example.org/docs"\n',
        encoding="utf-8",
    )
    return folder


def build(folder: Path, home: Path) -> list[Path]:
    """Wheel and source distribution, made by the project's own backend in this environment."""
    shutil.rmtree(folder / "dist", ignore_errors=True)
    answer = run([sys.executable, "-m", "build", "-n", "."], cwd=folder, home=home)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return sorted((folder / "dist").iterdir())


def twine(where: Where, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "twine",
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "--verbose",
    ]
    command += ["--repository-url", where.legacy, "-u", where.user, "-p", where.token]
    return run([*command, *sorted((folder / "dist").iterdir())], cwd=folder, home=home)


def uv(where: Where, folder: Path, home: Path, program: str | Path = "") -> subprocess.CompletedProcess[str]:
    command = [
        program or BIN / "uv",
        "publish",
        "--publish-url",
        where.legacy,
        "-u",
        where.user,
        "-p",
        where.token,
    ]
    return run([*command, "--trusted-publishing", "never"], cwd=folder, home=home)


def uv_checking(where: Where, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [BIN / "uv", "publish", "--publish-url", where.legacy, "--check-url", where.simple]
    return run([*command, "-u", where.user, "-p", where.token], cwd=folder, home=home)


def hatch(where: Where, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [BIN / "hatch", "publish", "-n", "-r", where.legacy, "-u", where.user, "-a", where.token]
    return run([*command], cwd=folder, home=home, HATCH_DATA_DIR=str(home / "hatch"))


def flit(where: Where, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    said = {"FLIT_INDEX_URL": where.legacy, "FLIT_USERNAME": where.user, "FLIT_PASSWORD": where.token}
    return run(
        [BIN / "flit", "publish", "--no-use-vcs"],
        cwd=folder,
        home=home,
        **said,
        SOURCE_DATE_EPOCH="1700000000",
    )


def poetry(where: Where, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    said = {
        "POETRY_REPOSITORIES_LDT_URL": where.legacy,
        "POETRY_HTTP_BASIC_LDT_USERNAME": where.user,
        "POETRY_HTTP_BASIC_LDT_PASSWORD": where.token,
        "POETRY_VIRTUALENVS_CREATE": "false",
    }
    return run([BIN / "poetry", "publish", "-r", "ldt", "-n"], cwd=folder, home=home, **said)


@dataclass(frozen=True)
class Client:
    backend: str
    publish: Callable[[Where, Path, Path], subprocess.CompletedProcess[str]]


CLIENTS = {
    "twine": Client("hatchling", twine),
    "uv": Client("hatchling", uv),
    "uv-checking": Client("hatchling", uv_checking),
    "hatch": Client("hatchling", hatch),
    "flit": Client("flit", flit),
    "poetry": Client("poetry", poetry),
}
