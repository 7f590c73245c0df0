"""The command line itself: help, version, completion, schema, errors without a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from ldt_core import __version__
from ldt_core.catalog import Catalog, Command
from ldt_core.cli import build_parser, commands_of, main
from ldt_core.ensemble import Progress
from ldt_core.errors import ErrorList, StoreError, TwinFileError

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


# -- commands of plugins ----------------------------------------------------------------------


def _plugins(monkeypatch: pytest.MonkeyPatch, *commands: Command) -> None:
    monkeypatch.setattr("ldt_core.cli.installed", lambda: Catalog([], list(commands), []))


def test_a_per_cent_sign_in_a_plugins_help_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _plugins(monkeypatch, Command("show100", "show 100% of %(it)s", "x:y", "ldt-x"))
    main([])
    assert "show 100% of %(it)s" in capsys.readouterr().out


def test_a_command_that_two_plugins_bring_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _plugins(monkeypatch, *(Command("draw", "draw", "x:y", owner) for owner in ("ldt-b", "ldt-a")))
    assert main(["draw"]) == 11
    assert "'draw' is brought by ldt-a and ldt-b [E2 two owners]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target", ["nothing_here:main", "ldt_core.cli", "ldt_core.cli:nothing", "ldt_core.cli:", ":main", ""]
)
def test_a_command_that_cannot_be_loaded_is_the_plugins_fault(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _plugins(monkeypatch, Command("draw", "draw", target, "ldt-a"))
    assert main(["draw"]) == 11
    assert "the command 'draw' of ldt-a cannot be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--debug", "draw", "a"], ["draw", "--debug", "a"], ["draw", "a", "--debug"]]
)
def test_debug_may_stand_anywhere_and_changes_no_exit_code(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = []

    def draw(arguments: list[str]) -> int:
        given.append(arguments)
        raise StoreError("no\x1b[31m red", code="no space")

    monkeypatch.setattr("ldt_core.commands.draw", draw, raising=False)
    _plugins(monkeypatch, Command("draw", "draw", "ldt_core.commands:draw", "ldt-a"))
    assert main(words) == 14
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "ldt: no?[31m red [E7 no space]" in said
    assert main(["draw", "a"]) == 14
    assert "Traceback" not in capsys.readouterr().err
    assert given == [["a"], ["a"]]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(13, "Permission denied", "/store"), 14, "/store: Permission denied [E7 not usable]"),
        (ConnectionError("reset"), 70, "our own fault: ConnectionError: reset"),
        (KeyboardInterrupt(), 130, "interrupted; what was finished is in the store"),
        (BrokenPipeError(), 0, ""),
        (ErrorList([StoreError("first"), TwinFileError("second")]), 14, "second"),
    ],
)
def test_every_error_has_its_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("ldt_core.cli._dispatch", fail)
    assert main(["list"]) == code
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    "words", [["--workers", "0"], ["--workers", "-1"], ["--replicates", "0"], ["--replicates", "x"]]
)
def test_counts_begin_at_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", *words])
    assert ended.value.code == 2
    assert f"'{words[1]}' is not a whole number from 1 on" in capsys.readouterr().err


def test_the_worker_command_serves_task_files(tmp_path: Path) -> None:
    """By one path per line, plain or as a JSON string; a task that is none is told."""
    odd = tmp_path / "no\ntask.json"
    odd.write_text("{}")
    lines = f"{tmp_path / 'nothing.json'}\n{json.dumps(str(odd))}\n"
    done = subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", "worker"], input=lines, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["kind"] for a in answers] == ["failed", "failed"]
    assert "FileNotFoundError" in answers[0]["errors"][0]["what"]
    assert "KeyError" in answers[1]["errors"][0]["what"]


# -- the bar ----------------------------------------------------------------------------------

STATES = [
    Progress(9, 3, 0, (), 0.0, 0.0, None),
    Progress(9, 3, 0, ("a stage with a very long name indeed",) * 8, 0.04, 1.0, 24.0),
    Progress(9, 3, 2, ("a",), 0.55, 10.0, 8.2),
    Progress(9, 3, 6, (), 1.0, 20.0, 0.0),
]
DRAW = """
import sys
from tests_states import STATES
from ldt_core.commands.running import Bar
bar = Bar()
for state in STATES:
    bar(state)
bar.end()
print("done", file=sys.stderr)
"""


def _draw(width: int | None, **env: str) -> str:
    """What the bar writes to a terminal of this width, or into a pipe; standard output is a pipe always."""
    states = f"from ldt_core.ensemble import Progress\nSTATES = {STATES!r}\n"
    code = f"import sys, types; m = types.ModuleType('tests_states'); exec({states!r}, m.__dict__)\n"
    words = [sys.executable, "-c", f"{code}sys.modules['tests_states'] = m\n{DRAW}"]
    given = (
        {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm"} | env
    )
    if width is None:
        return subprocess.run(words, capture_output=True, text=True, env=given, check=True).stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=given)
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the terminal closes
        while more := os.read(ours, 4096):
            said += more
    os.close(ours)
    process.communicate(timeout=60)
    assert process.returncode == 0
    return said.decode()


@pytest.mark.parametrize("width", [1, 40, 200])
def test_on_a_terminal_the_bar_is_one_line_and_goes_away(width: int) -> None:
    said = _draw(width)
    *drawn, last = said.split("\r\x1b[K")
    assert last.strip() == "done"
    assert "\n" not in "".join(drawn)
    assert drawn[0] == ""
    assert all(len(line) < max(width, 2) for line in drawn)
    if width == 200:
        assert (
            "[#############...........]  55%  2 of 6 computed, 3 from the store, about 8 s left  a" in drawn
        )


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}])
def test_in_a_pipe_the_bar_is_lines_without_a_code(env: dict[str, str]) -> None:
    said = _draw(None, **env)
    assert "\x1b" not in said
    assert "\r" not in said
    assert [line.split("%")[0].strip() for line in said.splitlines()] == ["0", "55", "100", "done"]


def test_a_terminal_without_codes_gets_lines() -> None:
    assert "\x1b" not in _draw(80, TERM="dumb")
    assert "\x1b[K" in _draw(80, NO_COLOR="1"), "that one is about colours, and there are none"


def test_what_components_print_goes_apart() -> None:
    """Also from C, and into the file descriptor; the streams are whole afterwards."""
    code = """
import ctypes, os
from ldt_core.commands.output import components_apart, print_json
try:
    with components_apart():
        print("from python")
        os.write(1, b"raw\\n")
        ctypes.CDLL(None).puts(b"from C")
        raise ZeroDivisionError
except ZeroDivisionError:
    print_json({"ä": 1})
"""
    words = [sys.executable, "-c", code]
    for encoding, text in (("utf-8", "ä"), ("ascii", "\\u00e4")):
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(words, capture_output=True, text=True, env=env, check=True)
        assert json.loads(done.stdout) == {"ä": 1}
        assert text in done.stdout
        assert {"from python", "raw", "from C"} == set(done.stderr.splitlines())
