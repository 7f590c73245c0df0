"""Environments of their own for components whose packages do not go with those here: made by uv, found again.

An environment is a folder under the twin's ``.ldt/envs``, named by the digest of its lock: what was resolved, with
versions and hashes. It is made beside and renamed, so that it is there whole or not at all. What a twin wants is
resolved once and remembered as a solution; every later process finds the environments by it and runs no uv. uv's own
variables (``UV_INDEX_URL``, ``UV_FIND_LINKS``, ``UV_CONSTRAINT``, ``UV_OFFLINE``) mean what they always mean.

This very core goes into every environment, and so does a plugin that is installed here: as a wheel of the files that
an installer has listed. No index need offer them, and both sides run the same code.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .catalog import Catalog, cache_folder, offered_in
from .errors import PluginError
from .wheels import core_wheel

_READY = "ldt-environment.json"
_LEFT_BEHIND = 24 * 3600.0
"""Seconds after which a folder that somebody began to fill is taken for given up."""


class Environment(NamedTuple):
    """A Python environment that uv has made. ``path`` is where its packages lie, ``digest`` that of its lock."""

    folder: str
    digest: str
    python: str
    path: tuple[str, ...]

    @property
    def site(self) -> str:
        """The folder into which the packages were installed."""
        return self.path[0]

    def offers(self) -> Catalog:
        """What its plugins offer, read from their files."""
        return offered_in([self.site], list(self.path))


# -- what is wanted, and the environments that give it -----------------------------------------------


def solve(wanted: Sequence[str], root: Path) -> list[Environment]:
    """The environment of each requirement, in the order given; as few of them as uv can resolve, taken greedily.

    A requirement is what uv takes: ``name``, ``name>=1.2``, ``name @ file:///...``, or ``-e /folder``. Raises
    ``PluginError``: no uv, or it cannot resolve.
    """
    asked = sorted(set(wanted))
    memory = root / "solutions" / f"{_key(asked, root)}.json"
    known = _remembered(memory)
    if known is None:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root / "lock"):
            known = _remembered(memory)
            if known is None:
                known = {}
                for group, lock in _grouped(asked, root):
                    environment = _make(group, lock, root)
                    known.update(dict.fromkeys(group, environment))
                _write(memory, {r: e._asdict() for r, e in known.items()})
    return [known[requirement] for requirement in wanted]


def _key(asked: Sequence[str], root: Path) -> str:
    """Everything that resolving depends on and that can be looked at here; what an index offers today is not."""
    rules = {n: _contents(v) for n, v in sorted(os.environ.items()) if n.startswith("UV_")}
    files = {r: _contents(r) for r in asked}
    text = json.dumps([list(asked), files, core_wheel(root), rules, sys.version, sys.platform])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _contents(text: str) -> str:
    """What a variable or requirement says, and the digest of the file that it names."""
    path = Path(text.removeprefix("-e ").rpartition("@ file://")[2])
    if path.is_dir() and (path / "pyproject.toml").is_file():
        path = path / "pyproject.toml"
    try:
        return f"{text} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else text
    except OSError:
        return text


def _remembered(memory: Path) -> dict[str, Environment] | None:
    """A solution all of whose environments are still there."""
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
        known = {r: Environment(**{**e, "path": tuple(e["path"])}) for r, e in found.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return known if all((Path(e.folder) / _READY).is_file() for e in known.values()) else None


def _grouped(asked: Sequence[str], root: Path) -> Iterator[tuple[list[str], str]]:
    """Groups of requirements with their locks: each requirement joins the first group that still resolves."""
    groups: list[tuple[list[str], str]] = []
    for requirement in asked:
        alone = _resolve([requirement], root)  # refused for its own sake, not for its company's
        for number, (group, _) in enumerate(groups):
            try:
                groups[number] = ([*group, requirement], _resolve([*group, requirement], root))
                break
            except PluginError:
                continue
        else:
            groups.append(([requirement], alone))
    yield from groups


def _resolve(requirements: Sequence[str], root: Path) -> str:
    """The lock: what uv finds for the requirements, one distribution per entry, with hashes where it knows them."""
    core = f"ldt-core @ {Path(core_wheel(root)).as_uri()}"
    words = ["pip", "compile", "-", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
    answer = _uv([*words, "--python", sys.executable], root, "\n".join([core, *requirements]) + "\n")
    if answer.returncode:
        names = " and ".join(requirements)
        raise PluginError(
            f"uv finds no environment for {names}: {_said(answer)}",
            code="environments cannot resolve",
            where=requirements[0],
            fix="where the two named requirements exclude each other, change one; without a network, name a folder "
            "with wheels in UV_FIND_LINKS, or install it here: pip install " + " ".join(requirements),
        )
    return answer.stdout


def _make(group: Sequence[str], lock: str, root: Path) -> Environment:
    digest = hashlib.sha256(f"{lock}\0{sys.version}".encode()).hexdigest()
    folder = root / digest[:16]
    if (ready := _ready(folder)) is not None:
        return ready
    _sweep(root)
    begun = time.monotonic()
    announce(f"making an environment for {', '.join(_shown(r) for r in group)} ...")
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=root))
    try:
        (fresh / "lock.txt").write_text(lock, encoding="utf-8")
        python = fresh / "bin" / "python"
        for words in (
            ["venv", "--relocatable", "--allow-existing", "--quiet", "--python", sys.executable, str(fresh)],
            [
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--python",
                str(python),
                "-r",
                str(fresh / "lock.txt"),
            ],
        ):
            answer = _uv(words, root)
            if answer.returncode:
                raise PluginError(
                    f"uv cannot make an environment for {' and '.join(group)}: {_said(answer)}",
                    code="environments cannot resolve",
                    where=group[0],
                    fix="read what uv says; without a network, name a folder with wheels in UV_FIND_LINKS",
                )
        path = _path_of(python)
        moved = [p.replace(str(fresh), str(folder)) for p in path]
        made = Environment(str(folder), digest, str(folder / "bin" / "python"), tuple(moved))
        _write(fresh / _READY, made._asdict())
        if folder.exists():  # without its mark: somebody has removed a part of it
            shutil.rmtree(folder)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    announce(f"  made in {time.monotonic() - begun:.1f} s: {folder}")
    return made


def _ready(folder: Path) -> Environment | None:
    found = _remembered_environment(folder / _READY)
    return found if found is not None and Path(found.python).exists() else None


def _remembered_environment(path: Path) -> Environment | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Environment(**{**found, "path": tuple(found["path"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _path_of(python: Path) -> list[str]:
    """Where that Python finds packages that were installed: its site folder first."""
    code = "import json, site, sys; s = site.getsitepackages(); print(json.dumps(s + [p for p in sys.path if p not in s]))"
    answer = subprocess.run(
        [str(python), "-I", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment_variables(),
    )
    own = Path(sys.base_prefix)
    return [p for p in json.loads(answer.stdout) if not Path(p).is_relative_to(own)]


def _sweep(root: Path) -> None:
    """Remove what somebody began to make, long ago, and never finished."""
    for left in root.glob(".making-*"):
        try:
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; a killed one lets go."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1), encoding="utf-8")
    fresh.replace(path)


def announce(line: str) -> None:
    """Tell whoever waits: making an environment takes seconds, or minutes where much is fetched."""
    print(line, file=sys.stderr, flush=True)


# -- uv ------------------------------------------------------------------------------------------------


@cache
def uv_program() -> tuple[str, ...] | None:
    """How uv is called: as a module of this Python, or as a program; None where it is neither."""
    if importlib.util.find_spec("uv") is not None:
        return (sys.executable, "-m", "uv")
    found = shutil.which("uv")
    return None if found is None else (found,)


def _uv(words: Sequence[str], folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    program = uv_program()
    if program is None:
        raise PluginError(
            "an environment of its own needs uv, which is not installed",
            code="environments cannot resolve",
            fix="pip install uv",
        )
    left_out = {"VIRTUAL_ENV", "CONDA_PREFIX"}
    if "install" in words:  # the lock is what was found under them; their hashes may be of other files
        left_out |= {"UV_CONSTRAINT", "UV_OVERRIDE"}
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    return subprocess.run(
        [*program, *words], cwd=folder, input=given, capture_output=True, text=True, env=environment
    )


def environment_variables() -> dict[str, str]:
    """The environment of a process in another Python: nothing there may lead it back to this one's packages."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP", "PYTHONEXECUTABLE")
    return {k: v for k, v in os.environ.items() if k not in ours}


def _said(answer: subprocess.CompletedProcess[str]) -> str:
    """What uv says, in one line and without its drawing."""
    text = re.sub(r"\x1b\[[0-9;]*m|[×╰─▶│├]", " ", answer.stderr or answer.stdout)
    return " ".join(text.split())[-1500:] or f"exit code {answer.returncode}"


def _shown(requirement: str) -> str:
    return requirement.partition(" @ ")[0].removeprefix("-e ")


@cache
def conflicts() -> dict[str, str]:
    """Distributions of this environment whose requirements are not met, with what uv says of each.

    Asked once; kept beside the catalogue's index for as long as nothing is installed or removed.
    """
    folder = Path(sysconfig.get_path("purelib"))
    stamp = f"{folder} {folder.stat().st_mtime_ns} {uv_program()}"
    memory = cache_folder() / f"unmet-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(memory.read_text(encoding="utf-8"))
        if found["stamp"] == stamp:
            return dict(found["unmet"])
    if uv_program() is None:
        return {}
    answer = _uv(["pip", "check", "--python", sys.executable], Path.cwd())
    lines = re.findall(r"The package `([^`]+)` (.*)", answer.stderr + answer.stdout)
    unmet = {name.lower().replace("_", "-"): said.replace("`", "'") for name, said in lines}
    with suppress(OSError):
        _write(memory, {"stamp": stamp, "unmet": unmet})
    return unmet
