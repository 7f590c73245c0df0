"""Every plugin of this repository, and every scaffold, is certified as its vendor would do it: ``ldt certify DIR``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from ldt_conformance.artefact import open_folder
from ldt_conformance.requirements import export

PLUGINS = sorted(p.parent for p in (Path(__file__).resolve().parents[2] / "plugins").glob("*/pyproject.toml"))
SAID = re.compile(
    r"^Conformance: level (\d), catalogue (\S+), certified (\d{4}-\d\d-\d\d) with `ldt certify (\S+)`\.$",
    re.M,
)


def ldt(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``ldt WORDS``, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def said(plugin: Path) -> tuple[int, str, date, str]:
    """Level, release of the catalogue, date and name: what the README of a plugin says of its certificate."""
    ((level, catalogue, day, name),) = SAID.findall((plugin / "README.md").read_text(encoding="utf-8"))
    return int(level), catalogue, date.fromisoformat(day), name


def expect_certified(folder: Path, room: Path, level: int = 1, **environment: str) -> None:
    done = ldt("certify", str(folder), "--level", str(level), "--report", str(room), **environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report: dict[str, Any] = json.loads((room / "report.json").read_text(encoding="utf-8"))
    assert (report["verdict"], report["selection"], report["level"]) == ("certified", "whole", level)
    assert report["waivers"] == []
    manifest = next(folder.glob("*/component.json"))
    offered = {c["id"] for c in json.loads(manifest.read_text(encoding="utf-8"))["components"]}
    assert {c["id"] for c in report["components"]} == offered, "all that it offers was judged"


def siblings(folder: Path) -> list[Path]:
    """The plugins of this repository that a plugin needs: no index has them, so they are handed in as wheels."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w-]", d)[0] for d in project["dependencies"]}
    return [p for p in PLUGINS if p.name in names]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_a_plugin_is_certified(plugin: Path, tmp_path: Path) -> None:
    assert (plugin / "conformance.toml").is_file(), "a plugin without conformance.toml is run with defaults"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for other in siblings(plugin):
        shutil.copy(open_folder(other, tmp_path / other.name).wheel, wheels)
    expect_certified(plugin, tmp_path / "report", said(plugin)[0], UV_FIND_LINKS=str(wheels))


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_a_readme_says_level_catalogue_and_date(plugin: Path) -> None:
    level, catalogue, day, name = said(plugin)
    assert level >= 1
    assert (catalogue, name) == (export()["release"], plugin.name)
    assert day <= datetime.now(UTC).date()


@pytest.mark.parametrize("kind", ["source", "model", "simulator", "viewer"])
def test_a_scaffold_is_certified_as_it_is_written(kind: str, tmp_path: Path) -> None:
    done = ldt("new", kind, "try-out", "--into", str(tmp_path))
    assert done.returncode == 0, done.stderr
    expect_certified(tmp_path / f"ldt-{kind}-try-out", tmp_path / "report")
