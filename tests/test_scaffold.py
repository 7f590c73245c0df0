"""`ldt new`: what it writes works as it is, with the core alone; what it refuses, it refuses clearly."""

from __future__ import annotations

import argparse
import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core.catalog import Catalog, Offer
from ldt_core.cli import main
from ldt_core.commands import scaffold

TOOLS = runpy.run_path(str(Path(__file__).parent / "editable.py"))
KINDS = ["source", "model", "simulator", "viewer"]


def _new(kind: str, name: str, into: Path, source: str | None = None) -> int:
    return scaffold.new(argparse.Namespace(kind=kind, name=name, into=str(into), source=source))


@pytest.fixture(params=KINDS, scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    into = tmp_path_factory.mktemp(request.param)
    assert _new(request.param, "try-out", into) == 0
    return request.param, into / f"ldt-{request.param}-try-out"


def test_a_scaffold_passes_its_own_tests(made: tuple[str, Path]) -> None:
    """They hold its case, its manifest and a run of its example with the core and the scaffold alone."""
    kind, folder = made
    site = folder.parent / "site"
    TOOLS["install"](folder, site)
    env = TOOLS["environment"](site, folder.parent / "cache")
    report = folder.parent / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(folder)],
        env=env,
        cwd=folder.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " skipped" not in done.stdout
    cases = report.read_text(encoding="utf-8").count("<testcase")
    assert cases >= 6, f"the {kind} has {cases} tests"


def test_a_scaffold_is_a_distribution_with_all_its_parts(made: tuple[str, Path]) -> None:
    kind, folder = made
    package = f"ldt_{kind}_try_out"
    for part in ("README.md", "CHANGELOG.md", "cases/first.json", "example/twin.yaml", f"{package}/py.typed"):
        assert (folder / part).is_file(), part
    manifest = json.loads((folder / package / "component.json").read_text(encoding="utf-8"))
    assert ("try-out", kind) in [(c["id"], c["kind"]) for c in manifest["components"]]
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert "@id@" not in text, path.name
            assert path.suffix != ".py" or ast.parse(text)


def test_the_component_of_a_scaffold_is_short(made: tuple[str, Path]) -> None:
    kind, folder = made
    text = (folder / f"ldt_{kind}_try_out" / "component.py").read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) < 55


def test_the_code_is_formatted(made: tuple[str, Path]) -> None:
    rules = ["--isolated", "--line-length", "110"]
    for words in (["check", "--select", "E,F,W,N,UP,B,C4,SIM,PT,PERF"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *rules, "--no-cache", str(made[1])],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_a_model_is_told_from_a_simulator_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _new("model", "heat-load", tmp_path)
    said = capsys.readouterr().out
    assert "BMI, SUMO" in said.splitlines()[0] + said.splitlines()[1]
    assert "ldt new simulator heat-load" in said
    _new("simulator", "heat-load", tmp_path)
    assert "BMI" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", [*KINDS, "twin"])
def test_it_names_what_it_made_and_three_commands(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _new(kind, "try-out", tmp_path)
    said = capsys.readouterr().out
    listed, _, commands = said.partition("\nnext:\n")
    folder = next(tmp_path.iterdir())
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {
        line.strip() for line in listed.partition(":\n")[2].splitlines() if line.startswith("  ")
    }
    lines = commands.splitlines()
    assert len(lines) == 3
    assert all(line.split()[0] in ("pip", "pytest", "ldt") for line in lines)
    assert str(folder) in commands


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("Street Trees", "street-trees"),
        ("street_trees", "street-trees"),
        ("straße", "stra-e"),
        ("-trees", "trees"),
        ("trees-", "trees"),
        ("a--b", "a-b"),
        ("../trees", "trees"),
        ("trees/../..", "trees"),
        ("x" * 41, "x" * 40),
    ],
)
def test_a_name_that_is_not_kebab_is_refused_with_one_that_is(
    name: str, proposal: str, tmp_path: Path
) -> None:
    for kind in ("source", "twin"):
        with pytest.raises(ldt.ParamError) as caught:
            _new(kind, name, tmp_path)
        assert caught.value.exit_code == 10
        assert f"'{proposal}'" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "7", "1st-try", "-", "木"])
def test_a_name_without_a_kebab_likeness_gets_an_example(name: str, tmp_path: Path) -> None:
    with pytest.raises(ldt.ParamError, match="street-trees"):
        _new("model", name, tmp_path)


@given(st.text(max_size=60) | st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){0,5}", fullmatch=True))
def test_every_name_is_taken_or_refused(name: str) -> None:
    if not scaffold.NAME.fullmatch(name) or len(name) > scaffold.LONGEST:
        with pytest.raises(ldt.ParamError) as caught:
            scaffold.check_name(name)
        assert caught.value.fix
        return
    assert scaffold.check_name(name) == name
    for kind in KINDS:
        for path, text in scaffold.fill_plugin(kind, name).items():
            assert ".." not in Path(path).parts
            assert not path.endswith(".py") or ast.parse(text)


@pytest.mark.parametrize(
    "name", ["none", "true", "false", "class", "lambda", "no", "on", "null", "ldt", "scene"]
)
def test_words_that_mean_something_elsewhere_are_names_here(name: str, tmp_path: Path) -> None:
    for kind in KINDS:
        files = scaffold.fill_plugin(kind, name)
        for path, text in files.items():
            assert not path.endswith(".py") or ast.parse(text)
        assert f'"{name}"' in files["example/twin.yaml"]
    _new("twin", name, tmp_path)
    assert main(["check", str(tmp_path / name)]) == 0


@pytest.mark.parametrize("kind", ["source", "twin"])
def test_nothing_is_overwritten(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / ("trees" if kind == "twin" else f"ldt-{kind}-trees")
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ldt.ParamError, match="nothing is overwritten") as caught:
        _new(kind, "trees", tmp_path)
    assert caught.value.code == "exists"
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]


def test_an_id_with_an_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Offer("trees", "source", "Trees", "other-trees", "1.0", "other_trees", "")
    monkeypatch.setattr(scaffold, "installed", lambda: Catalog([offer], [], []))
    with pytest.raises(ldt.ParamError, match="other-trees"):
        _new("model", "trees", tmp_path)
    own = offer._replace(distribution="ldt-model-trees")
    monkeypatch.setattr(scaffold, "installed", lambda: Catalog([own], [], []))
    assert _new("model", "trees", tmp_path) == 0


def test_only_a_twin_starts_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(ldt.ParamError, match=r"ldt new twin trees --from x\.csv"):
        _new("source", "trees", tmp_path, "x.csv")


def test_a_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ldt.Unsupported, match=r"'town\.osm\.pbf' is no CSV file"):
        _new("twin", "town", tmp_path, "town.osm.pbf")


def test_a_csv_file_needs_the_source_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaffold, "installed", lambda: Catalog([], [], []))
    with pytest.raises(ldt.PluginError, match="pip install ldt-source-csv"):
        _new("twin", "town", tmp_path, "counts.csv")


def test_a_twin_can_be_checked_with_nothing_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaffold, "installed", lambda: Catalog([], [], []))
    _new("twin", "my-town", tmp_path)
    assert "pip install ldt-source-csv" in (tmp_path / "my-town" / "twin.yaml").read_text(encoding="utf-8")
    assert main(["check", str(tmp_path / "my-town")]) == 0
    assert "the wiring and the schedule hold" in capsys.readouterr().out


def test_the_command_line_gives_the_exit_code_and_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "twin", "My Town", "--into", str(tmp_path)]) == 10
    error = capsys.readouterr().err
    assert error.startswith("ldt: NAME: 'My Town' cannot be the name")
    assert "did you mean 'my-town'?" in error


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ldt.StoreError) as caught:
        _new("twin", "town", tmp_path / "file")
    assert caught.value.code == "not writable"
    assert "--into" in caught.value.fix


def test_templates_hold_no_python_module() -> None:
    """They are text until they are filled: linters, type checkers and the import rules leave them alone."""
    files: list[Any] = [p for p in scaffold.TEMPLATES.rglob("*") if p.is_file()]
    assert files
    assert {p.suffix for p in files} == {".txt"}
