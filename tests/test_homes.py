"""Where components of a twin live, by real environments made from wheels in a folder, driven by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import apart
from workshop import alive, wait

import ldt_core as ldt
from ldt_core import environments
from ldt_core.environments import solve
from ldt_core.errors import PluginError
from ldt_core.identity import lock
from ldt_core.wheels import wheel_of

TELLER = '''
import apart_lib, os, time
import numpy as np
import ldt_core as ldt

class Teller(ldt.Model):
    """Tells which version of a library it runs with."""
    id = "{id}"
    step_default = "1min"
    outputs = {{"out": ldt.Port(
        {{"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("1", "x:version")}}, entity="spot", id="id"
    )}}
    class Params(ldt.Params):
        add: float = 0.0
        notes: str = ""
        falls: int = 3
    def compute(self, inputs):
        if self.params.notes:
            with open(self.params.notes, "a") as stream:
                stream.write(str(os.getpid()) + "\\n")
            with open(self.params.notes) as stream:
                falls = len(stream.readlines()) <= self.params.falls
            while falls:
                time.sleep(0.01)
        stamp = [self.context.instant(self.context.window.start)]
        value = float(apart_lib.VERSION.partition(".")[0]) + self.params.add
        return {{"out": ldt.Table({{"time": stamp, "id": ["x"], "value": [value]}})}}

@ldt.hookimpl
def ldt_models():
    return [Teller]
'''

TWIN = """ldt: 1
twin: {{id: t, title: Two versions, crs: "EPSG:25832"}}
time: {{start: 2026-03-02T05:00Z, end: 2026-03-02T05:03Z}}
components:
{components}
kpis:
{kpis}
"""


class Room:
    """A folder with wheels, a folder for this Python's path, a twin, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.links, self.site, self.twin = folder / "links", folder / "site", folder / "twin"
        for made in (self.links, self.site, self.twin):
            made.mkdir()
        apart.put_stand_ins(self.links)
        self.libraries = [apart.put_library(self.links, "apart-lib", v) for v in ("1.0", "2.0")]
        self.old = self.plugin("ldt-old", "old", "apart-lib<2")
        self.new = self.plugin("ldt-new", "new", "apart-lib>=2")
        self.environment = apart.forget(
            {
                **apart.only_links(self.links),
                "PYTHONPATH": str(self.site),
                "LDT_CACHE": str(folder / "cache"),
                "PYTHONWARNINGS": "error",
            }
        )

    def plugin(self, name: str, id: str, *needs: str) -> Path:
        return apart.put_plugin(self.links, name, TELLER.format(id=id), {id: "model"}, needs=needs)

    def write(self, **components: str) -> None:
        """``a="use: old, isolate: venv"``; each has a KPI, the mean of its value."""
        lines = "\n".join(f"  {n}: {{{words}}}" for n, words in components.items())
        kpis = "\n".join(
            f"  {n}: {{of: {n}.out.value, unit: '1', better: lower, reduce: {{space: mean, time: mean}}}}"
            for n in components
        )
        (self.twin / "twin.yaml").write_text(TWIN.format(components=lines, kpis=kpis))

    def command(self, *words: str, python: str = sys.executable) -> list[str]:
        return [python, "-P", "-m", "ldt_core.cli", *words]

    def ldt(self, *words: str, code: int = 0, **how: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words, **how), cwd=self.twin, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run(self) -> dict[str, Any]:
        return dict(json.loads(self.ldt("run", "--json", "--workers", "1").stdout))

    def values(self, record: dict[str, Any]) -> dict[str, float]:
        return {n: k["values"]["base"][0] for n, k in record["kpis"].items()}

    def made(self) -> list[Path]:
        folder = self.twin / ".ldt" / "envs"
        return [p.parent for p in folder.glob("*/ldt-environment.json")]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_what_excludes_each_other_runs_side_by_side(room: Room) -> None:
    room.write(a="use: old, package: ldt-old", b="use: new, package: ldt-new")
    first = room.ldt("check")
    assert first.stderr.count("making an environment") == 2
    assert "a: own environment (not installed here)" in first.stdout
    record = room.run()
    assert room.values(record) == {"a": 1.0, "b": 2.0}
    assert record["components"]["a"]["lock"]["apart-lib"] == "1.0"
    assert record["components"]["b"]["lock"]["apart-lib"] == "2.0"
    assert record["components"]["b"]["home"].startswith("own environment (not installed here)")
    assert len(room.made()) == 2
    assert "making" not in room.ldt("check").stderr


def test_what_goes_together_shares_one_environment(room: Room) -> None:
    room.plugin("ldt-newer", "newer", "apart-lib")
    room.write(
        a="use: new, package: ldt-new", b="use: newer, package: ldt-newer", c="use: old, package: ldt-old"
    )
    said = room.ldt("check").stderr
    assert "making an environment for ldt-new, ldt-newer ..." in said
    assert "making an environment for ldt-old ..." in said
    assert len(room.made()) == 2


def test_here_and_apart_have_one_key_where_the_versions_are_the_same(room: Room) -> None:
    apart.install_here(room.site, [room.old, room.libraries[0]])
    room.write(a="use: old")
    here = room.run()
    assert here["components"]["a"]["home"] == "this environment"
    assert room.made() == []
    room.write(a="use: old, isolate: venv")
    there = room.run()
    assert there["components"]["a"]["home"] == "own environment (asked for)"
    assert {t["state"] for t in there["tasks"]} == {"stored"}
    assert there["scenarios"]["base"]["stages"] == here["scenarios"]["base"]["stages"]


def test_another_version_of_a_library_is_another_key(room: Room) -> None:
    room.plugin("ldt-any", "any", "apart-lib")
    apart.install_here(room.site, [room.links / "ldt_any-1.0-py3-none-any.whl", room.libraries[0]])
    room.write(a="use: any")
    assert room.values(room.run()) == {"a": 1.0}
    room.write(a="use: any, isolate: venv")
    checked = room.ldt("check").stdout
    assert "a: own environment (asked for): apart-lib 2.0 where this one has 1.0" in checked
    assert "a (any, every 1min): to compute" in checked


def test_what_does_not_hold_here_goes_into_an_environment_of_its_own(room: Room) -> None:
    (made,) = _solved(room, "ldt-old")
    words = ["pip", "install", "--quiet", "--no-deps", "--python", made.python, str(room.libraries[1])]
    subprocess.run([sys.executable, "-m", "uv", *words], check=True, env=room.environment)
    (Path(made.site) / "uv_here.pth").write_text(str(Path(_uv_folder())) + "\n")
    room.write(a="use: old")
    checked = room.ldt("check", python=made.python).stdout
    assert "a: own environment (ldt-old requires 'apart-lib<2', but '2.0' is installed)" in checked
    room.write(a="use: old, isolate: never")
    assert "own environment" not in room.ldt("check", python=made.python).stdout


def _uv_folder() -> str:
    import uv

    return str(Path(uv.__file__).parent.parent)


def _solved(room: Room, *wanted: str) -> list[environments.Environment]:
    code = (
        "import json, sys; from pathlib import Path; from ldt_core.environments import solve;"
        "print(json.dumps(solve(json.loads(sys.argv[1]), Path(sys.argv[2]))))"
    )
    root = room.twin.parent / "envs"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, json.dumps(wanted), str(root)],
        env=room.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return [environments.Environment(*e) for e in json.loads(done.stdout)]


# -- what is refused ----------------------------------------------------------------------------------


def refused(room: Room, code: str, *words: str) -> str:
    found = room.ldt("check", "--json", code=11).stderr
    assert f"[E2 {code}]" in found, found
    for word in words:
        assert word in found, found
    return found


def test_two_requirements_that_exclude_each_other_are_both_named(room: Room) -> None:
    room.plugin("ldt-torn", "torn", "apart-lib<2", "apart-lib>=2")
    room.write(a="use: torn, package: ldt-torn")
    refused(room, "environments cannot resolve", "apart-lib<2", "apart-lib>=2", "twin.yaml:5:12")


def test_never_wants_it_here(room: Room) -> None:
    room.write(a="use: old, isolate: never, package: ldt-old")
    refused(room, "not installed", "twin.yaml:5:12")


def test_a_wheel_beside_the_twin_file_is_a_package(room: Room) -> None:
    target = room.twin / "wheels" / room.old.name
    target.parent.mkdir()
    room.old.rename(target)
    room.write(a=f"use: old, package: ./wheels/{target.name}")
    assert "a: own environment (not installed here)" in room.ldt("check").stdout
    room.write(a="use: old, package: ./nothing.whl")
    refused(room, "not installed", "nothing at ./nothing.whl", "twin.yaml:5:26")
    room.write(a="use: olden, package: ldt-new")
    refused(room, "not installed", "ldt-new offers no component 'olden'", "offered are: new")


def test_a_time_limit_without_a_process_of_its_own_is_refused(room: Room) -> None:
    apart.install_here(room.site, [room.old, room.libraries[0]])
    room.write(a="use: old, resources: {timeout: 10s}")
    assert "isolate: venv" in room.ldt("check", code=10).stderr


def test_wrong_parameters_have_their_place(room: Room) -> None:
    room.write(a="use: old, package: ldt-old, params: {ad: 3}")
    found = room.ldt("check", code=10).stderr
    assert "twin.yaml:5:44: old has no parameter 'ad' [E1 unknown key]" in found
    assert "did you mean 'add'?" in found


def test_without_uv_it_is_said_what_is_missing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "uv_program", lambda: None)
    with pytest.raises(PluginError) as caught:
        solve(["ldt-old"], room.twin / "envs")
    assert (caught.value.code, caught.value.fix) == ("environments cannot resolve", "pip install uv")


# -- environments -------------------------------------------------------------------------------------


def test_processes_that_want_the_same_make_it_once(room: Room) -> None:
    room.write(a="use: old, package: ldt-old")
    running = [
        subprocess.Popen(
            room.command("check"),
            cwd=room.twin,
            env=room.environment,
            stderr=subprocess.PIPE,
            stdout=-3,
            text=True,
        )
        for _ in range(3)
    ]
    said = [p.communicate()[1] for p in running]
    assert [p.returncode for p in running] == [0, 0, 0], said
    assert sum(s.count("making an environment") for s in said) == 1
    assert len(room.made()) == 1
    assert not list((room.twin / ".ldt" / "envs").glob(".making-*"))


@pytest.mark.slow
def test_a_killed_maker_leaves_nothing_that_is_taken_for_whole(room: Room) -> None:
    room.write(a="use: old, package: ldt-old")
    envs = room.twin / ".ldt" / "envs"
    for _ in range(3):
        maker = subprocess.Popen(
            room.command("check"), cwd=room.twin, env=room.environment, stderr=-3, stdout=-3
        )
        wait(lambda: any(envs.glob(".making-*")) or bool(room.made()))
        maker.kill()
        maker.wait()
    assert room.values(room.run()) == {"a": 1.0}
    left = list(envs.glob(".making-*"))
    for folder in left:
        os.utime(folder, (0, 0))
    room.write(a="use: old, package: ldt-old", b="use: new, package: ldt-new")
    room.ldt("check")
    assert not list(envs.glob(".making-*"))


@pytest.mark.slow
def test_a_removed_environment_is_made_again(room: Room) -> None:
    import shutil

    room.write(a="use: old, package: ldt-old")
    room.ldt("check")
    (before,) = room.made()
    shutil.rmtree(before)
    assert room.values(room.run()) == {"a": 1.0}
    assert room.made() == [before]


def test_a_wheel_of_what_is_installed_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (wheel_of("ldt-core", tmp_path / n) for n in ("a", "b"))
    assert first is not None
    assert second is not None
    assert Path(first).parent.name == Path(second).parent.name
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert wheel_of("no-such-distribution", tmp_path) is None


def test_an_environment_has_this_core_and_what_was_asked_for(room: Room) -> None:
    (made,) = _solved(room, "ldt-old")
    packages = dict(lock("ldt-old", made.site))
    assert packages["apart-lib"] == "1.0"
    assert packages["ldt-core"] == ldt.__version__


# -- the end of a run -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_nothing_is_left_of_a_run_that_was_ended(room: Room, tmp_path: Path, number: signal.Signals) -> None:
    notes = tmp_path / "notes"
    room.write(a=f"use: old, package: ldt-old, params: {{notes: {notes}}}")
    room.ldt("check")
    driver = subprocess.Popen(
        room.command("run", "--workers", "1"), cwd=room.twin, env=room.environment, stderr=-3, stdout=-3
    )
    wait(lambda: notes.is_file() and notes.read_text().endswith("\n"))
    below = apart.descendants(driver.pid)
    assert int(notes.read_text()) in below
    driver.send_signal(number)
    driver.wait(timeout=60)
    wait(lambda: not any(alive(p) for p in below))


@pytest.mark.parametrize(("falls", "code"), [(1, 0), (3, 13)], ids=["once", "each time"])
def test_a_component_whose_process_is_killed_runs_again_and_not_for_ever(
    room: Room, tmp_path: Path, falls: int, code: int
) -> None:
    notes = tmp_path / "notes"
    room.write(a=f"use: old, package: ldt-old, params: {{notes: {notes}, falls: {falls}}}")
    driver = subprocess.Popen(
        room.command("run", "--workers", "1"),
        cwd=room.twin,
        env=room.environment,
        stderr=subprocess.PIPE,
        stdout=-3,
        text=True,
    )
    for number in range(1, falls + 1):
        wait(lambda number=number: notes.is_file() and notes.read_text().count("\n") == number)
        os.kill(int(notes.read_text().split()[-1]), signal.SIGKILL)
    said = driver.communicate()[1]
    assert driver.returncode == code, said
    if code:
        assert "3 times in a row, its process was killed by SIGKILL" in said
        assert "a, [0 s, 60 s)" in said
    else:
        (record,) = (room.twin / "runs").glob("*/run.json")
        assert room.values(json.loads(record.read_text())) == {"a": 1.0}
