"""The command line itself: help, version, completion, schema, errors without a traceback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ldt_core import __version__
from ldt_core.catalog import Command
from ldt_core.cli import build_parser, commands_of, main

ROOT = Path(__file__).resolve().parent.parent


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ldt {__version__}\n"
    assert main([]) == 2
    said = capsys.readouterr().out
    for command in (
        "demo",
        "new",
        "list",
        "show",
        "check",
        "run",
        "compare",
        "store",
        "schema",
        "completion",
    ):
        assert f"    {command}" in said
    assert "exit codes" in said


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name in commands_of(build_parser()):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert len(capsys.readouterr().out) > 60, name


def test_a_plugin_adds_a_command_but_cannot_replace_one() -> None:
    commands = [Command("view", "show it", "x:y", "ldt-x"), Command("run", "mine", "x:y", "ldt-x")]
    parser = build_parser(commands)
    assert parser.parse_args(["view", "last", "--out", "p.html"]).rest == ["last", "--out", "p.html"]
    assert commands_of(parser)["view"].get_default("plugin") == commands[0]
    assert commands_of(parser)["run"].get_default("plugin") is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "compare" in script
    program = shutil.which(shell)
    if program is not None:
        done = subprocess.run([program, "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_completion_completes_in_bash(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    ask = 'COMP_WORDS=(ldt comp); COMP_CWORD=1; _ldt; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True)
    assert done.stdout.split() == ["compare", "completion"]


def test_the_schema_is_the_published_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    published = ROOT / "docs/reference/twin.schema.json"
    assert json.loads(capsys.readouterr().out) == json.loads(published.read_text(encoding="utf-8"))


def test_our_own_fault_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ldt_core.cli._dispatch", lambda *_: 1 / 0)
    assert main(["list"]) == 70
    assert "our own fault: ZeroDivisionError" in capsys.readouterr().err


def test_a_reader_that_closes_early_is_no_error() -> None:
    code = "import sys; from ldt_core.cli import main; sys.exit(main(['schema']))"
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert first.stdout is not None
    first.stdout.close()
    _, said = first.communicate(timeout=60)
    assert b"Traceback" not in said
