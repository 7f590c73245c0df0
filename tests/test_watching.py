"""`ldt runs` and `ldt log` on runs that go on, have ended, or were killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install, wait

from ldt_core.journal import KILLED, RunLog, driving, is_driven

PLUGIN = '''
import logging, os, subprocess, sys, time
from pathlib import Path
import ldt_core as ldt

class Talker(ldt.Simulator):
    """Says what it is told."""
    id = "talker"
    outputs = {"mood": ldt.Port({"time": ldt.instant(), "mood": ldt.number("1", "x:mood", cell="mean")})}
    class Params(ldt.Params):
        word: str = "hello"
        fail: bool = False
    def step(self, inputs, until):
        print("printed", self.params.word)
        self.context.log.info("logged %s", self.params.word)
        subprocess.run(["sh", "-c", f"echo called {self.params.word} >&2"])
        while self.params.word == "wait" and not Path(os.environ["LDT_TEST_GATE"]).exists():
            time.sleep(0.01)
        if self.params.fail:
            raise ldt.InputError("no more words\\x1b[31m")
        start = self.context.instant(self.context.window.start)
        return {"mood": ldt.Table({"time": [start], "mood": [1.0]})}

@ldt.hookimpl
def ldt_simulators():
    return [Talker]
'''

TWIN = """
ldt: 1
twin: {id: talk, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T01:00Z}
components:
  talker: {use: talker, step: 1h}
scenarios:
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-simulator-talker", PLUGIN)
    (tmp_path / "twin").mkdir()
    return Workshop(tmp_path / "site", tmp_path / "twin")


def scenarios(shop: Workshop, *lines: str) -> None:
    (shop.twin / "twin.yaml").write_text(TWIN + "".join(f"  {line}\n" for line in lines))


def gate(shop: Workshop) -> Path:
    return shop.twin.parent / "gate"


def runs(shop: Workshop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shop.ldt("runs", "--json").stdout)
    return found


def said(shop: Workshop, *words: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in shop.ldt("log", *words, "--json").stdout.splitlines()]


def test_what_a_task_says_is_found_by_its_name_and_stands_between_its_events(shop: Workshop) -> None:
    scenarios(
        shop, "base: {}", "loud: {set: {talker.params.word: HEY}}", "bad: {set: {talker.params.fail: true}}"
    )
    assert shop.ldt("run", "--workers", "1", check=False).returncode == 12
    lines = said(shop, "last", "loud-talker")
    assert {line["of"].partition("-")[2] for line in lines} == {"loud-talker-0"}
    texts = [line["text"] for line in lines]
    assert texts[0].startswith("-- started (process ")
    assert texts[-1].startswith("-- done in ")
    assert set(texts[1:-1]) == {"printed HEY", "INFO ldt.component.talker: logged HEY", "called HEY"}
    everything = said(shop)
    assert [line["at"] for line in everything] == sorted(line["at"] for line in everything)
    assert len({line["of"] for line in everything}) == 3
    shown = shop.ldt("log", ".", "bad").stdout
    name = Path(runs(shop)[0]["run"]).name
    assert shop.ldt("log", name, "bad").stdout == shown, "a run is known by its name in the list"
    assert "-- failed: no more words" in shown
    assert "\x1b" not in shown
    (found,) = runs(shop)
    assert (found["status"], found["tasks"], found["computed"], found["failed"]) == ("failed", 3, 2, 1)
    assert "did you mean" in shop.ldt("log", "last", "loud-talkr-0", check=False).stderr
    scenarios(shop, "base: {}", "loud: {set: {talker.params.word: HEY}}")
    shop.ldt("run")
    assert [(r["status"], r["stored"], r["computed"]) for r in runs(shop)] == [
        ("failed", 0, 2),
        ("finished", 2, 0),
    ]
    table = shop.ldt("runs").stdout.splitlines()
    assert table[0].split() == [
        "run",
        "status",
        "began",
        "took",
        "scenarios",
        "tasks",
        "computed",
        "stored",
        "failed",
    ]
    assert table[2].split()[-5:] == ["2", "2", "0", "2", "0"]


def test_a_run_that_goes_on_is_seen_and_followed_to_its_end(shop: Workshop) -> None:
    scenarios(shop, "base: {}", "later: {set: {talker.params.word: wait}}")
    driver = shop.start("run", "--workers", "1", LDT_TEST_GATE=str(gate(shop)))
    wait(lambda: "printed wait" in shop.ldt("log", check=False).stdout)
    (found,) = runs(shop)
    assert (found["status"], found["tasks"], found["computed"], found["failed"]) == ("running", 2, 1, 0)
    follower = shop.start("log", "--follow")
    assert follower.stdout is not None
    first = [follower.stdout.readline() for _ in range(3)]
    assert "-- started" in first[0], "what was said before comes first"
    gate(shop).touch()
    rest, err = follower.communicate(timeout=60)
    assert driver.wait(timeout=60) == 0
    assert "-- done" in rest.splitlines()[-1]
    assert "finished" in err
    assert runs(shop)[0]["status"] == "finished"
    driver.communicate()


def test_a_run_whose_driver_was_killed_is_no_longer_running(shop: Workshop) -> None:
    scenarios(shop, "base: {}", "later: {set: {talker.params.word: wait}}")
    driver = shop.start("run", "--workers", "1", LDT_TEST_GATE=str(gate(shop)))
    wait(lambda: "printed wait" in shop.ldt("log", check=False).stdout)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    folder = next((shop.twin / "runs").iterdir())
    with (folder / "progress.jsonl").open("ab") as stream:
        stream.write(b'{"at": "torn')
    (found,) = runs(shop)
    assert (found["status"], found["computed"], found["seconds"]) == (KILLED, 1, None)
    done = shop.ldt("log", "--follow")  # there is nothing to wait for
    assert KILLED in done.stderr
    assert "printed wait" in done.stdout
    gate(shop).touch()
    shop.ldt("run", LDT_TEST_GATE=str(gate(shop)))
    assert [r["status"] for r in runs(shop)] == [KILLED, "finished"]
    assert [r["stored"] for r in runs(shop)] == [0, 1]


def test_without_runs_the_commands_say_so(shop: Workshop) -> None:
    scenarios(shop, "base: {}")
    assert "ldt run makes one" in shop.ldt("runs").stdout
    done = shop.ldt("log", check=False)
    assert done.returncode == 12
    assert "no run" in done.stderr
    assert shop.ldt("runs", "nowhere", check=False).returncode == 12


def test_a_driver_holds_its_run_and_lets_go(tmp_path: Path) -> None:
    assert not is_driven(tmp_path)
    with driving(tmp_path):
        assert is_driven(tmp_path)
        assert is_driven(tmp_path), "a look changes nothing"
    assert not is_driven(tmp_path)
    (tmp_path / "driver.json").write_text('{"process": 1, "machine": "elsewhere"}')
    assert is_driven(tmp_path), "it was touched just now, and its machine may show us no locks"
    os.utime(tmp_path / "driver.json", (0, 0))
    assert not is_driven(tmp_path)


def test_lines_without_a_time_stay_with_the_line_before_them(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    started = '{"at": "2026-01-01T00:00:0%d.000Z", "task": "%s", "event": "started", "pid": 1}\n'
    (tmp_path / "progress.jsonl").write_text(started % (1, "a") + started % (2, "b"))
    (tmp_path / "logs" / "a.log").write_text("one\n2026-01-01T00:00:03.000Z INFO x: two\nthree\nunfini")
    (tmp_path / "logs" / "b.log").write_text("four\n")
    log = RunLog(tmp_path)
    texts = [(line.of, line.text) for line in log.read(to_the_end=False)]
    assert [t for t in texts if not t[1].startswith("--")] == [
        ("a", "one"),
        ("b", "four"),
        ("a", "INFO x: two"),
        ("a", "three"),
    ]
    assert log.read(to_the_end=False) == []
    with (tmp_path / "logs" / "a.log").open("a") as stream:
        stream.write("shed\n")
    assert [(line.at[17:19], line.text) for line in log.read()] == [("03", "unfinished")]
