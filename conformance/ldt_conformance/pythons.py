"""The other Pythons of this machine that a package claims, and whether it installs and loads there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ldt_core.environments import Environment, environment_variables, uv_program
from ldt_core.wheels import core_wheel

from .observe import Bench, offline

OLDEST = (3, 11)
"""Of this core: a package that claims older ones cannot be used there."""


@cache
def here() -> dict[str, str]:
    """Interpreters by minor version, without this one."""
    program = uv_program()
    if program is None:
        return {}
    words = [*program, "python", "list", "--only-installed", "--offline", "--output-format", "json"]
    answer = subprocess.run(words, capture_output=True, text=True)
    found: dict[str, str] = {}
    for item in json.loads(answer.stdout or "[]"):
        parts = item["version_parts"]
        name = f"{parts['major']}.{parts['minor']}"
        usable = item["implementation"] == "cpython" and item.get("variant", "default") == "default"
        if usable and (parts["major"], parts["minor"]) >= OLDEST and item.get("path"):
            found.setdefault(name, item["path"])
    found.pop(f"{sys.version_info[0]}.{sys.version_info[1]}", None)
    return found


def others(bench: Bench, *, quick: bool) -> dict[str, str]:
    """By minor version what is wrong there; empty where nothing is, ``not tried: ...`` where nobody can know."""
    try:
        claimed = SpecifierSet(str(bench.artefact.metadata.get("Requires-Python", "")))
    except InvalidSpecifier:
        return {}
    wanted = {v: p for v, p in here().items() if claimed.contains(f"{v}.99")}
    if quick:
        return dict.fromkeys(wanted, "not tried: quick")
    return {v: _tried(bench, v, p) for v, p in wanted.items()}


def _tried(bench: Bench, version: str, interpreter: str) -> str:
    folder = bench.room / f"python{version}"
    python = folder / "bin" / "python"
    program = uv_program() or ()
    core = core_wheel(bench.room)
    with offline(bench.artefact):
        make = [*program, "venv", "--quiet", "-p", interpreter, str(folder)]
        if subprocess.run(make, capture_output=True).returncode:
            return "not tried: no environment can be made of it"
        install = [*program, "pip", "install", "--quiet", "--python", str(python)]
        variables = environment_variables()
        if subprocess.run([*install, core], capture_output=True, env=variables).returncode:
            shutil.rmtree(folder)
            return "not tried: what ldt-core needs is not at hand for it"
        answer = subprocess.run(
            [*install, str(bench.artefact.wheel)], capture_output=True, text=True, env=variables
        )
    if answer.returncode:
        return " ".join(re.sub(r"[×╰─▶│├]", " ", answer.stderr).split())[-600:]
    (site,) = (folder / "lib").glob("python*/site-packages")
    said = bench.probe(Environment(str(folder), "", str(python), (str(site), *_pointed(site))))
    return "" if said["loaded"] else f"{said['raised']} {said['where']}"


def _pointed(site: Path) -> list[str]:
    """Folders that path files name: what is installed in the editable way."""
    lines = [line for file in site.glob("*.pth") for line in file.read_text().splitlines()]
    return [line for line in lines if line.startswith("/")]
