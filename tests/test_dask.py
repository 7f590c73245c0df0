"""The engine `dask`: the same numbers as locally, whatever is killed; nothing left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, alive, install, wait

pytest.importorskip("distributed")

PLUGIN = '''
import os, signal, subprocess, sys, time
from pathlib import Path
import ldt_core as ldt

NOTES = Path(os.environ.get("LDT_TEST_NOTES", "."))
CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

def note(name, what):
    with (NOTES / name).open("a") as stream:
        stream.write(f"{what}\\n")

def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

class Walker(ldt.Simulator):
    """Goes at random, and does what it is told."""
    id = "walker"
    stochastic = True
    outputs = {"way": ldt.Port({"time": ldt.instant(), "x": ldt.number("m", "x:way", cell="mean")})}
    class Params(ldt.Params):
        deed: str = ""
        bias: float = 0.0
    def initialize(self, inputs):
        self.x = 0.0
    def step(self, inputs, until):
        note("steps", self.params.deed)
        print("on my way,", self.params.deed)
        getattr(self, "do_" + self.params.deed, lambda: None)()
        self.x += self.context.rng.normal(self.params.bias)
        start = self.context.instant(self.context.window.start)
        return {"way": ldt.Table({"time": [start], "x": [self.x]})}

    def kill_the_dask_worker(self):
        child = subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True)
        keeper = os.getppid()
        for pid in (os.getpid(), keeper, child.pid):
            note("pids", pid)
        os.kill(parent_of(keeper), signal.SIGKILL)
        time.sleep(600)
    def do_once(self):
        if not (NOTES / "was").exists():
            (NOTES / "was").touch()
            self.kill_the_dask_worker()
    def do_always(self):
        self.kill_the_dask_worker()
    def do_itself(self):
        os.kill(os.getpid(), signal.SIGKILL)
    def do_raise(self):
        raise ldt.InputError("not this way")
    def do_hang(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True)
        for pid in (os.getpid(), os.getppid(), parent_of(os.getppid()), child.pid):
            note("pids", pid)
        time.sleep(600)

@ldt.hookimpl
def ldt_simulators():
    return [Walker]
'''

TWIN = """
ldt: 1
twin: {id: walkers, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T02:00Z}
run: {seed: 5}
components:
  walker: {use: walker, step: 1h, resources: {memory: 1GiB, cpus: 1}}
kpis:
  far: {of: walker.way.x, reduce: {time: last}, unit: m}
scenarios:
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-simulator-walker", PLUGIN)
    (tmp_path / "twin").mkdir()
    (tmp_path / "notes").mkdir()
    return Workshop(tmp_path / "site", tmp_path / "twin")


def scenarios(shop: Workshop, *lines: str) -> None:
    (shop.twin / "twin.yaml").write_text(TWIN + "".join(f"  {line}\n" for line in lines))


def environment(shop: Workshop) -> dict[str, str]:
    return {"LDT_TEST_NOTES": str(shop.twin.parent / "notes")}


def pids(shop: Workshop) -> list[int]:
    path = shop.twin.parent / "notes" / "pids"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def events(shop: Workshop) -> list[dict[str, Any]]:
    text = max((shop.twin / "runs").glob("*/progress.jsonl")).read_text()
    return [json.loads(line) for line in text.splitlines()]


def digests(store: Path) -> dict[str, Any]:
    """The content digests of every entry by its key."""
    from ldt_core.store import Store

    return {e.key: dict(e.digests) for e in Store(store).entries()}


def test_dask_gives_the_bits_of_the_local_engine(shop: Workshop, tmp_path: Path) -> None:
    scenarios(
        shop, "base: {}", "north: {set: {walker.params.bias: 0.5}}", "south: {set: {walker.params.bias: -1}}"
    )
    env = environment(shop)
    words = ["run", "--json", "--workers", "2"]
    local = json.loads(shop.ldt(*words, LDT_STORE=str(tmp_path / "local"), **env).stdout)
    placed = json.loads(shop.ldt(*words, "--engine", "dask", **env).stdout)
    assert [t["state"] for t in placed["tasks"]] == ["done"] * 3
    assert placed["kpis"]["far"]["values"] == local["kpis"]["far"]["values"]
    assert len(set(map(str, local["kpis"]["far"]["values"].values()))) == 3
    found = digests(tmp_path / "local")
    assert len(found) >= 3
    assert digests(shop.twin / ".ldt" / "store") == found
    assert {e["event"] for e in events(shop)} >= {"started", "done"}
    logs = list((shop.twin / "runs").glob("*/logs/*-walker-0.log"))
    assert len(logs) == 6
    assert all("on my way" in log.read_text() for log in logs)
    assert not list((shop.twin / "runs").glob("*/.probe*"))


@pytest.mark.slow
def test_a_killed_dask_worker_costs_only_the_task_that_kills_it_always(shop: Workshop) -> None:
    """Its simulators die with it; what it was at is run again; what always kills it is told."""
    deeds = ["once", "always", "itself", "raise"]
    lines = [f"{d}: {{set: {{walker.params.deed: {d}}}}}" for d in deeds]
    scenarios(shop, "base: {}", *lines, "north: {set: {walker.params.bias: 0.5}}")
    done = shop.ldt("run", "--engine", "dask", "--workers", "2", check=False, **environment(shop))
    assert done.returncode in (12, 13), done.stderr
    words = done.stderr.partition("\nldt: ")[2].split("\n  -> ")
    told = {deed: part for part in words for deed in deeds if f"walker of {deed}, replicate 1" in part}
    assert set(told) == {"always", "itself", "raise"}, done.stderr
    assert "went down with its Dask worker, 3 times" in told["always"]
    assert "killed by SIGKILL, 3 times" in told["itself"]
    assert "on my way, itself" in told["itself"]
    assert "not this way" in told["raise"]
    assert "Traceback" not in done.stderr
    ends = {
        e["task"].split("-")[1]: e["event"] for e in events(shop) if e["event"] in ("done", "failed", "lost")
    }
    assert ends == {
        "base": "done",
        "once": "done",
        "north": "done",
        "always": "lost",
        "itself": "lost",
        "raise": "failed",
    }
    assert pids(shop)
    wait(lambda: not any(alive(p) for p in pids(shop)))


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)], ids=lambda s: s.name
)
def test_an_interrupted_run_leaves_no_dask_process(shop: Workshop, how: signal.Signals) -> None:
    """Ctrl-C reaches the whole group of processes, as on a terminal."""
    scenarios(shop, "hang: {set: {walker.params.deed: hang}}")
    driver = shop.start("run", "--engine", "dask", "--workers", "1", **environment(shop))
    try:
        wait(lambda: len(pids(shop)) == 4)
        if how == signal.SIGINT:
            os.killpg(driver.pid, how)
        else:
            os.kill(driver.pid, how)
        _, said = driver.communicate(timeout=60)
    finally:
        driver.kill()
    wait(lambda: not any(alive(p) for p in pids(shop)))
    if how == signal.SIGINT:
        assert driver.returncode == 130, said
        assert said.splitlines()[-1] == "ldt: interrupted; what was finished is in the store"
        record = json.loads(next((shop.twin / "runs").glob("*/run.json")).read_text())
        assert record["status"] == "interrupted"


@pytest.fixture
def cluster(shop: Workshop, tmp_path: Path) -> Iterator[Path]:
    """A scheduler's file, with one worker; both are programs of their own, as in two terminals."""
    file = tmp_path / "scheduler.json"
    env = {**shop.environment(**environment(shop)), "PYTHONWARNINGS": "default"}
    here = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    words = [
        ["scheduler", "--port", "0", *here],
        ["worker", "--nthreads", "1", "--local-directory", str(tmp_path), *here],
    ]
    with (tmp_path / "cluster.log").open("w") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "dask", *w], env=env, cwd=tmp_path, stdout=log, stderr=log
            )
            for w in words
        ]
    yield file
    for process in reversed(started):
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
def test_a_scheduler_of_ones_own_is_used_and_left_as_it_was(shop: Workshop, cluster: Path) -> None:
    scenarios(shop, "base: {}", "hang: {set: {walker.params.deed: hang}}")
    wait(cluster.exists)
    env = environment(shop)
    words = ["run", "--engine", "dask", "--address", str(cluster)]
    record = json.loads(shop.ldt(*words, "--json", "-s", "base", **env).stdout)
    assert record["status"] == "finished"

    driver = shop.start(*words, **env)  # the driver is killed: nobody tells the Dask worker
    wait(lambda: len(pids(shop)) == 4)
    driver.kill()
    driver.communicate()
    worker, keeper, host, child = pids(shop)
    wait(lambda: not any(alive(p) for p in (worker, keeper, child)))
    assert alive(host), "the Dask worker is not ours to end"


def test_a_worker_that_sees_other_files_or_has_other_code_is_refused(tmp_path: Path) -> None:
    from ldt_core.engines.lodging import Booking, refuse_strangers
    from ldt_core.errors import PluginError
    from ldt_core.identity import package_digest

    probe = tmp_path / "probe"
    probe.write_text("here")
    booking = Booking("ldt-x", str(tmp_path), (str(probe), str(probe)), "here", package_digest("ldt_core"))
    refuse_strangers(booking)
    with pytest.raises(PluginError, match="does not see") as caught:
        refuse_strangers(booking._replace(token="there"))
    assert "LDT_STORE" in caught.value.fix
    with pytest.raises(PluginError, match="does not see"):
        refuse_strangers(booking._replace(probes=(str(probe), str(tmp_path / "nowhere"))))
    with pytest.raises(PluginError, match="another ldt-core than the run"):
        refuse_strangers(booking._replace(core="0" * 64))


def test_an_address_where_nobody_answers_is_told(shop: Workshop) -> None:
    scenarios(shop, "base: {}")
    done = shop.ldt(
        "run", "--engine", "dask", "--address", "nonsense://nowhere", check=False, **environment(shop)
    )
    assert done.returncode == 13
    assert "no Dask scheduler answers" in done.stderr
    assert "dask scheduler" in done.stderr


def test_without_dask_the_engine_says_what_to_install(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "distributed.py").write_text("raise ImportError('none here')")
    scenarios(shop, "base: {}")
    path = os.pathsep.join([str(tmp_path / "none"), shop.environment()["PYTHONPATH"]])
    done = shop.ldt("run", "--engine", "dask", check=False, PYTHONPATH=path, **environment(shop))
    assert done.returncode == 11
    assert "the engine 'dask' is not installed" in done.stderr
    assert "pip install 'ldt-core[dask]'" in done.stderr
    assert shop.ldt("run", PYTHONPATH=path, **environment(shop)).returncode == 0, "local needs no Dask"
