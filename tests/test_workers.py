"""Components that misbehave in every way: the run says what happened, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, alive, install, wait

PLUGIN = '''
import ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path
import numpy as np
import ldt_core as ldt

NOTES = Path(os.environ.get("LDT_TEST_NOTES", "."))
CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

def note(name, what):
    with (NOTES / name).open("a") as stream:
        stream.write(f"{what}\\n")

def start_child(name):
    child = subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True)
    note(name, child.pid)

class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")
    def __reduce__(self):
        raise TypeError("unpicklable")

class Imp(ldt.Simulator):
    """Does what it is told."""
    id = "imp"
    outputs = {"mood": ldt.Port({"time": ldt.instant(), "mood": ldt.number("1", "x:mood", cell="mean")})}
    class Params(ldt.Params):
        deed: str = ""
        file: ldt.File | None = None
        number: int = 0
    def step(self, inputs, until):
        note("workers", os.getpid())
        note("steps", f"{self.params.deed}{self.params.number}")
        note("at", f"{os.getpid()} {self.params.number}")
        getattr(self, "do_" + self.params.deed.replace("-", "_"), lambda: None)()
        start = self.context.instant(self.context.window.start)
        return {"mood": ldt.Table({"time": [start], "mood": [1.0 + self.params.number]})}

    def do_print(self):
        for _ in range(200):
            print("chatter " * 1000)
            sys.stderr.write("noise " * 1000)
            os.write(1, b"\\xff raw \\x00" * 1000)
    def do_thread(self):
        threading.Thread(target=lambda: [self.context.progress(0.5) or time.sleep(0.001) for _ in iter(int, 1)]).start()
    def do_child(self):
        start_child("children")
    def do_progress(self):
        for share in (0.9, 0.1, -1.0, 7.0, float("nan"), float("inf")):
            self.context.progress(share)
    def do_stdin(self):
        assert sys.stdin.read() == ""
        assert subprocess.run(["cat"], capture_output=True).stdout == b""
    def do_litter(self):
        os.chdir("/")
        os.environ["LDT_TEST_LITTER"] = "1"
        Path(os.environ["TMPDIR"], "left").write_text("")
        note("scratch", os.environ["TMPDIR"])
    def do_clean(self):
        assert os.getcwd() != "/" and "LDT_TEST_LITTER" not in os.environ
    def do_huge_flag(self):
        self.context.flag("odd", 1.0, "x" * 10_000_000)

    def do_os_exit(self):
        os._exit(0)
    def do_system_exit(self):
        sys.exit("enough")
    def do_keyboard(self):
        raise KeyboardInterrupt("not from a key")
    def do_memory(self):
        raise MemoryError
    def do_recursion(self):
        self.do_recursion()
    def do_unicode(self):
        raise ValueError("Größe \\u2603 \\udcff \\x1b[31m")
    def do_huge(self):
        raise ValueError("y" * 50_000_000)
    def do_mute(self):
        raise Mute
    def do_wrong_texts(self):
        raise ldt.InputError(b"bytes", code=7, where=None, fix=object)
    def do_nan_flag(self):
        self.context.flag("share", float("nan"), "of nothing")
    def do_torn(self):
        for fd in os.listdir("/proc/self/fd"):
            try:
                if "pipe" in os.readlink(f"/proc/self/fd/{fd}"):
                    os.write(int(fd), b'{"kind": "do')
            except OSError:
                pass
        os.kill(os.getpid(), signal.SIGKILL)
    def do_hang(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        start_child("children")
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock
    def do_wait(self):
        while not (NOTES / "go").exists():
            time.sleep(0.01)
    def do_edit(self):
        self.params.file.path.write_text("other")
    def do_slow(self):
        time.sleep(0.05)

class Endless(ldt.DataSource):
    """Never comes to an end."""
    id = "endless"
    outputs = {"rain": ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")})}
    class Params(ldt.Params):
        on: bool = False
    def read(self, query):
        while self.params.on:
            note("workers", os.getpid())
            yield {"rain": ldt.Table({"time": [query.start], "rain": [1.0]})}
            time.sleep(0.05)
    def version(self, query):
        return "1"

@ldt.hookimpl
def ldt_simulators():
    return [Imp]
@ldt.hookimpl
def ldt_data_sources():
    return [Endless]
'''

TWIN = """
ldt: 1
twin: {id: imps, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T02:00Z}
components:
  imp: {use: imp, step: 1h}
scenarios:
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-model-imps", PLUGIN)
    (tmp_path / "twin").mkdir()
    (tmp_path / "notes").mkdir()
    return Workshop(tmp_path / "site", tmp_path / "twin")


def scenarios(shop: Workshop, *deeds: str, more: str = "", **params: Any) -> None:
    """A twin whose scenarios each do one deed."""
    lines = [f"  {d}: {{set: {{imp.params.deed: {d}}}}}" for d in deeds]
    text = TWIN.replace("{use: imp, step: 1h}", f"{{use: imp, step: 1h, params: {json.dumps(params)}}}")
    (shop.twin / "twin.yaml").write_text(text + "\n".join(lines) + "\n" + more)


def notes(shop: Workshop, name: str) -> list[str]:
    path = shop.twin.parent / "notes" / name
    return path.read_text().splitlines() if path.exists() else []


def environment(shop: Workshop) -> dict[str, str]:
    return {"LDT_TEST_NOTES": str(shop.twin.parent / "notes")}


def test_what_a_component_does_beside_its_work_disturbs_nothing(shop: Workshop) -> None:
    deeds = ["print", "thread", "child", "progress", "stdin", "litter", "clean", "huge-flag"]
    scenarios(shop, *deeds)
    done = shop.ldt("run", "--json", "--workers", "1", **environment(shop))
    record = json.loads(done.stdout)
    assert record["status"] == "finished"
    assert not any(alive(int(c)) for c in notes(shop, "children")), "a child outlived the run"
    assert not any(Path(s).exists() for s in notes(shop, "scratch")), "files outlived the run"
    assert len(record["scenarios"]["huge-flag"]["flags"][0]["text"]) < 1000
    lines = next((shop.twin / "runs").glob("*/progress.jsonl")).read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert not [e for e in events if e["event"] == "killed"]
    shares = [e["share"] for e in events if e["event"] == "progress"]
    assert all(0 < s <= 1 for s in shares)


def test_every_way_to_fail_is_told_with_its_place(shop: Workshop) -> None:
    """One run, in which every scenario fails in its own way; all of them are told."""
    said = {
        "os-exit": "ended its own process with exit code 0, 3 times",
        "system-exit": "SystemExit: enough",
        "keyboard": "KeyboardInterrupt: not from a key",
        "memory": "out of memory",
        "recursion": "RecursionError",
        "unicode": "Größe ☃",
        "huge": "yyy",
        "mute": "",
        "wrong-texts": "b'bytes'",
        "nan-flag": "the flag 'share' has the value nan",
        "torn": "was killed by SIGKILL, 3 times",
    }
    scenarios(shop, *said)
    done = shop.ldt("run", "--workers", "2", check=False, **environment(shop))
    assert done.returncode in (12, 13), done.stderr
    for deed, words in said.items():
        told = [e for e in done.stderr.split("\n") if f"imp of {deed}, replicate 1" in e]
        assert told, f"{deed} is not told in {done.stderr[-3000:]}"
        assert any(words in line for line in told), told
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr) < 40_000
    record = json.loads(next((shop.twin / "runs").glob("*/run.json")).read_text(encoding="utf-8"))
    assert record["status"] == "failed"


@pytest.mark.parametrize(
    "how",
    [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=lambda s: s.name,
)
def test_a_hanging_component_ends_with_the_run(shop: Workshop, how: signal.Signals) -> None:
    """Also one that ignores signals and holds the interpreter, its child in a session of its own, and a read without end."""
    scenarios(shop, "hang", more="  endless: {set: {endless.params.on: true}}\n")
    path = shop.twin / "twin.yaml"
    path.write_text(path.read_text().replace("components:\n", "components:\n  endless: {use: endless}\n"))
    driver = shop.start("run", "--workers", "2", **environment(shop))
    try:
        wait(lambda: bool(notes(shop, "children")) and len(set(notes(shop, "workers"))) == 2)
        os.kill(driver.pid, how)
        _, said = driver.communicate(timeout=30)
    finally:
        driver.kill()
    pids = [int(p) for name in ("children", "workers") for p in notes(shop, name)]
    wait(lambda: not any(alive(p) for p in pids))
    record = json.loads(next((shop.twin / "runs").glob("*/run.json")).read_text())
    if how == signal.SIGKILL:
        assert record["status"] == "running"
    else:
        assert driver.returncode == 130, said
        assert record["status"] == "interrupted"


def test_code_or_data_that_change_while_the_run_goes_on_are_told(shop: Workshop) -> None:
    """Neither the plugin's new code nor a file's new content may come out under the old key."""
    (shop.twin / "data.txt").write_text("one")
    scenarios(shop, "edit", file="data.txt")
    done = shop.ldt("run", "-s", "edit", check=False, **environment(shop))
    assert done.returncode == 12, done.stderr
    assert "changed while it was read" in done.stderr

    scenarios(shop, "wait", file="data.txt")
    driver = shop.start("run", **environment(shop))
    wait(lambda: "wait0" in notes(shop, "steps"))
    (shop.site / "ldt_model_imps" / "__init__.py").write_text(PLUGIN.replace("1.0 + self", "5.0 + self"))
    (shop.twin.parent / "notes" / "go").touch()
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 11, said
    assert "ldt-model-imps changed while the run went on" in said
    assert "ldt store" not in said
    record = json.loads(shop.ldt("run", "--json", **environment(shop)).stdout)
    assert record["status"] == "finished", "the new code runs under a key of its own"


def test_a_file_that_changes_before_its_task_begins_is_told(shop: Workshop) -> None:
    """The key was made from the content before; the worker must not put the new one under it."""
    (shop.twin / "data.txt").write_text("one")
    scenarios(shop, "wait", "later", file="data.txt")
    driver = shop.start("run", "--workers", "1", **environment(shop))
    wait(lambda: "wait0" in notes(shop, "steps"))
    (shop.twin / "data.txt").write_text("two or more")
    (shop.twin.parent / "notes" / "go").touch()
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 12, said
    assert "later0" not in notes(shop, "steps"), "it must be refused before the work"


def test_a_worker_speaks_one_language_whatever_the_paths(shop: Workshop) -> None:
    """Spaces, quotes, per cent, unicode and a line break in every path; from elsewhere; by a link."""
    odd = shop.twin.parent / "Große Stadt 100% 'a\" ☃\nb "
    shop.twin.rename(odd)
    shop.twin = odd
    scenarios(shop, "print")
    record = json.loads(shop.ldt("run", "--json", **environment(shop)).stdout)
    assert record["status"] == "finished"
    link = odd.parent / "link"
    link.symlink_to(odd)
    shop.twin = odd.parent / "site"
    for name in (odd, odd / "twin.yaml", Path("..") / odd.name, link, link / "twin.yaml"):
        record = json.loads(shop.ldt("run", "--json", str(name), **environment(shop)).stdout)
        assert {t["state"] for t in record["tasks"]} == {"stored"}, name
    assert len(list((odd / "runs").iterdir())) == 6


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing_and_repeat_only_what_was_in_flight(shop: Workshop) -> None:
    count = 40
    lines = [f"  s{n}: {{set: {{imp.params.number: {n}}}}}" for n in range(count)]
    scenarios(shop, deed="slow", more="\n".join(lines))
    driver = shop.start("run", "--json", "--workers", "2", **environment(shop))
    chance = random.Random(1)
    killed, hit = set[str](), set[str]()
    while len(killed) < 10 and driver.poll() is None:
        at = dict(line.split() for line in notes(shop, "at") if " " in line)
        # A task that is hit three times is given up: each is hit once here.
        free = [p for p in set(at) - killed if at[p] not in hit and alive(int(p))]
        if free and len(notes(shop, "steps")) > 6 * len(killed):
            pid = chance.choice(sorted(free))
            killed.add(pid)
            hit.add(at[pid])
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(chance.random() * 0.02)
    out, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert len(killed) == 10
    record = json.loads(out)
    assert [t["state"] for t in record["tasks"]].count("done") == count
    steps = notes(shop, "steps")
    assert 2 * count <= len(steps) <= 2 * count + 2 * len(killed)
    assert shop.ldt("store", "verify").returncode == 0
