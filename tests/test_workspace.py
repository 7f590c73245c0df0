"""The workspace agrees with itself: folders, tox, requirements, manifests, pins."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(p for p in (ROOT / "plugins").iterdir() if (p / "pyproject.toml").is_file())


def _tox() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return parser


def _names(braced: str) -> set[str]:
    found = re.search(r"ldt-\{([^}]*)\}", braced)
    assert found is not None
    return {f"ldt-{n}" for n in found[1].split(",")}


def test_tox_names_every_plugin_folder() -> None:
    tox = _tox()
    folders = {p.name for p in PLUGINS}
    section = next(s for s in tox.sections() if s.startswith("testenv:ldt-{"))
    assert _names(section) == folders
    assert _names(tox["tox"]["env_list"]) == folders


def test_requirement_files_name_folders_that_exist() -> None:
    listed = set(re.findall(r"\./plugins/([\w-]+)", (ROOT / "plugins.txt").read_text(encoding="utf-8")))
    assert listed == {p.name for p in PLUGINS}
    shown = re.findall(r"^\./plugins/([\w-]+)$", (ROOT / "demo.txt").read_text(encoding="utf-8"), re.M)
    project = tomllib.loads((ROOT / "plugins/ldt-demo/pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[>=<]", d)[0] for d in project["dependencies"]} & {p.name for p in PLUGINS}
    assert set(shown) == needed | {"ldt-demo"}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_plugin_is_a_distribution_of_its_own(plugin: Path) -> None:
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = plugin.name.replace("-", "_")
    assert project["name"] == plugin.name
    assert project["license"] == "Apache-2.0"
    assert project["entry-points"]["ldt"] == {plugin.name: package}
    assert any(d.startswith("ldt-core") for d in project["dependencies"])
    assert not [d for d in project["dependencies"] if re.search(r"<|~=|==", d.split(";")[0])], (
        "no upper bounds"
    )
    for name in ("README.md", "CHANGELOG.md", "LICENSE", f"{package}/py.typed", f"{package}/component.json"):
        assert (plugin / name).is_file(), f"{plugin.name} lacks {name}"
    assert list((plugin / "tests").glob("test_*.py")), f"{plugin.name} has no tests"
    manifest = json.loads((plugin / package / "component.json").read_text(encoding="utf-8"))
    assert manifest["version"] == project["version"]
    assert manifest["distribution"] == plugin.name


def test_known_components_are_those_of_the_plugin_folders() -> None:
    known = json.loads((ROOT / "ldt_core/known.json").read_text(encoding="utf-8"))
    offered = {}
    for plugin in PLUGINS:
        manifest = json.loads(
            (plugin / plugin.name.replace("-", "_") / "component.json").read_text(encoding="utf-8")
        )
        offered.update({c["id"]: plugin.name for c in manifest["components"]})
    assert known == offered


def test_pins_hold_hashes_and_no_addresses() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    pins = [p for p in re.split(r"\n(?=[A-Za-z])", text) if not p.startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin.splitlines()[0]


def test_nothing_in_the_tree_names_this_machine_or_an_index() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    home = str(Path.home())
    parent = str(ROOT.parent)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".pbf", ".gz"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for place in (home, parent):
            if len(place) > 4:
                assert f"{place}/" not in text, f"{name} holds {place}"


def test_core_needs_no_data_frames_and_no_web() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[>=<\[]", d)[0].lower() for d in project["dependencies"]}
    assert not names & {"pandas", "xarray", "geopandas", "fastapi", "sqlalchemy"}
    assert not [d for d in project["dependencies"] if "<" in d]
